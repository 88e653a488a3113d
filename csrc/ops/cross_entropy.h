/* cross_entropy.h — softmax and cross-entropy in one, and the negative log-likelihood, for input (outer, n, inner) with n classes.
 *
 * For each position (outer, inner) with logits x and target probabilities p, top = max(x) and sum = sum of exp(x - top):
 *
 *     loss = -sum over c of p[c] log_softmax(x)[c] = log(sum) mass + cross,   mass = sum of p[c],   cross = -sum of p[c] (x[c] - top)
 *     dx[c] = dy (mass exp(x[c] - top) / sum - p[c])
 *     p[c] = weight[c] ((1 - smoothing) q[c] + smoothing / n)
 *
 * q is 1 at the label, or the given probabilities. Both summands of the loss are >= 0, so nothing cancels. Forward saves top, sum and mass of
 * each position; backward is one pass. A label that is ignore_index has loss and gradient 0; one out of range (callers check) gives NaN.
 *
 * Positions are cut into chunks of LOSS_ROWS (of one outer index, where inner > 1), whatever the shares. A chunk's logarithms are taken together,
 * its losses and label weights are summed over the virtual lanes, and the chunks' sums by loss_total. inner = 1: rows and columns as in softmax.h;
 * the chunk's narrow rows become columns of a block in scratch memory, where inner is LOSS_ROWS. */
enum { LOSS_ROWS = 64 };

typedef struct Chunk {
    size_t outer, first, count; /* positions first .. first + count along inner; for inner = 1 along outer */
    size_t at;                  /* the first one's index among all positions */
} Chunk;

FNN_INLINE size_t loss_chunks(size_t outer, size_t inner)
{
    return inner == 1 ? (outer + LOSS_ROWS - 1) / LOSS_ROWS : outer * ((inner + LOSS_ROWS - 1) / LOSS_ROWS);
}

FNN_INLINE Chunk loss_chunk(size_t i, size_t outer, size_t inner)
{
    size_t along = inner == 1 ? outer : inner, blocks = (along + LOSS_ROWS - 1) / LOSS_ROWS;
    Chunk c = {i / blocks, i % blocks * LOSS_ROWS, LOSS_ROWS, 0};
    if (along - c.first < LOSS_ROWS) c.count = along - c.first;
    c.at = c.outer * inner + c.first; /* inner = 1: c.outer is 0 */
    return c;
}

/* A chunk's rows of n <= NARROW elements as columns, LOSS_ROWS apart, and back. */
FNN_INLINE void chunk_columns(T *y, const T *x, size_t n, size_t count)
{
    for (size_t i = 0; i < count; i += W) columns_of_rows(y + i, LOSS_ROWS, x + i * n, n, count - i < W ? count - i : W);
}
FNN_INLINE void chunk_rows(T *y, const T *x, size_t n, size_t count)
{
    for (size_t i = 0; i < count; i += W) rows_of_columns(y + i * n, x + i, LOSS_ROWS, n, count - i < W ? count - i : W);
}

/* ---- target probabilities, vector by vector ---- */

/* p[c] for one vector: w ((1 - smoothing) q + smooth); without probabilities the labels' share is left out. */
FNN_INLINE V class_target(const T *q, V w, size_t left, V keep, V smooth)
{
    return v_mul(w, q ? v_fma(keep, load_upto(q, left), smooth) : smooth);
}

/* mass and cross of a row. Where labels are the target, a p of 0 hides an x of -inf. */
FNN_INLINE void row_cross(T *mass, T *cross, const T *x, const T *q, const T *weight, size_t n, V top, V keep, V smooth)
{
    Lanes all_mass = lanes_zero(), all_cross = all_mass;
    for (size_t first = 0; first < n; first += LANE_BLOCK) {
        size_t i = first, last = n - first < LANE_BLOCK ? n : first + LANE_BLOCK;
        Lanes m = lanes_zero(), s = m;
        while (i < last)
            for (int k = 0; k < LANE_VECTORS; k++, i += W) {
                if (i >= last) break;
                size_t left = last - i;
                V p = first_or(class_target(q ? q + i : q, weight_at(weight, i, left), left, keep, smooth), left, v_zero());
                V term = v_mul(p, v_sub(top, load_upto(x + i, left)));
                if (!q) term = v_select(v_eq(p, v_zero()), p, term);
                m.v[k] = v_add(m.v[k], p);
                s.v[k] = v_add(s.v[k], first_or(term, left, v_zero()));
            }
        all_mass = lanes_add(all_mass, m), all_cross = lanes_add(all_cross, s);
    }
    *mass = lanes_sum(all_mass), *cross = lanes_sum(all_cross);
}

