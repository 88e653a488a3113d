/* weight.h — the gradient of a convolution's weights: dw[o, c, tap] = sum over (n, p) of dy[n, o, p] x[n, c, p step + tap dilation + origin].
 *
 * A product whose long sum runs over positions: dw^T[k, o] += patches[k, position] dy^T[position, o], with vectors along o. A block of positions
 * is one chain from 0, blocks are added in ascending order; they are cut by the shape and the dtype alone.
 * Loops (geometry.h has the terms):
 *   pieces of the blocks, or bunches of groups, up to 256 rows of dy and 576 columns k        a share has a range of these
 *     blocks of positions                                    fill the buffer with the block's input; pack dy's transpose; both stay in L2
 *       TILE_ROWS columns k                                  their patches stay in L1
 *         panels of rows of dy                               weight_tile.h; adds to the sums
 *   transpose the sums to dw
 * With few rows of dy, weight_dots.h, for several groups at a time where they are small. */

#include "weight_dots.h"
#include "weight_tile.h"

/* Where dw has k = (channel, tap) among the taps that reach x. */
static size_t weight_place(const fnn_conv_weight_args *a, size_t k)
{
    const size_t tap = k % (a->taps[0] * a->taps[1] * a->taps[2]), channel = k / (a->taps[0] * a->taps[1] * a->taps[2]);
    const size_t t2 = a->tap_first[2] + tap % a->taps[2], t1 = a->tap_first[1] + tap / a->taps[2] % a->taps[1];
    const size_t t0 = a->tap_first[0] + tap / a->taps[2] / a->taps[1];
    return ((channel * a->dw_taps[0] + t0) * a->dw_taps[1] + t1) * a->dw_taps[2] + t2;
}

/* n <= TILE_LANES numbers of a row of dw, which belong at its places place[i]; the taps of their channels that do not reach x are 0:
 * each number brings those up to the next one's place, which is place[n] for the last. */
static void weight_finish_row(const fnn_conv_weight_args *a, tile_real *row, const tile_real *sums, size_t step, const size_t *place, size_t first, size_t n)
{
    const size_t taps = a->taps[0] * a->taps[1] * a->taps[2], all = a->dw_taps[0] * a->dw_taps[1] * a->dw_taps[2];
    if (taps == all && step == 1) {
        const tile_mask mask = tile_mask_of(n);
        const tile_vec sum = tile_load_mask(sums, mask);
        tile_store_mask(row + first, mask, a->accumulate ? tile_add(tile_load_mask(row + first, mask), sum) : sum);
        return;
    }
    if (taps == all) {
        tile_real *to = row + first;
        for (size_t i = 0; i < n; ++i)
            to[i] = a->accumulate ? to[i] + sums[i * step] : sums[i * step];
        return;
    }
    for (size_t i = 0; i < n; ++i) {
        const size_t k = first + i, begin = k % taps ? place[i] : k / taps * all, end = (k + 1) % taps ? place[i + 1] : (k + 1) / taps * all;
        if (a->accumulate) {
            row[place[i]] += sums[i * step];
            continue;
        }
        memset(row + begin, 0, (end - begin) * sizeof *row);
        row[place[i]] = sums[i * step];
    }
}

