/* winograd.h — convolutions of 3 x 3 and 5 x 5 with fewer multiplications: F(4 x 4, 3 x 3) and F(2 x 2, 5 x 5) of Lavin and Gray, "Fast Algorithms for
 * Convolutional Neural Networks" (2015), after Winograd.
 *
 * The result is cut into squares of 4 x 4, or of 2 x 2 for 5 x 5 taps, each of which reads a patch d of 6 x 6. With g the weights of a channel,
 *
 *     y = A^T [sum over channels of (G g G^T) . (B^T d B)] A        where . multiplies element by element; winograd_points.h has A, B and G.
 *
 * 36 multiplications in place of 144, or of 100. Element (a, b) of the 6 x 6 is a product of matrices of its own, [rows x channels] [channels x squares];
 * the transforms are a few multiply-adds. A sum is chains of up to 64 channels from 0, as gemm/gemm.h's, each of which is added to those before it. The
 * rounding errors are 1 to 2.4 times the direct sum's (more channels, fewer errors), up to 4 times with three or four channels; but an infinity or a NaN in x
 * reaches all results of the squares whose patches have it.
 * With a dilation d, the positions of every d-th row and column are convolved by themselves: an image is d x d lattices.
 * Vectors run over squares, in the order (image, lattice, row, column); those of the products over rows where squares are very few.
 * Loops (fnn_winograd_plan has the sizes):
 *   groups, blocks of squares, parts of the rows              a share has a range of these
 *     channels                                               transform the block's patches; they stay in L2
 *     a few tiles of rows
 *       chains of channels                                   all at once with packed weights; of many weights, transform theirs (L2)
 *         the 36 products                                    gemm/tile.h
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
    const size_t first = p->first[axis - 1] + fnn_winograd_side(s) * square * s->dilation[axis];
    return first < s->out[axis] ? fnn_conv_ceil(s->out[axis] - first, s->dilation[axis]) : 0;
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

/* Of a piece's x along an axis: where the first row or column of its lattice is, how many there are, and which the first square reads first. */
FNN_INLINE size_t winograd_axis(const fnn_conv_shape *s, const winograd_piece *p, int axis, size_t square, ptrdiff_t *size, ptrdiff_t *first)
{
    const ptrdiff_t dilation = (ptrdiff_t)s->dilation[axis], at = (ptrdiff_t)p->first[axis - 1] + s->origin[axis];
    const ptrdiff_t before = at / dilation - (at % dilation < 0), begin = at - before * dilation, end = (ptrdiff_t)s->x_size[axis];
    *size = begin < end ? (end - begin + dilation - 1) / dilation : 0;
    *first = before + (ptrdiff_t)(fnn_winograd_side(s) * square);
    return (size_t)begin;
}

/* Where a piece reads a channel of x: a lattice of height x width, rows `down` apart, columns `along`, from its row `row` and column `left` on. */
typedef struct winograd_view {
    const T *x;
    ptrdiff_t height, width, down, along, row, left;
    size_t rows, cols;          /* of squares */
} winograd_view;

/* The pieces of a block. x: the first image's first channel. */
static size_t winograd_views(winograd_view *view, const T *x, const fnn_conv_shape *s, const fnn_winograd_blocks *b, const winograd_block *block)
{
    const size_t image = s->groups * s->channels * s->x_size[1] * s->x_size[2];
    winograd_piece p;
    size_t n = 0;
    for (size_t row = block->row; row < block->end; row += p.rows, ++n) {
        winograd_view *v = &view[n];
        p = winograd_piece_of(s, b, block, row);
        const size_t down = winograd_axis(s, &p, 1, p.row, &v->height, &v->row), along = winograd_axis(s, &p, 2, p.col, &v->width, &v->left);
        v->x = x + p.image * image + down * s->x_size[2] + along;
        v->down = (ptrdiff_t)(s->dilation[1] * s->x_size[2]), v->along = (ptrdiff_t)s->dilation[2];
        v->rows = p.rows, v->cols = p.cols;
    }
    return n;
}

