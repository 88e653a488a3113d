/* winograd_plan.h — how the convolutions of winograd.h are cut up. */
#ifndef FNN_CONV_WINOGRAD_PLAN_H
#define FNN_CONV_WINOGRAD_PLAN_H

#include "geometry.h"

enum {
    FNN_WINOGRAD_TAPS = 3, FNN_WINOGRAD_SIDE = 4,       /* of a cell, and positions of a square, along an axis */
    FNN_WINOGRAD_POINTS = FNN_WINOGRAD_SIDE + FNN_WINOGRAD_TAPS - 1, FNN_WINOGRAD_PRODUCTS = FNN_WINOGRAD_POINTS * FNN_WINOGRAD_POINTS,
    FNN_WINOGRAD_HALVED = 81,                           /* products of 3 x 3 taps with a step of 2, of 36 weights, too: winograd_halved.h */
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
    size_t gather;                      /* and for a copy of that, lattice by lattice */
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

/* Whether winograd_halved.h's: cells would not pay. */
static inline int fnn_winograd_is_halved(const size_t *taps, const size_t *step)
{
    return taps[1] == 3 && taps[2] == 3 && step[1] == 2 && step[2] == 2;
}

/* How far the squares of these are apart in x. */
static inline size_t fnn_winograd_side(const fnn_conv_shape *s) { return FNN_WINOGRAD_SIDE * (s->transposed ? 1 : 2); }

static inline size_t fnn_winograd_cells(const size_t *taps, const size_t *step)
{
    return fnn_winograd_is_halved(taps, step) ? 1 : fnn_winograd_cells_along(taps[1], step[1]) * fnn_winograd_cells_along(taps[2], step[2]);
}

/* The first tap of a cell; the next is `step` further. */
static inline size_t fnn_winograd_tap(size_t taps, size_t step, size_t cell)
{
    const size_t first = fnn_winograd_phase_cells(taps, step, 0), phase = cell >= first;
    return phase + step * FNN_WINOGRAD_TAPS * (cell - phase * first);
}

/* The columns that the patches of so many cells of a square have more than it, and the groups of as many that they are in. */
static inline size_t fnn_winograd_over(size_t cells) { return cells * FNN_WINOGRAD_TAPS - 1; }

static inline size_t fnn_winograd_groups(size_t cells) { return cells == 1 ? 2 : 3; }

enum { FNN_WINOGRAD_DEPTH = 64, FNN_WINOGRAD_SQUARES = 96, FNN_WINOGRAD_FEW = 2 };    /* terms of a chain and squares of a block, at most; a few squares */

/* The convolution. */
typedef struct fnn_winograd_plan {
    fnn_winograd_blocks blocks;
    int turned, large, few;             /* few: with many weights of 3 x 3 taps in float32, up to FNN_WINOGRAD_FEW squares */
    size_t products;                    /* of a square */
    size_t depth;                       /* terms of a chain */
    size_t tile_rows, tiles, tile_parts;    /* at most in a tile; tiles of rows of the result at a time; pieces that they are cut into, where there are fewer blocks than shares */
    size_t v_step, m_step, sums, u, size;       /* scratch per share, in elements: from one product to the next; for turned sums; for weights; all */
} fnn_winograd_plan;

/* The gradient of its weights. `blocks` is a function of the shape and the dtype alone. */
typedef struct fnn_winograd_weight_plan {
    fnn_winograd_blocks blocks;
    size_t pieces;
    size_t rows, row_parts, channels, channel_parts;    /* of dw at a time */
    size_t turned, v_step, z_step, sums_step, size;     /* scratch per share, in elements: of a square's rows of dy; from one of the 36 matrices to the next; all */
} fnn_winograd_weight_plan;

int fnn_winograd_is_large(const fnn_conv_shape *s);
int fnn_conv_is_winograd(const fnn_conv_shape *s, int gradient);
int fnn_winograd_is_turned(const fnn_conv_shape *s, size_t lanes);
fnn_winograd_plan fnn_winograd_make_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts);
fnn_winograd_weight_plan fnn_winograd_make_weight_plan(const fnn_conv_shape *s, size_t weights, size_t lanes, size_t size, size_t parts);

#endif
