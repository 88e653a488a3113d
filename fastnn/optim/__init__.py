"""Optimizers and learning-rate schedules."""

from fastnn.optim.adagrad import Adagrad as Adagrad
from fastnn.optim.adam import Adam as Adam
from fastnn.optim.adam import AdamW as AdamW
from fastnn.optim.optimizer import Optimizer as Optimizer
from fastnn.optim.rmsprop import RMSprop as RMSprop
from fastnn.optim.sgd import SGD as SGD
