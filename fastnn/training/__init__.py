"""Training: the fit loop, callbacks, metrics, checkpoints, and the record of a run."""

from fastnn.training.callbacks import BestCheckpoint as BestCheckpoint
from fastnn.training.callbacks import Callback as Callback
from fastnn.training.callbacks import Checkpoint as Checkpoint
from fastnn.training.callbacks import EarlyStopping as EarlyStopping
from fastnn.training.callbacks import FitState as FitState
from fastnn.training.callbacks import LearningRateSchedule as LearningRateSchedule
from fastnn.training.callbacks import TerminateOnNaN as TerminateOnNaN
from fastnn.training.checkpoint import load as load
from fastnn.training.checkpoint import load_checkpoint as load_checkpoint
from fastnn.training.checkpoint import load_metadata as load_metadata
from fastnn.training.checkpoint import load_state as load_state
from fastnn.training.checkpoint import save as save
from fastnn.training.checkpoint import save_checkpoint as save_checkpoint
from fastnn.training.fit import evaluate as evaluate
from fastnn.training.fit import fit as fit
from fastnn.training.fit import predict as predict
from fastnn.training.history import History as History
