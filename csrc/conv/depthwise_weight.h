/* depthwise_weight.h — the gradient of the weights of depthwise.h's convolutions: a dot product for every tap, those of a column of the taps together, so that they
 * have their mask in common, or all nine of 3 x 3. The sums have weight_dots.h's virtual lanes, of which number i of a row belongs to lane i mod DOT_LANES. A lane takes images, columns i
 * and rows in ascending order. A share has a range of the channels. */

enum { DEPTHWISE_DOTS = 3 };        /* taps at a time */

/* What the taps of one call have in common. */
typedef struct depthwise_dots_args {
    T *sums;                        /* DOT_LANES for each tap, `sums_tap` apart */
    const T *dy, *const *rows;      /* one image's; dy from DOT_LANES' first column on; depthwise_rows() */
    size_t sums_tap, first, count;  /* the taps' rows */
    ptrdiff_t col;                  /* the column of x that goes with dy's first */
    size_t n;                       /* columns, 1 … DOT_LANES */
} depthwise_dots_args;

/* What all taps of one column of them read of dy and x: which lanes there are. */
typedef struct depthwise_lanes {
    depthwise_span x[DOT_VECTORS];
    size_t dy[DOT_VECTORS];
} depthwise_lanes;

/* Taps of neighbouring rows: row i of x meets rows i, i - 1 and i - 2 of dy, which wait in registers. whole: no lane is outside of dy or x. */
FNN_INLINE void depthwise_slide(V sum[][DOT_VECTORS], const depthwise_dots_args *d, const depthwise_lanes *lanes, const fnn_conv_shape *s, const int step,
                                const int whole)
{
    V y[DEPTHWISE_DOTS][DOT_VECTORS];
    const size_t height = s->out[1], end = height + d->count - 1;
    const T *dy = d->dy;
    TILE_UNROLL for (int t = 0; t < DEPTHWISE_DOTS; ++t)
        DOT_UNROLL for (int v = 0; v < DOT_VECTORS; ++v)
            y[t][v] = v_zero();
    for (size_t i = 0; i < end; ++i, dy += s->out[2]) {
        const T *from = d->rows[d->first + i] + d->col;
        DOT_UNROLL for (int v = 0; v < DOT_VECTORS; ++v) {
            const V x = whole ? depthwise_load_all(from + v * step * W, step) : depthwise_load(from + v * step * W, lanes->x[v], step);
            TILE_UNROLL for (int t = DEPTHWISE_DOTS - 1; t > 0; --t)
                y[t][v] = y[t - 1][v];
            if (i < height)
                y[0][v] = whole ? v_load(dy + v * W) : v_load_span(dy + v * W, 0, lanes->dy[v]);
            TILE_UNROLL for (size_t t = 0; t < DEPTHWISE_DOTS; ++t)
                if (i >= t && i - t < height)
                    sum[t][v] = v_fma(y[t][v], x, sum[t][v]);
        }
    }
}

/* Taps whose rows of x are further apart, or those of neighbours in dy are. */
FNN_INLINE void depthwise_jump(V sum[][DOT_VECTORS], const depthwise_dots_args *d, const depthwise_lanes *lanes, const fnn_conv_shape *s, const int step,
                               const int whole)
{
    const T *dy = d->dy, *const *rows = d->rows;
    size_t tap[DEPTHWISE_DOTS];
    TILE_UNROLL for (size_t t = 0; t < DEPTHWISE_DOTS; ++t)
        tap[t] = (d->first + (t < d->count ? t : 0)) * s->dilation[1];
    for (size_t row = 0; row < s->out[1]; ++row, dy += s->out[2], rows += s->step[1]) {
        const T *from[DEPTHWISE_DOTS];
        TILE_UNROLL for (int t = 0; t < DEPTHWISE_DOTS; ++t)
            from[t] = rows[tap[t]] + d->col;
        DOT_UNROLL for (int v = 0; v < DOT_VECTORS; ++v) {
            const V y = whole ? v_load(dy + v * W) : v_load_span(dy + v * W, 0, lanes->dy[v]);
            TILE_UNROLL for (int t = 0; t < DEPTHWISE_DOTS; ++t)
                sum[t][v] = v_fma(y, whole ? depthwise_load_all(from[t] + v * step * W, step) : depthwise_load(from[t] + v * step * W, lanes->x[v], step), sum[t][v]);
        }
    }
}

