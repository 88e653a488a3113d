/* map.h — the loops of element-wise kernels, written once; the functions they apply are inlined into them.
 *
 * Four vectors are in flight, so that the latency of one function's chain of multiply-adds hides behind the three others. A tail
 * shorter than a vector is loaded with zeros behind it and stored in part; lanes never meet, so the bits of an element do
 * not depend on where it stands. */

/* Shares are cut at multiples of this many elements: whole cache lines of either dtype, in both input and output. */
enum { MAP_GRAIN = 64 };

/* y[i] = f(x[i], p, q) for i < n. y may be x. */
FNN_INLINE void map_span(T *y, const T *x, size_t n, V p, V q, V (*f)(V, V, V))
{
    size_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
        V y0 = f(v_load(x + i), p, q), y1 = f(v_load(x + i + W), p, q);
        V y2 = f(v_load(x + i + 2 * W), p, q), y3 = f(v_load(x + i + 3 * W), p, q);
        v_store(y + i, y0), v_store(y + i + W, y1);
        v_store(y + i + 2 * W, y2), v_store(y + i + 3 * W, y3);
    }
    for (; i + W <= n; i += W) v_store(y + i, f(v_load(x + i), p, q));
    if (i < n) v_store_n(y + i, f(v_load_n(x + i, n - i), p, q), n - i);
}

/* dx[i] = f(dy[i], x[i], p, q) for i < n. dx may be dy or x. */
FNN_INLINE void map2_span(T *dx, const T *dy, const T *x, size_t n, V p, V q, V (*f)(V, V, V, V))
{
    size_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
        V d0 = f(v_load(dy + i), v_load(x + i), p, q), d1 = f(v_load(dy + i + W), v_load(x + i + W), p, q);
        V d2 = f(v_load(dy + i + 2 * W), v_load(x + i + 2 * W), p, q), d3 = f(v_load(dy + i + 3 * W), v_load(x + i + 3 * W), p, q);
        v_store(dx + i, d0), v_store(dx + i + W, d1);
        v_store(dx + i + 2 * W, d2), v_store(dx + i + 3 * W, d3);
    }
    for (; i + W <= n; i += W) v_store(dx + i, f(v_load(dy + i), v_load(x + i), p, q));
    if (i < n) v_store_n(dx + i, f(v_load_n(dy + i, n - i), v_load_n(x + i, n - i), p, q), n - i);
}

/* MAP(relu_forward, relu) and MAP2(relu_backward, relu_derivative) define the kernels of a pair of such functions. */
#define MAP(name, f)                                                                                                          \
    KERNEL(name, map)                                                                                                         \
    {                                                                                                                         \
        size_t i, end;                                                                                                        \
        fnn_share(a->n, MAP_GRAIN, part, parts, &i, &end);                                                                    \
        map_span((T *)a->y + i, (const T *)a->x + i, end - i, v_set((T)a->p), v_set((T)a->q), f);                             \
    }

#define MAP2(name, f)                                                                                                         \
    KERNEL(name, map_backward)                                                                                                \
    {                                                                                                                         \
        size_t i, end;                                                                                                        \
        fnn_share(a->n, MAP_GRAIN, part, parts, &i, &end);                                                                    \
        map2_span((T *)a->dx + i, (const T *)a->dy + i, (const T *)a->x + i, end - i, v_set((T)a->p), v_set((T)a->q), f);     \
    }
