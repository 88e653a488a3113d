/* power.h — y = (q x)^p with one exponent for all elements, and the gradient that LPPool takes of its root. */
FNN_INLINE V power(V x, V p, V q) { return v_power(v_mul(q, x), p); }

FNN_INLINE V power_derivative(V dy, V x, V p, V q)
{
    return v_mul(dy, v_mul(v_mul(p, q), v_power(v_mul(q, x), v_sub(p, v_set(1)))));
}

/* None where x is 0. */
FNN_INLINE V lp_root_derivative(V dy, V x, V p, V q)
{
    return v_select(v_eq(x, v_zero()), v_zero(), power_derivative(dy, x, p, q));
}

MAP(power_forward, power)
MAP2(power_backward, power_derivative)
MAP2(lp_root_backward, lp_root_derivative)
