/* images.h — convolution of small images: vectors run over the images of the batch, not over positions.
 *
 * A bundle of TILE_LANES images is turned into vectors, one for each number of an image; convolved; and turned back. So no row of positions is too short
 * for a vector, every patch is whole vectors where they lie, and each position has just the taps that reach x. Loops:
 *   groups, a few bundles, parts of the rows                 a share has a range of these
 *     boxes of positions with the same taps
 *       tiles of rows                                        their weights stay in L1 or L2
 *         a few positions                                    tile.h; of all bundles, where an image has few
 *     activation, in the vectors
 * The chains are conv.h's, but for the zeros around x: these are left out. They add nothing to a sum (but its sign, where it has underflowed to 0), unless a
 * weight is infinite or NaN; such weights go the other way, since the bits do not depend on the batch. */

/* Along an axis, n positions that have the same taps: first, first + 1, … */
typedef struct conv_stretch {
    size_t n, first, taps;
} conv_stretch;

static conv_stretch conv_stretch_at(const fnn_conv_shape *s, int axis, size_t position)
{
    const ptrdiff_t size = (ptrdiff_t)s->x_size[axis], dilation = (ptrdiff_t)s->dilation[axis];
    conv_stretch all = {0, 0, 0};
    for (; position < s->out[axis]; ++position, ++all.n) {
        const ptrdiff_t at = (ptrdiff_t)(position * s->step[axis]) + s->origin[axis];
        size_t first = at < 0 ? fnn_conv_ceil((size_t)-at, s->dilation[axis]) : 0;
        size_t end = at < size ? (size_t)((size - at + dilation - 1) / dilation) : 0;
        end = end < s->taps[axis] ? end : s->taps[axis];
        if (first >= end)
            first = end = 0;
        if (all.n && (first != all.first || end - first != all.taps))
            break;
        all.first = first, all.taps = end - first;
    }
    return all;
}

/* What the boxes of a few bundles have in common. */
typedef struct conv_bundles {
    const fnn_conv_shape *s;
    const tile_real *weight, *bias;         /* the group's; bias may be NULL */
    tile_real *x, *y;                       /* in vectors, bundles x_bundle or y_bundle apart: channels x positions, rows x positions */
    size_t bundles, x_bundle, y_bundle;
    ptrdiff_t *offsets, *order;
    size_t first, end, row;                 /* tiles of rows; the first row of the first one */
} conv_bundles;

/* The positions from `start` on that three stretches span. */
static void conv_box(const conv_bundles *w, const size_t *start, const conv_stretch *along)
{
    const fnn_conv_shape *s = w->s;
    const ptrdiff_t row = (ptrdiff_t)s->x_size[2], plane = row * (ptrdiff_t)s->x_size[1], channel = plane * (ptrdiff_t)s->x_size[0];
    const size_t positions = s->out[0] * s->out[1] * s->out[2], k_all = s->channels * fnn_conv_taps(s->taps);
    const gemm_cut tiles = gemm_cut_evenly(s->rows, TILE_ROWS);
    const gemm_cut groups = gemm_cut_evenly(w->bundles * along[0].n * along[1].n * along[2].n, conv_tile_vecs(tiles.low + (tiles.high > 0)));
    conv_tile_args t = {0};
    t.offsets = w->offsets, t.order = w->order;
    t.c_step = (ptrdiff_t)(positions * TILE_LANES);
    for (int v = 0; v < 8; ++v)
        t.n[v] = TILE_LANES;
    for (size_t c = 0; c < s->channels; ++c)
        for (size_t i = along[0].first; i < along[0].first + along[0].taps; ++i)
            for (size_t j = along[1].first; j < along[1].first + along[1].taps; ++j)
                for (size_t l = along[2].first; l < along[2].first + along[2].taps; ++l, ++t.k) {
                    w->offsets[t.k] = TILE_LANES * ((ptrdiff_t)c * channel + ((ptrdiff_t)(i * s->dilation[0]) + s->origin[0]) * plane +
                                                    ((ptrdiff_t)(j * s->dilation[1]) + s->origin[1]) * row + (ptrdiff_t)(l * s->dilation[2]) + s->origin[2]);
                    w->order[t.k] = (ptrdiff_t)(((c * s->taps[0] + i) * s->taps[1] + j) * s->taps[2] + l);
                }
    for (size_t tile = w->first; tile < w->end; ++tile) {
        const conv_rows r = conv_tile(w->weight, w->bias, k_all, tiles, tile);
        const tile_real *x = w->x;
        tile_real *y = w->y + (r.row - w->row) * positions * TILE_LANES;
        size_t at[3] = {start[0], start[1], start[2]};
        t.a = r.weight, t.bias = r.bias;
        for (size_t g = 0, vecs; g < groups.parts; ++g) {
            vecs = groups.low + (g < groups.high);
            for (size_t v = 0; v < vecs; ++v) {
                t.b[v] = x + TILE_LANES * ((ptrdiff_t)(at[0] * s->step[0]) * plane + (ptrdiff_t)(at[1] * s->step[1]) * row + (ptrdiff_t)(at[2] * s->step[2]));
                t.c[v] = y + TILE_LANES * ((at[0] * s->out[1] + at[1]) * s->out[2] + at[2]);
                if (++at[2] == start[2] + along[2].n) {
                    at[2] = start[2];
                    if (++at[1] == start[1] + along[1].n) {
                        at[1] = start[1];
                        if (++at[0] == start[0] + along[0].n)
                            at[0] = start[0], x += w->x_bundle, y += w->y_bundle;
                    }
                }
            }
            conv_tile_kernels[r.rows][vecs](&t);
        }
    }
}

