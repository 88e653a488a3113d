/* winograd_plan.h — which convolutions go by winograd.h, and how they are cut up. The kernels and scratch.c both read it from here. */
#ifndef FNN_CONV_WINOGRAD_PLAN_H
#define FNN_CONV_WINOGRAD_PLAN_H

#include "geometry.h"

enum {
    FNN_WINOGRAD_TAPS = 3, FNN_WINOGRAD_SIDE = 4,       /* of a cell, and positions of a square, along an axis */
    FNN_WINOGRAD_POINTS = FNN_WINOGRAD_SIDE + FNN_WINOGRAD_TAPS - 1, FNN_WINOGRAD_PRODUCTS = FNN_WINOGRAD_POINTS * FNN_WINOGRAD_POINTS,
    FNN_WINOGRAD_CELLS = 3                              /* at most, along an axis */
};

/* Elements of a row's transformed weights for so many terms, product after product, or of a term's for so many rows: whole pages of them would share the sets of a
 * cache. */
static inline size_t fnn_winograd_row(size_t terms) { return FNN_WINOGRAD_PRODUCTS * terms + 16; }

/* How the squares of positions are cut into blocks. With a dilation d an image is as many lattices, of every d-th row and
 * column, as there are first ones; the squares are of neighbours in a lattice. Rows of squares run on over the lattices. */
typedef struct fnn_winograd_blocks {
    size_t lattices, lattice_rows, row; /* of all images; rows of squares in a lattice; squares in a row */
    size_t rows, cols, squares;         /* of the largest block */
    size_t row_blocks, col_blocks;      /* how many blocks */
    size_t pitch, line, lines;          /* scratch, in elements: for a block's squares; for their positions in a row; for what they read of a channel */
    size_t gather;                      /* and for the lattice's own rows and columns of it */
} fnn_winograd_blocks;

/* The cells along an axis that the taps phase, phase + step, ... have, and all taps. */
static inline size_t fnn_winograd_phase_cells(size_t taps, size_t step, size_t phase)
{
    return taps > phase ? fnn_conv_ceil(fnn_conv_ceil(taps - phase, step), FNN_WINOGRAD_TAPS) : 0;
}

static inline size_t fnn_winograd_cells_along(size_t taps, size_t step)
{
    return fnn_winograd_phase_cells(taps, step, 0) + (step == 1 ? 0 : fnn_winograd_phase_cells(taps, step, 1));
}

static inline size_t fnn_winograd_cells(const size_t *taps, const size_t *step)
{
    return fnn_winograd_cells_along(taps[1], step[1]) * fnn_winograd_cells_along(taps[2], step[2]);
}

/* The first tap of a cell; the next is `step` further. */
static inline size_t fnn_winograd_tap(size_t taps, size_t step, size_t cell)
{
    const size_t first = fnn_winograd_phase_cells(taps, step, 0), phase = cell >= first;
    return phase + step * FNN_WINOGRAD_TAPS * (cell - phase * first);
}

/* The squares of a lattice along an axis. */
static inline size_t fnn_winograd_squares(const fnn_conv_shape *s, int axis)
{
    return fnn_conv_ceil(fnn_conv_ceil(s->out[axis], s->dilation[axis]), FNN_WINOGRAD_SIDE);
}

/* And of an image. */
static inline size_t fnn_winograd_image(const fnn_conv_shape *s)
{
    return fnn_winograd_squares(s, 1) * s->dilation[1] * fnn_winograd_squares(s, 2) * s->dilation[2];
}

/* Whether the transformed weights would be more than a good deal of L2: then they are made anew, some rows and a chain of channels at a time, from the weights as
 * they are. */
static inline int fnn_winograd_is_large(const fnn_conv_shape *s) { return s->rows * s->channels * fnn_winograd_cells(s->taps, s->step) >= 32768; }

/* Whether it pays: with few channels the transforms cost what the multiplications save, too many positions of the squares may be outside, and a single square
 * does not save what packing weights costs, nor do fewer than there are cells of many weights. The bits depend on it, hence it on neither batch nor threads. */
