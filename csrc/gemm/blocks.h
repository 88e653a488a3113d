/* blocks.h — block sizes of the matrix product for every instruction set, and the plan of one product: who packs what, and which share
 * of C is whose. The kernels and fnn_gemm_scratch() read both from here, so they agree on the scratch memory.
 *
 * None of this touches the result's bits: every element is one chain over k, whatever the blocks. */
#ifndef FNN_GEMM_BLOCKS_H
#define FNN_GEMM_BLOCKS_H

#include "../fnn.h"
#include "../inline.h"

enum { FNN_GEMM_WIDEST = 8 };  /* vectors in the widest tile, one of few rows */

typedef struct fnn_gemm_blocks {
    size_t lanes;   /* numbers in a vector */
    size_t rows;    /* rows of the largest tile */
    size_t cols;    /* columns of the largest tile */
    size_t mc;      /* rows of a packed block of A */
    size_t kc;      /* steps of k in a block */
    size_t nc;      /* columns of a packed block of B: kc x nc takes half of L2 */
} fnn_gemm_blocks;

static const fnn_gemm_blocks fnn_gemm_block_sizes[FNN_ISAS][FNN_DTYPES] = {
    [FNN_SCALAR] = {{1, 4, 4, 64, 256, 1024}, {1, 4, 4, 64, 256, 1024}},
    [FNN_AVX2] = {{8, 6, 16, 1008, 256, 320}, {4, 6, 8, 1008, 256, 160}},
    [FNN_AVX512] = {{16, 9, 48, 2304, 512, 240}, {8, 9, 24, 576, 256, 240}},
    [FNN_NEON] = {{4, 6, 16, 120, 256, 2048}, {2, 6, 8, 120, 256, 1024}},
};

typedef struct fnn_gemm_plan {
    int swap;                               /* compute the transpose of C = B^T A^T; all fields below are in swapped terms */
    int pack_a, pack_b;                     /* neither where B came packed */
    int rows_first;                         /* tiles run along rows of C, not down its columns */
    size_t m, n;                            /* of the whole C */
    size_t batch_parts, m_parts, n_parts;   /* the grid of shares */
    size_t m_grain, n_grain;                /* where shares may be cut */
    size_t mc, kc, nc;
    size_t a_size, b_size;                  /* packed elements per share */
} fnn_gemm_plan;

FNN_INLINE size_t fnn_gemm_ceil(size_t n, size_t d)
{
    return n / d + (n % d != 0);
}

/* The size of blocks that cut n evenly into as few pieces of at most `most` as possible, a multiple of `grain`. */
FNN_INLINE size_t fnn_gemm_even(size_t n, size_t most, size_t grain)
{
    if (n <= most)
        return n;
    return fnn_gemm_ceil(fnn_gemm_ceil(n, fnn_gemm_ceil(n, most)), grain) * grain;
}

/* Steps of k in a block. */
FNN_INLINE size_t fnn_gemm_kc(size_t k, const fnn_gemm_blocks *s)
{
    return k ? fnn_gemm_even(k, s->kc, 8) : 1;
}

/* Cut batch x m x n into `parts` shares: the factorisation whose largest share costs least. A share's cost is its area plus its
 * edges, because every share reads (and perhaps packs) its own rows of A and columns of B. */
static inline void fnn_gemm_grid(fnn_gemm_plan *p, size_t batch, size_t parts)
{
    double best = 0;
    for (size_t i = parts; i >= 1; --i) {
        if (parts % i)
            continue;
        for (size_t j = 1; j <= parts / i; ++j) {
            if (parts / i % j)
                continue;
            size_t l = parts / i / j;
            double rows = (double)(fnn_gemm_ceil(fnn_gemm_ceil(p->m, p->m_grain), j) * p->m_grain);
            double cols = (double)(fnn_gemm_ceil(fnn_gemm_ceil(p->n, p->n_grain), l) * p->n_grain);
            double cost = (double)fnn_gemm_ceil(batch, i) * (rows * cols + 4 * (rows + cols));
            if (best == 0 || cost < best) {
                best = cost;
                p->batch_parts = i, p->m_parts = j, p->n_parts = l;
            }
        }
    }
}

