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

/* For the 36 products. */
static void winograd_scales(T *scale)
{
    for (int i = 0; i < FNN_WINOGRAD_PRODUCTS; ++i)
        scale[i] = winograd_scale[i / 6] * winograd_scale[i % 6];
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
