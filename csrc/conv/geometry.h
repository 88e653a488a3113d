/* geometry.h — how a convolution is cut up: blocks of output positions, chunks of channels, and where its patches are read from.
 * The kernels and the functions that say how much scratch memory they need both read it from here, so they agree.
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
} fnn_conv_shape;

#define FNN_CONV_AXES(field) {a->field[0], a->field[1], a->field[2]}
#define FNN_CONV_SHAPE(a)                                                                                                     \
    {a->batch, a->groups, a->rows, a->channels, FNN_CONV_AXES(out), FNN_CONV_AXES(taps), FNN_CONV_AXES(x_size), FNN_CONV_AXES(step), \
     FNN_CONV_AXES(dilation), FNN_CONV_AXES(origin)}

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

static inline fnn_conv_blocks fnn_conv_cut(size_t batch, const size_t *out, size_t limit)
{
    const size_t full[4] = {batch, out[0], out[1], out[2]};
    fnn_conv_blocks b = {{1, 1, 1, 1}, {1, 1, 1, 1}, 1, 1};
    for (int axis = 3; axis >= 0; --axis) {
        b.extent[axis] = fnn_conv_even(full[axis], limit > b.cols ? limit / b.cols : 1);
        b.extent[axis] += full[axis] == 0;
        b.count[axis] = fnn_conv_ceil(full[axis], b.extent[axis]);
        b.cols *= b.extent[axis];
        b.total *= b.count[axis];
        if (b.extent[axis] < full[axis])
            limit = 0;
    }
    return b;
}

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

/* The view of the largest block; `channels` at a time. */
static inline fnn_conv_view fnn_conv_make_view(const fnn_conv_shape *s, const fnn_conv_blocks *b, size_t channels, int in_place)
{
    fnn_conv_view v = {0, 0, 1, 0, {1, 1}, 0, 0, 0, 0, in_place};
    if (in_place) {
        v.row = (ptrdiff_t)s->x_size[2];
        v.plane = (ptrdiff_t)(s->x_size[1] * s->x_size[2]);
        v.channel = (ptrdiff_t)(s->x_size[0] * s->x_size[1] * s->x_size[2]);
        v.image = v.channel * (ptrdiff_t)(s->groups * s->channels);
        return v;
    }
    for (int axis = 0; axis < 2; ++axis)
        if (s->taps[axis] == 1)
            v.keep[axis] = s->step[axis];
    v.planes = fnn_conv_ceil(fnn_conv_reach(b->extent[1], s->step[0], s->taps[0], s->dilation[0]), v.keep[0]);
    v.rows = fnn_conv_ceil(fnn_conv_reach(b->extent[2], s->step[1], s->taps[1], s->dilation[1]), v.keep[1]);
    const size_t cycle = fnn_conv_cycle(s);
    v.slots = cycle < s->taps[2] ? cycle : s->taps[2];
    v.width = s->taps[2] ? b->extent[3] + (s->taps[2] - 1) / cycle * (cycle * s->dilation[2] / s->step[2]) : 0;
    v.row = (ptrdiff_t)(v.slots * v.width);
    v.plane = (ptrdiff_t)v.rows * v.row;
    v.channel = (ptrdiff_t)v.planes * v.plane;
    v.image = (ptrdiff_t)channels * v.channel;
    return v;
}

/* In x itself: from its first element to the first patch of a block. */
static inline ptrdiff_t fnn_conv_start(const fnn_conv_shape *s, const fnn_conv_view *v, const size_t *start)
{
    return (ptrdiff_t)start[0] * v->image + ((ptrdiff_t)(start[1] * s->step[0]) + s->origin[0]) * v->plane +
           ((ptrdiff_t)(start[2] * s->step[1]) + s->origin[1]) * v->row + (ptrdiff_t)(start[3] * s->step[2]) + s->origin[2];
}

static inline size_t fnn_conv_round(size_t elements) { return fnn_conv_ceil(elements, 16) * 16; }

/* The elements of a buffer for `channels` channels, with room to read a vector too far. */
static inline size_t fnn_conv_buffer(const fnn_conv_view *v, const fnn_conv_blocks *b, size_t channels)
{
    return v->in_place ? 0 : fnn_conv_round(b->extent[0] * channels * v->planes * v->rows * v->slots * v->width + 64);
}