/* Cost, in multiply-add vectors, of the tiles for m x n x k, given the strides of the operand read as vectors. */
FNN_INLINE double fnn_gemm_cost(const fnn_gemm_blocks *s, size_t m, size_t n, size_t k, ptrdiff_t b_col, int scatter)
{
    double cost = (double)m * (double)fnn_gemm_ceil(n, s->lanes) * (double)k;
    if (b_col != 1 && n > 1)
        cost += (double)n * (double)k * 0.5;
    if (scatter)
        cost += (double)m * (double)n * 4;
    return cost;
}

/* Whether rows so far apart meet in one set of L1. */
FNN_INLINE int fnn_gemm_aliased(ptrdiff_t row, size_t size)
{
    return (size_t)row * size % 4096 == 0;
}

/* m, n, k >= 1 but k may be 0. `size` is that of an element. Inlined, so that the divisions by block sizes become multiplications: the
 * plan is made anew for every product, and small ones last less than 100 ns. */
FNN_INLINE fnn_gemm_plan fnn_gemm_make_plan(const fnn_gemm_args *a, const fnn_gemm_blocks *s, size_t size, size_t parts)
{
    fnn_gemm_plan p = {0};
    ptrdiff_t a_row = a->a_row, a_col = a->a_col, b_col = a->b_col;
    p.m = a->m, p.n = a->n;
    p.kc = fnn_gemm_kc(a->k, s);

    /* 1. which operand is read as vectors: B, or with swapped roles A */
    double straight = fnn_gemm_cost(s, a->m, a->n, a->k, a->b_col, a->c_col != 1 && a->n > 1);
    double swapped = fnn_gemm_cost(s, a->n, a->m, a->k, a->a_row, a->c_row != 1 && a->m > 1);
    p.swap = swapped < straight && !a->b_packed;
    if (p.swap) {
        p.m = a->n, p.n = a->m;
        a_row = a->b_col, a_col = a->b_row, b_col = a->a_row;
    }

    /* 2. shares */
    size_t m = p.m, n = p.n;
    p.m_grain = p.m < 4 * s->rows ? 1 : s->rows;
    p.n_grain = a->b_packed ? s->cols : s->lanes;
    p.batch_parts = p.m_parts = p.n_parts = 1;
    if (parts > 1) {
        fnn_gemm_grid(&p, a->batch, parts);
        m = fnn_gemm_ceil(fnn_gemm_ceil(m, p.m_grain), p.m_parts) * p.m_grain;
        n = fnn_gemm_ceil(fnn_gemm_ceil(n, p.n_grain), p.n_parts) * p.n_grain;
    }

    /* 3. packing: where the strides or alpha demand it, and where the reuse pays for it. B's vectors seldom are whole cache lines in the user's
     * array; A's numbers do not mind, and its contiguous rows are read where they are for long, since what is packed is in the caches twice,
     * but not where they meet in one set. */
    p.pack_a = !(a_row == 1 || a_col == 1 || p.m == 1 || a->k <= 1);
    p.pack_b = !(b_col == 1 || p.n == 1 || a->b_packed);
    if (a->alpha != 1)
        *(p.swap ? &p.pack_b : &p.pack_a) = 1;
    if (n >= 16 * s->lanes && m * a->k * size > (size_t)(a_col != 1 ? 32768 : fnn_gemm_aliased(a_row, size) ? 524288 : 8388608))
        p.pack_a = 1;
    if (m > 4 * s->rows && n * a->k * size > 131072 && !a->b_packed)
        p.pack_b = 1;

    /* 4. order: C is written row by row where a tile of A can be reused from L1, or a block of B fits there whole, or a panel of it does not;
     * or where C has long rows */
    p.rows_first = p.pack_a || (!p.pack_b && n * p.kc * size <= 16384) || (m > 4 * s->rows && n * size >= 4096)
        || (m > (p.pack_b ? 16 : 4) * s->rows && p.kc * s->cols * size >= 24576);

    /* 5. blocks */
    p.mc = fnn_gemm_even(m, s->mc, s->rows);
    p.nc = fnn_gemm_even(n, s->nc, s->cols);
    p.a_size = p.pack_a ? p.mc * p.kc + s->lanes : 0;
    p.b_size = p.pack_b ? (p.rows_first ? fnn_gemm_ceil(p.nc, s->lanes) : FNN_GEMM_WIDEST) * s->lanes * p.kc : 0;
    p.a_size = fnn_gemm_ceil(p.a_size, 16) * 16;
    p.b_size = fnn_gemm_ceil(p.b_size, 16) * 16;
    return p;
}

#endif
