"""Kernels as functions on arrays: forward and backward in pairs. Enough by itself to speed up a network written by hand.

Arrays may have any layout; float32 gives float32, float64 gives float64. The formulas are in fastnn.reference, function by function.
"""

from fastnn.kernels.activation import relu as relu
from fastnn.kernels.activation import relu_backward as relu_backward
from fastnn.kernels.activation import tanh as tanh
from fastnn.kernels.activation import tanh_backward as tanh_backward
from fastnn.kernels.matmul import linear as linear
from fastnn.kernels.matmul import linear_backward as linear_backward
from fastnn.kernels.matmul import matmul as matmul
