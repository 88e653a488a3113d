/* block.h — attention's pieces on one block of scores: up to ATTENTION_BLOCK queries against as many keys.
 *
 * A block is stored by keys, s[key ATTENTION_BLOCK + query], so vector lanes run over queries. A query's largest score and its sum are then chains of
 * its own lane, with no fold across lanes and the same on every instruction set, and all products of forward and backward read their operands as
 * gemm/tile.h likes them, without packing: queries and dy are transposed once for a block of queries.
 *
 * 64 x 64: a block takes 16 or 32 KB and stays in L1 or close to it between product, softmax and product; 64 queries are whole tiles' vectors on
 * all instruction sets; and no more than half a block of the products is wasted at the diagonal of a causal mask. Other sizes would give
 * other bits along the keys, so it is one constant for all. */
enum { ATTENTION_BLOCK = 64 };

/* One head, and the scratch memory of a share; (E, D): the last dimensions of q and v. */
typedef struct attention_head {
    const fnn_attention_args *a;
    const T *q, *k, *v;
    const char *mask, *padding;
    size_t first;                           /* the head's first row, counted through batch and heads */
    T *scores, *grads, *factors;            /* blocks */
    T *mask_rows, *mask_columns;            /* blocks */
    T *q_rows, *q_columns, *k_rows, *dq;    /* ATTENTION_BLOCK x E, q_columns E x ATTENTION_BLOCK */
    T *dy_rows, *dy_columns, *v_rows;       /* the same with D; forward has its sums of v in dy_rows */
} attention_head;

static attention_head attention_head_of(const fnn_attention_args *a, size_t head, size_t part)
{
    const ptrdiff_t b = (ptrdiff_t)(head / a->heads), h = (ptrdiff_t)(head % a->heads);
    const size_t e = ATTENTION_BLOCK * a->dim, d = ATTENTION_BLOCK * a->v_dim, block = ATTENTION_BLOCK * ATTENTION_BLOCK;
    attention_head t = {.a = a, .first = head * a->length};
    t.q = (const T *)a->q + b * a->q_stride[0] + h * a->q_stride[1];
    t.k = (const T *)a->k + b * a->k_stride[0] + h * a->k_stride[1];
    t.v = a->v ? (const T *)a->v + b * a->v_stride[0] + h * a->v_stride[1] : NULL;
    t.mask = a->mask ? (const char *)a->mask + (b * a->mask_stride[0] + h * a->mask_stride[1]) * (a->mask_bytes ? 1 : (ptrdiff_t)sizeof(T)) : NULL;
    t.padding = a->padding ? (const char *)a->padding + b * a->padding_stride[0] * (a->padding_bytes ? 1 : (ptrdiff_t)sizeof(T)) : NULL;
    t.scores = (T *)a->scratch + part * (4 * e + 3 * d + 5 * block);
    t.grads = t.scores + block, t.factors = t.grads + block, t.mask_rows = t.factors + block, t.mask_columns = t.mask_rows + block;
    t.q_rows = t.mask_columns + block, t.q_columns = t.q_rows + e, t.k_rows = t.q_columns + e, t.dq = t.k_rows + e;
    t.dy_rows = t.dq + e, t.dy_columns = t.dy_rows + d, t.v_rows = t.dy_columns + d;
    return t;
}

/* C (+)= A B for m x n x k, elements of A at a[i a_row + p a_col] with one of the two 1, rows of B and C contiguous. Nonzero if it was interrupted. */
static int attention_product(T *c, ptrdiff_t c_row, const T *a, ptrdiff_t a_row, ptrdiff_t a_col, const T *b, ptrdiff_t b_row, size_t m, size_t n, size_t k, int add)
{
    const gemm_task g = {
        .c = c, .a = a, .b = b, .c_row = c_row, .c_col = 1, .a_row = a_row, .a_col = a_col, .b_row = b_row, .b_col = 1, .m = m, .n = n, .k = k,
        .asks = 1, .mc = m, .tile_rows = TILE_ROWS, .kc = k ? k : 1, .nc = n, .rows_first = n * k * sizeof(T) <= 16384, .alpha_a = 1, .alpha_b = 1, .beta = (T)add,
    };
    return m && n ? gemm_product(&g) : 0;
}

/* Rows as C-ordered ones: themselves, or a copy. Rows far apart, as those of one head among others are, would share a few sets of L1. */
static const T *attention_rows(T *copy, const T *x, ptrdiff_t row, size_t rows, size_t cols)
{
    if (row == (ptrdiff_t)cols) return x;
    for (size_t i = 0; i < rows; i++) span_copy(copy + i * cols, x + (ptrdiff_t)i * row, (ptrdiff_t)cols);
    return copy;
}

