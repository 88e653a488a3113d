/* winograd.h — 3 x 3 convolutions with fewer multiplications: F(2 x 2, 3 x 3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks"
 * (2015), after Winograd.
 *
 * The result is cut into squares of 2 x 2, each of which reads a patch d of 4 x 4. With g the weights of a channel,
 *
 *     y = A^T [sum over channels of (G g G^T) . (B^T d B)] A        where . multiplies element by element:
 *
 *           1  0 -1  0           1    0    0
 *     B^T = 0  1  1  0     G =  1/2  1/2  1/2     A^T = 1  1  1  0
 *           0 -1  1  0          1/2 -1/2  1/2           0  1 -1 -1
 *           0  1  0 -1           0    0    1
 *
 * 16 multiplications in place of 36. Element (a, b) of the 4 x 4 is a product of matrices of its own, [rows x channels] [channels x squares],
 * with its sums as gemm/gemm.h's chains; the transforms are a few additions. The sums are nine times as short as the direct ones, and the rounding
 * errors 0.6 to 0.8 times as large; but an infinity or a NaN in x reaches all of the four results of the squares whose patches have it.
 * With a dilation d, the positions of every d-th row and column are convolved by themselves: an image is d x d lattices.
 * Vectors run over squares, in the order (image, lattice, row, column). Loops (fnn_winograd_plan has the sizes):
 *   groups, blocks of squares, parts of the rows              a share has a range of these
 *     channels                                               transform the block's patches; they stay in L2
 *     a few tiles of rows
 *       the 16 products                                      gemm/tile.h
 *       rows                                                 transform back, bias, activation */

/* A block's squares in one lattice of an image, of which it has the positions first + dilation (row, column): rows of squares [row, row + rows), columns
 * [col, col + cols). */
typedef struct winograd_piece {
    size_t image, first[2], row, rows, col, cols;
} winograd_piece;

/* A block: rows of squares [row, end), counted over all lattices, and columns. */
typedef struct winograd_block {
    size_t row, end, col, cols;
} winograd_block;

FNN_INLINE winograd_block winograd_block_of(const fnn_winograd_blocks *b, size_t index)
{
    const size_t row = index / b->col_blocks * b->rows, col = index % b->col_blocks * b->cols, left = b->lattices * b->lattice_rows - row;
    return (winograd_block){row, row + (left < b->rows ? left : b->rows), col, b->row - col < b->cols ? b->row - col : b->cols};
}

/* Its piece from row `row` on. */
FNN_INLINE winograd_piece winograd_piece_of(const fnn_conv_shape *s, const fnn_winograd_blocks *b, const winograd_block *block, size_t row)
{
    const size_t lattice = row / b->lattice_rows, first = row % b->lattice_rows, left = b->lattice_rows - first, down = s->dilation[1], along = s->dilation[2];
    return (winograd_piece){lattice / along / down, {lattice / along % down, lattice % along}, first, block->end - row < left ? block->end - row : left,
                            block->col, block->cols};
}

/* The positions of a piece's lattice along an axis from its square `square` on. */
FNN_INLINE size_t winograd_left(const fnn_conv_shape *s, const winograd_piece *p, int axis, size_t square)
{
    const size_t first = p->first[axis - 1] + 2 * square * s->dilation[axis];
    return first < s->out[axis] ? fnn_conv_ceil(s->out[axis] - first, s->dilation[axis]) : 0;
}

/* B^T d B of n neighbouring squares to v + (4 a + b) step. slot[a % 2][b] has the patches' elements (a, b) for a < 2; those of a + 2 are `below` further.
 * May write up to a vector too far. */
static void winograd_input(T *v, size_t step, T *const slot[2][4], size_t below, size_t n)
{
    for (size_t j = 0; j < n; j += W) {
        V t[4][4];
        TILE_UNROLL for (int b = 0; b < 4; ++b) {
            const T *even = slot[0][b] + j, *odd = slot[1][b] + j;
            const V d0 = v_load(even), d1 = v_load(odd), d2 = v_load(even + below), d3 = v_load(odd + below);
            t[0][b] = v_sub(d0, d2), t[1][b] = v_add(d1, d2), t[2][b] = v_sub(d2, d1), t[3][b] = v_sub(d1, d3);
        }
        TILE_UNROLL for (int a = 0; a < 4; ++a) {
            T *to = v + 4 * (size_t)a * step + j;
            v_store(to, v_sub(t[a][0], t[a][2]));
            v_store(to + step, v_add(t[a][1], t[a][2]));
            v_store(to + 2 * step, v_sub(t[a][2], t[a][1]));
            v_store(to + 3 * step, v_sub(t[a][1], t[a][3]));
        }
    }
}