/* How many groups to take at a time, so that they share what a block costs once: as many as keep the buffer in L1 and leave all shares work.
 * view: of one group; units: blocks of a group. */
static inline size_t fnn_conv_bunch(const fnn_conv_shape *s, const fnn_conv_view *v, const fnn_conv_blocks *b, size_t size, size_t units, size_t parts)
{
    const size_t bytes = size * b->extent[0] * (size_t)v->image, fits = bytes ? 20000 / bytes : 0, enough = s->groups * units / (4 * parts);
    const size_t bunch = fits < enough ? fits : enough;
    return v->in_place || bunch <= 1 ? 1 : fnn_conv_even(s->groups, bunch);
}

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

/* The pieces that `tiles` of rows are cut into, where there are fewer units than shares. */
static inline size_t fnn_conv_row_parts(size_t units, size_t parts, size_t tiles)
{
    const size_t wanted = units == 0 || units % parts == 0 ? 1 : units < parts ? fnn_conv_ceil(parts, units) : units < 4 * parts ? parts : 1;
    return wanted < tiles ? wanted : tiles ? tiles : 1;
}

/* What the busiest of the shares does for a step of k, in multiply-adds for a vector: those, the packing of patches, which each part of the rows does for
 * itself, and the reading of the weights, which every block does. width: of rows that begin a vector each; 0: there are none. */
static inline double fnn_conv_cost(const fnn_conv_shape *s, const fnn_conv_blocks *b, size_t row_parts, size_t width, size_t lanes, size_t tile_rows, size_t parts)
{
    const size_t vectors = width ? b->cols / b->extent[3] * fnn_conv_ceil(b->extent[3], lanes) : fnn_conv_ceil(b->cols, lanes);
    const size_t tiles = fnn_conv_ceil(fnn_conv_ceil(s->rows, tile_rows), row_parts), rows = tiles * tile_rows < s->rows ? tiles * tile_rows : s->rows;
    const size_t units = fnn_conv_ceil(b->total * s->groups * row_parts, parts);
    return (double)units * ((double)vectors * (double)(rows + 8) + 0.5 * (double)rows);
}

/* Whether the patches of a block are packed first. Vectors along the width read patches where they are, unless so many of their lanes would be idle that it
 * is cheaper to pack: two instructions for each vector, and some for each row. Packed are also the planes of a product without taps, which are too far
 * apart to be read many times. */
static inline int fnn_conv_is_packed(const fnn_conv_shape *s, size_t lanes, size_t tile_rows)
{
    const size_t width = s->out[2] ? s->out[2] : 1;
    const double use = (double)width / (double)(fnn_conv_ceil(width, lanes) * lanes), work = 0.5 * (double)s->rows;
    const int far = fnn_conv_inside(s) && s->step[2] == 1 && fnn_conv_taps(s->taps) == 1 && s->rows >= 4 * tile_rows;
    return lanes > 1 && (far || work / use > work + 2 + 2 * (double)lanes / (double)width);
}

