/* tile.h — the innermost loops of the matrix product: a tile of C, up to TILE_ROWS rows by a few vectors of columns, kept in registers
 * while k runs.
 *
 * One body, compiled for every pair of rows and vectors in the instruction set's TILE_LIST with these as constants, twice: with A
 * read down its rows (k contiguous: an ordinary matrix) and across them (rows contiguous: packed, or a transposed matrix).
 * Per step of k: `vecs` loads of B, `rows` broadcasts of A, rows x vecs multiply-adds. B is prefetched where many rows leave time for it; up to three
 * rows, which are as fast as B arrives, prefetching makes up to 1.7 times slower.
 * An accumulator starts from 0, C or beta C, takes its k terms in ascending order and is stored, after the last block of k with the
 * bias added. */

#define TILE_NAME_(rows, vecs, kind, dtype, isa) fnn_gemm_tile_##rows##x##vecs##_##kind##_##dtype##_##isa
#define TILE_NAME__(rows, vecs, kind, dtype, isa) TILE_NAME_(rows, vecs, kind, dtype, isa)
#define TILE_NAME(rows, vecs, kind) TILE_NAME__(rows, vecs, kind, FNN_DTYPE_NAME, FNN_ISA_NAME)

#if defined(__clang__)
#define TILE_UNROLL _Pragma("clang loop unroll(full)")
#define TILE_ROLL _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#define TILE_UNROLL _Pragma("GCC unroll 16")
#define TILE_ROLL _Pragma("GCC unroll 1")
#else
#define TILE_UNROLL
#define TILE_ROLL
#endif

/* A function that is not inlined. */
#if defined(__GNUC__)
#define TILE_APART static __attribute__((noinline))
#elif defined(_MSC_VER)
#define TILE_APART static __declspec(noinline)
#else
#define TILE_APART static
#endif

/* Hides from the compiler where a pointer or stride came from. Without it the compiler keeps one pointer for each row of a tile, more
 * than there are registers, and reloads them from the stack in the innermost loop. */
#if defined(__GNUC__)
#define TILE_OPAQUE(x) __asm__("" : "+r"(x))
#else
#define TILE_OPAQUE(x) ((void)0)
#endif

#ifdef FNN_DTYPE_IS_F32
typedef float tile_real;
#else
typedef double tile_real;
#endif

enum { TILE_CACHE_LINE = 64 / sizeof(tile_real) };
enum { TILE_START_ZERO, TILE_START_C, TILE_START_SCALED };
enum { TILE_BIAS_NONE, TILE_BIAS_VECTOR, TILE_BIAS_COLUMN };

typedef struct tile_args {
    tile_real *c;               /* rows x columns, rows c_step apart */
    const tile_real *a;         /* element (i, p): a[i a_step + p], or across: a[i + p a_step] */
    const tile_real *b;         /* k rows of columns, b_step apart */
    const tile_real *bias;      /* rows bias_step apart; TILE_BIAS_COLUMN: one number per row */
    ptrdiff_t c_step, a_step, b_step, bias_step;
    ptrdiff_t next;             /* from this tile of C to the next */
    size_t k;
    size_t last;                /* columns in the last vector, 1 … TILE_LANES */
    int start, bias_kind;
    int resident;               /* all of C is in L1: the next tile need not be fetched */
    tile_real beta;
} tile_args;

typedef void (*tile_kernel)(const tile_args *t);

/* A row of sums += the number at y times the vectors x. TILE_FMA keeps the multiply-adds in the order in which they are written, row after
 * row, so that each sum has rested when its turn comes again; gcc moves those of one sum closer together, which made four steps of k slower
 * than one. TILE_FMA_NUMBER takes y from memory, an instruction less and some loads more: faster in a few rows, slower in all. With operands in the
 * caches both together are 1.05 to 1.2 times as fast (AVX-512; most where another thread shares the core). Few rows wait for B anyway, and a
 * single vector leaves nothing to order. */
#ifndef TILE_FMA
#define TILE_FMA(sum, x, y) ((sum) = tile_fma(y, x, sum))
#endif
#ifndef TILE_FMA_NUMBER
#define TILE_FMA_NUMBER(sum, x, y) TILE_FMA(sum, x, tile_set1(*(y)))
#endif
FNN_INLINE void tile_row(tile_vec *sum, const tile_vec *x, const tile_real *y, const int vecs, const int r, const int rows)
{
    const tile_vec all = tile_set1(*y);
    TILE_UNROLL for (int v = 0; v < vecs; ++v) {
        if (rows <= 3 || vecs == 1)
            sum[v] = tile_fma(all, x[v], sum[v]);
        else if (r % 4 == 0)
            TILE_FMA_NUMBER(sum[v], x[v], y);
        else
            TILE_FMA(sum[v], x[v], all);
    }
}

