/* optimizer.h — one step of an optimizer over all tensors of a parameter group, and gradient clipping.
 *
 * The tensors stand one behind the other in a list of a->count; a share is a range of that concatenation, so small tensors cost no launch
 * of their own. Everything is element-wise, hence the same bits for any cut. Settings and step counts are read from memory at each
 * call: a recorded step sees a changed learning rate. *steps[t] counts tensor t's steps, this one included (optimizer_tick).
 *
 * A gradient may have only some rows of its tensor (ops/embedding.h): then only these are updated, and what counts is their number at that time.
 *
 * Formulas and the order of operations are those of PyTorch's single-tensor implementations; where an update is
 * a x + y it is one fused multiply-add. */

/* What an update of one vector sees: the parameter, the gradient and up to three states, updated in place. */
typedef struct Update {
    V w, g, s[3];
} Update;

/* Coefficients of one tensor's step, broadcast; each optimizer says what they are. */
typedef struct Coefficients {
    V c[10];
    int flag[3];
} Coefficients;

/* Apply `update`, which has up to `states` states, to the elements [i, end) of tensor t. A state that is NULL reads as 0. */
FNN_INLINE void optimizer_span(const fnn_optimizer_args *a, size_t t, size_t i, size_t end, int states, const Coefficients *c,
                               void (*update)(Update *, const Coefficients *))
{
    T *w = (T *)a->parameters[t], *s[3] = {NULL, NULL, NULL};
    const T *g = (const T *)a->gradients[t];
    for (int k = 0; k < states; k++) s[k] = (T *)a->states[(size_t)k * a->count + t];
    Update u = {v_zero(), v_zero(), {v_zero(), v_zero(), v_zero()}};
    for (size_t next = end, at = i; i < end; i = next) { /* all at once, or row by row: element i of g belongs to element `at` of w */
        if (a->rows[t]) {
            size_t width = a->widths[t], row = i / width;
            at = (size_t)a->rows[t][row] * width + i % width;
            next = (row + 1) * width < end ? (row + 1) * width : end;
        }
        for (; i + W <= next; i += W, at += W) {
            u.w = v_load(w + at), u.g = v_load(g + i);
            for (int k = 0; k < states; k++)
                if (s[k]) u.s[k] = v_load(s[k] + at);
            update(&u, c);
            v_store(w + at, u.w);
            for (int k = 0; k < states; k++)
                if (s[k]) v_store(s[k] + at, u.s[k]);
        }
        if (i == next) continue;
        size_t n = next - i;
        u.w = v_load_n(w + at, n), u.g = v_load_n(g + i, n);
        for (int k = 0; k < states; k++)
            if (s[k]) u.s[k] = v_load_n(s[k] + at, n);
        update(&u, c);
        v_store_n(w + at, u.w, n);
        for (int k = 0; k < states; k++)
            if (s[k]) v_store_n(s[k] + at, u.s[k], n);
    }
}

/* For each tensor t that meets this share: `span` becomes its elements [i, end). */
#define FOR_EACH_SPAN(a, t, i, end)                                                                                           \
    size_t share_begin, share_end, offset = 0, i, end, total = 0;                                                             \
    for (size_t k = 0; k < (a)->count; k++) total += (a)->sizes[k];                                                           \
    fnn_share(total, MAP_GRAIN, part, parts, &share_begin, &share_end);                                                       \
    for (size_t t = 0; t < (a)->count && offset < share_end; offset += (a)->sizes[t++])                                       \
        if (i = share_begin > offset ? share_begin - offset : 0,                                                              \
            end = share_end - offset < (a)->sizes[t] ? share_end - offset : (a)->sizes[t], i < end)

/* base^n for a whole n >= 0, by squaring: the same roundings on every machine. */
static inline double whole_power(double base, double n)
{
    double power = 1;
    for (uint64_t e = (uint64_t)n; e; e >>= 1, base *= base)
        if (e & 1) power *= base;
    return power;
}

KERNEL(optimizer_tick, optimizer_tick)
{
    (void)parts;
    if (part == 0)
        for (size_t t = 0; t < a->count; t++) *a->steps[t] += 1;
}

