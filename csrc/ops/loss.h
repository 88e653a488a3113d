/* loss.h — element-wise losses l = f(input, target; weight, pos_weight, p), their sums, and dinput = dy f'.
 *
 * The elements are cut into chunks of LOSS_CHUNK, whatever the shares; a chunk is summed over the virtual lanes of reduce.h, and the chunks'
 * sums again (loss_total). A kernel that runs in one share does that itself, so a small loss is one launch; otherwise the
 * caller launches loss_total after it. Both give the same bits.
 *
 * Below each f stands its derivative with respect to input, and where there is one to another array. NaN goes through everywhere. The losses
 * of loss_margin.h that take three arrays have one of them in `weight`. */
enum { LOSS_CHUNK = 1024 };

/* value[0] = the sum of sums[0 .. chunks) / divisor; value[1] = divisor, which is the sum of counts[0 .. chunks) where it is < 0. */
FNN_INLINE void add_chunks(T *value, const T *sums, const T *counts, size_t chunks, double divisor)
{
    T count = divisor < 0 ? row_sum(counts, chunks) : (T)divisor;
    value[0] = row_sum(sums, chunks) / count;
    value[1] = count;
}

KERNEL(loss_total, loss_total)
{
    if (part == 0) add_chunks((T *)a->value, (const T *)a->sums, (const T *)a->counts, a->chunks, a->divisor);
    (void)parts;
}

FNN_INLINE V weight_at(const T *weight, size_t i, size_t left) { return weight ? load_upto(weight + i, left) : v_set(1); }

/* f or its derivative: of x, t, weight, pos_weight and p. */
typedef V (*loss_function)(V, V, V, V, V);

FNN_INLINE void loss_forward(const fnn_loss_args *a, size_t part, size_t parts, loss_function f)
{
    const T *x = (const T *)a->input, *t = (const T *)a->target, *weight = (const T *)a->weight, *pos_weight = (const T *)a->pos_weight;
    T *losses = (T *)a->losses, *sums = (T *)a->sums;
    size_t i, end, chunks = (a->n + LOSS_CHUNK - 1) / LOSS_CHUNK;
    V p = v_set((T)a->p);
    fnn_share(a->n, LOSS_CHUNK, part, parts, &i, &end);
    while (i < end) {
        size_t chunk = i / LOSS_CHUNK, last = end - i < LOSS_CHUNK ? end : i + LOSS_CHUNK;
        Lanes sum = lanes_zero();
        while (i < last)
            for (int k = 0; k < LANE_VECTORS; k++, i += W) {
                if (i >= last) break;
                size_t left = last - i;
                V l = f(load_upto(x + i, left), load_upto(t + i, left), weight_at(weight, i, left), weight_at(pos_weight, i, left), p);
                if (losses) store_upto(losses + i, l, left);
                sum.v[k] = v_add(sum.v[k], first_or(l, left, v_zero()));
            }
        i = last;
        sums[chunk] = lanes_sum(sum);
    }
    if (parts == 1) add_chunks((T *)a->value, sums, NULL, chunks, a->divisor);
}

FNN_INLINE void loss_backward(const fnn_loss_backward_args *a, size_t part, size_t parts, loss_function df)
{
    const T *x = (const T *)a->input, *t = (const T *)a->target, *dy = (const T *)a->dy;
    const T *weight = (const T *)a->weight, *pos_weight = (const T *)a->pos_weight;
    T *dx = (T *)a->dinput;
    size_t i, end;
    V p = v_set((T)a->p), scale = v_set((T)a->scale);
    fnn_share(a->n, LOSS_CHUNK, part, parts, &i, &end);
    for (; i < end; i += W) {
        size_t left = end - i;
        V d = df(load_upto(x + i, left), load_upto(t + i, left), weight_at(weight, i, left), weight_at(pos_weight, i, left), p);
        store_upto(dx + i, v_mul(dy ? load_upto(dy + i, left) : scale, d), left);
    }
}