/* Rows [row, row + rows) and columns [first, end) of k to dw, from sums[(k - first) k_step + r r_step]. A vector of rows is turned at a time. */
static void weight_finish(const fnn_conv_weight_args *a, const tile_real *sums, size_t k_step, size_t r_step, size_t group, size_t row, size_t rows,
                          size_t first, size_t end)
{
    const size_t width = a->channels * a->dw_taps[0] * a->dw_taps[1] * a->dw_taps[2];
    const int whole = width == a->channels * a->taps[0] * a->taps[1] * a->taps[2];
    tile_real turned[TILE_LANES * TILE_LANES], *dw = (tile_real *)a->dw + (group * a->rows + row) * width;
    for (size_t r = 0; r < rows; r += TILE_LANES)
        for (size_t k = first, n; k < end; k += n) {
            const tile_real *from = sums + (k - first) * k_step + r * r_step;
            const size_t some = rows - r < TILE_LANES ? rows - r : TILE_LANES;
            size_t place[TILE_LANES + 1];
            n = end - k < TILE_LANES ? end - k : TILE_LANES;
            if (whole && r_step == 1 && n == TILE_LANES && !a->accumulate) {
                pack_transpose(dw + r * width + k, (ptrdiff_t)width, from, (ptrdiff_t)k_step, n, some, 1);
                continue;
            }
            for (size_t i = 0; i <= n && !whole; ++i)
                place[i] = weight_place(a, k + i);
            if (r_step == 1)
                pack_transpose(turned, TILE_LANES, from, (ptrdiff_t)k_step, n, some, 1);
            for (size_t i = 0; i < some; ++i)
                weight_finish_row(a, dw + (r + i) * width, r_step == 1 ? turned + i * TILE_LANES : from + i * r_step, r_step == 1 ? 1 : k_step, place, k, n);
        }
}

/* dy of a block, transposed: panel by panel, positions x width, as gemm_cut_evenly cuts `vectors` into panels. */
static void weight_pack_dy(tile_real *to, const tile_real *dy, size_t rows, size_t positions, size_t image, size_t images, size_t n, gemm_cut panels)
{
    for (size_t q = 0, r = 0, width; q < panels.parts && r < rows; ++q, r += width, to += width * images * n) {
        width = (panels.low + (q < panels.high)) * TILE_LANES;
        for (size_t i = 0; i < images; ++i)
            for (size_t v = 0; v < width && r + v < rows; v += TILE_LANES)
                pack_transpose(to + i * n * width + v, (ptrdiff_t)width, dy + i * image + (r + v) * positions, (ptrdiff_t)positions,
                               rows - r - v < TILE_LANES ? rows - r - v : TILE_LANES, n, 1);
    }
}

/* A block's columns [0, columns) to the sums, or added to them: columns x the vectors of dy's rows. apart: each reads memory of its own. */
static void weight_product(tile_real *sums, int add, size_t columns, size_t vectors, const tile_real *x, const ptrdiff_t *offsets, const conv_span *span,
                           size_t spans, size_t cols, const tile_real *panels, gemm_cut cut, int apart)
{
    const gemm_cut tiles = gemm_cut_evenly(columns, TILE_ROWS);
    weight_tile_args t = {.add = add, .step = vectors * TILE_LANES, .x = x, .offsets = offsets, .span = span, .spans = spans};
    for (size_t s = 0, m; s < tiles.parts; ++s, t.offsets += m, sums += m * t.step) {
        m = tiles.low + (s < tiles.high);
        t.sums = sums, t.dy = panels;
        const size_t next = apart && s + 1 < tiles.parts ? tiles.low + (s + 1 < tiles.high) : 0;     /* columns, whose patches are fetched */
        for (size_t q = 0, vecs; q < cut.parts; ++q, t.sums += vecs * TILE_LANES, t.dy += vecs * TILE_LANES * cols) {
            vecs = cut.low + (q < cut.high);
            for (size_t r = next * q / cut.parts; r < next * (q + 1) / cut.parts; ++r)
                for (size_t i = 0; i < span->n; i += TILE_CACHE_LINE)
                    tile_prefetch(x + span->from + t.offsets[m + r] + i);
            weight_tile_kernels[m][vecs](&t);
        }
    }
}

#include "winograd_weight.h"
#include "depthwise_weight.h"