/* Elements of p[0 .. W) that are columns of x, if p is where column `at` would be. */
typedef struct winograd_span {
    size_t first, end;
} winograd_span;

FNN_INLINE winograd_span winograd_columns(ptrdiff_t at, ptrdiff_t width)
{
    const ptrdiff_t first = -at, end = width - at;
    return (winograd_span){first < 0 ? 0 : first < W ? (size_t)first : W, end < 0 ? 0 : end < W ? (size_t)end : W};
}

/* Every down-th row and along-th column of an image. */
typedef struct winograd_lattice {
    ptrdiff_t height, width, down, along;
} winograd_lattice;

/* Of a piece's x along an axis: where the first row or column of its lattice is, how many there are, and which the first square reads first. */
FNN_INLINE size_t winograd_axis(const fnn_conv_shape *s, const winograd_piece *p, int axis, size_t square, ptrdiff_t *size, ptrdiff_t *first)
{
    const ptrdiff_t dilation = (ptrdiff_t)s->dilation[axis], at = (ptrdiff_t)p->first[axis - 1] + s->origin[axis];
    const ptrdiff_t before = at / dilation - (at % dilation < 0), begin = at - before * dilation, end = (ptrdiff_t)s->x_size[axis];
    *size = begin < end ? (end - begin + dilation - 1) / dilation : 0;
    *first = before + (ptrdiff_t)(2 * square);
    return (size_t)begin;
}

/* What a piece reads of one channel: rows of x's lattice from `row` on and columns from `left` on, with zeros outside, every second element to
 * a slot. May write a vector too far. Prefetches `ahead` elements further. */
static void winograd_slots(T *const slot[2][4], const T *x, const winograd_lattice *l, ptrdiff_t row, ptrdiff_t left, size_t rows, size_t cols, size_t ahead)
{
    for (size_t j = 0; j < cols; j += W, left += 2 * W) {
        const winograd_span s0 = winograd_columns(left, l->width), s1 = winograd_columns(left + W, l->width), s2 = winograd_columns(left + 2, l->width),
                            s3 = winograd_columns(left + W + 2, l->width);
        const ptrdiff_t begin = left < 0 ? -left : 0, end = l->width - left < 2 * W + 2 ? l->width - left : 2 * W + 2;
        for (size_t r = 0; r < 2 * rows + 2; ++r) {
            T *const *to = slot[r % 2];
            const size_t at = r / 2 * cols + j;
            const ptrdiff_t y = row + (ptrdiff_t)r;
            V x0 = v_zero(), x1 = v_zero(), x2 = v_zero(), x3 = v_zero();
            if (y >= 0 && y < l->height && l->along > 1) {
                T line[4 * W + 2] = {0};
                if (begin < end)
                    conv_copy(line + begin, x + y * l->down + (left + begin) * l->along, (size_t)l->along, (size_t)(end - begin));
                for (ptrdiff_t i = end < 0 ? 0 : end; i < 2 * W + 2; ++i)
                    line[i] = 0;
                x0 = v_load(line), x1 = v_load(line + W), x2 = v_load(line + 2), x3 = v_load(line + 2 + W);
            } else if (y >= 0 && y < l->height) {
                const T *from = x + y * l->down + left;
                tile_prefetch(from + ahead), tile_prefetch(from + ahead + W);
                x0 = v_load_span(from, s0.first, s0.end), x1 = v_load_span(from + W, s1.first, s1.end);
                x2 = v_load_span(from + 2, s2.first, s2.end), x3 = v_load_span(from + 2 + W, s3.first, s3.end);
            }
            const V d[4] = {v_even(x0, x1), v_odd(x0, x1), v_even(x2, x3), v_odd(x2, x3)};
            for (int b = 0; b < 4; ++b)
                if (j == 0)     /* the next row overwrites what is too much */
                    v_store(to[b] + at, d[b]);
                else
                    v_store_n(to[b] + at, d[b], cols - j < W ? cols - j : W);
        }
    }
}

