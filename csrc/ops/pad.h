/* pad.h — x (planes, x_shape) continued or cropped on both sides of its last three axes: y (planes, y_shape).
 *
 * Element j of an axis of y stands at position p = j - before of x's axis of n elements, and where that is outside of it
 *   constant    y is a given value
 *   reflect     it is x at -p or 2 (n - 1) - p: there are fewer than n such elements on either side
 *   replicate   it is x at 0 or n - 1
 *   circular    it is x at p + n or p - n: there are at most n such elements on either side
 *
 * Forward: shares are ranges of y's elements; a row is a left margin, a middle copied from x and a right margin.
 * Backward gathers, so that shares are rows of dx: the rows of dy that come from it in ascending order, each folded: its middle, then its left, then
 * its right margin. A constant's backward is the forward with padding of the opposite sign. */
enum { PAD_CONSTANT, PAD_REFLECT, PAD_REPLICATE, PAD_CIRCULAR }; /* in the order of fastnn/kernels/pad.pyx */

/* Where the element at position p of an axis comes from; -1: nowhere. */
FNN_INLINE ptrdiff_t pad_source(ptrdiff_t p, ptrdiff_t n, int mode)
{
    if (p >= 0 && p < n) return p;
    switch (mode) {
    case PAD_REFLECT: return p < 0 ? -p : 2 * (n - 1) - p;
    case PAD_REPLICATE: return p < 0 ? 0 : n - 1;
    case PAD_CIRCULAR: return p < 0 ? p + n : p - n;
    default: return -1;
    }
}

/* y[j] for j in [j, end), all on one side of the row x. */
FNN_INLINE void pad_margin(T *y, const T *x, ptrdiff_t j, ptrdiff_t end, ptrdiff_t n, ptrdiff_t before, T value, int mode)
{
    int left = j < before;
    if (j >= end) return;
    if (mode == PAD_REFLECT) {
        x += left ? before : 2 * (n - 1) + before;
        for (; j < end; j++) y[j] = x[-j];
    } else if (mode == PAD_CIRCULAR) {
        span_copy(y + j, x + pad_source(j - before, n, mode), end - j);
    } else {
        span_fill(y + j, mode == PAD_CONSTANT ? value : x[left ? 0 : n - 1], end - j);
    }
}

/* y[j] for j in [j, end) of a row that comes from the row x. */
FNN_INLINE void pad_row(T *y, const T *x, ptrdiff_t j, ptrdiff_t end, ptrdiff_t n, ptrdiff_t before, T value, int mode)
{
    ptrdiff_t left = before < j ? j : before < end ? before : end, right = before + n < left ? left : before + n < end ? before + n : end;
    pad_margin(y, x, j, left, n, before, value, mode);
    span_copy(y + left, x + left - before, right - left);
    pad_margin(y, x, right, end, n, before, value, mode);
}

KERNEL(pad_forward, pad)
{
    const size_t *from = a->x_shape, *to = a->y_shape, rows[3] = {a->planes, to[0], to[1]};
    size_t i, end;
    T value = (T)a->value;
    fnn_share(a->planes * to[0] * to[1] * to[2], MAP_GRAIN, part, parts, &i, &end);
    if (i == end) return;
    Place row = place_of(i / to[2], rows);
    T *y = (T *)a->y + i / to[2] * to[2];
    for (size_t j = i % to[2]; i < end; j = 0) {
        size_t last = to[2] - j < end - i ? to[2] : j + end - i;
        ptrdiff_t d = pad_source((ptrdiff_t)row.at[1] - a->before[0], (ptrdiff_t)from[0], a->mode);
        ptrdiff_t h = pad_source((ptrdiff_t)row.at[2] - a->before[1], (ptrdiff_t)from[1], a->mode);
        if (d < 0 || h < 0) {
            span_fill(y + j, value, (ptrdiff_t)(last - j));
        } else {
            const T *x = (const T *)a->x + ((row.at[0] * from[0] + (size_t)d) * from[1] + (size_t)h) * from[2];
            pad_row(y, x, (ptrdiff_t)j, (ptrdiff_t)last, (ptrdiff_t)from[2], a->before[2], value, a->mode);
        }
        i += last - j, y += to[2];
        place_next(&row, rows);
    }
}

/* Up to three ranges [first, end) of elements, ascending. */
typedef struct Ranges {
    ptrdiff_t first[3], end[3];
    int count;
} Ranges;

