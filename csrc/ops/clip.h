/* clip.h — gradient clipping over a list of tensors: by value, and by the norm of all of them together.
 *
 * The norm's terms are cut into blocks of CLIP_BLOCK elements within each tensor, a cut that depends on the sizes alone. Shares sum up
 * blocks into `partials` in double; the last pass adds those in order and scales. */
enum { CLIP_BLOCK = 16384 };

/* Sum of squares, sum of magnitudes or largest magnitude of a block, in double. Lanes stay in the dtype: a block is short. */
FNN_INLINE double block_norm(const T *g, size_t n, int norm)
{
    Lanes sum = lanes_zero();
    M nan = m_first(0);
    for (size_t i = 0; i < n; i += LANES) {
        Lanes x = n - i >= LANES ? lanes_load(g + i) : lanes_load_n(g + i, n - i, 0);
        for (int k = 0; k < LANE_VECTORS; k++) {
            V magnitude = v_abs(x.v[k]);
            nan = m_or(nan, v_isnan(magnitude));
            sum.v[k] = norm == 2 ? v_fma(magnitude, magnitude, sum.v[k]) : norm == 1 ? v_add(sum.v[k], magnitude) : v_max(magnitude, sum.v[k]);
        }
    }
    return m_any(nan) ? (double)NAN : norm ? (double)lanes_sum(sum) : (double)lanes_top(sum);
}

FNN_INLINE V times_p(V x, V p, V q)
{
    (void)q;
    return v_mul(x, p);
}

FNN_INLINE V clamp_p(V x, V p, V q)
{
    (void)q;
    return v_min(p, v_max(v_neg(p), x));
}

/* partials[b] = the sum of squares (norm 2), the sum (norm 1) or the maximum (norm inf, coded 0) of |g| over block b. */
KERNEL(gradient_norm_partials, clip)
{
    size_t begin, end, block = 0;
    fnn_share(a->blocks, 1, part, parts, &begin, &end);
    for (size_t t = 0; t < a->count; t++) {
        const T *g = (const T *)a->gradients[t];
        for (size_t i = 0; i < a->sizes[t]; i += CLIP_BLOCK, block++) {
            size_t n = a->sizes[t] - i < CLIP_BLOCK ? a->sizes[t] - i : CLIP_BLOCK;
            if (block >= begin && block < end) a->partials[block] = block_norm(g + i, n, a->norm);
        }
    }
    for (; block < end; block++) /* of gradients that have fewer rows than they might */
        if (block >= begin) a->partials[block] = 0;
}

/* total[0] = the norm; total[1] = what to multiply with, at most 1. */
KERNEL(gradient_norm_total, clip)
{
    double sum = 0;
    (void)parts;
    if (part) return;
    for (size_t b = 0; b < a->blocks; b++) {
        double p = a->partials[b];
        sum = a->norm == 0 ? (p > sum || p != p ? p : sum) : sum + p;
    }
    if (a->norm == 2) sum = sqrt(sum);
    double ratio = a->limit / (sum + 1e-6);
    a->total[0] = sum;
    a->total[1] = ratio < 1 || ratio != ratio ? ratio : 1;
}

/* g *= total[1]. */
KERNEL(gradient_norm_scale, clip)
{
    V scale = v_set((T)a->total[1]);
    FOR_EACH_SPAN(a, t, i, end) map_span((T *)a->gradients[t] + i, (const T *)a->gradients[t] + i, end - i, scale, scale, times_p);
}

/* g = min(max(g, -limit), limit); NaN stays. */
KERNEL(gradient_clip_value, clip)
{
    V limit = v_set((T)a->limit);
    FOR_EACH_SPAN(a, t, i, end) map_span((T *)a->gradients[t] + i, (const T *)a->gradients[t] + i, end - i, limit, limit, clamp_p);
}