FNN_INLINE void column_cross(T *mass, T *cross, const T *x, const T *q, const T *weight, size_t n, size_t inner, size_t width,
                             V top, V keep, V smooth)
{
    V all_mass = v_zero(), all_cross = all_mass;
    for (size_t first = 0; first < n; first += ROW_BLOCK) {
        size_t last = n - first < ROW_BLOCK ? n : first + ROW_BLOCK;
        V m = v_zero(), s = m;
        for (size_t i = first; i < last; i++) {
            V p = class_target(q ? q + i * inner : q, v_set(weight ? weight[i] : 1), width, keep, smooth);
            V term = v_mul(p, v_sub(top, load_upto(x + i * inner, width)));
            if (!q) term = v_select(v_eq(p, v_zero()), p, term);
            m = v_add(m, p), s = v_add(s, term);
        }
        all_mass = v_add(all_mass, m), all_cross = v_add(all_cross, s);
    }
    store_upto(mass, all_mass, width), store_upto(cross, all_cross, width);
}

/* ---- cross-entropy ---- */

FNN_INLINE void cross_entropy_chunk(const fnn_cross_entropy_args *a, Chunk c, T *cross, T *counts)
{
    size_t n = a->n, inner = a->inner;
    T *tops = (T *)a->top + c.at, *sums = (T *)a->sum + c.at, *mass = (T *)a->mass + c.at;
    const T *weight = (const T *)a->weight, *q = (const T *)a->target;
    const T *x = (const T *)a->input + c.outer * n * inner + c.first * (inner == 1 ? n : 1);
    const int64_t *labels = (const int64_t *)a->labels;
    T keep = (T)(1 - a->smoothing), smooth = (T)(a->smoothing / (double)n);
    int dense = q || smooth != 0; /* whether p has more than the label's element */
    if (q) q += x - (const T *)a->input;
    if (labels) labels += c.at;
    _Alignas(64) T x_block[NARROW * LOSS_ROWS], q_block[NARROW * LOSS_ROWS];
    if (inner == 1 && n <= NARROW) {
        chunk_columns(x_block, x, n, c.count);
        if (q) chunk_columns(q_block, q, n, c.count);
        x = x_block, q = q ? q_block : NULL, inner = LOSS_ROWS;
    }
    ptrdiff_t step = inner == 1 ? (ptrdiff_t)n : 1; /* from one position to the next */

    /* pass 1: top, sum and what the target's dense part adds */
    size_t group = inner == 1 ? group_rows(n) : W;
    for (size_t i = 0; i < c.count; i += group) {
        size_t width = c.count - i < group ? c.count - i : group;
        const T *xi = x + (ptrdiff_t)i * step, *qi = q ? q + (ptrdiff_t)i * step : q;
        if (inner == 1) {
            rows_exp_sum(sums + i, tops + i, NULL, xi, n, width, 0, 0);
            for (size_t r = 0; r < width; r++) {
                mass[i + r] = cross[i + r] = 0;
                if (dense) row_cross(mass + i + r, cross + i + r, xi + r * n, qi ? qi + r * n : qi, weight, n, v_set(tops[i + r]), v_set(keep), v_set(smooth));
            }
        } else {
            V top, sum = column_exp_sum(&top, NULL, xi, n, inner, width, 0, 0);
            store_upto(tops + i, top, width), store_upto(sums + i, sum, width);
            store_upto(mass + i, v_zero(), width), store_upto(cross + i, v_zero(), width);
            if (dense) column_cross(mass + i, cross + i, xi, qi, weight, n, inner, width, top, v_set(keep), v_set(smooth));
        }
    }

    /* pass 2: the labels' share */
    for (size_t i = 0; i < c.count; i++) {
        counts[i] = 0;
        if (!labels) continue;
        if (labels[i] == a->ignore_index) {
            mass[i] = cross[i] = 0;
        } else if (labels[i] < 0 || (uint64_t)labels[i] >= n) {
            mass[i] = cross[i] = (T)NAN;
        } else {
            T w = weight ? weight[labels[i]] : 1, share = keep * w;
            counts[i] = w;
            mass[i] += share;
            if (share != 0) cross[i] += share * (tops[i] - x[(ptrdiff_t)i * step + labels[i] * (ptrdiff_t)inner]);
        }
    }
}

