/* depthwise.h — convolution of every channel by itself, one channel of the result each, in the plane: a few multiply-adds for each number that is read, so nothing is
 * copied. Vectors run along the rows of the result, a few rows at a time; what they read beyond the ends of x's rows is masked, and the rows beyond its planes are one of
 * zeros. The chains are conv.h's. A share has a range of the planes. */

enum { DEPTHWISE_ROWS = TILE_SUMS >= 27 ? FNN_DEPTHWISE_ROWS : FNN_DEPTHWISE_ROWS / 2 };

/* Of `reach` numbers from column `at` of a row those that are in it: [first, end). */
typedef struct depthwise_span {
    size_t first, end;
} depthwise_span;

FNN_INLINE depthwise_span depthwise_columns(ptrdiff_t at, ptrdiff_t width, ptrdiff_t reach)
{
    const ptrdiff_t first = at < 0 ? (-at < reach ? -at : reach) : 0, end = width - at < reach ? width - at : reach;
    return (depthwise_span){(size_t)first, end > first ? (size_t)end : (size_t)first};
}

/* W numbers from p on, `step` = 1 or 2 apart: those in the span, and zeros. */
FNN_INLINE V depthwise_load(const T *p, depthwise_span s, const int step)
{
    if (step == 1)
        return v_load_span(p, s.first, s.end);
    const size_t first = s.first < W ? s.first : W, end = s.end < W ? s.end : W;
    return v_even(v_load_span(p, first, end), v_load_span(p + W, s.first - first, s.end - end));
}

FNN_INLINE V depthwise_load_all(const T *p, const int step)
{
    return step == 1 ? v_load(p) : v_even(v_load(p), v_load(p + W));
}

/* The rows of x that the first tap of row 0 of the result reads, the second of row 0 or the first of the next, and so on: all that there are, with those of
 * DEPTHWISE_ROWS - 1 more rows of the result. */
static void depthwise_rows(const T **rows, const T *plane, const T *zeros, const fnn_conv_shape *s)
{
    const size_t count = fnn_depthwise_rows(s);
    for (size_t i = 0; i < count; ++i) {
        const size_t at = i + (size_t)s->origin[1];
        rows[i] = at < s->x_size[1] ? plane + at * s->x_size[2] : zeros;
    }
}

/* Taps that are the same distance apart, in the weight and in x, along the height and the width. */
typedef struct depthwise_taps {
    const T *weight;
    size_t count[2];
    ptrdiff_t weight_step[2], x_step[2];
} depthwise_taps;

/* The sums of W positions of DEPTHWISE_ROWS rows; rows, col: the row and the column of x, `width` wide, that the first one's first tap reads. */
FNN_INLINE void depthwise_tile(T *y, const T *const *rows, const depthwise_taps *taps, const T *bias, ptrdiff_t width, ptrdiff_t col, const int step)
{
    V sum[DEPTHWISE_ROWS];
    TILE_UNROLL for (int r = 0; r < DEPTHWISE_ROWS; ++r)
        sum[r] = v_zero();
    for (size_t i = 0; i < taps->count[0]; ++i, rows += taps->x_step[0]) {
        const T *weight = taps->weight + (ptrdiff_t)i * taps->weight_step[0];
        ptrdiff_t at = col;
        for (size_t j = 0; j < taps->count[1]; ++j, at += taps->x_step[1], weight += taps->weight_step[1]) {
            const V w = v_set(*weight);
            if (at >= 0 && at + step * W <= width) {
                TILE_UNROLL for (int r = 0; r < DEPTHWISE_ROWS; ++r)
                    sum[r] = v_fma(w, depthwise_load_all(rows[r * step] + at, step), sum[r]);
            } else {
                const depthwise_span span = depthwise_columns(at, width, step * W);
                TILE_UNROLL for (int r = 0; r < DEPTHWISE_ROWS; ++r)
                    sum[r] = v_fma(w, depthwise_load(rows[r * step] + at, span, step), sum[r]);
            }
        }
    }
    TILE_UNROLL for (int r = 0; r < DEPTHWISE_ROWS; ++r)
        v_store(y + r * W, bias ? v_add(sum[r], v_set(*bias)) : sum[r]);
}

/* The same of 3 x 3 neighbours: what is read is read once for all rows of taps. */
FNN_INLINE void depthwise_nine(T *y, const T *const *rows, const T *weight, const T *bias, ptrdiff_t width, ptrdiff_t col, const int step)
{
    const depthwise_span span[3] = {depthwise_columns(col, width, step * W), depthwise_columns(col + 1, width, step * W), depthwise_columns(col + 2, width, step * W)};
    V sum[DEPTHWISE_ROWS];
    TILE_UNROLL for (int r = 0; r < DEPTHWISE_ROWS; ++r)
        sum[r] = v_zero();
    TILE_UNROLL for (int q = 0; q < step * (DEPTHWISE_ROWS - 1) + 3; ++q)
        TILE_UNROLL for (int j = 0; j < 3; ++j) {
            const V x = depthwise_load(rows[q] + col + j, span[j], step);
            TILE_UNROLL for (int i = q % step; i < 3; i += step)
                if (q >= i && q - i < step * DEPTHWISE_ROWS)
                    sum[(q - i) / step] = v_fma(v_set(weight[3 * i + j]), x, sum[(q - i) / step]);
        }
    TILE_UNROLL for (int r = 0; r < DEPTHWISE_ROWS; ++r)
        v_store(y + r * W, bias ? v_add(sum[r], v_set(*bias)) : sum[r]);
}

