/* winograd.h — convolutions of 3 x 3 taps and more with fewer multiplications: F(4 x 4, 3 x 3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural
 * Networks" (2015), after Winograd.
 *
 * The result is cut into squares of 4 x 4, each of which reads a patch d of 6 x 6. With g the weights of a channel,
 *
 *     y = A^T [sum over channels of (G g G^T) . (B^T d B)] A        where . multiplies element by element; winograd_points.h has A, B and G.
 *
 * 36 multiplications in place of 144. Larger kernels, up to 9 x 9, are sums of such convolutions: their taps are cut into cells of 3 x 3, with zeros for those that are
 * not there, which read x three rows or columns apart. With a step of 2 the even and the odd taps along an axis, its phases, have cells of their own, which read every
 * second row or column; 3 x 3 taps then have 81 products, of 36 weights (winograd_halved.h). A channel of a cell is a term of the sum.
 * Element (a, b) of the 6 x 6 is a product of matrices of its own, [rows x terms] [terms x squares]; the transforms are a few multiply-adds. A sum is chains of up to 64
 * terms from 0, as gemm/gemm.h's, each of which is added to those before it. The rounding errors are 1 to 2.4 times the direct sum's (more terms, fewer errors), up to 4
 * times with three or four channels; but an infinity or a NaN in x reaches all results of the squares whose patches have it.
 * With a dilation d, the positions of every d-th row and column are convolved by themselves: an image is d x d lattices.
 * Vectors run over squares, in the order (image, lattice, row, column); those of the products over rows where squares are very few.
 * Loops (fnn_winograd_plan has the sizes):
 *   groups, blocks of squares, parts of the rows              a share has a range of these
 *     phases, channels, rows of cells                        transform the block's patches; they stay in L2
 *     a few tiles of rows
 *       chains of terms                                      all at once with packed weights; of many weights, transform theirs (L2)
 *         the products                                       gemm/tile.h; of many weights and a square or two, in registers while the weights are transformed
 *       rows                                                 transform back, bias, activation */

/* Transformed weights of some terms, before which there were `first`: of rows, or turned of terms, `pitch` apart; from one of the 36 numbers to the next; and their
 * patches. */
typedef struct winograd_terms {
    const T *u, *v;
    size_t pitch, step, first, count;
} winograd_terms;

/* Which of the 36 weights a product takes. */
FNN_INLINE size_t winograd_weights_of(size_t product, size_t products)
{
    const size_t columns = products == FNN_WINOGRAD_PRODUCTS ? 6 : 9, a = product / columns, b = product % columns;
    return 6 * (a < 6 ? a : 5) + (b < 6 ? b : 5);
}

