/* margin.h — losses of rows of n classes: multi-class and multi-label margins.
 *
 *     multi_margin             sum over i != t of weight[t] max(0, margin - x[t] + x[i])^p / n for the label t; p is 1 or 2
 *     multilabel_margin        sum over labels t and classes i that are no label of max(0, 1 - (x[t] - x[i])) / n; labels end at the first -1
 *     multilabel_soft_margin   sum over i of the binary cross-entropy with logits / n
 *
 * Shares own whole rows; a row's terms are summed over the virtual lanes, its labels' sums in ascending order, and the rows' losses as in loss.h. */

/* What the terms of a row are made of. dx, member: or NULL. */
typedef struct Terms {
    const T *x, *t, *weight, *member;
    T *dx;
    V base, p, scale;
} Terms;

/* The sum of term(c, i, left) over i in [0, n), W of them at a time. */
FNN_INLINE T terms_sum(const Terms *c, size_t n, V (*term)(const Terms *, size_t, size_t))
{
    Lanes total = lanes_zero();
    for (size_t first = 0; first < n; first += LANE_BLOCK) {
        size_t i = first, last = n - first < LANE_BLOCK ? n : first + LANE_BLOCK;
        Lanes block = lanes_zero();
        while (i < last)
            for (int k = 0; k < LANE_VECTORS; k++, i += W) {
                if (i >= last) break;
                block.v[k] = v_add(block.v[k], first_or(term(c, i, last - i), last - i, v_zero()));
            }
        total = lanes_add(total, block);
    }
    return lanes_sum(total);
}

/* 1 for z > 0, else 0; NaN for NaN. */
FNN_INLINE V is_above(V z) { return v_select(v_gt(z, v_zero()), v_set(1), v_select(v_isnan(z), z, v_zero())); }

/* max(0, z)^p with z = base + x; with dx its derivative times scale, written there. */
FNN_INLINE V hinge_term(const Terms *c, size_t i, size_t left)
{
    V z = v_add(c->base, load_upto(c->x + i, left)), r = ramp(z), d = is_above(z);
    M squared = v_eq(c->p, v_set(2));
    if (!c->dx) return v_select(squared, v_mul(r, r), r);
    d = v_mul(c->scale, v_select(squared, v_mul(d, v_add(z, z)), d));
    store_upto(c->dx + i, d, left);
    return d;
}
FNN_SHARED T hinge_sum(const Terms *c, size_t n) { return terms_sum(c, n, hinge_term); }

/* max(0, z) where i is no label; with dx its derivative times scale, added there. */
FNN_INLINE V label_term(const Terms *c, size_t i, size_t left)
{
    V z = v_add(c->base, load_upto(c->x + i, left));
    M other = v_eq(load_upto(c->member + i, left), v_zero());
    if (!c->dx) return v_select(other, ramp(z), v_zero());
    V d = v_select(other, v_mul(c->scale, is_above(z)), v_zero());
    store_upto(c->dx + i, v_add(load_upto(c->dx + i, left), d), left);
    return d;
}
FNN_SHARED T label_sum(const Terms *c, size_t n) { return terms_sum(c, n, label_term); }

FNN_INLINE V soft_term(const Terms *c, size_t i, size_t left)
{
    V x = load_upto(c->x + i, left), t = load_upto(c->t + i, left), w = weight_at(c->weight, i, left), one = v_set(1);
    if (!c->dx) return binary_cross_entropy_with_logits(x, t, w, one, one);
    V d = v_mul(c->scale, binary_cross_entropy_with_logits_derivative(x, t, w, one, one));
    store_upto(c->dx + i, d, left);
    return d;
}
FNN_SHARED T soft_sum(const Terms *c, size_t n) { return terms_sum(c, n, soft_term); }

/* Marks the labels of a row in member[0 .. n); returns how many there are. */
FNN_INLINE size_t mark_labels(T *member, const int64_t *labels, size_t n)
{
    size_t count = 0;
    memset(member, 0, n * sizeof(T));
    while (count < n && labels[count] >= 0) member[labels[count++]] = 1;
    return count;
}