static inline int fnn_conv_is_winograd(const fnn_conv_shape *s, int gradient)
{
    enum { MOST = FNN_WINOGRAD_TAPS * FNN_WINOGRAD_CELLS };
    if (s->taps[0] != 1 || s->out[0] != 1 || s->x_size[0] != 1 || s->origin[0] != 0)
        return 0;
    for (int i = 1; i < 3; ++i)
        if (s->taps[i] < FNN_WINOGRAD_TAPS || s->taps[i] > MOST || s->step[i] > 2 || (s->step[i] == 2 && s->dilation[i] != 1))
            return 0;
    const size_t taps = s->taps[1] * s->taps[2], cells = fnn_winograd_cells(s->taps, s->step), squares = fnn_winograd_image(s);
    const int enough = cells == 1 ? s->rows >= 3 && s->channels >= 3 && s->rows * s->channels >= 48 : s->rows >= 8 && cells * s->channels >= 27;
    return enough && (gradient || squares >= (fnn_winograd_is_large(s) ? cells : 4)) &&
           9 * FNN_WINOGRAD_PRODUCTS * cells * squares <= 5 * taps * s->out[1] * s->out[2];
}

/* Whether there are so few squares that the products' vectors are better off along the rows: the sums are the same. */
static inline int fnn_winograd_is_turned(const fnn_conv_shape *s, size_t lanes)
{
    return s->batch <= lanes && 4 * s->batch * fnn_winograd_image(s) <= 3 * lanes;
}

/* What the tiles of so many squares, which are few, cost, in vectors; they take three by three. */
static inline double fnn_winograd_cost(size_t squares, size_t lanes)
{
    const uint32_t vectors = ((uint32_t)squares + (uint32_t)lanes - 1) / (uint32_t)lanes;
    return (double)vectors + 0.4 * (double)((vectors + 2) / 3) + 0.3;
}

/* Into how many rows of `row` squares, at most `most` and more than half of that, `all` rows are best cut. */
static inline size_t fnn_winograd_rows(size_t row, size_t all, size_t most, size_t lanes)
{
    size_t best = most;
    double least = 0;
    for (size_t rows = most; rows > most / 2; --rows) {
        const double cost = (double)(all / rows) * fnn_winograd_cost(rows * row, lanes) + (all % rows ? fnn_winograd_cost(all % rows * row, lanes) : 0);
        if (rows == most || cost < least)
            best = rows, least = cost;
    }
    return best;
}

/* The columns that the patches of so many cells of a square have more than it, and the groups of as many that they are in. */
static inline size_t fnn_winograd_over(size_t cells) { return cells * FNN_WINOGRAD_TAPS - 1; }

static inline size_t fnn_winograd_groups(size_t cells) { return cells == 1 ? 2 : 3; }

/* Blocks of at most `limit` squares, unless a row has more. lanes: those of vectors that are to be full, or 1: as many rows as there may be. */
static inline fnn_winograd_blocks fnn_winograd_cut(const fnn_conv_shape *s, size_t limit, size_t lanes, size_t size)
{
    fnn_winograd_blocks b;
    const size_t line = 64 / size;
    b.lattices = s->batch * s->dilation[1] * s->dilation[2];
    b.lattice_rows = fnn_winograd_squares(s, 1);
    b.row = fnn_winograd_squares(s, 2);
    b.cols = fnn_conv_even(b.row, limit);
    const size_t all = b.lattices * b.lattice_rows, fit = b.cols < b.row ? 1 : limit / b.row, most = all < fit ? all : fit;
    b.rows = lanes == 1 ? fnn_conv_even(all, most) : fnn_winograd_rows(b.row, all, most, lanes);
    b.row_blocks = fnn_conv_ceil(all, b.rows);
    b.col_blocks = fnn_conv_ceil(b.row, b.cols);
    b.squares = b.rows * b.cols;
    b.pitch = (fnn_conv_ceil(b.squares, line) | 1) * line;       /* rows an odd number of cache lines apart */
    b.line = FNN_WINOGRAD_SIDE * (b.squares + line) + 3 * line;
    const size_t down = fnn_winograd_phase_cells(s->taps[1], s->step[1], 0), along = fnn_winograd_phase_cells(s->taps[2], s->step[2], 0);
    b.lines = fnn_winograd_groups(along) * FNN_WINOGRAD_POINTS * b.line;
    const size_t pieces = b.rows < b.rows / b.lattice_rows + 2 ? b.rows : b.rows / b.lattice_rows + 2, reach = FNN_WINOGRAD_SIDE * b.cols + fnn_winograd_over(along);
    b.gather = s->dilation[2] * s->step[2] == 1 ? 0 : fnn_conv_round((FNN_WINOGRAD_SIDE * b.rows + pieces * fnn_winograd_over(down)) * reach + line);
    return b;
}

