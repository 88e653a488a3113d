/* pooling.h — maxima and sums over windows: x (planes, x_shape), y (planes, y_shape), three axes each; fewer dimensions have axes of size 1.
 *
 * Shares are planes. Forward, vector lanes are neighbouring outputs, and each lane takes the elements of its window in row-major order: stride
 * 1 loads them as they lie, stride 2 takes every second of two vectors, others lane by lane. Outputs whose windows stick out at the left or
 * right go one at a time. Windows that are adaptive, or of more than 255 elements where their maximum's place is asked for, have loops of
 * their own.
 *
 * The winner of a window is kept as its number, a byte: 16 bytes, y_shape of them, 16 bytes for each plane, so that whole vectors of bytes may
 * be loaded and stored at the ends of rows. `flat` are positions in x's plane, int64. -1 and NO_WINNER: a dilated window without elements.
 * The windows: pooling_shapes.h. Backward: pooling_backward.h.
 */

/* What is asked of windows. */
enum { TOP, TOP_AND_PLACE, SUM };

typedef struct Cell {
    V value, number;
} Cell;

/* The first of equal maxima stays, and of NaN the last, as in PyTorch. */
FNN_INLINE void take(Cell *c, V v, size_t number, int what)
{
    if (what == SUM) {
        c->value = v_add(c->value, v);
        return;
    }
    M better = m_or(v_gt(v, c->value), v_isnan(v));
    c->value = v_select(better, v, c->value);
    if (what == TOP_AND_PLACE) c->number = v_select(better, v_set((T)number), c->number);
}

FNN_INLINE V load_up_to(const T *p, size_t n) { return n >= W ? v_load(p) : v_load_n(p, n); }

FNN_INLINE void store_up_to(T *p, V v, size_t n)
{
    if (n >= W) v_store(p, v);
    else v_store_n(p, v, n);
}

/* p[0], p[stride], … for n <= W lanes. */
FNN_INLINE V load_strided(const T *p, size_t stride, size_t n)
{
    T lanes[W] = {0};
    if (stride == 1) return load_up_to(p, n);
    for (size_t l = 0; l < n; l++) lanes[l] = p[l * stride];
    return v_load(lanes);
}

/* n neighbouring windows: along the last axis their elements number [first, first + count), the first window's number 0 at `column`. */
FNN_INLINE Cell pool_cell(const T *x, const Axis *s, Span d, Span h, ptrdiff_t column, size_t first, size_t count, size_t n, size_t stride,
                          size_t dilation, int what)
{
    int empty = !d.count || !h.count || !count;
    Cell c;
    c.value = what == SUM ? v_zero() : v_set(-(T)INFINITY);
    c.number = v_set((T)(empty ? NO_WINNER : (d.number * s[1].kernel + h.number) * s[2].kernel + first));
    for (size_t i = 0; i < d.count; i++)
        for (size_t j = 0; j < h.count; j++) {
            const T *row = x + (ptrdiff_t)(((d.first + i * s[0].dilation) * s[1].size + h.first + j * s[1].dilation) * s[2].size) + column;
            size_t number = ((d.number + i) * s[1].kernel + h.number + j) * s[2].kernel, end = first + count, k = first;
            for (; k < end && stride == 2 && dilation == 1; k += 2) { /* two elements of each window */
                size_t m = 2 * n - (k + 1 == end);
                V low = load_up_to(row + k, m), high = m > W ? load_up_to(row + k + W, m - W) : v_zero();
                take(&c, v_even(low, high), number + k, what);
                if (k + 1 < end) take(&c, v_odd(low, high), number + k + 1, what);
            }
            for (; k < end; k++) take(&c, load_strided(row + k * dilation, stride, n), number + k, what);
        }
    return c;
}

/* A row of outputs: where it goes, and its windows along the first two axes. */
typedef struct Row {
    T *y;
    uint8_t *winners;
    int64_t *flat;
    const T *x; /* the whole plane */
    Span d, h;
    T divisor;
    ptrdiff_t origin; /* number 0 of the windows, at column 0, in the plane */
    const size_t *offset;
} Row;

