/* gemm.h — the matrix product, C = activation(beta C + sum over k of (alpha A[:, k]) B[k, :] + bias), any strides, batched.
 *
 * Every element of C is one chain: it starts from beta C (beta = 0: from 0, C is not read), takes fma(alpha a, b, sum) for k
 * ascending, alpha a rounded once, then one addition of the bias, then the activation. Blocks of k hand the chain on
 * through C. So the bits do not depend on blocks, tiles, packing, shares or instruction set.
 *
 * Loops (blocks.h has the sizes and decides on packing):
 *   k by kc
 *     rows of C by mc                  pack mc x kc of A, if worth it: contiguous rows are mostly read where they are
 *       columns of C by nc             pack kc x nc of B, if worth it; it stays in L2
 *         tiles of rows                one tile's rows x kc of A stay in L1
 *           panels of columns          tile.h
 *         activation of the finished rows
 * The two innermost loops change places (not `rows_first`) where one panel of columns can stay in L1 while few rows go by; B is then packed
 * panel by panel.
 * B may come packed (gemm_pack), as constant weights do: block of k after block of k, panel after panel of TILE_COLS columns.
 * Rows are split into tiles, columns into panels as evenly as possible (15 is 8 + 7). Where A has few columns to offer for vectors, or C is stored
 * by columns, the transpose is computed instead: C^T = B^T A^T. Columns of C that are not contiguous go through a tile-sized buffer. */

#define GEMM_STRING_(x) #x
#define GEMM_STRING(x) GEMM_STRING_(x)
#define GEMM_TILE_(isa) tile_##isa.h
#define GEMM_TILE(isa) GEMM_TILE_(isa)

#include "blocks.h"
#include GEMM_STRING(GEMM_TILE(FNN_ISA_NAME))
#include "tile.h"
#include "lines.h"
#include "pack.h"
#include "dots.h"
#include "sweep.h"
#include "peak.h"

enum { TILE_COLS = TILE_SUMS / TILE_ROWS * TILE_LANES };

/* One product of the batch in swapped terms: what the loops below work on. */
typedef struct gemm_task {
    tile_real *c;
    const tile_real *a, *b, *bias;
    tile_real *packed_a, *packed_b;
    ptrdiff_t c_row, c_col, a_row, a_col, b_row, b_col, bias_row, bias_col;
    size_t m, n, k, mc, kc, nc;
    size_t tile_rows;           /* of the largest tile */
    size_t first, all;          /* where B came packed: the first of the columns, and all that B has, in whole vectors */
    int pack_a, pack_b, b_packed, rows_first, through_buffer;
    int asks;                   /* whether it takes long enough to look for interrupts: the clock takes as long as a small product's tile */
    tile_real alpha_a, alpha_b, beta;
    fnn_kernel activation;
    double p, q;
} gemm_task;

/* n rows or vectors in `parts` pieces of at most `most`, as even as possible: the first `high` have low + 1, the others low. */
typedef struct gemm_cut {
    size_t parts, low, high;
} gemm_cut;

/* Inlined, and with few divisions: this runs for every tile. */
FNN_INLINE gemm_cut gemm_cut_evenly(size_t n, size_t most)
{
    if (n <= most)
        return (gemm_cut){1, n, 0};
    const uint32_t parts = ((uint32_t)n + (uint32_t)most - 1) / (uint32_t)most;
    return (gemm_cut){parts, (uint32_t)n / parts, (uint32_t)n % parts};
}