/* The loss of one row, or with dx its gradient times scale. `member`: n elements of scratch memory. */
static T multi_margin_row(const void *target, const T *weight, T *member, size_t row, size_t n, double p, double margin, Terms *c)
{
    size_t label = (size_t)((const int64_t *)target)[row];
    T w = weight ? weight[label] : 1;
    Terms below = *c, above = *c;
    (void)member;
    below.base = v_set((T)margin - c->x[label]), below.p = v_set((T)p), below.scale = v_mul(c->scale, v_set(w));
    above = below, above.x += label + 1;
    if (c->dx) above.dx += label + 1;
    T sum = hinge_sum(&below, label) + hinge_sum(&above, n - label - 1);
    if (c->dx) c->dx[label] = -sum;
    return w * sum;
}

static T multilabel_margin_row(const void *target, const T *weight, T *member, size_t row, size_t n, double p, double margin, Terms *c)
{
    const int64_t *labels = (const int64_t *)target + row * n;
    size_t count = mark_labels(member, labels, n);
    T total = 0;
    (void)weight, (void)p, (void)margin;
    c->member = member;
    if (c->dx) memset(c->dx, 0, n * sizeof(T));
    for (size_t k = 0; k < count; k++) {
        c->base = v_set(1 - c->x[labels[k]]);
        T sum = label_sum(c, n);
        if (c->dx) c->dx[labels[k]] -= sum;
        total += sum;
        if (k % 16 == 15 && fnn_interrupted()) break;
    }
    return total;
}

static T multilabel_soft_margin_row(const void *target, const T *weight, T *member, size_t row, size_t n, double p, double margin, Terms *c)
{
    (void)member, (void)p, (void)margin;
    c->t = (const T *)target + row * n, c->weight = weight;
    return soft_sum(c, n);
}

typedef T (*row_loss)(const void *, const T *, T *, size_t, size_t, double, double, Terms *);

FNN_SHARED void row_losses(const fnn_row_loss_args *a, size_t part, size_t parts, row_loss loss)
{
    size_t row, end, n = a->n;
    T *losses = (T *)a->losses, *member = a->scratch ? (T *)a->scratch + part * n : NULL;
    fnn_share(a->rows, 1, part, parts, &row, &end);
    for (; row < end; row++) {
        Terms c = {.x = (const T *)a->input + row * n};
        losses[row] = loss(a->target, (const T *)a->weight, member, row, n, a->p, a->margin, &c) / (T)n;
    }
    if (parts == 1) add_chunks((T *)a->value, losses, NULL, a->rows, a->divisor);
}

FNN_SHARED void row_gradients(const fnn_row_loss_backward_args *a, size_t part, size_t parts, row_loss loss)
{
    size_t row, end, n = a->n;
    T *member = a->scratch ? (T *)a->scratch + part * n : NULL;
    fnn_share(a->rows, 1, part, parts, &row, &end);
    for (; row < end; row++) {
        T dy = a->dy ? ((const T *)a->dy)[row] : (T)a->scale;
        Terms c = {.x = (const T *)a->input + row * n, .dx = (T *)a->dinput + row * n, .scale = v_set(dy / (T)n)};
        loss(a->target, (const T *)a->weight, member, row, n, a->p, a->margin, &c);
    }
}

KERNEL(multi_margin_loss_forward, row_loss) { row_losses(a, part, parts, multi_margin_row); }
KERNEL(multi_margin_loss_backward, row_loss_backward) { row_gradients(a, part, parts, multi_margin_row); }
KERNEL(multilabel_margin_loss_forward, row_loss) { row_losses(a, part, parts, multilabel_margin_row); }
KERNEL(multilabel_margin_loss_backward, row_loss_backward) { row_gradients(a, part, parts, multilabel_margin_row); }
KERNEL(multilabel_soft_margin_loss_forward, row_loss) { row_losses(a, part, parts, multilabel_soft_margin_row); }
KERNEL(multilabel_soft_margin_loss_backward, row_loss_backward) { row_gradients(a, part, parts, multilabel_soft_margin_row); }
