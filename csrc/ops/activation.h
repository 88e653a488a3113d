/* activation.h — activations from exp and tanh, and their derivatives: y = f(x; p, q) and dx = dy f'(x; p, q).
 *
 * Below each f stands its derivative. tanh and sigmoid take forward's output y in the place of x, which spares them the
 * exponential. NaN goes through everywhere. At ±inf f and f' have their limits: where a factor x meets one that falls to
 * 0, x is limited to where that one has underflowed (inf times 0 would be NaN).
 *
 * No exponential of a large positive number is taken, and no two almost equal numbers are subtracted: with e = exp(-|x|) and
 * d = 1 / (1 + e), sigmoid(x) is d or e d, and its derivative is e d². So the tails keep their digits. */
#include "activation_coefficients.h"

/* exp(-x), and x exp(-x), round to 0 from VANISHED on. See activation_gelu.h for the others. */
#ifdef FNN_DTYPE_IS_F32
#define VANISHED T_C(110.0)
#define TAIL_SHIFT T_C(3.0)
#define TAIL_LIMIT T_C(14.5)
#define TAIL_ORDINARY T_C(13.0)
#define GELU_ORDINARY T_C(9.5)
#else
#define VANISHED 760.0
#define TAIL_SHIFT 4.0
#define TAIL_LIMIT 39.0
#define TAIL_ORDINARY 37.0
#define GELU_ORDINARY 20.0
#endif
#define COUNT(c) ((int)(sizeof(c) / sizeof((c)[0])))

/* x limited to [-limit, limit]; NaN stays. */
FNN_INLINE V limited(V x, T limit) { return v_min(v_set(limit), v_max(v_set(-limit), x)); }

/* s = sigmoid(x) and its derivative. Ordinary: |x| < EXP_ORDINARY. */
FNN_INLINE void sigmoid_parts(V x, V *s, V *slope, int ordinary)
{
    V one = v_set(1), e = v_exp_of(v_neg(v_abs(x)), ordinary), d = v_div(one, v_add(one, e)), ed = v_mul(e, d);
    *s = v_select(v_lt(x, v_zero()), ed, d);
    *slope = v_mul(ed, d);
}

/* --- sigmoid, tanh --- */

FNN_INLINE V tanh_map(V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    return v_tanh_of(x, ordinary);
}

/* With y = tanh(x): tanh'(x) = 1 - y². */
FNN_INLINE V tanh_derivative(V dy, V y, V p, V q)
{
    (void)p, (void)q;
    return v_mul(dy, v_fnma(y, y, v_set(1)));
}

MAP_GUARDED(tanh_forward, tanh_map, all_above, TINY)
MAP2(tanh_backward, tanh_derivative)

FNN_INLINE V sigmoid(V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    return v_sigmoid_of(x, ordinary);
}

/* With y = sigmoid(x): sigmoid'(x) = y (1 - y). */
FNN_INLINE V sigmoid_derivative(V dy, V y, V p, V q)
{
    (void)p, (void)q;
    return v_mul(v_mul(dy, y), v_sub(v_set(1), y));
}

MAP_GUARDED(sigmoid_forward, sigmoid, all_below, EXP_ORDINARY)
MAP2(sigmoid_backward, sigmoid_derivative)

/* tanhshrink(x) = x - tanh(x): below 1 by a polynomial (absolute error of the difference beyond: that of tanh). */
FNN_INLINE V tanhshrink(V x, V p, V q)
{
    (void)p, (void)q;
    V u = v_mul(x, x), cube = v_mul(u, x);
    V inner = v_mul(cube, poly2(u, v_mul(u, u), shrink_p, COUNT(shrink_p)));
    return v_select(v_lt(v_abs(x), v_set(1)), inner, v_sub(x, v_tanh(x)));
}

/* tanh²(x). */
FNN_INLINE V tanhshrink_derivative(V dy, V x, V p, V q)
{
    (void)p, (void)q;
    V t = v_tanh(x);
    return v_mul(dy, v_mul(t, t));
}

MAP(tanhshrink_forward, tanhshrink)
MAP2(tanhshrink_backward, tanhshrink_derivative)

/* softsign(x) = x / (1 + |x|), which is ±1 long before 1e30; inf / inf would be NaN. */
FNN_INLINE V softsign(V x, V p, V q)
{
    (void)p, (void)q;
    V y = limited(x, T_C(1e30));
    return v_div(y, v_add(v_set(1), v_abs(y)));
}

/* 1 / (1 + |x|)². */
FNN_INLINE V softsign_derivative(V dy, V x, V p, V q)
{
    (void)p, (void)q;
    V d = v_div(v_set(1), v_add(v_set(1), v_abs(x)));
    return v_mul(v_mul(dy, d), d);
}

