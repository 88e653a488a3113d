/* dots.h — a few rows of C where B is stored by columns: a sample times a transposed weight, or a matrix times a vector.
 *
 * Each element is the dot product of a row of A with a column of B, both contiguous, but its chain over k must not be split among lanes.
 * So lanes run over columns: LANES columns of B are transposed in registers (lines.h) and used at once. On AVX-512 16 lines take 60 cycles from L2,
 * for 64 shuffles, and 80 from L3 (Zen 4). Slower, or no faster: TILE_BLOCK steps at a time, with half the shuffles; halves of lines joined by loads;
 * vectors of 8; two or four vectors of columns by turns; prefetching along the columns, or of the next ones.
 * With more than DOTS_ROWS rows it is cheaper to store the transposed panel (pack.h) and run tiles over it.
 * The whole of k in one go; 1 … LANES columns. */
enum { DOTS_ROWS = 4 };

/* t: as for a tile, but element (p, j) of B is b[p + j b_step], element (i, p) of A is a[i a_step + p a_col]; t->last columns. */
FNN_INLINE void dots_run(const tile_args *t, ptrdiff_t a_col, const int rows, const int whole)
{
    const ptrdiff_t step = t->b_step, a_step = t->a_step;
    const tile_real *a = t->a, *b = t->b;
    const size_t cols = whole ? TILE_LANES : t->last;
    const tile_mask mask = tile_mask_of(cols);
    tile_vec sum[DOTS_ROWS];
    TILE_UNROLL for (int r = 0; r < rows; ++r) {
        sum[r] = t->start == TILE_START_ZERO ? tile_zero() : tile_load_mask(t->c + r * t->c_step, mask);
        if (t->start == TILE_START_SCALED)
            sum[r] = tile_mul(tile_set1(t->beta), sum[r]);
    }

    /* up to the first whole line, then whole lines, then the rest */
    size_t k = t->k, some = lines_before(b, step, k);
    for (;;) {
        if (some) {
            tile_real x[LINES_STEPS * TILE_LANES];
            lines_read_some(x, b, step, cols, some);
            k -= some;
            b += some;
            for (size_t q = 0; q < some; ++q, a += a_col)
                TILE_UNROLL for (int r = 0; r < rows; ++r)
                    sum[r] = tile_fma(tile_set1(a[r * a_step]), tile_load(x + q * TILE_LANES), sum[r]);
        }
        for (; k >= LINES_STEPS; k -= LINES_STEPS, b += LINES_STEPS) {
            tile_vec x[LINES_STEPS];
            lines_read(x, b, step, cols, whole);
            TILE_UNROLL for (int q = 0; q < LINES_STEPS; ++q) {
                TILE_UNROLL for (int r = 0; r < rows; ++r)
                    sum[r] = tile_fma(tile_set1(a[r * a_step]), x[q], sum[r]);
                a += a_col;
                TILE_OPAQUE(a);
            }
        }
        if (!k)
            break;
        some = k;
    }

    TILE_UNROLL for (int r = 0; r < rows; ++r) {
        const tile_real *bias = t->bias + r * t->bias_step;
        if (t->bias_kind)
            sum[r] = tile_add(sum[r], t->bias_kind == TILE_BIAS_VECTOR ? tile_load_mask(bias, mask) : tile_set1(*bias));
        tile_store_mask(t->c + r * t->c_step, mask, sum[r]);
    }
}

/* Not inlined: the loops need all registers. */
#define DOTS_DEFINE(rows)                                                                                                     \
    TILE_APART void dots_##rows(const tile_args *t, ptrdiff_t a_col)                                                          \
    {                                                                                                                         \
        if (t->last == TILE_LANES)                                                                                            \
            dots_run(t, a_col, rows, 1);                                                                                      \
        else                                                                                                                  \
            dots_run(t, a_col, rows, 0);                                                                                      \
    }
DOTS_DEFINE(1)
DOTS_DEFINE(2)
DOTS_DEFINE(3)
DOTS_DEFINE(4)

/* One vector of columns. */
static void dots(const tile_args *t, ptrdiff_t a_col, size_t rows)
{
    (rows == 1 ? dots_1 : rows == 2 ? dots_2 : rows == 3 ? dots_3 : dots_4)(t, a_col);
}
