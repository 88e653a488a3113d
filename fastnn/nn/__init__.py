"""Layers, containers and losses."""

from fastnn.nn import init as init
from fastnn.nn.activation import ReLU as ReLU
from fastnn.nn.activation import Tanh as Tanh
from fastnn.nn.containers import Sequential as Sequential
from fastnn.nn.linear import Linear as Linear
from fastnn.nn.module import BufferField as BufferField
from fastnn.nn.module import Module as Module
from fastnn.nn.module import Parameter as Parameter
from fastnn.nn.module import ParameterField as ParameterField
