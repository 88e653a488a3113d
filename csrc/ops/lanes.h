/* lanes.h — more of reduce.h's lanes: strips of LANES neighbouring columns, and sums that go in blocks. */

FNN_INLINE Lanes lanes_sub(Lanes a, Lanes b)
{
    for (int k = 0; k < LANE_VECTORS; k++) a.v[k] = v_sub(a.v[k], b.v[k]);
    return a;
}

FNN_INLINE Lanes lanes_mul(Lanes a, Lanes b)
{
    for (int k = 0; k < LANE_VECTORS; k++) a.v[k] = v_mul(a.v[k], b.v[k]);
    return a;
}

/* c - a b */
FNN_INLINE Lanes lanes_fnma(Lanes a, Lanes b, Lanes c)
{
    for (int k = 0; k < LANE_VECTORS; k++) c.v[k] = v_fnma(a.v[k], b.v[k], c.v[k]);
    return c;
}

/* The first n <= LANES elements of x; lanes beyond are +0. */
FNN_INLINE Lanes strip_load(const T *x, size_t n) { return n == LANES ? lanes_load(x) : lanes_load_n(x, n, 0); }

FNN_INLINE void strip_store(T *y, Lanes a, size_t n)
{
    for (int k = 0; k < LANE_VECTORS; k++) {
        if (n <= (size_t)k * W) break;
        v_store_n(y + k * W, a.v[k], n - (size_t)k * W < W ? n - (size_t)k * W : W);
    }
}

/* y (+)= a */
FNN_INLINE void strip_add(T *y, Lanes a, size_t n, int accumulate)
{
    strip_store(y, accumulate ? lanes_add(strip_load(y, n), a) : a, n);
}

/* A sum of many terms in blocks of SUM_BLOCK: `block` takes the terms, `total` the blocks. */
enum { SUM_BLOCK = 128 };
typedef struct Sum {
    Lanes total, block;
    size_t terms;
} Sum;

FNN_INLINE Sum sum_zero(void)
{
    Sum s;
    s.total = s.block = lanes_zero();
    s.terms = 0;
    return s;
}

/* To be called after each term. */
FNN_INLINE void sum_next(Sum *s)
{
    if (++s->terms == SUM_BLOCK) {
        s->total = lanes_add(s->total, s->block);
        s->block = lanes_zero();
        s->terms = 0;
    }
}

FNN_INLINE Lanes sum_end(const Sum *s) { return lanes_add(s->total, s->block); }
