/* norm.h — normalisation of rows: y = (x - mean) rstd weight + bias, rstd = 1 / sqrt(variance + eps). In layer normalisation mean
 * and variance are the row's; in RMS normalisation mean is 0, so that variance is the average of x², and there is no bias.
 *
 * Two passes for the statistics (the mean, then squared deviations: E[x²] - E[x]² would lose all digits where the mean is large) and
 * one to write; a row is in the nearest cache after the first. Shares are rows, so a row's result depends on that row alone.
 *
 * Backward, with h = (x - mean) rstd, g = dy weight and averages over the row:
 *     dx = rstd (g - average(g) - h average(g h))        average(g) is 0 in RMS normalisation
 *     dweight = sum over rows of dy h,  dbias = sum over rows of dy
 * The last two go down the rows in strips of columns, in blocks of SUM_BLOCK rows: another kernel, whose shares are columns. */

FNN_INLINE T inverse_root(T x) { return (T)1 / (T)sqrt((double)x); } /* sqrt in double, rounded, is sqrtf */

/* h weight + bias, of which either may be missing. */
FNN_INLINE V affine(V h, const V *weight, const V *bias)
{
    if (weight && bias) return v_fma(h, *weight, *bias);
    if (weight) return v_mul(h, *weight);
    return bias ? v_add(h, *bias) : h;
}

/* y[j] = (x[j] - mean) rstd weight[j] + bias[j] for j < n. weight and bias may be NULL. */
FNN_INLINE void normalise_row(T *y, const T *x, const T *weight, const T *bias, V mean, V rstd, size_t n)
{
    size_t j = 0;
    V w = v_zero(), b = v_zero();
    for (; j + W <= n; j += W) {
        if (weight) w = v_load(weight + j);
        if (bias) b = v_load(bias + j);
        v_store(y + j, affine(v_mul(v_sub(v_load(x + j), mean), rstd), weight ? &w : NULL, bias ? &b : NULL));
    }
    if (j < n) { /* tail */
        if (weight) w = v_load_n(weight + j, n - j);
        if (bias) b = v_load_n(bias + j, n - j);
        V h = v_mul(v_sub(v_load_n(x + j, n - j), mean), rstd);
        v_store_n(y + j, affine(h, weight ? &w : NULL, bias ? &b : NULL), n - j);
    }
}

FNN_INLINE void norm_forward(const fnn_norm_args *a, size_t part, size_t parts, int centred)
{
    size_t i, end, cols = a->cols;
    T n = (T)(cols ? cols : 1);
    fnn_share(a->rows, 1, part, parts, &i, &end);
    for (; i < end; i++) {
        const T *x = (const T *)a->x + i * cols;
        T mean = centred ? row_sum(x, cols) / n : 0;
        T rstd = inverse_root(row_sum_squares(x, mean, cols) / n + (T)a->eps);
        if (centred) ((T *)a->mean)[i] = mean;
        ((T *)a->rstd)[i] = rstd;
        normalise_row((T *)a->y + i * cols, x, (const T *)a->weight, (const T *)a->bias, v_set(mean), v_set(rstd), cols);
    }
}

KERNEL(layer_norm_forward, norm) { norm_forward(a, part, parts, 1); }
KERNEL(rms_norm_forward, norm) { norm_forward(a, part, parts, 0); }

/* g = dy weight of the n <= LANES columns from j on. */
FNN_INLINE Lanes weighted(const T *dy, const T *weight, size_t j, size_t n)
{
    Lanes g = strip_load(dy + j, n);
    return weight ? lanes_mul(g, strip_load(weight + j, n)) : g;
}

/* h = (x - mean) rstd of the n <= LANES columns from j on. Lanes beyond hold something that their weight +0 cancels. */
FNN_INLINE Lanes standardised(const T *x, size_t j, size_t n, Lanes mean, Lanes rstd, T fill)
{
    return lanes_mul(lanes_sub(n == LANES ? lanes_load(x + j) : lanes_load_n(x + j, n, fill), mean), rstd);
}

FNN_INLINE void norm_backward(const fnn_norm_backward_args *a, size_t part, size_t parts, int centred)
{
    size_t i, end, cols = a->cols;
    const T *weight = (const T *)a->weight;
    T n = (T)(cols ? cols : 1);
    fnn_share(a->rows, 1, part, parts, &i, &end);
    for (; i < end; i++) {
        const T *dy = (const T *)a->dy + i * cols, *x = (const T *)a->x + i * cols;
        T *dx = (T *)a->dx + i * cols, centre = centred ? ((const T *)a->mean)[i] : 0;
        Lanes mean = lanes_set(centre), rstd = lanes_set(((const T *)a->rstd)[i]);
        Sum sum_g = sum_zero(), sum_gh = sum_zero();
        for (size_t j = 0; j < cols; j += LANES) { /* pass 1: sum(g), sum(g h) */
            size_t m = cols - j < LANES ? cols - j : LANES;
            Lanes g = weighted(dy, weight, j, m);
            if (centred) sum_g.block = lanes_add(sum_g.block, g), sum_next(&sum_g);
            sum_gh.block = lanes_fma(g, standardised(x, j, m, mean, rstd, centre), sum_gh.block), sum_next(&sum_gh);
        }
        Lanes average_g = lanes_set(centred ? lanes_sum(sum_end(&sum_g)) / n : 0), average_gh = lanes_set(lanes_sum(sum_end(&sum_gh)) / n);
        for (size_t j = 0; j < cols; j += LANES) { /* pass 2: dx */
            size_t m = cols - j < LANES ? cols - j : LANES;
            Lanes g = weighted(dy, weight, j, m);
            if (centred) g = lanes_sub(g, average_g);
            strip_store(dx + j, lanes_mul(rstd, lanes_fnma(standardised(x, j, m, mean, rstd, centre), average_gh, g)), m);
        }
    }
}

KERNEL(layer_norm_backward, norm_backward) { norm_backward(a, part, parts, 1); }
KERNEL(rms_norm_backward, norm_backward) { norm_backward(a, part, parts, 0); }

FNN_INLINE void norm_backward_parameters(const fnn_norm_backward_args *a, size_t part, size_t parts, int centred)
{
    size_t j, end, rows = a->rows, cols = a->cols;
    const T *dy = (const T *)a->dy, *x = (const T *)a->x, *mean = (const T *)a->mean, *rstd = (const T *)a->rstd;
    fnn_share(cols, LANES, part, parts, &j, &end);
    for (; j < end; j += LANES) {
        size_t m = end - j < LANES ? end - j : LANES;
        Sum dweight = sum_zero(), dbias = sum_zero();
        for (size_t i = 0; i < rows; i++) {
            Lanes g = strip_load(dy + i * cols + j, m), centre = lanes_set(centred ? mean[i] : 0);
            Lanes h = standardised(x + i * cols, j, m, centre, lanes_set(rstd[i]), 0);
            dweight.block = lanes_fma(g, h, dweight.block), sum_next(&dweight);
            if (a->dbias) dbias.block = lanes_add(dbias.block, g), sum_next(&dbias);
        }
        if (a->dweight) strip_add((T *)a->dweight + j, sum_end(&dweight), m, a->accumulate);
        if (a->dbias) strip_add((T *)a->dbias + j, sum_end(&dbias), m, a->accumulate);
    }
}

KERNEL(layer_norm_backward_parameters, norm_backward) { norm_backward_parameters(a, part, parts, 1); }
KERNEL(rms_norm_backward_parameters, norm_backward) { norm_backward_parameters(a, part, parts, 0); }