static void depthwise_forward(const fnn_conv_args *a, const fnn_conv_shape *s, size_t part, size_t parts)
{
    const size_t x_plane = s->x_size[1] * s->x_size[2], y_plane = a->y_size[1] * a->y_size[2], y_row = a->y_step[1] * a->y_size[2];
    T *zeros = (T *)a->scratch + part * fnn_depthwise_scratch(s, sizeof(T)), sums[DEPTHWISE_ROWS * W];
    const T **rows = (const T **)(zeros + fnn_conv_round(s->x_size[2]));
    const ptrdiff_t width = (ptrdiff_t)s->x_size[2];
    const int nine = s->taps[1] == 3 && s->taps[2] == 3 && s->dilation[1] == 1 && s->dilation[2] == 1;
    memset(zeros, 0, s->x_size[2] * sizeof *zeros);
    size_t plane, last;
    fnn_share(s->batch * s->groups, 1, part, parts, &plane, &last);
    for (; plane < last; ++plane) {
        const size_t group = plane % s->groups;
        const T *bias = a->bias ? (const T *)a->bias + group : NULL;
        const depthwise_taps taps = {(const T *)a->weight + group * s->taps[1] * s->taps[2], {s->taps[1], s->taps[2]}, {(ptrdiff_t)s->taps[2], 1},
                                     {(ptrdiff_t)s->dilation[1], (ptrdiff_t)s->dilation[2]}};
        T *y = (T *)a->y + plane * y_plane + a->y_first[1] * a->y_size[2] + a->y_first[2];
        if (fnn_interrupted())
            return;
        depthwise_rows(rows, (const T *)a->x + plane * x_plane, zeros, s);
        for (size_t row = 0; row < s->out[1]; row += DEPTHWISE_ROWS) {
            const size_t count = s->out[1] - row < DEPTHWISE_ROWS ? s->out[1] - row : DEPTHWISE_ROWS;
            const T *const *from = rows + row * s->step[1];
            for (size_t j = 0; j < s->out[2]; j += W) {
                const size_t n = s->out[2] - j < W ? s->out[2] - j : W;
                const ptrdiff_t col = (ptrdiff_t)(j * s->step[2]) + s->origin[2];
                if (nine && s->step[2] == 1)
                    depthwise_nine(sums, from, taps.weight, bias, width, col, 1);
                else if (nine)
                    depthwise_nine(sums, from, taps.weight, bias, width, col, 2);
                else if (s->step[2] == 1)
                    depthwise_tile(sums, from, &taps, bias, width, col, 1);
                else
                    depthwise_tile(sums, from, &taps, bias, width, col, 2);
                for (size_t r = 0; r < count; ++r)
                    conv_move(y + (row + r) * y_row + j * a->y_step[2], a->y_step[2], sums + r * W, 1, n);
            }
        }
        if (a->activation) {
            fnn_map_args map = {y, y, y_plane, a->p, a->q};
            a->activation(&map, 0, 1);
        }
    }
}

/* Of taps t along an axis those with (place + padding - t) / 2 whole, from the lowest on: how many there are, and the lowest. */
FNN_INLINE size_t depthwise_every_second(size_t taps, ptrdiff_t place, ptrdiff_t padding, size_t *lowest)
{
    *lowest = (size_t)((place + padding) & 1);
    return *lowest < taps ? (taps - *lowest + 1) / 2 : 0;
}

