/* tile_scalar.h — the words of the matrix product's tiles in portable C: a vector is one number. Where the processor has no fused
 * multiply-add that the compiler may use, every fma() is a call into the C library; it gives the same bits. */
#include <math.h>

#define TILE_ISA FNN_SCALAR
#define TILE_ROWS 4
#define TILE_SUMS 16
#define TILE_STEPS 1    /* steps of k per round */
#define TILE_ANY_STRIDE 1
#define TILE_ALWAYS_MASKED 1
#define TILE_LIST(X)                                                                                                          \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(1, 3) X(2, 3) X(3, 3) X(4, 3)                            \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4)

#define TILE_LANES 1
#define TILE_BLOCK 1
#define tile_prefetch(p) ((void)(p))

#ifdef FNN_DTYPE_IS_F32
typedef float tile_vec;
static inline tile_vec tile_fma(tile_vec x, tile_vec y, tile_vec z) { return fmaf(x, y, z); }
#else
typedef double tile_vec;
static inline tile_vec tile_fma(tile_vec x, tile_vec y, tile_vec z) { return fma(x, y, z); }
#endif

typedef int tile_mask;
static inline tile_mask tile_mask_of(size_t n) { return (int)n; }
static inline tile_vec tile_zero(void) { return 0; }
static inline tile_vec tile_set1(tile_vec x) { return x; }
static inline tile_vec tile_load(const tile_vec *p) { return *p; }
static inline tile_vec tile_load_mask(const tile_vec *p, tile_mask m) { (void)m; return *p; }
static inline void tile_store(tile_vec *p, tile_vec x) { *p = x; }
static inline void tile_store_mask(tile_vec *p, tile_mask m, tile_vec x) { (void)m; *p = x; }
static inline tile_vec tile_add(tile_vec x, tile_vec y) { return x + y; }
static inline tile_vec tile_mul(tile_vec x, tile_vec y) { return x * y; }

#define TILE_TRANSPOSE(out, row) ((void)(out[0] = *row(0)))
