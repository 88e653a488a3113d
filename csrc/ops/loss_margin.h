/* loss_margin.h — more functions for the loops of loss.h: margins, rankings and negative log-likelihoods.
 *
 * They share one copy of the two loops and are called once for each vector, which keeps them small.
 *
 * A margin's derivative is that of max(0, z) with 1 at z = 0, as in PyTorch. Where a loss has a constant part on demand (`full`), the sign bit of p
 * says so. */
#define SHARED_FUNCTION(name) static V name(V x, V t, V w, V pw, V p)
FNN_SHARED void shared_loss_forward(const fnn_loss_args *a, size_t part, size_t parts, loss_function f) { loss_forward(a, part, parts, f); }
FNN_SHARED void shared_loss_backward(const fnn_loss_backward_args *a, size_t part, size_t parts, loss_function df)
{
    loss_backward(a, part, parts, df);
}
#define SHARED_FORWARD(name, f)                                                                                               \
    KERNEL(name, loss) { shared_loss_forward(a, part, parts, f); }
#define SHARED_BACKWARD(name, df)                                                                                             \
    KERNEL(name, loss_backward) { shared_loss_backward(a, part, parts, df); }
#define SHARED_LOSS(name, f, df) SHARED_FORWARD(name##_forward, f) SHARED_BACKWARD(name##_backward, df)

/* The derivative of max(0, z): 1 for z >= 0, else 0; NaN for NaN. */
FNN_INLINE V ramp_derivative(V z)
{
    return v_select(v_ge(z, v_zero()), v_set(1), v_select(v_isnan(z), z, v_zero()));
}
FNN_INLINE V ramp(V z) { return v_max(v_zero(), z); }

/* x where t is 1, max(0, p - x) where it is -1, both where it is something else; 1 and -[p - x >= 0] */
SHARED_FUNCTION(hinge_embedding)
{
    V zero = v_zero(), one = v_set(1);
    (void)w, (void)pw;
    V apart = v_select(v_eq(t, one), zero, ramp(v_sub(p, x))), alike = v_select(v_eq(t, v_neg(one)), zero, x);
    return v_select(v_isnan(t), t, v_add(apart, alike));
}
SHARED_FUNCTION(hinge_embedding_derivative)
{
    V zero = v_zero(), one = v_set(1);
    (void)w, (void)pw;
    V apart = v_select(v_eq(t, one), zero, ramp_derivative(v_sub(p, x))), alike = v_select(v_eq(t, v_neg(one)), zero, one);
    return v_select(v_isnan(t), t, v_sub(alike, apart));
}

/* log(1 + exp(-t x)), -t sigmoid(-t x) */
SHARED_FUNCTION(soft_margin)
{
    UNUSED_3(w, pw, p);
    return v_softplus(v_neg(v_mul(t, x)));
}
SHARED_FUNCTION(soft_margin_derivative)
{
    V minus = v_neg(t);
    UNUSED_3(w, pw, p);
    return v_mul(minus, v_sigmoid(v_mul(minus, x)));
}

FNN_INLINE M is_full(V p) { return v_lt(v_copysign(v_set(1), p), v_zero()); }

/* Stirling's approximation of log(t!) for t > 1, else 0: t log(t) - t + log(2 pi t) / 2. */
FNN_SHARED V stirling(V t)
{
    V logarithm = v_log(t), half_log_2_pi = v_set(T_C(0.91893853320467274178032973640562));
    V value = v_add(v_fms(t, logarithm, t), v_fma(v_set(T_C(0.5)), logarithm, half_log_2_pi));
    return v_select(v_gt(t, v_set(1)), value, v_zero());
}

/* exp(x) - t x, exp(x) - t: x is the logarithm of the expected count */
SHARED_FUNCTION(poisson_nll)
{
    V loss = v_fnma(t, x, v_exp(x));
    (void)w, (void)pw;
    return m_any(is_full(p)) ? v_add(loss, stirling(t)) : loss;
}
SHARED_FUNCTION(poisson_nll_derivative)
{
    UNUSED_3(w, pw, p);
    return v_sub(v_exp(x), t);
}

/* x - t log(x + |p|), 1 - t / (x + |p|): x is the expected count */
SHARED_FUNCTION(poisson_nll_of_rate)
{
    V loss = v_fnma(t, v_log(v_add(x, v_abs(p))), x);
    (void)w, (void)pw;
    return m_any(is_full(p)) ? v_add(loss, stirling(t)) : loss;
}
SHARED_FUNCTION(poisson_nll_of_rate_derivative)
{
    (void)w, (void)pw;
    return v_sub(v_set(1), v_div(t, v_add(x, v_abs(p))));
}

