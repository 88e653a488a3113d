/* softmax.h — softmax, softmin and log-softmax along the middle axis of a C-ordered array (outer, n, inner), and their derivatives.
 *
 *     softmax      y = exp(x - top) / sum(exp(x - top)),     dx = y (dy - sum(dy y))
 *     log-softmax  y = (x - top) - log(sum(exp(x - top))),   dx = dy - exp(y) sum(dy)
 *
 * with top the largest x, so that nothing overflows; softmin is softmax of -x: its sign is flipped as it is loaded.
 *
 * inner = 1: the axis is a contiguous row, summed over the virtual lanes of reduce.h; rows of up to NARROW elements are summed as columns are.
 * Otherwise lanes run over inner, and a column is summed in ascending order in blocks of ROW_BLOCK, as in sum_rows.h. Either way nothing depends
 * on the neighbours. The search for the top finds the smallest x as well: most rows need no exponential that is subnormal or 0, whose
 * handling would take as long as the exponential itself.
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

/* Rows of up to NARROW elements are transposed, W at a time, and computed as columns: a row of 10 would leave most lanes idle and
 * take three folds across them. */
enum { NARROW = LANES };

/* The n columns of `rows` rows of n elements each, 0 < rows <= W: element j of row i goes to y[j stride + i]. Vectors are full: what stands
 * behind `rows` is the last row. */
FNN_INLINE void columns_of_rows(T *y, size_t stride, const T *x, size_t n, size_t rows)
{
    for (size_t j = 0; j < n; j += W) {
        V block[W];
        size_t width = n - j < W ? n - j : W;
        if (width == W) {
            for (size_t i = 0; i < W; i++) block[i] = v_load(x + (i < rows ? i : rows - 1) * n + j);
        } else {
            for (size_t i = 0; i < W; i++) block[i] = v_load_n(x + (i < rows ? i : rows - 1) * n + j, width);
        }
        v_transpose(block);
        for (size_t i = 0; i < W && i < width; i++) v_store(y + (j + i) * stride, block[i]);
    }
}

/* The reverse. */
FNN_INLINE void rows_of_columns(T *y, const T *x, size_t stride, size_t n, size_t rows)
{
    for (size_t j = 0; j < n; j += W) {
        V block[W];
        size_t width = n - j < W ? n - j : W;
        for (size_t i = 0; i < W; i++) block[i] = v_load(x + (j + (i < width ? i : width - 1)) * stride);
        v_transpose(block);
        if (width == W) {
            for (size_t i = 0; i < W && i < rows; i++) v_store(y + i * n + j, block[i]);
        } else {
            for (size_t i = 0; i < W && i < rows; i++) v_store_n(y + i * n + j, block[i], width);
        }
    }
}

/* The sign bit to flip in every element: -0 for softmin, +0 for softmax. */
FNN_INLINE V sign_to_flip(int negate) { return v_set(negate ? T_C(-0.0) : 0); }

/* exp(±(x - top)); ordinary: no exponent is below EXP_NORMAL. Callers lower top by EXP_TINY, which no result shows: exponents are then hardly
 * ever subnormal numbers. */
FNN_INLINE V exponential(V x, V top, V flip, int ordinary)
{
    V exponent = v_xor(v_sub(x, top), flip);
    return ordinary ? exp_ordinary(exponent) : v_exp(exponent);
}

/* ---- rows ---- */

/* Rows are taken in groups, step by step: while one row folds its lanes the next one computes. A group is meant to stay in L1. */
enum { GROUP = 16, GROUP_ELEMENTS = 16384 / (int)sizeof(T) };
FNN_INLINE size_t group_rows(size_t n)
{
    size_t rows = GROUP_ELEMENTS / (n + 1) + 1;
    return rows < GROUP ? rows : GROUP;
}

/* At least four vectors are in flight. */
enum { CHUNK_VECTORS = LANE_VECTORS > 4 ? LANE_VECTORS : 4, CHUNK_ELEMENTS = CHUNK_VECTORS * W };

