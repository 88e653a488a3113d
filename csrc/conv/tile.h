/* tile.h — the innermost loop of a convolution: up to TILE_ROWS rows by a few vectors of positions, kept in registers while k runs. As
 * gemm/tile.h, but each vector of B has its own address, b[v] + offsets[k], since patches are read where they are, and some terms may be left out:
 * the weights that go with it are those of term order[k].
 * Compiled for every pair in the instruction set's TILE_LIST. */

typedef struct conv_tile_args {
    const tile_real *a;             /* terms x rows */
    const ptrdiff_t *offsets, *order;   /* k */
    const tile_real *bias;          /* rows, or NULL */
    size_t k;
    ptrdiff_t c_step;               /* from a row of the result to the next */
    int add;                        /* to what is there */
    const tile_real *b[8];
    tile_real *c[8];
    size_t n[8];                    /* positions in each vector, 1 … TILE_LANES */
} conv_tile_args;

typedef void (*conv_tile_kernel)(const conv_tile_args *t);

FNN_INLINE void conv_tile_run(const conv_tile_args *t, const int rows, const int vecs)
{
    tile_vec sum[TILE_ROWS][8];
    tile_mask mask[8];
    const tile_real *a = t->a, *b[8];
    tile_real *c[8];
    const ptrdiff_t *offset = t->offsets, *order = t->order, c_step = t->c_step;
    int whole = 1; /* vectors */
    TILE_UNROLL for (int v = 0; v < vecs; ++v) {
        b[v] = t->b[v];
        c[v] = t->c[v];
        mask[v] = tile_mask_of(t->n[v]);
        whole &= t->n[v] == TILE_LANES;
    }
    if (t->add) {
        TILE_UNROLL for (int r = 0; r < rows; ++r)
            TILE_UNROLL for (int v = 0; v < vecs; ++v)
                sum[r][v] = tile_load_mask(c[v] + r * c_step, mask[v]);
    } else {
        TILE_UNROLL for (int r = 0; r < rows; ++r)
            TILE_UNROLL for (int v = 0; v < vecs; ++v)
                sum[r][v] = tile_zero();
    }
    for (size_t k = t->k; k > 0; --k, ++offset, ++order) {
        const tile_real *number = a + *order * rows;
        tile_vec x[8];
        TILE_UNROLL for (int v = 0; v < vecs; ++v)
            x[v] = tile_load(b[v] + *offset);
        TILE_UNROLL for (int r = 0; r < rows; ++r) {
            const tile_vec y = tile_set1(number[r]);
            TILE_UNROLL for (int v = 0; v < vecs; ++v)
                sum[r][v] = tile_fma(y, x[v], sum[r][v]);
        }
    }
    if (t->bias) {
        TILE_UNROLL for (int r = 0; r < rows; ++r) {
            const tile_vec bias = tile_set1(t->bias[r]);
            TILE_UNROLL for (int v = 0; v < vecs; ++v)
                sum[r][v] = tile_add(sum[r][v], bias);
        }
    }
    TILE_UNROLL for (int r = 0; r < rows; ++r)
        TILE_UNROLL for (int v = 0; v < vecs; ++v) {
            if (TILE_ALWAYS_MASKED || !whole)
                tile_store_mask(c[v] + r * c_step, mask[v], sum[r][v]);
            else
                tile_store(c[v] + r * c_step, sum[r][v]);
        }
}

#define CONV_TILE_NAME_(rows, vecs, dtype, isa) fnn_conv_tile_##rows##x##vecs##_##dtype##_##isa
#define CONV_TILE_NAME__(rows, vecs, dtype, isa) CONV_TILE_NAME_(rows, vecs, dtype, isa)
#define CONV_TILE_NAME(rows, vecs) CONV_TILE_NAME__(rows, vecs, FNN_DTYPE_NAME, FNN_ISA_NAME)
#define CONV_TILE_DEFINE(rows, vecs)                                                                                          \
    static void CONV_TILE_NAME(rows, vecs)(const conv_tile_args *t) { conv_tile_run(t, rows, vecs); }
TILE_LIST(CONV_TILE_DEFINE)

/* Few rows have not so many vectors as a product's: those go by depthwise.h mostly. */
enum { CONV_TILE_VECS = 4 };
#define CONV_TILE_ENTRY(rows, vecs) [rows][vecs] = (vecs) <= CONV_TILE_VECS ? CONV_TILE_NAME(rows, vecs) : NULL,
static const conv_tile_kernel conv_tile_kernels[TILE_ROWS + 1][TILE_VECS] = {TILE_LIST(CONV_TILE_ENTRY)};

static inline size_t conv_tile_vecs(size_t rows)
{
    const size_t vecs = tile_vecs(rows);
    return vecs < CONV_TILE_VECS ? vecs : CONV_TILE_VECS;
}
