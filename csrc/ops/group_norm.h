/* group_norm.h — group normalisation of x (outer, channels, inner): one mean and variance for each image and group of neighbouring channels.
 * Instance normalisation is that with as many groups as channels.
 *
 *     y = (x - mean) rstd weight + bias,  rstd = 1 / sqrt(variance + eps)        weight and bias one a channel
 *
 * The values of a group lie in one piece: a set of planes.h that is a single plane. Shares are groups of images, so an image's result depends on
 * that image alone.
 *
 * Backward, with h = (x - mean) rstd, g = dy weight and averages over the group:
 *     dx = rstd (g - average(g) - h average(g h))
 *     partial_dweight = sum over inner of dy h,  partial_dbias = sum over inner of dy        to be added up over the images
 */

/* y of the image's group `row`. */
FNN_INLINE void group_normalise(const fnn_group_norm_args *a, size_t row, T mean, T rstd)
{
    size_t each = a->channels / a->groups, inner = a->inner, span = each * inner, first = row % a->groups * each;
    const T *x = (const T *)a->x + row * span, *weight = a->weight ? (const T *)a->weight + first : NULL, *bias = a->bias ? (const T *)a->bias + first : NULL;
    T *y = (T *)a->y + row * span;
    if (!weight && !bias)
        normalise_plane(y, x, span, mean, rstd, NULL, NULL, 0);
    else if (inner == 1)
        normalise_row(y, x, weight, bias, v_set(mean), v_set(rstd), each);
    else
        for (size_t c = 0; c < each; c++)
            normalise_plane(y + c * inner, x + c * inner, inner, mean, rstd, weight ? weight + c : NULL, bias ? bias + c : NULL, 0);
}

KERNEL(group_norm_forward, group_norm)
{
    size_t row, end, span = a->channels / a->groups * a->inner;
    T n = (T)(span ? span : 1);
    fnn_share(a->outer * a->groups, 1, part, parts, &row, &end);
    for (size_t step; row < end; row += step) {
        T mean[BUNCH], squares[BUNCH];
        step = bunch_of(span, end - row);
        planes_moments(mean, squares, (const T *)a->x + row * span, 1, span, 0, step);
        for (size_t k = 0; k < step; k++) {
            T rstd = inverse_root(squares[k] / n + (T)a->eps);
            ((T *)a->mean)[row + k] = mean[k];
            ((T *)a->rstd)[row + k] = rstd;
            if (a->variance) ((T *)a->variance)[row + k] = squares[k] / (n - 1);
            group_normalise(a, row + k, mean[k], rstd);
        }
        if (span >= LANE_BLOCK && fnn_interrupted()) return;
    }
}

/* running = (1 - momentum) running + momentum average, over the images, of mean and variance (outer, channels). */
KERNEL(instance_norm_running, instance_norm_running)
{
    size_t c, end, outer = a->outer, channels = a->channels;
    T *running_mean = (T *)a->running_mean, *running_var = (T *)a->running_var;
    V keep = v_set((T)(1 - a->momentum)), take = v_set((T)a->momentum), images = v_set((T)outer);
    fnn_share(channels, MAP_GRAIN, part, parts, &c, &end);
    for (; c < end; c += W) {
        size_t n = end - c < W ? end - c : W;
        V mean = v_div(column_sum((const T *)a->mean + c, outer, channels, n), images);
        V variance = v_div(column_sum((const T *)a->variance + c, outer, channels, n), images);
        v_store_n(running_mean + c, v_fma(take, mean, v_mul(keep, v_load_n(running_mean + c, n))), n);
        v_store_n(running_var + c, v_fma(take, variance, v_mul(keep, v_load_n(running_var + c, n))), n);
    }
}

