/* weight_dots.h — the tiles of a weight's gradient with few rows (of dy), where a product's vectors would be mostly idle: vectors run over
 * positions, which are neighbours in both factors. A pair (row, k) is a dot product in DOT_LANES virtual lanes (a cache line), of which
 * position i of a row of positions belongs to lane i mod DOT_LANES. A lane takes blocks, rows and positions in ascending order, from +0;
 * at the end lanes fold in halves. A few rows of dy meet a few k in registers: the pairs in DOT_LIST. */

enum { DOT_LANES = 64 / (int)sizeof(tile_real), DOT_VECTORS = DOT_LANES / TILE_LANES };

/* Loops over the vectors of the virtual lanes, of which there are many where a vector is one number. */
#if TILE_LANES > 1
#define DOT_UNROLL TILE_UNROLL
#else
#define DOT_UNROLL
#endif

#if TILE_SUMS >= 27
enum { DOT_ROWS = 6, DOT_COLS = 9 };
#else
enum { DOT_ROWS = 3, DOT_COLS = 2 };
#endif

typedef struct dot_tile_args {
    tile_real *sums;                    /* pair (r, c): DOT_LANES at sums + (r sums_row + c) DOT_LANES */
    const tile_real *dy, *x;
    const ptrdiff_t *offsets;           /* of the columns */
    const conv_span *span;
    size_t spans, sums_row;
    ptrdiff_t dy_row;
} dot_tile_args;

typedef void (*dot_tile_kernel)(const dot_tile_args *t);

/* The first n of the positions at vector v of DOT_VECTORS. */
FNN_INLINE tile_vec dot_load(const tile_real *p, size_t n, int v)
{
    const size_t before = (size_t)v * TILE_LANES;
    return n >= before + TILE_LANES ? tile_load(p + before) : n > before ? tile_load_mask(p + before, tile_mask_of(n - before)) : tile_zero();
}

/* A cache line of positions; with a constant n the tests in dot_load are made by the compiler. */
#define DOT_STEP(n)                                                                                                           \
    DOT_UNROLL for (int v = 0; v < DOT_VECTORS; ++v) {                                                                       \
        tile_vec y[DOT_ROWS];                                                                                                 \
        TILE_UNROLL for (int r = 0; r < rows; ++r)                                                                            \
            y[r] = dot_load(dy[r] + i, n, v);                                                                                 \
        TILE_UNROLL for (int c = 0; c < cols; ++c) {                                                                          \
            const tile_vec z = dot_load(x[c] + i, n, v);                                                                      \
            TILE_UNROLL for (int r = 0; r < rows; ++r)                                                                        \
                sum[r][c][v] = tile_fma(y[r], z, sum[r][c][v]);                                                               \
        }                                                                                                                     \
    }

FNN_INLINE void dot_tile_run(const dot_tile_args *t, const int rows, const int cols)
{
    tile_vec sum[DOT_ROWS][DOT_COLS][DOT_VECTORS];
    TILE_UNROLL for (int c = 0; c < cols; ++c)
        TILE_UNROLL for (int r = 0; r < rows; ++r)
            DOT_UNROLL for (int v = 0; v < DOT_VECTORS; ++v)
                sum[r][c][v] = tile_load(t->sums + ((size_t)r * t->sums_row + (size_t)c) * DOT_LANES + v * TILE_LANES);
    for (size_t s = 0; s < t->spans; ++s) {
        const tile_real *dy[DOT_ROWS], *x[DOT_COLS];
        const size_t n = t->span[s].n;
        size_t i = 0;
        TILE_UNROLL for (int r = 0; r < rows; ++r)
            dy[r] = t->dy + t->span[s].to + r * t->dy_row;
        TILE_UNROLL for (int c = 0; c < cols; ++c)
            x[c] = t->x + t->span[s].from + t->offsets[c];
        for (; i + DOT_LANES <= n; i += DOT_LANES)
            DOT_STEP((size_t)DOT_LANES)
        if (i < n)
            DOT_STEP(n - i)
    }
    TILE_UNROLL for (int c = 0; c < cols; ++c)
        TILE_UNROLL for (int r = 0; r < rows; ++r)
            DOT_UNROLL for (int v = 0; v < DOT_VECTORS; ++v)
                tile_store(t->sums + ((size_t)r * t->sums_row + (size_t)c) * DOT_LANES + v * TILE_LANES, sum[r][c][v]);
}

#define DOT_NAME_(rows, cols, dtype, isa) fnn_dot_tile_##rows##x##cols##_##dtype##_##isa
#define DOT_NAME__(rows, cols, dtype, isa) DOT_NAME_(rows, cols, dtype, isa)
#define DOT_NAME(rows, cols) DOT_NAME__(rows, cols, FNN_DTYPE_NAME, FNN_ISA_NAME)
#define DOT_DEFINE(rows, cols) static void DOT_NAME(rows, cols)(const dot_tile_args *t) { dot_tile_run(t, rows, cols); }
#define DOT_ENTRY(rows, cols) [rows][cols] = DOT_NAME(rows, cols),
#define DOT_LIST_SMALL(X) X(1, 1) X(1, 2) X(2, 1) X(2, 2) X(3, 1) X(3, 2)
#define DOT_LIST_LARGE(X)                                                                                                     \
    DOT_LIST_SMALL(X)                                                                                                         \
    X(1, 3) X(1, 4) X(1, 5) X(1, 6) X(2, 3) X(2, 4) X(2, 5) X(2, 6) X(3, 3) X(3, 4) X(3, 5) X(3, 6) X(4, 1) X(4, 2) X(4, 3)    \
    X(4, 4) X(4, 5) X(4, 6) X(5, 1) X(5, 2) X(5, 3) X(5, 4) X(6, 1) X(6, 2) X(6, 3) X(6, 4) X(1, 7) X(1, 8) X(1, 9)
#if TILE_SUMS >= 27
#define DOT_LIST DOT_LIST_LARGE
#else
#define DOT_LIST DOT_LIST_SMALL
#endif
DOT_LIST(DOT_DEFINE)
static const dot_tile_kernel dot_tile_kernels[DOT_ROWS + 1][DOT_COLS + 1] = {DOT_LIST(DOT_ENTRY)};

/* The most columns a tile of `rows` rows may have. */
static inline size_t dot_cols(size_t rows)
{
    size_t cols = DOT_COLS;
    while (!dot_tile_kernels[rows][cols])
        --cols;
    return cols;
}

/* All pairs of a block; t has what is the same for all and the first row and column. */
static void dot_tiles(dot_tile_args t, size_t rows, size_t cols)
{
    const dot_tile_args first = t;
    const gemm_cut row_cut = gemm_cut_evenly(rows, DOT_ROWS);
    for (size_t j = 0, r = 0, m; j < row_cut.parts; ++j, r += m) {
        m = row_cut.low + (j < row_cut.high);
        const gemm_cut col_cut = gemm_cut_evenly(cols, dot_cols(m));
        t.dy = first.dy + (ptrdiff_t)r * t.dy_row;
        for (size_t i = 0, c = 0, n; i < col_cut.parts; ++i, c += n) {
            n = col_cut.low + (i < col_cut.high);
            t.offsets = first.offsets + c;
            t.sums = first.sums + (r * t.sums_row + c) * DOT_LANES;
            dot_tile_kernels[m][n](&t);
        }
    }
}

/* The lanes of a sum in halves: lane i takes lane i + DOT_LANES / 2, and so on. Overwrites them. */
static tile_real dot_fold(tile_real *lanes)
{
    for (int half = DOT_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