FNN_INLINE void depthwise_dots(const depthwise_dots_args *d, const fnn_conv_shape *s, const int step, const int whole)
{
    V sum[DEPTHWISE_DOTS][DOT_VECTORS];
    depthwise_lanes lanes;
    DOT_UNROLL for (int v = 0; v < DOT_VECTORS; ++v) {
        const size_t before = (size_t)v * W;
        lanes.dy[v] = d->n > before ? (d->n - before < W ? d->n - before : W) : 0;
        lanes.x[v] = depthwise_columns(d->col + v * step * W, (ptrdiff_t)s->x_size[2], step * W);
        TILE_UNROLL for (int t = 0; t < DEPTHWISE_DOTS; ++t)
            sum[t][v] = (size_t)t < d->count ? v_load(d->sums + (size_t)t * d->sums_tap + before) : v_zero();
    }
    if (s->step[1] == 1 && s->dilation[1] == 1)
        depthwise_slide(sum, d, &lanes, s, step, whole);
    else
        depthwise_jump(sum, d, &lanes, s, step, whole);
    TILE_UNROLL for (int t = 0; t < DEPTHWISE_DOTS; ++t)
        DOT_UNROLL for (int v = 0; v < DOT_VECTORS; ++v)
            if ((size_t)t < d->count)
                v_store(d->sums + (size_t)t * d->sums_tap + v * W, sum[t][v]);
}

/* All of 3 x 3 neighbours, for n <= W of the lanes: what is read is read once for all rows of taps. sums: of the first tap and lane; col: the column of x that goes with
 * dy's first. */
FNN_INLINE void depthwise_nine_dots(T *sums, const T *dy, const T *const *rows, size_t n, ptrdiff_t col, const fnn_conv_shape *s, const int step)
{
    const ptrdiff_t width = (ptrdiff_t)s->x_size[2];
    const depthwise_span span[3] = {depthwise_columns(col, width, step * W), depthwise_columns(col + 1, width, step * W), depthwise_columns(col + 2, width, step * W)};
    const size_t height = s->out[1];
    V sum[3][3], y[3] = {v_zero(), v_zero(), v_zero()};
    TILE_UNROLL for (int i = 0; i < 9; ++i)
        sum[i / 3][i % 3] = v_load(sums + i * DOT_LANES);
    for (size_t row = 0; row < height + 2 / step; ++row, dy += s->out[2], rows += step) {      /* of dy, and those of x that its taps are the first to read */
        TILE_UNROLL for (int t = 2; t > 0; --t)
            y[t] = y[t - 1];
        if (row < height)
            y[0] = v_load_span(dy, 0, n);
        TILE_UNROLL for (int i = 0; i < step; ++i) {
            V x[3];
            if (i > 0 && row == height)
                break;
            TILE_UNROLL for (int j = 0; j < 3; ++j)
                x[j] = depthwise_load(rows[i] + col + j, span[j], step);
            TILE_UNROLL for (int t = i; t < 3; t += step)
                if (row >= (size_t)(t / step) && row - (size_t)(t / step) < height)
                    TILE_UNROLL for (int j = 0; j < 3; ++j)
                        sum[t][j] = v_fma(y[t / step], x[j], sum[t][j]);
        }
    }
    TILE_UNROLL for (int i = 0; i < 9; ++i)
        v_store(sums + i * DOT_LANES, sum[i / 3][i % 3]);
}

