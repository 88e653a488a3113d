/* vmath.h — exp, expm1, log, log1p, tanh, sigmoid, erf, softplus and log-sigmoid on the vector words, for both dtypes.
 *
 * Straight-line code without branches: the same operations, and so the same bits, on every instruction set. NaN gives NaN.
 * The polynomials are minimax fits by tools/fit_vmath.py. tests/c/test_vmath.c measures the errors; those quoted below are the
 * largest in ULP, float / double: float over every number with 2^-27 <= |x| < 2^7 and a grid over the others, double over a
 * million samples. None leaves its mathematical range.
 *
 * exp, tanh and sigmoid have a form name_of(x, ordinary): where a loop has found a whole block of arguments to be ordinary (map.h) it
 * passes the constant 1, and the operations that only the others need are left out; the bits are the same. The polynomials of these
 * three are in Horner's form, which has the fewest operations: their loops have enough independent vectors in flight.
 */
#include "vmath_coefficients.h"

#ifdef FNN_DTYPE_IS_F32
#define LOG2E T_C(0x1.715476p+0)
#define LN2_HIGH T_C(0x1.62e4p-1)
#define LN2_LOW T_C(0x1.7f7d1cp-20)
#define ROUND_MAGIC T_C(0x1.8p+23)
#define SQRT_HALF T_C(0x1.6a09e6p-1)
#define SMALLEST_NORMAL T_C(0x1p-126)
#define EXP_TINY T_C(0x1p-60)
#define EXP_LIMIT T_C(105.0)
#define EXP_ORDINARY T_C(87.0)
#define EXP_NORMAL T_C(-0x1.5d589ep+6)
#define EXP_LARGEST T_C(0x1.62e42ep+6)
#define EXPM1_LOW T_C(-18.0)
#define EXPM1_HIGH T_C(89.0)
#define TANH_LIMIT T_C(9.1)
#define TINY T_C(0x1p-26)
#define ERF_SPLIT T_C(0.875)
#define ERF_LIMIT T_C(3.95)
#define ERF_CENTRE T_C(2.0)
#else
#define LOG2E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42fefa38p-1
#define LN2_LOW 0x1.ef35793c7673p-45
#define ROUND_MAGIC 0x1.8p+52
#define SQRT_HALF 0x1.6a09e667f3bcdp-1
#define SMALLEST_NORMAL 0x1p-1022
#define EXP_TINY 0x1p-400
#define EXP_LIMIT 746.0
#define EXP_ORDINARY 708.0
#define EXP_NORMAL -0x1.6232bdd7abcd2p+9
#define EXP_LARGEST 0x1.62e42fefa39efp+9
#define EXPM1_LOW (-38.0)
#define EXPM1_HIGH 710.0
#define TANH_LIMIT 19.1
#define TANH_SPLIT 0.3
#define TINY 0x1p-55
#define ERF_SPLIT 1.0
#define ERF_LIMIT 5.95
#define ERF_CENTRE 2.5
#endif
#define COUNT(c) ((int)(sizeof(c) / sizeof((c)[0])))

/* c[0] + c[1] x + ...: pairs, then Horner's rule in x^2 (half the latency of Horner's rule in x, one more product). */
FNN_INLINE V poly2(V x, V x2, const T *c, int count)
{
    int i = (count - 1) / 2 * 2;
    V sum = i + 1 < count ? v_fma(v_set(c[i + 1]), x, v_set(c[i])) : v_set(c[i]);
    for (i -= 2; i >= 0; i -= 2) sum = v_fma(sum, x2, v_fma(v_set(c[i + 1]), x, v_set(c[i])));
    return sum;
}

/* p 2^k for a normal result, or, where `tiny`, a subnormal one; shift is k << T_MANTISSA, k <= 128 (1024). A product that rounds
 * to a subnormal number, or to zero, costs Intel processors some 150 cycles, so none is made: the exponent is added in the
 * integer domain, and adding 2^T_MANTISSA to p 2^(k - least exponent) rounds it to the bits of the subnormal result. */
