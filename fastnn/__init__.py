"""fastnn: neural networks on CPUs, on plain NumPy arrays."""

import os as _os

try:
    from fastnn.kernels import _core
except ModuleNotFoundError as _error:
    _folder = _os.path.dirname(_os.path.abspath(__file__))
    if _os.path.exists(_os.path.join(_folder, "kernels", "_core.pyx")):
        raise ImportError(
            f"fastnn was imported from its source folder {_folder}, whose modules are not compiled; "
            "install it (pip install .) and import it from elsewhere, or compile in place (python setup.py build_ext --inplace)"
        ) from _error
    raise

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from fastnn import kernels as kernels
from fastnn import nn as nn
from fastnn.gradcheck import gradcheck as gradcheck
from fastnn.kernels._core import get_num_threads as get_num_threads
from fastnn.kernels._core import instruction_set as instruction_set
from fastnn.kernels._core import set_num_threads as set_num_threads
from fastnn.random import manual_seed as manual_seed

if _TYPE_CHECKING:
    from fastnn.captured import CaptureError as CaptureError
    from fastnn.captured import capture as capture
    from fastnn import data as data
    from fastnn import optim as optim
    from fastnn import reference as reference
    from fastnn import threads as threads
    from fastnn import training as training
    from fastnn.training import evaluate as evaluate
    from fastnn.training import fit as fit
    from fastnn.training import load as load
    from fastnn.training import load_checkpoint as load_checkpoint
    from fastnn.training import load_state as load_state
    from fastnn.training import predict as predict
    from fastnn.training import save as save
    from fastnn.training import save_checkpoint as save_checkpoint

__version__ = "0.1.0"

# Imported when first asked for: many programs need none of these.
_MODULES = ("bench", "data", "optim", "reference", "threads", "training")
_FUNCTIONS = {
    "captured": ("CaptureError", "capture"),
    "training": ("evaluate", "fit", "load", "load_checkpoint", "load_state", "predict", "save", "save_checkpoint"),
}
_HOME = {name: module for module, names in _FUNCTIONS.items() for name in names}


def __getattr__(name: str) -> _Any:
    if name in _MODULES:
        return _importlib.import_module(f"fastnn.{name}")
    if name in _HOME:
        value = globals()[name] = getattr(_importlib.import_module(f"fastnn.{_HOME[name]}"), name)
        return value
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_HOME})