/* to[j ATTENTION_BLOCK + i] = s x[i row + j]; the lanes from `rows` to the next whole vector get values of no meaning. */
static void attention_transpose(T *to, const T *x, ptrdiff_t row, size_t rows, size_t cols, T s)
{
    if (rows % W) memset(to, 0, cols * ATTENTION_BLOCK * sizeof(T));
    for (size_t i = 0; i < rows; i += W) pack_transpose(to + i, ATTENTION_BLOCK, x + (ptrdiff_t)i * row, row, rows - i < W ? rows - i : W, cols, s);
}

/* A mask's element as what is added to a score: a byte other than 0 forbids. */
TILE_APART T attention_mask_at(const char *mask, int bytes, ptrdiff_t at)
{
    return bytes ? (mask[at] ? -(T)INFINITY : 0) : ((const T *)mask)[at];
}

/* The mask added to the scores of queries i0 … and keys j0 …: a block of it is transposed on the way. Bytes side by side are read as vectors, masks with
 * other strides along the keys one by one. */
static void attention_add_mask(const attention_head *t, size_t i0, size_t rows, size_t j0, size_t cols)
{
    const int bytes = t->a->mask_bytes;
    const ptrdiff_t row = t->a->mask_stride[2], col = t->a->mask_stride[3], first = (ptrdiff_t)i0 * row + (ptrdiff_t)j0 * col;
    if (!bytes && col == 1) {
        attention_transpose(t->mask_columns, (const T *)t->mask + first, row, rows, cols, 1);
    } else {
        for (size_t i = 0; i < rows; i++) {
            const ptrdiff_t at = first + (ptrdiff_t)i * row;
            T *to = t->mask_rows + i * ATTENTION_BLOCK;
            size_t j = 0;
            for (; bytes && col == 1 && j + W <= cols; j += W)
                v_store(to + j, v_select(v_eq(v_load_bytes((const uint8_t *)t->mask + at + j), v_zero()), v_zero(), v_set(-(T)INFINITY)));
            for (; j < cols; j++) to[j] = attention_mask_at(t->mask, bytes, at + (ptrdiff_t)j * col);
        }
        attention_transpose(t->mask_columns, t->mask_rows, ATTENTION_BLOCK, rows, cols, 1);
    }
    for (size_t j = 0; j < cols; j++) span_add(t->scores + j * ATTENTION_BLOCK, t->mask_columns + j * ATTENTION_BLOCK, (ptrdiff_t)rows);
}

/* The scores of queries i0 … (in q_columns, scaled) against keys j0 … (rows of k), masked. Nonzero if it was interrupted. */
static int attention_scores(const attention_head *t, const T *k, size_t i0, size_t rows, size_t j0, size_t cols)
{
    const fnn_attention_args *a = t->a;
    const size_t width = (rows + W - 1) / W * W;
    T *s = t->scores;
    if (attention_product(s, ATTENTION_BLOCK, k, (ptrdiff_t)a->dim, 1, t->q_columns, ATTENTION_BLOCK, cols, width, a->dim, 0)) return 1;
    if (t->mask) attention_add_mask(t, i0, rows, j0, cols);
    for (size_t j = 0; j < cols && t->padding; j++) {
        const V add = v_set(attention_mask_at(t->padding, a->padding_bytes, (ptrdiff_t)(j0 + j) * a->padding_stride[1]));
        for (size_t i = 0; i < width; i += W) v_store(s + j * ATTENTION_BLOCK + i, v_add(v_load(s + j * ATTENTION_BLOCK + i), add));
    }
    for (size_t j = 0; j < cols && a->causal; j++) { /* query i may look at keys up to i */
        const size_t before = j0 + j > i0 ? j0 + j - i0 : 0;
        span_fill(s + j * ATTENTION_BLOCK, -(T)INFINITY, (ptrdiff_t)(before < width ? before : width));
    }
    return 0;
}

/* exp(x) for x <= 0, but 0 where it would be subnormal: beside a largest term of 1 that changes no sum. */
FNN_INLINE V attention_exp(V x)
{
    const V least = v_set(EXP_NORMAL);
    return v_select(v_lt(x, least), v_zero(), exp_ordinary(v_max(least, x)));
}

/* What scores are lowered by: the largest one, or 0 where all are -inf. EXP_TINY keeps subnormal numbers out of exp's products. */
FNN_INLINE V attention_shift(V top) { return v_sub(v_select(v_eq(top, v_set(-(T)INFINITY)), v_zero(), top), v_set(EXP_TINY)); }

/* s = exp(s - top) with each query's top raised to its largest score of this block; factors: what sums that were made with the old tops are to be
 * multiplied by; totals: the sums of exp(s - top) so far. Four chains for each query, key by key in turn. */
