/* winograd_weight.h — the gradient of the weights of winograd.h's convolutions:
 *
 *     dg = G^T [sum over squares of (A dy A^T) . (B^T d B)] G
 *
 * 16 products of their own again, [channels x squares] [squares x rows], with vectors along the rows of dy. A block of squares is one chain from 0, blocks are
 * added in ascending order; they are cut by the shape and the dtype alone. Loops (fnn_winograd_weight_plan has the sizes):
 *   groups, parts of the rows, parts of the channels          a share has a range of these
 *     blocks of squares                                      transform the patches, and dy's transpose
 *       the 16 products                                      gemm/tile.h; add to the sums
 *   transform the sums, transpose them to dw */

/* A dy A^T of n squares of a row, with vectors along dy's rows, to z + (4 a + b) z_step, squares `width` apart. dy: the first of `cols` positions of W numbers
 * each, `step` apart; below: the next row's. NULL: a row that is not there. */
static void winograd_gradient(T *z, size_t z_step, size_t width, const T *dy, const T *below, size_t step, size_t cols, size_t n)
{
    for (size_t j = 0; j < n; ++j, z += width) {
        const size_t at = 2 * j * step;
        const int one = 2 * j < cols, two = 2 * j + 1 < cols;
        const V p = dy && one ? v_load(dy + at) : v_zero(), q = dy && two ? v_load(dy + at + step) : v_zero();
        const V r = below && one ? v_load(below + at) : v_zero(), t = below && two ? v_load(below + at + step) : v_zero();
        const V left[4] = {p, v_add(p, r), v_sub(p, r), v_neg(r)}, right[4] = {q, v_add(q, t), v_sub(q, t), v_neg(t)};
        TILE_UNROLL for (int a = 0; a < 4; ++a) {
            T *to = z + 4 * (size_t)a * z_step;
            v_store(to, left[a]);
            v_store(to + z_step, v_add(left[a], right[a]));
            v_store(to + 2 * z_step, v_sub(left[a], right[a]));
            v_store(to + 3 * z_step, v_neg(right[a]));
        }
    }
}

/* A dy A^T of a block: z[4 a + b], panel by panel as `panels` cuts the rows' vectors, squares x width. dy: the first image's first row. */
static void winograd_gradients(T *z, size_t z_step, T *turned, const T *dy, const fnn_conv_shape *s, size_t rows, gemm_cut panels, size_t squares,
                               const fnn_winograd_blocks *b, const winograd_block *block)
{
    const size_t plane = s->out[1] * s->out[2], down = s->dilation[1] * s->out[2], along = s->dilation[2];
    for (size_t q = 0, r = 0, width; q < panels.parts; ++q, r += width, z += width * squares) {
        width = (panels.low + (q < panels.high)) * W;
        for (size_t v = 0; v < width && r + v < rows; v += W) {
            const size_t some = rows - r - v < W ? rows - r - v : W;
            T *to = z + v;
            for (size_t i = block->row; i < block->end; ++i, to += block->cols * width) {
                const winograd_piece p = winograd_piece_of(s, b, block, i);
                const size_t lines = winograd_left(s, &p, 1, p.row), most = winograd_left(s, &p, 2, p.col), cols = most < 2 * p.cols ? most : 2 * p.cols;
                const size_t reach = cols ? (cols - 1) * along + 1 : 0;
                const T *from = dy + (p.image * s->groups * s->rows + r + v) * plane + p.first[0] * s->out[2] + p.first[1] + 2 * (p.row * down + p.col * along);
                T *line[2] = {lines > 0 ? turned : NULL, lines > 1 ? turned + reach * W : NULL};
                for (size_t l = 0; l < 2; ++l)
                    if (line[l])
                        pack_transpose(line[l], W, from + l * down, (ptrdiff_t)plane, some, reach, 1);
                winograd_gradient(to, z_step, width, line[0], line[1], along * W, cols, block->cols);
            }
        }
    }
}

