/* batch_norm.h — batch normalisation of x (outer, channels, inner): statistics over outer and inner, one set a channel.
 *
 *     y = (x - mean) rstd weight + bias,  rstd = 1 / sqrt(variance + eps)
 *     running = (1 - momentum) running + momentum batch        with the unbiased variance, over n - 1
 * momentum is 1 / batches[0] where `batches` is not NULL: the cumulative average.
 *
 * Shares are channels: each is computed whole by one of them. Two layouts, chosen by the shape:
 *   inner = 1   channels are columns, see columns.h
 *   inner > 1   a channel is a set of planes, see planes.h
 * COLUMNS columns, or a bunch of sets, are finished, y included, before the next begin: where they fit the second level of cache, x comes
 * from memory once.
 *
 * Backward, with h = (x - mean) rstd: dweight = sum(dy h), dbias = sum(dy), and
 *     dx = rstd weight (dy - dbias / n - h dweight / n)      where the statistics were the batch's
 *     dx = rstd weight dy                                    where they were constants
 */

/* mean and rstd of the channels [first, end), and the step of the running statistics. */
FNN_INLINE void batch_statistics(const fnn_batch_norm_args *a, size_t first, size_t end)
{
    size_t channels = a->channels, inner = a->inner, values = a->outer * inner;
    const T *x = (const T *)a->x + first * inner;
    T *mean = (T *)a->mean, *rstd = (T *)a->rstd, *running_mean = (T *)a->running_mean, *running_var = (T *)a->running_var;
    T n = (T)(values ? values : 1), eps = (T)a->eps;
    if (!a->from_batch) {
        for (size_t c = first; c < end; c++) mean[c] = running_mean[c], rstd[c] = inverse_root(running_var[c] + eps);
        return;
    }
    if (inner == 1) /* rstd is the sum of squares for the moment */
        columns_moments(mean + first, rstd + first, x, a->outer, channels, end - first);
    else
        planes_moments(mean + first, rstd + first, x, a->outer, inner, channels * inner, end - first);
    double momentum = a->batches ? 1 / (double)*a->batches : a->momentum;
    T keep = (T)(1 - momentum), take = (T)momentum;
    for (size_t c = first; c < end; c++) {
        T squares = rstd[c];
        if (running_mean && values) running_mean[c] = keep * running_mean[c] + take * mean[c];
        if (running_var && values) running_var[c] = keep * running_var[c] + take * (squares / (n - 1));
        rstd[c] = inverse_root(squares / n + eps);
    }
}

/* y of the channels [first, end). Where x has been read for the statistics, the last image comes first: it is the likeliest to be in the cache, in
 * which strides that are powers of two leave room for few images only. */
FNN_INLINE void batch_normalise(const fnn_batch_norm_args *a, size_t first, size_t end)
{
    size_t channels = a->channels, inner = a->inner;
    const T *x = (const T *)a->x, *mean = (const T *)a->mean, *rstd = (const T *)a->rstd, *weight = (const T *)a->weight, *bias = (const T *)a->bias;
    T *y = (T *)a->y;
    if (inner == 1) {
        columns_normalise(y + first, x + first, a->outer, channels, end - first, mean + first, rstd + first, weight ? weight + first : NULL,
                          bias ? bias + first : NULL, a->from_batch);
        return;
    }
    for (size_t i = 0; i < a->outer; i++) {
        size_t image = a->from_batch ? a->outer - 1 - i : i;
        ptrdiff_t ahead = a->from_batch && image ? -(ptrdiff_t)(channels * inner) : 0;
        for (size_t c = first; c < end; c++) {
            size_t at = (image * channels + c) * inner;
            normalise_plane(y + at, x + at, inner, mean[c], rstd[c], weight ? weight + c : NULL, bias ? bias + c : NULL, ahead);
            if (a->activation) {
                const fnn_map_args map = {y + at, y + at, inner, a->p, a->q};
                a->activation(&map, 0, 1);
            }
            if (inner >= LANE_BLOCK && fnn_interrupted()) return;
        }
    }
}

/* Channels that are finished together. */
FNN_INLINE size_t batch_step(size_t inner, size_t left)
{
    return inner != 1 ? bunch_of(inner, left) : left < COLUMNS ? left : COLUMNS;
}

KERNEL(batch_norm_forward, batch_norm)
{
    size_t c, end;
    fnn_share(a->channels, a->inner == 1 ? LANES : 1, part, parts, &c, &end);
    for (size_t step; c < end; c += step) {
        step = a->from_batch ? batch_step(a->inner, end - c) : end - c;
        batch_statistics(a, c, c + step);
        batch_normalise(a, c, c + step);
    }
}

/* `count` channels from c on: the sums, then dx. */
FNN_INLINE void batch_backward(const fnn_batch_norm_backward_args *a, size_t c, size_t count)
{
    size_t inner = a->inner, stride = a->channels * inner;
    const T *dy = (const T *)a->dy + c * inner, *x = (const T *)a->x + c * inner, *mean = (const T *)a->mean + c, *rstd = (const T *)a->rstd + c;
    const T *weight = (const T *)a->weight;
    T *dweight = (T *)a->dweight, *dbias = (T *)a->dbias, n = (T)(a->outer * inner);
    T g[COLUMNS], gd[COLUMNS], factor[COLUMNS];
    if (!a->from_batch && !dweight && !dbias)
        for (size_t k = 0; k < count; k++) g[k] = gd[k] = 0;
    else if (inner == 1)
        columns_products(g, gd, dy, x, mean, a->outer, stride, count);
    else
        planes_products(g, gd, dy, x, mean, a->outer, inner, stride, count);
    for (size_t k = 0; k < count; k++) { /* the sums become dx's shift and slope */
        T total_gh = gd[k] * rstd[k];
        if (dweight) dweight[c + k] = a->accumulate ? dweight[c + k] + total_gh : total_gh;
        if (dbias) dbias[c + k] = a->accumulate ? dbias[c + k] + g[k] : g[k];
        factor[k] = weight ? rstd[k] * weight[c + k] : rstd[k];
        g[k] = factor[k] * (g[k] / n), gd[k] = factor[k] * rstd[k] * (total_gh / n);
    }
    if (!a->dx) return;
    T *dx = (T *)a->dx + c * inner;
    if (inner == 1) {
        columns_gradient(dx, dy, a->from_batch ? x : NULL, a->outer, stride, count, mean, factor, g, gd);
        return;
    }
    for (size_t i = a->outer; i-- > 0;)
        for (size_t k = 0; k < count; k++) {
            size_t at = i * stride + k * inner;
            plane_gradient(dx + at, dy + at, a->from_batch ? x + at : NULL, inner, mean[k], factor[k], g[k], gd[k], i ? -(ptrdiff_t)stride : 0);
        }
}

/* dx, dweight and dbias may each be NULL. */
KERNEL(batch_norm_backward, batch_norm_backward)
{
    size_t c, end;
    fnn_share(a->channels, a->inner == 1 ? LANES : 1, part, parts, &c, &end);
    for (size_t step; c < end; c += step) {
        step = batch_step(a->inner, end - c);
        batch_backward(a, c, step);
    }
}