KERNEL(cross_entropy_forward, cross_entropy)
{
    size_t i, end, chunks = loss_chunks(a->outer, a->inner);
    T *sums = (T *)a->sums;
    fnn_share(chunks, 1, part, parts, &i, &end);
    for (; i < end; i++) {
        T losses[LOSS_ROWS], counts[LOSS_ROWS];
        Chunk c = loss_chunk(i, a->outer, a->inner);
        cross_entropy_chunk(a, c, losses, counts);
        for (size_t k = 0; k < c.count; k += W) {
            size_t left = c.count - k;
            V mass = load_upto((T *)a->mass + c.at + k, left), cross = load_upto(losses + k, left);
            V loss = v_fma(v_log(load_upto((T *)a->sum + c.at + k, left)), mass, cross);
            if (a->labels) loss = v_select(v_eq(mass, v_zero()), cross, loss);
            store_upto(losses + k, loss, left);
        }
        if (a->losses) memcpy((T *)a->losses + c.at, losses, c.count * sizeof(T));
        sums[i] = row_sum(losses, c.count), sums[chunks + i] = row_sum(counts, c.count);
    }
    if (parts == 1) add_chunks((T *)a->value, sums, sums + chunks, chunks, a->divisor);
}

/* Every position's dy where none are given: the loss' own over what its sum was divided by. */
FNN_INLINE T common_dy(const fnn_cross_entropy_backward_args *a)
{
    T count = ((const T *)a->value)[1];
    return a->dy == NULL && count != 0 ? (T)a->scale / count : 0;
}

/* dx of a chunk from its x and q; all three are rows for inner = 1, else columns. dx may be x. */
static void cross_entropy_gradient(const fnn_cross_entropy_backward_args *a, Chunk c, T *dx, const T *x, const T *q, size_t inner)
{
    size_t n = a->n, next = inner == 1 ? n : 1, length = inner == 1 ? n : n * inner, step = inner == 1 ? W : inner;
    const T *tops = (const T *)a->top + c.at, *sums = (const T *)a->sum + c.at, *masses = (const T *)a->mass + c.at;
    const T *weight = (const T *)a->weight, *dy = a->dy ? (const T *)a->dy + c.at : NULL;
    const int64_t *labels = a->labels ? (const int64_t *)a->labels + c.at : NULL;
    T common = common_dy(a), keep = (T)(1 - a->smoothing), smooth = (T)(a->smoothing / (double)n);
    for (size_t k = 0; k < c.count; k += inner == 1 ? 1 : W) { /* one row, or W columns */
        size_t width = c.count - k < W ? c.count - k : W, from = k * next;
        V g, scale, top, zero = v_zero();
        M dead = m_first(0); /* positions whose label is ignored or weighs nothing */
        if (inner == 1) {
            T d = dy ? dy[k] : common;
            g = v_set(d), top = v_set(tops[k]), scale = v_set(d * masses[k] / sums[k]);
            if (labels && masses[k] == 0) dead = m_first(W);
        } else {
            V mass = load_upto(masses + k, width);
            g = dy ? load_upto(dy + k, width) : v_set(common), top = load_upto(tops + k, width);
            scale = v_div(v_mul(g, mass), load_upto(sums + k, width));
            if (labels) dead = v_eq(mass, zero);
        }
        for (size_t l = 0; l < length; l += step) {
            size_t left = inner == 1 ? n - l : width;
            V d = v_mul(scale, v_exp(v_sub(load_upto(x + from + l, left), top)));
            if (q || smooth != 0) {
                V w = inner == 1 ? weight_at(weight, l, left) : v_set(weight ? weight[l / inner] : 1);
                d = v_fnma(g, class_target(q ? q + from + l : NULL, w, left, v_set(keep), v_set(smooth)), d);
            }
            store_upto(dx + from + l, v_select(dead, zero, d), left);
        }
    }
    for (size_t k = 0; labels && k < c.count; k++) { /* the labels' share */
        int64_t label = labels[k];
        if (masses[k] != 0 && label >= 0 && (uint64_t)label < n)
            dx[k * next + (size_t)label * inner] -= (dy ? dy[k] : common) * (keep * (weight ? weight[label] : 1));
    }
}

