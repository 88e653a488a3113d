/* reduce.h — sums, products and maxima of a row, in an order that is the same on every instruction set.
 *
 * A row is dealt to a fixed number of virtual lanes: 128 bytes of them, 32 floats or 16 doubles. Element i goes to lane
 * i mod LANES. A lane adds its elements in ascending order, starting from +0. At the end the lanes fold in halves: lane i takes
 * lane i + LANES/2, then lane i + LANES/4, ... until lane 0 has all. A vector of W lanes holds W neighbours, so the lanes are
 * LANES/W vectors, and no instruction set shuffles before the last fold. Lanes that get no element hold +0 and change nothing:
 * a sum that starts at +0 is never -0.
 *
 * Long sums go in blocks of LANES * 128 elements (4096 floats, 2048 doubles) whose lanes are added to a second set of lanes:
 * the error then grows with 128 + n/(128 LANES) roundings instead of n/LANES.
 *
 * An op that reduces a term of its own (the sum of exp(x - top), say) copies the loop of row_sum: whole chunks of LANES, then
 * lanes_tail's loop with v_load_n and the term masked by m_first where term(0) is not +0.
 */
enum { LANES = 128 / (int)sizeof(T), LANE_VECTORS = LANES / W, LANE_BLOCK = LANES * 128 };

typedef struct Lanes {
    V v[LANE_VECTORS];
} Lanes;

FNN_INLINE Lanes lanes_set(T x)
{
    Lanes a;
    for (int k = 0; k < LANE_VECTORS; k++) a.v[k] = v_set(x);
    return a;
}

FNN_INLINE Lanes lanes_zero(void) { return lanes_set(0); }

FNN_INLINE Lanes lanes_add(Lanes a, Lanes b)
{
    for (int k = 0; k < LANE_VECTORS; k++) a.v[k] = v_add(a.v[k], b.v[k]);
    return a;
}

FNN_INLINE Lanes lanes_fma(Lanes a, Lanes b, Lanes c)
{
    for (int k = 0; k < LANE_VECTORS; k++) c.v[k] = v_fma(a.v[k], b.v[k], c.v[k]);
    return c;
}

/* The chunk of elements x[0 .. LANES). */
FNN_INLINE Lanes lanes_load(const T *x)
{
    Lanes a;
    for (int k = 0; k < LANE_VECTORS; k++) a.v[k] = v_load(x + k * W);
    return a;
}

/* The last chunk of a row, x[0 .. n) with n < LANES; lanes beyond are `fill`. */
FNN_INLINE Lanes lanes_load_n(const T *x, size_t n, T fill)
{
    Lanes a = lanes_set(fill);
    for (int k = 0; k < LANE_VECTORS; k++) {
        size_t left = n - (size_t)k * W;
        if (n <= (size_t)k * W) break;
        a.v[k] = left >= W ? v_load(x + k * W) : v_select(m_first(left), v_load_n(x + k * W, left), a.v[k]);
    }
    return a;
}

/* Fold in halves. */
FNN_INLINE T lanes_sum(Lanes a)
{
    for (int half = LANE_VECTORS / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++) a.v[k] = v_add(a.v[k], a.v[k + half]);
    return v_sum(a.v[0]);
}

FNN_INLINE T lanes_top(Lanes a)
{
    for (int half = LANE_VECTORS / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++) a.v[k] = v_max(a.v[k], a.v[k + half]);
    return v_top(a.v[0]);
}

/* The sum of x[0 .. n); +0 for an empty row. */
FNN_INLINE T row_sum(const T *x, size_t n)
{
    Lanes total = lanes_zero();
    while (n > LANE_BLOCK) {
        Lanes block = lanes_zero();
        for (size_t i = 0; i < LANE_BLOCK; i += LANES) block = lanes_add(block, lanes_load(x + i));
        total = lanes_add(total, block);
        x += LANE_BLOCK;
        n -= LANE_BLOCK;
    }
    Lanes block = lanes_zero();
    for (; n >= LANES; n -= LANES, x += LANES) block = lanes_add(block, lanes_load(x));
    if (n) block = lanes_add(block, lanes_load_n(x, n, 0));
    return lanes_sum(lanes_add(total, block));
}

/* The sum of x[i] y[i] over [0 .. n), with fused multiply-adds. */
FNN_INLINE T row_dot(const T *x, const T *y, size_t n)
{
    Lanes total = lanes_zero();
    while (n > LANE_BLOCK) {
        Lanes block = lanes_zero();
        for (size_t i = 0; i < LANE_BLOCK; i += LANES) block = lanes_fma(lanes_load(x + i), lanes_load(y + i), block);
        total = lanes_add(total, block);
        x += LANE_BLOCK;
        y += LANE_BLOCK;
        n -= LANE_BLOCK;
    }
    Lanes block = lanes_zero();
    for (; n >= LANES; n -= LANES, x += LANES, y += LANES) block = lanes_fma(lanes_load(x), lanes_load(y), block);
    if (n) block = lanes_fma(lanes_load_n(x, n, 0), lanes_load_n(y, n, 0), block);
    return lanes_sum(lanes_add(total, block));
}

/* The sum of (x[i] - centre)^2 over [0 .. n). */
FNN_INLINE T row_sum_squares(const T *x, T centre, size_t n)
{
    Lanes total = lanes_zero(), shift = lanes_set(-centre);
    while (n > LANE_BLOCK) {
        Lanes block = lanes_zero();
        for (size_t i = 0; i < LANE_BLOCK; i += LANES) {
            Lanes d = lanes_add(lanes_load(x + i), shift);
            block = lanes_fma(d, d, block);
        }
        total = lanes_add(total, block);
        x += LANE_BLOCK;
        n -= LANE_BLOCK;
    }
    Lanes block = lanes_zero();
    for (; n >= LANES; n -= LANES, x += LANES) {
        Lanes d = lanes_add(lanes_load(x), shift);
        block = lanes_fma(d, d, block);
    }
    if (n) {
        Lanes d = lanes_add(lanes_load_n(x, n, centre), shift);
        block = lanes_fma(d, d, block);
    }
    return lanes_sum(lanes_add(total, block));
}

/* The maximum of x[0 .. n); NaN when the row has one; -inf for an empty row. A zero's sign is that of the lane order. */
FNN_INLINE T row_max(const T *x, size_t n)
{
    Lanes top = lanes_set(-(T)INFINITY);
    M nan = m_first(0);
    for (; n >= LANES; n -= LANES, x += LANES)
        for (int k = 0; k < LANE_VECTORS; k++) {
            V v = v_load(x + k * W);
            nan = m_or(nan, v_isnan(v));
            top.v[k] = v_max(v, top.v[k]);
        }
    if (n) {
        Lanes last = lanes_load_n(x, n, -(T)INFINITY);
        for (int k = 0; k < LANE_VECTORS; k++) {
            nan = m_or(nan, v_isnan(last.v[k]));
            top.v[k] = v_max(last.v[k], top.v[k]);
        }
    }
    return m_any(nan) ? (T)NAN : lanes_top(top);
}