/* What a view whose columns are not neighbours reads, with zeros outside, as one whose columns are. */
static winograd_view winograd_gather(T *to, const winograd_view *v, size_t side)
{
    const size_t over = FNN_WINOGRAD_POINTS - side, rows = side * v->rows + over, cols = side * v->cols + over;
    const ptrdiff_t begin = v->left < 0 ? -v->left : 0, left = v->width - v->left, end = left < begin ? begin : left < (ptrdiff_t)cols ? left : (ptrdiff_t)cols;
    memset(to, 0, rows * cols * sizeof *to);
    for (size_t r = 0; r < rows; ++r) {
        const ptrdiff_t y = v->row + (ptrdiff_t)r;
        if (begin < end && y >= 0 && y < v->height)
            conv_copy(to + r * cols + (size_t)begin, v->x + y * v->down + (v->left + begin) * v->along, (size_t)v->along, (size_t)(end - begin));
    }
    return (winograd_view){to, (ptrdiff_t)rows, (ptrdiff_t)cols, (ptrdiff_t)cols, 1, 0, 0, v->rows, v->cols};
}

/* B^T down the columns of a view's rows of squares, from column `shift` on: the six rows of it to `to`, `line` apart, square after square. May write up to a
 * vector too far. Prefetches `ahead` elements further. */
FNN_INLINE void winograd_down(T *to, size_t line, const winograd_view *v, ptrdiff_t shift, size_t ahead, const int side)
{
    const size_t width = (size_t)side * v->cols;
    for (size_t j = 0; j < width; j += W) {
        const ptrdiff_t at = v->left + shift + (ptrdiff_t)j;
        const winograd_span span = winograd_columns(at, v->width);
        for (size_t r = 0; r < v->rows; ++r) {
            const ptrdiff_t row = v->row + (ptrdiff_t)r * side;
            const T *x = v->x + row * v->down + at;
            V d[6], t[6];
            TILE_UNROLL for (int a = 0; a < 6; ++a, x += v->down) {
                if (a < side)
                    tile_prefetch(x + ahead);
                d[a] = row + a >= 0 && row + a < v->height ? v_load_span(x, span.first, span.end) : v_zero();
            }
            winograd_bt(t, d);
            TILE_UNROLL for (int a = 0; a < 6; ++a) {
                T *p = to + (size_t)a * line + r * width + j;
                if (j == 0)     /* the next row overwrites what is too much */
                    v_store(p, t[a]);
                else
                    v_store_n(p, t[a], width - j < W ? width - j : W);
            }
        }
    }
}

/* B^T along the rows of n squares, from winograd_down's lines of each shift, to v + (6 a + b) step. */
FNN_INLINE void winograd_along(T *v, size_t step, const T *lines, size_t line, size_t n, const int side)
{
    for (int a = 0; a < 6; ++a, lines += line, v += 6 * step)
        for (size_t j = 0; j < n; j += W) {
            const T *from = lines + (size_t)side * j;
            V d[6], t[6];
            TILE_UNROLL for (int i = 0; i < 6; i += side, from += 6 * line) {
                const V x0 = v_load(from), x1 = v_load(from + W);
                const V even = v_even(x0, x1), odd = v_odd(x0, x1);
                if (side == 2) {
                    d[i] = even, d[i + 1] = odd;
                } else {
                    const V x2 = v_load(from + 2 * W), x3 = v_load(from + 3 * W);
                    const V even2 = v_even(x2, x3), odd2 = v_odd(x2, x3);
                    d[i] = v_even(even, even2), d[i + 1] = v_even(odd, odd2);
                    if (i == 0)
                        d[2] = v_odd(even, even2), d[3] = v_odd(odd, odd2);
                }
            }
            winograd_bt(t, d);
            TILE_UNROLL for (int b = 0; b < 6; ++b)
                v_store(v + (size_t)b * step + j, t[b]);
        }
}