enum { FNN_WINOGRAD_DEPTH = 64, FNN_WINOGRAD_SQUARES = 96, FNN_WINOGRAD_FEW = 2 };    /* terms of a chain and squares of a block, at most; a few squares */

/* The convolution. */
typedef struct fnn_winograd_plan {
    fnn_winograd_blocks blocks;
    int turned, large, few;             /* few: with many weights of 3 x 3 taps in float32, up to FNN_WINOGRAD_FEW squares */
    size_t depth;                       /* terms of a chain */
    size_t tile_rows, tiles, tile_parts;    /* at most in a tile; tiles of rows of the result at a time; pieces that they are cut into, where there are fewer blocks than shares */
    size_t v_step, m_step, sums, u, size;       /* scratch per share, in elements: from one of the 36 matrices to the next; for turned sums; for weights; all */
} fnn_winograd_plan;

/* What the busiest of the shares does, in vectors of the products: those of its blocks, or its part of their rows, and the patches, which each part transforms. */
static inline double fnn_winograd_busiest(const fnn_conv_shape *s, const fnn_winograd_blocks *b, size_t tile_parts, size_t lanes, size_t parts)
{
    const double vectors = fnn_winograd_cost(b->squares, lanes), weights = fnn_winograd_is_large(s) ? 0.6 : 0;
    const size_t units = fnn_conv_ceil(b->row_blocks * b->col_blocks * s->groups * tile_parts, parts);
    return (double)units * ((vectors + weights) / (double)tile_parts + vectors * 16 / (double)s->rows);
}

static inline fnn_winograd_plan fnn_winograd_make_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts)
{
    fnn_winograd_plan p;
    p.turned = fnn_winograd_is_turned(s, lanes), p.large = fnn_winograd_is_large(s);
    if (p.turned)
        tile_rows = lanes;
    const size_t cells = fnn_winograd_cells(s->taps, s->step), terms = cells * s->channels, square = FNN_WINOGRAD_PRODUCTS * size * terms, tiles = fnn_conv_ceil(s->rows, tile_rows);
    size_t limit = 600000 / square;     /* a good half of L2, unless that is so few that the weights were read over and over */
    limit = limit > FNN_WINOGRAD_SQUARES ? FNN_WINOGRAD_SQUARES : limit < 64 ? 64 : limit;
    p.depth = fnn_conv_even(p.large ? s->channels : terms, FNN_WINOGRAD_DEPTH);
    p.blocks = fnn_winograd_cut(s, limit, lanes, size);
    p.tile_parts = 1;
    double least = fnn_winograd_busiest(s, &p.blocks, 1, lanes, parts);
    for (size_t shared = parts < tiles ? parts : tiles; parts > 1 && limit >= lanes; limit -= limit < lanes ? limit : lanes) {
        const fnn_winograd_blocks blocks = fnn_winograd_cut(s, limit, lanes, size);
        for (size_t n = 1; n <= shared; n += shared > 1 ? shared - 1 : 1) {
            const double cost = fnn_winograd_busiest(s, &blocks, n, lanes, parts);
            if (cost < least)
                p.blocks = blocks, p.tile_parts = n, least = cost;
        }
    }
    p.few = p.turned && p.large && p.blocks.squares <= FNN_WINOGRAD_FEW && cells == 1 && size == sizeof(float);
    p.tile_rows = tile_rows;
    const size_t tile = FNN_WINOGRAD_PRODUCTS * size * tile_rows, made = cells * p.depth;     /* terms of weights that are made at a time */
    const size_t most = p.large && !p.few ? 450000 / (tile * (p.blocks.pitch + made)) : 300000 / (tile * p.blocks.pitch);
    p.tiles = fnn_conv_even(fnn_conv_ceil(tiles, p.tile_parts), most + 1);
    const size_t rows = p.tiles * tile_rows, vectors = fnn_conv_ceil(rows, lanes) * lanes;
    p.v_step = terms * p.blocks.pitch + 64 / size;
    p.m_step = rows * p.blocks.pitch + 64 / size;
    p.sums = p.turned ? FNN_WINOGRAD_PRODUCTS * p.blocks.squares * vectors : 0;
    p.u = !p.large ? 0 : p.few ? FNN_WINOGRAD_PRODUCTS * s->channels * p.blocks.squares : p.turned ? made * fnn_winograd_row(rows) : rows * fnn_winograd_row(made);
    p.size = FNN_WINOGRAD_SIDE * FNN_WINOGRAD_SIDE * p.blocks.pitch + p.blocks.lines + p.blocks.gather + FNN_WINOGRAD_PRODUCTS * (p.v_step + p.m_step) + p.sums + p.u;
    return p;
}

