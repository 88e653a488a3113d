/* pooling_backward.h — the gradients of pooling.h's maxima and averages.
 *
 * With strides 1 and 2 dx is gathered: vector lanes are neighbouring inputs of one phase (column mod stride), and each adds up, in ascending
 * order, the windows over it (that it has won). So dx is written once, however windows overlap. Others (larger strides, which overlap
 * little; dilated and adaptive windows, flat positions) add to dx window after window: of maxima, that gives the same bits.
 *
 * Shares are planes.
 */

/* Some windows of an axis, [first, end). */
typedef struct Range {
    size_t first, end;
} Range;

/* Those over element i, from those over the elements before it; without the divisions that would give them at once. */
FNN_INLINE void go_to(Range *over, const Axis *s, size_t i)
{
    while (over->end < s->cells && over->end * s->stride <= i + s->padding) over->end++;
    while (over->first < over->end && over->first * s->stride + s->kernel <= i + s->padding) over->first++;
}

/* The lanes of a row of n that are in it, from `at` on, -W < at < n; 0 for the others. */
FNN_INLINE V load_within(const T *row, ptrdiff_t at, ptrdiff_t n)
{
    if (at >= 0 && at + W <= n) return v_load(row + at);
    return v_load_span(row + at, at < 0 ? (size_t)-at : 0, (size_t)(n - at < W ? n - at : W));
}

/* Columns phase, phase + stride, … of dx in slice and row i, j, W of them from the t-th on: the windows d, h are over them. */
FNN_INLINE V gather(const T *dy, const uint8_t *winners, const Axis *s, size_t i, size_t j, Range d, Range h, size_t t, size_t phase, size_t stride,
                    size_t kernel, size_t padding)
{
    size_t number = (phase + padding) % stride;
    ptrdiff_t n = (ptrdiff_t)s[2].cells, at = (ptrdiff_t)(t + (phase + padding) / stride), most = (ptrdiff_t)((kernel - 1 - number) / stride);
    V sum = v_zero();
    if (number >= kernel) return sum; /* between windows */
    for (size_t od = d.first; od < d.end; od++)
        for (size_t oh = h.first; oh < h.end; oh++) {
            size_t row = (od * s[1].cells + oh) * s[2].cells;
            size_t base = ((i + s[0].padding - od * s[0].stride) * s[1].kernel + j + s[1].padding - oh * s[1].stride) * s[2].kernel;
            for (ptrdiff_t q = most < at + W ? most : at + W - 1; q >= 0 && at - q < n; q--) {
                V g = load_within(dy + row, at - q, n);
                if (winners) {
                    V won = v_load_bytes(winners + (ptrdiff_t)row + at - q);
                    g = v_select(v_eq(won, v_set((T)(base + number + (size_t)q * stride))), g, v_zero());
                }
                sum = v_add(sum, g);
            }
        }
    return sum;
}

/* Strides 1 and 2 along the last axis, whose kernel and padding these are. sums: for averages; else for maxima that are not dilated. */
FNN_INLINE void gather_rows(const fnn_pool_backward_args *a, size_t part, size_t parts, size_t stride, size_t kernel, size_t padding, int sums)
{
    const Axis s[3] = POOL_AXES(a);
    size_t plane, end, work = 0, cells = volume(a->y_shape), columns = s[2].size, overlap = columns;
    V divisor = v_set((T)a->divisor);
    for (int i = 0; i < 3; i++) overlap *= s[i].kernel / s[i].stride < s[i].cells ? s[i].kernel / s[i].stride + 1 : s[i].cells;
    fnn_share(a->planes, 1, part, parts, &plane, &end);
    for (; plane < end; plane++) {
        const T *dy = (const T *)a->dy + plane * cells;
        const uint8_t *winners = sums ? NULL : winners_of(a->winners, plane, cells);
        T *dx = (T *)a->dx + plane * volume(a->x_shape);
        Range d = {0, 0};
        for (size_t i = 0; i < s[0].size; i++) {
            Range h = {0, 0};
            go_to(&d, &s[0], i);
            for (size_t j = 0; j < s[1].size; j++, dx += columns) {
                go_to(&h, &s[1], j);
                for (size_t t = 0; t * stride < columns; t += W) {
                    size_t left = columns - t * stride;
                    V even = gather(dy, winners, s, i, j, d, h, t, 0, stride, kernel, padding), odd;
                    if (sums) even = v_div(even, divisor);
                    if (stride == 1) {
                        store_up_to(dx + t, even, left);
                        continue;
                    }
                    odd = gather(dy, winners, s, i, j, d, h, t, 1, stride, kernel, padding);
                    if (sums) odd = v_div(odd, divisor);
                    store_up_to(dx + 2 * t, v_zip_low(even, odd), left);
                    if (left > W) store_up_to(dx + 2 * t + W, v_zip_high(even, odd), left - W);
                }
                if ((work += overlap) > POOL_POLL) {
                    if (fnn_interrupted()) return;
                    work = 0;
                }
            }
        }
    }
}