FNN_INLINE V scale_small(V p, I shift, M tiny)
{
    V unit = v_set((T)((TI)1 << T_MANTISSA));
    V s = v_from_bits(i_add(shift, i_shl(i_set(2 * T_BIAS - 1 + T_MANTISSA), T_MANTISSA)));
    V normal = v_from_bits(i_add(v_bits(p), shift));
    return v_select(tiny, v_from_bits(i_sub(v_bits(v_fma(p, s, unit)), v_bits(unit))), normal);
}

/* The same by Horner's rule in x, and in -x. */
FNN_INLINE V horner(V x, const T *c, int count)
{
    V sum = v_set(c[count - 1]);
    for (int i = count - 2; i >= 0; i--) sum = v_fma(sum, x, v_set(c[i]));
    return sum;
}
FNN_INLINE V horner_minus(V x, const T *c, int count)
{
    V sum = v_set(c[count - 1]);
    for (int i = count - 2; i >= 0; i--) sum = v_fnma(sum, x, v_set(c[i]));
    return sum;
}

/* 2^n of t = n + ROUND_MAGIC + T_BIAS when that is a normal number. */
FNN_INLINE V power_of_two(V t) { return v_from_bits(i_shl(v_bits(t), T_MANTISSA)); }

/* exp(x) = p 2^n: returns p, and t = n + magic, whose low mantissa bits are those of the integer n (+ T_BIAS, if magic has it). */
FNN_INLINE V exp_parts(V x, V magic, V *t)
{
    *t = v_fma(x, v_set(LOG2E), magic);
    V n = v_sub(*t, magic), r = v_fnma(n, v_set(LN2_LOW), v_fnma(n, v_set(LN2_HIGH), x));
    V q = horner(r, exp_q, COUNT(exp_q));
    return v_fma(v_fma(q, r, v_set(1)), r, v_set(1));
}

/* exp(x) for EXP_NORMAL <= x <= EXP_ORDINARY or NaN, and best no subnormal x: a multiply-add with a subnormal operand costs Intel
 * processors some 150 cycles. */
FNN_INLINE V exp_ordinary(V x)
{
    V t, p = exp_parts(x, v_set(ROUND_MAGIC + T_BIAS), &t);
    return v_mul(p, power_of_two(t));
}

/* exp(x): 0.90 / 0.86 ULP, subnormal results included. The rounding of r and of the last sum dominate. 0 from -104 (-746) down,
 * infinity above the logarithm of the largest number. Ordinary: |x| < EXP_ORDINARY. EXP_TINY, which no result shows, makes a normal
 * number of a subnormal x. */
FNN_INLINE V v_exp_of(V x, int ordinary)
{
    V t, tiny = v_set(EXP_TINY);
    if (ordinary) return exp_ordinary(v_add(x, tiny));
    V p = exp_parts(v_add(v_max(v_set(-EXP_LIMIT), x), tiny), v_set(ROUND_MAGIC), &t);
    p = scale_small(p, i_shl(v_bits(t), T_MANTISSA), v_lt(x, v_set(EXP_NORMAL)));
    return v_select(v_le(x, v_set(EXP_LARGEST)), p, v_add(x, v_set((T)INFINITY))); /* overflow, and NaN */
}
FNN_INLINE V v_exp(V x) { return v_exp_of(x, 0); }

/* x = n ln 2 + r; returns m = expm1(r), and t = n + magic, whose low mantissa bits are those of the integer n + bias. */
FNN_INLINE V expm1_parts(V x, V magic, V *t)
{
    *t = v_fma(x, v_set(LOG2E), magic);
    V n = v_sub(*t, magic), high = v_fnma(n, v_set(LN2_HIGH), x);
    V r = v_fnma(n, v_set(LN2_LOW), high), low = v_fnma(n, v_set(LN2_LOW), v_sub(high, r));
    V r2 = v_mul(r, r);
    return v_add(r, v_fma(r2, poly2(r, r2, expm1_q, COUNT(expm1_q)), low));
}

/* expm1(x) = 2^n expm1(r) + (2^n - 1): 1.46 / 1.6 ULP; the sum for n = 1 dominates. Tiny and -0: x. -infinity: -1. */
FNN_INLINE V v_expm1(V x)
{
    V t, half = v_set(T_C(0.5));
    M tiny = v_lt(v_abs(x), v_set(TINY));
    V y = v_select(tiny, v_zero(), v_min(v_set(EXPM1_HIGH), v_max(v_set(EXPM1_LOW), x)));
    V m = expm1_parts(y, v_set(ROUND_MAGIC + (T_BIAS - 1)), &t), s = power_of_two(t); /* s = 2^(n-1): 2^n may overflow */
    V e = v_fma(s, m, v_sub(s, half));
    return v_select(tiny, x, v_add(e, e));
}