/* The gradient of its weights. `blocks` is a function of the shape and the dtype alone. */
typedef struct fnn_winograd_weight_plan {
    fnn_winograd_blocks blocks;
    size_t pieces;
    size_t rows, row_parts, channels, channel_parts;    /* of dw at a time */
    size_t turned, v_step, z_step, sums_step, size;     /* scratch per share, in elements: of a square's rows of dy; from one of the 36 matrices to the next; all */
} fnn_winograd_weight_plan;

static inline fnn_winograd_weight_plan fnn_winograd_make_weight_plan(const fnn_conv_shape *s, size_t weights, size_t lanes, size_t size, size_t parts)
{
    fnn_winograd_weight_plan p;
    const size_t line = 64 / size, taps = s->taps[1] * s->taps[2], cells = fnn_winograd_cells(s->taps, s->step);
    p.blocks = fnn_winograd_cut(s, 256 / size, 1, size);
    p.pieces = fnn_conv_weight_pieces(s, weights, p.blocks.row_blocks * p.blocks.col_blocks);
    if (p.pieces > 1)
        parts = 1;
    const size_t vectors = fnn_conv_ceil(s->rows, lanes), fewest = fnn_conv_ceil(parts, s->groups ? s->groups : 1);
    const int by_rows = vectors >= fewest && 5 * cells * s->channels < 2 * s->rows;     /* a share transforms all rows, or all channels, again */
    p.rows = fnn_conv_even(by_rows ? fnn_conv_ceil(vectors, fewest) : vectors, fnn_conv_ceil(128, lanes)) * lanes;
    p.row_parts = fnn_conv_ceil(s->rows, p.rows);
    p.channels = fnn_conv_even(s->channels, fnn_conv_ceil(64, cells));
    const size_t units = s->groups * p.row_parts, most = fnn_conv_ceil(s->channels, fnn_conv_ceil(parts, units ? units : 1));
    p.channels = p.channels < most ? p.channels : most;
    p.channel_parts = fnn_conv_ceil(s->channels, p.channels);
    p.turned = FNN_WINOGRAD_SIDE * s->out[2] * lanes;
    p.v_step = cells * p.channels * p.blocks.pitch + line;
    if (FNN_WINOGRAD_PRODUCTS * p.v_step < taps * p.channels * p.rows)      /* in the end they give room to the weights */
        p.v_step = fnn_conv_round(fnn_conv_ceil(taps * p.channels * p.rows, FNN_WINOGRAD_PRODUCTS));
    p.z_step = p.rows * p.blocks.squares + line;
    p.sums_step = cells * p.channels * p.rows + line;
    p.size = fnn_conv_round(p.turned) + p.blocks.lines + p.blocks.gather + FNN_WINOGRAD_PRODUCTS * (p.v_step + p.z_step + p.sums_step);
    return p;
}

#endif
