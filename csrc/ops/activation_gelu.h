/* activation_gelu.h — GELU: y = x Phi(x), Phi being the normal distribution function, and its approximation with tanh.
 *
 * For a = |x| the lower tail is Phi(-a) = E R with E = exp(-a²/2). R (a + k) is a polynomial in t = 1 - 2 k / (a + k); its
 * coefficients are interpolated at Chebyshev's nodes (tools/fit_activation.py). a² is taken with its rounding error, since E would
 * amplify that error by a²/2. Then
 *     gelu(x)  = max(x, 0) - a E R
 *     gelu'(x) = g for x < 0, else 1 - g, with g = E (R - a / sqrt(2 pi)),
 * none of which cancels but in g's zero: gelu is within 6 ULP down to where it becomes subnormal, gelu' within a few ULP of 1. From a
 * = TAIL_LIMIT on E is 0; a is limited to it, so that ±inf give the limits 0, x and 1. */

/* E and R for 0 <= a <= TAIL_LIMIT. Ordinary: a < TAIL_ORDINARY, so that exp is. */
FNN_INLINE void normal_tail(V a, V *e, V *ratio, int ordinary)
{
    V one = v_set(1), k = v_set(TAIL_SHIFT);
    V b = v_add(a, v_set(EXP_TINY)), square = v_mul(b, b), low = v_fms(b, b, square); /* a²: a product must not underflow */
    V r = v_div(one, v_add(a, k)), t = v_fnma(v_set(2 * TAIL_SHIFT), r, one);
    V exponential = v_exp_of(v_mul(v_set(T_C(-0.5)), square), ordinary);
    *e = v_mul(exponential, v_fma(v_set(T_C(-0.5)), low, one));
    *ratio = v_mul(r, poly2(t, v_mul(t, t), normal_tail_p, COUNT(normal_tail_p)));
}

FNN_INLINE V gelu(V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    V e, ratio, a = v_min(v_set(TAIL_LIMIT), v_abs(x));
    normal_tail(a, &e, &ratio, ordinary);
    return v_fnma(v_mul(a, ratio), e, v_max(v_zero(), x));
}

FNN_INLINE V gelu_derivative(V dy, V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    V e, ratio, a = v_min(v_set(TAIL_LIMIT), v_abs(x));
    normal_tail(a, &e, &ratio, ordinary);
    V g = v_mul(e, v_fnma(a, v_set(T_C(0.398942280401432677939946)), ratio));
    return v_mul(dy, v_select(v_lt(x, v_zero()), g, v_sub(v_set(1), g)));
}

MAP_GUARDED(gelu_forward, gelu, all_below, TAIL_ORDINARY)
MAP2_GUARDED(gelu_backward, gelu_derivative, all_below, TAIL_ORDINARY)

/* x (1 + tanh(u)) / 2 = x sigmoid(z) with z = 2 u = x (c0 + c1 x²), c0 = 2 sqrt(2 / pi), c1 = 0.044715 c0.
 * Ordinary: |x| < GELU_ORDINARY, so that exp(z) is. */
#define GELU_C0 T_C(1.595769121605730711759785)
#define GELU_C1 T_C(0.071354816272600248776339)

FNN_INLINE V gelu_tanh(V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    V z = v_mul(x, v_fma(v_set(GELU_C1), v_mul(x, x), v_set(GELU_C0)));
    return v_mul(v_max(v_set(-VANISHED), x), v_sigmoid_of(z, ordinary));
}

/* s + x s' z', s being sigmoid(z). */
FNN_INLINE V gelu_tanh_derivative(V dy, V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    V s, slope, y = limited(x, VANISHED), y2 = v_mul(y, y);
    sigmoid_parts(v_mul(y, v_fma(v_set(GELU_C1), y2, v_set(GELU_C0))), &s, &slope, ordinary);
    V dz = v_fma(v_set(3 * GELU_C1), y2, v_set(GELU_C0));
    return v_mul(dy, v_fma(v_mul(y, dz), slope, s));
}

MAP_GUARDED(gelu_tanh_forward, gelu_tanh, all_below, GELU_ORDINARY)
MAP2_GUARDED(gelu_tanh_backward, gelu_tanh_derivative, all_below, GELU_ORDINARY)

#undef COUNT
