/* conv.h — convolution: y[n, o, p] = activation(sum over k = (c, tap) of weight[o, k] x[n, c, p step + tap dilation + origin] + bias[o]).
 *
 * The gradient of the input and the transposed convolution are the same sum with the weights turned round; with a step of their own they
 * are several, each of which has the positions first, first + step, … of the result (y_first, y_step).
 *
 * Every element is one chain of fused multiply-adds over k in ascending order from 0, then the bias, then the activation: gemm/gemm.h's chain.
 * Vectors run over positions. Loops (geometry.h has the terms):
 *   bunches of groups, parts of the rows, blocks             a share has a range of these
 *     chunks of channels                                     fill the buffer with the block's input; it stays in L2
 *      groups of the bunch                                   several only where a group's input is small
 *       a few vectors of positions                           their patches stay in L1
 *         tiles of rows                                      tile.h
 *     activation of the finished rows
 * Where rows of positions would leave many lanes idle (widths just above a multiple of the lanes, small images), the chunk's patches
 * are packed into panels, whose columns run on across rows and images, and the tiles are the matrix product's.
 * Other ways: images.h, for many small images; channels.h, for many channels; depthwise.h; winograd.h. */

#include "geometry.h"
#include "channels_plan.h"
#include "depthwise_plan.h"
#include "images_plan.h"
#include "winograd_plan.h"
#include "patches.h"
#include "tile.h"

/* Tiles [first, end) of the rows, for a block of positions in one chunk of channels. */
typedef struct conv_work {
    const fnn_conv_args *a;
    const tile_real *patches, *weight, *bias;   /* weight, bias: the group's; bias NULL before the last chunk */
    const ptrdiff_t *offsets, *order;
    tile_real *y, *panels;                      /* y: of the first image, the group's first row */
    const conv_span *span, *place;              /* positions that are neighbours in the patches, or at least in y */
    size_t spans, cols, first, end, k, k_before, k_all;     /* k of this chunk, of the chunks before, of all */
    ptrdiff_t y_row;
    int straight, buffered;                     /* the positions are neighbours in y; the patches are in the buffer, not in x */
} conv_work;

typedef struct conv_rows {
    size_t row, rows;
    const tile_real *weight, *bias;
} conv_rows;

FNN_INLINE size_t conv_first_row(gemm_cut tiles, size_t s)
{
    return s * tiles.low + (s < tiles.high ? s : tiles.high);
}

/* Tile `s` of a group's rows. */
FNN_INLINE conv_rows conv_tile(const tile_real *weight, const tile_real *bias, size_t k_all, gemm_cut tiles, size_t s)
{
    const size_t row = conv_first_row(tiles, s);
    return (conv_rows){row, tiles.low + (s < tiles.high), weight + row * k_all, bias ? bias + row : NULL};
}

/* n numbers, from every x_step-th to every y_step-th. */
FNN_INLINE void conv_move(tile_real *y, size_t y_step, const tile_real *x, size_t x_step, size_t n)
{
    size_t i = 0;
    if (x_step == 1 && y_step == 1) {
        for (; i + TILE_LANES <= n; i += TILE_LANES)
            tile_store(y + i, tile_load(x + i));
        if (i < n)
            tile_store_mask(y + i, tile_mask_of(n - i), tile_load_mask(x + i, tile_mask_of(n - i)));
    } else if (x_step == 1 && y_step == 2) {
        for (; i < n; ++i)
            y[2 * i] = x[i];
    } else {
        for (; i < n; ++i)
            y[i * y_step] = x[i * x_step];
    }
}

/* A position of a block: which span it is in, and how many of that span are before it. */
typedef struct conv_at {
    size_t span, skip;
} conv_at;

/* n positions on. */
FNN_INLINE conv_at conv_advance(conv_at at, const conv_span *span, size_t n)
{
    for (at.skip += n; at.skip >= span[at.span].n; ++at.span)
        at.skip -= span[at.span].n;
    return at;
}

/* A row of `cols` positions to y, or from y, where they are `step` apart; the first `skip` of the first span are not among them. */
static void conv_scatter(tile_real *y, const tile_real *row, const conv_span *span, size_t skip, size_t cols, size_t step)
{
    for (size_t n; cols > 0; ++span, skip = 0, row += n, cols -= n) {
        n = span->n - skip < cols ? span->n - skip : cols;
        conv_move(y + span->to + (ptrdiff_t)(skip * step), step, row, 1, n);
    }
}

