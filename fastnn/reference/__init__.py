"""Every kernel again in plain NumPy: the specification, the tests' oracle and the benchmarks' baseline.

The functions have the names and signatures of fastnn.kernels, without out=. They take ndarrays and compute in their dtype:
float32 in, float32 out. Scalar results are 0-d arrays or NumPy scalars.
"""

from .activation import (
    celu as celu,
    celu_backward as celu_backward,
    elu as elu,
    elu_backward as elu_backward,
    gelu as gelu,
    gelu_backward as gelu_backward,
    glu as glu,
    glu_backward as glu_backward,
    hardshrink as hardshrink,
    hardshrink_backward as hardshrink_backward,
    hardsigmoid as hardsigmoid,
    hardsigmoid_backward as hardsigmoid_backward,
    hardswish as hardswish,
    hardswish_backward as hardswish_backward,
    hardtanh as hardtanh,
    hardtanh_backward as hardtanh_backward,
    leaky_relu as leaky_relu,
    leaky_relu_backward as leaky_relu_backward,
    logsigmoid as logsigmoid,
    logsigmoid_backward as logsigmoid_backward,
    mish as mish,
    mish_backward as mish_backward,
    prelu as prelu,
    prelu_backward as prelu_backward,
    relu as relu,
    relu6 as relu6,
    relu6_backward as relu6_backward,
    relu_backward as relu_backward,
    selu as selu,
    selu_backward as selu_backward,
    sigmoid as sigmoid,
    sigmoid_backward as sigmoid_backward,
    silu as silu,
    silu_backward as silu_backward,
    softplus as softplus,
    softplus_backward as softplus_backward,
    softshrink as softshrink,
    softshrink_backward as softshrink_backward,
    softsign as softsign,
    softsign_backward as softsign_backward,
    tanh as tanh,
    tanh_backward as tanh_backward,
    tanhshrink as tanhshrink,
    tanhshrink_backward as tanhshrink_backward,
    threshold as threshold,
    threshold_backward as threshold_backward,
)
from .attention import (
    scaled_dot_product_attention as scaled_dot_product_attention,
    scaled_dot_product_attention_backward as scaled_dot_product_attention_backward,
    scaled_dot_product_attention_weights as scaled_dot_product_attention_weights,
)
from .conv import (
    conv as conv,
    conv_backward as conv_backward,
    conv_transpose as conv_transpose,
    conv_transpose_backward as conv_transpose_backward,
)
from .ctc import ctc_loss as ctc_loss
from .ctc import ctc_loss_backward as ctc_loss_backward
from .distance import (
    cosine_similarity as cosine_similarity,
    cosine_similarity_backward as cosine_similarity_backward,
    pairwise_distance as pairwise_distance,
    pairwise_distance_backward as pairwise_distance_backward,
)
from .elementary import erf as erf
from .elementary import exp as exp
from .elementary import expm1 as expm1
from .elementary import log as log
from .elementary import log1p as log1p
from .dropout import (
    alpha_dropout as alpha_dropout,
    alpha_dropout_backward as alpha_dropout_backward,
    alpha_dropout_next as alpha_dropout_next,
    alpha_dropout_next_backward as alpha_dropout_next_backward,
    dropout as dropout,
    dropout_backward as dropout_backward,
    dropout_next as dropout_next,
    dropout_next_backward as dropout_next_backward,
)
from .embedding import (
    embedding as embedding,
    embedding_backward as embedding_backward,
    embedding_bag as embedding_bag,
    embedding_bag_backward as embedding_bag_backward,
    embedding_renorm_ as embedding_renorm_,
)
from .loss import (
    binary_cross_entropy as binary_cross_entropy,
    binary_cross_entropy_backward as binary_cross_entropy_backward,
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward as binary_cross_entropy_with_logits_backward,
    cross_entropy as cross_entropy,
    cross_entropy_backward as cross_entropy_backward,
    gaussian_nll_loss as gaussian_nll_loss,
    gaussian_nll_loss_backward as gaussian_nll_loss_backward,
    huber_loss as huber_loss,
    huber_loss_backward as huber_loss_backward,
    kl_div as kl_div,
    kl_div_backward as kl_div_backward,
    l1_loss as l1_loss,
    l1_loss_backward as l1_loss_backward,
    mse_loss as mse_loss,
    mse_loss_backward as mse_loss_backward,
    nll_loss as nll_loss,
    nll_loss_backward as nll_loss_backward,
    poisson_nll_loss as poisson_nll_loss,
    poisson_nll_loss_backward as poisson_nll_loss_backward,
    smooth_l1_loss as smooth_l1_loss,
    smooth_l1_loss_backward as smooth_l1_loss_backward,
)
from .margin import (
    cosine_embedding_loss as cosine_embedding_loss,
    cosine_embedding_loss_backward as cosine_embedding_loss_backward,
    hinge_embedding_loss as hinge_embedding_loss,
    hinge_embedding_loss_backward as hinge_embedding_loss_backward,
    margin_ranking_loss as margin_ranking_loss,
    margin_ranking_loss_backward as margin_ranking_loss_backward,
    multi_margin_loss as multi_margin_loss,
    multi_margin_loss_backward as multi_margin_loss_backward,
    multilabel_margin_loss as multilabel_margin_loss,
    multilabel_margin_loss_backward as multilabel_margin_loss_backward,
    multilabel_soft_margin_loss as multilabel_soft_margin_loss,
    multilabel_soft_margin_loss_backward as multilabel_soft_margin_loss_backward,
    soft_margin_loss as soft_margin_loss,
    soft_margin_loss_backward as soft_margin_loss_backward,
    triplet_margin_loss as triplet_margin_loss,
    triplet_margin_loss_backward as triplet_margin_loss_backward,
)
from .elementwise import (
    add_ as add_,
    concatenate as concatenate,
    concatenate_backward as concatenate_backward,
    copy as copy,
    sum_to as sum_to,
)
from .matmul import (
    add as add,
    add_backward as add_backward,
    linear as linear,
    linear_backward as linear_backward,
    matmul as matmul,
    matmul_backward as matmul_backward,
    mean as mean,
    mean_backward as mean_backward,
    multiply as multiply,
    multiply_backward as multiply_backward,
    scale as scale,
    scale_backward as scale_backward,
    sum as sum,
    sum_backward as sum_backward,
)
from .norm import (
    batch_norm as batch_norm,
    batch_norm_backward as batch_norm_backward,
    group_norm as group_norm,
    group_norm_backward as group_norm_backward,
    instance_norm as instance_norm,
    instance_norm_backward as instance_norm_backward,
    layer_norm as layer_norm,
    layer_norm_backward as layer_norm_backward,
    local_response_norm as local_response_norm,
    local_response_norm_backward as local_response_norm_backward,
    rms_norm as rms_norm,
    rms_norm_backward as rms_norm_backward,
)
from .optimizer import (
    adagrad_step as adagrad_step,
    adam_step as adam_step,
    adamw_step as adamw_step,
    clip_grad_norm as clip_grad_norm,
    clip_grad_value as clip_grad_value,
    rmsprop_step as rmsprop_step,
    sgd_step as sgd_step,
    sparse_adam_step as sparse_adam_step,
)
from .pad import pad as pad
from .pad import pad_backward as pad_backward
from .pooling import (
    adaptive_avg_pool as adaptive_avg_pool,
    adaptive_avg_pool_backward as adaptive_avg_pool_backward,
    adaptive_max_pool as adaptive_max_pool,
    adaptive_max_pool_backward as adaptive_max_pool_backward,
    avg_pool as avg_pool,
    avg_pool_backward as avg_pool_backward,
    lp_pool as lp_pool,
    lp_pool_backward as lp_pool_backward,
    max_pool as max_pool,
    max_pool_backward as max_pool_backward,
    power as power,
    power_backward as power_backward,
)
from .recurrent import (
    gru as gru,
    gru_backward as gru_backward,
    last_step as last_step,
    last_step_backward as last_step_backward,
    lstm as lstm,
    lstm_backward as lstm_backward,
    rnn as rnn,
    rnn_backward as rnn_backward,
)
from .softmax import (
    log_softmax as log_softmax,
    log_softmax_backward as log_softmax_backward,
    softmax as softmax,
    softmax_backward as softmax_backward,
    softmin as softmin,
    softmin_backward as softmin_backward,
)
from .upsample import (
    upsample as upsample,
    upsample_backward as upsample_backward,
)
