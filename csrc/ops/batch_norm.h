/* batch_norm.h — batch normalisation of x (outer, channels, inner): statistics over outer and inner, one set a channel.
 *
 *     y = (x - mean) rstd weight + bias,  rstd = 1 / sqrt(variance + eps)
 *     running = (1 - momentum) running + momentum batch        with the unbiased variance, over n - 1
 * momentum is 1 / batches[0] where `batches` is not NULL: the cumulative average.
 *
 * Shares are channels: each is computed whole by one of them. Two layouts, chosen by the shape:
 *   inner = 1   channels are columns: strips of LANES columns go down the rows, a lane a channel, in blocks of SUM_BLOCK rows
 *   inner > 1   a channel is outer planes of `inner` neighbours: they are dealt to the lanes plane by plane, and the lanes fold at the end
 * Statistics take two passes, as in norm.h.
 *
 * Backward, with h = (x - mean) rstd: dweight = sum(dy h), dbias = sum(dy), and
 *     dx = rstd weight (dy - dbias / n - h dweight / n)      where the statistics were the batch's
 *     dx = rstd weight dy                                    where they were constants
 */

/* Sums over the rows of n <= LANES columns of (rows, stride): of x, or of (x - mean)². */
FNN_INLINE Lanes columns_sum(const T *x, size_t rows, size_t stride, size_t n, const Lanes *mean)
{
    Sum sum = sum_zero();
    for (size_t i = 0; i < rows; i++) {
        Lanes v = strip_load(x + i * stride, n);
        if (mean) v = lanes_sub(v, *mean);
        sum.block = mean ? lanes_fma(v, v, sum.block) : lanes_add(sum.block, v);
        sum_next(&sum);
    }
    return sum_end(&sum);
}

/* The same over the planes of one channel: `outer` of them, each of `inner` neighbours, `stride` apart. */
FNN_INLINE T planes_sum(const T *x, size_t outer, size_t inner, size_t stride, const T *mean)
{
    Sum sum = sum_zero();
    Lanes shift = lanes_set(mean ? *mean : 0);
    for (size_t i = 0; i < outer; i++)
        for (size_t j = 0; j < inner; j += LANES) {
            const T *p = x + i * stride + j;
            Lanes v = inner - j >= LANES ? lanes_load(p) : lanes_load_n(p, inner - j, mean ? *mean : 0);
            if (mean) v = lanes_sub(v, shift);
            sum.block = mean ? lanes_fma(v, v, sum.block) : lanes_add(sum.block, v);
            sum_next(&sum);
        }
    return lanes_sum(sum_end(&sum));
}

/* mean[c] and, for the moment in rstd[c], the sum of squared deviations, for c in [first, end). */
FNN_INLINE void batch_moments(const fnn_batch_norm_args *a, size_t first, size_t end, T n)
{
    size_t channels = a->channels, inner = a->inner;
    const T *x = (const T *)a->x;
    T *mean = (T *)a->mean, *squares = (T *)a->rstd;
    for (size_t c = first; c < end && inner == 1; c += LANES) {
        size_t m = end - c < LANES ? end - c : LANES;
        Lanes average = columns_sum(x + c, a->outer, channels, m, NULL);
        for (int k = 0; k < LANE_VECTORS; k++) average.v[k] = v_div(average.v[k], v_set(n));
        strip_store(mean + c, average, m);
        strip_store(squares + c, columns_sum(x + c, a->outer, channels, m, &average), m);
    }
    for (size_t c = first; c < end && inner != 1; c++) {
        mean[c] = planes_sum(x + c * inner, a->outer, inner, channels * inner, NULL) / n;
        squares[c] = planes_sum(x + c * inner, a->outer, inner, channels * inner, mean + c);
    }
}

KERNEL(batch_norm_forward, batch_norm)
{
    size_t first, end, channels = a->channels, inner = a->inner, values = a->outer * inner;
    T *mean = (T *)a->mean, *rstd = (T *)a->rstd, *running_mean = (T *)a->running_mean, *running_var = (T *)a->running_var;
    const T *weight = (const T *)a->weight, *bias = (const T *)a->bias;
    T n = (T)(values ? values : 1), eps = (T)a->eps;
    fnn_share(channels, inner == 1 ? LANES : 1, part, parts, &first, &end);

    /* the statistics */
    if (a->from_batch) {
        double momentum = a->batches ? 1 / (double)*a->batches : a->momentum;
        T keep = (T)(1 - momentum), take = (T)momentum;
        batch_moments(a, first, end, n);
        for (size_t c = first; c < end; c++) {
            T squares = rstd[c];
            if (running_mean && values) running_mean[c] = keep * running_mean[c] + take * mean[c];
            if (running_var && values) running_var[c] = keep * running_var[c] + take * (squares / (n - 1));
            rstd[c] = inverse_root(squares / n + eps);
        }
    } else {
        for (size_t c = first; c < end; c++) mean[c] = running_mean[c], rstd[c] = inverse_root(running_var[c] + eps);
    }

    /* y */
    if (inner == 1) {
        for (size_t i = 0; i < a->outer; i++) {
            const T *x = (const T *)a->x + i * channels;
            T *y = (T *)a->y + i * channels;
            for (size_t c = first; c < end; c += W) {
                size_t m = end - c < W ? end - c : W;
                V w = weight ? v_load_n(weight + c, m) : v_zero(), b = bias ? v_load_n(bias + c, m) : v_zero();
                V h = v_mul(v_sub(v_load_n(x + c, m), v_load_n(mean + c, m)), v_load_n(rstd + c, m));
                v_store_n(y + c, affine(h, weight ? &w : NULL, bias ? &b : NULL), m);
            }
        }
        return;
    }
    for (size_t i = 0; i < a->outer; i++)
        for (size_t c = first; c < end; c++) {
            const T *x = (const T *)a->x + (i * channels + c) * inner;
            T *y = (T *)a->y + (i * channels + c) * inner;
            V m = v_set(mean[c]), r = v_set(rstd[c]), w = v_set(weight ? weight[c] : 0), b = v_set(bias ? bias[c] : 0);
            size_t j = 0;
            for (; j + W <= inner; j += W)
                v_store(y + j, affine(v_mul(v_sub(v_load(x + j), m), r), weight ? &w : NULL, bias ? &b : NULL));
            if (j < inner)
                v_store_n(y + j, affine(v_mul(v_sub(v_load_n(x + j, inner - j), m), r), weight ? &w : NULL, bias ? &b : NULL), inner - j);
        }
}

