/* channels.h — convolution with vectors along the rows of the result, its channels: then a patch is read number by number, so that neither must it be packed nor are short
 * rows of positions a waste. Weights lie in panels of up to CHANNEL_VECS vectors of rows, k x width. Loops:
 *   groups, blocks, parts of the panels                      a share has a range of these; a block's input of all channels is copied with its zeros around it (L2)
 *     panels
 *       chunks of k                                          their weights stay in L2
 *         a few positions                                    channel_tile; sums are kept positions x width
 *       turn the sums round, to y
 *     activation
 * The chains are conv.h's. */

enum { CHANNEL_VECS = FNN_CONV_CHANNELS_VECS(TILE_ROWS), CHANNEL_CHUNK = 320 };

typedef struct channel_tile_args {
    tile_real *c;               /* positions x width */
    const tile_real *x, *b;     /* the first position's first patch; k x width */
    const tile_real *bias;      /* width, or NULL */
    const ptrdiff_t *offsets;   /* k */
    size_t k;
    int add;                    /* to what is there */
} channel_tile_args;

FNN_INLINE void channel_tile_run(const channel_tile_args *t, const int rows, const int vecs)
{
    tile_vec sum[TILE_ROWS][CHANNEL_VECS];
    const tile_real *b = t->b;
    const ptrdiff_t *offset = t->offsets;
    TILE_UNROLL for (int r = 0; r < rows; ++r)
        TILE_UNROLL for (int v = 0; v < vecs; ++v)
            sum[r][v] = t->add ? tile_load(t->c + (r * vecs + v) * TILE_LANES) : tile_zero();
    for (size_t k = t->k; k > 0; --k, ++offset, b += vecs * TILE_LANES) {
        const tile_real *number = t->x + *offset;
        tile_prefetch(number + TILE_CACHE_LINE);        /* for the positions after these */
        tile_vec x[CHANNEL_VECS];
        TILE_UNROLL for (int v = 0; v < vecs; ++v) {
            x[v] = tile_load(b + v * TILE_LANES);
            tile_prefetch(b + (8 * vecs + v) * TILE_LANES);
        }
        TILE_UNROLL for (int r = 0; r < rows; ++r)
            tile_row(sum[r], x, number + r, vecs, r, rows);
    }
    TILE_UNROLL for (int r = 0; r < rows; ++r)
        TILE_UNROLL for (int v = 0; v < vecs; ++v)
            tile_store(t->c + (r * vecs + v) * TILE_LANES, t->bias ? tile_add(sum[r][v], tile_load(t->bias + v * TILE_LANES)) : sum[r][v]);
}

typedef void (*channel_tile)(const channel_tile_args *t);

#define CHANNEL_NAME_(rows, vecs, dtype, isa) fnn_channel_tile_##rows##x##vecs##_##dtype##_##isa
#define CHANNEL_NAME__(rows, vecs, dtype, isa) CHANNEL_NAME_(rows, vecs, dtype, isa)
#define CHANNEL_NAME(rows, vecs) CHANNEL_NAME__(rows, vecs, FNN_DTYPE_NAME, FNN_ISA_NAME)
#define CHANNEL_DEFINE(rows, vecs) static void CHANNEL_NAME(rows, vecs)(const channel_tile_args *t) { channel_tile_run(t, rows, vecs); }
#define CHANNEL_ENTRY(rows, vecs) [rows][vecs] = CHANNEL_NAME(rows, vecs),
#if FNN_CONV_CHANNELS_VECS(TILE_ROWS) == 4
#define CHANNEL_LIST(X)                                                                                                       \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2) X(1, 3) X(2, 3) X(3, 3) X(4, 3) X(5, 3) X(6, 3) X(7, 3)    \
    X(8, 3) X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4) X(7, 4)
#elif TILE_LANES > 1
#define CHANNEL_LIST(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)
#else
#define CHANNEL_LIST(X) X(1, 1)     /* not used */
#endif
CHANNEL_LIST(CHANNEL_DEFINE)
static const channel_tile channel_tiles[9][CHANNEL_VECS + 1] = {CHANNEL_LIST(CHANNEL_ENTRY)};

/* The most positions in a tile of so many vectors. */
static size_t channel_rows(size_t vecs)
{
    size_t rows = 8;
    while (rows > 1 && !channel_tiles[rows][vecs])
        --rows;
    return rows;
}

/* What a block's channels have in common. */
typedef struct channel_work {
    const fnn_conv_args *a;
    const ptrdiff_t *offsets;
    tile_real *sums, *turned, *y;               /* y: of the first image, the group's first row */
    const tile_real *patches, *weight, *bias;   /* weight, bias: the group's; bias may be NULL */
    const conv_span *span, *place;              /* positions that are neighbours in the patches, or at least in y */
    size_t spans, cols, k;
    ptrdiff_t y_row;
} channel_work;