/* B^T d B of a block's squares of some channels: v[4 a + b][channel][square]. x: the first image's first channel. Returns how many squares. */
static size_t winograd_patches(T *v, size_t v_step, T *slots, const T *x, const fnn_conv_shape *s, size_t channels, const fnn_winograd_blocks *b, const winograd_block *block)
{
    const size_t channel_size = s->x_size[1] * s->x_size[2];
    size_t squares = 0;
    T *slot[2][4];
    for (size_t i = 0; i < 8; ++i)
        slot[i / 4][i % 4] = slots + i * b->slot;
    winograd_piece p;
    for (size_t row = block->row; row < block->end; row += p.rows, squares += p.rows * p.cols) {
        p = winograd_piece_of(s, b, block, row);
        winograd_lattice l = {0, 0, (ptrdiff_t)(s->dilation[1] * s->x_size[2]), (ptrdiff_t)s->dilation[2]};
        ptrdiff_t first, left;
        const size_t down = winograd_axis(s, &p, 1, p.row, &l.height, &first), along = winograd_axis(s, &p, 2, p.col, &l.width, &left);
        const T *from = x + p.image * s->groups * s->channels * channel_size + down * s->x_size[2] + along;
        for (size_t c = 0; c < channels; ++c) {
            winograd_slots(slot, from + c * channel_size, &l, first, left, p.rows, p.cols, 2 * channel_size);
            winograd_input(v + c * b->pitch + squares, v_step, slot, p.cols, p.rows * p.cols);
        }
    }
    for (size_t i = 0; squares % W && i < 16; ++i) /* what follows is multiplied, too: slowly where it happens to be subnormal */
        for (size_t c = 0; c < channels; ++c)
            v_store(v + i * v_step + c * b->pitch + squares, v_zero());
    return squares;
}

/* m[4 a + b][row][square] of tiles [tile, last) of the rows; u and m begin with the first of these rows. */
static void winograd_products(T *m, const T *u, const T *v, const fnn_conv_shape *s, const fnn_winograd_plan *plan, gemm_cut tiles, size_t tile, size_t last, size_t squares)
{
    const gemm_cut panels = gemm_cut_evenly(fnn_gemm_ceil(squares, TILE_LANES), tile_vecs(tiles.low + (tiles.high > 0)));
    tile_args t = {0};
    t.a_step = (ptrdiff_t)s->channels, t.b_step = t.c_step = (ptrdiff_t)plan->blocks.pitch;
    t.last = TILE_LANES, t.bias_kind = TILE_BIAS_NONE;
    for (size_t e = 0; e < 16; ++e, u += s->rows * s->channels, v += plan->v_step, m += plan->m_step)
        for (size_t c = 0; c < s->channels; c += FNN_WINOGRAD_DEPTH) {
            t.k = s->channels - c < FNN_WINOGRAD_DEPTH ? s->channels - c : FNN_WINOGRAD_DEPTH;
            t.start = c ? TILE_START_C : TILE_START_ZERO;
            for (size_t q = 0, j = 0, vecs; q < panels.parts; ++q, j += vecs * TILE_LANES) {
                vecs = panels.low + (q < panels.high);
                t.b = v + c * plan->blocks.pitch + j;
                t.a = u + c, t.c = m + j;
                for (size_t i = tile, rows; i < last; ++i, t.a += rows * s->channels, t.c += rows * plan->blocks.pitch) {
                    rows = tiles.low + (i < tiles.high);
                    t.next = (ptrdiff_t)(rows * plan->blocks.pitch);
                    tile_kernels[0][0][rows][vecs](&t);
                }
            }
        }
}

