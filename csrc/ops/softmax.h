/* softmax.h — softmax, softmin and log-softmax along the middle axis of a C-ordered array (outer, n, inner), and their derivatives.
 *
 *     softmax      y = exp(x - top) / sum(exp(x - top)),     dx = y (dy - sum(dy y))
 *     log-softmax  y = (x - top) - log(sum(exp(x - top))),   dx = dy - exp(y) sum(dy)
 *
 * with top the largest x, so that nothing overflows; softmin is softmax of -x: its sign is flipped as it is loaded.
 *
 * inner = 1: the axis is a contiguous row, summed over the virtual lanes of reduce.h. A row of at most W elements stays in one register
 * from load to store; lanes that hold nothing add +0, so these are the same bits. Otherwise lanes run over inner, and a column is summed in
 * ascending order in blocks of ROW_BLOCK, as in sum_rows.h. Either way nothing depends on the neighbours.
 *
 * A NaN is left aside in the search for the top, but makes the sum NaN and through it the whole row; so do +inf (inf - inf) and a row
 * of nothing but -inf. */

/* The next vector of a row of which `left` elements are to come. */
FNN_INLINE V load_upto(const T *x, size_t left) { return left >= W ? v_load(x) : v_load_n(x, left); }
FNN_INLINE void store_upto(T *y, V v, size_t left)
{
    if (left >= W) v_store(y, v);
    else v_store_n(y, v, left);
}
FNN_INLINE V first_or(V v, size_t left, V other) { return left >= W ? v : v_select(m_first(left), v, other); }

/* The sign bit to flip in every element: -0 for softmin, +0 for softmax. */
FNN_INLINE V sign_to_flip(int negate) { return v_set(negate ? T_C(-0.0) : 0); }

/* ---- rows ---- */

/* The largest of x[0 .. n) that is no NaN; -inf if there is none. */
FNN_INLINE T row_top(const T *x, size_t n, V flip)
{
    V low = v_set(-(T)INFINITY);
    if (n <= W) return v_top(first_or(v_max(v_xor(load_upto(x, n), flip), low), n, low));
    Lanes top = lanes_set(-(T)INFINITY);
    for (; n >= LANES; n -= LANES, x += LANES)
        for (int k = 0; k < LANE_VECTORS; k++) top.v[k] = v_max(v_xor(v_load(x + k * W), flip), top.v[k]);
    for (int k = 0; k < LANE_VECTORS; k++) { /* tail */
        if (n <= (size_t)k * W) break;
        size_t left = n - (size_t)k * W;
        top.v[k] = v_max(first_or(v_xor(load_upto(x + k * W, left), flip), left, low), top.v[k]);
    }
    return lanes_top(top);
}

/* The sum of exp(x[i] - top) over [0 .. n); the terms go to y where that is not NULL. y may be x. */
FNN_INLINE T row_exp_sum(T *y, const T *x, size_t n, V flip, V top)
{
    if (n <= W) {
        V e = first_or(v_exp(v_sub(v_xor(load_upto(x, n), flip), top)), n, v_zero());
        if (y) store_upto(y, e, n);
        return v_sum(e);
    }
    Lanes total = lanes_zero();
    for (size_t first = 0; first < n; first += LANE_BLOCK) {
        size_t i = first, last = n - first < LANE_BLOCK ? n : first + LANE_BLOCK;
        Lanes block = lanes_zero();
        for (; i + LANES <= last; i += LANES)
            for (int k = 0; k < LANE_VECTORS; k++) {
                V e = v_exp(v_sub(v_xor(v_load(x + i + k * W), flip), top));
                if (y) v_store(y + i + k * W, e);
                block.v[k] = v_add(block.v[k], e);
            }
        for (int k = 0; k < LANE_VECTORS; k++, i += W) { /* tail */
            if (i >= last) break;
            V e = v_exp(v_sub(v_xor(load_upto(x + i, last - i), flip), top));
            if (y) store_upto(y + i, e, last - i);
            block.v[k] = v_add(block.v[k], first_or(e, last - i, v_zero()));
        }
        total = lanes_add(total, block);
    }
    return lanes_sum(total);
}