FNN_INLINE size_t winograd_patches_of(T *v, size_t v_step, T *lines, const winograd_view *views, size_t count, size_t plane, size_t channels,
                                      const fnn_winograd_blocks *b, const int side)
{
    size_t squares = 0;
    for (size_t c = 0; c < channels; ++c, v += b->pitch) {
        T *to = lines;
        for (size_t i = 0; i < count; ++i) {
            winograd_view view = views[i];
            view.x += c * plane;
            if (view.along > 1)
                view = winograd_gather(lines + b->lines, &view, (size_t)side);
            for (int shift = 0; shift < 6; shift += side)
                winograd_down(to + (size_t)shift / (size_t)side * 6 * b->line, b->line, &view, shift, 2 * plane, side);
            to += view.rows * view.cols * (size_t)side;
        }
        squares = (size_t)(to - lines) / (size_t)side;
        for (T *end = lines + b->lines; squares % W && to < end; to += b->line)    /* what follows is multiplied, too: slowly where it happens to be subnormal */
            for (int i = 0; i < side; ++i)
                v_store(to + i * W, v_zero());
        winograd_along(v, v_step, lines, b->line, squares, side);
    }
    return squares;
}

/* Whether images are a square each, of 4 x 4 with zeros around it. */
FNN_INLINE int winograd_is_tiny(const fnn_conv_shape *s)
{
    int tiny = s->taps[1] == 3;
    for (int i = 1; i < 3; ++i)
        tiny &= s->x_size[i] == 4 && s->out[i] == 4 && s->origin[i] == -1 && s->dilation[i] == 1;
    return tiny;
}

/* Then vectors run along the images, n of them and `image` apart, from the start. */
static void winograd_tiny_patches(T *v, size_t v_step, const T *x, size_t image, size_t n, size_t channels, size_t pitch)
{
    const V zero = v_zero();
    for (size_t c = 0; c < channels; ++c, x += 16, v += pitch)
        for (size_t i = 0; i < n; i += W) {
            const size_t some = n - i < W ? n - i : W;
            T d[16 * W];
            V t[6][4];
            for (size_t r = i; r < i + some; ++r)
                tile_prefetch(x + r * image + 32);
            pack_transpose(d, W, x + i * image, (ptrdiff_t)image, some, 16, 1);
            TILE_ROLL for (int k = 0; k < 4; ++k) {
                const V column[6] = {zero, v_load(d + k * W), v_load(d + (4 + k) * W), v_load(d + (8 + k) * W), v_load(d + (12 + k) * W), zero};
                V of[6];
                winograd_bt(of, column);
                TILE_UNROLL for (int a = 0; a < 6; ++a)
                    t[a][k] = of[a];
            }
            T *to = v + i;
            TILE_ROLL for (int a = 0; a < 6; ++a) {
                const V row[6] = {zero, t[a][0], t[a][1], t[a][2], t[a][3], zero};
                V of[6];
                winograd_bt(of, row);
                TILE_UNROLL for (int b = 0; b < 6; ++b, to += v_step)
                    v_store(to, of[b]);
            }
        }
}

/* B^T d B of a block's squares of some channels: v[6 a + b][channel][square]. x: the first image's first channel. Returns how many squares. */
static size_t winograd_patches(T *v, size_t v_step, T *lines, const T *x, const fnn_conv_shape *s, size_t channels, const fnn_winograd_blocks *b, const winograd_block *block)
{
    winograd_view views[FNN_WINOGRAD_SQUARES];
    if (winograd_is_tiny(s)) {
        const size_t image = s->groups * s->channels * 16;
        winograd_tiny_patches(v, v_step, x + block->row * image, image, block->end - block->row, channels, b->pitch);
        return block->end - block->row;
    }
    const size_t count = winograd_views(views, x, s, b, block), plane = s->x_size[1] * s->x_size[2];
    if (b->side == 4)
        return winograd_patches_of(v, v_step, lines, views, count, plane, channels, b, 4);
    return winograd_patches_of(v, v_step, lines, views, count, plane, channels, b, 2);
}

/* Transformed weights of channels [first, first + channels): of rows, or turned of channels, `pitch` apart; from one of the 36 products to the next; and the
 * patches of channel `first`. */
typedef struct winograd_terms {
    const T *u, *v;
    size_t pitch, step, first, channels;
} winograd_terms;