/* lanes, rows: of the instruction set's tiles; size: of an element. */
static inline fnn_conv_plan fnn_conv_make_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts)
{
    fnn_conv_plan p;
    const size_t taps = fnn_conv_taps(s->taps), width = s->out[2] ? s->out[2] : 1;
    const int inside = fnn_conv_inside(s) && s->step[2] == 1;
    p.packed = fnn_conv_is_packed(s, lanes, tile_rows);
    const size_t most = p.packed ? 640 : 320;     /* k */
    p.chunk = fnn_conv_even(s->channels, taps < most ? most / (taps ? taps : 1) : 1);
    p.chunks = p.chunk ? fnn_conv_ceil(s->channels, p.chunk) : 1;
    const size_t k = p.chunk * taps, fits = 600000 / (size * (k ? k : 1));
    size_t limit = !p.packed || fits > FNN_CONV_COLUMNS ? FNN_CONV_COLUMNS : fits < 4 * lanes ? 4 * lanes : fits;
    if (limit > FNN_CONV_COLUMNS)
        limit = FNN_CONV_COLUMNS;
    double least = 0;
    for (int first = 1; first || (parts > 1 && limit >= 4 * lanes); limit /= 2, first = 0) {
        const fnn_conv_blocks blocks = fnn_conv_cut(s->batch, s->out, limit);
        const size_t row_parts = fnn_conv_row_parts(blocks.total * s->groups, parts, fnn_conv_ceil(s->rows, tile_rows));
        const double cost = fnn_conv_cost(s, &blocks, row_parts, p.packed ? 0 : width, lanes, tile_rows, parts);
        if (first || cost < least)
            p.blocks = blocks, p.row_parts = row_parts, least = cost;
    }
    p.view = fnn_conv_make_view(s, &p.blocks, p.chunk, inside && (p.packed || width % lanes == 0));
    p.bunch = p.packed || p.chunks > 1 ? 1 : fnn_conv_bunch(s, &p.view, &p.blocks, size, p.blocks.total, parts);
    p.bunches = fnn_conv_ceil(s->groups, p.bunch);
    p.view = fnn_conv_make_view(s, &p.blocks, p.bunch * p.chunk, p.view.in_place);
    p.terms = fnn_conv_round(k * sizeof(ptrdiff_t) / size + 1);
    p.buffer = fnn_conv_buffer(&p.view, &p.blocks, p.bunch * p.chunk);
    p.panels = p.packed ? fnn_conv_round(k * fnn_conv_ceil(p.blocks.cols, lanes) * lanes + 64) : 0;
    return p;
}

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

static inline fnn_conv_weight_plan fnn_conv_make_weight_plan(const fnn_conv_shape *s, size_t weights, size_t lanes, size_t size, size_t parts)
{
    fnn_conv_weight_plan p;
    const size_t line = 64 / size, taps = fnn_conv_taps(s->taps), k = s->channels * taps;
    p.dots = s->rows <= FNN_CONV_DOTS;
    p.blocks = fnn_conv_cut(s->batch, s->out, 20 * line);
    p.pieces = fnn_conv_weight_pieces(s, weights, p.blocks.total);
    if (p.pieces > 1)
        parts = 1;
    const size_t vectors = fnn_conv_ceil(s->rows, lanes), fewest = fnn_conv_ceil(parts, s->groups ? s->groups : 1);
    const int by_rows = !p.dots && 2 * s->rows > k && vectors >= fewest;   /* each share reads all of x, or else all of dy */
    p.rows = p.dots ? s->rows : fnn_conv_even(by_rows ? fnn_conv_ceil(vectors, fewest) : vectors, FNN_CONV_WEIGHT_ROWS / lanes) * lanes;
    p.rows = p.rows < s->rows ? p.rows : s->rows;
    p.columns = fnn_conv_even(k, p.dots ? 72 : 576);
    if (!by_rows && fewest > 1 && p.columns > fnn_conv_ceil(k, fewest))
        p.columns = fnn_conv_ceil(k, fewest);
    p.row_parts = p.rows ? fnn_conv_ceil(s->rows, p.rows) : 0;
    p.column_parts = p.columns ? fnn_conv_ceil(k, p.columns) : 0;
    p.channels = taps ? fnn_conv_ceil(p.columns + taps - 1, taps) : 0;
    p.channels = p.channels < s->channels ? p.channels : s->channels;
    p.view = fnn_conv_make_view(s, &p.blocks, p.channels, !p.dots && fnn_conv_inside(s) && s->step[2] == 1);
    p.bunch = p.dots && p.column_parts == 1 ? fnn_conv_bunch(s, &p.view, &p.blocks, size, 1, parts) : 1;
    p.bunches = fnn_conv_ceil(s->groups, p.bunch);
    p.view = fnn_conv_make_view(s, &p.blocks, p.bunch * p.channels, p.view.in_place);
    p.offsets = fnn_conv_round((p.columns + 2 * taps) * sizeof(ptrdiff_t) / size + 1);
    p.buffer = fnn_conv_buffer(&p.view, &p.blocks, p.bunch * p.channels);
    p.sums = fnn_conv_round(p.bunch * p.columns * (p.dots ? p.rows * line : fnn_conv_ceil(p.rows, lanes) * lanes));
    p.panels = p.dots ? 0 : fnn_conv_round(fnn_conv_ceil(p.rows, lanes) * lanes * p.blocks.cols + 64);
    p.size = p.offsets + p.buffer + p.sums + p.panels;
    return p;
}

#endif