/* One step of k: A's qa steps and B's qb steps on, where the strides are constants. A's numbers come from a0, or along their rows from a0, a4, a8
 * and a12, each the first of four rows. */
#define TILE_READ(p, v) (masked && (v) == vecs - 1 ? tile_load_mask((p) + (v) * TILE_LANES, mask) : tile_load((p) + (v) * TILE_LANES))
#define TILE_A(r, q)                                                                                                          \
    (across ? a0 + (q) * rows + (r) : ((r) < 4 ? a0 : (r) < 8 ? a4 : (r) < 12 ? a8 : a12) + (q) + ((r) % 4 == 3 ? step3 : (r) % 4 * step))
#define TILE_STEP(qa, qb, b_bytes)                                                                                            \
    do {                                                                                                                      \
        const tile_real *bq = b + (qb) * vecs * TILE_LANES;                                                                   \
        tile_vec x[8];                                                                                                        \
        TILE_UNROLL for (int v = 0; v < vecs; ++v) {                                                                          \
            x[v] = TILE_READ(bq, v);                                                                                          \
            if (rows > 3 && v * TILE_LANES % TILE_CACHE_LINE == 0)                                                            \
                tile_prefetch((const char *)(bq + v * TILE_LANES) + 8 * (b_bytes));                                           \
        }                                                                                                                     \
        TILE_UNROLL for (int r = 0; r < rows; ++r)                                                                            \
            tile_row(sum[r], x, TILE_A(r, qa), vecs, r, rows);                                                                \
    } while (0)

#define TILE_NEXT_B (b = (const tile_real *)((const char *)b + b_bytes))

FNN_INLINE void tile_run(const tile_args *t, const int rows, const int vecs, const int across, const int masked)
{
    ptrdiff_t step = t->a_step, b_bytes = t->b_step * (ptrdiff_t)sizeof(tile_real), c_step = t->c_step, step3 = 3 * step;
    const tile_mask mask = tile_mask_of(t->last);
    const tile_real *a0 = t->a, *a4 = a0 + 4 * step, *a8 = a0 + 8 * step, *a12 = a0 + 12 * step, *b = t->b;
    const ptrdiff_t packed_bytes = vecs * TILE_LANES * (ptrdiff_t)sizeof(tile_real);
    tile_real *c = t->c;
    tile_vec sum[TILE_ROWS][8];
    size_t p = t->k;

    if (t->start == TILE_START_ZERO) {
        TILE_UNROLL for (int r = 0; r < rows; ++r)
            TILE_UNROLL for (int v = 0; v < vecs; ++v)
                sum[r][v] = tile_zero();
    } else {
        TILE_UNROLL for (int r = 0; r < rows; ++r) {
            TILE_UNROLL for (int v = 0; v < vecs; ++v)
                sum[r][v] = TILE_READ(c, v);
            c += c_step;
            TILE_OPAQUE(c);
        }
        if (t->start == TILE_START_SCALED) {
            const tile_vec beta = tile_set1(t->beta);
            TILE_UNROLL for (int r = 0; r < rows; ++r)
                TILE_UNROLL for (int v = 0; v < vecs; ++v)
                    sum[r][v] = tile_mul(beta, sum[r][v]);
        }
    }
    if (p >= 16 && !t->resident) {
        /* the next tile's C */
        c = t->c + t->next;
        TILE_UNROLL for (int r = 0; r < rows; ++r) {
            TILE_UNROLL for (int v = 0; v < vecs; v += TILE_LANES < TILE_CACHE_LINE ? TILE_CACHE_LINE / TILE_LANES : 1)
                tile_prefetch(c + v * TILE_LANES);
            c += c_step;
            TILE_OPAQUE(c);
        }
    }

    TILE_OPAQUE(step);
    TILE_OPAQUE(step3);
    TILE_OPAQUE(b_bytes);
    /* rounds of steps; without TILE_ANY_STRIDE only where the strides are constants */
    if (TILE_STEPS > 1 && rows > 3 && vecs > 1 && (TILE_ANY_STRIDE || (b_bytes == packed_bytes && (!across || step == rows)))) {
        for (; p >= TILE_STEPS; p -= TILE_STEPS) {
            TILE_UNROLL for (int q = 0; q < TILE_STEPS; ++q) {
                if (TILE_ANY_STRIDE) {
                    TILE_STEP(across ? 0 : q, 0, b_bytes);
                    TILE_NEXT_B;
                    if (across)
                        a0 += step;
                } else {
                    TILE_STEP(q, q, packed_bytes);
                }
            }
            if (!TILE_ANY_STRIDE)
                b += TILE_STEPS * vecs * TILE_LANES;
            if (!across)
                a0 += TILE_STEPS, a4 += TILE_STEPS, a8 += TILE_STEPS, a12 += TILE_STEPS;
            else if (!TILE_ANY_STRIDE)
                a0 += TILE_STEPS * rows;
        }
        TILE_OPAQUE(p);
    }
    for (; p > 0; --p) {
        TILE_STEP(0, 0, b_bytes);
        TILE_NEXT_B;
        if (across) {
            if (rows > 3)
                tile_prefetch(a0 + 8 * step);
            a0 += step;
        } else {
            ++a0, ++a4, ++a8, ++a12;
        }
    }

    if (t->bias_kind) {
        const tile_real *bias = t->bias;
        TILE_UNROLL for (int r = 0; r < rows; ++r) {
            TILE_UNROLL for (int v = 0; v < vecs; ++v)
                sum[r][v] = tile_add(sum[r][v], t->bias_kind == TILE_BIAS_VECTOR ? TILE_READ(bias, v) : tile_set1(*bias));
            bias += t->bias_step;
        }
    }
    c = t->c;
    TILE_OPAQUE(c);
    TILE_UNROLL for (int r = 0; r < rows; ++r) {
        TILE_UNROLL for (int v = 0; v < vecs; ++v) {
            if (masked && v == vecs - 1)
                tile_store_mask(c + v * TILE_LANES, mask, sum[r][v]);
            else
                tile_store(c + v * TILE_LANES, sum[r][v]);
        }
        c += c_step;
        TILE_OPAQUE(c);
    }
}