/* m[6 a + b][row][square] of tiles [tile, last) of the rows, or that with further channels; u and m begin with the first of these rows. */
static void winograd_products(T *m, const winograd_terms *of, const fnn_winograd_plan *plan, gemm_cut tiles, size_t tile, size_t last, size_t squares)
{
    const gemm_cut panels = gemm_cut_evenly(fnn_gemm_ceil(squares, TILE_LANES), tile_vecs(tiles.low + (tiles.high > 0)));
    const T *u = of->u, *v = of->v;
    tile_args t = {0};
    t.a_step = (ptrdiff_t)of->pitch, t.b_step = t.c_step = t.bias_step = (ptrdiff_t)plan->blocks.pitch;
    t.last = TILE_LANES, t.start = TILE_START_ZERO;
    for (size_t e = 0; e < FNN_WINOGRAD_PRODUCTS; ++e, u += of->step, v += plan->v_step, m += plan->m_step)
        for (size_t c = 0; c < of->channels; c += plan->depth) {
            t.k = of->channels - c < plan->depth ? of->channels - c : plan->depth;
            t.bias_kind = of->first + c ? TILE_BIAS_VECTOR : TILE_BIAS_NONE;
            for (size_t q = 0, j = 0, vecs; q < panels.parts; ++q, j += vecs * TILE_LANES) {
                vecs = panels.low + (q < panels.high);
                t.b = v + c * plan->blocks.pitch + j;
                t.a = u + c, t.bias = t.c = m + j;
                for (size_t i = tile, rows; i < last; ++i, t.a += rows * of->pitch, t.bias = t.c += rows * plan->blocks.pitch) {
                    rows = tiles.low + (i < tiles.high);
                    t.next = (ptrdiff_t)(rows * plan->blocks.pitch);
                    tile_kernels[0][0][rows][vecs](&t);
                }
            }
        }
}

/* The same with vectors along the rows, for a few squares: sums[6 a + b][square][row]. */
static void winograd_turned_products(T *sums, const winograd_terms *of, const fnn_winograd_plan *plan, size_t rows, size_t squares)
{
    const gemm_cut tiles = gemm_cut_evenly(squares, TILE_ROWS), panels = gemm_cut_evenly(fnn_gemm_ceil(rows, W), tile_vecs(tiles.low + (tiles.high > 0)));
    const size_t width = fnn_conv_ceil(rows, W) * W;
    const T *u = of->u, *v = of->v;
    tile_args t = {0};
    t.a_step = (ptrdiff_t)plan->blocks.pitch, t.b_step = (ptrdiff_t)of->pitch, t.last = TILE_LANES, t.start = TILE_START_ZERO, t.resident = 1;
    t.c_step = t.bias_step = (ptrdiff_t)width;
    for (size_t e = 0; e < FNN_WINOGRAD_PRODUCTS; ++e, u += of->step, v += plan->v_step, sums += squares * width)
        for (size_t q = 0, j = 0, vecs; q < panels.parts; ++q, j += vecs * W) {
            vecs = panels.low + (q < panels.high);
            for (size_t c = 0; c < of->channels; c += plan->depth) {
                t.k = of->channels - c < plan->depth ? of->channels - c : plan->depth;
                t.bias_kind = of->first + c ? TILE_BIAS_VECTOR : TILE_BIAS_NONE;
                t.b = u + c * of->pitch + j, t.a = v + c * plan->blocks.pitch, t.bias = t.c = sums + j;
                for (size_t i = 0, some; i < tiles.parts; ++i, t.a += some, t.bias = t.c += some * width) {
                    some = tiles.low + (i < tiles.high);
                    tile_kernels[0][1][some][vecs](&t);
                }
            }
        }
}

