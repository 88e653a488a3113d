/* columns.h — what batch normalisation does where a set is a column: `rows` rows of n <= COLUMNS columns, `stride` apart. A lane is a column.
 *
 * STRIPS strips of LANES columns go down the rows side by side, four rows of a strip at a time, so that a strip's sums are loaded and stored
 * once for four rows. A column is added in ascending order, in blocks of SUM_BLOCK rows. Moments take one pass about a centre that follows
 * the mean, see planes.h.
 *
 * Passes that write go row by row (four rows at a time are slower by half where rows are whole pages apart), and up the rows after a pass that
 * read them: the last ones have been read last, and are the likeliest to be in the cache. */
enum { STRIPS = 32, COLUMNS = STRIPS * LANES };

FNN_INLINE Lanes lanes_div(Lanes a, T by)
{
    for (int k = 0; k < LANE_VECTORS; k++) a.v[k] = v_div(a.v[k], v_set(by));
    return a;
}

/* sum and squares, of the n <= LANES columns from x on, += the sums of x - centre and of (x - centre)². */
FNN_INLINE void strip_moments(Lanes *sum, Lanes *squares, const T *x, size_t rows, size_t stride, size_t n, Lanes centre)
{
    Lanes s = *sum, q = *squares;
    for (size_t r = 0; r < rows; r++) {
        Lanes d = lanes_sub(strip_load(x + r * stride, n), centre);
        s = lanes_add(s, d), q = lanes_fma(d, d, q);
    }
    *sum = s, *squares = q;
}

/* The same for all strips of a block; written, not added. */
FNN_INLINE void strips_moments(Lanes *sum, Lanes *squares, const T *x, size_t rows, size_t stride, size_t n, const Lanes *centre)
{
    for (size_t k = 0; k * LANES < n; k++) sum[k] = squares[k] = lanes_zero();
    for (size_t i = 0; i < rows; i += 4) {
        size_t step = rows - i < 4 ? rows - i : 4, j = 0, k = 0;
        for (; j + LANES <= n; j += LANES, k++) strip_moments(sum + k, squares + k, x + i * stride + j, step, stride, LANES, centre[k]);
        if (j < n) strip_moments(sum + k, squares + k, x + i * stride + j, step, stride, n - j, centre[k]);
    }
}

/* mean[j] and squares[j] = sum((x - mean[j])²) of column j; 0 where there are no rows. */
FNN_INLINE void columns_moments(T *mean, T *squares, const T *x, size_t rows, size_t stride, size_t n)
{
    Lanes centre[STRIPS], sum[STRIPS], total[STRIPS], block[STRIPS], block_squares[STRIPS];
    for (size_t k = 0; k * LANES < n; k++) centre[k] = sum[k] = total[k] = lanes_zero();
    for (size_t first = 0, end; first < rows; first = end) {
        size_t most = first == 0 ? FIRST_TERMS : first < SUM_BLOCK ? first : SUM_BLOCK;
        end = rows - first < most ? rows : first + most;
        if (first == 0) {
            strips_moments(block, block_squares, x, end, stride, n, centre);
            for (size_t k = 0; k * LANES < n; k++) centre[k] = lanes_div(block[k], (T)end);
        }
        strips_moments(block, block_squares, x + first * stride, end - first, stride, n, centre);
        Lanes values = lanes_set((T)end);
        for (size_t k = 0; k * LANES < n; k++) {
            sum[k] = lanes_add(sum[k], block[k]);
            Lanes next = lanes_add(centre[k], lanes_div(sum[k], (T)end)), step = lanes_sub(next, centre[k]), moved = lanes_mul(values, step);
            total[k] = lanes_fnma(step, lanes_sub(lanes_add(sum[k], sum[k]), moved), lanes_add(total[k], block_squares[k]));
            sum[k] = lanes_sub(sum[k], moved);
            centre[k] = next;
        }
    }
    for (size_t j = 0, k = 0; j < n; j += LANES, k++) {
        strip_store(mean + j, centre[k], n - j < LANES ? n - j : LANES);
        Lanes rest = rows ? lanes_div(sum[k], (T)rows) : lanes_zero(); /* of the mean, lost where the centre was rounded */
        Lanes deviation = lanes_fnma(rest, sum[k], total[k]);
        for (int v = 0; v < LANE_VECTORS; v++) deviation.v[v] = v_max(v_zero(), deviation.v[v]);
        strip_store(squares + j, deviation, n - j < LANES ? n - j : LANES);
    }
}

/* g and gd, of the n <= LANES columns from dy, x on, += the sums of dy and of dy (x - mean). */
FNN_INLINE void strip_products(Lanes *g, Lanes *gd, const T *dy, const T *x, size_t rows, size_t stride, size_t n, const T *mean)
{
    Lanes sum_g = *g, sum_gd = *gd, centre = strip_load(mean, n);
    for (size_t r = 0; r < rows; r++) {
        Lanes v = strip_load(dy + r * stride, n);
        sum_g = lanes_add(sum_g, v);
        sum_gd = lanes_fma(v, lanes_sub(strip_load(x + r * stride, n), centre), sum_gd);
    }
    *g = sum_g, *gd = sum_gd;
}

