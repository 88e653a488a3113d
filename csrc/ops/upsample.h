/* upsample.h — the last three axes of x (planes, x_shape) resampled to y (planes, y_shape), by the nearest element or linearly:
 *
 *     y[j] = (1 - w) x[k] + w x[k + 1] along each axis, with (k, w) = (index[j], weight[j])
 *
 * The tables are those of PyTorch, operation by operation. index never falls, so that the elements j with index[j] = k are a range,
 * from start[k] to start[k + 1]. Nearest: w is 0.
 *
 * Forward takes the rows of y in turn. Linear: the up to four rows of x that one needs are interpolated along the last axis first and kept, as the
 * next rows of y mostly need the same; then they are blended. Backward gathers: a row of dx is the blend of those rows of dy that
 * it went into, in ascending order, folded along the last axis. */
enum { UPSAMPLE_NEAREST, UPSAMPLE_LINEAR, UPSAMPLE_ALIGNED }; /* aligned: the first and last elements of x and y fall together */

/* (k, w) of element j of an axis with `scale` elements of x for each of y. */
FNN_INLINE int64_t upsample_source(T *weight, int64_t j, int64_t n, double scale, int rule)
{
    if (rule == UPSAMPLE_NEAREST) {
        int64_t k = (int64_t)floorf((float)j * (float)scale);
        *weight = 0;
        return k < n - 1 ? k : n - 1;
    }
    T at = rule == UPSAMPLE_ALIGNED ? (T)scale * (T)j : (T)scale * ((T)j + T_C(0.5)) - T_C(0.5);
    int64_t k = (int64_t)floorf((float)(at < 0 ? 0 : at));
    if (k >= n - 1) {
        *weight = 0;
        return n - 1;
    }
    T w = at - (T)k;
    *weight = w < 0 ? 0 : w > 1 ? 1 : w;
    return k;
}

/* index, weight: y_shape[0] + y_shape[1] + y_shape[2], axis after axis; start: the same of x_shape, with one more for each axis. */
KERNEL(upsample_table, upsample_table)
{
    int64_t *index = a->index, *start = a->start;
    T *weight = (T *)a->weight;
    (void)parts;
    if (part) return;
    for (int axis = 0; axis < 3; axis++) {
        int64_t n = (int64_t)a->x_shape[axis], m = (int64_t)a->y_shape[axis], next = 0;
        int same = n == m && a->rule != UPSAMPLE_NEAREST;
        for (int64_t j = 0; j < m; j++) {
            index[j] = same ? j : upsample_source(weight + j, j, n, a->scale[axis], a->rule);
            if (same) weight[j] = 0;
            while (next <= index[j]) start[next++] = j;
        }
        while (next <= n) start[next++] = m;
        index += m, weight += m, start += n + 1;
    }
}

/* Whether every element of an axis is there twice: the rows of that case are vectors. */
FNN_INLINE int doubled(const int64_t *start, size_t n, size_t m)
{
    if (m != 2 * n) return 0;
    for (size_t k = 0; k < n; k++)
        if (start[k] != (int64_t)(2 * k)) return 0;
    return 1;
}

KERNEL(upsample_nearest_forward, upsample)
{
    const size_t *from = a->x_shape, *to = a->y_shape, rows[3] = {a->planes, to[0], to[1]};
    const int64_t *index = a->index + to[0] + to[1];
    const T *before = NULL;
    int twice = doubled(a->start + from[0] + from[1] + 2, from[2], to[2]);
    size_t i, end;
    fnn_share(a->planes * to[0] * to[1], 1, part, parts, &i, &end);
    if (i == end) return;
    for (Place row = place_of(i, rows); i < end; i++, place_next(&row, rows)) {
        size_t d = (size_t)a->index[row.at[1]], h = (size_t)a->index[to[0] + row.at[2]];
        const T *x = (const T *)a->x + ((row.at[0] * from[0] + d) * from[1] + h) * from[2];
        T *y = (T *)a->y + i * to[2];
        if (x == before) span_copy(y, y - to[2], (ptrdiff_t)to[2]);
        else if (twice)
            for (size_t k = 0; k < from[2]; k++) y[2 * k] = y[2 * k + 1] = x[k];
        else
            for (size_t j = 0; j < to[2]; j++) y[j] = x[index[j]];
        before = x;
    }
}

/* A row of x interpolated to y; from `last` on y is x[index[j]]. */
FNN_INLINE void linear_row(T *y, const T *x, const int64_t *index, const T *weight, size_t m, size_t last)
{
    for (size_t j = 0; j < last; j++) {
        const T *p = x + index[j];
        y[j] = (1 - weight[j]) * p[0] + weight[j] * p[1];
    }
    for (size_t j = last; j < m; j++) y[j] = x[index[j]];
}

/* scratch: four rows of y for each share, or NULL where x has but one row in a plane. Row (d, h) of x is kept in the row of scratch that the parities of
 * d and h name. */