/* A group of `each` channels of one value: they are the lanes. */
FNN_INLINE void group_backward_row(T *dx, T *partial_dweight, T *partial_dbias, const T *dy, const T *x, const T *weight, size_t each, T mean, T rstd)
{
    Lanes centre = lanes_set(mean), scale = lanes_set(rstd);
    Sum sum_g = sum_zero(), sum_gh = sum_zero();
    for (size_t j = 0; j < each; j += LANES) { /* pass 1: sum(g), sum(g h) */
        size_t m = each - j < LANES ? each - j : LANES;
        Lanes g = weighted(dy, weight, j, m), h = standardised(x, j, m, centre, scale, mean);
        sum_g.block = lanes_add(sum_g.block, g), sum_next(&sum_g);
        sum_gh.block = lanes_fma(g, h, sum_gh.block), sum_next(&sum_gh);
        if (partial_dweight) strip_store(partial_dweight + j, lanes_mul(strip_load(dy + j, m), h), m);
        if (partial_dbias) strip_store(partial_dbias + j, strip_load(dy + j, m), m);
    }
    Lanes average_g = lanes_set(lanes_sum(sum_end(&sum_g)) / (T)each), average_gh = lanes_set(lanes_sum(sum_end(&sum_gh)) / (T)each);
    for (size_t j = 0; j < each && dx; j += LANES) { /* pass 2: dx */
        size_t m = each - j < LANES ? each - j : LANES;
        Lanes g = lanes_sub(weighted(dy, weight, j, m), average_g);
        strip_store(dx + j, lanes_mul(scale, lanes_fnma(standardised(x, j, m, centre, scale, mean), average_gh, g)), m);
    }
}

/* A group of `each` planes. */
FNN_INLINE void group_backward_planes(T *dx, T *partial_dweight, T *partial_dbias, const T *dy, const T *x, const T *weight, size_t each, size_t inner, T mean,
                                      T rstd)
{
    double sum_g = 0, sum_gd = 0, n = (double)each * (double)inner;
    for (size_t c = 0; c < each; c++) { /* pass 1: the sums of g and g (x - mean), channel by channel */
        T g, gd;
        planes_products(&g, &gd, dy + c * inner, x + c * inner, &mean, 1, inner, 0, 1);
        sum_g += weight ? (double)weight[c] * g : g;
        sum_gd += weight ? (double)weight[c] * gd : gd;
        if (partial_dweight) partial_dweight[c] = gd * rstd;
        if (partial_dbias) partial_dbias[c] = g;
    }
    T shift = (T)(rstd * sum_g / n), slope = (T)((double)rstd * rstd * rstd * sum_gd / n);
    for (size_t c = 0; c < each && dx; c++) /* pass 2: dx */
        plane_gradient(dx + c * inner, dy + c * inner, x + c * inner, inner, mean, weight ? rstd * weight[c] : rstd, shift, slope, 0);
}

/* dx, partial_dweight and partial_dbias (outer, channels) may each be NULL. */
KERNEL(group_norm_backward, group_norm_backward)
{
    size_t row, end, each = a->channels / a->groups, inner = a->inner, span = each * inner;
    fnn_share(a->outer * a->groups, 1, part, parts, &row, &end);
    int whole = !a->weight && !a->partial_dweight && !a->partial_dbias; /* nobody looks at channels: a group is one plane */
    for (; row < end; row++) {
        const T *dy = (const T *)a->dy + row * span, *x = (const T *)a->x + row * span;
        const T *weight = a->weight ? (const T *)a->weight + row % a->groups * each : NULL;
        T *dx = a->dx ? (T *)a->dx + row * span : NULL, mean = ((const T *)a->mean)[row], rstd = ((const T *)a->rstd)[row];
        T *dweight = a->partial_dweight ? (T *)a->partial_dweight + row * each : NULL, *dbias = a->partial_dbias ? (T *)a->partial_dbias + row * each : NULL;
        if (whole)
            group_backward_planes(dx, NULL, NULL, dy, x, NULL, 1, span, mean, rstd);
        else if (inner == 1)
            group_backward_row(dx, dweight, dbias, dy, x, weight, each, mean, rstd);
        else
            group_backward_planes(dx, dweight, dbias, dy, x, weight, each, inner, mean, rstd);
        if (span >= LANE_BLOCK && fnn_interrupted()) return;
    }
}