KERNEL(cross_entropy_backward, cross_entropy_backward)
{
    size_t i, end, n = a->n, inner = a->inner;
    fnn_share(loss_chunks(a->outer, inner), 1, part, parts, &i, &end);
    for (; i < end; i++) {
        Chunk c = loss_chunk(i, a->outer, inner);
        size_t at = c.outer * n * inner + c.first * (inner == 1 ? n : 1);
        const T *x = (const T *)a->input + at, *q = a->target ? (const T *)a->target + at : NULL;
        T *dx = (T *)a->dinput + at;
        _Alignas(64) T x_block[NARROW * LOSS_ROWS], q_block[NARROW * LOSS_ROWS];
        if (inner == 1 && n <= NARROW) {
            chunk_columns(x_block, x, n, c.count);
            if (q) chunk_columns(q_block, q, n, c.count);
            cross_entropy_gradient(a, c, x_block, x_block, q ? q_block : NULL, LOSS_ROWS);
            chunk_rows(dx, x_block, n, c.count);
        } else {
            cross_entropy_gradient(a, c, dx, x, q, inner);
        }
    }
}

/* ---- negative log-likelihood: -weight[t] x[t] for the label t ---- */

KERNEL(nll_loss_forward, cross_entropy)
{
    size_t i, end, n = a->n, inner = a->inner, chunks = loss_chunks(a->outer, inner);
    const T *weight = (const T *)a->weight;
    T *sums = (T *)a->sums;
    fnn_share(chunks, 1, part, parts, &i, &end);
    for (; i < end; i++) {
        T losses[LOSS_ROWS], counts[LOSS_ROWS];
        Chunk c = loss_chunk(i, a->outer, inner);
        const T *x = (const T *)a->input + c.outer * n * inner + c.first * (inner == 1 ? n : 1);
        for (size_t k = 0; k < c.count; k++, x += inner == 1 ? n : 1) {
            int64_t label = ((const int64_t *)a->labels)[c.at + k];
            int known = label >= 0 && (uint64_t)label < n;
            T w = label == a->ignore_index ? 0 : !known ? (T)NAN : weight ? weight[label] : 1;
            counts[k] = w;
            losses[k] = w == 0 && label == a->ignore_index ? 0 : -w * (known ? x[(size_t)label * inner] : 0);
        }
        if (a->losses) memcpy((T *)a->losses + c.at, losses, c.count * sizeof(T));
        sums[i] = row_sum(losses, c.count), sums[chunks + i] = row_sum(counts, c.count);
    }
    if (parts == 1) add_chunks((T *)a->value, sums, sums + chunks, chunks, a->divisor);
}

KERNEL(nll_loss_backward, cross_entropy_backward)
{
    size_t i, end, n = a->n, inner = a->inner;
    const T *weight = (const T *)a->weight, *dy = (const T *)a->dy;
    T common = common_dy(a);
    fnn_share(loss_chunks(a->outer, inner), 1, part, parts, &i, &end);
    for (; i < end; i++) {
        Chunk c = loss_chunk(i, a->outer, inner);
        T *dx = (T *)a->dinput + c.outer * n * inner + c.first * (inner == 1 ? n : 1);
        for (size_t l = 0; l < (inner == 1 ? 1 : n); l++)
            memset(dx + l * inner, 0, c.count * (inner == 1 ? n : 1) * sizeof(T));
        for (size_t k = 0; k < c.count; k++, dx += inner == 1 ? n : 1) {
            int64_t label = ((const int64_t *)a->labels)[c.at + k];
            if (label == a->ignore_index || label < 0 || (uint64_t)label >= n) continue;
            dx[(size_t)label * inner] = -(weight ? weight[label] : 1) * (dy ? dy[c.at + k] : common);
        }
    }
}
