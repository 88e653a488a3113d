/* lines.h — LANES rows that lie one behind the other in memory, read side by side: transposed in registers, for packing (pack.h) and for dot
 * products (dots.h).
 *
 * On AVX-512 a cache line of every row at a time, so that a line is read once: rows 4 KiB apart are in each other's way in L1. For the same reason
 * long rows begin with what is left of their first line (lines_before); loads across two lines took twice as long there. */
#ifdef TILE_LINE
enum { LINES_STEPS = TILE_LINE };
#else
enum { LINES_STEPS = TILE_BLOCK };
#endif

/* x[q] = step q of the rows from `row` on, q < LINES_STEPS. Rows beyond `count` repeat the last; whole: there are LANES. */
FNN_INLINE void lines_read(tile_vec *x, const tile_real *row, ptrdiff_t step, size_t count, const int whole)
{
#ifdef TILE_LINE
    TILE_UNROLL for (size_t j = 0; j < TILE_LINE; ++j) {
        x[j] = tile_load(row);
        if (whole || j + 1 < count)
            row += step;
    }
    tile_lines(x);
#else
#define LINES_ROW(j) (row + (ptrdiff_t)(whole || (j) < count ? (j) : count - 1) * step)
    TILE_TRANSPOSE(x, LINES_ROW);
#undef LINES_ROW
    (void)count;
#endif
}

/* The same for 1 … LINES_STEPS steps, into memory: LANES numbers for each. */
FNN_INLINE void lines_read_some(tile_real *x, const tile_real *row, ptrdiff_t step, size_t count, size_t steps)
{
#ifdef TILE_LINE
    const tile_mask mask = tile_mask_of(steps);
    tile_vec line[TILE_LINE];
    TILE_UNROLL for (size_t j = 0; j < TILE_LINE; ++j) {
        line[j] = tile_load_mask(row, mask);
        if (j + 1 < count)
            row += step;
    }
    tile_lines(line);
    TILE_UNROLL for (size_t q = 0; q < TILE_LINE; ++q)
        tile_store(x + q * TILE_LANES, line[q]);
#else
    for (size_t j = 0; j < TILE_LANES; ++j) {
        for (size_t q = 0; q < steps; ++q)
            x[q * TILE_LANES + j] = row[q];
        if (j + 1 < count)
            row += step;
    }
#endif
}

/* The steps before the first whole line of rows of k steps; 0 where it does not matter, or the rows' lines begin at different steps. */
FNN_INLINE size_t lines_before(const tile_real *row, ptrdiff_t step, size_t k)
{
#ifdef TILE_LINE
    if (k >= 16 * TILE_LINE && step % TILE_LINE == 0)
        return (size_t)(-(uintptr_t)row / sizeof(tile_real)) % TILE_LINE;
#else
    (void)row, (void)step, (void)k;
#endif
    return 0;
}