/* A^T m A + bias of n squares to two lines of the result, from m + (4 a + b) step. */
static void winograd_output(T *line0, T *line1, const T *m, size_t step, const T *bias, size_t n)
{
    for (size_t j = 0; j < n; j += W) {
        V top[4], low[4], y[4];
        TILE_UNROLL for (int b = 0; b < 4; ++b) {
            const T *at = m + (size_t)b * step + j;
            const V m0 = v_load(at), m1 = v_load(at + 4 * step), m2 = v_load(at + 8 * step), m3 = v_load(at + 12 * step);
            top[b] = v_add(v_add(m0, m1), m2);
            low[b] = v_sub(v_sub(m1, m2), m3);
        }
        y[0] = v_add(v_add(top[0], top[1]), top[2]), y[1] = v_sub(v_sub(top[1], top[2]), top[3]);
        y[2] = v_add(v_add(low[0], low[1]), low[2]), y[3] = v_sub(v_sub(low[1], low[2]), low[3]);
        TILE_UNROLL for (int i = 0; i < 4 && bias; ++i)
            y[i] = v_add(y[i], v_set(*bias));
        v_store(line0 + 2 * j, v_zip_low(y[0], y[1]));
        v_store(line0 + 2 * j + W, v_zip_high(y[0], y[1]));
        v_store(line1 + 2 * j, v_zip_low(y[2], y[3]));
        v_store(line1 + 2 * j + W, v_zip_high(y[2], y[3]));
    }
}

/* One row's results of a piece to its plane of y. */
static void winograd_place(T *y, const T *line0, const T *line1, const fnn_conv_shape *s, const winograd_piece *p)
{
    const size_t down = s->dilation[1] * s->out[2], along = s->dilation[2], rows = winograd_left(s, p, 1, p->row), cols = winograd_left(s, p, 2, p->col);
    const size_t width = cols < 2 * p->cols ? cols : 2 * p->cols;
    y += p->first[0] * s->out[2] + p->first[1] + 2 * (p->row * down + p->col * along);
    for (size_t r = 0; r < p->rows; ++r, y += 2 * down, line0 += 2 * p->cols, line1 += 2 * p->cols) {
        if (2 * r < rows)
            conv_move(y, along, line0, 1, width);
        if (2 * r + 1 < rows)
            conv_move(y + down, along, line1, 1, width);
    }
}

static void winograd_forward(const fnn_conv_args *a, size_t part, size_t parts)
{
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    const fnn_winograd_plan plan = fnn_winograd_make_plan(&s, TILE_LANES, TILE_ROWS, sizeof(T), parts);
    const fnn_winograd_blocks *b = &plan.blocks;
    const gemm_cut tiles = gemm_cut_evenly(s.rows, TILE_ROWS);
    const size_t y_plane = s.out[1] * s.out[2], blocks = b->row_blocks * b->col_blocks;
    T *line0 = (T *)a->scratch + part * plan.size, *line1 = line0 + 2 * b->pitch, *slots = line1 + 2 * b->pitch, *v = slots + 8 * b->slot, *m = v + 16 * plan.v_step;
    size_t unit, last;
    fnn_share(s.groups * blocks * plan.tile_parts, 1, part, parts, &unit, &last);
    for (; unit < last; ++unit) {
        const size_t group = unit / plan.tile_parts / blocks;
        const winograd_block block = winograd_block_of(b, unit / plan.tile_parts % blocks);
        size_t tile, tile_end;
        const size_t squares = winograd_patches(v, plan.v_step, slots, (const T *)a->x + group * s.channels * s.x_size[1] * s.x_size[2], &s, s.channels, b, &block);
        fnn_share(tiles.parts, 1, unit % plan.tile_parts, plan.tile_parts, &tile, &tile_end);
        for (size_t next; tile < tile_end; tile = next) {
            if (fnn_interrupted())
                return;
            next = tile_end - tile < plan.tiles ? tile_end : tile + plan.tiles;
            const size_t row = tile * tiles.low + (tile < tiles.high ? tile : tiles.high), row_end = next * tiles.low + (next < tiles.high ? next : tiles.high);
            winograd_products(m, (const T *)a->weight + (group * 16 * s.rows + row) * s.channels, v, &s, &plan, tiles, tile, next, squares);
            for (size_t r = row; r < row_end; ++r) {
                const size_t o = group * s.rows + r;
                winograd_output(line0, line1, m + (r - row) * b->pitch, plan.m_step, a->bias ? (const T *)a->bias + o : NULL, squares);
                if (a->activation) {
                    const fnn_map_args map[2] = {{line0, line0, 2 * squares, a->p, a->q}, {line1, line1, 2 * squares, a->p, a->q}};
                    a->activation(&map[0], 0, 1);
                    a->activation(&map[1], 0, 1);
                }
                winograd_piece p;
                for (size_t i = block.row, at = 0; i < block.end; i += p.rows, at += 2 * p.rows * p.cols) {
                    p = winograd_piece_of(&s, b, &block, i);
                    winograd_place((T *)a->y + (p.image * s.groups * s.rows + o) * y_plane, line0 + at, line1 + at, &s, &p);
                }
            }
        }
    }
}