KERNEL(row_sizes, row_sizes)
{
    (void)parts;
    if (part == 0)
        for (size_t t = 0; t < a->count; t++)
            if (a->counts[t]) a->sizes[t] = (size_t)*a->counts[t] * a->widths[t];
}

/* g = ±gradient + weight_decay w, for the optimizers with that L2 penalty. c[0]: weight decay, flag[0]: maximize. */
FNN_INLINE V decayed(const Update *u, const Coefficients *c)
{
    return v_fma(c->c[0], u->w, c->flag[0] ? v_neg(u->g) : u->g);
}

/* --- SGD. settings: lr, momentum, dampening, weight_decay, nesterov, maximize ---
 * buffer = momentum buffer + (1 - dampening) g, the first time g; d = nesterov ? g + momentum buffer : buffer; w -= lr d.
 * c: 1 -lr, 2 momentum, 3 1 - dampening. flag: 1 nesterov, 2 first step. */
FNN_INLINE void sgd_update(Update *u, const Coefficients *c)
{
    u->w = v_fma(c->c[1], decayed(u, c), u->w);
}

FNN_INLINE void sgd_momentum_update(Update *u, const Coefficients *c)
{
    V g = decayed(u, c);
    u->s[0] = c->flag[2] ? g : v_fma(c->c[3], g, v_mul(c->c[2], u->s[0]));
    u->w = v_fma(c->c[1], c->flag[1] ? v_fma(c->c[2], u->s[0], g) : u->s[0], u->w);
}

KERNEL(sgd_step, optimizer)
{
    const double *s = a->settings;
    Coefficients c = {.c = {v_set((T)s[3]), v_set((T)-s[0]), v_set((T)s[1]), v_set((T)(1 - s[2]))}, .flag = {s[5] != 0, s[4] != 0, 0}};
    FOR_EACH_SPAN(a, t, i, end) {
        c.flag[2] = *a->steps[t] == 1;
        if (s[1] == 0)
            optimizer_span(a, t, i, end, 0, &c, sgd_update);
        else
            optimizer_span(a, t, i, end, 1, &c, sgd_momentum_update);
    }
}

/* --- Adam, AdamW and SparseAdam. settings: lr, beta1, beta2, eps, weight_decay, decoupled, amsgrad, maximize, sparse ---
 * m += (1 - beta1)(g - m); v = beta2 v + (1 - beta2) g²; with amsgrad v̂ = max(v̂, v), else v̂ = v;
 * w -= lr / (1 - beta1^t) m / (√v̂ / √(1 - beta2^t) + eps). Decoupled: w *= 1 - lr weight_decay first, and g is not decayed.
 * Sparse: eps is added before the correction of v, w -= lr √(1 - beta2^t) / (1 - beta1^t) m / (√v + eps).
 * The inner quotient is a product with the reciprocal: a second division would cost as much as all the rest.
 * c: 1 1 - beta1, 2 beta2, 3 1 - beta2, 4 -lr / (1 - beta1^t), 5 1 / √(1 - beta2^t), 6 eps, 7 1 - lr weight_decay. */
FNN_INLINE void adam_finish(Update *u, const Coefficients *c, V v)
{
    V denominator = v_fma(v_sqrt(v), c->c[5], c->c[6]);
    u->w = v_fma(c->c[4], v_div(u->s[0], denominator), u->w);
}

FNN_INLINE void adam_moments(Update *u, const Coefficients *c)
{
    u->w = v_mul(u->w, c->c[7]);
    V g = decayed(u, c);
    u->s[0] = v_fma(c->c[1], v_sub(g, u->s[0]), u->s[0]);
    u->s[1] = v_fma(v_mul(c->c[3], g), g, v_mul(c->c[2], u->s[1]));
}

FNN_INLINE void adam_update(Update *u, const Coefficients *c)
{
    adam_moments(u, c);
    adam_finish(u, c, u->s[1]);
}

FNN_INLINE void adam_amsgrad_update(Update *u, const Coefficients *c)
{
    adam_moments(u, c);
    u->s[2] = v_max(u->s[2], u->s[1]);
    adam_finish(u, c, u->s[2]);
}