/* y[i image + p] = vectors[p][i] for i < images and p < n. */
static void conv_turn_back(tile_real *y, size_t image, const tile_real *vectors, size_t images, size_t n)
{
    if (n < TILE_LANES) {
        for (size_t i = 0; i < images; ++i)
            for (size_t p = 0; p < n; ++p)
                y[i * image + p] = vectors[p * TILE_LANES + i];
        return;
    }
    for (size_t p = 0; p < n; p += TILE_LANES) {
        if (p > n - TILE_LANES)
            p = n - TILE_LANES;
        pack_transpose(y + p, (ptrdiff_t)image, vectors + p * TILE_LANES, TILE_LANES, TILE_LANES, images, 1);
    }
}

/* The images in a bundle. */
static size_t conv_images(const fnn_conv_shape *s, size_t bundle)
{
    const size_t left = s->batch - bundle * TILE_LANES;
    return left < TILE_LANES ? left : TILE_LANES;
}

/* Whether no number is infinite or NaN: those times 0 are NaN. */
static int conv_finite(const tile_real *x, size_t n)
{
    tile_vec sum[4] = {tile_zero(), tile_zero(), tile_zero(), tile_zero()};
    tile_real each[4 * TILE_LANES], all = 0;
    size_t i = 0;
    for (; i + 4 * TILE_LANES <= n; i += 4 * TILE_LANES)
        TILE_UNROLL for (size_t j = 0; j < 4; ++j)
            sum[j] = tile_fma(tile_load(x + i + j * TILE_LANES), tile_zero(), sum[j]);
    for (size_t j = 0; j < 4; ++j)
        tile_store(each + j * TILE_LANES, sum[j]);
    for (size_t j = 0; j < 4 * TILE_LANES; ++j)
        all += each[j];
    for (; i < n; ++i)
        all += 0 * x[i];
    return all == 0;
}

static void conv_over_images(const fnn_conv_args *a, const fnn_conv_shape *s, const fnn_conv_images_plan *plan, size_t part, size_t parts)
{
    const size_t in = s->channels * s->x_size[0] * s->x_size[1] * s->x_size[2], positions = s->out[0] * s->out[1] * s->out[2];
    const size_t x_image = s->groups * in, y_image = s->groups * s->rows * positions;
    const gemm_cut tiles = gemm_cut_evenly(s->rows, TILE_ROWS);
    tile_real *scratch = (tile_real *)a->scratch + part * plan->size;
    conv_bundles w = {.s = s, .offsets = (ptrdiff_t *)scratch, .order = (ptrdiff_t *)(scratch + plan->terms), .x_bundle = plan->x, .y_bundle = plan->y};
    w.x = scratch + 2 * plan->terms, w.y = w.x + plan->deep * plan->x;
    size_t unit, last;
    fnn_share(s->groups * plan->units * plan->row_parts, 1, part, parts, &unit, &last);
    for (; unit < last; ++unit) {
        const size_t row_part = unit % plan->row_parts, bundle = unit / plan->row_parts % plan->units * plan->deep, group = unit / plan->row_parts / plan->units;
        if (fnn_interrupted())
            return;
        fnn_share(tiles.parts, 1, row_part, plan->row_parts, &w.first, &w.end);
        w.row = conv_first_row(tiles, w.first);
        w.bundles = plan->bundles - bundle < plan->deep ? plan->bundles - bundle : plan->deep;
        w.weight = (const tile_real *)a->weight + group * s->rows * s->channels * fnn_conv_taps(s->taps);
        w.bias = a->bias ? (const tile_real *)a->bias + group * s->rows : NULL;
        const size_t n = (conv_first_row(tiles, w.end) - w.row) * positions, first = bundle * TILE_LANES;
        const tile_real *x = (const tile_real *)a->x + first * x_image + group * in;
        tile_real *y = (tile_real *)a->y + first * y_image + (group * s->rows + w.row) * positions;
        for (size_t b = 0; b < w.bundles; ++b)
            pack_transpose(w.x + b * plan->x, TILE_LANES, x + b * TILE_LANES * x_image, (ptrdiff_t)x_image, conv_images(s, bundle + b), in, 1);
        conv_stretch along[3];
        for (size_t at[3] = {0, 0, 0}; at[0] < s->out[0]; at[0] += along[0].n) {
            along[0] = conv_stretch_at(s, 0, at[0]);
            for (at[1] = 0; at[1] < s->out[1]; at[1] += along[1].n) {
                along[1] = conv_stretch_at(s, 1, at[1]);
                for (at[2] = 0; at[2] < s->out[2]; at[2] += along[2].n) {
                    along[2] = conv_stretch_at(s, 2, at[2]);
                    conv_box(&w, at, along);
                }
            }
        }
        for (size_t b = 0; b < w.bundles; ++b) {
            tile_real *vectors = w.y + b * plan->y;
            if (a->activation) {
                fnn_map_args map = {vectors, vectors, n * TILE_LANES, a->p, a->q};
                a->activation(&map, 0, 1);
            }
            conv_turn_back(y + b * TILE_LANES * y_image, y_image, vectors, conv_images(s, bundle + b), n);
        }
    }
}