FNN_INLINE void softmax_forward_row(const fnn_softmax_args *a, size_t at)
{
    T *y = (T *)a->y + at;
    const T *x = (const T *)a->x + at;
    size_t n = a->n;
    V flip = sign_to_flip(a->negate), top = v_set(row_top(x, n, flip));
    if (n <= W) {
        V e = v_exp(v_sub(v_xor(load_upto(x, n), flip), top));
        store_upto(y, v_mul(e, v_set(1 / v_sum(first_or(e, n, v_zero())))), n);
        return;
    }
    V scale = v_set(1 / row_exp_sum(y, x, n, flip, top));
    for (size_t i = 0; i < n; i += W) store_upto(y + i, v_mul(load_upto(y + i, n - i), scale), n - i);
}

FNN_INLINE void softmax_backward_row(const fnn_softmax_backward_args *a, size_t at)
{
    T *dx = (T *)a->dx + at;
    const T *dy = (const T *)a->dy + at, *y = (const T *)a->y + at;
    size_t n = a->n;
    V flip = sign_to_flip(a->negate), dot = v_set(row_dot(dy, y, n));
    for (size_t i = 0; i < n; i += W)
        store_upto(dx + i, v_xor(v_mul(load_upto(y + i, n - i), v_sub(load_upto(dy + i, n - i), dot)), flip), n - i);
}

FNN_INLINE void log_softmax_forward_row(const fnn_softmax_args *a, size_t at)
{
    T *y = (T *)a->y + at;
    const T *x = (const T *)a->x + at;
    size_t n = a->n;
    V flip = sign_to_flip(a->negate), top = v_set(row_top(x, n, flip));
    V log_sum = v_log(v_set(row_exp_sum(NULL, x, n, flip, top)));
    for (size_t i = 0; i < n; i += W)
        store_upto(y + i, v_sub(v_sub(v_xor(load_upto(x + i, n - i), flip), top), log_sum), n - i);
}

FNN_INLINE void log_softmax_backward_row(const fnn_softmax_backward_args *a, size_t at)
{
    T *dx = (T *)a->dx + at;
    const T *dy = (const T *)a->dy + at, *y = (const T *)a->y + at;
    size_t n = a->n;
    V flip = sign_to_flip(a->negate), sum = v_set(row_sum(dy, n));
    for (size_t i = 0; i < n; i += W)
        store_upto(dx + i, v_xor(v_fnma(v_exp(load_upto(y + i, n - i)), sum, load_upto(dy + i, n - i)), flip), n - i);
}

/* ---- columns: `width` of them at a time, elements `inner` apart ---- */

FNN_INLINE V column_top(const T *x, size_t n, size_t inner, size_t width, V flip)
{
    V top = v_set(-(T)INFINITY);
    for (size_t i = 0; i < n; i++) top = v_max(v_xor(load_upto(x + i * inner, width), flip), top);
    return top;
}

FNN_INLINE V column_exp_sum(T *y, const T *x, size_t n, size_t inner, size_t width, V flip, V top)
{
    V total = v_zero();
    for (size_t first = 0; first < n; first += ROW_BLOCK) {
        size_t last = n - first < ROW_BLOCK ? n : first + ROW_BLOCK;
        V block = v_zero();
        for (size_t i = first; i < last; i++) {
            V e = v_exp(v_sub(v_xor(load_upto(x + i * inner, width), flip), top));
            if (y) store_upto(y + i * inner, e, width);
            block = v_add(block, e);
        }
        total = v_add(total, block);
    }
    return total;
}

FNN_INLINE void softmax_forward_column(const fnn_softmax_args *a, size_t at, size_t width)
{
    T *y = (T *)a->y + at;
    const T *x = (const T *)a->x + at;
    size_t n = a->n, inner = a->inner;
    V flip = sign_to_flip(a->negate), top = column_top(x, n, inner, width, flip);
    V scale = v_div(v_set(1), column_exp_sum(y, x, n, inner, width, flip, top));
    for (size_t i = 0; i < n; i++) store_upto(y + i * inner, v_mul(load_upto(y + i * inner, width), scale), width);
}