/* A plane of the transposed convolution with step 2 of 3 x 3 taps and padding 1, of which a position with both indices odd has four taps, one with both even one. */
static void depthwise_turned_nine(T *y, const T *const *rows, const T *weight, const T *bias, const fnn_conv_shape *s)
{
    const ptrdiff_t width = (ptrdiff_t)s->x_size[2];
    const V b = bias ? v_set(*bias) : v_zero();
    V w[9];
    TILE_UNROLL for (int t = 0; t < 9; ++t)
        w[t] = v_set(weight[-t]);
    for (size_t j = 0; j < s->out[2]; j += 2 * W) {
        const size_t n = s->out[2] - j, first = n < W ? n : W;
        const ptrdiff_t col = (ptrdiff_t)(j / 2);
        const depthwise_span span = depthwise_columns(col, width, W), next = depthwise_columns(col + 1, width, W);
        V x = v_load_span(rows[0] + col, span.first, span.end), right = v_load_span(rows[0] + col + 1, next.first, next.end);
        for (size_t row = 0; row < s->out[1]; row += 2) {
            const T *from = rows[row / 2 + 1] + col;
            const V below = v_load_span(from, span.first, span.end), corner = v_load_span(from + 1, next.first, next.end);
            V even = v_fma(w[4], x, v_zero()), odd = v_fma(w[5], x, v_fma(w[3], right, v_zero()));
            V even2 = v_fma(w[7], x, v_fma(w[1], below, v_zero()));
            V odd2 = v_fma(w[8], x, v_fma(w[6], right, v_fma(w[2], below, v_fma(w[0], corner, v_zero()))));
            if (bias)
                even = v_add(even, b), odd = v_add(odd, b), even2 = v_add(even2, b), odd2 = v_add(odd2, b);
            for (size_t r = row; r < s->out[1] && r < row + 2; ++r) {
                T *to = y + r * s->out[2] + j;
                v_store_n(to, v_zip_low(even, odd), first);
                if (n > W)
                    store_up_to(to + W, v_zip_high(even, odd), n - W);
                even = even2, odd = odd2;
            }
            x = below, right = corner;
        }
    }
}

/* The transposed convolution with step 2: y[q] = sum over taps t of weight[t] x[(q + padding - t) / 2] where that is whole, with the taps in ascending order. Rows
 * and columns of either parity have taps of their own; those of both parities of the columns are made together and interleaved. The weight has its last tap first. */
static void depthwise_turned(const fnn_conv_args *a, const fnn_conv_shape *s, size_t part, size_t parts)
{
    const fnn_conv_shape reached = fnn_depthwise_reached(s);
    const size_t x_plane = s->x_size[1] * s->x_size[2], y_plane = s->out[1] * s->out[2], taps = s->taps[1] * s->taps[2];
    T *zeros = (T *)a->scratch + part * fnn_depthwise_scratch(&reached, sizeof(T)), sums[2][DEPTHWISE_ROWS * W];
    const T **rows = (const T **)(zeros + fnn_conv_round(s->x_size[2]));
    memset(zeros, 0, s->x_size[2] * sizeof *zeros);
    size_t plane, last;
    fnn_share(s->batch * s->groups, 1, part, parts, &plane, &last);
    for (; plane < last; ++plane) {
        const T *weight = (const T *)a->weight + (plane % s->groups + 1) * taps - 1, *bias = a->bias ? (const T *)a->bias + plane % s->groups : NULL;
        T *y = (T *)a->y + plane * y_plane;
        if (fnn_interrupted())
            return;
        depthwise_rows(rows, (const T *)a->x + plane * x_plane, zeros, &reached);
        const int nine = s->taps[1] == 3 && s->taps[2] == 3 && s->origin[1] == 1 && s->origin[2] == 1;
        if (nine)
            depthwise_turned_nine(y, rows - reached.origin[1], weight, bias, s);
        for (ptrdiff_t odd = 0; odd < 2 && !nine; ++odd) {
            size_t low[2];
            depthwise_taps side[2];
            ptrdiff_t col[2];
            const size_t count = depthwise_every_second(s->taps[1], odd, s->origin[1], &low[0]);
            for (ptrdiff_t i = 0; i < 2; ++i) {
                const size_t along = depthwise_every_second(s->taps[2], i, s->origin[2], &low[1]);
                col[i] = (i + s->origin[2] - (ptrdiff_t)low[1]) / 2;
                side[i] = (depthwise_taps){weight - low[0] * s->taps[2] - low[1], {count, along}, {-2 * (ptrdiff_t)s->taps[2], -2}, {-1, -1}};
            }
            const T *const *from = rows + (odd + s->origin[1] - (ptrdiff_t)low[0]) / 2 - reached.origin[1];
            for (size_t row = (size_t)odd; row < s->out[1]; row += 2 * DEPTHWISE_ROWS, from += DEPTHWISE_ROWS)
                for (size_t j = 0; j < s->out[2]; j += 2 * W) {
                    const size_t n = s->out[2] - j;
                    for (int i = 0; i < 2; ++i)
                        depthwise_tile(sums[i], from, &side[i], bias, (ptrdiff_t)s->x_size[2], col[i] + (ptrdiff_t)(j / 2), 1);
                    for (size_t r = 0; r < DEPTHWISE_ROWS && row + 2 * r < s->out[1]; ++r) {
                        const V even = v_load(sums[0] + r * W), between = v_load(sums[1] + r * W);
                        T *to = y + (row + 2 * r) * s->out[2] + j;
                        store_up_to(to, v_zip_low(even, between), n);
                        if (n > W)
                            store_up_to(to + W, v_zip_high(even, between), n - W);
                    }
                }
        }
        if (a->activation) {
            fnn_map_args map = {y, y, y_plane, a->p, a->q};
            a->activation(&map, 0, 1);
        }
    }
}