KERNEL(adam_step, optimizer)
{
    const double *s = a->settings;
    int decoupled = s[5] != 0;
    double step = -1;
    Coefficients c = {.c = {v_set((T)(decoupled ? 0 : s[4])), v_set((T)(1 - s[1])), v_set((T)s[2]), v_set((T)(1 - s[2])), v_zero(), v_zero(),
                            v_set((T)s[3]), v_set((T)(decoupled ? 1 - s[0] * s[4] : 1))},
                      .flag = {s[7] != 0, 0, 0}};
    FOR_EACH_SPAN(a, t, i, end) {
        if (*a->steps[t] != step) {
            step = *a->steps[t];
            double root = sqrt(1 - whole_power(s[2], step));
            c.c[4] = v_set((T)(-s[0] * (s[8] != 0 ? root : 1) / (1 - whole_power(s[1], step))));
            c.c[5] = v_set((T)(s[8] != 0 ? 1 : 1 / root));
        }
        if (s[6] != 0)
            optimizer_span(a, t, i, end, 3, &c, adam_amsgrad_update);
        else
            optimizer_span(a, t, i, end, 2, &c, adam_update);
    }
}

/* --- RMSprop. settings: lr, alpha, eps, weight_decay, momentum, centered, maximize. states: square average, momentum buffer, average ---
 * v = alpha v + (1 - alpha) g²; centered: ḡ += (1 - alpha)(g - ḡ), d = √(v - ḡ²) + eps, else d = √v + eps;
 * without momentum w -= lr g / d, with it b = momentum b + g / d; w -= lr b.
 * c: 1 alpha, 2 1 - alpha, 3 eps, 4 -lr, 5 momentum. flag: 1 centered. */
FNN_INLINE void rmsprop_update(Update *u, const Coefficients *c)
{
    V g = decayed(u, c), spread;
    u->s[0] = v_fma(v_mul(c->c[2], g), g, v_mul(c->c[1], u->s[0]));
    if (c->flag[1]) {
        u->s[2] = v_fma(c->c[2], v_sub(g, u->s[2]), u->s[2]);
        spread = v_fnma(u->s[2], u->s[2], u->s[0]);
    } else {
        spread = u->s[0];
    }
    u->s[1] = v_fma(c->c[5], u->s[1], v_div(g, v_add(v_sqrt(spread), c->c[3])));
    u->w = v_fma(c->c[4], u->s[1], u->w);
}

KERNEL(rmsprop_step, optimizer)
{
    const double *s = a->settings;
    Coefficients c = {.c = {v_set((T)s[3]), v_set((T)s[1]), v_set((T)(1 - s[1])), v_set((T)s[2]), v_set((T)-s[0]), v_set((T)s[4])},
                      .flag = {s[6] != 0, s[5] != 0, 0}};
    FOR_EACH_SPAN(a, t, i, end) optimizer_span(a, t, i, end, 3, &c, rmsprop_update);
}

/* --- Adagrad. settings: lr, lr_decay, weight_decay, eps, maximize. state: sum ---
 * sum += g²; w -= lr / (1 + (t - 1) lr_decay) g / (√sum + eps). c: 1 -lr / …, 2 eps. */
FNN_INLINE void adagrad_update(Update *u, const Coefficients *c)
{
    V g = decayed(u, c);
    u->s[0] = v_fma(g, g, u->s[0]);
    u->w = v_fma(c->c[1], v_div(g, v_add(v_sqrt(u->s[0]), c->c[2])), u->w);
}

KERNEL(adagrad_step, optimizer)
{
    const double *s = a->settings;
    Coefficients c = {.c = {v_set((T)s[2]), v_zero(), v_set((T)s[3])}, .flag = {s[4] != 0, 0, 0}};
    FOR_EACH_SPAN(a, t, i, end) {
        c.c[1] = v_set((T)(-s[0] / (1 + (*a->steps[t] - 1) * s[1])));
        optimizer_span(a, t, i, end, 1, &c, adagrad_update);
    }
}
