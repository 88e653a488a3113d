/* elementwise.h — y = f(a, b) over up to four axes with any strides (0 where an operand is broadcast), copies, and the sums over
 * axes that undo a broadcast in backward.
 *
 * The elements count in C order and shares are ranges of them. A row (the last axis) goes in pieces of PIECE elements: operands
 * that do not lie side by side are gathered into a buffer first, so that f always sees whole vectors. */
enum { PIECE = 64 };

/* x[0], x[stride] … as n <= PIECE neighbours: x itself or `buffer`. */
FNN_INLINE const T *gathered(const T *x, ptrdiff_t stride, size_t n, T *buffer)
{
    if (stride == 1) return x;
    for (size_t i = 0; i < n; i++) buffer[i] = x[(ptrdiff_t)i * stride];
    return buffer;
}

/* y may be a or b where it has their strides. */
FNN_INLINE void strided_row(T *y, const T *a, const T *b, size_t n, ptrdiff_t ys, ptrdiff_t as, ptrdiff_t bs, V (*f)(V, V))
{
    T y_buffer[PIECE], a_buffer[PIECE], b_buffer[PIECE];
    for (size_t first = 0; first < n; first += PIECE) {
        size_t m = n - first < PIECE ? n - first : PIECE, i = 0;
        const T *p = gathered(a + (ptrdiff_t)first * as, as, m, a_buffer), *q = gathered(b + (ptrdiff_t)first * bs, bs, m, b_buffer);
        T *r = y + (ptrdiff_t)first * ys, *s = ys == 1 ? r : y_buffer;
        for (; i + W <= m; i += W) v_store(s + i, f(v_load(p + i), v_load(q + i)));
        if (i < m) v_store_n(s + i, f(v_load_n(p + i, m - i), v_load_n(q + i, m - i)), m - i);
        if (s != r)
            for (i = 0; i < m; i++) r[(ptrdiff_t)i * ys] = s[i];
    }
}

/* y[i ys] = x[i xs]. They do not overlap. */
FNN_INLINE void copy_row(T *y, const T *x, size_t n, ptrdiff_t ys, ptrdiff_t xs)
{
    if (ys == 1 && xs == 1) span_copy(y, x, (ptrdiff_t)n);
    else if (ys == 1 && xs == 2) /* vectors of every other element, by the compiler */
        for (size_t i = 0; i < n; i++) y[i] = x[2 * i];
    else
        for (size_t i = 0; i < n; i++) y[(ptrdiff_t)i * ys] = x[(ptrdiff_t)i * xs];
}

/* The offset of the row at this index along the first three axes. */
FNN_INLINE ptrdiff_t row_offset(const ptrdiff_t *stride, const size_t *index)
{
    return (ptrdiff_t)index[0] * stride[0] + (ptrdiff_t)index[1] * stride[1] + (ptrdiff_t)index[2] * stride[2];
}

FNN_INLINE void strided_rows(const fnn_strided_args *a, size_t part, size_t parts,
                             void (*f)(T *, const T *, const T *, size_t, ptrdiff_t, ptrdiff_t, ptrdiff_t))
{
    size_t cols = a->shape[3], i, end;
    ptrdiff_t ys = a->y_stride[3], as = a->a_stride[3], bs = a->b_stride[3];
    fnn_share(a->shape[0] * a->shape[1] * a->shape[2] * cols, MAP_GRAIN, part, parts, &i, &end);
    if (i == end) return;
    Place row = place_of(i / cols, a->shape);
    for (size_t j = i % cols; i < end; j = 0) {
        size_t n = cols - j < end - i ? cols - j : end - i;
        ptrdiff_t at = (ptrdiff_t)j;
        f((T *)a->y + row_offset(a->y_stride, row.at) + at * ys, (const T *)a->a + row_offset(a->a_stride, row.at) + at * as,
          (const T *)a->b + row_offset(a->b_stride, row.at) + at * bs, n, ys, as, bs);
        place_next(&row, a->shape);
        i += n;
    }
}

FNN_INLINE void add_row(T *y, const T *a, const T *b, size_t n, ptrdiff_t ys, ptrdiff_t as, ptrdiff_t bs) { strided_row(y, a, b, n, ys, as, bs, v_add); }
FNN_INLINE void multiply_row(T *y, const T *a, const T *b, size_t n, ptrdiff_t ys, ptrdiff_t as, ptrdiff_t bs) { strided_row(y, a, b, n, ys, as, bs, v_mul); }
FNN_INLINE void copy_first_row(T *y, const T *a, const T *b, size_t n, ptrdiff_t ys, ptrdiff_t as, ptrdiff_t bs)
{
    (void)b, (void)bs;
    copy_row(y, a, n, ys, as);
}

KERNEL(add, strided) { strided_rows(a, part, parts, add_row); }
KERNEL(multiply, strided) { strided_rows(a, part, parts, multiply_row); }
KERNEL(copy, strided) { strided_rows(a, part, parts, copy_first_row); } /* b is a */

FNN_INLINE V scaled(V x, V p, V q)
{
    (void)q;
    return v_mul(x, p);
}

MAP(scale, scaled)

/* y[o, j] (+)= sum over i of x[o, i, j]. y: outer x inner; x: outer x n x inner, both C-ordered. One row is one row_sum; else
 * strips of columns go down the rows in blocks, as in sum_rows.h. */
KERNEL(sum_axis, sum_axis)
{
    size_t inner = a->inner, strips = inner / LANES + (inner % LANES != 0), k, end;
    fnn_share(a->outer * strips, 1, part, parts, &k, &end);
    for (; k < end; k++) {
        size_t o = k / strips, j = k % strips * LANES, n = inner - j < LANES ? inner - j : LANES;
        const T *x = (const T *)a->x + o * a->n * inner + j;
        T *y = (T *)a->y + o * inner + j;
        if (inner == 1) {
            T total = row_sum(x, a->n);
            *y = a->accumulate ? *y + total : total;
            continue;
        }
        Sum sum = sum_zero();
        for (size_t i = 0; i < a->n; i++) {
            sum.block = lanes_add(sum.block, strip_load(x + i * inner, n));
            sum_next(&sum);
        }
        strip_add(y, sum_end(&sum), n, a->accumulate);
    }
}