/* The results of the panel of vectors [first, first + vecs), in sums. */
static void channel_products(const channel_work *w, size_t first, size_t vecs)
{
    const size_t width = vecs * TILE_LANES, rows = w->a->rows - first * TILE_LANES < width ? w->a->rows - first * TILE_LANES : width;
    tile_real bias[CHANNEL_VECS * TILE_LANES] = {0};
    if (w->bias)
        memcpy(bias, w->bias + first * TILE_LANES, rows * sizeof *bias);
    for (size_t k = 0; k < w->k; k += CHANNEL_CHUNK) {
        channel_tile_args t = {0};
        t.k = w->k - k < CHANNEL_CHUNK ? w->k - k : CHANNEL_CHUNK;
        t.b = w->weight + first * TILE_LANES * w->k + k * width, t.offsets = w->offsets + k;
        t.bias = w->bias && k + t.k == w->k ? bias : NULL;
        t.add = k > 0;
        t.c = w->sums;
        for (size_t i = 0; i < w->spans; t.c += w->span[i++].n * width) {
            t.x = w->patches + w->span[i].from;
            channel_tiles[w->span[i].n][vecs](&t);
        }
    }
}

/* The same to y, row by row. */
static void channel_turn_back(const channel_work *w, size_t first, size_t vecs)
{
    const size_t width = vecs * TILE_LANES, pitch = fnn_conv_round(w->cols + TILE_LANES);
    for (size_t v = 0; v < vecs; ++v) {
        const size_t row = (first + v) * TILE_LANES, rows = w->a->rows - row < TILE_LANES ? w->a->rows - row : TILE_LANES;
        for (size_t p = 0; p < w->cols; p += TILE_LANES)
            pack_transpose(w->turned + p, (ptrdiff_t)pitch, w->sums + p * width + v * TILE_LANES, (ptrdiff_t)width, w->cols - p < TILE_LANES ? w->cols - p : TILE_LANES,
                           TILE_LANES, 1);
        for (size_t r = 0; r < rows; ++r)
            conv_scatter(w->y + (ptrdiff_t)(row + r) * w->y_row, w->turned + r * pitch, w->place, 0, w->cols, w->a->y_step[2]);
    }
}

static void conv_over_channels(const fnn_conv_args *a, const fnn_conv_shape *s, size_t part, size_t parts)
{
    const fnn_conv_channels_plan plan = fnn_conv_make_channels_plan(s, TILE_LANES, TILE_ROWS, sizeof(tile_real), parts);
    const size_t in_channel = s->x_size[0] * s->x_size[1] * s->x_size[2], y_plane = a->y_size[0] * a->y_size[1] * a->y_size[2], y_image = s->groups * s->rows * y_plane;
    const int dense = fnn_conv_is_dense(a);
    const gemm_cut panels = gemm_cut_evenly(plan.vectors, plan.most);
    tile_real *scratch = (tile_real *)a->scratch + part * plan.size, *buffer = scratch + plan.terms;
    conv_span span[FNN_CONV_COLUMNS], place[FNN_CONV_COLUMNS];
    channel_work w = {.a = a, .offsets = (ptrdiff_t *)scratch, .sums = buffer + plan.buffer, .span = span, .place = place};
    w.turned = w.sums + plan.sums;
    w.k = s->channels * fnn_conv_taps(s->taps);
    w.y_row = (ptrdiff_t)y_plane;
    conv_offsets((ptrdiff_t *)scratch, s, &plan.view, s->channels);
    size_t unit, last;
    fnn_share(s->groups * plan.panel_parts * plan.blocks.total, 1, part, parts, &unit, &last);
    for (; unit < last; ++unit) {
        const size_t block = unit % plan.blocks.total, panel_part = unit / plan.blocks.total % plan.panel_parts, group = unit / plan.blocks.total / plan.panel_parts;
        size_t start[4], extent[4], panel, end;
        fnn_share(panels.parts, 1, panel_part, plan.panel_parts, &panel, &end);
        fnn_conv_block(&plan.blocks, s->batch, s->out, block, start, extent);
        w.spans = conv_spans(span, s, &plan.view, start, extent, fnn_conv_even(extent[3], channel_rows(panels.low + (panels.high > 0))), a->y_size, a->y_step, a->y_first,
                             y_image);
        w.cols = extent[0] * extent[1] * extent[2] * extent[3];
        if (!dense)
            conv_spans(place, s, &plan.view, start, extent, extent[3], a->y_size, a->y_step, a->y_first, y_image);
        for (size_t n = 0; dense && n < extent[0]; ++n)
            place[n] = (conv_span){0, span->to + (ptrdiff_t)(n * y_image), w.cols / extent[0]};
        const tile_real *x = (const tile_real *)a->x + group * s->channels * in_channel;
        w.patches = plan.view.in_place ? x + fnn_conv_start(s, &plan.view, start) : buffer;
        if (!plan.view.in_place)
            conv_fill(buffer, x, s, &plan.view, start, extent, 0, s->channels);
        w.y = (tile_real *)a->y + group * s->rows * y_plane;
        w.weight = (const tile_real *)a->weight + group * plan.vectors * TILE_LANES * w.k;
        w.bias = a->bias ? (const tile_real *)a->bias + group * s->rows : NULL;
        for (size_t first = panel * panels.low + (panel < panels.high ? panel : panels.high), vecs; panel < end; ++panel, first += vecs) {
            if (fnn_interrupted())
                return;
            vecs = panels.low + (panel < panels.high);
            channel_products(&w, first, vecs);
            channel_turn_back(&w, first, vecs);
            if (a->activation) { /* dense: the caller sees to it */
                const size_t row = first * TILE_LANES, rows = s->rows - row < vecs * TILE_LANES ? s->rows - row : vecs * TILE_LANES;
                for (size_t n = 0; n < extent[0]; ++n)
                    for (size_t r = row; r < row + rows; ++r) {
                        tile_real *y = w.y + place[n].to + (ptrdiff_t)r * w.y_row;
                        fnn_map_args map = {y, y, place[n].n, a->p, a->q};
                        a->activation(&map, 0, 1);
                    }
            }
        }
    }
}

