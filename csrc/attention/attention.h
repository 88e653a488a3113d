/* attention.h — scaled dot-product attention, y = dropout(softmax(scale q k^T + masks)) v for every head, and its derivative.
 *
 * Only a block of scores exists at a time (block.h), as in Dao et al., FlashAttention, 2022:
 *
 *   forward   for each head and block of queries: for the blocks of keys in ascending order, scores; raise each query's largest score `top`, multiply its
 *             sums by exp(old top - top); total += sum(exp(s - top)), y += exp(s - top) v. At the end y / total. top and total are saved
 *   backward  for each head: for blocks of queries, for blocks of keys: p = exp(s - top) / total again, and with g = dy v^T, delta = dy . y
 *                 dv += p^T dy,   ds = p (g - delta),   dk += ds^T (scale q),   dq += ds k
 *
 * top and total apart, where others save top + log(total): the weights are then forward's to the last bit but one, however large the scores.
 * A share of forward has blocks of queries, one of backward whole heads: it then makes five products for a block where one pass for dq and another for dk
 * and dv would make seven. Every sum has its terms in ascending order whatever the shares. With a causal mask the blocks of keys that
 * no query may look at are left out.
 *
 * A query that may look at no key has y = 0 and no gradients. A NaN in a row of q makes that row of y NaN; one in k or v every row that
 * it is multiplied for, with weight 0 too. */
#include "block.h"

/* How many of the keys the queries i0 … i0 + rows - 1 may look at. */
static size_t attention_reach(const fnn_attention_args *a, size_t i0, size_t rows)
{
    return a->causal && i0 + rows < a->keys ? i0 + rows : a->keys;
}

FNN_INLINE size_t attention_upto(size_t n, size_t from) { return n - from < ATTENTION_BLOCK ? n - from : ATTENTION_BLOCK; }

KERNEL(scaled_dot_product_attention_forward, attention)
{
    const size_t blocks = fnn_gemm_ceil(a->length, ATTENTION_BLOCK), d = a->v_dim;
    size_t unit, last;
    fnn_share(a->batch * a->heads * blocks, 1, part, parts, &unit, &last);
    for (; unit < last; unit++) {
        const size_t head = unit / blocks, i0 = unit % blocks * ATTENTION_BLOCK, rows = attention_upto(a->length, i0), reach = attention_reach(a, i0, rows);
        const attention_head t = attention_head_of(a, head, part);
        T tops[ATTENTION_BLOCK], totals[ATTENTION_BLOCK] = {0}, factors[ATTENTION_BLOCK], *sums = t.dy_rows;
        for (size_t i = 0; i < ATTENTION_BLOCK; i++) tops[i] = -(T)INFINITY;
        attention_transpose(t.q_columns, t.q + (ptrdiff_t)i0 * a->q_stride[2], a->q_stride[2], rows, a->dim, (T)a->scale);
        for (size_t j0 = 0, cols; j0 < reach; j0 += cols) {
            cols = attention_upto(reach, j0);
            const T *k = attention_rows(t.k_rows, t.k + (ptrdiff_t)j0 * a->k_stride[2], a->k_stride[2], cols, a->dim);
            const T *v = attention_rows(t.v_rows, t.v + (ptrdiff_t)j0 * a->v_stride[2], a->v_stride[2], cols, d);
            if (attention_scores(&t, k, i0, rows, j0, cols)) return;
            attention_softmax(t.scores, tops, totals, factors, rows, cols);
            if (a->threshold) {
                attention_factors(&t, i0, rows, j0, cols);
                attention_multiply(t.scores, t.factors, rows, cols);
            }
            for (size_t i = 0; i < rows && j0; i++)
                if (factors[i] != 1) span_scaled(sums + i * d, sums + i * d, factors[i], (ptrdiff_t)d, 0);
            if (attention_product(sums, (ptrdiff_t)d, t.scores, 1, ATTENTION_BLOCK, v, (ptrdiff_t)d, rows, d, cols, j0 != 0)) return;
        }
        if (!reach) memset(sums, 0, rows * d * sizeof(T));
        const size_t b = head / a->heads, h = head % a->heads;
        T *y = (T *)a->y + (ptrdiff_t)b * a->y_stride[0] + (ptrdiff_t)h * a->y_stride[1] + (ptrdiff_t)i0 * a->y_stride[2];
        for (size_t i = 0; i < rows; i++) span_scaled(y + (ptrdiff_t)i * a->y_stride[2], sums + i * d, attention_inverse(totals[i]), (ptrdiff_t)d, 0);
        memcpy((T *)a->top + t.first + i0, tops, rows * sizeof(T));
        memcpy((T *)a->total + t.first + i0, totals, rows * sizeof(T));
    }
}