/* A block's 16 products added to the sums, [channels][rows] each. */
static void winograd_weight_products(T *sums, const T *v, const T *z, size_t channels, gemm_cut panels, size_t squares, const fnn_winograd_weight_plan *plan)
{
    T result[TILE_SUMS * TILE_LANES];
    const gemm_cut tiles = gemm_cut_evenly(channels, TILE_ROWS);
    tile_args t = {0};
    t.a_step = (ptrdiff_t)plan->blocks.pitch, t.c = result, t.k = squares, t.start = TILE_START_ZERO, t.bias_kind = TILE_BIAS_NONE, t.last = TILE_LANES;
    for (size_t e = 0; e < 16; ++e, v += plan->v_step, z += plan->z_step, sums += plan->sums_step) {
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

/* G^T s G of the sums of one channel: taps x rows. */
static void winograd_weight_sums(T *to, const T *sums, const fnn_winograd_weight_plan *plan)
{
    const V half = v_set(T_C(0.5));
    for (size_t r = 0; r < plan->rows; r += W) {
        V t[3][4];
        TILE_UNROLL for (int b = 0; b < 4; ++b) {
            const T *at = sums + (size_t)b * plan->sums_step + r;
            const V s0 = v_load(at), s1 = v_mul(half, v_load(at + 4 * plan->sums_step)), s2 = v_mul(half, v_load(at + 8 * plan->sums_step)),
                    s3 = v_load(at + 12 * plan->sums_step), both = v_add(s1, s2);
            t[0][b] = v_add(s0, both), t[1][b] = v_sub(s1, s2), t[2][b] = v_add(both, s3);
        }
        TILE_UNROLL for (int i = 0; i < 3; ++i) {
            const V s1 = v_mul(half, t[i][1]), s2 = v_mul(half, t[i][2]), both = v_add(s1, s2);
            v_store(to + 3 * (size_t)i * plan->rows + r, v_add(t[i][0], both));
            v_store(to + (3 * (size_t)i + 1) * plan->rows + r, v_sub(s1, s2));
            v_store(to + (3 * (size_t)i + 2) * plan->rows + r, v_add(both, t[i][3]));
        }
    }
}

static void winograd_weight_gradient(const fnn_conv_weight_args *a, size_t part, size_t parts)
{
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    const fnn_winograd_weight_plan plan = fnn_winograd_make_weight_plan(&s, TILE_LANES, sizeof(T), parts);
    const fnn_winograd_blocks *b = &plan.blocks;
    T *slots = (T *)a->scratch + part * plan.size, *v = slots + 8 * b->slot, *z = v + 16 * plan.v_step, *sums = z + 16 * plan.z_step, *turned = sums + 16 * plan.sums_step;
    size_t unit, last;
    fnn_share(s.groups * plan.row_parts * plan.channel_parts, 1, part, parts, &unit, &last);
    for (; unit < last; ++unit) {
        const size_t group = unit / plan.channel_parts / plan.row_parts;
        const size_t row = unit / plan.channel_parts % plan.row_parts * plan.rows, rows = s.rows - row < plan.rows ? s.rows - row : plan.rows;
        const size_t channel = unit % plan.channel_parts * plan.channels, channels = s.channels - channel < plan.channels ? s.channels - channel : plan.channels;
        const gemm_cut panels = gemm_cut_evenly(fnn_gemm_ceil(rows, W), tile_vecs(TILE_ROWS));
        const T *x = (const T *)a->x + (group * s.channels + channel) * s.x_size[1] * s.x_size[2];
        const T *dy = (const T *)a->dy + (group * s.rows + row) * s.out[1] * s.out[2];
        memset(sums, 0, 16 * plan.sums_step * sizeof *sums);
        for (size_t index = 0; index < b->row_blocks * b->col_blocks; ++index) {
            const winograd_block block = winograd_block_of(b, index);
            if (fnn_interrupted())
                return;
            const size_t squares = winograd_patches(v, plan.v_step, slots, x, &s, channels, b, &block);
            winograd_gradients(z, plan.z_step, turned, dy, &s, rows, panels, squares, b, &block);
            winograd_weight_products(sums, v, z, channels, panels, squares, &plan);
        }
        for (size_t c = 0; c < channels; ++c)
            winograd_weight_sums(v + c * 9 * plan.rows, sums + c * plan.rows, &plan);
        weight_finish(a, v, plan.rows, 1, group, row, rows, 9 * channel, 9 * (channel + channels));
    }
}
