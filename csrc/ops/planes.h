/* planes.h — what batch and group normalisation share: sums over planes, and passes that write planes.
 *
 * A set is what has one mean: `outer` planes of `inner` neighbours, `stride` apart. `count` sets lie side by side, so that where planes are
 * small a whole bunch of them goes down the images together: neighbours in memory are read one after the other. Passes over several images fetch
 * the next image's plane, `ahead` elements away, line by line with this one's: up to a third faster than leaving it to the processor, which
 * begins anew in every page, while fetching a whole plane at once gains nothing.
 *
 * Element j of a plane is lane j mod LANES. A block is what makes at most SUM_BLOCK terms a lane: some planes, or a piece of one. Its lanes are
 * folded, and blocks added up in double.
 *
 * Moments take one pass: the sums of x - c and of (x - c)² for a centre c that follows the mean. For the first block c is that block's mean, which
 * takes another pass over it; for each block after it, the mean of all before. Moving c by e takes n e from the first sum and e (2 sum - n e) from
 * the second. No block is longer than all before it, so that its squares about c are at most twice what it adds to those about the
 * mean: a large mean costs no digits, in whatever order the data come. */
enum { BUNCH = 32, BUNCH_BYTES = 4096, FIRST_TERMS = 16 };

/* How many neighbouring sets go down together, of those that are left. */
FNN_INLINE size_t bunch_of(size_t inner, size_t left)
{
    size_t most = inner >= BUNCH_BYTES / sizeof(T) ? 1 : BUNCH_BYTES / sizeof(T) / (inner ? inner : 1);
    most = most < BUNCH ? most : BUNCH;
    return most < left ? most : left;
}

/* Planes that make at most so many terms, but at least one. */
FNN_INLINE size_t planes_of(size_t inner, size_t terms)
{
    size_t each = inner / LANES + (inner % LANES != 0);
    return each < terms ? terms / (each ? each : 1) : 1;
}

/* Fetch the cache line of p. The portable build leaves it out: there it would stand between every two elements. */
FNN_INLINE void prefetch(const T *p)
{
#if defined(__GNUC__)
    if (W > 1) __builtin_prefetch(p);
#else
    (void)p;
#endif
}

/* Those of LANES elements. */
FNN_INLINE void prefetch_lanes(const T *p) { prefetch(p), prefetch(p + LANES / 2); }

/* The n values from x on: sum += x - centre, squares += (x - centre)². */
FNN_INLINE void plane_moments(Lanes *sum, Lanes *squares, const T *x, size_t n, T centre, ptrdiff_t ahead)
{
    size_t j = 0;
    if (n >= LANES) {
        Lanes s = *sum, q = *squares, c = lanes_set(centre);
        for (; j + LANES <= n; j += LANES) {
            Lanes d = lanes_sub(lanes_load(x + j), c);
            if (ahead) prefetch_lanes(x + j + ahead);
            s = lanes_add(s, d), q = lanes_fma(d, d, q);
        }
        *sum = s, *squares = q;
    }
    for (int k = 0; k < LANE_VECTORS && j < n; k++, j += W) { /* tail */
        size_t m = n - j < W ? n - j : W;
        if (ahead) prefetch(x + j + ahead);
        V d = v_sub(m == W ? v_load(x + j) : v_load_n(x + j, m), v_set(centre));
        if (m < W) d = v_select(m_first(m), d, v_zero());
        sum->v[k] = v_add(sum->v[k], d), squares->v[k] = v_fma(d, d, squares->v[k]);
    }
}

/* Where a block lies: planes [first, end), elements [from, from + n) of each. */
typedef struct Block {
    size_t first, end, from, n;
} Block;

/* sum[k] and squares[k] of a block of `count` sets, about centre[k]. */
FNN_INLINE void block_moments(double *sum, double *squares, const T *x, const T *centre, Block b, size_t inner, size_t stride, size_t count)
{
    Lanes s[BUNCH], q[BUNCH];
    for (size_t k = 0; k < count; k++) s[k] = q[k] = lanes_zero();
    for (size_t i = b.first; i < b.end; i++)
        for (size_t k = 0; k < count; k++)
            plane_moments(s + k, q + k, x + i * stride + k * inner + b.from, b.n, centre[k], i + 1 < b.end ? (ptrdiff_t)stride : 0);
    for (size_t k = 0; k < count; k++) sum[k] = lanes_sum(s[k]), squares[k] = lanes_sum(q[k]);
}

/* mean[k] and squares[k] = sum((x - mean[k])²) of `count` <= BUNCH sets; 0 where they are empty. */
FNN_INLINE void planes_moments(T *mean, T *squares, const T *x, size_t outer, size_t inner, size_t stride, size_t count)
{
    double sum[BUNCH], total[BUNCH], block_sum[BUNCH], block_squares[BUNCH], values = 0;
    T centre[BUNCH];
    size_t longest = planes_of(inner, SUM_BLOCK), planes = planes_of(inner, FIRST_TERMS);
    for (size_t k = 0; k < count; k++) sum[k] = total[k] = centre[k] = 0;
    for (Block b = {0, 0, 0, 0}; b.first < outer; b.first = b.end, planes = b.end < longest ? b.end : longest) {
        b.end = outer - b.first < planes ? outer : b.first + planes;
        for (b.from = 0; b.from < inner; b.from += LANE_BLOCK) {
            b.n = inner - b.from < LANE_BLOCK ? inner - b.from : LANE_BLOCK;
            double more = (double)(b.end - b.first) * (double)b.n;
            if (values == 0) {
                block_moments(block_sum, block_squares, x, centre, b, inner, stride, count);
                for (size_t k = 0; k < count; k++) centre[k] = (T)(block_sum[k] / more);
            }
            block_moments(block_sum, block_squares, x, centre, b, inner, stride, count);
            values += more;
            for (size_t k = 0; k < count; k++) {
                sum[k] += block_sum[k], total[k] += block_squares[k];
                T next = (T)(centre[k] + sum[k] / values);
                double step = (double)next - centre[k];
                total[k] -= step * (2 * sum[k] - values * step);
                sum[k] -= values * step;
                centre[k] = next;
            }
        }
    }
    for (size_t k = 0; k < count; k++) {
        double rest = values > 0 ? sum[k] / values : 0, deviation = total[k] - rest * sum[k];
        mean[k] = (T)(centre[k] + rest), squares[k] = deviation < 0 ? 0 : (T)deviation;
    }
}