/* m[6 a + b][row][square] of tiles [tile, last) of a group's rows, from all channels' patches. */
static void winograd_sums(T *m, const T *v, const fnn_conv_args *a, const fnn_conv_shape *s, const fnn_winograd_plan *plan, size_t group, gemm_cut tiles, size_t tile,
                          size_t last, size_t squares)
{
    const size_t row = conv_first_row(tiles, tile), rows = conv_first_row(tiles, last) - row, width = fnn_conv_ceil(rows, W) * W;
    const ptrdiff_t *tap = a->w_tap;
    const fnn_conv_pack_weight_args weight = {.taps = {1, s->taps[1], s->taps[2]}, .w_row = plan->turned ? a->w_channel : a->w_row,
                                              .w_channel = plan->turned ? a->w_row : a->w_channel, .w_tap = {tap[0], tap[1], tap[2]}};
    T *sums = m + FNN_WINOGRAD_PRODUCTS * plan->m_step, *made = sums + plan->sums;
    const size_t of_all = plan->turned ? s->rows : s->channels, pitch = fnn_winograd_row(of_all);
    winograd_terms t = {(const T *)a->weight + (plan->turned ? group * s->channels * pitch + row : (group * s->rows + row) * pitch), v, pitch, of_all, 0, s->channels};
    do {
        if (plan->large) {
            t.channels = s->channels - t.first < plan->depth ? s->channels - t.first : plan->depth;
            const size_t lines = plan->turned ? t.channels : rows;
            const ptrdiff_t from = (ptrdiff_t)group * a->w_group + (ptrdiff_t)row * a->w_row + (ptrdiff_t)t.first * a->w_channel;
            t.step = plan->turned ? rows : t.channels, t.pitch = fnn_winograd_row(t.step), t.u = made;
            winograd_weights(made, (const T *)a->weight + from, &weight, lines, t.step);
        }
        if (plan->turned)
            winograd_turned_products(sums, &t, plan, rows, squares);
        else
            winograd_products(m, &t, plan, tiles, tile, last, squares);
        t.first += t.channels, t.v += t.channels * plan->blocks.pitch;
    } while (t.first < s->channels);
    for (size_t e = 0; e < FNN_WINOGRAD_PRODUCTS && plan->turned; ++e, m += plan->m_step, sums += squares * width)
        pack_transpose(m, (ptrdiff_t)plan->blocks.pitch, sums, (ptrdiff_t)width, squares, rows, 1);
}

/* A^T m A + bias of n squares, from m + (6 a + b) step, to the lines of their positions, line_step apart. */
FNN_INLINE void winograd_output(T *lines, size_t line_step, const T *m, size_t step, const T *bias, size_t n, const int side)
{
    for (size_t j = 0; j < n; j += W) {
        V t[4][6], y[4];
        const T *from = m + j;
        TILE_UNROLL for (int b = 0; b < 6; ++b, from += step) {
            const T *at = from;
            V down[6], of[4];
            TILE_UNROLL for (int a = 0; a < 6; ++a, at += 6 * step)
                down[a] = v_load(at);
            TILE_OPAQUE(from);
            winograd_at(of, down, side);
            TILE_UNROLL for (int r = 0; r < side; ++r)
                t[r][b] = of[r];
        }
        TILE_UNROLL for (int r = 0; r < side; ++r) {
            T *to = lines + (size_t)r * line_step + (size_t)side * j;
            winograd_at(y, t[r], side);
            TILE_UNROLL for (int i = 0; i < side && bias; ++i)
                y[i] = v_add(y[i], v_set(*bias));
            if (side == 2) {
                v_store(to, v_zip_low(y[0], y[1])), v_store(to + W, v_zip_high(y[0], y[1]));
                continue;
            }
            const V even = v_zip_low(y[0], y[2]), odd = v_zip_low(y[1], y[3]), even2 = v_zip_high(y[0], y[2]), odd2 = v_zip_high(y[1], y[3]);
            v_store(to, v_zip_low(even, odd)), v_store(to + W, v_zip_high(even, odd));
            v_store(to + 2 * W, v_zip_low(even2, odd2)), v_store(to + 3 * W, v_zip_high(even2, odd2));
        }
    }
}

