/* sum_rows.h — sums over the rows of a matrix (a bias' gradient): y[j] (+)= sum over i of x[i, j].
 *
 * Vector lanes and shares run over columns, never over rows. A column is added in ascending order in blocks of ROW_BLOCK rows,
 * whose sums are added in turn: the error grows with ROW_BLOCK + rows / ROW_BLOCK roundings. Four vectors of columns
 * go down a block together, one cache line (or more) of each row. */
enum { ROW_BLOCK = 128 };

/* The sum of `rows` values of a column vector; n <= W columns of it exist. */
FNN_INLINE V column_sum(const T *x, size_t rows, size_t cols, size_t n)
{
    V total = v_zero();
    for (size_t first = 0; first < rows; first += ROW_BLOCK) {
        size_t last = rows - first < ROW_BLOCK ? rows : first + ROW_BLOCK;
        V sum = v_zero();
        for (size_t i = first; i < last; i++) sum = v_add(sum, n == W ? v_load(x + i * cols) : v_load_n(x + i * cols, n));
        total = v_add(total, sum);
    }
    return total;
}

KERNEL(sum_rows, sum_rows)
{
    size_t j, end, rows = a->rows, cols = a->cols;
    T *y = (T *)a->y;
    const T *x = (const T *)a->x;
    fnn_share(cols, MAP_GRAIN, part, parts, &j, &end);
    for (; j + 4 * W <= end; j += 4 * W) {
        V t0 = v_zero(), t1 = t0, t2 = t0, t3 = t0;
        for (size_t first = 0; first < rows; first += ROW_BLOCK) {
            size_t last = rows - first < ROW_BLOCK ? rows : first + ROW_BLOCK;
            V s0 = v_zero(), s1 = s0, s2 = s0, s3 = s0;
            for (size_t i = first; i < last; i++) {
                const T *r = x + i * cols + j;
                s0 = v_add(s0, v_load(r)), s1 = v_add(s1, v_load(r + W));
                s2 = v_add(s2, v_load(r + 2 * W)), s3 = v_add(s3, v_load(r + 3 * W));
            }
            t0 = v_add(t0, s0), t1 = v_add(t1, s1), t2 = v_add(t2, s2), t3 = v_add(t3, s3);
        }
        if (a->accumulate) {
            t0 = v_add(v_load(y + j), t0), t1 = v_add(v_load(y + j + W), t1);
            t2 = v_add(v_load(y + j + 2 * W), t2), t3 = v_add(v_load(y + j + 3 * W), t3);
        }
        v_store(y + j, t0), v_store(y + j + W, t1), v_store(y + j + 2 * W, t2), v_store(y + j + 3 * W, t3);
    }
    for (; j < end; j += W) { /* tail */
        size_t n = end - j < W ? end - j : W;
        V total = column_sum(x + j, rows, cols, n);
        v_store_n(y + j, a->accumulate ? v_add(v_load_n(y + j, n), total) : total, n);
    }
}