static void conv_gather(tile_real *row, const tile_real *y, const conv_span *span, size_t skip, size_t cols, size_t step)
{
    for (size_t n; cols > 0; ++span, skip = 0, row += n, cols -= n) {
        n = span->n - skip < cols ? span->n - skip : cols;
        conv_move(row, 1, y + span->to + (ptrdiff_t)(skip * step), step, n);
    }
}

static void conv_over_patches(const conv_work *w)
{
    const gemm_cut tiles = gemm_cut_evenly(w->a->rows, TILE_ROWS);
    const gemm_cut groups = gemm_cut_evenly(w->spans, conv_tile_vecs(tiles.low + (tiles.high > 0)));
    const conv_span *span = w->span;
    const size_t step = w->a->y_step[2];
    tile_real buffer[TILE_SUMS * TILE_LANES];       /* for positions that are no neighbours in y */
    conv_tile_args t;
    t.offsets = w->offsets, t.order = w->order, t.k = w->k, t.c_step = w->y_row, t.add = w->k_before > 0;
    for (size_t g = 0, vecs; g < groups.parts; ++g, span += vecs) {
        vecs = groups.low + (g < groups.high);
        for (size_t v = 0; v < vecs; ++v) {
            t.b[v] = w->patches + span[v].from;
            t.n[v] = span[v].n;
        }
        for (size_t s = w->first; s < w->end; ++s) {
            const conv_rows r = conv_tile(w->weight, w->bias, w->k_all, tiles, s);
            t.a = r.weight + w->k_before * r.rows, t.bias = r.bias;
            tile_real *y = w->y + (ptrdiff_t)r.row * w->y_row;
            if (step == 1) {
                for (size_t v = 0; v < vecs; ++v)
                    t.c[v] = y + span[v].to;
                conv_tile_kernels[r.rows][vecs](&t);
                continue;
            }
            t.c_step = (ptrdiff_t)(vecs * TILE_LANES);
            for (size_t v = 0; v < vecs; ++v)
                t.c[v] = buffer + v * TILE_LANES;
            for (size_t v = 0; v < vecs && t.add; ++v)
                for (size_t i = 0; i < r.rows; ++i)
                    conv_gather(t.c[v] + (ptrdiff_t)i * t.c_step, y + (ptrdiff_t)i * w->y_row, span + v, 0, span[v].n, step);
            conv_tile_kernels[r.rows][vecs](&t);
            for (size_t v = 0; v < vecs; ++v)
                for (size_t i = 0; i < r.rows; ++i)
                    conv_scatter(y + (ptrdiff_t)i * w->y_row, t.c[v] + (ptrdiff_t)i * t.c_step, span + v, 0, span[v].n, step);
        }
    }
}