/* The flat positions of n neighbouring windows' winners; number 0 of the first is at `column`. */
FNN_INLINE void flat_places(int64_t *flat, const Row *r, V number, size_t n, ptrdiff_t column, size_t stride)
{
    T numbers[W];
    v_store(numbers, number);
    for (size_t l = 0; l < n; l++, column += (ptrdiff_t)stride)
        flat[l] = numbers[l] == NO_WINNER ? -1 : r->origin + column + (ptrdiff_t)r->offset[(size_t)numbers[l]];
}

/* stride, kernel, dilation: along the last axis, constants where the compiler is to know them. */
FNN_INLINE void pool_row(const fnn_pool_args *a, const Axis *s, Row r, size_t whole, size_t whole_end, size_t stride, size_t kernel,
                         size_t dilation, int what)
{
    for (size_t o = 0, n; o < s[2].cells; o += n) {
        ptrdiff_t column = (ptrdiff_t)(o * stride) - (ptrdiff_t)s[2].padding;
        T divisor = r.divisor;
        Cell c;
        if (o >= whole && o < whole_end) {
            n = whole_end - o < W ? whole_end - o : W;
            c = n == W ? pool_cell(r.x, s, r.d, r.h, column, 0, kernel, W, stride, dilation, what)
                       : pool_cell(r.x, s, r.d, r.h, column, 0, kernel, n, stride, dilation, what);
            if (!a->divisor) divisor *= (T)kernel;
        } else {
            Span w = span_of(&s[2], o);
            n = 1, c = pool_cell(r.x, s, r.d, r.h, column, w.number, w.count, 1, 1, dilation, what);
            if (!a->divisor) divisor *= divisor_of(&s[2], w, o, a->count_padding);
        }
        store_up_to(r.y + o, what == SUM ? v_div(c.value, v_set(divisor)) : c.value, n);
        if (what == TOP_AND_PLACE && r.winners) v_store_bytes(r.winners + o, c.number); /* those behind are written later */
        if (what == TOP_AND_PLACE && r.flat) flat_places(r.flat + o, &r, c.number, n, column, stride);
    }
}

/* All but adaptive windows. */
FNN_INLINE void pool_rows(const fnn_pool_args *a, size_t part, size_t parts, size_t stride, size_t kernel, size_t dilation, int what)
{
    const Axis s[3] = POOL_AXES(a);
    size_t plane, end, whole, whole_end, work = 0, cells = volume(a->y_shape), offset[256];
    size_t elements = (kernel < s[2].size ? kernel : s[2].size) * s[2].cells;
    if (a->flat) number_offsets(s, offset);
    whole_windows(&s[2], &whole, &whole_end);
    fnn_share(a->planes, 1, part, parts, &plane, &end);
    for (; plane < end; plane++) {
        Row r;
        r.x = (const T *)a->x + plane * volume(a->x_shape), r.y = (T *)a->y + plane * cells;
        r.winners = winners_of(a->winners, plane, cells), r.flat = a->flat ? (int64_t *)a->flat + plane * cells : NULL, r.offset = offset;
        for (size_t i = 0; i < s[0].cells; i++) {
            r.d = span_of(&s[0], i);
            for (size_t j = 0; j < s[1].cells; j++) {
                ptrdiff_t slice = (ptrdiff_t)(i * s[0].stride) - (ptrdiff_t)s[0].padding, above = (ptrdiff_t)(j * s[1].stride) - (ptrdiff_t)s[1].padding;
                r.h = span_of(&s[1], j), r.origin = (slice * (ptrdiff_t)s[1].size + above) * (ptrdiff_t)s[2].size;
                r.divisor = a->divisor ? (T)a->divisor : divisor_of(&s[0], r.d, i, a->count_padding) * divisor_of(&s[1], r.h, j, a->count_padding);
                pool_row(a, s, r, whole, whole_end, stride, kernel, dilation, what);
                r.y += s[2].cells;
                if (r.winners) r.winners += s[2].cells;
                if (r.flat) r.flat += s[2].cells;
                if ((work += r.d.count * r.h.count * elements) > POOL_POLL) {
                    if (fnn_interrupted()) return;
                    work = 0;
                }
            }
        }
    }
}