/* Where planes are halved, 2 x 2 to one: each row of dy and what follows from it, two rows of dx. A last row or column alone gets 0. */
FNN_INLINE void double_rows(const fnn_pool_backward_args *a, size_t part, size_t parts, int sums)
{
    size_t plane, end, work = 0, height = a->x_shape[1], columns = a->x_shape[2], rows = a->y_shape[1], n = a->y_shape[2];
    V divisor = v_set((T)a->divisor);
    fnn_share(a->planes, 1, part, parts, &plane, &end);
    for (; plane < end; plane++) {
        const T *dy = (const T *)a->dy + plane * rows * n;
        const uint8_t *winners = sums ? NULL : winners_of(a->winners, plane, rows * n);
        T *dx = (T *)a->dx + plane * height * columns;
        for (size_t row = 0; 2 * row < height; row++, dx += 2 * columns) {
            for (size_t t = 0; 2 * t < columns; t += W) {
                V g = row < rows && t < n ? load_up_to(dy + row * n + t, n - t) : v_zero(), won = v_zero();
                size_t left = columns - 2 * t;
                if (sums) g = v_div(g, divisor);
                else if (row < rows) won = v_load_bytes(winners + row * n + t);
                for (size_t k = 0; k < 2 && 2 * row + k < height; k++) {
                    V even = sums ? g : v_select(v_eq(won, v_set((T)(2 * k))), g, v_zero());
                    V odd = sums ? g : v_select(v_eq(won, v_set((T)(2 * k + 1))), g, v_zero());
                    store_up_to(dx + k * columns + 2 * t, v_zip_low(even, odd), left);
                    if (left > W) store_up_to(dx + k * columns + 2 * t + W, v_zip_high(even, odd), left - W);
                }
            }
        }
        if ((work += height * columns) > POOL_POLL) {
            if (fnn_interrupted()) return;
            work = 0;
        }
    }
}

FNN_INLINE int is_halved(const fnn_pool_backward_args *a)
{
    int halved = a->x_shape[0] == 1;
    for (int i = 1; i < 3; i++) halved &= a->kernel[i] == 2 && a->stride[i] == 2 && a->padding[i] == 0 && 2 * a->y_shape[i] <= a->x_shape[i];
    return halved && a->kernel[0] == 1;
}

#define GATHER(sums)                                                                                                          \
    do {                                                                                                                      \
        size_t stride = a->stride[2], kernel = a->kernel[2], padding = a->padding[2];                                         \
        if (is_halved(a)) double_rows(a, part, parts, sums);                                                                  \
        else if (stride == 2 && kernel == 3 && padding == 1) gather_rows(a, part, parts, 2, 3, 1, sums);                      \
        else if (stride == 2) gather_rows(a, part, parts, 2, kernel, padding, sums);                                          \
        else gather_rows(a, part, parts, 1, kernel, padding, sums);                                                           \
    } while (0)

/* dx[place] += dy, window after window; places: flat, or from the winners. */
static void scatter_winners(const fnn_pool_backward_args *a, size_t part, size_t parts)
{
    const Axis s[3] = POOL_AXES(a);
    size_t plane, end, work = 0, cells = volume(a->y_shape), elements = volume(a->x_shape), offset[256];
    int apart = !a->adaptive;
    for (int i = 0; i < 3; i++) apart &= (s[i].kernel - 1) * s[i].dilation < s[i].stride;
    number_offsets(s, offset);
    fnn_share(a->planes, 1, part, parts, &plane, &end);
    for (size_t cleared = plane; plane < end; plane++) {
        const T *dy = (const T *)a->dy + plane * cells;
        const int64_t *flat = a->flat ? (const int64_t *)a->flat + plane * cells : NULL;
        const uint8_t *winners = winners_of(a->winners, plane, cells);
        T *dx = (T *)a->dx + plane * elements;
        if (plane == cleared) { /* some planes at once, where they are small */
            cleared = end - plane < 1 + 4096 / (elements + 1) ? end : plane + 1 + 4096 / (elements + 1);
            memset(dx, 0, (cleared - plane) * elements * sizeof(T));
        }
        for (size_t o = 0; o < cells && flat; o++)
            if ((size_t)flat[o] < elements) dx[flat[o]] += dy[o];
        for (size_t o = 0, i = 0; o < cells && !flat; i++)
            for (size_t j = 0; j < s[1].cells; j++) {
                size_t at = ((i * s[0].stride - s[0].padding) * s[1].size + j * s[1].stride - s[1].padding) * s[2].size - s[2].padding;
                for (size_t last = o + s[2].cells; o < last; o++, at += s[2].stride) {
                    size_t place = at + offset[winners[o]];
                    if (winners[o] != NO_WINNER && place < elements) dx[place] = (apart ? 0 : dx[place]) + dy[o];
                }
            }
        if ((work += cells + elements) > POOL_POLL) {
            if (fnn_interrupted()) return;
            work = 0;
        }
    }
}

