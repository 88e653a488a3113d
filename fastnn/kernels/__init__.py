"""Kernels as functions on arrays: forward and backward in pairs. Enough by itself to speed up a network written by hand.

Arrays may have any layout; float32 gives float32, float64 gives float64. The formulas are in fastnn.reference, function by function.
"""

from fastnn.kernels.activation import celu as celu
from fastnn.kernels.activation import celu_backward as celu_backward
from fastnn.kernels.activation import elu as elu
from fastnn.kernels.activation import elu_backward as elu_backward
from fastnn.kernels.activation import gelu as gelu
from fastnn.kernels.activation import gelu_backward as gelu_backward
from fastnn.kernels.activation import glu as glu
from fastnn.kernels.activation import glu_backward as glu_backward
from fastnn.kernels.activation import hardshrink as hardshrink
from fastnn.kernels.activation import hardshrink_backward as hardshrink_backward
from fastnn.kernels.activation import hardsigmoid as hardsigmoid
from fastnn.kernels.activation import hardsigmoid_backward as hardsigmoid_backward
from fastnn.kernels.activation import hardswish as hardswish
from fastnn.kernels.activation import hardswish_backward as hardswish_backward
from fastnn.kernels.activation import hardtanh as hardtanh
from fastnn.kernels.activation import hardtanh_backward as hardtanh_backward
from fastnn.kernels.activation import leaky_relu as leaky_relu
from fastnn.kernels.activation import leaky_relu_backward as leaky_relu_backward
from fastnn.kernels.activation import logsigmoid as logsigmoid
from fastnn.kernels.activation import logsigmoid_backward as logsigmoid_backward
from fastnn.kernels.activation import mish as mish
from fastnn.kernels.activation import mish_backward as mish_backward
from fastnn.kernels.activation import prelu as prelu
from fastnn.kernels.activation import prelu_backward as prelu_backward
from fastnn.kernels.activation import relu as relu
from fastnn.kernels.activation import relu6 as relu6
from fastnn.kernels.activation import relu6_backward as relu6_backward
from fastnn.kernels.activation import relu_backward as relu_backward
from fastnn.kernels.activation import selu as selu
from fastnn.kernels.activation import selu_backward as selu_backward
from fastnn.kernels.activation import sigmoid as sigmoid
from fastnn.kernels.activation import sigmoid_backward as sigmoid_backward
from fastnn.kernels.activation import silu as silu
from fastnn.kernels.activation import silu_backward as silu_backward
from fastnn.kernels.activation import softplus as softplus
from fastnn.kernels.activation import softplus_backward as softplus_backward
from fastnn.kernels.activation import softshrink as softshrink
from fastnn.kernels.activation import softshrink_backward as softshrink_backward
from fastnn.kernels.activation import softsign as softsign
from fastnn.kernels.activation import softsign_backward as softsign_backward
from fastnn.kernels.activation import tanh as tanh
from fastnn.kernels.activation import tanh_backward as tanh_backward
from fastnn.kernels.activation import tanhshrink as tanhshrink
from fastnn.kernels.activation import tanhshrink_backward as tanhshrink_backward
from fastnn.kernels.activation import threshold as threshold
from fastnn.kernels.activation import threshold_backward as threshold_backward
from fastnn.kernels.matmul import linear as linear
from fastnn.kernels.matmul import linear_backward as linear_backward
from fastnn.kernels.matmul import matmul as matmul