/* Of a piece of the blocks. */
static void direct_weight_piece(const fnn_conv_weight_args *a, const fnn_conv_weight_plan *plan, tile_real *scratch, size_t piece, size_t part, size_t parts)
{
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    const size_t taps = fnn_conv_taps(s.taps), in_channel = s.x_size[0] * s.x_size[1] * s.x_size[2], positions = s.out[0] * s.out[1] * s.out[2];
    const size_t k = s.channels * taps, y_step[3] = {1, 1, 1}, y_first[3] = {0, 0, 0}, image = s.groups * s.rows * positions;
    ptrdiff_t *offsets = (ptrdiff_t *)scratch;
    tile_real *buffer = scratch + plan->offsets, *sums = buffer + plan->buffer, *panels = sums + plan->sums;
    conv_span span[FNN_CONV_COLUMNS];
    conv_offsets(offsets, &s, &plan->view, plan->channels);

    const size_t from = fnn_conv_piece(plan->blocks.total, piece, plan->pieces), end = fnn_conv_piece(plan->blocks.total, piece + 1, plan->pieces);
    size_t unit, last;
    fnn_share(plan->bunches * plan->row_parts * plan->column_parts, 1, part, parts, &unit, &last);
    for (int packed = 0; unit < last; ++unit) {
        const size_t group = unit / plan->column_parts / plan->row_parts * plan->bunch, groups = s.groups - group < plan->bunch ? s.groups - group : plan->bunch;
        const size_t row = unit / plan->column_parts % plan->row_parts * plan->rows, rows = s.rows - row < plan->rows ? s.rows - row : plan->rows;
        const size_t first = unit % plan->column_parts * plan->columns, columns = k - first < plan->columns ? k - first : plan->columns;
        const size_t c = first / taps, channels = (first + columns - 1) / taps + 1 - c;
        const tile_real *dy = (const tile_real *)a->dy + (group * s.rows + row) * positions;
        const tile_real *x = (const tile_real *)a->x + group * s.channels * in_channel;
        const size_t vectors = fnn_gemm_ceil(rows, TILE_LANES);
        const gemm_cut cut = gemm_cut_evenly(vectors, tile_vecs(TILE_ROWS));
        if (plan->dots || plan->blocks.total == 0)
            memset(sums, 0, plan->sums * sizeof *sums);
        for (size_t block = from; block < end; ++block) {
            size_t start[4], extent[4];
            if (fnn_interrupted())
                return;
            fnn_conv_block(&plan->blocks, s.batch, s.out, block, start, extent);
            const size_t cols = extent[0] * extent[1] * extent[2] * extent[3];
            const size_t spans = conv_spans(span, &s, &plan->view, start, extent, cols, s.out, y_step, y_first, image);
            const tile_real *patches = buffer;
            if (plan->view.in_place)
                patches = x + c * in_channel + fnn_conv_start(&s, &plan->view, start);
            else
                conv_fill(buffer, x, &s, &plan->view, start, extent, c, groups * channels);
            if (plan->dots) {
                for (size_t g = 0; g < groups; ++g) {
                    const dot_tile_args t = {sums + g * rows * columns * DOT_LANES, dy + g * rows * positions, patches + (ptrdiff_t)(g * channels) * plan->view.channel,
                                             offsets + (first - c * taps), span, spans, columns, (ptrdiff_t)positions};
                    dot_tiles(t, rows, columns);
                }
            } else {
                packed &= plan->blocks.total == 1 && unit % plan->column_parts > 0;   /* these rows of a block: the unit before had them */
                if (!packed)
                    weight_pack_dy(panels, dy + span->to, rows, positions, image, extent[0], cols / extent[0], cut);
                packed = 1;
                weight_product(sums, block > from, columns, vectors, patches, offsets + (first - c * taps), span, spans, cols, panels, cut, plan->view.in_place && taps == 1);
            }
        }
        for (size_t i = 0; plan->dots && i < groups * rows * columns; ++i)
            sums[i * DOT_LANES] = dot_fold(sums + i * DOT_LANES);
        for (size_t g = 0; plan->dots && g < groups; ++g)
            weight_finish(a, sums + g * rows * columns * DOT_LANES, DOT_LANES, columns * DOT_LANES, group + g, row, rows, first, first + columns);
        if (!plan->dots)
            weight_finish(a, sums, vectors * TILE_LANES, 1, group, row, rows, first, first + columns);
    }
}

static void weight_piece(const fnn_conv_weight_args *a, const fnn_conv_weight_plan *plan, const fnn_winograd_weight_plan *winograd, T *scratch, size_t piece,
                         size_t part, size_t parts)
{
    if (a->winograd)
        winograd_weight_piece(a, winograd, scratch, piece, part, parts);
    else
        direct_weight_piece(a, plan, scratch, piece, part, parts);
}