/* Weights of one of the convolutions that are packed together: where its panels go; its first tap, from the first of all; its taps. */
typedef struct channel_place {
    tile_real *to;
    ptrdiff_t first;
    size_t taps[3];
} channel_place;

enum { CHANNEL_PLACES = 8 };

static size_t channel_places(channel_place *place, const fnn_conv_pack_weight_args *a)
{
    const size_t all = a->places[0] * a->places[1] * a->places[2];
    tile_real *to = a->packed;
    for (size_t q = 0; q < all; ++q) {
        place[q] = (channel_place){to, 0, {0}};
        for (size_t axis = 3, left = q; axis-- > 0; left /= a->places[axis]) {
            const int second = left % a->places[axis] > 0;
            place[q].first += second ? a->second_first[axis] : 0;
            place[q].taps[axis] = second ? a->second_taps[axis] : a->taps[axis];
        }
        to += a->groups * fnn_conv_ceil(a->rows, TILE_LANES) * TILE_LANES * a->channels * fnn_conv_taps(place[q].taps);
    }
    return all;
}

/* n numbers, `step` apart. */
static void channel_take(tile_real *to, const tile_real *from, ptrdiff_t step, size_t n)
{
    for (; n >= 8; n -= 8, to += 8, from += 8 * step) {
        const tile_real *half = from + 4 * step;
        const tile_real a = from[0], b = from[step], c = from[2 * step], d = from[3 * step], e = half[0], f = half[step], g = half[2 * step], h = half[3 * step];
        to[0] = a, to[1] = b, to[2] = c, to[3] = d, to[4] = e, to[5] = f, to[6] = g, to[7] = h;
    }
    for (; n > 0; --n, from += step)
        *to++ = *from;
}

/* packed: for each group and each panel of its rows, k x width. */
static void channel_pack_weight(const fnn_conv_pack_weight_args *a, int in_order, size_t part, size_t parts)
{
    const size_t vectors = fnn_conv_ceil(a->rows, TILE_LANES);
    const gemm_cut panels = gemm_cut_evenly(vectors, CHANNEL_VECS);
    channel_place place[CHANNEL_PLACES];
    const size_t places = channel_places(place, a);
    size_t unit, last;
    fnn_share(a->groups * panels.parts, 1, part, parts, &unit, &last);
    for (; unit < last; ++unit) {
        const size_t group = unit / panels.parts, panel = unit % panels.parts, width = (panels.low + (panel < panels.high)) * TILE_LANES;
        const size_t row = (panel * panels.low + (panel < panels.high ? panel : panels.high)) * TILE_LANES, rows = a->rows - row < width ? a->rows - row : width;
        const tile_real *from = (const tile_real *)a->weight + (ptrdiff_t)group * a->w_group + (ptrdiff_t)row * a->w_row;
        tile_real *to[CHANNEL_PLACES];
        for (size_t q = 0; q < places; ++q) {
            const size_t k = a->channels * fnn_conv_taps(place[q].taps);
            to[q] = place[q].to + (group * vectors * TILE_LANES + row) * k;
            if (rows < width)
                memset(to[q], 0, k * width * sizeof *to[q]);
            if (in_order)       /* of one: places are turned round */
                pack_b(to[q], width, from, 1, a->w_row, rows, k, 1);
        }
        for (size_t c = 0; c < a->channels && !in_order; ++c, from += a->w_channel) {
            for (size_t r = 0; r < rows; ++r)
                tile_prefetch(from + 2 * a->w_channel + (ptrdiff_t)r * a->w_row);
            for (size_t q = 0; q < places; ++q)
                for (size_t i = 0; i < place[q].taps[0]; ++i)
                    for (size_t j = 0; j < place[q].taps[1]; ++j)
                        for (size_t l = 0; l < place[q].taps[2]; ++l, to[q] += width) {
                            const tile_real *w = from + place[q].first + (ptrdiff_t)i * a->w_tap[0] + (ptrdiff_t)j * a->w_tap[1] + (ptrdiff_t)l * a->w_tap[2];
                            channel_take(to[q], w, a->w_row, rows);
                        }
        }
    }
}