/* m[product][row][square] of tiles [tile, last) of the rows, or that with further terms; u and m begin with the first of these rows. */
static void winograd_products(T *m, const winograd_terms *of, const fnn_winograd_plan *plan, gemm_cut tiles, size_t tile, size_t last, size_t squares)
{
    const gemm_cut panels = gemm_cut_evenly(fnn_gemm_ceil(squares, TILE_LANES), tile_vecs(tiles.low + (tiles.high > 0)));
    const T *v = of->v;
    tile_args t = {0};
    t.a_step = (ptrdiff_t)of->pitch, t.b_step = t.c_step = t.bias_step = (ptrdiff_t)plan->blocks.pitch;
    t.last = TILE_LANES, t.start = TILE_START_ZERO;
    for (size_t e = 0; e < plan->products; ++e, v += plan->v_step, m += plan->m_step) {
        const T *u = of->u + winograd_weights_of(e, plan->products) * of->step;
        for (size_t c = 0; c < of->count; c += plan->depth) {
            t.k = of->count - c < plan->depth ? of->count - c : plan->depth;
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
}

/* The same with vectors along the rows, for a few squares: sums[product][square][row]. */
static void winograd_turned_products(T *sums, const winograd_terms *of, const fnn_winograd_plan *plan, size_t rows, size_t squares)
{
    const gemm_cut tiles = gemm_cut_evenly(squares, TILE_ROWS), panels = gemm_cut_evenly(fnn_gemm_ceil(rows, W), tile_vecs(tiles.low + (tiles.high > 0)));
    const size_t width = fnn_conv_ceil(rows, W) * W;
    const T *v = of->v;
    tile_args t = {0};
    t.a_step = (ptrdiff_t)plan->blocks.pitch, t.b_step = (ptrdiff_t)of->pitch, t.last = TILE_LANES, t.start = TILE_START_ZERO, t.resident = 1;
    t.c_step = t.bias_step = (ptrdiff_t)width;
    for (size_t e = 0; e < plan->products; ++e, v += plan->v_step, sums += squares * width) {
        const T *u = of->u + winograd_weights_of(e, plan->products) * of->step;
        for (size_t q = 0, j = 0, vecs; q < panels.parts; ++q, j += vecs * W) {
            vecs = panels.low + (q < panels.high);
            for (size_t c = 0; c < of->count; c += plan->depth) {
                t.k = of->count - c < plan->depth ? of->count - c : plan->depth;
                t.bias_kind = of->first + c ? TILE_BIAS_VECTOR : TILE_BIAS_NONE;
                t.b = u + c * of->pitch + j, t.a = v + c * plan->blocks.pitch, t.bias = t.c = sums + j;
                for (size_t i = 0, some; i < tiles.parts; ++i, t.a += some, t.bias = t.c += some * width) {
                    some = tiles.low + (i < tiles.high);
                    tile_kernels[0][1][some][vecs](&t);
                }
            }
        }
    }
}

/* sums[6 a + b][square] += those of some channels and W rows: their weights g tap by tap, `tap` apart; v[channel][6 a + b][square]. A third of the sums at a time,
 * in registers. */
FNN_INLINE void winograd_few(T *sums, const T *g, ptrdiff_t tap, const T *v, const T *scale, size_t channels, const int squares)
{
    TILE_UNROLL for (int pair = 0; pair < 3; ++pair) {
        const int a[2] = {pair ? 2 * pair - 1 : 0, pair ? 2 * pair : 5};
        const T *from = g, *of = v;
        V sum[12][FNN_WINOGRAD_FEW];
        TILE_UNROLL for (int i = 0; i < 12; ++i)
            TILE_UNROLL for (int q = 0; q < squares; ++q)
                sum[i][q] = v_load(sums + ((6 * a[i / 6] + i % 6) * squares + q) * W);
        for (size_t c = channels; c > 0; --c, from += 9 * W, of += FNN_WINOGRAD_PRODUCTS * squares) {
            V down[3][2];
            TILE_UNROLL for (int j = 0; j < 3; ++j) {
                const V column[3] = {v_load(from + j * tap), v_load(from + (3 + j) * tap), v_load(from + (6 + j) * tap)};
                winograd_a_pair(down[j], column, 3, pair);
            }
            TILE_UNROLL for (int i = 0; i < 2; ++i) {
                const V row[3] = {down[0][i], down[1][i], down[2][i]};
                V along[6];
                winograd_a(along, row, 3);
                TILE_UNROLL for (int b = 0; b < 6; ++b) {
                    const int e = 6 * a[i] + b;
                    const V u = v_mul(along[b], v_set(scale[e]));
                    TILE_UNROLL for (int q = 0; q < squares; ++q)
                        sum[6 * i + b][q] = v_fma(u, v_set(of[e * squares + q]), sum[6 * i + b][q]);
                }
            }
        }
        TILE_UNROLL for (int i = 0; i < 12; ++i)
            TILE_UNROLL for (int q = 0; q < squares; ++q)
                v_store(sums + ((6 * a[i / 6] + i % 6) * squares + q) * W, sum[i][q]);
    }
}

/* winograd_turned_products of all channels for one or two squares, multiplied where the weights are transformed: not from memory. v gets the patches in the order
 * in which they are read. */
static void winograd_few_products(T *sums, T *v, const winograd_terms *of, const T *weight, const fnn_conv_pack_weight_args *a, const fnn_winograd_plan *plan,
                                  size_t rows, size_t squares)
{
    enum { SOME = 16 };
    const size_t width = fnn_conv_ceil(rows, W) * W, all = FNN_WINOGRAD_PRODUCTS * squares;
    T g[SOME * 9 * W] = {0}, chain[FNN_WINOGRAD_PRODUCTS * FNN_WINOGRAD_FEW * W], scale[FNN_WINOGRAD_PRODUCTS];
    winograd_scales(scale, 0);
    for (size_t c = 0; c < of->count; ++c)
        for (size_t e = 0; e < all; ++e)
            v[c * all + e] = of->v[e / squares * plan->v_step + c * plan->blocks.pitch + e % squares];
    for (size_t j = 0; j < rows; j += W, sums += W) {
        const T *from = weight + (ptrdiff_t)j * a->w_channel;
        for (size_t c = 0, some; c < of->count; c += some, from += (ptrdiff_t)some * a->w_row) {
            const size_t of_chain = c % plan->depth, left = of->count - c < plan->depth - of_chain ? of->count - c : plan->depth - of_chain;
            some = left < SOME ? left : SOME;
            if (of_chain == 0)
                memset(chain, 0, sizeof chain);
            const int turned = winograd_taps(g, from, a, some, rows - j < W ? rows - j : W);
            const T *first = g + (turned ? 8 * W : 0);
            if (squares == 1)
                winograd_few(chain, first, turned ? -W : W, v + c * all, scale, some, 1);
            else
                winograd_few(chain, first, turned ? -W : W, v + c * all, scale, some, 2);
            for (size_t e = 0; e < all && some == left; ++e)
                v_store(sums + e * width, of_chain == c ? v_load(chain + e * W) : v_add(v_load(sums + e * width), v_load(chain + e * W)));
        }
    }
}

/* Either, of the same tiles of rows. */
static void winograd_multiply(T *m, T *sums, const winograd_terms *of, const fnn_winograd_plan *plan, gemm_cut tiles, size_t tile, size_t last, size_t squares)
{
    if (plan->turned)
        winograd_turned_products(sums, of, plan, conv_first_row(tiles, last) - conv_first_row(tiles, tile), squares);
    else
        winograd_products(m, of, plan, tiles, tile, last, squares);
}

/* m[product][row][square] of tiles [tile, last) of a group's rows, from all channels' patches. */
static void winograd_sums(T *m, const T *v, const fnn_conv_args *a, const fnn_conv_shape *s, const fnn_winograd_plan *plan, size_t group, gemm_cut tiles, size_t tile,
                          size_t last, size_t squares)
{
    const size_t row = conv_first_row(tiles, tile), rows = conv_first_row(tiles, last) - row, width = fnn_conv_ceil(rows, W) * W;
    const ptrdiff_t *tap = a->w_tap;
    const fnn_conv_pack_weight_args weight = {.taps = {1, s->taps[1], s->taps[2]}, .step = {1, s->step[1], s->step[2]}, .w_row = plan->turned ? a->w_channel : a->w_row,
                                              .w_channel = plan->turned ? a->w_row : a->w_channel, .w_tap = {tap[0], tap[1], tap[2]}};
    T *sums = m + plan->products * plan->m_step, *made = sums + plan->sums;
    const size_t cells = fnn_winograd_cells(s->taps, s->step), terms = cells * s->channels, of_all = plan->turned ? s->rows : terms, pitch = fnn_winograd_row(of_all);
    const int few = sizeof(T) == 4 && W > 1 && plan->few;     /* the wheel is to stay small: not compiled elsewhere */
    const T *all = (const T *)a->weight + (ptrdiff_t)group * a->w_group + (ptrdiff_t)row * a->w_row;
    winograd_terms t = {(const T *)a->weight + (plan->turned ? group * terms * pitch + row : (group * s->rows + row) * pitch), v, pitch, of_all, 0, terms};
    if (few)
        winograd_few_products(sums, made, &t, all, &weight, plan, rows, squares);
    else if (!plan->large)
        winograd_multiply(m, sums, &t, plan, tiles, tile, last, squares);
    for (size_t c = 0, some; !few && plan->large && c < s->channels; c += some) {
        some = s->channels - c < plan->depth ? s->channels - c : plan->depth;
        t.step = plan->turned ? rows : cells * some, t.pitch = fnn_winograd_row(t.step), t.count = some;
        const size_t u_cell = plan->turned ? some * t.pitch : some;
        winograd_weights(made, t.step, u_cell, all + (ptrdiff_t)c * a->w_channel, &weight, plan->turned ? some : rows, plan->turned ? rows : some);
        for (size_t cell = 0; cell < cells; ++cell) {
            t.u = made + cell * u_cell, t.v = v + (cell * s->channels + c) * plan->blocks.pitch, t.first = c + cell;
            winograd_multiply(m, sums, &t, plan, tiles, tile, last, squares);
        }
    }
    for (size_t e = 0; e < plan->products && plan->turned; ++e, m += plan->m_step, sums += squares * width)
        pack_transpose(m, (ptrdiff_t)plan->blocks.pitch, sums, (ptrdiff_t)width, squares, rows, 1);
}

/* A^T m A + bias of n squares, from m + (6 a + b) step, to the lines of their positions, line_step apart. */
static void winograd_output(T *lines, size_t line_step, const T *m, size_t step, const T *bias, size_t n)
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
            winograd_at(of, down, 4);
            TILE_UNROLL for (int r = 0; r < 4; ++r)
                t[r][b] = of[r];
        }
        TILE_UNROLL for (int r = 0; r < 4; ++r) {
            winograd_at(y, t[r], 4);
            winograd_line(lines + (size_t)r * line_step + 4 * j, y, bias);
        }
    }
}

