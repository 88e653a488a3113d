/* winograd_points.h — Winograd's transforms along one axis, for six numbers from six points: 0, a, -a, b, -b and infinity.
 *
 * Four results y of three weights g each, from the six numbers d that they read:
 *
 *     y = A^T [(G g) . (B^T d)]         where . multiplies element by element.
 *
 * A has the powers 0 to 3 of the points, G those from 0 to 2, divided by a number for each point; B^T the coefficients of the polynomials whose
 * zeros are the other points. Of the points that a few bits hold, 5/8 and 3/2 have the least rounding errors: half of those of 1 and 2, which have fewer
 * multiplications (Barabasz, Anderson, Soodhalter and Gregg, "Error analysis and improving the accuracy of Winograd convolution for deep neural networks",
 * 2020). */

#define WINOGRAD_A T_C(0.625)
#define WINOGRAD_B T_C(1.5)
#define WINOGRAD_A2 (WINOGRAD_A * WINOGRAD_A)
#define WINOGRAD_B2 (WINOGRAD_B * WINOGRAD_B)

/* What G's rows are multiplied by. */
static const T winograd_scale[FNN_WINOGRAD_POINTS] = {
    1 / (WINOGRAD_A2 * WINOGRAD_B2),
    1 / (2 * WINOGRAD_A2 * (WINOGRAD_A2 - WINOGRAD_B2)), 1 / (2 * WINOGRAD_A2 * (WINOGRAD_A2 - WINOGRAD_B2)),
    1 / (2 * WINOGRAD_B2 * (WINOGRAD_B2 - WINOGRAD_A2)), 1 / (2 * WINOGRAD_B2 * (WINOGRAD_B2 - WINOGRAD_A2)), 1};

/* Of the five points 0, p, -p, q and infinity, of the even ones of three taps with a step of 2; the odd tap has itself. */
#define WINOGRAD_P T_C(1.25)
#define WINOGRAD_Q T_C(0.5)
#define WINOGRAD_P2 (WINOGRAD_P * WINOGRAD_P)

static const T winograd_half_scale[FNN_WINOGRAD_POINTS] = {
    1 / (WINOGRAD_P2 * WINOGRAD_Q), 1 / (2 * WINOGRAD_P2 * (WINOGRAD_P - WINOGRAD_Q)), -1 / (2 * WINOGRAD_P2 * (WINOGRAD_P + WINOGRAD_Q)),
    1 / (WINOGRAD_Q * (WINOGRAD_Q * WINOGRAD_Q - WINOGRAD_P2)), 1, 1};

/* For the 36 numbers of weights. */
static void winograd_scales(T *scale, int halved)
{
    const T *of = halved ? winograd_half_scale : winograd_scale;
    for (int i = 0; i < FNN_WINOGRAD_PRODUCTS; ++i)
        scale[i] = of[i / 6] * of[i % 6];
}

/* B^T d of five numbers. */
FNN_INLINE void winograd_half_bt(V t[5], const V d[5])
{
    const V p = v_set(WINOGRAD_P), q = v_set(WINOGRAD_Q), p2 = v_set(WINOGRAD_P2);
    const V e0 = v_fnma(q, d[0], d[1]), e1 = v_fnma(q, d[1], d[2]), e2 = v_fnma(q, d[2], d[3]), e3 = v_fnma(q, d[3], d[4]);
    t[0] = v_fnma(p2, e0, e2);
    t[1] = v_fma(p, e1, e2), t[2] = v_fnma(p, e1, e2);
    t[3] = v_fnma(p2, d[1], d[3]);
    t[4] = v_fnma(p2, e1, e3);
}

/* A y of n = 4 numbers, or G g of n = 2 before the scale. */
FNN_INLINE void winograd_half_a(V z[5], const V *y, const int n)
{
    const V p = v_set(WINOGRAD_P), q = v_set(WINOGRAD_Q), p2 = v_set(WINOGRAD_P2), q2 = v_set(WINOGRAD_Q * WINOGRAD_Q);
    const V even = n == 2 ? y[0] : v_fma(p2, y[2], y[0]), odd = n == 2 ? y[1] : v_fma(p2, y[3], y[1]);
    const V even_q = n == 2 ? y[0] : v_fma(q2, y[2], y[0]), odd_q = n == 2 ? y[1] : v_fma(q2, y[3], y[1]);
    z[0] = y[0], z[4] = y[n - 1];
    z[1] = v_fma(p, odd, even), z[2] = v_fnma(p, odd, even);
    z[3] = v_fma(q, odd_q, even_q);
}

