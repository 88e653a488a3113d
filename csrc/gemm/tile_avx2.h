/* tile_avx2.h — the words of the matrix product's tiles on AVX2 with FMA: 16 registers of 8 floats or 4 doubles.
 *
 * A tile of 6 rows x 2 vectors keeps 12 accumulators, 2 vectors of B and the broadcast element of A in registers: 8 loads for 12
 * multiply-adds. Together with the addresses and the loop these are as many instructions as fit into the 6 cycles that the
 * multiply-adds take, so four steps of k make one round. */
#include <immintrin.h>

#define TILE_ISA FNN_AVX2
#define TILE_ROWS 6
#define TILE_SUMS 12
#define TILE_STEPS 4    /* steps of k per round */
#define TILE_ANY_STRIDE 1
#define TILE_ALWAYS_MASKED 0
#define TILE_LIST(X)                                                                                                          \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(1, 3) X(2, 3) X(3, 3)    \
    X(1, 4) X(2, 4) X(3, 4) X(1, 5) X(1, 6) X(1, 7) X(1, 8)

#define tile_prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)

typedef __m256i tile_mask;

#ifdef FNN_DTYPE_IS_F32
typedef __m256 tile_vec;
#define TILE_LANES 8
#define TILE_BLOCK 4

static inline tile_mask tile_mask_of(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline tile_vec tile_zero(void) { return _mm256_setzero_ps(); }
static inline tile_vec tile_set1(float x) { return _mm256_set1_ps(x); }
static inline tile_vec tile_load(const float *p) { return _mm256_loadu_ps(p); }
static inline tile_vec tile_load_mask(const float *p, tile_mask m) { return _mm256_maskload_ps(p, m); }
static inline void tile_store(float *p, tile_vec x) { _mm256_storeu_ps(p, x); }
static inline void tile_store_mask(float *p, tile_mask m, tile_vec x) { _mm256_maskstore_ps(p, m, x); }
static inline tile_vec tile_add(tile_vec x, tile_vec y) { return _mm256_add_ps(x, y); }
static inline tile_vec tile_mul(tile_vec x, tile_vec y) { return _mm256_mul_ps(x, y); }
static inline tile_vec tile_fma(tile_vec x, tile_vec y, tile_vec z) { return _mm256_fmadd_ps(x, y, z); }
#if defined(__GNUC__) && !defined(__clang__)   /* sum += x y, see tile_row in tile.h */
#define TILE_FMA(sum, x, y) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(x), "x"(y))
#endif

/* Four floats from each of two rows. */
static inline __m256 tile_half(const float *r0, const float *r1)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(r0)), _mm_loadu_ps(r1), 1);
}

/* out[j] = element j of each of the 8 rows, j < 4. */
#define TILE_TRANSPOSE(out, row)                                                                                              \
    do {                                                                                                                      \
        __m256 x0 = tile_half(row(0), row(4)), x1 = tile_half(row(1), row(5));                                                \
        __m256 x2 = tile_half(row(2), row(6)), x3 = tile_half(row(3), row(7));                                                \
        __m256d y0 = _mm256_castps_pd(_mm256_unpacklo_ps(x0, x1)), y1 = _mm256_castps_pd(_mm256_unpackhi_ps(x0, x1));         \
        __m256d y2 = _mm256_castps_pd(_mm256_unpacklo_ps(x2, x3)), y3 = _mm256_castps_pd(_mm256_unpackhi_ps(x2, x3));         \
        out[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(y0, y2));                                                                \
        out[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(y0, y2));                                                                \
        out[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(y1, y3));                                                                \
        out[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(y1, y3));                                                                \
    } while (0)
#else
typedef __m256d tile_vec;
#define TILE_LANES 4
#define TILE_BLOCK 2

static inline tile_mask tile_mask_of(size_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), _mm256_setr_epi64x(0, 1, 2, 3));
}
static inline tile_vec tile_zero(void) { return _mm256_setzero_pd(); }
static inline tile_vec tile_set1(double x) { return _mm256_set1_pd(x); }
static inline tile_vec tile_load(const double *p) { return _mm256_loadu_pd(p); }
static inline tile_vec tile_load_mask(const double *p, tile_mask m) { return _mm256_maskload_pd(p, m); }
static inline void tile_store(double *p, tile_vec x) { _mm256_storeu_pd(p, x); }
static inline void tile_store_mask(double *p, tile_mask m, tile_vec x) { _mm256_maskstore_pd(p, m, x); }
static inline tile_vec tile_add(tile_vec x, tile_vec y) { return _mm256_add_pd(x, y); }
static inline tile_vec tile_mul(tile_vec x, tile_vec y) { return _mm256_mul_pd(x, y); }
static inline tile_vec tile_fma(tile_vec x, tile_vec y, tile_vec z) { return _mm256_fmadd_pd(x, y, z); }
#if defined(__GNUC__) && !defined(__clang__)   /* sum += x y, see tile_row in tile.h */
#define TILE_FMA(sum, x, y) __asm__ volatile("vfmadd231pd %2, %1, %0" : "+x"(sum) : "x"(x), "x"(y))
#endif

static inline __m256d tile_half(const double *r0, const double *r1)
{
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(r0)), _mm_loadu_pd(r1), 1);
}

/* out[j] = element j of each of the 4 rows, j < 2. */
#define TILE_TRANSPOSE(out, row)                                                                                              \
    do {                                                                                                                      \
        __m256d x0 = tile_half(row(0), row(2)), x1 = tile_half(row(1), row(3));                                               \
        out[0] = _mm256_unpacklo_pd(x0, x1);                                                                                  \
        out[1] = _mm256_unpackhi_pd(x0, x1);                                                                                  \
    } while (0)
#endif