MAP(softsign_forward, softsign)
MAP2(softsign_backward, softsign_derivative)

/* --- softplus and its kin --- */

/* softplus(x; p, q) = log(1 + exp(p x)) / p, and x where p x > q. */
FNN_INLINE V softplus(V x, V p, V q)
{
    V z = v_mul(p, x);
    return v_select(v_gt(z, q), x, v_div(v_softplus(z), p));
}

FNN_INLINE V softplus_derivative(V dy, V x, V p, V q)
{
    V z = v_mul(p, x);
    return v_select(v_gt(z, q), dy, v_mul(dy, v_sigmoid(z)));
}

MAP(softplus_forward, softplus)
MAP2(softplus_backward, softplus_derivative)

/* logsigmoid(x) = -log(1 + exp(-x)). */
FNN_INLINE V logsigmoid(V x, V p, V q)
{
    (void)p, (void)q;
    return v_log_sigmoid(x);
}

FNN_INLINE V logsigmoid_derivative(V dy, V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    return v_mul(dy, v_sigmoid_of(v_neg(x), ordinary));
}

MAP(logsigmoid_forward, logsigmoid)
MAP2_GUARDED(logsigmoid_backward, logsigmoid_derivative, all_below, EXP_ORDINARY)

/* mish(x) = x tanh(log(1 + E)) = x n / (n + 2) with E = exp(x) and n = E (E + 2). Above 40 that is x. */
FNN_INLINE V mish(V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    V e = v_exp_of(v_min(v_set(40), x), ordinary), n = v_mul(e, v_add(e, v_set(2)));
    return v_mul(v_max(v_set(-VANISHED), x), v_div(n, v_add(n, v_set(2))));
}

/* With r = 1 / (n + 2): mish'(x) = n r + 4 x r E (1 + E) r. */
FNN_INLINE V mish_derivative(V dy, V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    V y = v_min(v_set(40), v_max(v_set(-VANISHED), x));
    V e = v_exp_of(y, ordinary), n = v_mul(e, v_add(e, v_set(2))), r = v_div(v_set(1), v_add(n, v_set(2)));
    V rest = v_mul(v_mul(e, v_add(e, v_set(1))), r);
    return v_mul(dy, v_fma(v_mul(v_mul(v_set(4), y), r), rest, v_mul(n, r)));
}

MAP_GUARDED(mish_forward, mish, all_below, EXP_ORDINARY)
MAP2_GUARDED(mish_backward, mish_derivative, all_below, EXP_ORDINARY)

/* silu(x) = x sigmoid(x). */
FNN_INLINE V silu(V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    return v_mul(v_max(v_set(-VANISHED), x), v_sigmoid_of(x, ordinary));
}

/* s + x s', s being sigmoid(x). */
FNN_INLINE V silu_derivative(V dy, V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    V s, slope, y = limited(x, VANISHED);
    sigmoid_parts(y, &s, &slope, ordinary);
    return v_mul(dy, v_fma(y, slope, s));
}

MAP_GUARDED(silu_forward, silu, all_below, EXP_ORDINARY)
MAP2_GUARDED(silu_backward, silu_derivative, all_below, EXP_ORDINARY)

/* --- ELU and its kin --- */

/* elu(x; p, q) = q x where x > 0, else p (exp(x) - 1). SELU is elu with its own p and q; ELU has q = 1. */
FNN_INLINE V elu(V x, V p, V q) { return v_select(v_gt(x, v_zero()), v_mul(q, x), v_mul(p, v_expm1(v_min(v_zero(), x)))); }

FNN_INLINE V elu_derivative(V dy, V x, V p, V q)
{
    V below = v_mul(dy, v_mul(p, v_exp(v_min(v_zero(), x))));
    return v_select(v_le(x, v_zero()), below, v_mul(q, dy));
}

MAP(elu_forward, elu)
MAP2(elu_backward, elu_derivative)

/* celu(x; p) = x where x > 0, else p (exp(x / p) - 1). */
FNN_INLINE V celu(V x, V p, V q)
{
    (void)q;
    return v_select(v_gt(x, v_zero()), x, v_mul(p, v_expm1(v_min(v_zero(), v_div(x, p)))));
}

FNN_INLINE V celu_derivative(V dy, V x, V p, V q)
{
    (void)q;
    return v_select(v_le(x, v_zero()), v_mul(dy, v_exp(v_min(v_zero(), v_div(x, p)))), dy);
}

MAP(celu_forward, celu)
MAP2(celu_backward, celu_derivative)