static void conv_over_panels(const conv_work *w)
{
    const gemm_cut tiles = gemm_cut_evenly(w->a->rows, TILE_ROWS);
    const gemm_cut panels = gemm_cut_evenly(fnn_gemm_ceil(w->cols, TILE_LANES), tile_vecs(tiles.low + (tiles.high > 0)));
    const size_t step = w->a->y_step[2];
    conv_at to = {0, 0}, place[FNN_CONV_COLUMNS]; /* where each panel begins */
    for (size_t q = 0, j = 0; q < panels.parts; ++q) {
        place[q] = to;
        j += (panels.low + (q < panels.high)) * TILE_LANES;
        if (j < w->cols)
            to = conv_advance(to, w->place, (panels.low + (q < panels.high)) * TILE_LANES);
    }
    const size_t bunch = w->spans == 1 ? 4 : w->k; /* a long row of patches is read along all panels, few at a time: down a panel every step is in another page */
    for (size_t k = 0; k < w->k; k += bunch) {
        conv_at at = {0, 0};
        for (size_t q = 0, j = 0, cols; q < panels.parts; ++q, j += cols) {
            const size_t width = (panels.low + (q < panels.high)) * TILE_LANES;
            cols = w->cols - j < width ? w->cols - j : width;
            for (size_t r = k + bunch; r < w->k && r < k + 2 * bunch; ++r)
                for (size_t i = 0; i < cols; i += TILE_CACHE_LINE)
                    tile_prefetch(w->patches + w->offsets[r] + w->span->from + j + i);
            conv_pack(w->panels + j * w->k + k * width, width, w->patches, w->offsets + k, w->k - k < bunch ? w->k - k : bunch, w->span + at.span, at.skip, cols,
                      w->buffered);
            if (j + cols < w->cols)
                at = conv_advance(at, w->span, cols);
        }
    }
    tile_real buffer[TILE_SUMS * TILE_LANES];
    tile_args t = {0};
    t.k = w->k;
    t.start = w->k_before ? TILE_START_C : TILE_START_ZERO;
    for (size_t s = w->first; s < w->end; ++s) {
        const conv_rows r = conv_tile(w->weight, w->bias, w->k_all, tiles, s);
        tile_real *y = w->y + (ptrdiff_t)r.row * w->y_row;
        t.a = r.weight + w->k_before * r.rows, t.a_step = (ptrdiff_t)r.rows;
        t.bias = r.bias, t.bias_step = 1, t.bias_kind = r.bias ? TILE_BIAS_COLUMN : TILE_BIAS_NONE;
        for (size_t q = 0, j = 0, cols; q < panels.parts; ++q, j += cols) {
            const size_t vecs = panels.low + (q < panels.high), width = vecs * TILE_LANES;
            cols = w->cols - j < width ? w->cols - j : width;
            t.b = w->panels + j * w->k, t.b_step = (ptrdiff_t)width;
            t.last = cols - (vecs - 1) * TILE_LANES;
            t.c = w->straight ? y + w->span->to + (ptrdiff_t)j : buffer;
            t.c_step = w->straight ? w->y_row : (ptrdiff_t)width;
            t.next = w->straight ? (ptrdiff_t)cols : 0;
            if (!w->straight && w->k_before)
                for (size_t i = 0; i < r.rows; ++i)
                    conv_gather(buffer + i * width, y + (ptrdiff_t)i * w->y_row, w->place + place[q].span, place[q].skip, cols, step);
            tile_kernels[TILE_MASKED_INDEX(t.last)][1][r.rows][vecs](&t);
            if (!w->straight)
                for (size_t i = 0; i < r.rows; ++i)
                    conv_scatter(y + (ptrdiff_t)i * w->y_row, buffer + i * width, w->place + place[q].span, place[q].skip, cols, step);
        }
    }
}

/* The activation of rows [begin, end) of a block's positions, which are neighbours in y within an image or a row. */
static void conv_activate(const conv_work *w, size_t begin, size_t end, size_t images, size_t image, size_t n)
{
    for (size_t i = 0; i < images; ++i)
        for (size_t row = begin; row < end; ++row) {
            tile_real *y = w->y + w->span->to + (ptrdiff_t)(i * image) + (ptrdiff_t)row * w->y_row;
            fnn_map_args map = {y, y, n, w->a->p, w->a->q};
            w->a->activation(&map, 0, 1);
        }
}

#include "images.h"
#include "winograd_points.h"
#include "winograd_pack.h"
#include "winograd_views.h"
#include "winograd_halved.h"
#include "winograd_patches.h"
#include "winograd.h"
#include "depthwise.h"
#include "channels.h"

