/* winograd_weight.h — the gradient of the weights of winograd.h's convolutions:
 *
 *     dg = G^T [sum over squares of (A dy A^T) . (B^T d B)] G
 *
 * 36 products of their own again, [terms x squares] [squares x rows], with vectors along the rows of dy. A block of squares is one chain from 0, blocks are
 * added in ascending order; they are cut by the shape and the dtype alone. Loops (fnn_winograd_weight_plan has the sizes):
 *   pieces of the squares, or groups, parts of the rows, parts of the channels          a share has a range of these
 *     blocks of squares                                      transform the patches, and dy's transpose
 *       the 36 products                                      gemm/tile.h; add to the sums
 *   transform the sums, transpose them to dw */

/* A dy A^T of n squares of a row, with vectors along dy's rows, to z + (6 a + b) z_step, squares `width` apart. line: the first of `cols` positions, step
 * apart, of each of the squares' `lines` rows that are there. */
FNN_INLINE void winograd_gradient(T *z, size_t z_step, size_t width, T *const *line, size_t lines, size_t step, size_t cols, size_t n)
{
    for (size_t j = 0; j < n; ++j, z += width) {
        V t[6][4];
        TILE_ROLL for (int c = 0; c < FNN_WINOGRAD_SIDE; ++c) {
            const size_t at = FNN_WINOGRAD_SIDE * j + (size_t)c;
            V down[4], of[6];
            TILE_UNROLL for (int r = 0; r < FNN_WINOGRAD_SIDE; ++r)
                down[r] = (size_t)r < lines && at < cols ? v_load(line[r] + at * step) : v_zero();
            winograd_a(of, down, FNN_WINOGRAD_SIDE);
            TILE_UNROLL for (int a = 0; a < 6; ++a)
                t[a][c] = of[a];
        }
        TILE_ROLL for (int a = 0; a < 6; ++a) {
            V along[6];
            winograd_a(along, t[a], FNN_WINOGRAD_SIDE);
            TILE_UNROLL for (int b = 0; b < 6; ++b)
                v_store(z + (size_t)(6 * a + b) * z_step, along[b]);
        }
    }
}

/* A dy A^T of a block: z[6 a + b], panel by panel as `panels` cuts the rows' vectors, squares x width. dy: the first image's first row. */
FNN_INLINE void winograd_gradients(T *z, size_t z_step, T *turned, const T *dy, const fnn_conv_shape *s, size_t rows, gemm_cut panels, size_t squares,
                                   const fnn_winograd_blocks *b, const winograd_block *block)
{
    const size_t plane = s->out[1] * s->out[2], down = s->dilation[1] * s->out[2], along = s->dilation[2];
    for (size_t i = block->row, at = 0; i < block->end; ++i, at += block->cols) {
        const winograd_piece p = winograd_piece_of(s, b, block, i);
        const size_t left = winograd_left(s, &p, 1, p.row), most = winograd_left(s, &p, 2, p.col), all = FNN_WINOGRAD_SIDE * p.cols, cols = most < all ? most : all;
        const size_t reach = cols ? (cols - 1) * along + 1 : 0, lines = left < FNN_WINOGRAD_SIDE ? left : FNN_WINOGRAD_SIDE;
        const T *from = dy + p.image * s->groups * s->rows * plane + p.first[0] * s->out[2] + p.first[1] + FNN_WINOGRAD_SIDE * (p.row * down + p.col * along);
        T *to = z;
        for (size_t q = 0, r = 0, width; q < panels.parts; ++q, r += width, to += width * squares) {
            width = (panels.low + (q < panels.high)) * W;
            for (size_t v = 0; v < width && r + v < rows; v += W) {
                T *line[4];
                for (size_t l = 0; l < lines; ++l) {
                    line[l] = turned + l * reach * W;
                    for (size_t c = 0; c < W && r + v + c < rows; ++c)
                        for (size_t k = 0; k < reach; k += TILE_CACHE_LINE)
                            tile_prefetch(from + (r + v + c) * plane + (l + FNN_WINOGRAD_SIDE) * down + k);
                    pack_transpose(line[l], W, from + (r + v) * plane + l * down, (ptrdiff_t)plane, rows - r - v < W ? rows - r - v : W, reach, 1);
                }
                winograd_gradient(to + at * width + v, z_step, width, line, lines, along * W, cols, block->cols);
            }
        }
    }
}

