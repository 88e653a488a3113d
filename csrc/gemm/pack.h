/* pack.h — copying blocks of A and B into the order in which the tiles read them.
 *
 * A tile of A becomes k groups of `rows` numbers, a panel of B k groups of `width` numbers (whole vectors). Both are transposes when
 * k is the contiguous dimension: these go block-wise through registers. alpha is multiplied in here, rounded once, when it
 * is not 1. */

/* dst[p dst_step + r] = alpha src[r src_step + p] for r < count <= TILE_LANES and p < k. Writes whole vectors: up to TILE_LANES
 * numbers from each dst + p dst_step on, in ascending p, the last of them (count < TILE_LANES) unspecified. */
FNN_INLINE void pack_transpose_(tile_real *dst, ptrdiff_t dst_step, const tile_real *src, ptrdiff_t src_step, size_t count,
                                 size_t k, tile_real alpha, const int whole)
{
    const tile_vec scale = tile_set1(alpha);
    size_t some = lines_before(src, src_step, k);
    for (;;) {
        if (some) {
            tile_real x[LINES_STEPS * TILE_LANES];
            lines_read_some(x, src, src_step, count, some);
            for (size_t q = 0; q < some; ++q, dst += dst_step) {
                if (whole)
                    tile_store(dst, tile_mul(scale, tile_load(x + q * TILE_LANES)));
                for (size_t r = whole ? count : 0; r < count; ++r)
                    dst[r] = alpha * x[q * TILE_LANES + r];
            }
            k -= some;
            src += some;
        }
        for (; k >= LINES_STEPS; k -= LINES_STEPS, src += LINES_STEPS) {
            tile_vec x[LINES_STEPS];
            for (size_t r = 0; r < count && k >= 8 * LINES_STEPS; ++r)     /* long rows are far apart */
                tile_prefetch(src + 4 * LINES_STEPS + (ptrdiff_t)r * src_step);
            lines_read(x, src, src_step, count, whole);
            TILE_UNROLL for (size_t q = 0; q < LINES_STEPS; ++q, dst += dst_step)
                tile_store(dst, alpha == 1 ? x[q] : tile_mul(scale, x[q]));
        }
        if (!k)
            break;
        some = k;
    }
}

static void pack_transpose(tile_real *dst, ptrdiff_t dst_step, const tile_real *src, ptrdiff_t src_step, size_t count, size_t k,
                           tile_real alpha)
{
    if (count == 1)
        for (size_t p = 0; p < k; ++p)
            dst[(ptrdiff_t)p * dst_step] = alpha * src[p];
    else if (count == TILE_LANES)
        pack_transpose_(dst, dst_step, src, src_step, count, k, alpha, 1);
    else
        pack_transpose_(dst, dst_step, src, src_step, count, k, alpha, 0);
}

/* dst[p count + r] = alpha src[r row + p col] for r < count, p < k; where col is 1, up to TILE_LANES numbers after the last are overwritten. */
static void pack_a(tile_real *dst, const tile_real *src, ptrdiff_t row, ptrdiff_t col, size_t count, size_t k, tile_real alpha)
{
    if (col == 1) {
        /* the highest rows first: what they write too much belongs to the lower rows of the next steps */
        size_t r = (count - 1) / TILE_LANES * TILE_LANES;
        for (;; r -= TILE_LANES) {
            size_t some = count - r < TILE_LANES ? count - r : TILE_LANES;
            pack_transpose(dst + r, (ptrdiff_t)count, src + (ptrdiff_t)r * row, row, some, k, alpha);
            if (r == 0)
                break;
        }
    } else if (row == 1 && count == 8 && alpha == 1) {
        for (size_t p = 0; p < k; ++p)
            memcpy(dst + 8 * p, src + (ptrdiff_t)p * col, 8 * sizeof(tile_real));
    } else if (row == 1) {
        const tile_vec scale = tile_set1(alpha);
        const size_t whole = (count - 1) / TILE_LANES * TILE_LANES;
        const tile_mask mask = tile_mask_of(count - whole);
        for (size_t p = 0; p < k; ++p, src += col, dst += count) {
            for (size_t r = 0; r < whole; r += TILE_LANES)
                tile_store(dst + r, tile_mul(scale, tile_load(src + r)));
            tile_store_mask(dst + whole, mask, tile_mul(scale, tile_load_mask(src + whole, mask)));
        }
    } else {
        for (size_t p = 0; p < k; ++p)
            for (size_t r = 0; r < count; ++r)
                *dst++ = alpha * src[(ptrdiff_t)r * row + (ptrdiff_t)p * col];
    }
}

/* dst[p width + j] = alpha src[p row + j col] for j < count, p < k; unspecified for count <= j < width, width a multiple of TILE_LANES. */
static void pack_b(tile_real *dst, size_t width, const tile_real *src, ptrdiff_t row, ptrdiff_t col, size_t count, size_t k,
                   tile_real alpha)
{
    if (col == 1) {
        const tile_vec scale = tile_set1(alpha);
        const size_t whole = (count - 1) / TILE_LANES * TILE_LANES;
        const tile_mask mask = tile_mask_of(count - whole);
        for (size_t p = 0; p < k; ++p, src += row, dst += width) {
            for (size_t j = 0; j < whole; j += TILE_LANES)
                tile_store(dst + j, tile_mul(scale, tile_load(src + j)));
            tile_store(dst + whole, tile_mul(scale, tile_load_mask(src + whole, mask)));
        }
    } else if (row == 1) {
        for (size_t j = 0; j < count; j += TILE_LANES)
            pack_transpose(dst + j, (ptrdiff_t)width, src + (ptrdiff_t)j * col, col,
                           count - j < TILE_LANES ? count - j : TILE_LANES, k, alpha);
    } else {
        for (size_t p = 0; p < k; ++p, dst += width)
            for (size_t j = 0; j < count; ++j)
                dst[j] = alpha * src[(ptrdiff_t)p * row + (ptrdiff_t)j * col];
    }
}
