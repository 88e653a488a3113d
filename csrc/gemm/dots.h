/* dots.h — a few rows of C where B is stored by columns: a sample times a transposed weight, or a matrix times a vector.
 *
 * Each element is the dot product of a row of A with a column of B, both contiguous, but its chain over k must not be split among lanes.
 * So lanes run over columns: LANES columns of B are transposed in registers and used at once, a cache line of every column at a time (AVX-512) or
 * TILE_BLOCK steps of k. Lines are read once that way: columns 4 KiB apart are in each other's way in L1. Slower were, on AVX-512: TILE_BLOCK steps
 * at a time, with half the shuffles (up to 1.4 times, at 784 x 128), two vectors of columns at a time, prefetching the next columns.
 * With more than DOTS_ROWS rows it is cheaper to store the transposed panel (pack.h) and run tiles over it.
 * The whole of k in one go; columns in whole vectors, the caller does the rest. */
enum { DOTS_ROWS = 4 };

/* t: as for a tile, but element (p, j) of B is b[p + j b_step], element (i, p) of A is a[i a_step + p a_col]. */
FNN_INLINE void dots_run(const tile_args *t, ptrdiff_t a_col, const int rows)
{
    ptrdiff_t step = t->b_step, step3 = 3 * step, a_step = t->a_step;
    const tile_real *a = t->a;
    tile_vec sum[DOTS_ROWS];
    size_t p = 0;
    TILE_OPAQUE(step3);
    TILE_UNROLL for (int r = 0; r < rows; ++r) {
        sum[r] = t->start == TILE_START_ZERO ? tile_zero() : tile_load(t->c + r * t->c_step);
        if (t->start == TILE_START_SCALED)
            sum[r] = tile_mul(tile_set1(t->beta), sum[r]);
    }

#ifdef TILE_LINE
    for (; p + TILE_LINE <= t->k; p += TILE_LINE) {
        const tile_real *column = t->b + p;
        tile_vec x[TILE_LINE];
        TILE_UNROLL for (int j = 0; j < TILE_LINE; ++j, column += step)
            x[j] = tile_load(column);
        tile_lines(x);
        TILE_UNROLL for (int q = 0; q < TILE_LINE; ++q) {
            TILE_UNROLL for (int r = 0; r < rows; ++r)
                sum[r] = tile_fma(tile_set1(a[r * a_step]), x[q], sum[r]);
            a += a_col;
            TILE_OPAQUE(a);
        }
    }
#endif
    for (; p + TILE_BLOCK <= t->k; p += TILE_BLOCK) {
        const tile_real *b0 = t->b + p, *b4 = b0 + 4 * step, *b8 = b0 + 8 * step, *b12 = b8 + 4 * step;
        tile_vec x[TILE_BLOCK];
        TILE_OPAQUE(b0);
        TILE_OPAQUE(b4);
        TILE_OPAQUE(b8);
        TILE_OPAQUE(b12);
        (void)b4, (void)b8, (void)b12;
#define DOTS_COLUMN(r) (((r) < 4 ? b0 : (r) < 8 ? b4 : (r) < 12 ? b8 : b12) + ((r) % 4 == 3 ? step3 : (r) % 4 * step))
        TILE_TRANSPOSE(x, DOTS_COLUMN);
#undef DOTS_COLUMN
        TILE_UNROLL for (int q = 0; q < TILE_BLOCK; ++q) {
            TILE_UNROLL for (int r = 0; r < rows; ++r)
                sum[r] = tile_fma(tile_set1(a[r * a_step]), x[q], sum[r]);
            a += a_col;
            TILE_OPAQUE(a);
        }
    }
    /* tail */
    for (; p < t->k; ++p, a += a_col) {
        tile_real x[TILE_LANES];
        for (int j = 0; j < TILE_LANES; ++j)
            x[j] = t->b[j * step + (ptrdiff_t)p];
        TILE_UNROLL for (int r = 0; r < rows; ++r)
            sum[r] = tile_fma(tile_set1(a[r * a_step]), tile_load(x), sum[r]);
    }

    TILE_UNROLL for (int r = 0; r < rows; ++r) {
        const tile_real *bias = t->bias + r * t->bias_step;
        if (t->bias_kind)
            sum[r] = tile_add(sum[r], t->bias_kind == TILE_BIAS_VECTOR ? tile_load(bias) : tile_set1(*bias));
        tile_store(t->c + r * t->c_step, sum[r]);
    }
}

/* One vector of columns. Not inlined: its loops need all registers. */
TILE_APART void dots(const tile_args *t, ptrdiff_t a_col, size_t rows)
{
    if (rows == 1)
        dots_run(t, a_col, 1);
    else if (rows == 2)
        dots_run(t, a_col, 2);
    else if (rows == 3)
        dots_run(t, a_col, 3);
    else
        dots_run(t, a_col, 4);
}
