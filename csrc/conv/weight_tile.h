/* weight_tile.h — the innermost loop of the weights' gradient: the sums of up to TILE_ROWS columns k and a few vectors of rows of dy, kept in
 * registers while the positions of a block run. As gemm/tile.h, but every column has an address of its own, since patches are read where they are:
 * packing them first took a third of the time where dy has 16 rows. */

typedef struct weight_tile_args {
    tile_real *sums;                /* columns x vectors, rows of it `step` apart */
    size_t step;
    int add;                        /* what the block gives to what is there */
    const tile_real *x;             /* the block's first patch; column k of a position is offsets[k] further */
    const ptrdiff_t *offsets;
    const conv_span *span;          /* the positions */
    size_t spans;
    const tile_real *dy;            /* positions x vectors */
} weight_tile_args;

typedef void (*weight_tile_kernel)(const weight_tile_args *t);

FNN_INLINE void weight_tile_step(tile_vec sum[][8], const tile_real *const *x, ptrdiff_t i, const tile_real *dy, const int rows, const int vecs)
{
    tile_vec y[8];
    TILE_UNROLL for (int v = 0; v < vecs; ++v) {
        y[v] = tile_load(dy + v * TILE_LANES);
        if (rows > 3 && v * TILE_LANES % TILE_CACHE_LINE == 0)
            tile_prefetch(dy + (8 * vecs + v) * TILE_LANES);
    }
    TILE_UNROLL for (int r = 0; r < rows; ++r)
        tile_row(sum[r], y, x[r] + i, vecs, r, rows);
}

FNN_INLINE void weight_tile_run(const weight_tile_args *t, const int rows, const int vecs)
{
    enum { STEPS = 4 };
    tile_vec sum[TILE_ROWS][8];
    const tile_real *dy = t->dy;
    TILE_UNROLL for (int r = 0; r < rows; ++r)
        TILE_UNROLL for (int v = 0; v < vecs; ++v)
            sum[r][v] = tile_zero();
    for (const conv_span *span = t->span, *end = span + t->spans; span < end; ++span) {
        const tile_real *x[TILE_ROWS];
        const ptrdiff_t n = (ptrdiff_t)span->n;
        ptrdiff_t i = 0;
        TILE_UNROLL for (int r = 0; r < rows; ++r) {
            x[r] = t->x + span->from + t->offsets[r];
            TILE_OPAQUE(x[r]);
        }
        for (; i + STEPS <= n; i += STEPS)
            TILE_UNROLL for (int q = 0; q < STEPS; ++q, dy += vecs * TILE_LANES)
                weight_tile_step(sum, x, i + q, dy, rows, vecs);
        for (; i < n; ++i, dy += vecs * TILE_LANES)
            weight_tile_step(sum, x, i, dy, rows, vecs);
    }
    TILE_UNROLL for (int r = 0; r < rows; ++r)
        TILE_UNROLL for (int v = 0; v < vecs; ++v) {
            tile_real *to = t->sums + (size_t)r * t->step + v * TILE_LANES;
            tile_store(to, t->add ? tile_add(tile_load(to), sum[r][v]) : sum[r][v]);
        }
}

#define WEIGHT_TILE_NAME_(rows, vecs, dtype, isa) fnn_weight_tile_##rows##x##vecs##_##dtype##_##isa
#define WEIGHT_TILE_NAME__(rows, vecs, dtype, isa) WEIGHT_TILE_NAME_(rows, vecs, dtype, isa)
#define WEIGHT_TILE_NAME(rows, vecs) WEIGHT_TILE_NAME__(rows, vecs, FNN_DTYPE_NAME, FNN_ISA_NAME)
#define WEIGHT_TILE_DEFINE(rows, vecs)                                                                                        \
    static void WEIGHT_TILE_NAME(rows, vecs)(const weight_tile_args *t) { weight_tile_run(t, rows, vecs); }
TILE_LIST(WEIGHT_TILE_DEFINE)

/* Panels are as wide as a tile of TILE_ROWS columns may be. */
#define WEIGHT_TILE_ENTRY(rows, vecs) [rows][vecs] = (vecs) * TILE_ROWS <= TILE_SUMS ? WEIGHT_TILE_NAME(rows, vecs) : NULL,
static const weight_tile_kernel weight_tile_kernels[TILE_ROWS + 1][TILE_VECS] = {TILE_LIST(WEIGHT_TILE_ENTRY)};