/* g += the n values from dy on; gd += their products with x - mean. */
FNN_INLINE void plane_products(Lanes *g, Lanes *gd, const T *dy, const T *x, size_t n, T mean, ptrdiff_t ahead)
{
    size_t j = 0;
    if (n >= LANES) {
        Lanes sum_g = *g, sum_gd = *gd, centre = lanes_set(mean);
        for (; j + LANES <= n; j += LANES) {
            Lanes v = lanes_load(dy + j);
            if (ahead) prefetch_lanes(dy + j + ahead), prefetch_lanes(x + j + ahead);
            sum_g = lanes_add(sum_g, v);
            sum_gd = lanes_fma(v, lanes_sub(lanes_load(x + j), centre), sum_gd);
        }
        *g = sum_g, *gd = sum_gd;
    }
    for (int k = 0; k < LANE_VECTORS && j < n; k++, j += W) { /* tail */
        size_t m = n - j < W ? n - j : W;
        if (ahead) prefetch(dy + j + ahead), prefetch(x + j + ahead);
        V v = m == W ? v_load(dy + j) : v_load_n(dy + j, m);
        g->v[k] = v_add(g->v[k], v);
        gd->v[k] = v_fma(v, v_sub(m == W ? v_load(x + j) : v_load_n(x + j, m), v_set(mean)), gd->v[k]);
    }
}

/* g[k] = sum(dy) and gd[k] = sum(dy (x - mean[k])) of `count` <= BUNCH sets. */
FNN_INLINE void planes_products(T *g, T *gd, const T *dy, const T *x, const T *mean, size_t outer, size_t inner, size_t stride, size_t count)
{
    size_t planes = planes_of(inner, SUM_BLOCK);
    double total_g[BUNCH], total_gd[BUNCH];
    for (size_t k = 0; k < count; k++) total_g[k] = total_gd[k] = 0;
    for (size_t first = 0; first < outer; first += planes)
        for (size_t from = 0; from < inner; from += LANE_BLOCK) {
            size_t end = outer - first < planes ? outer : first + planes, n = inner - from < LANE_BLOCK ? inner - from : LANE_BLOCK;
            Lanes sum_g[BUNCH], sum_gd[BUNCH];
            for (size_t k = 0; k < count; k++) sum_g[k] = sum_gd[k] = lanes_zero();
            for (size_t i = first; i < end; i++)
                for (size_t k = 0; k < count; k++) {
                    size_t at = i * stride + k * inner + from;
                    plane_products(sum_g + k, sum_gd + k, dy + at, x + at, n, mean[k], i + 1 < end ? (ptrdiff_t)stride : 0);
                }
            for (size_t k = 0; k < count; k++) total_g[k] += lanes_sum(sum_g[k]), total_gd[k] += lanes_sum(sum_gd[k]);
        }
    for (size_t k = 0; k < count; k++) g[k] = (T)total_g[k], gd[k] = (T)total_gd[k];
}

/* y[j] = (x[j] - mean) rstd weight + bias for j < n; weight, bias: one value, or NULL. */
FNN_INLINE void normalise_plane(T *y, const T *x, size_t n, T mean, T rstd, const T *weight, const T *bias, ptrdiff_t ahead)
{
    V m = v_set(mean), r = v_set(rstd), w = v_set(weight ? *weight : 0), b = v_set(bias ? *bias : 0);
    size_t j = 0;
    for (; j + W <= n; j += W) {
        if (ahead) prefetch(x + j + ahead), prefetch(y + j + ahead);
        v_store(y + j, affine(v_mul(v_sub(v_load(x + j), m), r), weight ? &w : NULL, bias ? &b : NULL));
    }
    if (j < n) v_store_n(y + j, affine(v_mul(v_sub(v_load_n(x + j, n - j), m), r), weight ? &w : NULL, bias ? &b : NULL), n - j);
}

/* dx[j] = factor dy[j] - shift - slope (x[j] - mean) for j < n; x NULL: factor dy[j]. */
FNN_INLINE void plane_gradient(T *dx, const T *dy, const T *x, size_t n, T mean, T factor, T shift, T slope, ptrdiff_t ahead)
{
    V m = v_set(mean), f = v_set(factor), a = v_set(shift), b = v_set(slope);
    size_t j = 0;
    for (; j + W <= n; j += W) {
        if (ahead) prefetch(dy + j + ahead), prefetch(dx + j + ahead);
        if (ahead && x) prefetch(x + j + ahead);
        v_store(dx + j, x ? v_fnma(v_sub(v_load(x + j), m), b, v_fms(v_load(dy + j), f, a)) : v_mul(v_load(dy + j), f));
    }
    if (j < n) {
        V g = v_load_n(dy + j, n - j);
        v_store_n(dx + j, x ? v_fnma(v_sub(v_load_n(x + j, n - j), m), b, v_fms(g, f, a)) : v_mul(g, f), n - j);
    }
}
