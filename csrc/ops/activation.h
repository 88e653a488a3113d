/* activation.h — activations and their derivatives, element by element: y = f(x; p, q) and dx = dy f'(x; p, q).
 *
 * Below each f stands its derivative. tanh and sigmoid take forward's output y in the place of x, which spares them the
 * exponential. NaN goes through everywhere; at kinks the derivative is PyTorch's subgradient. */

/* relu(x) = max(x, 0). v_max yields its second operand where one is NaN. */
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

FNN_INLINE V tanh_map(V x, V p, V q)
{
    (void)p, (void)q;
    return v_tanh(x);
}

/* With y = tanh(x): tanh'(x) = 1 - y². */
FNN_INLINE V tanh_derivative(V dy, V y, V p, V q)
{
    (void)p, (void)q;
    return v_mul(dy, v_fnma(y, y, v_set(1)));
}

MAP(tanh_forward, tanh_map)
MAP2(tanh_backward, tanh_derivative)
