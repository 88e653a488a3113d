"""Optimizers and learning-rate schedules."""

from fastnn.optim.adagrad import Adagrad as Adagrad
from fastnn.optim.adam import Adam as Adam
from fastnn.optim.adam import AdamW as AdamW
from fastnn.optim.optimizer import Optimizer as Optimizer
from fastnn.optim.rmsprop import RMSprop as RMSprop
from fastnn.optim.sgd import SGD as SGD
from .schedules import CosineAnnealingLR as CosineAnnealingLR
from .schedules import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from .schedules import ExponentialLR as ExponentialLR
from .schedules import LambdaLR as LambdaLR
from .schedules import LinearLR as LinearLR
from .schedules import LRScheduler as LRScheduler
from .schedules import MultiStepLR as MultiStepLR
from .schedules import OneCycleLR as OneCycleLR
from .schedules import ReduceLROnPlateau as ReduceLROnPlateau
from .schedules import SequentialLR as SequentialLR
from .schedules import StepLR as StepLR