/* The largest and the smallest of x[0 .. n) that is no NaN; -inf and inf if there is none. */
FNN_INLINE void row_extent(T *largest, T *smallest, const T *x, size_t n)
{
    V high[CHUNK_VECTORS], low[CHUNK_VECTORS];
    for (int k = 0; k < CHUNK_VECTORS; k++) high[k] = v_set(-(T)INFINITY), low[k] = v_set((T)INFINITY);
    for (; n >= CHUNK_ELEMENTS; n -= CHUNK_ELEMENTS, x += CHUNK_ELEMENTS)
        for (int k = 0; k < CHUNK_VECTORS; k++) {
            V v = v_load(x + k * W);
            high[k] = v_max(v, high[k]), low[k] = v_min(v, low[k]);
        }
    for (int k = 0; k < CHUNK_VECTORS; k++) { /* tail */
        if (n <= (size_t)k * W) break;
        size_t left = n - (size_t)k * W;
        V v = load_upto(x + k * W, left);
        high[k] = v_max(first_or(v, left, high[k]), high[k]), low[k] = v_min(first_or(v, left, low[k]), low[k]);
    }
    for (int half = CHUNK_VECTORS / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++) high[k] = v_max(high[k], high[k + half]), low[k] = v_min(low[k], low[k + half]);
    *largest = v_top(high[0]), *smallest = -v_top(v_neg(low[0]));
}

/* The sum of exp(±(x[i] - top)) over [0 .. n); the terms go to y where store is 1. y may be x. */
FNN_INLINE T row_exp_sum_of(T *y, const T *x, size_t n, V top, V flip, int store, int ordinary)
{
    Lanes total = lanes_zero();
    for (size_t first = 0; first < n; first += LANE_BLOCK) {
        size_t i = first, last = n - first < LANE_BLOCK ? n : first + LANE_BLOCK;
        Lanes block = lanes_zero();
        for (; i + CHUNK_ELEMENTS <= last; i += CHUNK_ELEMENTS) {
            V e[CHUNK_VECTORS];
            for (int k = 0; k < CHUNK_VECTORS; k++) e[k] = exponential(v_load(x + i + k * W), top, flip, ordinary);
            for (int k = 0; k < CHUNK_VECTORS; k++) {
                if (store) v_store(y + i + k * W, e[k]);
                block.v[k % LANE_VECTORS] = v_add(block.v[k % LANE_VECTORS], e[k]);
            }
        }
        for (int k = 0; k < CHUNK_VECTORS; k++, i += W) { /* tail */
            if (i >= last) break;
            V e = exponential(load_upto(x + i, last - i), top, flip, ordinary);
            if (store) store_upto(y + i, e, last - i);
            block.v[k % LANE_VECTORS] = v_add(block.v[k % LANE_VECTORS], first_or(e, last - i, v_zero()));
        }
        total = lanes_add(total, block);
    }
    return lanes_sum(total);
}

/* The same for each of `rows` <= GROUP rows, and their tops: the largest x (negate: the smallest). */
FNN_INLINE void rows_exp_sum(T *sums, T *tops, T *y, const T *x, size_t n, size_t rows, int negate, int store)
{
    T largest[GROUP], smallest[GROUP];
    V flip = sign_to_flip(negate);
    for (size_t r = 0; r < rows; r++) row_extent(largest + r, smallest + r, x + r * n, n);
    for (size_t r = 0; r < rows; r++) {
        tops[r] = negate ? smallest[r] : largest[r];
        V top = v_set(tops[r] - EXP_TINY);
        if (smallest[r] - largest[r] >= EXP_NORMAL) sums[r] = row_exp_sum_of(y + r * n, x + r * n, n, top, flip, store, 1);
        else sums[r] = row_exp_sum_of(y + r * n, x + r * n, n, top, flip, store, 0);
    }
}

FNN_INLINE V softmax_scaled(V e, V scale, V q)
{
    (void)q;
    return v_mul(e, scale);
}

FNN_INLINE void softmax_forward_rows(const fnn_softmax_args *a, size_t at, size_t rows)
{
    T *y = (T *)a->y + at, tops[GROUP], sums[GROUP];
    rows_exp_sum(sums, tops, y, (const T *)a->x + at, a->n, rows, a->negate, 1);
    for (size_t r = 0; r < rows; r++) map_span(y + r * a->n, y + r * a->n, a->n, v_set(1 / sums[r]), v_zero(), softmax_scaled);
}

FNN_INLINE V softmax_gradient(V dy, V y, V dot, V flip) { return v_xor(v_mul(y, v_sub(dy, dot)), flip); }

