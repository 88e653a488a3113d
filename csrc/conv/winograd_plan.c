/* winograd_plan.c — which convolutions go by winograd.h, and how they are cut up. */
#include "winograd_plan.h"

/* The squares of a lattice along an axis. */
static size_t winograd_squares(const fnn_conv_shape *s, int axis)
{
    return fnn_conv_ceil(fnn_conv_ceil(s->out[axis], s->dilation[axis]), FNN_WINOGRAD_SIDE);
}

/* And of an image. */
static size_t winograd_image(const fnn_conv_shape *s)
{
    return winograd_squares(s, 1) * s->dilation[1] * winograd_squares(s, 2) * s->dilation[2];
}

/* Whether the transformed weights would be more than a good deal of L2: then they are made anew, some rows and a chain of channels at a time, from the weights as
 * they are. */
int fnn_winograd_is_large(const fnn_conv_shape *s) { return s->rows * s->channels * fnn_winograd_cells(s->taps, s->step) >= 32768; }

/* Whether it pays: with few channels the transforms cost what the multiplications save, too many positions of the squares may be outside, and a single square
 * does not save what packing weights costs, nor do fewer than there are cells of many weights. Of winograd_halved.h's the cost is counted: 90 for 81 products, which are
 * slower. The bits depend on it, hence it on neither batch nor threads. */
int fnn_conv_is_winograd(const fnn_conv_shape *s, int gradient)
{
    enum { MOST = FNN_WINOGRAD_TAPS * FNN_WINOGRAD_CELLS };
    if (s->taps[0] != 1 || s->out[0] != 1 || s->x_size[0] != 1 || s->origin[0] != 0)
        return 0;
    for (int i = 1; i < 3; ++i)
        if (s->taps[i] < FNN_WINOGRAD_TAPS || s->taps[i] > MOST || s->step[i] > 2 || (s->step[i] == 2 && s->dilation[i] != 1))
            return 0;
    const size_t taps = s->taps[1] * s->taps[2], cells = fnn_winograd_cells(s->taps, s->step), squares = winograd_image(s);
    if (fnn_winograd_is_halved(s->taps, s->step)) {
        const double products = (double)s->rows * (double)s->channels, transforms = 4 * (double)(s->rows + s->channels);     /* for each of 81 */
        const double direct = 9 * (double)s->out[1] * (double)s->out[2] * products;
        return !gradient && squares >= (fnn_winograd_is_large(s) ? 4 : 16) && 90 * (double)squares * (products + transforms) <= direct;
    }
    if (s->transposed)
        return 0;
    const int enough = cells == 1 ? s->rows >= 3 && s->channels >= 3 && s->rows * s->channels >= 48 : s->rows >= 8 && cells * s->channels >= 27;
    return enough && (gradient || squares >= (fnn_winograd_is_large(s) ? cells : 4)) &&
           9 * FNN_WINOGRAD_PRODUCTS * cells * squares <= 5 * taps * s->out[1] * s->out[2];
}

/* Whether there are so few squares that the products' vectors are better off along the rows: the sums are the same. */
int fnn_winograd_is_turned(const fnn_conv_shape *s, size_t lanes)
{
    return s->batch <= lanes && 4 * s->batch * winograd_image(s) <= 3 * lanes;
}

/* What the tiles of so many squares, which are few, cost, in vectors; they take three by three. */
static double winograd_cost(size_t squares, size_t lanes)
{
    const uint32_t vectors = ((uint32_t)squares + (uint32_t)lanes - 1) / (uint32_t)lanes;
    return (double)vectors + 0.4 * (double)((vectors + 2) / 3) + 0.3;
}

/* Into how many rows of `row` squares, at most `most` and more than half of that, `all` rows are best cut. */
static size_t winograd_rows(size_t row, size_t all, size_t most, size_t lanes)
{
    size_t best = most;
    double least = 0;
    for (size_t rows = most; rows > most / 2; --rows) {
        const double cost = (double)(all / rows) * winograd_cost(rows * row, lanes) + (all % rows ? winograd_cost(all % rows * row, lanes) : 0);
        if (rows == most || cost < least)
            best = rows, least = cost;
    }
    return best;
}

/* Blocks of at most `limit` squares, unless a row has more. lanes: those of vectors that are to be full, or 1: as many rows as there may be. */
static fnn_winograd_blocks winograd_cut(const fnn_conv_shape *s, size_t limit, size_t lanes, size_t size)
{
    fnn_winograd_blocks b;
    const size_t line = 64 / size;
    b.lattices = s->batch * s->dilation[1] * s->dilation[2];
    b.lattice_rows = winograd_squares(s, 1);
    b.row = winograd_squares(s, 2);
    b.cols = fnn_conv_even(b.row, limit);
    const size_t all = b.lattices * b.lattice_rows, fit = b.cols < b.row ? 1 : limit / b.row, most = all < fit ? all : fit;
    b.rows = lanes == 1 ? fnn_conv_even(all, most) : winograd_rows(b.row, all, most, lanes);
    b.row_blocks = fnn_conv_ceil(all, b.rows);
    b.col_blocks = fnn_conv_ceil(b.row, b.cols);
    b.squares = b.rows * b.cols;
    const size_t vectors = fnn_conv_ceil(b.squares, line);
    b.pitch = (vectors > 3 ? vectors | 1 : vectors) * line;     /* rows an odd number of cache lines apart, unless they are read from end to end */
    b.line = FNN_WINOGRAD_SIDE * (b.squares + line) + 3 * line;
    const size_t down = fnn_winograd_phase_cells(s->taps[1], s->step[1], 0), along = fnn_winograd_phase_cells(s->taps[2], s->step[2], 0);
    b.lines = fnn_winograd_groups(along) * FNN_WINOGRAD_POINTS * b.line;
    const size_t pieces = b.rows < b.rows / b.lattice_rows + 2 ? b.rows : b.rows / b.lattice_rows + 2, reach = FNN_WINOGRAD_SIDE * b.cols + fnn_winograd_over(along);
    b.gather = fnn_conv_round((FNN_WINOGRAD_SIDE * b.rows + pieces * fnn_winograd_over(down)) * reach + line);
    if (fnn_winograd_is_halved(s->taps, s->step)) {
        const size_t side = fnn_winograd_side(s);
        b.lines = 0, b.gather = fnn_conv_round((side * b.rows + pieces) * (side * b.cols + 1) + line);
    }
    return b;
}