KERNEL(conv_forward, conv)
{
    const fnn_conv_shape s = fnn_conv_shape_of(a);
    if (fnn_conv_by_winograd(a->form)) {
        winograd_forward(a, part, parts);
        return;
    }
    if (TILE_LANES > 1 && a->form == FNN_CONV_CHANNELS) {
        conv_over_channels(a, &s, part, parts);
        return;
    }
    if (a->form == FNN_CONV_TURNED) {
        depthwise_turned(a, &s, part, parts);
        return;
    }
    const fnn_gemm_blocks *sizes = &fnn_gemm_block_sizes[TILE_ISA][FNN_DTYPE];
    const size_t taps = fnn_conv_taps(s.taps), k_all = s.channels * taps;
    const int dense = fnn_conv_is_dense(a);
    if (fnn_conv_is_over_images(&s, dense, TILE_LANES, sizeof(tile_real)) && (fnn_conv_inside(&s) || conv_finite(a->weight, s.groups * s.rows * k_all))) {
        const fnn_conv_images_plan plan = fnn_conv_make_images_plan(&s, TILE_LANES, TILE_ROWS, sizeof(tile_real), parts);
        conv_over_images(a, &s, &plan, part, parts);
        return;
    }
    if (fnn_conv_is_depthwise(&s)) {
        depthwise_forward(a, &s, part, parts);
        return;
    }
    const fnn_conv_plan plan = fnn_conv_make_plan(&s, sizes->lanes, sizes->rows, sizeof(tile_real), parts);
    const size_t in_channel = s.x_size[0] * s.x_size[1] * s.x_size[2], y_plane = a->y_size[0] * a->y_size[1] * a->y_size[2];
    tile_real *scratch = (tile_real *)a->scratch + part * (2 * plan.terms + plan.buffer + plan.panels), *buffer = scratch + 2 * plan.terms;
    ptrdiff_t *order = (ptrdiff_t *)(scratch + plan.terms);
    conv_span span[FNN_CONV_COLUMNS], place[FNN_CONV_COLUMNS];
    conv_work w = {0};
    w.a = a;
    w.offsets = (ptrdiff_t *)scratch;
    w.order = order;
    w.panels = buffer + plan.buffer;
    w.k_all = k_all;
    w.y_row = (ptrdiff_t)y_plane;
    w.span = span;
    w.place = dense ? place : span;
    w.buffered = !plan.view.in_place;
    conv_offsets((ptrdiff_t *)scratch, &s, &plan.view, plan.chunk);
    for (size_t k = 0; k < plan.chunk * taps; ++k)
        order[k] = (ptrdiff_t)k;

    size_t unit, last;
    const gemm_cut tiles = gemm_cut_evenly(s.rows, TILE_ROWS);
    fnn_share(plan.bunches * plan.row_parts * plan.blocks.total, 1, part, parts, &unit, &last);
    for (; unit < last; ++unit) {
        const size_t block = unit % plan.blocks.total, row_part = unit / plan.blocks.total % plan.row_parts;
        const size_t group = unit / plan.blocks.total / plan.row_parts * plan.bunch, groups = s.groups - group < plan.bunch ? s.groups - group : plan.bunch;
        size_t start[4], extent[4];
        if (fnn_interrupted())
            return;
        fnn_share(tiles.parts, 1, row_part, plan.row_parts, &w.first, &w.end);
        fnn_conv_block(&plan.blocks, s.batch, s.out, block, start, extent);
        w.spans = conv_spans(span, &s, &plan.view, start, extent, plan.packed ? FNN_CONV_COLUMNS : TILE_LANES, a->y_size, a->y_step, a->y_first,
                             s.groups * s.rows * y_plane);
        w.cols = extent[0] * extent[1] * extent[2] * extent[3];
        w.straight = dense && extent[0] == 1;
        for (size_t n = 0; dense && n < extent[0]; ++n)
            place[n] = (conv_span){0, span->to + (ptrdiff_t)(n * s.groups * s.rows * y_plane), w.cols / extent[0]};
        const tile_real *x = (const tile_real *)a->x + group * s.channels * in_channel;
        for (size_t c = 0; c == 0 || c < s.channels; c += plan.chunk) {
            const size_t channels = s.channels - c < plan.chunk ? s.channels - c : plan.chunk;
            w.patches = buffer;
            if (plan.view.in_place)
                w.patches = x + c * in_channel + fnn_conv_start(&s, &plan.view, start);
            else
                conv_fill(buffer, x, &s, &plan.view, start, extent, c, groups * channels);
            w.k = channels * taps, w.k_before = c * taps;
            for (size_t g = group; g < group + groups; ++g, w.patches += plan.view.channel * (ptrdiff_t)channels) {
                w.y = (tile_real *)a->y + g * s.rows * y_plane;
                w.weight = (const tile_real *)a->weight + g * s.rows * w.k_all;
                w.bias = a->bias && c + channels == s.channels ? (const tile_real *)a->bias + g * s.rows : NULL;
                if (plan.packed)
                    conv_over_panels(&w);
                else
                    conv_over_patches(&w);
            }
            if (channels == 0)
                break;
        }
        if (a->activation) { /* dense: the caller sees to it */
            const size_t begin = conv_first_row(tiles, w.first), end = conv_first_row(tiles, w.end);
            for (size_t g = group; g < group + groups; ++g) {
                w.y = (tile_real *)a->y + g * s.rows * y_plane;
                conv_activate(&w, begin, end, extent[0], s.groups * s.rows * y_plane, w.cols / extent[0]);
            }
        }
    }
}