/* The tile at row i and column j of C by way of a buffer: for columns that are not contiguous, and for unusual strides of bias. */
static void gemm_buffered_tile(const gemm_task *g, tile_kernel kernel, tile_args t, size_t i, size_t j, size_t rows, size_t cols,
                               int last)
{
    tile_real buffer[TILE_SUMS * TILE_LANES];
    const size_t width = fnn_gemm_ceil(cols, TILE_LANES) * TILE_LANES;
    tile_real *c = g->c + (ptrdiff_t)i * g->c_row + (ptrdiff_t)j * g->c_col;
    if (t.start != TILE_START_ZERO)
        for (size_t r = 0; r < rows; ++r)
            for (size_t s = 0; s < cols; ++s)
                buffer[r * width + s] = c[(ptrdiff_t)r * g->c_row + (ptrdiff_t)s * g->c_col];
    t.c = buffer;
    t.c_step = (ptrdiff_t)width;
    t.bias_kind = TILE_BIAS_NONE;
    kernel(&t);
    if (last && g->bias) {
        const tile_real *bias = g->bias + (ptrdiff_t)i * g->bias_row + (ptrdiff_t)j * g->bias_col;
        for (size_t r = 0; r < rows; ++r)
            for (size_t s = 0; s < cols; ++s)
                buffer[r * width + s] += bias[(ptrdiff_t)r * g->bias_row + (ptrdiff_t)s * g->bias_col];
    }
    for (size_t r = 0; r < rows; ++r) {
        if (last && g->activation) {
            fnn_map_args map = {buffer + r * width, buffer + r * width, cols, g->p, g->q};
            g->activation(&map, 0, 1);
        }
        for (size_t s = 0; s < cols; ++s)
            c[(ptrdiff_t)r * g->c_row + (ptrdiff_t)s * g->c_col] = buffer[r * width + s];
    }
}

/* A block of A, mb x kb, tile after tile. Rows stored across (a transposed matrix) are read along the tiles, a few steps at a time; not where A
 * is a window that slides by one number, since pack_a then writes beyond its end. */
static void gemm_pack_a(const gemm_task *g, const tile_real *a, size_t mb, size_t kb)
{
    const gemm_cut tiles = gemm_cut_evenly(mb, g->tile_rows);
    const size_t step = g->a_row == 1 && g->a_col != 1 ? 8 : kb;
    for (size_t p = 0; p < kb; p += step)
        for (size_t s = 0, i = 0, rows; s < tiles.parts; ++s, i += rows) {
            rows = tiles.low + (s < tiles.high);
            pack_a(g->packed_a + i * kb + p * rows, a + (ptrdiff_t)i * g->a_row + (ptrdiff_t)p * g->a_col, g->a_row, g->a_col, rows,
                   kb - p < step ? kb - p : step, g->alpha_a);
        }
}

/* A block of B, kb x nb, in `panels` as gemm_product runs through them. Rows that are contiguous in memory are read along several panels, a
 * few at a time and the next ones fetched meanwhile: down one panel every step would be in another page. */
static void gemm_pack_b(const gemm_task *g, const tile_real *b, size_t nb, size_t kb, gemm_cut panels)
{
    const size_t step = g->b_col == 1 ? 8 : kb;
    for (size_t p = 0; p < kb; p += step) {
        for (size_t q = p + step; q < p + 2 * step && q < kb; ++q)
            for (size_t j = 0; j < nb; j += TILE_CACHE_LINE)
                tile_prefetch(b + (ptrdiff_t)q * g->b_row + (ptrdiff_t)j);
        for (size_t s = 0, j = 0, width; s < panels.parts; ++s, j += width) {
            width = (panels.low + (s < panels.high)) * TILE_LANES;
            pack_b(g->packed_b + j * kb + p * width, width, b + (ptrdiff_t)p * g->b_row + (ptrdiff_t)j * g->b_col, g->b_row, g->b_col,
                   nb - j < width ? nb - j : width, kb - p < step ? kb - p : step, g->alpha_b);
        }
    }
}

/* The activation of finished rows of C: in one span where nothing lies between them. */
static void gemm_activate(const gemm_task *g, size_t i, size_t rows, size_t j, size_t cols)
{
    tile_real *c = g->c + (ptrdiff_t)i * g->c_row + (ptrdiff_t)j;
    if (g->c_row == (ptrdiff_t)cols)
        cols *= rows, rows = 1;
    for (; rows > 0; --rows, c += g->c_row) {
        fnn_map_args map = {c, c, cols, g->p, g->q};
        g->activation(&map, 0, 1);
    }
}

/* The tiles of rows [i, i + mb) of a block and columns [j, j + cols) of C for one block of k. t has everything but what depends on
 * the tile's row. */
