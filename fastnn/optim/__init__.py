"""Optimizers and learning-rate schedules."""

from fastnn.optim.adagrad import Adagrad as Adagrad
from fastnn.optim.adam import Adam as Adam
from fastnn.optim.adam import AdamW as AdamW
from fastnn.optim.optimizer import Optimizer as Optimizer
from fastnn.optim.rmsprop import RMSprop as RMSprop
from fastnn.optim.sgd import SGD as SGD
from fastnn.optim.sparse_adam import SparseAdam as SparseAdam
from fastnn.optim.schedules import ConstantLR as ConstantLR
from fastnn.optim.schedules import CosineAnnealingLR as CosineAnnealingLR
from fastnn.optim.schedules import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from fastnn.optim.schedules import ExponentialLR as ExponentialLR
from fastnn.optim.schedules import LambdaLR as LambdaLR
from fastnn.optim.schedules import LinearLR as LinearLR
from fastnn.optim.schedules import LRScheduler as LRScheduler
from fastnn.optim.schedules import MultiStepLR as MultiStepLR
from fastnn.optim.schedules import OneCycleLR as OneCycleLR
from fastnn.optim.schedules import ReduceLROnPlateau as ReduceLROnPlateau
from fastnn.optim.schedules import SequentialLR as SequentialLR
from fastnn.optim.schedules import StepLR as StepLR