static void depthwise_weight_gradient(const fnn_conv_weight_args *a, const fnn_conv_shape *s, size_t part, size_t parts)
{
    const size_t x_plane = s->x_size[1] * s->x_size[2], y_plane = s->out[1] * s->out[2], taps = s->taps[1] * s->taps[2];
    const ptrdiff_t reach = (ptrdiff_t)s->step[2] * DOT_LANES, width = (ptrdiff_t)s->x_size[2];
    T *zeros = (T *)a->scratch + part * fnn_depthwise_weight_scratch(s, sizeof(T)), *sums = zeros + fnn_depthwise_scratch(s, sizeof(T));
    const T **rows = (const T **)(zeros + fnn_conv_round(s->x_size[2]));
    depthwise_dots_args d = {.rows = rows, .sums_tap = s->taps[2] * DOT_LANES};
    memset(zeros, 0, s->x_size[2] * sizeof *zeros);
    const int nine = s->taps[1] == 3 && s->taps[2] == 3 && s->dilation[1] == 1 && s->dilation[2] == 1 && s->step[1] == s->step[2];
    size_t group, last;
    fnn_share(s->groups, 1, part, parts, &group, &last);
    for (; group < last; ++group) {
        if (fnn_interrupted())
            return;
        memset(sums, 0, taps * DOT_LANES * sizeof *sums);
        for (size_t image = 0; image < s->batch; ++image) {
            const T *x = (const T *)a->x + (image * s->groups + group) * x_plane, *dy = (const T *)a->dy + (image * s->groups + group) * y_plane;
            depthwise_rows(rows, x, zeros, s);
            for (size_t i = 0; i < x_plane; i += TILE_CACHE_LINE)   /* they are not read row by row */
                tile_prefetch(x + i);
            for (size_t i = 0; i < y_plane; i += TILE_CACHE_LINE)
                tile_prefetch(dy + i);
            for (size_t j = 0; j < s->out[2] && nine; j += W) {
                const size_t n = s->out[2] - j < W ? s->out[2] - j : W;
                const ptrdiff_t col = (ptrdiff_t)(j * s->step[2]) + s->origin[2];
                if (s->step[2] == 1)
                    depthwise_nine_dots(sums + j % DOT_LANES, dy + j, rows, n, col, s, 1);
                else
                    depthwise_nine_dots(sums + j % DOT_LANES, dy + j, rows, n, col, s, 2);
            }
            for (size_t j = 0; j < s->out[2] && !nine; j += DOT_LANES)
                for (size_t tap = 0; tap < s->taps[2]; ++tap) {
                    d.dy = dy + j;
                    d.n = s->out[2] - j < DOT_LANES ? s->out[2] - j : DOT_LANES;
                    d.col = (ptrdiff_t)(j * s->step[2] + tap * s->dilation[2]) + s->origin[2];
                    const int whole = d.n == DOT_LANES && d.col >= 0 && d.col + reach <= width;
                    for (d.first = 0; d.first < s->taps[1]; d.first += DEPTHWISE_DOTS) {
                        d.count = s->taps[1] - d.first < DEPTHWISE_DOTS ? s->taps[1] - d.first : DEPTHWISE_DOTS;
                        d.sums = sums + (d.first * s->taps[2] + tap) * DOT_LANES;
                        if (s->step[2] == 1 && whole)
                            depthwise_dots(&d, s, 1, 1);
                        else if (s->step[2] == 1)
                            depthwise_dots(&d, s, 1, 0);
                        else if (whole)
                            depthwise_dots(&d, s, 2, 1);
                        else
                            depthwise_dots(&d, s, 2, 0);
                    }
                }
        }
        for (size_t tap = 0; tap < taps; ++tap)
            sums[tap * DOT_LANES] = dot_fold(sums + tap * DOT_LANES);
        weight_finish(a, sums, DOT_LANES, taps * DOT_LANES, group, 0, 1, 0, taps);
    }
}
