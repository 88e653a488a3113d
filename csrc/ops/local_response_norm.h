/* local_response_norm.h — local response normalisation of x (outer, channels, inner) across neighbouring channels:
 *
 *     y[c] = x[c] / scale[c]^beta,  scale[c] = k + alpha / size (sum of x[d]² over d from c - size / 2 to c + (size - 1) / 2)
 * with zeros beyond the first and the last channel.
 *
 * An image is one row of channels inner values, and a neighbouring channel's is `inner` away: the vectors run over that row, whatever inner is.
 * An element's window is added in ascending order.
 *
 * Backward, with the windows that hold c instead of the window of c:
 *     dx[c] = dy[c] / scale[c]^beta - 2 alpha beta / size x[c] (sum of dy[d] x[d] / scale[d]^(beta + 1) over d from c - (size - 1) / 2 to c + size / 2)
 */

/* Lanes x[at .. at + n) of a row of `total`, n <= W; +0 where that is before or behind it. */
FNN_INLINE V row_window(const T *x, ptrdiff_t at, size_t n, size_t total)
{
    T edge[W] = {0};
    if (at >= 0) {
        if ((size_t)at >= total) return v_zero();
        size_t left = total - (size_t)at;
        return left >= W && n == W ? v_load(x + at) : v_load_n(x + at, left < n ? left : n);
    }
    for (size_t i = 0; i < n; i++)
        if (at + (ptrdiff_t)i >= 0 && (size_t)(at + (ptrdiff_t)i) < total) edge[i] = x[at + (ptrdiff_t)i];
    return v_load(edge);
}

/* The sum of x[d], or of its squares, for each of the n <= W elements from `at` on, over d from `before` channels before to `after` behind. */
FNN_INLINE V window_sum(const T *x, size_t at, size_t n, size_t channels, size_t inner, size_t before, size_t after, int squared)
{
    size_t first = at / inner, last = (at + n - 1) / inner; /* the channels of the first and the last lane */
    V sum = v_zero();
    before = before < last ? before : last;
    after = after < channels - 1 - first ? after : channels - 1 - first;
    for (ptrdiff_t d = -(ptrdiff_t)before; d <= (ptrdiff_t)after; d++) {
        V v = row_window(x, (ptrdiff_t)at + d * (ptrdiff_t)inner, n, channels * inner);
        sum = squared ? v_fma(v, v, sum) : v_add(sum, v);
    }
    return sum;
}

/* scale^beta; for the usual beta by roots, which are exact to a rounding each. */
FNN_INLINE V scale_power(V scale, T beta)
{
    V root = v_sqrt(scale);
    if (beta == T_C(0.75)) return v_mul(root, v_sqrt(root));
    return v_exp(v_mul(v_set(beta), v_log(scale)));
}

KERNEL(local_response_norm_forward, local_response_norm)
{
    size_t i, end, row = a->channels * a->inner;
    V factor = v_set((T)(a->alpha / (double)a->size)), k = v_set((T)a->k);
    fnn_share(a->outer * row, MAP_GRAIN, part, parts, &i, &end);
    for (size_t n; i < end; i += n) {
        size_t image = i / row, at = i % row;
        const T *x = (const T *)a->x + image * row;
        n = end - i < W ? end - i : W;
        n = row - at < n ? row - at : n;
        V scale = v_fma(window_sum(x, at, n, a->channels, a->inner, a->size / 2, (a->size - 1) / 2, 1), factor, k);
        v_store_n((T *)a->scale + i, scale, n);
        v_store_n((T *)a->y + i, v_div(v_load_n(x + at, n), scale_power(scale, (T)a->beta)), n);
        if (at % LANE_BLOCK < W && fnn_interrupted()) return;
    }
}

/* scratch: channels inner values for each share. */
KERNEL(local_response_norm_backward, local_response_norm_backward)
{
    size_t image, end, row = a->channels * a->inner;
    T *ratio = (T *)a->scratch + part * row; /* dy x / scale^(beta + 1) */
    V factor = v_set((T)(2 * a->alpha * a->beta / (double)a->size));
    fnn_share(a->outer, 1, part, parts, &image, &end);
    for (; image < end; image++) {
        const T *dy = (const T *)a->dy + image * row, *x = (const T *)a->x + image * row, *scales = (const T *)a->scale + image * row;
        T *dx = (T *)a->dx + image * row;
        for (size_t at = 0; at < row; at += W) {
            size_t n = row - at < W ? row - at : W;
            V scale = v_load_n(scales + at, n), g = v_div(v_load_n(dy + at, n), scale_power(scale, (T)a->beta));
            v_store_n(dx + at, g, n);
            v_store_n(ratio + at, v_div(v_mul(g, v_load_n(x + at, n)), scale), n);
            if (at % LANE_BLOCK == 0 && fnn_interrupted()) return;
        }
        for (size_t at = 0; at < row; at += W) {
            size_t n = row - at < W ? row - at : W;
            V sum = window_sum(ratio, at, n, a->channels, a->inner, (a->size - 1) / 2, a->size / 2, 0);
            v_store_n(dx + at, v_fnma(v_mul(v_load_n(x + at, n), factor), sum, v_load_n(dx + at, n)), n);
            if (at % LANE_BLOCK == 0 && fnn_interrupted()) return;
        }
    }
}
