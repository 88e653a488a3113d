/* prelu.h — PReLU: y = x where x > 0, else w x, with a learned w for each channel: dx = dy or w dy, dw = sum of x dy where x <= 0.
 *
 * x is seen as outer x channels x inner. An element's slope is found from its place, so shares are cut anywhere. The sums of dw
 * are cut by the shape alone, into one row of `partial` for each cut, which ops/sum_rows.h then adds up:
 *   inner > 1   one sum for each run of up to PRELU_RUN elements of a row of `inner`, over virtual lanes as in vec/reduce.h;
 *   inner = 1   one sum for each ROW_BLOCK rows of a column, in ascending order; vector lanes run over the channels.
 * A single channel is one row: outer = 1, inner = size. */
enum { PRELU_RUN = 2048 };

/* The slope is the first array, as MAP2's functions have it. */
FNN_INLINE V prelu(V w, V x, V p, V q)
{
    (void)p, (void)q;
    return v_select(v_gt(x, v_zero()), x, v_mul(w, x));
}

/* y, x: outer x channels x inner; weight: channels. */
KERNEL(prelu_forward, prelu)
{
    size_t i, end, inner = a->inner, channels = a->channels;
    T *y = (T *)a->y;
    const T *x = (const T *)a->x, *weight = (const T *)a->weight;
    fnn_share(a->outer * channels * inner, MAP_GRAIN, part, parts, &i, &end);
    while (i < end) {
        size_t row = inner == 1 ? i / channels : i / inner, length = inner == 1 ? channels : inner;
        size_t n = (row + 1) * length < end ? (row + 1) * length - i : end - i;
        if (inner == 1) map2_span(y + i, weight + i % channels, x + i, n, v_zero(), v_zero(), prelu);
        else map_span(y + i, x + i, n, v_set(weight[row % channels]), v_zero(), leaky_relu);
        i += n;
    }
}

/* dx of one vector with slope w, and x dy where x <= 0 added to *sum. */
FNN_INLINE V prelu_step(V dy, V x, V w, V *sum)
{
    M positive = v_gt(x, v_zero());
    *sum = v_select(positive, *sum, v_fma(x, dy, *sum));
    return v_select(positive, dy, v_mul(w, dy));
}

/* dx of a run of n elements with one slope; returns the sum of x dy where x <= 0. */
FNN_INLINE T prelu_run(T *dx, const T *dy, const T *x, size_t n, V w)
{
    Lanes sum = lanes_zero();
    for (; n >= LANES; n -= LANES, dx += LANES, dy += LANES, x += LANES)
        for (int k = 0; k < LANE_VECTORS; k++)
            v_store(dx + k * W, prelu_step(v_load(dy + k * W), v_load(x + k * W), w, &sum.v[k]));
    for (int k = 0; n > 0; k++, dx += W, dy += W, x += W) { /* tail: lanes beyond it add 0 times 0 */
        size_t lanes = n < W ? n : W;
        v_store_n(dx, prelu_step(v_load_n(dy, lanes), v_load_n(x, lanes), w, &sum.v[k]), lanes);
        n -= lanes;
    }
    return lanes_sum(sum);
}

/* dx, dy, x: outer x channels x inner; partial: cuts x channels; weight: channels. dx may be dy or x. */
KERNEL(prelu_backward, prelu_backward)
{
    size_t u, end, inner = a->inner, channels = a->channels;
    T *dx = (T *)a->dx, *partial = (T *)a->partial;
    const T *dy = (const T *)a->dy, *x = (const T *)a->x, *weight = (const T *)a->weight;
    if (inner > 1) {
        size_t runs = (inner - 1) / PRELU_RUN + 1;
        fnn_share(a->outer * channels * runs, 1, part, parts, &u, &end);
        for (; u < end; u++) {
            size_t row = u / runs, run = u % runs, c = row % channels, at = row * inner + run * PRELU_RUN;
            size_t n = inner - run * PRELU_RUN < PRELU_RUN ? inner - run * PRELU_RUN : PRELU_RUN;
            partial[(row / channels * runs + run) * channels + c] = prelu_run(dx + at, dy + at, x + at, n, v_set(weight[c]));
        }
        return;
    }
    size_t strips = (channels + MAP_GRAIN - 1) / MAP_GRAIN, blocks = (a->outer + ROW_BLOCK - 1) / ROW_BLOCK;
    fnn_share(blocks * strips, 1, part, parts, &u, &end);
    for (; u < end; u++) {
        size_t block = u / strips, first = block * ROW_BLOCK, j = u % strips * MAP_GRAIN;
        size_t last = a->outer - first < ROW_BLOCK ? a->outer : first + ROW_BLOCK;
        size_t stop = channels - j < MAP_GRAIN ? channels : j + MAP_GRAIN;
        for (; j < stop; j += W) {
            size_t n = stop - j < W ? stop - j : W;
            V w = v_load_n(weight + j, n), sum = v_zero();
            for (size_t i = first; i < last; i++) {
                size_t at = i * channels + j;
                v_store_n(dx + at, prelu_step(v_load_n(dy + at, n), v_load_n(x + at, n), w, &sum), n);
            }
            v_store_n(partial + block * channels + j, sum, n);
        }
    }
}