/* One row's results of a piece to its plane of y; the next row's plane is fetched. */
static void winograd_place(T *y, const T *lines, size_t line_step, const fnn_conv_shape *s, const winograd_piece *p)
{
    const size_t side = fnn_winograd_side(s), down = s->dilation[1] * s->out[2], along = s->dilation[2];
    const size_t lines_left = winograd_left(s, p, 1, p->row), rows = lines_left < side * p->rows ? lines_left : side * p->rows;
    const size_t cols = winograd_left(s, p, 2, p->col), width = cols < side * p->cols ? cols : side * p->cols;
    y += p->first[0] * s->out[2] + p->first[1] + side * (p->row * down + p->col * along);
    for (size_t r = 0; r < rows; ++r, y += down) {
        for (size_t i = 0; i < width * along; i += TILE_CACHE_LINE)
            tile_prefetch(y + s->out[1] * s->out[2] + i);
        conv_move(y, along, lines + r % side * line_step + r / side * side * p->cols, 1, width);
    }
}

/* Those of n images, `image` apart, that are a square each. */
static void winograd_place_tiny(T *y, size_t image, const T *lines, size_t line_step, size_t n)
{
    for (size_t i = 0; i < n; ++i, y += image, lines += 4)
        for (size_t r = 0; r < 4; ++r)
            memcpy(y + 4 * r, lines + r * line_step, 4 * sizeof *y);
}

static void winograd_forward(const fnn_conv_args *a, size_t part, size_t parts)
{
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    const fnn_winograd_plan plan = fnn_winograd_make_plan(&s, TILE_LANES, TILE_ROWS, sizeof(T), parts);
    const fnn_winograd_blocks *b = &plan.blocks;
    const gemm_cut tiles = gemm_cut_evenly(s.rows, TILE_ROWS);
    const size_t y_plane = s.out[1] * s.out[2], y_image = s.groups * s.rows * y_plane, blocks = b->row_blocks * b->col_blocks, line = b->side * b->pitch;
    const int tiny = winograd_is_tiny(&s);
    T *y = (T *)a->scratch + part * plan.size, *lines = y + b->side * line, *v = lines + b->lines + b->gather, *m = v + FNN_WINOGRAD_PRODUCTS * plan.v_step;
    size_t unit, last;
    fnn_share(s.groups * blocks * plan.tile_parts, 1, part, parts, &unit, &last);
    for (; unit < last; ++unit) {
        const size_t group = unit / plan.tile_parts / blocks;
        const winograd_block block = winograd_block_of(b, unit / plan.tile_parts % blocks);
        size_t tile, tile_end;
        const size_t squares = winograd_patches(v, plan.v_step, lines, (const T *)a->x + group * s.channels * s.x_size[1] * s.x_size[2], &s, s.channels, b, &block);
        fnn_share(tiles.parts, 1, unit % plan.tile_parts, plan.tile_parts, &tile, &tile_end);
        for (size_t next; tile < tile_end; tile = next) {
            if (fnn_interrupted())
                return;
            next = tile_end - tile < plan.tiles ? tile_end : tile + plan.tiles;
            const size_t row = conv_first_row(tiles, tile), row_end = conv_first_row(tiles, next);
            winograd_sums(m, v, a, &s, &plan, group, tiles, tile, next, squares);
            for (size_t r = row; r < row_end; ++r) {
                const size_t o = group * s.rows + r;
                const T *sums = m + (r - row) * b->pitch, *bias = a->bias ? (const T *)a->bias + o : NULL;
                if (b->side == 4)
                    winograd_output(y, line, sums, plan.m_step, bias, squares, 4);
                else
                    winograd_output(y, line, sums, plan.m_step, bias, squares, 2);
                for (size_t i = 0; i < b->side && a->activation; ++i) {
                    const fnn_map_args map = {y + i * line, y + i * line, b->side * squares, a->p, a->q};
                    a->activation(&map, 0, 1);
                }
                T *plane = (T *)a->y + o * y_plane;
                if (tiny)
                    winograd_place_tiny(plane + block.row * y_image, y_image, y, line, squares);
                winograd_piece p;
                for (size_t i = block.row, at = 0; i < block.end && !tiny; i += p.rows, at += b->side * p.rows * p.cols) {
                    p = winograd_piece_of(&s, b, &block, i);
                    winograd_place(plane + p.image * y_image, y + at, line, &s, &p);
                }
            }
        }
    }
}