/* Whether the windows are 2 x 2 elements side by side, as they mostly are: no padding, and all of them whole. */
FNN_INLINE int are_squares(const fnn_pool_args *a)
{
    for (int i = 0; i < 3; i++)
        if (a->kernel[i] != (i ? 2 : 1) || a->stride[i] != a->kernel[i] || a->padding[i] || 2 * a->y_shape[i] > (i ? 1 : 2) * a->x_shape[i]) return 0;
    return a->dilation[1] == 1 && a->dilation[2] == 1 && a->x_shape[0] == 1 && !a->adaptive && !a->flat;
}

FNN_INLINE void pool_squares(const fnn_pool_args *a, size_t part, size_t parts, int what)
{
    size_t plane, end, width = a->x_shape[2], rows = a->y_shape[1], cols = a->y_shape[2], work = 0;
    V divisor = v_set(a->divisor ? (T)a->divisor : 4);
    fnn_share(a->planes, 1, part, parts, &plane, &end);
    for (; plane < end; plane++) {
        const T *x = (const T *)a->x + plane * volume(a->x_shape);
        T *y = (T *)a->y + plane * rows * cols;
        uint8_t *winners = winners_of(a->winners, plane, rows * cols);
        for (size_t j = 0; j < rows; j++, x += 2 * width, y += cols) {
            for (size_t o = 0; o < cols; o += W) {
                size_t n = 2 * (cols - o);
                V even[2], odd[2];
                Cell c;
                for (int k = 0; k < 2; k++) {
                    const T *row = x + k * width + 2 * o;
                    V low = load_up_to(row, n), high = n > W ? load_up_to(row + W, n - W) : v_zero();
                    even[k] = v_even(low, high), odd[k] = v_odd(low, high);
                }
                c.value = what == SUM ? v_add(v_zero(), even[0]) : even[0], c.number = v_zero();
                take(&c, odd[0], 1, what);
                take(&c, even[1], 2, what);
                take(&c, odd[1], 3, what);
                store_up_to(y + o, what == SUM ? v_div(c.value, divisor) : c.value, cols - o);
                if (what == TOP_AND_PLACE) v_store_bytes(winners + j * cols + o, c.number); /* those behind are written later */
            }
            if ((work += 2 * width) > POOL_POLL) {
                if (fnn_interrupted()) return;
                work = 0;
            }
        }
    }
}

/* Any windows, one after another; places as flat positions only. */
FNN_INLINE void pool_windows(const fnn_pool_args *a, size_t part, size_t parts, int what)
{
    const Axis s[3] = POOL_AXES(a);
    size_t plane, end, work = 0, cells = volume(a->y_shape);
    fnn_share(a->planes, 1, part, parts, &plane, &end);
    for (; plane < end; plane++) {
        const T *x = (const T *)a->x + plane * volume(a->x_shape);
        for (size_t o = 0; o < cells; o++) {
            size_t at = o / s[2].cells;
            Span d = span_of(&s[0], at / s[1].cells), h = span_of(&s[1], at % s[1].cells), w = span_of(&s[2], o % s[2].cells);
            T value = what == SUM ? 0 : -(T)INFINITY;
            int64_t place = d.count && h.count && w.count ? (int64_t)((d.first * s[1].size + h.first) * s[2].size + w.first) : -1;
            for (size_t i = 0; i < d.count; i++)
                for (size_t j = 0; j < h.count; j++) {
                    size_t row = ((d.first + i * s[0].dilation) * s[1].size + h.first + j * s[1].dilation) * s[2].size;
                    if ((work += w.count) > POOL_POLL) {
                        if (fnn_interrupted()) return;
                        work = 0;
                    }
                    for (size_t k = row + w.first; k < row + w.end; k += s[2].dilation) {
                        int better = (x[k] > value) | (x[k] != x[k]);
                        if (what == SUM) value += x[k];
                        else value = better ? x[k] : value, place = better ? (int64_t)k : place;
                    }
                }
            ((T *)a->y)[plane * cells + o] = what == SUM ? value / ((T)d.count * (T)h.count * (T)w.count) : value;
            if (a->flat) ((int64_t *)a->flat)[plane * cells + o] = place;
        }
    }
}