static void attention_softmax(T *s, T *tops, T *totals, T *factors, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i += W) {
        const V before = v_load(tops + i);
        V top[4] = {before, before, before, before}, sum[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
        size_t j = 0;
        for (; j + 4 <= cols; j += 4)
            for (size_t c = 0; c < 4; c++) top[c] = v_max(v_load(s + (j + c) * ATTENTION_BLOCK + i), top[c]);
        for (; j < cols; j++) top[0] = v_max(v_load(s + j * ATTENTION_BLOCK + i), top[0]);
        top[0] = v_max(v_max(top[0], top[2]), v_max(top[1], top[3]));
        const V shift = attention_shift(top[0]), factor = attention_exp(v_sub(before, shift));
        for (j = 0; j + 4 <= cols; j += 4) {
            V e[4];
            for (size_t c = 0; c < 4; c++) e[c] = attention_exp(v_sub(v_load(s + (j + c) * ATTENTION_BLOCK + i), shift));
            for (size_t c = 0; c < 4; c++) v_store(s + (j + c) * ATTENTION_BLOCK + i, e[c]), sum[c] = v_add(sum[c], e[c]);
        }
        for (; j < cols; j++) {
            const V e = attention_exp(v_sub(v_load(s + j * ATTENTION_BLOCK + i), shift));
            v_store(s + j * ATTENTION_BLOCK + i, e), sum[0] = v_add(sum[0], e);
        }
        v_store(tops + i, top[0]), v_store(factors + i, factor);
        v_store(totals + i, v_fma(v_load(totals + i), factor, v_add(v_add(sum[0], sum[2]), v_add(sum[1], sum[3]))));
    }
}

/* The weights exp(s - top) / total, from shifts and 1 / total of each query. */
static void attention_weights(T *s, const T *shifts, const T *inverses, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i += W) {
        const V shift = v_load(shifts + i), inverse = v_load(inverses + i);
        for (size_t j = 0; j < cols; j++) {
            T *p = s + j * ATTENTION_BLOCK + i;
            v_store(p, v_mul(attention_exp(v_sub(v_load(p), shift)), inverse));
        }
    }
}

/* 1 / total; 0 for a row in which nothing is allowed. */
FNN_INLINE T attention_inverse(T total) { return total == 0 ? 0 : 1 / total; }

/* Shifts and inverses of `rows` queries from what forward saved; zeros up to the block's end. */
static void attention_load_saved(T *shifts, T *inverses, const attention_head *t, size_t i0, size_t rows)
{
    const T *top = (const T *)t->a->saved_top + t->first + i0, *total = (const T *)t->a->saved_total + t->first + i0;
    for (size_t i = 0; i < ATTENTION_BLOCK; i++) shifts[i] = i < rows ? top[i] : 0, inverses[i] = i < rows ? attention_inverse(total[i]) : 0;
    for (size_t i = 0; i < ATTENTION_BLOCK; i += W) v_store(shifts + i, attention_shift(v_load(shifts + i)));
}

/* x *= y, blocks. */
static void attention_multiply(T *x, const T *y, size_t rows, size_t cols)
{
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < rows; i += W) v_store(x + j * ATTENTION_BLOCK + i, v_mul(v_load(x + j * ATTENTION_BLOCK + i), v_load(y + j * ATTENTION_BLOCK + i)));
}

/* Dropout's factors of a block, as ops/dropout.h draws them: row i of all heads' rows has the words from 4 i ceil(keys / 4) on. Lanes run over
 * queries here too, so a vector of Philox blocks has four neighbouring keys of each. */
static void attention_factors(const attention_head *t, size_t i0, size_t rows, size_t j0, size_t cols)
{
    const fnn_attention_args *a = t->a;
    const uint64_t seed = a->state ? a->state[0] : a->seed, stream = a->state ? a->state[1] : a->stream, quads = a->keys / 4 + (a->keys % 4 != 0);
    const T kept = (T)a->kept;
    uint64_t number[ATTENTION_BLOCK], low[ATTENTION_BLOCK], high[ATTENTION_BLOCK];
    for (size_t j = 0; j < cols; j += 4) {
        T *f = t->factors + j * ATTENTION_BLOCK;
        for (size_t i = 0; i < ATTENTION_BLOCK; i++) number[i] = (t->first + i0 + i) * quads + (j0 + j) / 4;
        for (size_t i = 0; i < rows; i += UW) philox_blocks(low + i, high + i, u_load(number + i), stream, seed);
        for (size_t i = 0; i < rows; i++) { /* a block has room for the keys beyond cols */
            f[i] = (low[i] & 0xffffffffu) >= a->threshold ? kept : 0;
            f[ATTENTION_BLOCK + i] = (low[i] >> 32) >= a->threshold ? kept : 0;
            f[2 * ATTENTION_BLOCK + i] = (high[i] & 0xffffffffu) >= a->threshold ? kept : 0;
            f[3 * ATTENTION_BLOCK + i] = (high[i] >> 32) >= a->threshold ? kept : 0;
        }
    }
}
