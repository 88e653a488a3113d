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

/* Guarded loops. Huge, tiny and special arguments cost some functions twice the operations. A guarded function is written once, as
 * f(x, p, q, ordinary) with constants for `ordinary`: 0 computes everything, 1 may leave out what ordinary arguments do not need but
 * has to give them the same bits. Blocks of four vectors that pass the guard take the second form, all others the first. */

/* Guard: |x| < limit, seen from the sum of the four squares, in which an infinity or NaN stays. So numbers between limit / 2 and
 * limit may fail, which costs time only. EXP_TINY keeps subnormal operands, which are slow, out of the products; exp adds it too. */
FNN_INLINE int all_below(T limit, V a, V b, V c, V d)
{
    V tiny = v_set(EXP_TINY);
    a = v_add(a, tiny), b = v_add(b, tiny), c = v_add(c, tiny), d = v_add(d, tiny);
    V sum = v_fma(a, a, v_fma(b, b, v_fma(c, c, v_fma(d, d, v_set(1)))));
    return !m_any(m_not(v_lt(sum, v_set(limit * limit))));
}

/* Guard: |x| >= limit, or NaN. */
FNN_INLINE int all_above(T limit, V a, V b, V c, V d)
{
    V least = v_min(v_min(v_abs(a), v_abs(b)), v_min(v_abs(c), v_abs(d)));
    return !m_any(v_lt(least, v_set(limit)));
}

/* y[i] = f(x[i], p, q, ...) as map_span, which `careful` is with ordinary = 0. */
FNN_INLINE void guarded_span(T *y, const T *x, size_t n, V p, V q, V (*f)(V, V, V, int), int (*guard)(T, V, V, V, V), T limit,
                             void (*careful)(T *, const T *, size_t, V, V))
{
    size_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
        V x0 = v_load(x + i), x1 = v_load(x + i + W), x2 = v_load(x + i + 2 * W), x3 = v_load(x + i + 3 * W);
        if (!guard(limit, x0, x1, x2, x3)) {
            careful(y + i, x + i, 4 * W, p, q);
            continue;
        }
        V y0 = f(x0, p, q, 1), y1 = f(x1, p, q, 1), y2 = f(x2, p, q, 1), y3 = f(x3, p, q, 1);
        v_store(y + i, y0), v_store(y + i + W, y1);
        v_store(y + i + 2 * W, y2), v_store(y + i + 3 * W, y3);
    }
    if (i < n) careful(y + i, x + i, n - i, p, q);
}

/* dx[i] = f(dy[i], x[i], p, q, ...) as map2_span; the guard looks at x. */
FNN_INLINE void guarded2_span(T *dx, const T *dy, const T *x, size_t n, V p, V q, V (*f)(V, V, V, V, int),
                              int (*guard)(T, V, V, V, V), T limit, void (*careful)(T *, const T *, const T *, size_t, V, V))
{
    size_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
        V x0 = v_load(x + i), x1 = v_load(x + i + W), x2 = v_load(x + i + 2 * W), x3 = v_load(x + i + 3 * W);
        if (!guard(limit, x0, x1, x2, x3)) {
            careful(dx + i, dy + i, x + i, 4 * W, p, q);
            continue;
        }
        V d0 = f(v_load(dy + i), x0, p, q, 1), d1 = f(v_load(dy + i + W), x1, p, q, 1);
        V d2 = f(v_load(dy + i + 2 * W), x2, p, q, 1), d3 = f(v_load(dy + i + 3 * W), x3, p, q, 1);
        v_store(dx + i, d0), v_store(dx + i + W, d1);
        v_store(dx + i + 2 * W, d2), v_store(dx + i + 3 * W, d3);
    }
    if (i < n) careful(dx + i, dy + i, x + i, n - i, p, q);
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

/* The same for guarded functions: MAP_GUARDED(sigmoid_forward, sigmoid, all_below, EXP_ORDINARY). */
#define MAP_GUARDED(name, f, guard, limit)                                                                                    \
    FNN_INLINE V name##_any(V x, V p, V q) { return f(x, p, q, 0); }                                                          \
    static void name##_careful(T *y, const T *x, size_t n, V p, V q) { map_span(y, x, n, p, q, name##_any); }                 \
    KERNEL(name, map)                                                                                                         \
    {                                                                                                                         \
        size_t i, end;                                                                                                        \
        fnn_share(a->n, MAP_GRAIN, part, parts, &i, &end);                                                                    \
        guarded_span((T *)a->y + i, (const T *)a->x + i, end - i, v_set((T)a->p), v_set((T)a->q), f, guard, limit,            \
                     name##_careful);                                                                                         \
    }

#define MAP2_GUARDED(name, f, guard, limit)                                                                                   \
    FNN_INLINE V name##_any(V dy, V x, V p, V q) { return f(dy, x, p, q, 0); }                                                \
    static void name##_careful(T *dx, const T *dy, const T *x, size_t n, V p, V q)                                            \
    {                                                                                                                         \
        map2_span(dx, dy, x, n, p, q, name##_any);                                                                            \
    }                                                                                                                         \
    KERNEL(name, map_backward)                                                                                                \
    {                                                                                                                         \
        size_t i, end;                                                                                                        \
        fnn_share(a->n, MAP_GRAIN, part, parts, &i, &end);                                                                    \
        guarded2_span((T *)a->dx + i, (const T *)a->dy + i, (const T *)a->x + i, end - i, v_set((T)a->p), v_set((T)a->q), f,  \
                      guard, limit, name##_careful);                                                                          \
    }
