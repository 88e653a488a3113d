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

/* The sums of W positions of DEPTHWISE_ROWS rows; rows: depthwise_rows() from the first one's on; col: the column of x that the first one's first tap reads. */
FNN_INLINE void depthwise_tile(T *y, const T *const *rows, const T *weight, const T *bias, const fnn_conv_shape *s, ptrdiff_t col, const int step)
{
    const ptrdiff_t width = (ptrdiff_t)s->x_size[2];
    V sum[DEPTHWISE_ROWS];
    TILE_UNROLL for (int r = 0; r < DEPTHWISE_ROWS; ++r)
        sum[r] = v_zero();
    for (size_t i = 0; i < s->taps[1]; ++i, rows += s->dilation[1])
        for (size_t j = 0; j < s->taps[2]; ++j) {
            const ptrdiff_t at = col + (ptrdiff_t)(j * s->dilation[2]);
            const V w = v_set(*weight++);
            if (at >= 0 && at + step * W <= width) {
                TILE_UNROLL for (int r = 0; r < DEPTHWISE_ROWS; ++r)
                    sum[r] = v_fma(w, depthwise_load_all(rows[r * step] + at, step), sum[r]);
            } else {
                const depthwise_span span = depthwise_columns(at, width, step * W);
                TILE_UNROLL for (int r = 0; r < DEPTHWISE_ROWS; ++r)
                    sum[r] = v_fma(w, depthwise_load(rows[r * step] + at, span, step), sum[r]);
            }
        }
    TILE_UNROLL for (int r = 0; r < DEPTHWISE_ROWS; ++r)
        v_store(y + r * W, bias ? v_add(sum[r], v_set(*bias)) : sum[r]);
}

static void depthwise_forward(const fnn_conv_args *a, const fnn_conv_shape *s, size_t part, size_t parts)
{
    const size_t x_plane = s->x_size[1] * s->x_size[2], y_plane = a->y_size[1] * a->y_size[2], y_row = a->y_step[1] * a->y_size[2], taps = s->taps[1] * s->taps[2];
    T *zeros = (T *)a->scratch + part * fnn_depthwise_scratch(s, sizeof(T)), sums[DEPTHWISE_ROWS * W];
    const T **rows = (const T **)(zeros + fnn_conv_round(s->x_size[2]));
    memset(zeros, 0, s->x_size[2] * sizeof *zeros);
    size_t plane, last;
    fnn_share(s->batch * s->groups, 1, part, parts, &plane, &last);
    for (; plane < last; ++plane) {
        const size_t group = plane % s->groups;
        const T *weight = (const T *)a->weight + group * taps, *bias = a->bias ? (const T *)a->bias + group : NULL;
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
                if (s->step[2] == 1)
                    depthwise_tile(sums, from, weight, bias, s, col, 1);
                else
                    depthwise_tile(sums, from, weight, bias, s, col, 2);
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
