/* activation_piecewise.h — activations that are linear in pieces, and their derivatives: y = f(x; p, q), dx = dy f'(x; p, q).
 *
 * Below each f stands its derivative, which at kinks is PyTorch's subgradient. NaN goes through every f: v_max(limit, x) and
 * v_min(limit, x) keep a NaN in x, and comparisons are written so that a NaN takes the branch that keeps it. ReLU6 is
 * hardtanh(x; 0, 6). */

/* relu(x) = max(x, 0). */
FNN_INLINE V relu(V x, V p, V q)
{
    (void)p, (void)q;
    return v_max(v_zero(), x);
}

FNN_INLINE V relu_derivative(V dy, V x, V p, V q)
{
    (void)p, (void)q;
    return v_select(v_le(x, v_zero()), v_zero(), dy);
}

MAP(relu_forward, relu)
MAP2(relu_backward, relu_derivative)

/* leaky_relu(x; slope p) = x where x > 0, else p x. */
FNN_INLINE V leaky_relu(V x, V p, V q)
{
    (void)q;
    return v_select(v_gt(x, v_zero()), x, v_mul(p, x));
}

FNN_INLINE V leaky_relu_derivative(V dy, V x, V p, V q)
{
    (void)q;
    return v_select(v_gt(x, v_zero()), dy, v_mul(p, dy));
}

MAP(leaky_relu_forward, leaky_relu)
MAP2(leaky_relu_backward, leaky_relu_derivative)

/* hardtanh(x; p, q) = x limited to [p, q]. */
FNN_INLINE V hardtanh(V x, V p, V q) { return v_min(q, v_max(p, x)); }

FNN_INLINE V hardtanh_derivative(V dy, V x, V p, V q)
{
    return v_select(m_or(v_le(x, p), v_ge(x, q)), v_zero(), dy);
}

MAP(hardtanh_forward, hardtanh)
MAP2(hardtanh_backward, hardtanh_derivative)

/* hardsigmoid(x) = (x + 3) / 6 limited to [0, 1]. */
FNN_INLINE V hardsigmoid(V x, V p, V q)
{
    (void)p, (void)q;
    V six = v_set(6);
    return v_div(v_min(six, v_max(v_zero(), v_add(x, v_set(3)))), six);
}

FNN_INLINE V hardsigmoid_derivative(V dy, V x, V p, V q)
{
    (void)p, (void)q;
    return v_select(m_and(v_gt(x, v_set(-3)), v_lt(x, v_set(3))), v_div(dy, v_set(6)), v_zero());
}

MAP(hardsigmoid_forward, hardsigmoid)
MAP2(hardsigmoid_backward, hardsigmoid_derivative)

/* hardswish(x) = x hardsigmoid(x). Below -3 the first factor stays at -3: -inf times 0 would be NaN. */
FNN_INLINE V hardswish(V x, V p, V q) { return v_mul(v_max(v_set(-3), x), hardsigmoid(x, p, q)); }

/* x / 3 + 1/2 between -3 and 3. */
FNN_INLINE V hardswish_derivative(V dy, V x, V p, V q)
{
    (void)p, (void)q;
    V three = v_set(3), slope = v_add(v_div(x, three), v_set(T_C(0.5)));
    return v_select(v_le(x, v_set(-3)), v_zero(), v_select(v_lt(x, three), v_mul(dy, slope), dy));
}

MAP(hardswish_forward, hardswish)
MAP2(hardswish_backward, hardswish_derivative)

FNN_INLINE M within(V x, V p) { return m_and(v_ge(x, v_neg(p)), v_le(x, p)); }

/* hardshrink(x; p) = 0 where -p <= x <= p, else x. */
FNN_INLINE V hardshrink(V x, V p, V q)
{
    (void)q;
    return v_select(within(x, p), v_zero(), x);
}

/* The derivative of softshrink as well. */
FNN_INLINE V shrink_derivative(V dy, V x, V p, V q)
{
    (void)q;
    return v_select(within(x, p), v_zero(), dy);
}

MAP(hardshrink_forward, hardshrink)
MAP2(hardshrink_backward, shrink_derivative)

/* softshrink(x; p) = x - p above p, x + p below -p, 0 x between. */
FNN_INLINE V softshrink(V x, V p, V q)
{
    (void)q;
    return v_select(within(x, p), v_mul(x, v_zero()), v_sub(x, v_copysign(p, x)));
}

MAP(softshrink_forward, softshrink)
MAP2(softshrink_backward, shrink_derivative)

/* threshold(x; p, q) = x where x > p, else q. */
FNN_INLINE V threshold(V x, V p, V q) { return v_select(v_le(x, p), q, x); }

FNN_INLINE V threshold_derivative(V dy, V x, V p, V q)
{
    (void)q;
    return v_select(v_le(x, p), v_zero(), dy);
}

MAP(threshold_forward, threshold)
MAP2(threshold_backward, threshold_derivative)