KERNEL(upsample_linear_forward, upsample)
{
    const size_t *from = a->x_shape, *to = a->y_shape, planes[3] = {a->planes, to[0], to[1]};
    size_t row, end, m = to[2], last = from[2] == m ? 0 : (size_t)a->start[from[0] + from[1] + from[2] + 1];
    const int64_t *index = a->index + to[0] + to[1];
    const T *weight = (const T *)a->weight + to[0] + to[1], *kept[4] = {NULL, NULL, NULL, NULL};
    T *rows = a->scratch ? (T *)a->scratch + 4 * part * m : NULL;
    fnn_share(a->planes * to[0] * to[1], 1, part, parts, &row, &end);
    if (row == end) return;
    for (Place p = place_of(row, planes); row < end; row++, place_next(&p, planes)) {
        T *y = (T *)a->y + row * m, wd = ((const T *)a->weight)[p.at[1]], wh = ((const T *)a->weight)[to[0] + p.at[2]];
        size_t low_d = (size_t)a->index[p.at[1]], low_h = (size_t)a->index[to[0] + p.at[2]];
        int accumulate = 0;
        for (int i = 0; i < (wd == 0 ? 1 : 2); i++)
            for (int k = 0; k < (wh == 0 ? 1 : 2); k++) {
                size_t d = low_d + (size_t)i, h = low_h + (size_t)k, slot = 2 * (d & 1) + (h & 1);
                const T *x = (const T *)a->x + ((p.at[0] * from[0] + d) * from[1] + h) * from[2];
                if (!rows) {
                    linear_row(y, x, index, weight, m, last);
                    continue;
                }
                if (kept[slot] != x) linear_row(rows + slot * m, x, index, weight, m, last);
                kept[slot] = x;
                span_scaled(y, rows + slot * m, (i ? wd : 1 - wd) * (k ? wh : 1 - wh), (ptrdiff_t)m, accumulate);
                accumulate = 1;
            }
    }
}

/* dx[k] = sum of weights times v[j] over the elements j that x[k] went into: those that it stands behind, then its own. */
FNN_INLINE void unresample_row(T *dx, const T *v, const int64_t *start, const T *weight, size_t n)
{
    T behind = 0;
    for (size_t k = 0; k < n; k++) {
        T own = 0, next = 0;
        for (int64_t j = start[k]; j < start[k + 1]; j++) own += (1 - weight[j]) * v[j], next += weight[j] * v[j];
        dx[k] = behind + own;
        behind = next;
    }
}

/* The same where all weights are 0. */
FNN_INLINE void unrepeat_row(T *dx, const T *v, const int64_t *start, size_t n, int twice)
{
    for (size_t k = 0; twice && k < n; k++) dx[k] = v[2 * k] + v[2 * k + 1];
    for (size_t k = 0; !twice && k < n; k++) {
        T own = 0;
        for (int64_t j = start[k]; j < start[k + 1]; j++) own += v[j];
        dx[k] = own;
    }
}

/* scratch: one row of dy for each share, or NULL where x and y have but one row in a plane. */
FNN_INLINE void upsample_backward_rows(const fnn_upsample_backward_args *a, size_t part, size_t parts, int linear)
{
    const size_t *from = a->x_shape, *to = a->y_shape, planes[3] = {a->planes, from[0], from[1]};
    const int64_t *start_d = a->start, *start_h = start_d + from[0] + 1, *start = start_h + from[1] + 1;
    const T *weight_d = (const T *)a->weight, *weight_h = weight_d + to[0], *weight = weight_h + to[1];
    size_t row, end, m = to[2], work = 0;
    T *sum = a->scratch ? (T *)a->scratch + part * m : NULL;
    int twice = doubled(start, from[2], m);
    fnn_share(a->planes * from[0] * from[1], 1, part, parts, &row, &end);
    if (row == end) return;
    for (Place p = place_of(row, planes); row < end; row++, place_next(&p, planes)) {
        const T *dy = (const T *)a->dy + p.at[0] * to[0] * to[1] * m;
        size_t d0 = p.at[1], h0 = p.at[2];
        int accumulate = 0;
        if (sum) {
            for (int64_t d = start_d[linear && d0 ? d0 - 1 : d0]; d < start_d[d0 + 1]; d++)
                for (int64_t h = start_h[linear && h0 ? h0 - 1 : h0]; h < start_h[h0 + 1]; h++) {
                    T wd = d < start_d[d0] ? weight_d[d] : 1 - weight_d[d], wh = h < start_h[h0] ? weight_h[h] : 1 - weight_h[h];
                    if (wd == 0 || wh == 0) continue;
                    span_scaled(sum, dy + ((size_t)d * to[1] + (size_t)h) * m, wd * wh, (ptrdiff_t)m, accumulate);
                    accumulate = 1;
                    if ((work += m) < ELEMENTS_PER_LOOK) continue;
                    if (fnn_interrupted()) return;
                    work = 0;
                }
            dy = sum;
            if (!accumulate) span_fill(sum, 0, (ptrdiff_t)m);
        }
        T *dx = (T *)a->dx + row * from[2];
        if (linear && from[2] != m) unresample_row(dx, dy, start, weight, from[2]);
        else unrepeat_row(dx, dy, start, from[2], twice);
    }
}

KERNEL(upsample_nearest_backward, upsample_backward) { upsample_backward_rows(a, part, parts, 0); }
KERNEL(upsample_linear_backward, upsample_backward) { upsample_backward_rows(a, part, parts, 1); }
