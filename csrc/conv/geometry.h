/* geometry.h — how a convolution is cut up: blocks of output positions, chunks of channels, and where its patches are read from.
 * plan.c does it, for the kernels and for those who provide their scratch memory.
 *
 * A convolution is a product: row o of the result is the sum over k = (channel, tap) of weight[o, k] patch[k, position]. Positions are
 * counted along (image, depth, height, width); a block is a box of them, whole along the inner axes as far as it reaches.
 * patch[k, position] = x[channel, position step + tap dilation + origin], or 0 where that is outside of x. The input of a block is
 * copied to a buffer with its zeros around it, so that every patch is at start(position) + offset(k), and along the width
 * positions are neighbours: with a step above 1 a row is dealt to slots, one for the taps of each remainder of tap dilation by the step.
 * No element of the patch matrix is kept unless a block is packed (conv.h says when).
 *
 * `taps` are those that reach x at some position; callers leave out the others. */
#ifndef FNN_CONV_GEOMETRY_H
#define FNN_CONV_GEOMETRY_H

#include "../fnn.h"

enum { FNN_CONV_COLUMNS = 480, FNN_CONV_OVER = 16 };       /* the most positions in a block; rows and vectors of it are fewer. Patches are packed so many at a time */

/* What the argument structs of all convolution kernels have in common; kernels.def says what the fields are. */
typedef struct fnn_conv_shape {
    size_t batch, groups, rows, channels;
    size_t out[3], taps[3], x_size[3], step[3], dilation[3];
    ptrdiff_t origin[3];
    int transposed;         /* with a step of 2, all at once: out is half of the result, rounded up, origin that of the half which takes the even taps */
    size_t lag[3];          /* how much further than the even taps the odd ones read */
} fnn_conv_shape;

#define FNN_CONV_AXES(field) {a->field[0], a->field[1], a->field[2]}
#define FNN_CONV_SHAPE(a)                                                                                                     \
    {a->batch, a->groups, a->rows, a->channels, FNN_CONV_AXES(out), FNN_CONV_AXES(taps), FNN_CONV_AXES(x_size), FNN_CONV_AXES(step), \
     FNN_CONV_AXES(dilation), FNN_CONV_AXES(origin), 0, {1, 1, 1}}

/* Of a convolution that may be transposed. */
static inline fnn_conv_shape fnn_conv_shape_of(const fnn_conv_args *a)
{
    fnn_conv_shape s = FNN_CONV_SHAPE(a);
    s.transposed = a->step[1] == 2 && a->y_step[1] == 2;
    for (int i = 1; i < 3 && s.transposed; ++i)
        s.lag[i] = 1 - a->y_first[i];
    return s;
}

/* Where the patches of a block are. Strides are elements. */
typedef struct fnn_conv_view {
    size_t planes, rows, slots, width;      /* one channel of the buffer: planes x rows x slots x width */
    size_t keep[2];                         /* of the input's planes and rows, every so-manieth is there */
    ptrdiff_t image, channel, plane, row;
    int in_place;                           /* it is x itself */
} fnn_conv_view;

typedef struct fnn_conv_blocks {
    size_t extent[4], count[4], total;      /* images, depth, height, width: of the largest block; how many blocks; of all */
    size_t cols;                            /* positions in the largest */
} fnn_conv_blocks;

/* Whether a convolution writes all positions of its result. */
static inline int fnn_conv_is_dense(const fnn_conv_args *a) { return a->y_step[0] == 1 && a->y_step[1] == 1 && a->y_step[2] == 1; }

static inline size_t fnn_conv_ceil(size_t n, size_t d) { return n / d + (n % d != 0); }

/* n in pieces of at most `most`, as even as possible: the size of the largest. */
static inline size_t fnn_conv_even(size_t n, size_t most)
{
    return n <= most ? n : fnn_conv_ceil(n, fnn_conv_ceil(n, most));
}

static inline size_t fnn_conv_taps(const size_t *taps) { return taps[0] * taps[1] * taps[2]; }

/* Block number `index`: where it starts and how far it reaches. */
static inline void fnn_conv_block(const fnn_conv_blocks *b, size_t batch, const size_t *out, size_t index, size_t *start, size_t *extent)
{
    const size_t full[4] = {batch, out[0], out[1], out[2]};
    for (int axis = 3; axis >= 0; --axis) {
        start[axis] = index % b->count[axis] * b->extent[axis];
        extent[axis] = full[axis] - start[axis] < b->extent[axis] ? full[axis] - start[axis] : b->extent[axis];
        index /= b->count[axis];
    }
}

