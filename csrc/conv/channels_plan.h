/* channels_plan.h — how channels.h goes about a convolution, and whether it pays to. The kernel and scratch.c both read it from here. */
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

enum { FNN_CONV_CHANNELS_BYTES = 400000 };  /* of the input, which stays in L2 */

/* Vectors in a panel of weights: with tall tiles four, else two. */
#define FNN_CONV_CHANNELS_VECS(tile_rows) ((tile_rows) >= 8 ? 4 : 2)

/* What the panels of so many vectors hold. */
static inline size_t fnn_conv_channels_packed(const fnn_conv_shape *s, size_t lanes)
{
    return s->groups * s->channels * fnn_conv_taps(s->taps) * fnn_conv_ceil(s->rows, lanes) * lanes;
}

/* The bytes of a block's copied input. */
static inline double fnn_conv_channels_bytes(const fnn_conv_channels_plan *p, size_t size)
{
    return p->view.in_place ? 0 : (double)size * (double)p->blocks.extent[0] * (double)p->view.image;
}

static inline fnn_conv_channels_plan fnn_conv_make_channels_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts)
{
    fnn_conv_channels_plan p;
    const int in_place = fnn_conv_inside(s) && s->step[2] == 1;
    double least = -1;
    p.vectors = fnn_conv_ceil(s->rows, lanes);
    p.most = FNN_CONV_CHANNELS_VECS(tile_rows);
    const size_t panels = fnn_conv_ceil(p.vectors, p.most);
    for (size_t limit = FNN_CONV_COLUMNS; limit >= 2 * tile_rows; limit /= 2) {
        const fnn_conv_blocks blocks = fnn_conv_cut(s->batch, s->out, limit);
        const fnn_conv_view view = fnn_conv_make_view(s, &blocks, s->channels, in_place);
        const size_t panel_parts = fnn_conv_row_parts(blocks.total * s->groups, parts, panels);
        /* what the busiest share does for a step of k, in multiply-adds: those, copying the input, and reading the weights */
        const double units = (double)fnn_conv_ceil(blocks.total * s->groups * panel_parts, parts), vectors = (double)(fnn_conv_ceil(panels, panel_parts) * p.most);
        const double cost = units * ((double)blocks.cols * (vectors + 0.2) + 2 * vectors);
        if (least < 0 || fnn_conv_channels_bytes(&p, size) > FNN_CONV_CHANNELS_BYTES || (parts > 1 && cost < least))
            p.blocks = blocks, p.view = view, p.panel_parts = panel_parts, least = cost;
    }
    p.terms = fnn_conv_round(s->channels * fnn_conv_taps(s->taps) * sizeof(ptrdiff_t) / size + 1);
    p.buffer = fnn_conv_buffer(&p.view, &p.blocks, s->channels);
    p.sums = fnn_conv_round(p.blocks.cols * p.most * lanes);
    p.turned = lanes * fnn_conv_round(p.blocks.cols + lanes);
    p.size = p.terms + p.buffer + p.sums + p.turned;
    return p;
}

/* Whether it pays: where patches would be packed; with enough channels to fill vectors, sums so long that turning the results round costs little, and an input that
 * is small enough. Without taps, with tall tiles, if more is to be read than written, or many lanes of an image's last vector would be idle. */
static inline int fnn_conv_is_over_channels(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size)
{
    const size_t taps = fnn_conv_taps(s->taps), positions = s->out[0] * s->out[1] * s->out[2];
    const int idle = 100 * fnn_conv_ceil(positions, lanes) * lanes > 103 * positions;
    const int pays = taps > 1 || (FNN_CONV_CHANNELS_VECS(tile_rows) == 4 && (idle || s->channels >= 2 * s->rows));
    if (!pays || !fnn_conv_is_packed(s, lanes, tile_rows) || s->channels * taps < 100 || s->rows < 2 * lanes || 4 * s->rows < 3 * lanes * fnn_conv_ceil(s->rows, lanes))
        return 0;
    const fnn_conv_channels_plan p = fnn_conv_make_channels_plan(s, lanes, tile_rows, size, 1);
    return fnn_conv_channels_bytes(&p, size) <= FNN_CONV_CHANNELS_BYTES;
}

#endif