/* n <= W channels of one row's weights, tap by tap, from the first tap of the first channel on. Returns whether the last tap is the first. */
static int winograd_taps(T *g, const T *weight, const fnn_conv_pack_weight_args *a, size_t n)
{
    const ptrdiff_t tap = a->w_tap[2];
    if ((tap == 1 || tap == -1) && a->w_tap[1] == 3 * tap) {
        const T *from = tap == 1 ? weight : weight - 8;
        pack_transpose(g, W, from, a->w_channel, n, 8, 1);
        pack_transpose(g + (9 - TILE_BLOCK) * W, W, from + 9 - TILE_BLOCK, a->w_channel, n, TILE_BLOCK, 1);
        return tap == -1;
    }
    for (size_t i = 0; i < 9; ++i)
        for (size_t c = 0; c < n; ++c)
            g[i * W + c] = weight[(ptrdiff_t)c * a->w_channel + (ptrdiff_t)(i / 3) * a->w_tap[1] + (ptrdiff_t)(i % 3) * tap];
    return 0;
}

/* G g G^T of some rows: u[4 a + b][row][channel], of one group. */
static void winograd_weight(T *u, const T *weight, const fnn_conv_pack_weight_args *a, size_t row, size_t end)
{
    const size_t step = a->rows * a->channels;
    const V half = v_set(T_C(0.5));
    T g[9 * W] = {0};
    for (; row < end; ++row)
        for (size_t c = 0, n; c < a->channels; c += n) {
            n = a->channels - c < W ? a->channels - c : W;
            const int turned = winograd_taps(g, weight + (ptrdiff_t)row * a->w_row + (ptrdiff_t)c * a->w_channel, a, n);
            V t[4][3];
            TILE_UNROLL for (int j = 0; j < 3; ++j) {
                const V g0 = v_load(g + (turned ? 8 - j : j) * W), g1 = v_load(g + (turned ? 5 - j : 3 + j) * W), g2 = v_load(g + (turned ? 2 - j : 6 + j) * W);
                const V sum = v_add(g0, g2);
                t[0][j] = g0, t[1][j] = v_mul(half, v_add(sum, g1)), t[2][j] = v_mul(half, v_sub(sum, g1)), t[3][j] = g2;
            }
            TILE_UNROLL for (int i = 0; i < 4; ++i) {
                T *to = u + 4 * (size_t)i * step + row * a->channels + c;
                const V sum = v_add(t[i][0], t[i][2]);
                v_store_n(to, t[i][0], n);
                v_store_n(to + step, v_mul(half, v_add(sum, t[i][1])), n);
                v_store_n(to + 2 * step, v_mul(half, v_sub(sum, t[i][1])), n);
                v_store_n(to + 3 * step, t[i][2], n);
            }
        }
}

static void winograd_pack_weight(const fnn_conv_pack_weight_args *a, size_t part, size_t parts)
{
    size_t unit, last;
    fnn_share(a->groups * a->rows, 1, part, parts, &unit, &last);
    for (size_t rows; unit < last; unit += rows) {
        const size_t group = unit / a->rows, row = unit % a->rows;
        rows = a->rows - row < last - unit ? a->rows - row : last - unit;
        winograd_weight((T *)a->packed + group * 16 * a->rows * a->channels, (const T *)a->weight + (ptrdiff_t)group * a->w_group, a, row, row + rows);
    }
}