/* Weights [row][tap] of one channel, in any order in memory, to taps x rows; `rows` is best constant. */
FNN_INLINE void conv_pack_turned(tile_real *to, const tile_real *from, const fnn_conv_pack_weight_args *a, const size_t rows)
{
    for (size_t i = 0; i < a->taps[0]; ++i)
        for (size_t j = 0; j < a->taps[1]; ++j)
            for (size_t l = 0; l < a->taps[2]; ++l, to += rows) {
                const tile_real *w = from + (ptrdiff_t)i * a->w_tap[0] + (ptrdiff_t)j * a->w_tap[1] + (ptrdiff_t)l * a->w_tap[2];
                TILE_UNROLL for (size_t r = 0; r < rows; ++r)
                    to[r] = w[(ptrdiff_t)r * a->w_row];
            }
}

/* The weights of `rows` rows, in order of k in memory, to k x rows. The last few go by themselves, since pack_a writes up to a vector too far. */
static void conv_pack_rows(tile_real *to, const tile_real *from, ptrdiff_t w_row, size_t rows, size_t k)
{
    const size_t apart = fnn_gemm_ceil(TILE_LANES, rows), most = k > apart ? k - apart : 0;
    if (most)
        pack_a(to, from, w_row, 1, rows, most, 1);
    for (size_t p = most; p < k; ++p)
        for (size_t r = 0; r < rows; ++r)
            to[p * rows + r] = from[(ptrdiff_t)r * w_row + (ptrdiff_t)p];
}

/* packed: for each group and each tile of its rows, k x rows: the order in which the tiles read weights. Weights that are not in order of k mostly have
 * their rows together: they are read channel by channel. */
KERNEL(conv_pack_weight, conv_pack_weight)
{
    if (fnn_conv_by_winograd(a->form)) {
        winograd_pack_weight(a, part, parts);
        return;
    }
    const gemm_cut tiles = gemm_cut_evenly(a->rows, TILE_ROWS);
    const size_t taps = a->taps[0] * a->taps[1] * a->taps[2], k = a->channels * taps;
    const int in_order = a->w_tap[2] == 1 && a->w_tap[1] == (ptrdiff_t)a->taps[2] && a->w_tap[0] == (ptrdiff_t)(a->taps[1] * a->taps[2]) &&
                         a->w_channel == (ptrdiff_t)taps;
    if (TILE_LANES > 1 && a->form == FNN_CONV_CHANNELS) {
        channel_pack_weight(a, in_order, part, parts);
        return;
    }
    size_t unit, last;
    fnn_share(a->groups * tiles.parts, 1, part, parts, &unit, &last);
    for (size_t count; unit < last; unit += count) {
        const size_t group = unit / tiles.parts, first = unit % tiles.parts, left = tiles.parts - first;
        const tile_real *weight = (const tile_real *)a->weight + (ptrdiff_t)group * a->w_group;
        tile_real *packed = (tile_real *)a->packed + group * a->rows * k;
        count = left < last - unit ? left : last - unit;
        for (size_t c = 0; c < (in_order ? 1 : a->channels); ++c)
            for (size_t s = first; s < first + count; ++s) {
                const size_t rows = tiles.low + (s < tiles.high), row = conv_first_row(tiles, s);
                const tile_real *from = weight + (ptrdiff_t)row * a->w_row + (ptrdiff_t)c * a->w_channel;
                tile_real *to = packed + row * k + c * taps * rows;
                if (in_order)
                    conv_pack_rows(to, from, a->w_row, rows, k);
                else if (rows == TILE_ROWS)
                    conv_pack_turned(to, from, a, TILE_ROWS);
                else if (rows == TILE_ROWS - 1)
                    conv_pack_turned(to, from, a, TILE_ROWS - 1);
                else
                    conv_pack_turned(to, from, a, rows);
            }
    }
}
