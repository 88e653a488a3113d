/* distance.h — how alike two rows are: their cosine, and the p-norm of their difference.
 *
 *     cosine = a x1·x2        d cosine / dx1 = a x2 - b1 x1,   d cosine / dx2 = a x1 - b2 x2
 *     distance = (sum |d|^p)^(1/p),  d = x1 - x2 + eps         d distance / dx1 = sign(d) (|d| / distance)^(p - 1) = -d distance / dx2
 *
 * Cosine, two ways to keep the divisor from 0: each norm no smaller than eps, a = 1 / (max(|x1|, eps) max(|x2|, eps)) and b1 = cosine / |x1|², or 0
 * where eps is the larger one; or (`added`) eps added to the squares, a = 1 / sqrt((|x1|² + eps) (|x2|² + eps)) and b1 = cosine / (|x1|² + eps).
 * Distance: p = inf is the largest |d|, whose gradient its equals share; p = 0 counts the d that are not 0 and has no gradient. Where d is 0,
 * the gradient is 0.
 *
 * Shares own whole rows; sums run over the virtual lanes. */

/* One copy of the loop: three sums for each row. */
FNN_SHARED T row_product(const T *x, const T *y, size_t n) { return row_dot(x, y, n); }

KERNEL(cosine_similarity_forward, cosine)
{
    size_t row, end, n = a->n;
    fnn_share(a->rows, 1, part, parts, &row, &end);
    for (; row < end; row++) {
        const T *x1 = (const T *)a->x1 + row * n, *x2 = (const T *)a->x2 + row * n;
        T *factors = (T *)a->factors + 3 * row, eps = (T)a->eps;
        T dot = row_product(x1, x2, n), square1 = row_product(x1, x1, n), square2 = row_product(x2, x2, n);
        if (a->added) square1 += eps, square2 += eps;
        T norm1 = (T)sqrt((double)square1), norm2 = (T)sqrt((double)square2), cosine;
        int low1 = !a->added && norm1 < eps, low2 = !a->added && norm2 < eps;
        if (low1) norm1 = eps;
        if (low2) norm2 = eps;
        cosine = dot / norm1 / norm2;
        ((T *)a->y)[row] = cosine;
        factors[0] = 1 / norm1 / norm2, factors[1] = low1 ? 0 : cosine / square1, factors[2] = low2 ? 0 : cosine / square2;
    }
}

KERNEL(cosine_similarity_backward, cosine_backward)
{
    size_t row, end, n = a->n;
    fnn_share(a->rows, 1, part, parts, &row, &end);
    for (; row < end; row++) {
        const T *x1 = (const T *)a->x1 + row * n, *x2 = (const T *)a->x2 + row * n, *factors = (const T *)a->factors + 3 * row;
        T *dx1 = (T *)a->dx1 + row * n, *dx2 = (T *)a->dx2 + row * n, dy = ((const T *)a->dy)[row];
        V cross = v_set(dy * factors[0]), own1 = v_set(dy * factors[1]), own2 = v_set(dy * factors[2]);
        for (size_t i = 0; i < n; i += W) {
            V u = load_upto(x1 + i, n - i), v = load_upto(x2 + i, n - i);
            store_upto(dx1 + i, v_fnma(own1, u, v_mul(cross, v)), n - i);
            store_upto(dx2 + i, v_fnma(own2, v, v_mul(cross, u)), n - i);
        }
    }
}

FNN_INLINE V difference(const T *x1, const T *x2, size_t i, size_t n, V eps)
{
    return v_add(v_sub(load_upto(x1 + i, n - i), load_upto(x2 + i, n - i)), eps);
}

/* What a row's loop adds up. */
typedef enum Norm { NORM_POWERS, NORM_COUNT, NORM_LARGEST } Norm;
FNN_INLINE Norm norm_of(double p) { return p == 0 ? NORM_COUNT : isinf(p) ? NORM_LARGEST : NORM_POWERS; }