/* A block's 36 products added to the sums, [terms][rows] each. */
static void winograd_weight_products(T *sums, const T *v, const T *z, size_t terms, gemm_cut panels, size_t squares, const fnn_winograd_weight_plan *plan)
{
    T result[TILE_SUMS * TILE_LANES];
    const gemm_cut tiles = gemm_cut_evenly(terms, TILE_ROWS);
    tile_args t = {0};
    t.a_step = (ptrdiff_t)plan->blocks.pitch, t.c = result, t.k = squares, t.start = TILE_START_ZERO, t.bias_kind = TILE_BIAS_NONE, t.last = TILE_LANES;
    for (size_t e = 0; e < FNN_WINOGRAD_PRODUCTS; ++e, v += plan->v_step, z += plan->z_step, sums += plan->sums_step) {
        t.b = z;
        for (size_t q = 0, r = 0, width; q < panels.parts; ++q, r += width, t.b += width * squares) {
            width = (panels.low + (q < panels.high)) * W;
            t.b_step = t.c_step = (ptrdiff_t)width;
            for (size_t i = 0, c = 0, n; i < tiles.parts; ++i, c += n) {
                n = tiles.low + (i < tiles.high);
                t.a = v + c * plan->blocks.pitch;
                tile_kernels[0][0][n][width / W](&t);
                for (size_t j = 0; j < n; ++j)
                    for (size_t k = 0; k < width; k += W) {
                        T *to = sums + (c + j) * plan->rows + r + k;
                        v_store(to, v_add(v_load(to), v_load(result + j * width + k)));
                    }
            }
        }
    }
}

/* G^T s G of the sums of a cell of one channel: to taps x rows, where its taps are. */
static void winograd_weight_sums(T *to, const T *sums, const fnn_winograd_weight_plan *plan, const fnn_conv_shape *s, size_t cell)
{
    const size_t *taps = s->taps, *step = s->step, cells = fnn_winograd_cells_along(taps[2], step[2]);
    const size_t row = fnn_winograd_tap(taps[1], step[1], cell / cells), col = fnn_winograd_tap(taps[2], step[2], cell % cells);
    for (size_t r = 0; r < plan->rows; r += W) {
        V t[3][6];
        TILE_ROLL for (int b = 0; b < 6; ++b) {
            V down[6], of[3];
            TILE_UNROLL for (int a = 0; a < 6; ++a)
                down[a] = winograd_scaled(sums + r, plan->sums_step, a, b);
            winograd_at(of, down, 3);
            TILE_UNROLL for (int i = 0; i < 3; ++i)
                t[i][b] = of[i];
        }
        for (size_t i = 0; i < 3 && row + i * step[1] < taps[1]; ++i) {
            V along[3];
            winograd_at(along, t[i], 3);
            TILE_UNROLL for (size_t j = 0; j < 3; ++j)
                if (col + j * step[2] < taps[2])
                    v_store(to + (taps[2] * (row + i * step[1]) + col + j * step[2]) * plan->rows + r, along[j]);
        }
    }
}

/* Of a piece of the blocks. */
static void winograd_weight_piece(const fnn_conv_weight_args *a, const fnn_winograd_weight_plan *plan, T *scratch, size_t piece, size_t part, size_t parts)
{
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    const fnn_winograd_blocks *b = &plan->blocks;
    const size_t taps = s.taps[1] * s.taps[2], cells = fnn_winograd_cells(s.taps, s.step);
    T *lines = scratch, *v = lines + b->lines + b->gather, *z = v + FNN_WINOGRAD_PRODUCTS * plan->v_step;
    T *sums = z + FNN_WINOGRAD_PRODUCTS * plan->z_step, *turned = sums + FNN_WINOGRAD_PRODUCTS * plan->sums_step;
    size_t unit, last;
    fnn_share(s.groups * plan->row_parts * plan->channel_parts, 1, part, parts, &unit, &last);
    for (; unit < last; ++unit) {
        const size_t group = unit / plan->channel_parts / plan->row_parts;
        const size_t row = unit / plan->channel_parts % plan->row_parts * plan->rows, rows = s.rows - row < plan->rows ? s.rows - row : plan->rows;
        const size_t channel = unit % plan->channel_parts * plan->channels, channels = s.channels - channel < plan->channels ? s.channels - channel : plan->channels;
        const gemm_cut panels = gemm_cut_evenly(fnn_gemm_ceil(rows, W), tile_vecs(TILE_ROWS));
        const T *x = (const T *)a->x + (group * s.channels + channel) * s.x_size[1] * s.x_size[2];
        const T *dy = (const T *)a->dy + (group * s.rows + row) * s.out[1] * s.out[2];
        memset(sums, 0, FNN_WINOGRAD_PRODUCTS * plan->sums_step * sizeof *sums);
        const size_t all = b->row_blocks * b->col_blocks, end = fnn_conv_piece(all, piece + 1, plan->pieces);
        for (size_t index = fnn_conv_piece(all, piece, plan->pieces); index < end; ++index) {
            const winograd_block block = winograd_block_of(b, index);
            if (fnn_interrupted())
                return;
            const size_t squares = winograd_patches(v, plan->v_step, lines, x, &s, channels, b, &block);
            winograd_gradients(z, plan->z_step, turned, dy, &s, rows, panels, squares, b, &block);
            winograd_weight_products(sums, v, z, cells * channels, panels, squares, plan);
        }
        const T *of = sums;
        for (size_t i = 0; i < cells; ++i)
            for (size_t c = 0; c < channels; ++c, of += plan->rows)
                winograd_weight_sums(v + c * taps * plan->rows, of, plan, &s, i);
        weight_finish(a, v, plan->rows, 1, group, row, rows, taps * channel, taps * (channel + channels));
    }
}