#ifdef FNN_DTYPE_IS_F32
/* tanh(x): |x| falls into one of 16 intervals, on each of which tanh is a polynomial of degree 5 in |x| - centre, without a division: 1.06 ULP; the
 * polynomial's last sum dominates. The intervals begin where 1.625 |x| + 1 is a power of two times 1, 5/4, 6/4 or 7/4: exponent and two
 * mantissa bits are the index, and the error in that sum does not matter. Against the quotient below, AVX-512, whose look-up is one operation,
 * gains 40 %, and AVX2, where it is four, loses 37 %. Odd; tiny and -0: x; +-1 beyond TANH_LIMIT. Ordinary: |x| >= TINY. */
FNN_INLINE V v_tanh_of(V x, int ordinary)
{
    V size = v_abs(x), a = v_min(v_set(TANH_LIMIT), ordinary ? size : v_max(v_set(TINY), size));
    I i = i_shr(v_bits(v_fma(a, v_set(T_C(1.625)), v_set(1))), T_MANTISSA - 2);
    V d = v_sub(a, v_table16(tanh_table[0], i)), y = v_table16(tanh_table[6], i);
    for (int k = 5; k > 0; k--) y = v_fma(y, d, v_table16(tanh_table[k], i));
    y = v_copysign(y, x);
    return ordinary ? y : v_select(v_lt(size, v_set(TINY)), x, y);
}
#else
/* tanh(x) = h / (h + 1) with h = expm1(2|x|) / 2: 1.98 ULP; h, h + 1 and the quotient dominate. Below TANH_SPLIT the same
 * as h - h h/(h + 1), which the quotient's error enters only in proportion to h. Odd; tiny and -0: x; +-1 beyond TANH_LIMIT.
 * Ordinary: |x| >= TINY. */
FNN_INLINE V v_tanh_of(V x, int ordinary)
{
    V one = v_set(1), half = v_set(T_C(0.5)), magic = v_set(ROUND_MAGIC + (T_BIAS - 1)), size = v_abs(x);
    V a = v_min(v_set(TANH_LIMIT), ordinary ? size : v_max(v_set(TINY), size)), b = v_add(a, a);
    V t = v_fma(b, v_set(LOG2E), magic), n = v_sub(t, magic);
    V r = v_fnma(n, v_set(LN2_LOW), v_fnma(n, v_set(LN2_HIGH), b));
    V m = v_fma(v_mul(r, r), horner(r, expm1_q, COUNT(expm1_q)), r), s = power_of_two(t);
    V h = v_fma(s, m, v_sub(s, half)), q = v_div(h, v_add(h, one));
    V y = v_copysign(v_select(v_lt(a, v_set(TANH_SPLIT)), v_fnma(h, q, h), q), x);
    return ordinary ? y : v_select(v_lt(size, v_set(TINY)), x, y);
}
#endif
FNN_INLINE V v_tanh(V x) { return v_tanh_of(x, 0); }

/* sigmoid(x) = 1 / (1 + exp(-x)): 2.00 / 1.99 ULP, subnormal results included; the two sums of the denominator dominate, just
 * below x = 0. exp(-x) = 2^n (1 + m) enters unrounded, n is capped at 64, where the 1 no longer counts, and the rest of the power is
 * applied to the quotient. Ordinary: |x| < EXP_ORDINARY. */