static void gemm_panel(const gemm_task *g, tile_args *t, const tile_real *a, int across, size_t i, size_t mb, size_t j, size_t cols,
                       size_t some, int last)
{
    const gemm_cut tiles = gemm_cut_evenly(mb, g->tile_rows);
    const tile_kernel *kernels = &tile_kernels[TILE_MASKED_INDEX(t->last)][across][0][some];
    for (size_t s = 0, r = 0, rows; s < tiles.parts; ++s, r += rows) {
        rows = tiles.low + (s < tiles.high);
        if (g->pack_a) {
            t->a = a + r * t->k;
            t->a_step = (ptrdiff_t)rows;
        } else {
            t->a = a + (ptrdiff_t)r * g->a_row;
            t->a_step = across ? g->a_col : g->a_row;
        }
        if (g->through_buffer) {
            gemm_buffered_tile(g, kernels[TILE_VECS * rows], *t, i + r, j, rows, cols, last);
            continue;
        }
        t->c = g->c + (ptrdiff_t)(i + r) * g->c_row + (ptrdiff_t)j;
        if (!g->rows_first)
            t->next = (ptrdiff_t)rows * g->c_row;
        if (t->bias_kind)
            t->bias = g->bias + (ptrdiff_t)(i + r) * g->bias_row + (ptrdiff_t)j * g->bias_col;
        kernels[TILE_VECS * rows](t);
    }
}

/* All of C without tiles, where it has few rows and the rows (sweep.h) or columns (dots.h) of B are contiguous. Returns 1, or 0 where it is another
 * case, or -1 if it was interrupted. */
static int gemm_few_rows(const gemm_task *g)
{
    const int dotted = g->b_row == 1 && g->b_col != 1 && g->m <= DOTS_ROWS;
    const int swept = g->b_col == 1 && sweep_pays(g->m, g->n, g->k);
    if (!(dotted || swept) || g->b_packed || g->alpha_a != 1 || g->alpha_b != 1 || !g->k || g->through_buffer)
        return 0;
    tile_args t = {0};
    t.a = g->a, t.a_step = g->a_row, t.b_step = swept ? g->b_row : g->b_col, t.c_step = g->c_row, t.bias_step = g->bias_row;
    t.k = g->k;
    t.beta = g->beta;
    t.start = g->beta == 0 ? TILE_START_ZERO : g->beta == 1 ? TILE_START_C : TILE_START_SCALED;
    t.bias_kind = !g->bias ? TILE_BIAS_NONE : g->bias_col == 1 ? TILE_BIAS_VECTOR : TILE_BIAS_COLUMN;
    for (size_t j = 0, cols; j < g->n; j += cols) {
        cols = swept ? SWEEP_COLS : TILE_LANES;
        if (cols > g->n - j)
            cols = g->n - j;
        if (g->asks && fnn_interrupted())
            return -1;
        t.b = g->b + (ptrdiff_t)j * g->b_col;
        t.c = g->c + j;
        t.last = (cols - 1) % TILE_LANES + 1;
        if (t.bias_kind)
            t.bias = g->bias + (ptrdiff_t)j * g->bias_col;
        if (swept)
            sweep(&t, g->a_col, g->m, cols);
        else
            dots(&t, g->a_col, g->m);
    }
    if (g->activation)
        gemm_activate(g, 0, g->m, 0, g->n);
    return 1;
}