/* g[j] = sum(dy) and gd[j] = sum(dy (x - mean[j])) of column j. */
FNN_INLINE void columns_products(T *g, T *gd, const T *dy, const T *x, const T *mean, size_t rows, size_t stride, size_t n)
{
    Lanes total_g[STRIPS], total_gd[STRIPS], sum_g[STRIPS], sum_gd[STRIPS];
    for (size_t k = 0; k * LANES < n; k++) total_g[k] = total_gd[k] = lanes_zero();
    for (size_t first = 0, end; first < rows; first = end) {
        end = rows - first < SUM_BLOCK ? rows : first + SUM_BLOCK;
        for (size_t k = 0; k * LANES < n; k++) sum_g[k] = sum_gd[k] = lanes_zero();
        for (size_t i = first; i < end; i += 4) {
            size_t step = end - i < 4 ? end - i : 4, at = i * stride, j = 0, k = 0;
            for (; j + LANES <= n; j += LANES, k++) strip_products(sum_g + k, sum_gd + k, dy + at + j, x + at + j, step, stride, LANES, mean + j);
            if (j < n) strip_products(sum_g + k, sum_gd + k, dy + at + j, x + at + j, step, stride, n - j, mean + j);
        }
        for (size_t k = 0; k * LANES < n; k++) total_g[k] = lanes_add(total_g[k], sum_g[k]), total_gd[k] = lanes_add(total_gd[k], sum_gd[k]);
    }
    for (size_t j = 0, k = 0; j < n; j += LANES, k++) {
        strip_store(g + j, total_g[k], n - j < LANES ? n - j : LANES);
        strip_store(gd + j, total_gd[k], n - j < LANES ? n - j : LANES);
    }
}

/* v_load_n and v_store_n, for a count that is often known to be W. */
FNN_INLINE V load_columns(const T *x, size_t m) { return m == W ? v_load(x) : v_load_n(x, m); }
FNN_INLINE void store_columns(T *y, V v, size_t m)
{
    if (m == W)
        v_store(y, v);
    else
        v_store_n(y, v, m);
}

/* y = (x - mean) rstd weight + bias for m <= W columns of a row. */
FNN_INLINE void vector_normalise(T *y, const T *x, size_t m, const T *mean, const T *rstd, const T *weight, const T *bias)
{
    V w = weight ? load_columns(weight, m) : v_zero(), b = bias ? load_columns(bias, m) : v_zero();
    V h = v_mul(v_sub(load_columns(x, m), load_columns(mean, m)), load_columns(rstd, m));
    store_columns(y, affine(h, weight ? &w : NULL, bias ? &b : NULL), m);
}

/* The same for any n; weight, bias may be NULL. upward: from the last row to the first. */
FNN_INLINE void columns_normalise(T *y, const T *x, size_t rows, size_t stride, size_t n, const T *mean, const T *rstd, const T *weight, const T *bias,
                                  int upward)
{
    for (size_t i = 0; i < rows; i++) {
        size_t at = (upward ? rows - 1 - i : i) * stride, j = 0;
        for (; j + W <= n; j += W) vector_normalise(y + at + j, x + at + j, W, mean + j, rstd + j, weight ? weight + j : NULL, bias ? bias + j : NULL);
        if (j < n) vector_normalise(y + at + j, x + at + j, n - j, mean + j, rstd + j, weight ? weight + j : NULL, bias ? bias + j : NULL);
    }
}

/* dx = factor dy - shift - slope (x - mean) for m <= W columns of a row; x NULL: factor dy. */
FNN_INLINE void vector_gradient(T *dx, const T *dy, const T *x, size_t m, const T *mean, const T *factor, const T *shift, const T *slope)
{
    V g = load_columns(dy, m), f = load_columns(factor, m);
    if (x)
        g = v_fnma(v_sub(load_columns(x, m), load_columns(mean, m)), load_columns(slope, m), v_fms(g, f, load_columns(shift, m)));
    else
        g = v_mul(g, f);
    store_columns(dx, g, m);
}

/* The same for any n, from the last row to the first. */
FNN_INLINE void columns_gradient(T *dx, const T *dy, const T *x, size_t rows, size_t stride, size_t n, const T *mean, const T *factor, const T *shift,
                                 const T *slope)
{
    for (size_t i = rows; i-- > 0;) {
        size_t at = i * stride, j = 0;
        for (; j + W <= n; j += W) vector_gradient(dx + at + j, dy + at + j, x ? x + at + j : NULL, W, mean + j, factor + j, shift + j, slope + j);
        if (j < n) vector_gradient(dx + at + j, dy + at + j, x ? x + at + j : NULL, n - j, mean + j, factor + j, shift + j, slope + j);
    }
}
