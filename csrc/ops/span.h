/* span.h — copies, fills and sums of n neighbours, and the rows of an array in turn. */

FNN_INLINE void span_copy(T *y, const T *x, ptrdiff_t n)
{
    for (; n >= W; n -= W, x += W, y += W) v_store(y, v_load(x));
    if (n > 0) v_store_n(y, v_load_n(x, (size_t)n), (size_t)n);
}

FNN_INLINE void span_fill(T *y, T value, ptrdiff_t n)
{
    V v = v_set(value);
    for (; n >= W; n -= W, y += W) v_store(y, v);
    if (n > 0) v_store_n(y, v, (size_t)n);
}

/* y += x */
FNN_INLINE void span_add(T *y, const T *x, ptrdiff_t n)
{
    for (; n >= W; n -= W, x += W, y += W) v_store(y, v_add(v_load(y), v_load(x)));
    if (n > 0) v_store_n(y, v_add(v_load_n(y, (size_t)n), v_load_n(x, (size_t)n)), (size_t)n);
}

/* y (+)= s x */
FNN_INLINE void span_scaled(T *y, const T *x, T s, ptrdiff_t n, int accumulate)
{
    V v = v_set(s);
    for (; n >= W; n -= W, x += W, y += W) v_store(y, accumulate ? v_fma(v, v_load(x), v_load(y)) : v_mul(v, v_load(x)));
    if (n <= 0) return;
    V last = v_load_n(x, (size_t)n);
    v_store_n(y, accumulate ? v_fma(v, last, v_load_n(y, (size_t)n)) : v_mul(v, last), (size_t)n);
}

/* A row of an array of four axes: its index along the first three. */
typedef struct Place {
    size_t at[3];
} Place;

FNN_INLINE Place place_of(size_t row, const size_t *shape)
{
    Place p = {{row / shape[2] / shape[1], row / shape[2] % shape[1], row % shape[2]}};
    return p;
}

/* To the next row without a division: three of them take longer than a short row. */
FNN_INLINE void place_next(Place *p, const size_t *shape)
{
    if (++p->at[2] < shape[2]) return;
    p->at[2] = 0;
    if (++p->at[1] < shape[1]) return;
    p->at[1] = 0;
    p->at[0]++;
}