/* Returns nonzero if it was interrupted. */
static int gemm_product(const gemm_task *g)
{
    const size_t m0 = g->m < g->mc ? g->m : g->mc;
    const gemm_cut largest = gemm_cut_evenly(m0, g->tile_rows);
    const size_t vecs = g->b_packed ? TILE_COLS / TILE_LANES : tile_vecs(largest.low + (largest.high > 0));
    const int across = g->pack_a || !(g->a_col == 1 || g->k <= 1);
    tile_args t = {0};
    t.beta = g->beta;
    t.c_step = g->c_row;
    t.bias_step = g->bias_row;
    t.resident = g->m * g->n * sizeof(tile_real) <= 32768;

    const int done = gemm_few_rows(g);
    if (done)
        return done < 0;
    for (size_t pc = 0; pc == 0 || pc < g->k; pc += g->kc) {
        const size_t kb = g->k - pc < g->kc ? g->k - pc : g->kc;
        const int last = g->k - pc == kb;
        t.k = kb;
        t.start = pc ? TILE_START_C : g->beta == 0 ? TILE_START_ZERO : g->beta == 1 ? TILE_START_C : TILE_START_SCALED;
        t.bias_kind = !last || !g->bias ? TILE_BIAS_NONE : g->bias_col == 1 ? TILE_BIAS_VECTOR : TILE_BIAS_COLUMN;
        for (size_t ic = 0; ic < g->m; ic += g->mc) {
            const size_t mb = g->m - ic < g->mc ? g->m - ic : g->mc;
            const tile_real *a = g->a + (ptrdiff_t)ic * g->a_row + (ptrdiff_t)pc * g->a_col;
            if (g->pack_a) {
                gemm_pack_a(g, a, mb, kb);
                a = g->packed_a;
            }
            const gemm_cut tiles = gemm_cut_evenly(mb, g->tile_rows);
            for (size_t jc = 0; jc < g->n; jc += g->nc) {
                const size_t nb = g->n - jc < g->nc ? g->n - jc : g->nc;
                const tile_real *b = g->b_packed ? g->b + pc * g->all + (g->first + jc) * kb : g->b + (ptrdiff_t)pc * g->b_row + (ptrdiff_t)jc * g->b_col;
                const size_t vectors = fnn_gemm_ceil(nb, TILE_LANES);
                const gemm_cut panels = gemm_cut_evenly(vectors, vecs);
                size_t rows = mb;
                if (g->pack_b && g->rows_first)
                    gemm_pack_b(g, b, nb, kb, panels);
                for (size_t ir = 0, s = 0; ir < mb; ir += rows, ++s) {
                    if (g->rows_first)
                        rows = tiles.low + (s < tiles.high);
                    for (size_t jr = 0, q = 0, cols; jr < nb; jr += cols, ++q) {
                        const size_t left = vectors - jr / TILE_LANES, some = !g->b_packed ? panels.low + (q < panels.high) : left < vecs ? left : vecs;
                        cols = nb - jr < some * TILE_LANES ? nb - jr : some * TILE_LANES;
                        if (g->asks && !g->rows_first && fnn_interrupted())
                            return 1;
                        t.last = cols - (some - 1) * TILE_LANES;
                        t.b = g->b_packed ? b + jr * kb : b + (ptrdiff_t)jr * g->b_col;
                        t.b_step = g->b_packed ? (ptrdiff_t)(some * TILE_LANES) : g->b_row;
                        if (g->pack_b) {
                            tile_real *panel = g->packed_b + (g->rows_first ? jr * kb : 0);
                            if (!g->rows_first)
                                pack_b(panel, some * TILE_LANES, t.b, g->b_row, g->b_col, cols, kb, g->alpha_b);
                            t.b = panel;
                            t.b_step = (ptrdiff_t)(some * TILE_LANES);
                        }
                        t.next = g->rows_first ? (ptrdiff_t)cols : 0;
                        gemm_panel(g, &t, g->pack_a ? a + ir * kb : a + (ptrdiff_t)ir * g->a_row, across, ic + ir, rows, jc + jr, cols, some, last);
                    }
                    if (g->asks && g->rows_first && fnn_interrupted())
                        return 1;
                }
                if (last && g->activation && !g->through_buffer)
                    gemm_activate(g, ic, mb, jc, nb);
            }
        }
    }
    return 0;
}

