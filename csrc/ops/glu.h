/* glu.h — the gated linear unit: y = u sigmoid(v), u and v being the halves of x along an axis; du = dy s, dv = dy u s', s = sigmoid(v).
 *
 * x is seen as outer x 2 x span, y as outer x span. Shares are cut anywhere in y. */

FNN_INLINE V gate(V u, V v, V p, V q)
{
    (void)p, (void)q;
    return v_mul(u, v_sigmoid(v));
}

/* y: outer x span; x: outer x 2 x span. */
KERNEL(glu_forward, glu)
{
    size_t i, end, span = a->span;
    fnn_share(a->outer * span, MAP_GRAIN, part, parts, &i, &end);
    while (i < end) {
        size_t row = i / span, n = (row + 1) * span < end ? (row + 1) * span - i : end - i;
        const T *u = (const T *)a->x + row * span + i; /* row 2 span, and i - row span within it */
        map2_span((T *)a->y + i, u, u + span, n, v_zero(), v_zero(), gate);
        i += n;
    }
}

/* dx, x: outer x 2 x span; dy: outer x span. dx may be x. */
KERNEL(glu_backward, glu_backward)
{
    size_t i, end, span = a->span;
    fnn_share(a->outer * span, MAP_GRAIN, part, parts, &i, &end);
    for (size_t n; i < end; i += n) {
        size_t row = i / span, at = row * span + i;
        n = (row + 1) * span - i < W ? (row + 1) * span - i : W;
        if (n > end - i) n = end - i;
        V s, slope, dy = v_load_n((const T *)a->dy + i, n);
        sigmoid_parts(v_load_n((const T *)a->x + at + span, n), &s, &slope, 0);
        V u = v_load_n((const T *)a->x + at, n);
        v_store_n((T *)a->dx + at, v_mul(dy, s), n);
        v_store_n((T *)a->dx + at + span, v_mul(v_mul(dy, u), slope), n);
    }
}
