"""fastnn: neural networks on CPUs, on plain NumPy arrays."""

from pathlib import Path as _Path

try:
    from fastnn.kernels import _core
except ModuleNotFoundError as _error:
    if (_Path(__file__).parent / "kernels" / "_core.pyx").exists():
        raise ImportError(
            f"fastnn was imported from its source folder {_Path(__file__).parent}, whose modules are not compiled; "
            "install it (pip install .) and import it from elsewhere, or compile in place (python setup.py build_ext --inplace)"
        ) from _error
    raise

from fastnn import kernels as kernels
from fastnn import nn as nn
from fastnn import optim as optim
from fastnn.kernels._core import get_num_threads as get_num_threads
from fastnn.kernels._core import instruction_set as instruction_set
from fastnn.kernels._core import set_num_threads as set_num_threads
from fastnn.random import manual_seed as manual_seed

__version__ = "0.1.0"
