/* channels_plan.h — how channels.h goes about a convolution. */
#ifndef FNN_CONV_CHANNELS_PLAN_H
#define FNN_CONV_CHANNELS_PLAN_H

#include "geometry.h"

typedef struct fnn_conv_channels_plan {
    fnn_conv_blocks blocks;
    fnn_conv_view view;                     /* of all channels */
    size_t vectors, most;                   /* of rows; in a panel of the weights, at most */
    size_t panel_parts;                     /* pieces that the panels are cut into, where there are fewer blocks than shares */
    size_t terms, buffer, sums, turned, size;   /* scratch per share, in elements: the offsets; the input; a panel's results; a vector of channels of these; all */
} fnn_conv_channels_plan;

/* Vectors in a panel of weights: with tall tiles four, else two. */
#define FNN_CONV_CHANNELS_VECS(tile_rows) ((tile_rows) >= 8 ? 4 : 2)

fnn_conv_channels_plan fnn_conv_make_channels_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts);

#endif
