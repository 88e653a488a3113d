/* dots.h — a few rows of C where B is stored by columns: a sample times a transposed weight, or a matrix times a vector.
 *
 * Each element is the dot product of a row of A with a column of B, both contiguous, but its chain over k must not be split among lanes.
 * So lanes run over columns: LANES columns of B are transposed in registers, TILE_BLOCK steps of k at a time, and used at once.
 * Where the registers allow it, a whole cache line of every column is transposed at once: strides of 4 KiB put all columns into the same few
 * lines of L1, which would otherwise be read again and again.
 * With more than DOTS_ROWS rows it is cheaper to store the transposed panel (pack.h) and run tiles over it.
 * The whole of k in one go; columns in whole vectors, the caller does the rest. */
enum { DOTS_ROWS = 4 };

/* t: as for a tile, but element (p, j) of B is b[p + j b_step], element (i, p) of A is a[i a_step + p a_col]. */
TILE_INLINE void dots_run(const tile_args *t, ptrdiff_t a_col, const int rows, const int groups)
{
    ptrdiff_t step = t->b_step, step3 = 3 * step;
    const tile_real *a = t->a;
    tile_vec sum[DOTS_ROWS][2];
    size_t p = 0;
    TILE_OPAQUE(step3);
    TILE_UNROLL for (int r = 0; r < rows; ++r)
        TILE_UNROLL for (int g = 0; g < groups; ++g) {
            sum[r][g] = t->start == TILE_START_ZERO ? tile_zero() : tile_load(t->c + r * t->c_step + g * TILE_LANES);
            if (t->start == TILE_START_SCALED)
                sum[r][g] = tile_mul(tile_set1(t->beta), sum[r][g]);
        }

#ifdef TILE_LINE
    for (; p + TILE_LINE <= t->k; p += TILE_LINE, a += TILE_LINE * a_col)
        TILE_UNROLL for (int g = 0; g < groups; ++g) {
            const tile_real *b = t->b + g * TILE_LANES * step + (ptrdiff_t)p;
            tile_vec x[TILE_LINE];
            TILE_UNROLL for (int r = 0; r < TILE_LINE; ++r) {
                x[r] = tile_load(b);
                b += step;
                TILE_OPAQUE(b);
            }
            tile_lines(x);
            TILE_UNROLL for (int q = 0; q < TILE_LINE; ++q)
                TILE_UNROLL for (int r = 0; r < rows; ++r)
                    sum[r][g] = tile_fma(tile_set1(a[r * t->a_step + q * a_col]), x[q], sum[r][g]);
        }
#endif
    for (; p + TILE_BLOCK <= t->k; p += TILE_BLOCK) {
        TILE_UNROLL for (int g = 0; g < groups; ++g) {
            const tile_real *b0 = t->b + g * TILE_LANES * step + (ptrdiff_t)p, *b4 = b0 + 4 * step, *b8 = b0 + 8 * step, *b12 = b8 + 4 * step;
            tile_vec x[TILE_BLOCK];
            TILE_OPAQUE(b0);
            TILE_OPAQUE(b4);
            TILE_OPAQUE(b8);
            TILE_OPAQUE(b12);
            (void)b4, (void)b8, (void)b12;
#define DOTS_COLUMN(r) (((r) < 4 ? b0 : (r) < 8 ? b4 : (r) < 12 ? b8 : b12) + ((r) % 4 == 3 ? step3 : (r) % 4 * step))
            TILE_TRANSPOSE(x, DOTS_COLUMN);
#undef DOTS_COLUMN
            TILE_UNROLL for (int q = 0; q < TILE_BLOCK; ++q)
                TILE_UNROLL for (int r = 0; r < rows; ++r)
                    sum[r][g] = tile_fma(tile_set1(a[r * t->a_step + q * a_col]), x[q], sum[r][g]);
        }
        a += TILE_BLOCK * a_col;
    }
    /* tail */
    for (; p < t->k; ++p, a += a_col)
        for (int g = 0; g < groups; ++g) {
            tile_real x[TILE_LANES];
            for (int j = 0; j < TILE_LANES; ++j)
                x[j] = t->b[(g * TILE_LANES + j) * step + (ptrdiff_t)p];
            TILE_UNROLL for (int r = 0; r < rows; ++r)
                sum[r][g] = tile_fma(tile_set1(a[r * t->a_step]), tile_load(x), sum[r][g]);
        }

    TILE_UNROLL for (int r = 0; r < rows; ++r)
        TILE_UNROLL for (int g = 0; g < groups; ++g) {
            const tile_real *bias = t->bias + r * t->bias_step + g * TILE_LANES;
            if (t->bias_kind)
                sum[r][g] = tile_add(sum[r][g], t->bias_kind == TILE_BIAS_VECTOR ? tile_load(bias) : tile_set1(t->bias[r * t->bias_step]));
            tile_store(t->c + r * t->c_step + g * TILE_LANES, sum[r][g]);
        }
}

/* `groups` vectors of columns: two where that leaves registers for everything, else one. */
static void dots(const tile_args *t, ptrdiff_t a_col, size_t rows, size_t groups)
{
    if (rows == 1 && groups == 2)
        dots_run(t, a_col, 1, 2);
    else if (rows == 1)
        dots_run(t, a_col, 1, 1);
    else if (rows == 2 && groups == 2)
        dots_run(t, a_col, 2, 2);
    else if (rows == 2)
        dots_run(t, a_col, 2, 1);
    else if (rows == 3)
        dots_run(t, a_col, 3, 1);
    else
        dots_run(t, a_col, 4, 1);
}