FNN_INLINE V v_sigmoid_of(V x, int ordinary)
{
    V one = v_set(1), magic = v_set(ROUND_MAGIC + T_BIAS), tiny = v_set(EXP_TINY);
    V y = v_add(ordinary ? x : v_min(v_set(T_C(40.0)), v_max(v_set(-EXP_LIMIT), x)), tiny);
    V t = v_fnma(y, v_set(LOG2E), magic), n = v_sub(t, magic);
    V r = v_fma(n, v_set(LN2_LOW), v_fma(n, v_set(LN2_HIGH), y)); /* -x = n ln 2 - r */
    V m = v_fms(v_mul(r, r), horner_minus(r, exp_q, COUNT(exp_q)), r);
    V capped = ordinary ? t : v_min(v_set(ROUND_MAGIC + T_BIAS + 64), t), s = power_of_two(capped);
    V q = v_div(one, v_add(s, v_fma(s, m, one)));
    if (ordinary) return q;
    return scale_small(q, i_shl(i_sub(v_bits(capped), v_bits(t)), T_MANTISSA), v_lt(x, v_set(EXP_NORMAL)));
}
FNN_INLINE V v_sigmoid(V x) { return v_sigmoid_of(x, 0); }

/* log(2^k (1 + f)) = k ln 2 + f - f^2/2 + f^3 q(f), for sqrt(1/2) <= 1 + f < sqrt(2). */
FNN_INLINE V log_sum(V k, V f)
{
    V f2 = v_mul(f, f), q = poly2(f, f2, log1p_q, COUNT(log1p_q));
    V tail = v_fma(v_fma(q, f, v_set(T_C(-0.5))), f2, v_mul(k, v_set(LN2_LOW)));
    return v_fma(k, v_set(LN2_HIGH), v_add(f, tail));
}

/* 0 -> -inf, below 0 and NaN -> NaN, +inf -> +inf. */
FNN_INLINE V log_domain(V x, V result)
{
    V infinity = v_set((T)INFINITY);
    V outside = v_select(v_eq(x, v_zero()), v_neg(infinity), v_set((T)NAN));
    return v_select(v_gt(x, v_zero()), v_select(v_lt(x, infinity), result, x), outside);
}

/* x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for positive finite x; returns f. Subnormal x are scaled without a product. */
FNN_INLINE V log_parts(V x, V *k)
{
    M small = v_lt(x, v_set(SMALLEST_NORMAL));
    V one = v_set(1), y = v_select(small, v_sub(v_or(x, one), one), x); /* a subnormal x times 2^(T_BIAS - 1) */
    I root = v_bits(v_set(SQRT_HALF)), i = i_sub(v_bits(y), root);
    i = i_add(i, i_shl(i_set(T_BIAS), T_MANTISSA));
    *k = v_sub(v_from_int(i_shr(i, T_MANTISSA)),
               v_select(small, v_set((T)(2 * T_BIAS - 1)), v_set((T)T_BIAS)));
    return v_sub(v_from_bits(i_add(i_and(i, i_set(((TI)1 << T_MANTISSA) - 1)), root)), one);
}

/* log(x): 0.90 / 0.80 ULP; the last two sums dominate. */
FNN_INLINE V v_log(V x)
{
    V k, f = log_parts(x, &k);
    return log_domain(x, log_sum(k, f));
}

/* x^p for a p that is the same in all lanes: 2^n exp((p k - n) ln 2 + p log(1 + f)) with n = round(p log2 |x|). The exponent is small and
 * p k - n rounds once, so the error is about 2 + |p| / 2 ULP whatever the size of x. Powers 1, 2 and 3 are products, 1/2 is the root of x.
 * As in C, 0 and infinity go where the limit is, a negative x has integral powers only, and anything to the power 0 is 1. */
FNN_INLINE V v_power(V x, V p)
{
    V zero = v_zero(), infinity = v_set((T)INFINITY), half = v_mul(p, v_set(T_C(0.5))), limit = v_set(T_MANTISSA == 23 ? 252 : 2044);
    if (m_any(v_eq(p, zero))) return v_set(1);
    if (m_any(v_eq(p, v_set(1)))) return x;
    if (m_any(v_eq(p, v_set(2)))) return v_mul(x, x);
    if (m_any(v_eq(p, v_set(3)))) return v_mul(v_mul(x, x), x);
    if (m_any(v_eq(p, v_set(T_C(0.5))))) return v_sqrt(x);
    V k, a = v_abs(x), f = log_parts(a, &k), rest = v_mul(p, log_sum(zero, f));
    V n = v_round(v_fma(p, k, v_mul(rest, v_set(LOG2E)))), left = v_fms(p, k, n);
    V r = v_fma(left, v_set(LN2_HIGH), v_fma(left, v_set(LN2_LOW), rest));
    V y = v_scale2(v_exp(v_max(v_set(-1), v_min(v_set(1), r))), v_max(v_neg(limit), v_min(limit, n)));
    M grows = v_gt(p, zero), whole = v_eq(v_floor(p), p), odd = m_and(whole, v_ne(v_floor(half), half));
    y = v_select(v_eq(a, zero), v_select(grows, zero, infinity), y);
    y = v_select(v_eq(a, infinity), v_select(grows, infinity, zero), y);
    y = v_select(m_and(v_lt(x, zero), m_and(v_lt(a, infinity), m_not(whole))), v_set((T)NAN), y);
    return v_select(v_isnan(x), x, v_select(odd, v_copysign(y, x), y));
}