/* What the busiest of the shares does, in vectors of the products: those of its blocks, or its part of their rows, and the patches, which each part transforms. */
static double winograd_busiest(const fnn_conv_shape *s, const fnn_winograd_blocks *b, size_t tile_parts, size_t lanes, size_t parts)
{
    const double vectors = winograd_cost(b->squares, lanes), weights = fnn_winograd_is_large(s) ? 0.6 : 0;
    const size_t units = fnn_conv_ceil(b->row_blocks * b->col_blocks * s->groups * tile_parts, parts);
    return (double)units * ((vectors + weights) / (double)tile_parts + vectors * 16 / (double)s->rows);
}

fnn_winograd_plan fnn_winograd_make_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts)
{
    fnn_winograd_plan p;
    p.turned = fnn_winograd_is_turned(s, lanes), p.large = fnn_winograd_is_large(s);
    if (p.turned)
        tile_rows = lanes;
    p.products = fnn_winograd_is_halved(s->taps, s->step) ? FNN_WINOGRAD_HALVED : FNN_WINOGRAD_PRODUCTS;
    const size_t cells = fnn_winograd_cells(s->taps, s->step), terms = cells * s->channels, tiles = fnn_conv_ceil(s->rows, tile_rows);
    size_t limit = 600000 / (p.products * size * terms), fewest = p.products == FNN_WINOGRAD_PRODUCTS ? 64 : 32;
    limit = limit < fewest ? fewest : limit > FNN_WINOGRAD_SQUARES ? FNN_WINOGRAD_SQUARES : limit;     /* a good half of L2, unless the weights were read over and over */
    p.depth = fnn_conv_even(p.large ? s->channels : terms, FNN_WINOGRAD_DEPTH);
    p.blocks = winograd_cut(s, limit, lanes, size);
    p.tile_parts = 1;
    double least = winograd_busiest(s, &p.blocks, 1, lanes, parts);
    for (size_t shared = parts < tiles ? parts : tiles; parts > 1 && limit >= lanes; limit -= limit < lanes ? limit : lanes) {
        const fnn_winograd_blocks blocks = winograd_cut(s, limit, lanes, size);
        for (size_t n = 1; n <= shared; n += shared > 1 ? shared - 1 : 1) {
            const double cost = winograd_busiest(s, &blocks, n, lanes, parts);
            if (cost < least)
                p.blocks = blocks, p.tile_parts = n, least = cost;
        }
    }
    p.few = p.turned && p.large && p.blocks.squares <= FNN_WINOGRAD_FEW && s->step[1] * cells == 1 && size == sizeof(float);
    p.tile_rows = tile_rows;
    const size_t made = cells * p.depth;     /* terms of weights that are made at a time */
    const size_t sums = tile_rows * size * p.products * p.blocks.pitch, weights = tile_rows * size * FNN_WINOGRAD_PRODUCTS * made;
    const size_t most = p.large && !p.few ? 450000 / (sums + weights) : 300000 / sums;
    p.tiles = fnn_conv_even(fnn_conv_ceil(tiles, p.tile_parts), most + 1);
    const size_t rows = p.tiles * tile_rows, vectors = fnn_conv_ceil(rows, lanes) * lanes;
    p.v_step = terms * p.blocks.pitch + 64 / size;
    p.m_step = rows * p.blocks.pitch + 64 / size;
    p.sums = p.turned ? p.products * p.blocks.squares * vectors : 0;
    p.u = !p.large ? 0 : p.few ? FNN_WINOGRAD_PRODUCTS * s->channels * p.blocks.squares : p.turned ? made * fnn_winograd_row(rows) : rows * fnn_winograd_row(made);
    p.size = FNN_WINOGRAD_SIDE * FNN_WINOGRAD_SIDE * p.blocks.pitch + p.blocks.lines + p.blocks.gather + p.products * (p.v_step + p.m_step) + p.sums + p.u;
    return p;
}

fnn_winograd_weight_plan fnn_winograd_make_weight_plan(const fnn_conv_shape *s, size_t weights, size_t lanes, size_t size, size_t parts)
{
    fnn_winograd_weight_plan p;
    const size_t line = 64 / size, taps = s->taps[1] * s->taps[2], cells = fnn_winograd_cells(s->taps, s->step);
    p.blocks = winograd_cut(s, 256 / size, 1, size);
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