FNN_INLINE void softmax_backward_rows(const fnn_softmax_backward_args *a, size_t at, size_t rows)
{
    const T *dy = (const T *)a->dy + at, *y = (const T *)a->y + at;
    T *dx = (T *)a->dx + at, dots[GROUP];
    size_t n = a->n;
    V flip = sign_to_flip(a->negate);
    for (size_t r = 0; r < rows; r++) dots[r] = row_dot(dy + r * n, y + r * n, n);
    for (size_t r = 0; r < rows; r++) map2_span(dx + r * n, dy + r * n, y + r * n, n, v_set(dots[r]), flip, softmax_gradient);
}

FNN_INLINE V log_softmax_of(V x, V top, V log_sum) { return v_sub(v_sub(x, top), log_sum); }
FNN_INLINE V log_softmin_of(V x, V top, V log_sum) { return v_sub(v_sub(top, x), log_sum); }

FNN_INLINE void log_softmax_forward_rows(const fnn_softmax_args *a, size_t at, size_t rows)
{
    T *y = (T *)a->y + at, tops[GROUP], sums[GROUP] = {0};
    const T *x = (const T *)a->x + at;
    size_t n = a->n;
    rows_exp_sum(sums, tops, y, x, n, rows, a->negate, 0);
    for (size_t r = 0; r < rows; r += W) v_store(sums + r, v_log(v_load(sums + r)));
    for (size_t r = 0; r < rows; r++) {
        if (a->negate) map_span(y + r * n, x + r * n, n, v_set(tops[r]), v_set(sums[r]), log_softmin_of);
        else map_span(y + r * n, x + r * n, n, v_set(tops[r]), v_set(sums[r]), log_softmax_of);
    }
}

FNN_INLINE V log_softmax_gradient(V dy, V y, V sum, V flip, int ordinary)
{
    return v_xor(v_fnma(v_exp_of(y, ordinary), sum, dy), flip);
}
FNN_INLINE V log_softmax_gradient_any(V dy, V y, V sum, V flip) { return log_softmax_gradient(dy, y, sum, flip, 0); }
static void log_softmax_gradient_careful(T *dx, const T *dy, const T *y, size_t n, V sum, V flip)
{
    map2_span(dx, dy, y, n, sum, flip, log_softmax_gradient_any);
}

FNN_INLINE void log_softmax_backward_rows(const fnn_softmax_backward_args *a, size_t at, size_t rows)
{
    const T *dy = (const T *)a->dy + at, *y = (const T *)a->y + at;
    T *dx = (T *)a->dx + at, sums[GROUP];
    size_t n = a->n;
    V flip = sign_to_flip(a->negate);
    for (size_t r = 0; r < rows; r++) sums[r] = row_sum(dy + r * n, n);
    for (size_t r = 0; r < rows; r++)
        guarded2_span(dx + r * n, dy + r * n, y + r * n, n, v_set(sums[r]), flip, log_softmax_gradient, all_below, EXP_ORDINARY,
                      log_softmax_gradient_careful);
}

/* ---- columns: `width` of them at a time, elements `inner` apart ---- */

/* As for rows, for each column. */
FNN_INLINE V column_exp_sum_of(T *y, const T *x, size_t n, size_t inner, size_t width, V top, V flip, int store, int ordinary)
{
    V total = v_zero();
    for (size_t first = 0; first < n; first += ROW_BLOCK) {
        size_t last = n - first < ROW_BLOCK ? n : first + ROW_BLOCK;
        V block = v_zero();
        for (size_t i = first; i < last; i++) {
            V e = exponential(load_upto(x + i * inner, width), top, flip, ordinary);
            if (store) store_upto(y + i * inner, e, width);
            block = v_add(block, e);
        }
        total = v_add(total, block);
    }
    return total;
}

FNN_INLINE V column_exp_sum(V *top, T *y, const T *x, size_t n, size_t inner, size_t width, int negate, int store)
{
    V high = v_set(-(T)INFINITY), low = v_set((T)INFINITY);
    for (size_t i = 0; i < n; i++) {
        V v = load_upto(x + i * inner, width);
        high = v_max(v, high), low = v_min(v, low);
    }
    *top = negate ? low : high;
    V shift = v_sub(*top, v_set(EXP_TINY)), flip = sign_to_flip(negate);
    if (m_any(m_not(v_ge(v_sub(low, high), v_set(EXP_NORMAL))))) return column_exp_sum_of(y, x, n, inner, width, shift, flip, store, 0);
    return column_exp_sum_of(y, x, n, inner, width, shift, flip, store, 1);
}