FNN_INLINE void softmax_backward_column(const fnn_softmax_backward_args *a, size_t at, size_t width)
{
    T *dx = (T *)a->dx + at;
    const T *dy = (const T *)a->dy + at, *y = (const T *)a->y + at;
    size_t n = a->n, inner = a->inner;
    V flip = sign_to_flip(a->negate), dot = v_zero();
    for (size_t first = 0; first < n; first += ROW_BLOCK) {
        size_t last = n - first < ROW_BLOCK ? n : first + ROW_BLOCK;
        V block = v_zero();
        for (size_t i = first; i < last; i++)
            block = v_fma(load_upto(dy + i * inner, width), load_upto(y + i * inner, width), block);
        dot = v_add(dot, block);
    }
    for (size_t i = 0; i < n; i++) {
        V d = v_sub(load_upto(dy + i * inner, width), dot);
        store_upto(dx + i * inner, v_xor(v_mul(load_upto(y + i * inner, width), d), flip), width);
    }
}

FNN_INLINE void log_softmax_forward_column(const fnn_softmax_args *a, size_t at, size_t width)
{
    T *y = (T *)a->y + at;
    const T *x = (const T *)a->x + at;
    size_t n = a->n, inner = a->inner;
    V flip = sign_to_flip(a->negate), top = column_top(x, n, inner, width, flip);
    V log_sum = v_log(column_exp_sum(NULL, x, n, inner, width, flip, top));
    for (size_t i = 0; i < n; i++)
        store_upto(y + i * inner, v_sub(v_sub(v_xor(load_upto(x + i * inner, width), flip), top), log_sum), width);
}

FNN_INLINE void log_softmax_backward_column(const fnn_softmax_backward_args *a, size_t at, size_t width)
{
    T *dx = (T *)a->dx + at;
    const T *dy = (const T *)a->dy + at, *y = (const T *)a->y + at;
    size_t n = a->n, inner = a->inner;
    V flip = sign_to_flip(a->negate), sum = v_zero();
    for (size_t first = 0; first < n; first += ROW_BLOCK) {
        size_t last = n - first < ROW_BLOCK ? n : first + ROW_BLOCK;
        V block = v_zero();
        for (size_t i = first; i < last; i++) block = v_add(block, load_upto(dy + i * inner, width));
        sum = v_add(sum, block);
    }
    for (size_t i = 0; i < n; i++) {
        V d = v_fnma(v_exp(load_upto(y + i * inner, width)), sum, load_upto(dy + i * inner, width));
        store_upto(dx + i * inner, v_xor(d, flip), width);
    }
}

/* The kernels: shares are cut between rows, or between blocks of MAP_GRAIN columns. */
#define SOFTMAX(name, set)                                                                                                    \
    KERNEL(name, set)                                                                                                         \
    {                                                                                                                         \
        size_t i, end;                                                                                                        \
        if (a->inner == 1) {                                                                                                  \
            fnn_share(a->outer, 1 + MAP_GRAIN / (a->n + 1), part, parts, &i, &end);                                           \
            for (; i < end; i++) name##_row(a, i * a->n);                                                                     \
            return;                                                                                                           \
        }                                                                                                                     \
        size_t blocks = (a->inner + MAP_GRAIN - 1) / MAP_GRAIN;                                                               \
        fnn_share(a->outer *blocks, 1, part, parts, &i, &end);                                                                \
        for (; i < end; i++) {                                                                                                \
            size_t j = i % blocks * MAP_GRAIN, last = a->inner - j < MAP_GRAIN ? a->inner : j + MAP_GRAIN;                    \
            for (; j < last; j += W) name##_column(a, i / blocks * a->n * a->inner + j, last - j < W ? last - j : W);         \
        }                                                                                                                     \
    }

SOFTMAX(softmax_forward, softmax)
SOFTMAX(softmax_backward, softmax_backward)
SOFTMAX(log_softmax_forward, softmax)
SOFTMAX(log_softmax_backward, softmax_backward)