/* The sum of the pieces that all shares have, to dw or added to it. */
static void weight_add_pieces(const fnn_conv_weight_args *a, size_t size, size_t room, size_t pieces, size_t parts)
{
    const size_t weights = fnn_conv_weights(a);
    const T *of[FNN_CONV_PIECES];
    for (size_t q = 0; q < parts; ++q) {
        size_t piece, last;
        fnn_share(pieces, 1, q, parts, &piece, &last);
        for (size_t i = 0; piece + i < last; ++i)
            of[piece + i] = (const T *)a->scratch + q * room + size + i * fnn_conv_round(weights);
    }
    for (size_t i = 0; i < weights; i += W) {
        T *to = (T *)a->dw + i;
        const size_t n = weights - i < W ? weights - i : W;
        V sum = v_load_n(of[0] + i, n);
        for (size_t piece = 1; piece < pieces; ++piece)
            sum = v_add(sum, v_load_n(of[piece] + i, n));
        v_store_n(to, a->accumulate ? v_add(v_load_n(to, n), sum) : sum, n);
    }
}

/* The gradient of few weights goes by pieces, one after the other in a share, each to scratch; the last share adds them up. */
KERNEL(conv_weight_gradient, conv_weight)
{
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    if (!a->winograd && fnn_conv_is_depthwise(&s)) {
        depthwise_weight_gradient(a, &s, part, parts);
        return;
    }
    const size_t weights = fnn_conv_weights(a);
    const fnn_winograd_weight_plan winograd = a->winograd ? fnn_winograd_make_weight_plan(&s, weights, TILE_LANES, sizeof(T), parts) : (fnn_winograd_weight_plan){0};
    const fnn_conv_weight_plan plan = a->winograd ? (fnn_conv_weight_plan){0} : fnn_conv_make_weight_plan(&s, weights, TILE_LANES, sizeof(T), parts);
    const size_t pieces = a->winograd ? winograd.pieces : plan.pieces, size = a->winograd ? winograd.size : plan.size;
    const size_t room = fnn_conv_weight_room(size, weights, pieces, parts), rounded = fnn_conv_round(weights);
    T *scratch = (T *)a->scratch + part * room;
    if (pieces == 1) {
        weight_piece(a, &plan, &winograd, scratch, 0, part, parts);
        return;
    }
    size_t piece, last;
    fnn_share(pieces, 1, part, parts, &piece, &last);
    fnn_conv_weight_args own = *a;
    own.accumulate = 0;
    for (T *dw = scratch + size; piece < last; ++piece, dw += rounded) {
        own.dw = dw;
        weight_piece(&own, &plan, &winograd, scratch, piece, 0, 1);
    }
    if (part + 1 < parts)
        fnn_share_done();
    else if (!fnn_wait_for_shares(parts - 1))
        weight_add_pieces(a, size, room, pieces, parts);
}

/* y[c] = sum over n and p of x[n, c, p], or that added to y[c]: the gradient of a bias. Shares are channels. The rows x[n, c, :] are dealt to
 * reduce.h's lanes one by one. */
KERNEL(channel_sums, channel_sums)
{
    size_t c, end;
    fnn_share(a->channels, 1, part, parts, &c, &end);
    for (; c < end; ++c) {
        T *y = (T *)a->y + c, sum;
        Lanes total = lanes_zero();
        for (size_t n = 0; n < a->outer; ++n) {
            const T *x = (const T *)a->x + (n * a->channels + c) * a->inner;
            Lanes row = lanes_zero();
            size_t i = 0;
            for (; i + LANES <= a->inner; i += LANES)
                row = lanes_add(row, lanes_load(x + i));
            if (i < a->inner)
                row = lanes_add(row, lanes_load_n(x + i, a->inner - i, 0));
            total = lanes_add(total, row);
        }
        sum = lanes_sum(total);
        *y = a->accumulate ? *y + sum : sum;
    }
}