/* The same where a plane has one window. */
static void scatter_planes(const fnn_pool_backward_args *a, size_t part, size_t parts)
{
    const Axis s[3] = POOL_AXES(a);
    size_t plane, end, n = volume(a->x_shape), before = (s[0].padding * s[1].size + s[1].padding) * s[2].size + s[2].padding, offset[256];
    number_offsets(s, offset);
    fnn_share(a->planes, 16, part, parts, &plane, &end);
    for (; plane < end; plane++) {
        T *dx = (T *)a->dx + plane * n, g = ((const T *)a->dy)[plane];
        uint8_t k = a->flat ? 0 : *winners_of(a->winners, plane, 1);
        size_t place = a->flat ? (size_t)((const int64_t *)a->flat)[plane] : offset[k] - before;
        for (size_t i = 0; i < n; i += W) store_up_to(dx + i, v_zero(), n - i);
        if (k != NO_WINNER && place < n) dx[place] = g + 0; /* -0 becomes 0, as in a sum */
        if (n > POOL_POLL && fnn_interrupted()) return;
    }
}

KERNEL(max_pool_backward, pool_backward)
{
    int dilated = 0;
    for (int i = 0; i < 3; i++) dilated |= a->dilation[i] != 1 && a->kernel[i] != 1;
    if (volume(a->y_shape) == 1) scatter_planes(a, part, parts);
    else if (a->flat || dilated || a->stride[2] > 2) scatter_winners(a, part, parts);
    else GATHER(0);
}

/* y = x / divisor, both of y_shape: the gradients of windows that divide by different numbers. */
KERNEL(avg_pool_quotients, pool)
{
    const Axis s[3] = POOL_AXES(a);
    size_t plane, end, cells = volume(a->y_shape);
    fnn_share(a->planes, 1, part, parts, &plane, &end);
    for (size_t at = plane * cells; plane < end; plane++)
        for (size_t i = 0; i < s[0].cells; i++)
            for (size_t j = 0; j < s[1].cells; j++) {
                T rows = divisor_of(&s[0], span_of(&s[0], i), i, a->count_padding) * divisor_of(&s[1], span_of(&s[1], j), j, a->count_padding);
                for (size_t o = 0; o < s[2].cells; o++, at++)
                    ((T *)a->y)[at] = ((const T *)a->x)[at] / (rows * divisor_of(&s[2], span_of(&s[2], o), o, a->count_padding));
            }
}

/* Any windows, one after another: dx += dy / divisor over each. */
static void scatter_windows(const fnn_pool_backward_args *a, size_t part, size_t parts)
{
    const Axis s[3] = POOL_AXES(a);
    size_t plane, end, work = 0, cells = volume(a->y_shape), elements = volume(a->x_shape);
    fnn_share(a->planes, 1, part, parts, &plane, &end);
    for (; plane < end; plane++) {
        const T *dy = (const T *)a->dy + plane * cells;
        T *dx = (T *)a->dx + plane * elements;
        memset(dx, 0, elements * sizeof(T));
        for (size_t od = 0; od < s[0].cells; od++)
            for (size_t oh = 0; oh < s[1].cells; oh++)
                for (size_t ow = 0; ow < s[2].cells; ow++) {
                    Span d = span_of(&s[0], od), h = span_of(&s[1], oh), w = span_of(&s[2], ow);
                    T g = *dy++ / (T)a->divisor;
                    for (size_t i = d.first; i < d.end; i++)
                        for (size_t j = h.first; j < h.end; j++)
                            for (size_t k = w.first; k < w.end; k++) dx[(i * s[1].size + j) * s[2].size + k] += g;
                    if ((work += d.count * h.count * w.count) > POOL_POLL) {
                        if (fnn_interrupted()) return;
                        work = 0;
                    }
                }
    }
}

KERNEL(avg_pool_backward, pool_backward)
{
    size_t plane, end, n = volume(a->x_shape);
    if (is_global(a->x_shape, a->y_shape, a->kernel, a->padding)) {
        fnn_share(a->planes, 16, part, parts, &plane, &end);
        for (; plane < end; plane++) {
            T *dx = (T *)a->dx + plane * n;
            V g = v_set(((const T *)a->dy)[plane] / (T)a->divisor);
            for (size_t i = 0; i < n; i += W) store_up_to(dx + i, g, n - i);
        }
    } else if (a->adaptive || a->stride[2] > 2)
        scatter_windows(a, part, parts);
    else
        GATHER(1);
}