/* |d|^p, or for p = 0 whether d is not 0, or for p = inf whether |d| equals `top`, in the same lanes for all. */
FNN_SHARED V norm_term(V d, V p, V top, Norm norm)
{
    V size = v_abs(d), one = v_set(1), zero = v_zero();
    if (norm == NORM_POWERS) return v_power(size, p);
    if (norm == NORM_COUNT) return v_select(v_isnan(d), d, v_select(v_eq(size, zero), zero, one));
    return v_select(v_eq(size, top), one, zero);
}

FNN_SHARED T norm_sum(const T *x1, const T *x2, size_t n, V eps, V p, V top, Norm norm)
{
    Lanes total = lanes_zero();
    for (size_t first = 0; first < n; first += LANE_BLOCK) {
        size_t i = first, last = n - first < LANE_BLOCK ? n : first + LANE_BLOCK;
        Lanes block = lanes_zero();
        while (i < last)
            for (int k = 0; k < LANE_VECTORS; k++, i += W) {
                if (i >= last) break;
                V term = norm_term(difference(x1, x2, i, last, eps), p, top, norm);
                block.v[k] = v_add(block.v[k], first_or(term, last - i, v_zero()));
            }
        total = lanes_add(total, block);
    }
    return lanes_sum(total);
}

/* The largest |d|; NaN if there is one. */
static T norm_top(const T *x1, const T *x2, size_t n, V eps)
{
    V top = v_zero(), nan = v_zero();
    for (size_t i = 0; i < n; i += W) {
        V size = first_or(v_abs(difference(x1, x2, i, n, eps)), n - i, v_zero());
        top = v_max(size, top), nan = v_select(v_isnan(size), size, nan);
    }
    return m_any(v_isnan(nan)) ? (T)NAN : v_top(top);
}

KERNEL(pairwise_distance_forward, distance)
{
    size_t row, end, n = a->n;
    Norm norm = norm_of(a->p);
    V eps = v_set((T)a->eps), p = v_set((T)a->p), root = v_set((T)(1 / a->p));
    fnn_share(a->rows, 1, part, parts, &row, &end);
    for (; row < end; row++) {
        const T *x1 = (const T *)a->x1 + row * n, *x2 = (const T *)a->x2 + row * n;
        T *y = (T *)a->y + row;
        if (norm == NORM_LARGEST) {
            *y = norm_top(x1, x2, n, eps);
        } else {
            *y = norm_sum(x1, x2, n, eps, p, p, norm);
            if (norm == NORM_POWERS) v_store_n(y, v_power(v_set(*y), root), 1);
        }
    }
}

KERNEL(pairwise_distance_backward, distance_backward)
{
    size_t row, end, n = a->n;
    Norm norm = norm_of(a->p);
    V eps = v_set((T)a->eps), zero = v_zero(), power = v_set((T)(a->p - 1));
    fnn_share(a->rows, 1, part, parts, &row, &end);
    for (; row < end; row++) {
        const T *x1 = (const T *)a->x1 + row * n, *x2 = (const T *)a->x2 + row * n;
        T *dx1 = (T *)a->dx1 + row * n, *dx2 = (T *)a->dx2 + row * n, dy = ((const T *)a->dy)[row];
        V y = v_set(((const T *)a->y)[row]);
        if (norm == NORM_COUNT) dy = 0;
        if (norm == NORM_LARGEST) dy /= norm_sum(x1, x2, n, eps, zero, y, norm);
        for (size_t i = 0; i < n; i += W) {
            V d = difference(x1, x2, i, n, eps), size = v_abs(d), slope;
            if (norm == NORM_LARGEST) slope = v_select(v_isnan(d), d, norm_term(d, zero, y, norm));
            else slope = norm == NORM_COUNT ? v_set(1) : v_power(v_div(size, y), power);
            V g = v_select(v_eq(size, zero), zero, v_mul(v_set(dy), v_mul(sign_of(d), slope)));
            store_upto(dx1 + i, g, n - i), store_upto(dx2 + i, v_neg(g), n - i);
        }
    }
}