/* A^T m, n = 4 numbers, or G^T of scaled ones, n = 2. */
FNN_INLINE void winograd_half_at(V *y, const V m[5], const int n)
{
    const V sum = v_add(m[1], m[2]), less = v_sub(m[1], m[2]);
    T p = 1, q = 1;
    y[0] = v_add(v_add(m[0], sum), m[3]);
    TILE_UNROLL for (int i = 1; i < n; ++i) {
        p *= WINOGRAD_P, q *= WINOGRAD_Q;
        const V of_p = i % 2 ? less : sum;
        y[i] = v_fma(v_set(q), m[3], i == n - 1 ? v_fma(v_set(p), of_p, m[4]) : v_mul(v_set(p), of_p));
    }
}

/* B^T d. */
FNN_INLINE void winograd_bt(V t[6], const V d[6])
{
    const V a = v_set(WINOGRAD_A), b = v_set(WINOGRAD_B), a2 = v_set(WINOGRAD_A2), b2 = v_set(WINOGRAD_B2);
    const V product = v_set(WINOGRAD_A2 * WINOGRAD_B2), sum = v_set(WINOGRAD_A2 + WINOGRAD_B2);
    const V even_a = v_fnma(b2, d[2], d[4]), odd_a = v_fnma(b2, d[1], d[3]), even_b = v_fnma(a2, d[2], d[4]), odd_b = v_fnma(a2, d[1], d[3]);
    t[0] = v_fma(product, d[0], v_fnma(sum, d[2], d[4]));
    t[1] = v_fma(a, odd_a, even_a), t[2] = v_fnma(a, odd_a, even_a);
    t[3] = v_fma(b, odd_b, even_b), t[4] = v_fnma(b, odd_b, even_b);
    t[5] = v_fma(product, d[1], v_fnma(sum, d[3], d[5]));
}

/* A y of n = 4 numbers, or G g of n = 3 before the scale, for the two points of a pair: 0 is 0 and infinity, 1 is a and -a, 2 is b and -b. */
FNN_INLINE void winograd_a_pair(V z[2], const V *y, const int n, const int pair)
{
    if (pair == 0) {
        z[0] = y[0], z[1] = y[n - 1];
        return;
    }
    const V p = v_set(pair == 1 ? WINOGRAD_A : WINOGRAD_B), p2 = v_set(pair == 1 ? WINOGRAD_A2 : WINOGRAD_B2);
    const V even = v_fma(p2, y[2], y[0]), odd = n == 3 ? y[1] : v_fma(p2, y[3], y[1]);
    z[0] = v_fma(p, odd, even), z[1] = v_fnma(p, odd, even);
}

/* For all points. */
FNN_INLINE void winograd_a(V z[6], const V *y, const int n)
{
    V of[2];
    winograd_a_pair(of, y, n, 0);
    z[0] = of[0], z[5] = of[1];
    winograd_a_pair(z + 1, y, n, 1);
    winograd_a_pair(z + 3, y, n, 2);
}

/* A^T m, n = 4 numbers, or G^T of scaled ones, n = 3. */
FNN_INLINE void winograd_at(V *y, const V m[6], const int n)
{
    const V sum_a = v_add(m[1], m[2]), less_a = v_sub(m[1], m[2]), sum_b = v_add(m[3], m[4]), less_b = v_sub(m[3], m[4]);
    T a = 1, b = 1;
    y[0] = v_add(v_add(m[0], sum_a), sum_b);
    TILE_UNROLL for (int i = 1; i < n; ++i) {
        a *= WINOGRAD_A, b *= WINOGRAD_B;
        const V of_a = i % 2 ? less_a : sum_a, of_b = i % 2 ? less_b : sum_b;
        y[i] = v_fma(v_set(b), of_b, i == n - 1 ? v_fma(v_set(a), of_a, m[5]) : v_mul(v_set(a), of_a));
    }
}

/* The 36 numbers of a square, step apart, times both scales. */
FNN_INLINE V winograd_scaled(const T *m, size_t step, int a, int b)
{
    return v_mul(v_load(m + (size_t)(6 * a + b) * step), v_set(winograd_scale[a] * winograd_scale[b]));
}

/* G g of three taps g: six numbers before the scale. */
FNN_INLINE void winograd_g(V z[6], const V g[3], int halved)
{
    if (halved) {
        const V even[2] = {g[0], g[2]};
        winograd_half_a(z, even, 2);
        z[5] = g[1];
    } else {
        winograd_a(z, g, 3);
    }
}

/* Four vectors of W squares' neighbouring positions to a line. */
FNN_INLINE void winograd_line(T *to, V y[4], const T *bias)
{
    TILE_UNROLL for (int i = 0; i < 4 && bias; ++i)
        y[i] = v_add(y[i], v_set(*bias));
    const V even = v_zip_low(y[0], y[2]), odd = v_zip_low(y[1], y[3]), even2 = v_zip_high(y[0], y[2]), odd2 = v_zip_high(y[1], y[3]);
    v_store(to, v_zip_low(even, odd)), v_store(to + W, v_zip_high(even, odd));
    v_store(to + 2 * W, v_zip_low(even2, odd2)), v_store(to + 3 * W, v_zip_high(even2, odd2));
}