/* One row's results of a piece to its plane of y; the next row's plane is fetched. */
static void winograd_place(T *y, const T *lines, size_t line_step, const fnn_conv_shape *s, const winograd_piece *p)
{
    const size_t side = FNN_WINOGRAD_SIDE, down = s->dilation[1] * s->out[2], along = s->dilation[2];
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

/* A block's results of row o, from its sums, to y; lines: room for them. placed: the result, in which the halves of a transposed convolution are lattices. */
static void winograd_finish(T *lines, const fnn_conv_args *a, const fnn_conv_shape *s, const fnn_conv_shape *placed, const fnn_winograd_plan *plan,
                            const winograd_block *block, const T *sums, size_t o, size_t squares)
{
    const size_t line = FNN_WINOGRAD_SIDE * plan->blocks.pitch, plane = placed->out[1] * placed->out[2], image = s->groups * s->rows * plane;
    const T *bias = a->bias ? (const T *)a->bias + o : NULL;
    T *y = (T *)a->y + o * plane;
    for (int half = 0; half < (s->transposed ? 4 : 1); ++half) {
        const winograd_part of[2] = {s->transposed ? WINOGRAD_EVEN + half / 2 : WINOGRAD_BOTH, s->transposed ? WINOGRAD_EVEN + half % 2 : WINOGRAD_BOTH};
        if (plan->products == FNN_WINOGRAD_PRODUCTS)
            winograd_output(lines, line, sums, plan->m_step, bias, squares);
        else
            winograd_half_output(lines, line, sums, plan->m_step, bias, squares, of);
        for (size_t i = 0; i < FNN_WINOGRAD_SIDE && a->activation; ++i) {
            const fnn_map_args map = {lines + i * line, lines + i * line, FNN_WINOGRAD_SIDE * squares, a->p, a->q};
            a->activation(&map, 0, 1);
        }
        if (winograd_is_tiny(s)) {
            winograd_place_tiny(y + block->row * image, image, lines, line, squares);
            continue;
        }
        winograd_piece p;
        for (size_t i = block->row, at = 0; i < block->end; i += p.rows, at += FNN_WINOGRAD_SIDE * p.rows * p.cols) {
            p = winograd_piece_of(s, &plan->blocks, block, i);
            for (int axis = 0; axis < 2 && s->transposed; ++axis)
                p.first[axis] = of[axis] == WINOGRAD_EVEN ? a->y_first[1 + axis] : 1 - a->y_first[1 + axis];
            winograd_place(y + p.image * image, lines + at, line, placed, &p);
        }
    }
}

static void winograd_forward(const fnn_conv_args *a, size_t part, size_t parts)
{
    const fnn_conv_shape s = fnn_conv_shape_of(a);
    const fnn_winograd_plan plan = fnn_winograd_make_plan(&s, TILE_LANES, TILE_ROWS, sizeof(T), parts);
    const fnn_winograd_blocks *b = &plan.blocks;
    const gemm_cut tiles = gemm_cut_evenly(s.rows, plan.tile_rows);
    fnn_conv_shape placed = s;
    for (int axis = 1; axis < 3 && s.transposed; ++axis)
        placed.out[axis] = a->y_size[axis], placed.dilation[axis] = 2;
    const size_t blocks = b->row_blocks * b->col_blocks;
    T *y = (T *)a->scratch + part * plan.size, *lines = y + FNN_WINOGRAD_SIDE * FNN_WINOGRAD_SIDE * b->pitch, *v = lines + b->lines + b->gather, *m = v + plan.products * plan.v_step;
    size_t unit, last;
    fnn_share(s.groups * blocks * plan.tile_parts, 1, part, parts, &unit, &last);
    for (; unit < last; ++unit) {
        const size_t group = unit / plan.tile_parts / blocks;
        const winograd_block block = winograd_block_of(b, unit / plan.tile_parts % blocks);
        size_t tile, tile_end;
        const T *x = (const T *)a->x + group * s.channels * s.x_size[1] * s.x_size[2];
        const size_t squares = plan.products == FNN_WINOGRAD_PRODUCTS ? winograd_patches(v, plan.v_step, lines, x, &s, s.channels, b, &block)
                                                                      : winograd_half_patches(v, plan.v_step, lines, x, &s, b, &block);
        fnn_share(tiles.parts, 1, unit % plan.tile_parts, plan.tile_parts, &tile, &tile_end);
        for (size_t next; tile < tile_end; tile = next) {
            if (fnn_interrupted())
                return;
            next = tile_end - tile < plan.tiles ? tile_end : tile + plan.tiles;
            const size_t row = conv_first_row(tiles, tile), row_end = conv_first_row(tiles, next);
            winograd_sums(m, v, a, &s, &plan, group, tiles, tile, next, squares);
            for (size_t r = row; r < row_end; ++r)
                winograd_finish(y, a, &s, &placed, &plan, &block, m + (r - row) * b->pitch, group * s.rows + r, squares);
        }
    }
}
