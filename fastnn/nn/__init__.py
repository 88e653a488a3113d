"""Layers, containers and losses."""

import importlib as _importlib
import typing as _typing

from fastnn.nn import init as init
from fastnn.nn import utils as utils
from fastnn.nn.activation import CELU as CELU
from fastnn.nn.activation import ELU as ELU
from fastnn.nn.activation import GELU as GELU
from fastnn.nn.activation import GLU as GLU
from fastnn.nn.activation import Hardshrink as Hardshrink
from fastnn.nn.activation import Hardsigmoid as Hardsigmoid
from fastnn.nn.activation import Hardswish as Hardswish
from fastnn.nn.activation import Hardtanh as Hardtanh
from fastnn.nn.activation import LeakyReLU as LeakyReLU
from fastnn.nn.activation import LogSigmoid as LogSigmoid
from fastnn.nn.activation import Mish as Mish
from fastnn.nn.activation import PReLU as PReLU
from fastnn.nn.activation import ReLU as ReLU
from fastnn.nn.activation import ReLU6 as ReLU6
from fastnn.nn.activation import SELU as SELU
from fastnn.nn.activation import SiLU as SiLU
from fastnn.nn.activation import Sigmoid as Sigmoid
from fastnn.nn.activation import Softplus as Softplus
from fastnn.nn.activation import Softshrink as Softshrink
from fastnn.nn.activation import Softsign as Softsign
from fastnn.nn.activation import Tanh as Tanh
from fastnn.nn.activation import Tanhshrink as Tanhshrink
from fastnn.nn.activation import Threshold as Threshold
from fastnn.nn.adaptive_pooling import AdaptiveAvgPool1d as AdaptiveAvgPool1d
from fastnn.nn.adaptive_pooling import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from fastnn.nn.adaptive_pooling import AdaptiveAvgPool3d as AdaptiveAvgPool3d
from fastnn.nn.adaptive_pooling import AdaptiveMaxPool1d as AdaptiveMaxPool1d
from fastnn.nn.adaptive_pooling import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from fastnn.nn.adaptive_pooling import AdaptiveMaxPool3d as AdaptiveMaxPool3d
from fastnn.nn.batch_norm import BatchNorm1d as BatchNorm1d
from fastnn.nn.batch_norm import BatchNorm2d as BatchNorm2d
from fastnn.nn.batch_norm import BatchNorm3d as BatchNorm3d
from fastnn.nn.containers import Parallel as Parallel
from fastnn.nn.containers import Residual as Residual
from fastnn.nn.containers import Sequential as Sequential
from fastnn.nn.conv import Conv1d as Conv1d
from fastnn.nn.conv import Conv2d as Conv2d
from fastnn.nn.conv import Conv3d as Conv3d
from fastnn.nn.conv import ConvTranspose1d as ConvTranspose1d
from fastnn.nn.conv import ConvTranspose2d as ConvTranspose2d
from fastnn.nn.conv import ConvTranspose3d as ConvTranspose3d
from fastnn.nn.cross_entropy import CrossEntropyLoss as CrossEntropyLoss
from fastnn.nn.cross_entropy import NLLLoss as NLLLoss
from fastnn.nn.dropout import Dropout as Dropout
from fastnn.nn.dropout import Dropout1d as Dropout1d
from fastnn.nn.dropout import Dropout2d as Dropout2d
from fastnn.nn.dropout import Dropout3d as Dropout3d
from fastnn.nn.group_norm import GroupNorm as GroupNorm
from fastnn.nn.instance_norm import InstanceNorm1d as InstanceNorm1d
from fastnn.nn.instance_norm import InstanceNorm2d as InstanceNorm2d
from fastnn.nn.instance_norm import InstanceNorm3d as InstanceNorm3d
from fastnn.nn.linear import Linear as Linear
from fastnn.nn.local_response_norm import LocalResponseNorm as LocalResponseNorm
from fastnn.nn.loss import BCELoss as BCELoss
from fastnn.nn.loss import BCEWithLogitsLoss as BCEWithLogitsLoss
from fastnn.nn.loss import HuberLoss as HuberLoss
from fastnn.nn.loss import KLDivLoss as KLDivLoss
from fastnn.nn.loss import L1Loss as L1Loss
from fastnn.nn.loss import Loss as Loss
from fastnn.nn.loss import MSELoss as MSELoss
from fastnn.nn.loss import SmoothL1Loss as SmoothL1Loss
from fastnn.nn.lp_pooling import LPPool1d as LPPool1d
from fastnn.nn.lp_pooling import LPPool2d as LPPool2d
from fastnn.nn.lp_pooling import LPPool3d as LPPool3d
from fastnn.nn.module import BufferField as BufferField
from fastnn.nn.module import Module as Module
from fastnn.nn.module import Parameter as Parameter
from fastnn.nn.module import ParameterField as ParameterField
from fastnn.nn.norm import LayerNorm as LayerNorm
from fastnn.nn.norm import RMSNorm as RMSNorm
from fastnn.nn.padding import CircularPad1d as CircularPad1d
from fastnn.nn.padding import CircularPad2d as CircularPad2d
from fastnn.nn.padding import CircularPad3d as CircularPad3d
from fastnn.nn.padding import ConstantPad1d as ConstantPad1d
from fastnn.nn.padding import ConstantPad2d as ConstantPad2d
from fastnn.nn.padding import ConstantPad3d as ConstantPad3d
from fastnn.nn.padding import ReflectionPad1d as ReflectionPad1d
from fastnn.nn.padding import ReflectionPad2d as ReflectionPad2d
from fastnn.nn.padding import ReflectionPad3d as ReflectionPad3d
from fastnn.nn.padding import ReplicationPad1d as ReplicationPad1d
from fastnn.nn.padding import ReplicationPad2d as ReplicationPad2d
from fastnn.nn.padding import ReplicationPad3d as ReplicationPad3d
from fastnn.nn.padding import ZeroPad1d as ZeroPad1d
from fastnn.nn.padding import ZeroPad2d as ZeroPad2d
from fastnn.nn.padding import ZeroPad3d as ZeroPad3d
from fastnn.nn.pooling import AvgPool1d as AvgPool1d
from fastnn.nn.pooling import AvgPool2d as AvgPool2d
from fastnn.nn.pooling import AvgPool3d as AvgPool3d
from fastnn.nn.pooling import MaxPool1d as MaxPool1d
from fastnn.nn.pooling import MaxPool2d as MaxPool2d
from fastnn.nn.pooling import MaxPool3d as MaxPool3d
from fastnn.nn.recurrent import GRU as GRU
from fastnn.nn.recurrent import LSTM as LSTM
from fastnn.nn.recurrent import RNN as RNN
from fastnn.nn.recurrent import LastStep as LastStep
from fastnn.nn.recurrent_cell import GRUCell as GRUCell
from fastnn.nn.recurrent_cell import LSTMCell as LSTMCell
from fastnn.nn.recurrent_cell import RNNCell as RNNCell
from fastnn.nn.shape import Flatten as Flatten
from fastnn.nn.shape import Identity as Identity
from fastnn.nn.shape import Unflatten as Unflatten
from fastnn.nn.shuffle import ChannelShuffle as ChannelShuffle
from fastnn.nn.shuffle import PixelShuffle as PixelShuffle
from fastnn.nn.shuffle import PixelUnshuffle as PixelUnshuffle
from fastnn.nn.softmax import LogSoftmax as LogSoftmax
from fastnn.nn.softmax import Softmax as Softmax
from fastnn.nn.softmax import Softmax2d as Softmax2d
from fastnn.nn.softmax import Softmin as Softmin
from fastnn.nn.summary import summary as summary
from fastnn.nn.upsample import Upsample as Upsample
from fastnn.nn.upsample import UpsamplingBilinear2d as UpsamplingBilinear2d
from fastnn.nn.upsample import UpsamplingNearest2d as UpsamplingNearest2d

if _typing.TYPE_CHECKING:
    from fastnn.nn import models as models
else:

    def __getattr__(name):
        if name == "models":  # imported when first asked for
            return _importlib.import_module("fastnn.nn.models")
        raise AttributeError(f"module 'fastnn.nn' has no attribute {name!r}")