#define TILE_DEFINE(rows, vecs)                                                                                               \
    static void TILE_NAME(rows, vecs, down)(const tile_args *t) { tile_run(t, rows, vecs, 0, TILE_ALWAYS_MASKED); }           \
    static void TILE_NAME(rows, vecs, across)(const tile_args *t) { tile_run(t, rows, vecs, 1, TILE_ALWAYS_MASKED); }
TILE_LIST(TILE_DEFINE)

/* tile_kernels[masked][across][rows][vecs] */
enum { TILE_VECS = 9 };
#define TILE_DOWN(rows, vecs) [rows][vecs] = TILE_NAME(rows, vecs, down),
#define TILE_ACROSS(rows, vecs) [rows][vecs] = TILE_NAME(rows, vecs, across),

#if TILE_ALWAYS_MASKED
static const tile_kernel tile_kernels[1][2][TILE_ROWS + 1][TILE_VECS] = {{{TILE_LIST(TILE_DOWN)}, {TILE_LIST(TILE_ACROSS)}}};
#define TILE_MASKED_INDEX(last) 0
#else
#define TILE_DEFINE_MASKED(rows, vecs)                                                                                        \
    static void TILE_NAME(rows, vecs, down_masked)(const tile_args *t) { tile_run(t, rows, vecs, 0, 1); }                     \
    static void TILE_NAME(rows, vecs, across_masked)(const tile_args *t) { tile_run(t, rows, vecs, 1, 1); }
TILE_LIST(TILE_DEFINE_MASKED)
#define TILE_DOWN_MASKED(rows, vecs) [rows][vecs] = TILE_NAME(rows, vecs, down_masked),
#define TILE_ACROSS_MASKED(rows, vecs) [rows][vecs] = TILE_NAME(rows, vecs, across_masked),
static const tile_kernel tile_kernels[2][2][TILE_ROWS + 1][TILE_VECS] = {{{TILE_LIST(TILE_DOWN)}, {TILE_LIST(TILE_ACROSS)}},
                                                                 {{TILE_LIST(TILE_DOWN_MASKED)}, {TILE_LIST(TILE_ACROSS_MASKED)}}};
#define TILE_MASKED_INDEX(last) ((last) != TILE_LANES)
#endif

/* The most vectors a tile of `rows` rows may have. */
static inline size_t tile_vecs(size_t rows)
{
    size_t vecs = TILE_VECS - 1;
    while (!tile_kernels[0][0][rows][vecs])
        --vecs;
    return vecs;
}
