/* images_plan.h — how images.h goes about a batch of small images: in bundles of as many as a vector has lanes. Whether it pays to. The kernel and
 * scratch.c both read it from here. */
#ifndef FNN_CONV_IMAGES_PLAN_H
#define FNN_CONV_IMAGES_PLAN_H

#include "geometry.h"

typedef struct fnn_conv_images_plan {
    size_t bundles, deep;               /* all; at a time */
    size_t units, row_parts;            /* so many bundles at a time; pieces that the rows are cut into, where there are fewer of these than shares */
    size_t terms, x, y, size;           /* scratch per share, in elements: a number for every k, of which there are two; for a bundle of x and y; all */
} fnn_conv_images_plan;

enum { FNN_CONV_BUNDLE_BYTES = 800000, FNN_CONV_BOX_BYTES = 2000000 };   /* of x and y, to stay in L2; of the weights, which every box reads */

static inline double fnn_conv_bundle_bytes(const fnn_conv_shape *s, size_t lanes, size_t size)
{
    const double x = (double)s->channels * (double)s->x_size[0] * (double)s->x_size[1] * (double)s->x_size[2];
    return (x + (double)s->rows * (double)s->out[0] * (double)s->out[1] * (double)s->out[2]) * (double)(lanes * size);
}

static inline fnn_conv_images_plan fnn_conv_make_images_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts)
{
    fnn_conv_images_plan p;
    const size_t positions = s->out[0] * s->out[1] * s->out[2], tiles = fnn_conv_ceil(s->rows, tile_rows);
    p.bundles = fnn_conv_ceil(s->batch, lanes);
    p.deep = p.bundles;     /* as many as stay in L2: every box makes its tables once for all of them, and a few positions fill its tiles */
    while (p.deep > 1 && ((double)p.deep * fnn_conv_bundle_bytes(s, lanes, size) > FNN_CONV_BUNDLE_BYTES || fnn_conv_ceil(p.bundles, p.deep) * s->groups < parts))
        --p.deep;
    p.units = fnn_conv_ceil(p.bundles, p.deep);
    p.deep = fnn_conv_ceil(p.bundles, p.units);
    const size_t units = p.units * s->groups, enough = fnn_conv_ceil(parts, units ? units : 1);
    p.row_parts = enough < tiles ? enough : tiles ? tiles : 1;
    p.terms = fnn_conv_round(s->channels * fnn_conv_taps(s->taps) * sizeof(ptrdiff_t) / size + 1);
    p.x = fnn_conv_round(s->channels * s->x_size[0] * s->x_size[1] * s->x_size[2] * lanes);
    p.y = fnn_conv_round(s->rows * positions * lanes);
    p.size = 2 * p.terms + p.deep * (p.x + p.y);
    return p;
}

/* The share of the taps of all positions that reach x along an axis. */
static inline double fnn_conv_reaching(const fnn_conv_shape *s, int axis)
{
    size_t reaching = 0;
    for (size_t p = 0; p < s->out[axis]; ++p)
        for (size_t t = 0; t < s->taps[axis]; ++t) {
            const ptrdiff_t at = (ptrdiff_t)(p * s->step[axis] + t * s->dilation[axis]) + s->origin[axis];
            reaching += at >= 0 && at < (ptrdiff_t)s->x_size[axis];
        }
    return (double)reaching / (double)(s->out[axis] * s->taps[axis]);
}

/* Whether it pays; dense: the result has no other positions. What is saved is the packing of patches, where rows of positions do not fill vectors, and the taps that reach
 * nothing; what it costs is idle lanes, and turning the images there and back. Counted in multiply-adds for a vector of positions. */
static inline int fnn_conv_is_over_images(const fnn_conv_shape *s, int dense, size_t lanes, size_t size)
{
    const size_t taps = fnn_conv_taps(s->taps), positions = s->out[0] * s->out[1] * s->out[2];
    if (!dense || lanes == 1 || 4 * s->batch < 3 * lanes || !positions || !taps || fnn_conv_bundle_bytes(s, lanes, size) > FNN_CONV_BUNDLE_BYTES)
        return 0;
    const double k = (double)s->channels * (double)taps, rows = (double)s->rows;
    if (k * rows * (double)size > FNN_CONV_BOX_BYTES)
        return 0;
    const double use = (double)s->batch / (double)(fnn_conv_ceil(s->batch, lanes) * lanes);
    const double needed = fnn_conv_reaching(s, 0) * fnn_conv_reaching(s, 1) * fnn_conv_reaching(s, 2) / use;
    const double turned = rows + (double)(s->channels * s->x_size[0] * s->x_size[1] * s->x_size[2]) / (double)positions;
    return k * ((s->out[2] % lanes ? 6 : 0) + rows * (1 - needed)) > 10 * turned;
}

#endif