/* Where the windows are the planes: a maximum in reduce.h's lanes, then its place. */
static void pool_planes(const fnn_pool_args *a, size_t part, size_t parts)
{
    size_t plane, end, n = volume(a->x_shape);
    fnn_share(a->planes, 16, part, parts, &plane, &end);
    for (; plane < end; plane++) {
        const T *x = (const T *)a->x + plane * n;
        T top = row_max(x, n);
        size_t at = 0;
        if (top == top) {
            for (; at + W <= n && !m_any(v_eq(v_load(x + at), v_set(top)));) at += W;
            while (x[at] != top) at++;
        } else
            for (at = n - 1; x[at] == x[at];) at--;
        ((T *)a->y)[plane] = x[at];
        if (a->winners) *winners_of(a->winners, plane, 1) = (uint8_t)at;
        if (a->flat) ((int64_t *)a->flat)[plane] = (int64_t)at;
        if (n > POOL_POLL && fnn_interrupted()) return;
    }
}

/* Whether the window's elements can be numbered in a byte beside NO_WINNER. */
FNN_INLINE int few_elements(const size_t *kernel)
{
    return kernel[0] < NO_WINNER && kernel[1] < NO_WINNER && kernel[2] < NO_WINNER && volume(kernel) <= NO_WINNER;
}

#define POOL(what)                                                                                                            \
    do {                                                                                                                      \
        size_t stride = a->stride[2], kernel = a->kernel[2], dilation = a->dilation[2];                                       \
        if (are_squares(a)) pool_squares(a, part, parts, what);                                                               \
        else if (stride == 2 && kernel == 2 && dilation == 1) pool_rows(a, part, parts, 2, 2, 1, what);                       \
        else if (stride == 2 && kernel == 3 && dilation == 1) pool_rows(a, part, parts, 2, 3, 1, what);                       \
        else if (stride == 1) pool_rows(a, part, parts, 1, kernel, dilation, what);                                           \
        else pool_rows(a, part, parts, stride, kernel, dilation, what);                                                       \
    } while (0)

KERNEL(max_pool_forward, pool)
{
    int global = is_global(a->x_shape, a->y_shape, a->kernel, a->padding);
    if (global && (!a->winners || volume(a->kernel) == volume(a->x_shape))) pool_planes(a, part, parts);
    else if (a->adaptive || !few_elements(a->kernel)) pool_windows(a, part, parts, TOP);
    else if (a->winners || a->flat) POOL(TOP_AND_PLACE);
    else POOL(TOP);
}

/* row_sum's bits. Short planes, which are many, go without its second set of lanes: 8 to 10 ns instead of 10 to 13 for 7 x 7 floats. Folding
 * the lanes of W planes at once, turned round, was no faster. */
FNN_INLINE T plane_sum(const T *x, size_t n)
{
    Lanes sum = lanes_zero();
    if (n > LANE_BLOCK) return row_sum(x, n);
    for (; n >= LANES; n -= LANES, x += LANES) sum = lanes_add(sum, lanes_load(x));
    for (size_t k = 0; k < LANE_VECTORS && k * W < n; k++) sum.v[k] = v_add(sum.v[k], load_up_to(x + k * W, n - k * W));
    return lanes_sum(sum);
}

KERNEL(avg_pool_forward, pool)
{
    size_t plane, end, n = volume(a->x_shape);
    if (a->divisor && is_global(a->x_shape, a->y_shape, a->kernel, a->padding)) {
        fnn_share(a->planes, 16, part, parts, &plane, &end);
        for (; plane < end; plane++) ((T *)a->y)[plane] = plane_sum((const T *)a->x + plane * n, n) / (T)a->divisor;
    } else if (a->adaptive)
        pool_windows(a, part, parts, SUM);
    else
        POOL(SUM);
}