/* With the variance v = max(w, |p|): (log(v) + (x - t)² / v) / 2; (x - t) / v; with respect to w (1 - (x - t)² / v) / (2 v), also below |p| */
SHARED_FUNCTION(gaussian_nll)
{
    V v = v_max(v_abs(p), w), d = v_sub(x, t), half_log_2_pi = v_set(T_C(0.91893853320467274178032973640562));
    V loss = v_mul(v_set(T_C(0.5)), v_add(v_log(v), v_div(v_mul(d, d), v)));
    (void)pw;
    return m_any(is_full(p)) ? v_add(loss, half_log_2_pi) : loss;
}
SHARED_FUNCTION(gaussian_nll_derivative)
{
    (void)pw;
    return v_div(v_sub(x, t), v_max(v_abs(p), w));
}
SHARED_FUNCTION(gaussian_nll_derivative_of_variance)
{
    V v = v_max(v_abs(p), w), d = v_sub(x, t);
    (void)pw;
    return v_div(v_mul(v_set(T_C(0.5)), v_sub(v_set(1), v_div(v_mul(d, d), v))), v);
}

/* max(0, p - t (x - w)); with respect to x, -t where that is not cut off */
SHARED_FUNCTION(margin_ranking)
{
    (void)pw;
    return ramp(v_fnma(t, v_sub(x, w), p));
}
SHARED_FUNCTION(margin_ranking_derivative)
{
    (void)pw;
    return v_mul(v_neg(t), ramp_derivative(v_fnma(t, v_sub(x, w), p)));
}

/* For a cosine x: 1 - x where t is 1, max(0, x - p) where it is -1, else 0 */
SHARED_FUNCTION(cosine_embedding)
{
    V one = v_set(1), other = v_select(v_isnan(t), t, v_zero());
    (void)w, (void)pw;
    return v_select(v_eq(t, one), v_sub(one, x), v_select(v_eq(t, v_neg(one)), ramp(v_sub(x, p)), other));
}
SHARED_FUNCTION(cosine_embedding_derivative)
{
    V one = v_set(1), other = v_select(v_isnan(t), t, v_zero());
    (void)w, (void)pw;
    return v_select(v_eq(t, one), v_neg(one), v_select(v_eq(t, v_neg(one)), ramp_derivative(v_sub(x, p)), other));
}

/* For distances x to the positive, t and w to the negative (w: from the positive, or the same array as t): max(0, p + x - min(t, w)).
 * The derivative with respect to t is -1 where t is the smaller one, -1/2 where they are equal; exchange t and w for that with respect to w. */
FNN_INLINE V nearer(V t, V w) { return v_select(v_isnan(t), t, v_min(t, w)); }
SHARED_FUNCTION(triplet_margin)
{
    (void)pw;
    return ramp(v_sub(v_add(p, x), nearer(t, w)));
}
SHARED_FUNCTION(triplet_margin_derivative)
{
    (void)pw;
    return ramp_derivative(v_sub(v_add(p, x), nearer(t, w)));
}
SHARED_FUNCTION(triplet_margin_derivative_of_negative)
{
    V share = v_select(v_lt(t, w), v_set(-1), v_select(v_eq(t, w), v_set(T_C(-0.5)), v_zero()));
    (void)pw;
    return v_mul(share, ramp_derivative(v_sub(v_add(p, x), nearer(t, w))));
}

SHARED_LOSS(hinge_embedding_loss, hinge_embedding, hinge_embedding_derivative)
SHARED_LOSS(soft_margin_loss, soft_margin, soft_margin_derivative)
SHARED_LOSS(poisson_nll_loss, poisson_nll, poisson_nll_derivative)
SHARED_LOSS(poisson_nll_loss_of_rate, poisson_nll_of_rate, poisson_nll_of_rate_derivative)
SHARED_LOSS(gaussian_nll_loss, gaussian_nll, gaussian_nll_derivative)
SHARED_BACKWARD(gaussian_nll_loss_backward_variance, gaussian_nll_derivative_of_variance)
SHARED_LOSS(margin_ranking_loss, margin_ranking, margin_ranking_derivative)
SHARED_LOSS(cosine_embedding_loss, cosine_embedding, cosine_embedding_derivative)
SHARED_LOSS(triplet_margin_loss, triplet_margin, triplet_margin_derivative)
SHARED_BACKWARD(triplet_margin_loss_backward_negative, triplet_margin_derivative_of_negative)