/* dx = factor (dy - shift - h slope) for the n <= LANES values from dy, x on. */
FNN_INLINE void batch_gradient(T *dx, const T *dy, const T *x, size_t n, Lanes mean, Lanes rstd, Lanes factor, Lanes shift, Lanes slope, int from_batch)
{
    Lanes g = strip_load(dy, n);
    if (from_batch) g = lanes_fnma(lanes_mul(lanes_sub(strip_load(x, n), mean), rstd), slope, lanes_sub(g, shift));
    strip_store(dx, lanes_mul(factor, g), n);
}

/* Channels are columns: n <= LANES of them from c on. */
FNN_INLINE void backward_columns(const fnn_batch_norm_backward_args *a, size_t c, size_t n)
{
    size_t channels = a->channels;
    const T *dy = (const T *)a->dy + c, *x = (const T *)a->x + c;
    Lanes mean = strip_load((const T *)a->mean + c, n), rstd = strip_load((const T *)a->rstd + c, n);
    Sum sum_g = sum_zero(), sum_gh = sum_zero();
    for (size_t i = 0; i < a->outer; i++) {
        Lanes g = strip_load(dy + i * channels, n), h = lanes_mul(lanes_sub(strip_load(x + i * channels, n), mean), rstd);
        sum_g.block = lanes_add(sum_g.block, g), sum_next(&sum_g);
        sum_gh.block = lanes_fma(g, h, sum_gh.block), sum_next(&sum_gh);
    }
    Lanes total_g = sum_end(&sum_g), total_gh = sum_end(&sum_gh), shift = total_g, slope = total_gh;
    for (int k = 0; k < LANE_VECTORS; k++) {
        V values = v_set((T)a->outer);
        shift.v[k] = v_div(shift.v[k], values), slope.v[k] = v_div(slope.v[k], values);
    }
    if (a->dx) {
        Lanes factor = a->weight ? lanes_mul(rstd, strip_load((const T *)a->weight + c, n)) : rstd;
        for (size_t i = 0; i < a->outer; i++)
            batch_gradient((T *)a->dx + c + i * channels, dy + i * channels, x + i * channels, n, mean, rstd, factor, shift, slope, a->from_batch);
    }
    if (a->dweight) strip_add((T *)a->dweight + c, total_gh, n, a->accumulate);
    if (a->dbias) strip_add((T *)a->dbias + c, total_g, n, a->accumulate);
}

/* A channel is planes of neighbours. */
FNN_INLINE void backward_planes(const fnn_batch_norm_backward_args *a, size_t c)
{
    size_t inner = a->inner, stride = a->channels * inner;
    const T *dy = (const T *)a->dy + c * inner, *x = (const T *)a->x + c * inner;
    T centre = ((const T *)a->mean)[c], scale = ((const T *)a->rstd)[c], values = (T)(a->outer * inner);
    T *dweight = (T *)a->dweight, *dbias = (T *)a->dbias;
    Lanes mean = lanes_set(centre), rstd = lanes_set(scale);
    Sum sum_g = sum_zero(), sum_gh = sum_zero();
    for (size_t i = 0; i < a->outer; i++)
        for (size_t j = 0; j < inner; j += LANES) {
            size_t n = inner - j < LANES ? inner - j : LANES;
            Lanes g = strip_load(dy + i * stride + j, n), h = standardised(x + i * stride, j, n, mean, rstd, centre);
            sum_g.block = lanes_add(sum_g.block, g), sum_next(&sum_g);
            sum_gh.block = lanes_fma(g, h, sum_gh.block), sum_next(&sum_gh);
        }
    T total_g = lanes_sum(sum_end(&sum_g)), total_gh = lanes_sum(sum_end(&sum_gh));
    if (a->dx) {
        Lanes factor = lanes_set(a->weight ? scale * ((const T *)a->weight)[c] : scale);
        Lanes shift = lanes_set(total_g / values), slope = lanes_set(total_gh / values);
        for (size_t i = 0; i < a->outer; i++)
            for (size_t j = 0; j < inner; j += LANES)
                batch_gradient((T *)a->dx + c * inner + i * stride + j, dy + i * stride + j, x + i * stride + j,
                               inner - j < LANES ? inner - j : LANES, mean, rstd, factor, shift, slope, a->from_batch);
    }
    if (dweight) dweight[c] = a->accumulate ? dweight[c] + total_gh : total_gh;
    if (dbias) dbias[c] = a->accumulate ? dbias[c] + total_g : total_g;
}

/* dx, dweight and dbias may each be NULL. */
KERNEL(batch_norm_backward, batch_norm_backward)
{
    size_t c, end;
    fnn_share(a->channels, a->inner == 1 ? LANES : 1, part, parts, &c, &end);
    if (a->inner == 1)
        for (; c < end; c += LANES) backward_columns(a, c, end - c < LANES ? end - c : LANES);
    else
        for (; c < end; c++) backward_planes(a, c);
}
