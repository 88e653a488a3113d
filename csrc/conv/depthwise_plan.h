/* depthwise_plan.h — which convolutions go by depthwise.h, and the memory that they want. The kernels and plan.c both read it from here. */
#ifndef FNN_CONV_DEPTHWISE_PLAN_H
#define FNN_CONV_DEPTHWISE_PLAN_H

#include "geometry.h"

enum { FNN_DEPTHWISE_ROWS = 8 };        /* of the result at a time, at most */

/* Whether it is one for depthwise.h: which takes several rows of the result at a time. */
static inline int fnn_conv_is_depthwise(const fnn_conv_shape *s)
{
    return s->rows == 1 && s->channels == 1 && s->groups > 1 && s->taps[0] == 1 && s->out[0] == 1 && s->x_size[0] == 1 && s->origin[0] == 0 && s->out[1] >= 4 &&
           s->step[1] == s->step[2] && s->step[2] <= 2;
}

/* The rows of x that it can reach, and some that do not matter. */
static inline size_t fnn_depthwise_rows(const fnn_conv_shape *s) { return fnn_conv_reach(s->out[1] + FNN_DEPTHWISE_ROWS - 1, s->step[1], s->taps[1], s->dilation[1]); }

/* What the transposed convolution with step 2 reads, as if it were a convolution: s->origin is its padding. */
static inline fnn_conv_shape fnn_depthwise_reached(const fnn_conv_shape *s)
{
    fnn_conv_shape reached = *s;
    const ptrdiff_t lowest = s->origin[1] - (ptrdiff_t)s->taps[1] + 1;
    reached.origin[1] = lowest / 2 - (lowest % 2 < 0);
    reached.out[1] = fnn_conv_ceil(s->out[1], 2);
    reached.taps[1] = s->taps[1] + 1;
    reached.step[1] = reached.dilation[1] = 1;
    return reached;
}

/* Scratch memory per share, in elements: a row of zeros, and where those rows are; for the gradient of the weights sums, too. */
static inline size_t fnn_depthwise_scratch(const fnn_conv_shape *s, size_t size)
{
    return fnn_conv_round(s->x_size[2]) + fnn_conv_round(fnn_depthwise_rows(s) * sizeof(void *) / size);
}

static inline size_t fnn_depthwise_weight_scratch(const fnn_conv_shape *s, size_t size)
{
    return fnn_depthwise_scratch(s, size) + fnn_conv_round(s->taps[1] * s->taps[2] * (64 / size));
}

#endif