FNN_INLINE void ranges_add(Ranges *r, ptrdiff_t first, ptrdiff_t end, ptrdiff_t m)
{
    if (first < 0) first = 0;
    if (end > m) end = m;
    if (first >= end) return;
    r->first[r->count] = first;
    r->end[r->count++] = end;
}

/* The elements of y's axis of m that come from element i of x's. */
FNN_INLINE Ranges pad_targets(ptrdiff_t i, ptrdiff_t n, ptrdiff_t m, ptrdiff_t before, int mode)
{
    Ranges r = {.count = 0};
    ptrdiff_t at = before + i;
    if (mode == PAD_REPLICATE) {
        ranges_add(&r, i == 0 ? 0 : at, i == n - 1 ? m : at + 1, m);
    } else {
        ptrdiff_t low = mode == PAD_CIRCULAR ? at - n : before - i, high = mode == PAD_CIRCULAR ? at + n : before + 2 * (n - 1) - i;
        if (low != at) ranges_add(&r, low, low + 1, m);
        ranges_add(&r, at, at + 1, m);
        if (high != at) ranges_add(&r, high, high + 1, m);
    }
    return r;
}

/* The sum of n neighbours. */
FNN_INLINE T margin_sum(const T *x, ptrdiff_t n)
{
    T sum = 0;
    if (n > LANES) return row_sum(x, (size_t)n);
    for (ptrdiff_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

/* dx (+)= the row dy of m elements, folded. */
FNN_INLINE void unpad_row(T *dx, const T *dy, ptrdiff_t n, ptrdiff_t m, ptrdiff_t before, int mode, int accumulate)
{
    ptrdiff_t first = before < 0 ? -before : 0, end = m - before < n ? m - before : n; /* of dx, in the middle of dy */
    if (end < first) end = first;
    if (accumulate) {
        span_add(dx + first, dy + first + before, end - first);
    } else {
        span_fill(dx, 0, first);
        memcpy(dx + first, dy + first + before, (size_t)(end - first) * sizeof(T)); /* no vectors stored in part: what is loaded next would wait for them */
        span_fill(dx + end, 0, n - end);
    }
    ptrdiff_t left = before < m ? before : m, right = before + n;
    if (mode == PAD_REPLICATE) {
        if (left > 0) dx[0] += margin_sum(dy, left);
        if (right < m) dx[n - 1] += margin_sum(dy + right, m - right);
        return;
    }
    if (mode == PAD_REFLECT) {
        for (ptrdiff_t j = 0; j < left; j++) dx[before - j] += dy[j];
        for (ptrdiff_t j = right; j < m; j++) dx[2 * (n - 1) + before - j] += dy[j];
        return;
    }
    if (left > 0) span_add(dx + n - before, dy, left);
    if (right < m) span_add(dx, dy + right, m - right);
}

/* After so many elements of work a kernel asks whether to give up. */
enum { ELEMENTS_PER_LOOK = 1 << 22 };

KERNEL(pad_backward, pad_backward)
{
    const size_t *from = a->x_shape, *to = a->y_shape, rows[3] = {a->planes, from[0], from[1]};
    ptrdiff_t n = (ptrdiff_t)from[2], m = (ptrdiff_t)to[2];
    size_t i, end, work = 0;
    fnn_share(a->planes * from[0] * from[1], 1, part, parts, &i, &end);
    if (i == end) return;
    for (Place row = place_of(i, rows); i < end; i++, place_next(&row, rows)) {
        T *dx = (T *)a->dx + i * from[2];
        const T *dy = (const T *)a->dy + row.at[0] * to[0] * to[1] * to[2];
        Ranges ds = pad_targets((ptrdiff_t)row.at[1], (ptrdiff_t)from[0], (ptrdiff_t)to[0], a->before[0], a->mode);
        Ranges hs = pad_targets((ptrdiff_t)row.at[2], (ptrdiff_t)from[1], (ptrdiff_t)to[1], a->before[1], a->mode);
        if (!ds.count || !hs.count) span_fill(dx, 0, n);
        int accumulate = 0;
        for (int s = 0; s < ds.count; s++)
            for (ptrdiff_t d = ds.first[s]; d < ds.end[s]; d++)
                for (int t = 0; t < hs.count; t++)
                    for (ptrdiff_t h = hs.first[t]; h < hs.end[t]; h++) {
                        unpad_row(dx, dy + (d * (ptrdiff_t)to[1] + h) * m, n, m, a->before[2], a->mode, accumulate);
                        accumulate = 1;
                        if ((work += to[2]) < ELEMENTS_PER_LOOK) continue;
                        if (fnn_interrupted()) return;
                        work = 0;
                    }
    }
}