FNN_INLINE void softmax_forward_column(const fnn_softmax_args *a, size_t at, size_t width)
{
    T *y = (T *)a->y + at;
    size_t n = a->n, inner = a->inner;
    V top, scale = v_div(v_set(1), column_exp_sum(&top, y, (const T *)a->x + at, n, inner, width, a->negate, 1));
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
        V d = softmax_gradient(load_upto(dy + i * inner, width), load_upto(y + i * inner, width), dot, flip);
        store_upto(dx + i * inner, d, width);
    }
}

FNN_INLINE void log_softmax_forward_column(const fnn_softmax_args *a, size_t at, size_t width)
{
    T *y = (T *)a->y + at;
    const T *x = (const T *)a->x + at;
    size_t n = a->n, inner = a->inner;
    V top, flip = sign_to_flip(a->negate), log_sum = v_log(column_exp_sum(&top, y, x, n, inner, width, a->negate, 0));
    for (size_t i = 0; i < n; i++)
        store_upto(y + i * inner, v_sub(v_xor(v_sub(load_upto(x + i * inner, width), top), flip), log_sum), width);
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
        V d = log_softmax_gradient(load_upto(dy + i * inner, width), load_upto(y + i * inner, width), sum, flip, 0);
        store_upto(dx + i * inner, d, width);
    }
}

/* ---- narrow rows, as columns ---- */

/* `rows` <= W rows as the columns of a block in scratch memory, on which `column` works. */
FNN_INLINE void softmax_narrow(const fnn_softmax_args *a, size_t at, size_t rows, void (*column)(const fnn_softmax_args *, size_t, size_t))
{
    _Alignas(64) T block[NARROW * W];
    fnn_softmax_args b = {block, block, 1, a->n, W, a->negate};
    columns_of_rows(block, W, (const T *)a->x + at, a->n, rows);
    column(&b, 0, W);
    rows_of_columns((T *)a->y + at, block, W, a->n, rows);
}

FNN_INLINE void softmax_backward_narrow(const fnn_softmax_backward_args *a, size_t at, size_t rows,
                                        void (*column)(const fnn_softmax_backward_args *, size_t, size_t))
{
    _Alignas(64) T block[NARROW * W], y[NARROW * W];
    fnn_softmax_backward_args b = {block, block, y, 1, a->n, W, a->negate};
    columns_of_rows(block, W, (const T *)a->dy + at, a->n, rows);
    columns_of_rows(y, W, (const T *)a->y + at, a->n, rows);
    column(&b, 0, W);
    rows_of_columns((T *)a->dx + at, block, W, a->n, rows);
}

/* The kernels: shares are cut between rows, or between blocks of MAP_GRAIN columns. */
#define SOFTMAX(name, set, narrow)                                                                                            \
    KERNEL(name, set)                                                                                                         \
    {                                                                                                                         \
        size_t i, end;                                                                                                        \
        if (a->inner == 1) {                                                                                                  \
            fnn_share(a->outer, a->n <= NARROW ? MAP_GRAIN : 1 + MAP_GRAIN / (a->n + 1), part, parts, &i, &end);              \
            for (; i < end && a->n <= NARROW; i += W) narrow(a, i * a->n, end - i < W ? end - i : W, name##_column);          \
            for (size_t group = group_rows(a->n); i < end; i += group)                                                        \
                name##_rows(a, i * a->n, end - i < group ? end - i : group);                                                  \
            return;                                                                                                           \
        }                                                                                                                     \
        size_t blocks = (a->inner + MAP_GRAIN - 1) / MAP_GRAIN;                                                               \
        fnn_share(a->outer *blocks, 1, part, parts, &i, &end);                                                                \
        for (; i < end; i++) {                                                                                                \
            size_t j = i % blocks * MAP_GRAIN, last = a->inner - j < MAP_GRAIN ? a->inner : j + MAP_GRAIN;                    \
            for (; j < last; j += W) name##_column(a, i / blocks * a->n * a->inner + j, last - j < W ? last - j : W);         \
        }                                                                                                                     \
    }

SOFTMAX(softmax_forward, softmax, softmax_narrow)
SOFTMAX(softmax_backward, softmax_backward, softmax_backward_narrow)
SOFTMAX(log_softmax_forward, softmax, softmax_narrow)
SOFTMAX(log_softmax_backward, softmax_backward, softmax_backward_narrow)