/* The input's coordinates along an axis that `extent` positions read. */
static inline size_t fnn_conv_reach(size_t extent, size_t step, size_t taps, size_t dilation)
{
    return taps ? (extent - 1) * step + (taps - 1) * dilation + 1 : 0;
}

/* After so many taps along the width their remainders by the step come again: tap t reads slot t % cycle. */
static inline size_t fnn_conv_cycle(const fnn_conv_shape *s)
{
    size_t a = s->step[2], b = s->dilation[2] % a;
    while (b) {
        const size_t rest = a % b;
        a = b, b = rest;
    }
    return s->step[2] / a;
}

/* Whether all that is read along every axis lies in x. */
static inline int fnn_conv_inside(const fnn_conv_shape *s)
{
    for (int axis = 0; axis < 3; ++axis)
        if (s->origin[axis] < 0 || (size_t)s->origin[axis] + fnn_conv_reach(s->out[axis], s->step[axis], s->taps[axis], s->dilation[axis]) > s->x_size[axis])
            return 0;
    return 1;
}

/* In x itself: from its first element to the first patch of a block. */
static inline ptrdiff_t fnn_conv_start(const fnn_conv_shape *s, const fnn_conv_view *v, const size_t *start)
{
    return (ptrdiff_t)start[0] * v->image + ((ptrdiff_t)(start[1] * s->step[0]) + s->origin[0]) * v->plane +
           ((ptrdiff_t)(start[2] * s->step[1]) + s->origin[1]) * v->row + (ptrdiff_t)(start[3] * s->step[2]) + s->origin[2];
}

static inline size_t fnn_conv_round(size_t elements) { return fnn_conv_ceil(elements, 16) * 16; }

/* How a product over patches goes. */
typedef struct fnn_conv_plan {
    fnn_conv_blocks blocks;
    fnn_conv_view view;
    size_t chunk, chunks;       /* channels at a time */
    size_t bunch, bunches;      /* groups at a time */
    size_t row_parts;           /* pieces that the rows are cut into, where there are fewer blocks than shares */
    int packed;                 /* the patches of a block are packed into the panels of a product */
    size_t terms, buffer, panels;       /* scratch per share, in elements: a number for every k of a chunk, of which there are two; for the input; for the panels */
} fnn_conv_plan;

static inline size_t fnn_conv_weights(const fnn_conv_weight_args *a)
{
    return a->groups * a->rows * a->channels * fnn_conv_taps(a->dw_taps);
}

enum { FNN_CONV_PIECES = 8, FNN_CONV_FEW_WEIGHTS = 16384 };

/* Into how many pieces the blocks of a gradient of few weights are cut: each has sums of its own, so that a share need not read all of x and dy. A function of the
 * shape and the dtype alone, since the order of the additions follows it. */
static inline size_t fnn_conv_weight_pieces(const fnn_conv_shape *s, size_t weights, size_t blocks)
{
    return s->groups != 1 || weights > FNN_CONV_FEW_WEIGHTS || blocks == 0 ? 1 : blocks < FNN_CONV_PIECES ? blocks : FNN_CONV_PIECES;
}

/* The first block of a piece: pieces with one block more are dealt evenly. */
static inline size_t fnn_conv_piece(size_t blocks, size_t piece, size_t pieces)
{
    return blocks / pieces * piece + blocks % pieces * piece / pieces;
}

/* The scratch of a share, in elements: `size`, and room for the weights of its pieces. */
static inline size_t fnn_conv_weight_room(size_t size, size_t weights, size_t pieces, size_t parts)
{
    return size + (pieces == 1 ? 0 : fnn_conv_ceil(pieces, parts) * fnn_conv_round(weights));
}

/* How the gradient of the weights goes. `blocks` is a function of the shape and the dtype alone, since the order of the additions follows it. */
typedef struct fnn_conv_weight_plan {
    fnn_conv_blocks blocks;
    size_t pieces;
    fnn_conv_view view;
    size_t rows, row_parts, columns, column_parts, channels;    /* of dw at a time; channels that so many columns can touch */
    size_t bunch, bunches;                                      /* groups at a time */
    int dots;                                                   /* few rows: weight_dots.h */
    size_t offsets, buffer, sums, panels, size;                 /* scratch per share, in elements */
} fnn_conv_weight_plan;

enum { FNN_CONV_DOTS = 7, FNN_CONV_WEIGHT_ROWS = 256 };     /* the most rows that go by dots, or in one piece */

fnn_conv_plan fnn_conv_make_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts);
fnn_conv_weight_plan fnn_conv_make_weight_plan(const fnn_conv_shape *s, size_t weights, size_t lanes, size_t size, size_t parts);

#endif