/* ds = p (g - delta), over g. */
static void attention_score_gradients(T *g, const T *p, const T *deltas, size_t rows, size_t cols)
{
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < rows; i += W) {
            T *to = g + j * ATTENTION_BLOCK + i;
            v_store(to, v_mul(v_load(p + j * ATTENTION_BLOCK + i), v_sub(v_load(to), v_load(deltas + i))));
        }
}

KERNEL(scaled_dot_product_attention_backward, attention)
{
    const size_t e = a->dim, d = a->v_dim;
    const ptrdiff_t q_row = a->q_stride[2], dk_row = a->dk_stride[2], dv_row = a->dv_stride[2];
    size_t head, last;
    fnn_share(a->batch * a->heads, 1, part, parts, &head, &last);
    for (; head < last; head++) {
        const attention_head t = attention_head_of(a, head, part);
        const ptrdiff_t b = (ptrdiff_t)(head / a->heads), h = (ptrdiff_t)(head % a->heads);
        const T *dy = (const T *)a->dy + b * a->dy_stride[0] + h * a->dy_stride[1], *y = (const T *)a->saved_y + b * a->y_stride[0] + h * a->y_stride[1];
        T *dq = (T *)a->dq + b * a->dq_stride[0] + h * a->dq_stride[1];
        T *dk = (T *)a->dk + b * a->dk_stride[0] + h * a->dk_stride[1], *dv = (T *)a->dv + b * a->dv_stride[0] + h * a->dv_stride[1];
        for (size_t j = 0; j < a->keys; j++) {
            memset(dk + (ptrdiff_t)j * dk_row, 0, e * sizeof(T));
            memset(dv + (ptrdiff_t)j * dv_row, 0, d * sizeof(T));
        }
        for (size_t i0 = 0, rows; i0 < a->length; i0 += rows) {
            T shifts[ATTENTION_BLOCK], inverses[ATTENTION_BLOCK], deltas[ATTENTION_BLOCK] = {0};
            rows = attention_upto(a->length, i0);
            const size_t reach = attention_reach(a, i0, rows);
            const T *g = attention_rows(t.dy_rows, dy + (ptrdiff_t)i0 * a->dy_stride[2], a->dy_stride[2], rows, d);
            attention_transpose(t.dy_columns, g, (ptrdiff_t)d, rows, d, 1);
            for (size_t i = 0; i < rows; i++) {
                deltas[i] = row_dot(g + i * d, y + (ptrdiff_t)(i0 + i) * a->y_stride[2], d);
                span_scaled(t.q_rows + i * e, t.q + (ptrdiff_t)(i0 + i) * q_row, (T)a->scale, (ptrdiff_t)e, 0);
            }
            attention_transpose(t.q_columns, t.q_rows, (ptrdiff_t)e, rows, e, 1);
            attention_load_saved(shifts, inverses, &t, i0, rows);
            for (size_t j0 = 0, cols; j0 < reach; j0 += cols) {
                cols = attention_upto(reach, j0);
                const T *k = attention_rows(t.k_rows, t.k + (ptrdiff_t)j0 * a->k_stride[2], a->k_stride[2], cols, e);
                const T *v = attention_rows(t.v_rows, t.v + (ptrdiff_t)j0 * a->v_stride[2], a->v_stride[2], cols, d), *p = t.scores;
                if (attention_scores(&t, k, i0, rows, j0, cols)) return;
                attention_weights(t.scores, shifts, inverses, rows, cols);
                if (attention_product(t.grads, ATTENTION_BLOCK, v, (ptrdiff_t)d, 1, t.dy_columns, ATTENTION_BLOCK, cols, fnn_gemm_ceil(rows, W) * W, d, 0)) return;
                if (a->threshold) {
                    attention_factors(&t, i0, rows, j0, cols);
                    attention_multiply(t.grads, t.factors, rows, cols);
                    attention_multiply(t.factors, t.scores, rows, cols);
                    p = t.factors;
                }
                if (attention_product(dv + (ptrdiff_t)j0 * dv_row, dv_row, p, ATTENTION_BLOCK, 1, g, (ptrdiff_t)d, cols, d, rows, 1)) return;
                attention_score_gradients(t.grads, t.scores, deltas, rows, cols);
                if (attention_product(dk + (ptrdiff_t)j0 * dk_row, dk_row, t.grads, ATTENTION_BLOCK, 1, t.q_rows, (ptrdiff_t)e, cols, e, rows, 1)) return;
                if (attention_product(t.dq, (ptrdiff_t)e, t.grads, 1, ATTENTION_BLOCK, k, (ptrdiff_t)e, rows, e, cols, j0 != 0)) return;
            }
            if (!reach) memset(t.dq, 0, rows * e * sizeof(T));
            for (size_t i = 0; i < rows; i++) span_scaled(dq + (ptrdiff_t)(i0 + i) * a->dq_stride[2], t.dq + i * e, (T)a->scale, (ptrdiff_t)e, 0);
        }
    }
}