/* log1p(x), as log(2^k (1 + f)) with f = x / 2^k + (1 / 2^k - 1) rounded once: 1.50 / 1.1 ULP. Tiny and -0: x. -1: -infinity. */
FNN_INLINE V v_log1p(V x)
{
    V one = v_set(1), u = v_add(x, one);
    I root = v_bits(v_set(SQRT_HALF)), i = i_sub(v_bits(u), root);
    i = i_add(i, i_shl(i_set(T_BIAS), T_MANTISSA));
    I e = i_shr(i, T_MANTISSA);
    V k = v_sub(v_from_int(e), v_set((T)T_BIAS));
    /* 4 / 2^k is a normal number for every k, and x / 4 is exact but for tiny x. */
    V s = v_from_bits(i_shl(i_sub(i_set(2 * T_BIAS + 2), e), T_MANTISSA));
    V f = v_fma(s, v_mul(x, v_set(T_C(0.25))), v_fms(s, v_set(T_C(0.25)), one));
    return v_select(v_lt(v_abs(x), v_set(TINY)), x, log_domain(u, log_sum(k, f)));
}

/* softplus(x) = max(x, 0) + log1p(e) with e = exp(-|x|), log1p(e) = e + e^2 q(e): 1.90 / 1.9 ULP; the error of e and two sums
 * dominate. Below TINY, where e^2 might be subnormal, log1p(e) = e. */
FNN_INLINE V v_softplus(V x)
{
    V small = v_exp(v_neg(v_abs(x))), e = v_max(v_set(TINY), small), e2 = v_mul(e, e);
    V tail = v_fma(poly2(e, e2, softplus_q, COUNT(softplus_q)), e2, e);
    return v_add(v_max(v_zero(), x), v_select(v_lt(small, v_set(TINY)), small, tail));
}

/* log(sigmoid(x)) = -softplus(-x). */
FNN_INLINE V v_log_sigmoid(V x) { return v_neg(v_softplus(v_neg(x))); }

/* erf(x): |x| + |x| q(x^2) below ERF_SPLIT, 1 - exp(g(|x|)) with g = log(erfc) from there: 1.76 / 1.4 ULP. Odd; -0: -0; +-1 beyond
 * ERF_LIMIT. */
FNN_INLINE V v_erf(V x)
{
    V a = v_abs(x), b = v_max(v_set(TINY), a), t = v_mul(b, b);
    V inner = v_fma(poly2(t, v_mul(t, t), erf_q, COUNT(erf_q)), a, a);
    V c = v_sub(v_min(v_set(ERF_LIMIT), a), v_set(ERF_CENTRE));
    V outer = v_sub(v_set(1), exp_ordinary(poly2(c, v_mul(c, c), erf_g, COUNT(erf_g))));
    return v_copysign(v_select(v_ge(a, v_set(ERF_SPLIT)), outer, inner), x); /* NaN is inner */
}

/* TINY, EXP_TINY, EXP_ORDINARY and EXP_NORMAL stay for the ops. */
#undef COUNT
#undef LOG2E
#undef LN2_HIGH
#undef LN2_LOW

#undef ROUND_MAGIC
#undef SQRT_HALF
#undef SMALLEST_NORMAL
#undef EXP_LIMIT
#undef EXP_LARGEST
#undef EXPM1_LOW
#undef EXPM1_HIGH
#undef TANH_LIMIT
#undef TANH_SPLIT
#undef ERF_SPLIT
#undef ERF_LIMIT
#undef ERF_CENTRE