KERNEL(gemm, gemm)
{
    if (!a->batch || !a->m || !a->n)
        return;
    const fnn_gemm_plan plan = fnn_gemm_make_plan(a, &fnn_gemm_block_sizes[TILE_ISA][FNN_DTYPE], sizeof(tile_real), parts);
    size_t batch_begin = 0, batch_end = a->batch, m_begin = 0, m_end = plan.m, n_begin = 0, n_end = plan.n;
    if (parts > 1) {
        const size_t rest = part / plan.n_parts;
        fnn_share(a->batch, 1, rest / plan.m_parts, plan.batch_parts, &batch_begin, &batch_end);
        fnn_share(plan.m, plan.m_grain, rest % plan.m_parts, plan.m_parts, &m_begin, &m_end);
        fnn_share(plan.n, plan.n_grain, part % plan.n_parts, plan.n_parts, &n_begin, &n_end);
    }

    gemm_task g = {
        .c_row = a->c_row, .c_col = a->c_col, .bias_row = a->bias_row, .bias_col = a->bias_col,
        .a_row = a->a_row, .a_col = a->a_col, .b_row = a->b_row, .b_col = a->b_col,
        .m = m_end - m_begin, .n = n_end - n_begin, .k = a->k, .mc = plan.mc, .kc = plan.kc, .nc = plan.nc,
        .asks = (double)a->batch * (double)a->m * (double)a->n * (double)a->k > 1e6,
        .pack_a = plan.pack_a, .pack_b = plan.pack_b, .b_packed = a->b_packed, .rows_first = plan.rows_first,
        .first = n_begin, .all = fnn_gemm_ceil(a->n, TILE_LANES) * TILE_LANES,
        .alpha_a = (tile_real)a->alpha, .alpha_b = 1, .beta = (tile_real)a->beta,
        .activation = a->activation, .p = a->p, .q = a->q,
    };
    const tile_real *left = a->a, *right = a->b;
    if (plan.swap) {
        left = a->b, right = a->a;
        g.c_row = a->c_col, g.c_col = a->c_row, g.bias_row = a->bias_col, g.bias_col = a->bias_row;
        g.a_row = a->b_col, g.a_col = a->b_row, g.b_row = a->a_col, g.b_col = a->a_row;
        g.alpha_a = 1, g.alpha_b = (tile_real)a->alpha;
    }
    /* rows stored across: a step of a tile of eight is half a vector, or a whole one, and hardly ever in two cache lines */
    g.tile_rows = g.a_row == 1 && TILE_ROWS > 8 ? 8 : TILE_ROWS;
    if (plan.n == 1)
        g.c_col = g.bias_col = 1;
    g.through_buffer = g.c_col != 1 || (a->bias && g.bias_col != 0 && g.bias_col != 1);
    g.packed_a = (tile_real *)a->scratch + part * (plan.a_size + plan.b_size);
    g.packed_b = g.packed_a + plan.a_size;
    if (a->bias)
        g.bias = (const tile_real *)a->bias + (ptrdiff_t)m_begin * g.bias_row + (ptrdiff_t)n_begin * g.bias_col;
    if (!g.m || !g.n)
        return;

    for (size_t i = batch_begin; i < batch_end; ++i) {
        const ptrdiff_t zeros[3] = {0, 0, 0}, *offset = a->offsets ? a->offsets + 3 * i : zeros;
        g.c = (tile_real *)a->c + offset[0] + (ptrdiff_t)m_begin * g.c_row + (ptrdiff_t)n_begin * g.c_col;
        g.a = left + offset[plan.swap ? 2 : 1] + (ptrdiff_t)m_begin * g.a_row;
        g.b = right + offset[plan.swap ? 1 : 2] + (g.b_packed ? 0 : (ptrdiff_t)n_begin * g.b_col);
        if (gemm_product(&g))
            return;
    }
}

KERNEL(gemm_pack, gemm_pack)
{
    const size_t all = fnn_gemm_ceil(a->n, TILE_LANES) * TILE_LANES, kc = fnn_gemm_kc(a->k, &fnn_gemm_block_sizes[TILE_ISA][FNN_DTYPE]);
    size_t begin, end;
    fnn_share(a->n, TILE_COLS, part, parts, &begin, &end);
    for (size_t p = 0; p < a->k; p += kc) {
        const size_t kb = a->k - p < kc ? a->k - p : kc;
        for (size_t j = begin; j < end; j += TILE_COLS) {
            const size_t width = all - j < TILE_COLS ? all - j : TILE_COLS, cols = a->n - j < width ? a->n - j : width;
            if (fnn_interrupted())
                return;
            const tile_real *b = (const tile_real *)a->b + (ptrdiff_t)p * a->b_row + (ptrdiff_t)j * a->b_col;
            pack_b((tile_real *)a->packed + p * all + j * kb, width, b, a->b_row, a->b_col, cols, kb, 1);
        }
    }
}