/* The weights that y was made with, dropout included: heads x length x keys, C-ordered. */
KERNEL(scaled_dot_product_attention_weights, attention)
{
    const size_t blocks = fnn_gemm_ceil(a->length, ATTENTION_BLOCK);
    size_t unit, last;
    fnn_share(a->batch * a->heads * blocks, 1, part, parts, &unit, &last);
    for (; unit < last; unit++) {
        const size_t i0 = unit % blocks * ATTENTION_BLOCK, rows = attention_upto(a->length, i0), reach = attention_reach(a, i0, rows);
        const attention_head t = attention_head_of(a, unit / blocks, part);
        T shifts[ATTENTION_BLOCK], inverses[ATTENTION_BLOCK], *weights = (T *)a->weights + (t.first + i0) * a->keys;
        attention_transpose(t.q_columns, t.q + (ptrdiff_t)i0 * a->q_stride[2], a->q_stride[2], rows, a->dim, (T)a->scale);
        attention_load_saved(shifts, inverses, &t, i0, rows);
        for (size_t j0 = 0, cols; j0 < reach; j0 += cols) {
            cols = attention_upto(reach, j0);
            const T *k = attention_rows(t.k_rows, t.k + (ptrdiff_t)j0 * a->k_stride[2], a->k_stride[2], cols, a->dim);
            if (attention_scores(&t, k, i0, rows, j0, cols)) return;
            attention_weights(t.scores, shifts, inverses, rows, cols);
            if (a->threshold) {
                attention_factors(&t, i0, rows, j0, cols);
                attention_multiply(t.scores, t.factors, rows, cols);
            }
            attention_transpose(t.grads, t.scores, ATTENTION_BLOCK, cols, rows, 1);
            for (size_t i = 0; i < rows; i++) span_copy(weights + i * a->keys + j0, t.grads + i * ATTENTION_BLOCK, (ptrdiff_t)cols);
        }
        for (size_t i = 0; i < rows; i++) memset(weights + i * a->keys + reach, 0, (a->keys - reach) * sizeof(T));
    }
}
