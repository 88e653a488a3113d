/* sweep.h — up to SWEEP_ROWS rows of C where B's rows are contiguous: a sample times a weight.
 *
 * The time is that of reading B, once. So B is read as it lies in memory, SWEEP_STEPS whole rows side by side, and what waits is C, whose few rows
 * stay in L1. A tile, with C in registers and B read down a strip of columns, meets another page with every step of k; on Cascade Lake it took
 * 1.1 to 1.6 times as long for one long row, and for two or three where B is beyond L2. Prefetching makes it slower. */
enum {
    SWEEP_ROWS = 3,
    SWEEP_STEPS = TILE_SUMS > 12 ? 8 : 4,   /* so that the numbers of A stay in registers */
    SWEEP_COLS = 4096 / sizeof(tile_real),  /* of C at a time */
};

/* Whether it is faster than tiles for m rows. */
static int sweep_pays(size_t m, size_t n, size_t k)
{
    if (m == 1)
        return n >= 12 * TILE_LANES && k >= SWEEP_STEPS;
    return m <= SWEEP_ROWS && n * sizeof(tile_real) >= 4096 && n * k * sizeof(tile_real) > 800000;
}

/* C += A B for `steps` steps of k, and a vector or, masked, less of its columns. y: A's numbers. */
FNN_INLINE void sweep_vector(tile_real *c, ptrdiff_t c_row, const tile_real *b, ptrdiff_t b_row, const tile_vec y[][SWEEP_STEPS], const int rows,
                             const int steps, const int masked, tile_mask mask)
{
    tile_vec sum[SWEEP_ROWS];
    TILE_UNROLL for (int r = 0; r < rows; ++r)
        sum[r] = masked ? tile_load_mask(c + r * c_row, mask) : tile_load(c + r * c_row);
    TILE_UNROLL for (int q = 0; q < steps; ++q) {
        const tile_vec x = masked ? tile_load_mask(b + q * b_row, mask) : tile_load(b + q * b_row);
        TILE_UNROLL for (int r = 0; r < rows; ++r)
            sum[r] = tile_fma(y[r][q], x, sum[r]);
    }
    TILE_UNROLL for (int r = 0; r < rows; ++r) {
        if (masked)
            tile_store_mask(c + r * c_row, mask, sum[r]);
        else
            tile_store(c + r * c_row, sum[r]);
    }
}

/* The same for n columns, as often as `steps` goes into k. Returns the number of steps that are left. */
FNN_INLINE size_t sweep_run(const tile_args *t, ptrdiff_t a_col, size_t n, size_t k, const int rows, const int steps)
{
    const ptrdiff_t a_row = t->a_step, b_row = t->b_step, c_row = t->c_step;
    const tile_mask mask = tile_mask_of(t->last);
    const tile_real *a = t->a + (ptrdiff_t)(t->k - k) * a_col, *b = t->b + (ptrdiff_t)(t->k - k) * b_row;
    tile_real *const c = t->c;
    for (; k >= (size_t)steps; k -= (size_t)steps, a += steps * a_col, b += steps * b_row) {
        tile_vec y[SWEEP_ROWS][SWEEP_STEPS];
        size_t j = 0;
        TILE_UNROLL for (int r = 0; r < rows; ++r)
            TILE_UNROLL for (int q = 0; q < steps; ++q)
                y[r][q] = tile_set1(a[r * a_row + q * a_col]);
        for (; j + TILE_LANES <= n; j += TILE_LANES)
            sweep_vector(c + j, c_row, b + j, b_row, y, rows, steps, 0, mask);
        if (j < n)
            sweep_vector(c + j, c_row, b + j, b_row, y, rows, steps, 1, mask);
    }
    return k;
}

#define SWEEP_DEFINE(rows)                                                                                                    \
    TILE_APART void sweep_##rows(const tile_args *t, ptrdiff_t a_col, size_t n)                                               \
    {                                                                                                                         \
        size_t k = sweep_run(t, a_col, n, t->k, rows, SWEEP_STEPS);                                                           \
        if (SWEEP_STEPS > 4)                                                                                                  \
            k = sweep_run(t, a_col, n, k, rows, 4);                                                                           \
        sweep_run(t, a_col, n, k, rows, 1);                                                                                   \
    }
SWEEP_DEFINE(1)
SWEEP_DEFINE(2)
SWEEP_DEFINE(3)

/* C = beta C before the products, or C += bias after them: rows x n of c, a few vectors. */
static void sweep_ends(const tile_args *t, size_t rows, size_t n, int before)
{
    for (size_t r = 0; r < rows; ++r) {
        tile_real *c = t->c + (ptrdiff_t)r * t->c_step;
        const tile_real *bias = t->bias + (ptrdiff_t)r * t->bias_step;
        for (size_t j = 0; j < n; ++j) {
            if (before)
                c[j] = t->start == TILE_START_ZERO ? 0 : t->beta * c[j];
            else
                c[j] += bias[t->bias_kind == TILE_BIAS_VECTOR ? j : 0];
        }
    }
}

/* All of k for `rows` rows and n <= SWEEP_COLS columns; t as for dots.h. */
static void sweep(const tile_args *t, ptrdiff_t a_col, size_t rows, size_t n)
{
    if (t->start != TILE_START_C)
        sweep_ends(t, rows, n, 1);
    if (rows == 1)
        sweep_1(t, a_col, n);
    else if (rows == 2)
        sweep_2(t, a_col, n);
    else
        sweep_3(t, a_col, n);
    if (t->bias_kind)
        sweep_ends(t, rows, n, 0);
}