/* LOSS(mse_loss, f, df) defines the kernels mse_loss_forward and mse_loss_backward of f and its derivative with respect to x. */
#define LOSS(name, f, df)                                                                                                     \
    KERNEL(name##_forward, loss) { loss_forward(a, part, parts, f); }                                                         \
    KERNEL(name##_backward, loss_backward) { loss_backward(a, part, parts, df); }

#define LOSS_FUNCTION(name) FNN_INLINE V name(V x, V t, V w, V pw, V p)
#define UNUSED_3(u, v, w) (void)u, (void)v, (void)w

/* (x - t)², 2 (x - t) */
LOSS_FUNCTION(mse)
{
    UNUSED_3(w, pw, p);
    V d = v_sub(x, t);
    return v_mul(d, d);
}
LOSS_FUNCTION(mse_derivative)
{
    UNUSED_3(w, pw, p);
    V d = v_sub(x, t);
    return v_add(d, d);
}

/* |x - t|, sign(x - t) */
FNN_INLINE V sign_of(V d)
{
    V one = v_set(1);
    return v_select(v_gt(d, v_zero()), one, v_select(v_lt(d, v_zero()), v_neg(one), d));
}
LOSS_FUNCTION(l1)
{
    UNUSED_3(w, pw, p);
    return v_abs(v_sub(x, t));
}
LOSS_FUNCTION(l1_derivative)
{
    UNUSED_3(w, pw, p);
    return sign_of(v_sub(x, t));
}

/* With d = x - t and p = beta: d² / (2 beta) where |d| < beta, else |d| - beta / 2; d / beta, sign(d) */
LOSS_FUNCTION(smooth_l1)
{
    V d = v_abs(v_sub(x, t)), half = v_set(T_C(0.5));
    (void)w, (void)pw;
    return v_select(v_lt(d, p), v_div(v_mul(v_mul(half, d), d), p), v_fnma(half, p, d));
}
LOSS_FUNCTION(smooth_l1_derivative)
{
    V d = v_sub(x, t);
    (void)w, (void)pw;
    return v_select(v_ge(v_abs(d), p), sign_of(d), v_div(d, p));
}

/* With d = x - t and p = delta: d² / 2 where |d| <= delta, else delta (|d| - delta / 2); d limited to [-delta, delta] */
LOSS_FUNCTION(huber)
{
    V d = v_abs(v_sub(x, t)), half = v_set(T_C(0.5));
    (void)w, (void)pw;
    return v_select(v_le(d, p), v_mul(v_mul(half, d), d), v_mul(p, v_fnma(half, p, d)));
}
LOSS_FUNCTION(huber_derivative)
{
    (void)w, (void)pw;
    return v_min(p, v_max(v_neg(p), v_sub(x, t)));
}

/* -w (t log(x) + (1 - t) log(1 - x)), logarithms no lower than -100; w (x - t) / max(x (1 - x), 1e-12) */
LOSS_FUNCTION(binary_cross_entropy)
{
    V low = v_set(-100), log_0 = v_max(low, v_log1p(v_neg(x))), log_1 = v_max(low, v_log(x));
    (void)pw, (void)p;
    return v_mul(v_fms(v_sub(t, v_set(1)), log_0, v_mul(t, log_1)), w);
}
LOSS_FUNCTION(binary_cross_entropy_derivative)
{
    V spread = v_max(v_set(T_C(1e-12)), v_mul(x, v_sub(v_set(1), x)));
    (void)pw, (void)p;
    return v_mul(w, v_div(v_sub(x, t), spread));
}

/* w (l + (1 + (pw - 1) t) log(1 + exp(-|x|))) with l = (1 - t) x where x >= 0, else -pw t x: nothing cancels for t in [0, 1].
 * w ((pw t + 1 - t) sigmoid(x) - pw t) */
LOSS_FUNCTION(binary_cross_entropy_with_logits)
{
    V one = v_set(1), share = v_fma(v_sub(pw, one), t, one);
    V factor = v_select(v_lt(x, v_zero()), v_neg(v_mul(pw, t)), v_sub(one, t));
    (void)p;
    return v_mul(w, v_fma(factor, x, v_mul(share, v_softplus(v_neg(v_abs(x))))));
}
LOSS_FUNCTION(binary_cross_entropy_with_logits_derivative)
{
    V positive = v_mul(pw, t);
    (void)p;
    return v_mul(w, v_fms(v_add(positive, v_sub(v_set(1), t)), v_sigmoid(x), positive));
}

/* t (log(t) - x) with 0 log 0 = 0; -t. x holds log-probabilities */
LOSS_FUNCTION(kl_div)
{
    UNUSED_3(w, pw, p);
    V entropy = v_select(v_eq(t, v_zero()), v_zero(), v_mul(t, v_log(t)));
    return v_sub(entropy, v_mul(t, x));
}
LOSS_FUNCTION(kl_div_derivative)
{
    UNUSED_3(w, pw, p);
    (void)x;
    return v_neg(t);
}

/* The same with log-probabilities as target: exp(t) (t - x); -exp(t) */
LOSS_FUNCTION(kl_div_log_target)
{
    UNUSED_3(w, pw, p);
    return v_mul(v_exp(t), v_sub(t, x));
}
LOSS_FUNCTION(kl_div_log_target_derivative)
{
    UNUSED_3(w, pw, p);
    (void)x;
    return v_neg(v_exp(t));
}

LOSS(mse_loss, mse, mse_derivative)
LOSS(l1_loss, l1, l1_derivative)
LOSS(smooth_l1_loss, smooth_l1, smooth_l1_derivative)
LOSS(huber_loss, huber, huber_derivative)
LOSS(binary_cross_entropy, binary_cross_entropy, binary_cross_entropy_derivative)
LOSS(binary_cross_entropy_with_logits, binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_derivative)
LOSS(kl_div, kl_div, kl_div_derivative)
LOSS(kl_div_log_target, kl_div_log_target, kl_div_log_target_derivative)
