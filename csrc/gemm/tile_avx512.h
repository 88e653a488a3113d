/* tile_avx512.h — the words of the matrix product's tiles on AVX-512: 32 registers of 16 floats or 8 doubles.
 *
 * A tile of 9 rows x 3 vectors keeps 27 accumulators, 3 vectors of B and the broadcast element of A in registers: 12 loads for 27
 * multiply-adds per step of k. 14 x 2 needs 16 loads for 28 and was 4 to 9 % slower, most where another thread shares the core and
 * the number of instructions is what counts. Masked loads and stores cost nothing, so the last vector of every tile is masked and there is
 * no second version for edges. */
#include <immintrin.h>

#define TILE_ISA FNN_AVX512
#define TILE_ROWS 9
#define TILE_SUMS 27    /* accumulators: rows x vectors of the largest tile */
#define TILE_STEPS 4    /* steps of k per round */
#define TILE_ANY_STRIDE 0   /* only where both strides are constants, so that steps need no addresses: other steps gain nothing from rounds */
#define TILE_ALWAYS_MASKED 1
#define TILE_LIST(X)                                                                                                          \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1)                                                    \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2) X(9, 2)                                                    \
    X(1, 3) X(2, 3) X(3, 3) X(4, 3) X(5, 3) X(6, 3) X(7, 3) X(8, 3) X(9, 3)                                                    \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4) X(1, 5) X(2, 5) X(3, 5) X(1, 6) X(2, 6) X(3, 6) X(1, 7) X(2, 7) X(3, 7)    \
    X(1, 8) X(2, 8) X(3, 8)

#define tile_prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)

#ifdef FNN_DTYPE_IS_F32
typedef __m512 tile_vec;
typedef __mmask16 tile_mask;
#define TILE_LANES 16
#define TILE_BLOCK 4    /* steps of k that tile_transpose produces */

static inline tile_mask tile_mask_of(size_t n) { return (tile_mask)(0xFFFFu >> (16 - n)); }
static inline tile_vec tile_zero(void) { return _mm512_setzero_ps(); }
static inline tile_vec tile_set1(float x) { return _mm512_set1_ps(x); }
static inline tile_vec tile_load(const float *p) { return _mm512_loadu_ps(p); }
static inline tile_vec tile_load_mask(const float *p, tile_mask m) { return _mm512_maskz_loadu_ps(m, p); }
static inline void tile_store(float *p, tile_vec x) { _mm512_storeu_ps(p, x); }
static inline void tile_store_mask(float *p, tile_mask m, tile_vec x) { _mm512_mask_storeu_ps(p, m, x); }
static inline tile_vec tile_add(tile_vec x, tile_vec y) { return _mm512_add_ps(x, y); }
static inline tile_vec tile_mul(tile_vec x, tile_vec y) { return _mm512_mul_ps(x, y); }
static inline tile_vec tile_fma(tile_vec x, tile_vec y, tile_vec z) { return _mm512_fmadd_ps(x, y, z); }
#if defined(__GNUC__) && !defined(__clang__)   /* sum += x y, see tile_row in tile.h */
#define TILE_FMA(sum, x, y) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y))
#define TILE_FMA_NUMBER(sum, x, y) __asm__ volatile("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(x), "m"(*(y)))
#endif

/* Four floats from each of rows i, 4 + i, 8 + i and 12 + i. */
static inline __m512 tile_quarter(const float *r0, const float *r1, const float *r2, const float *r3)
{
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(r0));
    x = _mm512_insertf32x4(x, _mm_loadu_ps(r1), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps(r2), 2);
    return _mm512_insertf32x4(x, _mm_loadu_ps(r3), 3);
}

/* out[j] = element j of each of the 16 rows, j < 4. Joining quarters by loads leaves only 8 shuffles per 64 elements. */
#define TILE_TRANSPOSE(out, row)                                                                                              \
    do {                                                                                                                      \
        __m512 x0 = tile_quarter(row(0), row(4), row(8), row(12)), x1 = tile_quarter(row(1), row(5), row(9), row(13));        \
        __m512 x2 = tile_quarter(row(2), row(6), row(10), row(14)), x3 = tile_quarter(row(3), row(7), row(11), row(15));      \
        __m512d y0 = _mm512_castps_pd(_mm512_unpacklo_ps(x0, x1)), y1 = _mm512_castps_pd(_mm512_unpackhi_ps(x0, x1));         \
        __m512d y2 = _mm512_castps_pd(_mm512_unpacklo_ps(x2, x3)), y3 = _mm512_castps_pd(_mm512_unpackhi_ps(x2, x3));         \
        out[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(y0, y2));                                                                \
        out[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(y0, y2));                                                                \
        out[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(y1, y3));                                                                \
        out[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(y1, y3));                                                                \
    } while (0)

/* The 16 x 16 transpose of x, in place: 64 shuffles. For when every cache line of the rows should be read once. */
#define TILE_LINE 16
static inline void tile_lines(__m512 *x)
{
    __m512 y[16];
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; ++j) {
            const __m512d lo = _mm512_castps_pd(y[i + j]), hi = _mm512_castps_pd(y[i + j + 2]);
            x[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(lo, hi));
            x[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(lo, hi));
        }
    for (int j = 0; j < 4; ++j) {
        const __m512 s0 = _mm512_shuffle_f32x4(x[j], x[j + 4], 0x88), s1 = _mm512_shuffle_f32x4(x[j], x[j + 4], 0xdd);
        const __m512 s2 = _mm512_shuffle_f32x4(x[j + 8], x[j + 12], 0x88), s3 = _mm512_shuffle_f32x4(x[j + 8], x[j + 12], 0xdd);
        x[j] = _mm512_shuffle_f32x4(s0, s2, 0x88);
        x[j + 4] = _mm512_shuffle_f32x4(s1, s3, 0x88);
        x[j + 8] = _mm512_shuffle_f32x4(s0, s2, 0xdd);
        x[j + 12] = _mm512_shuffle_f32x4(s1, s3, 0xdd);
    }
}
#else
typedef __m512d tile_vec;
typedef __mmask8 tile_mask;
#define TILE_LANES 8
#define TILE_BLOCK 2

static inline tile_mask tile_mask_of(size_t n) { return (tile_mask)(0xFFu >> (8 - n)); }
static inline tile_vec tile_zero(void) { return _mm512_setzero_pd(); }
static inline tile_vec tile_set1(double x) { return _mm512_set1_pd(x); }
static inline tile_vec tile_load(const double *p) { return _mm512_loadu_pd(p); }
static inline tile_vec tile_load_mask(const double *p, tile_mask m) { return _mm512_maskz_loadu_pd(m, p); }
static inline void tile_store(double *p, tile_vec x) { _mm512_storeu_pd(p, x); }
static inline void tile_store_mask(double *p, tile_mask m, tile_vec x) { _mm512_mask_storeu_pd(p, m, x); }
static inline tile_vec tile_add(tile_vec x, tile_vec y) { return _mm512_add_pd(x, y); }
static inline tile_vec tile_mul(tile_vec x, tile_vec y) { return _mm512_mul_pd(x, y); }
static inline tile_vec tile_fma(tile_vec x, tile_vec y, tile_vec z) { return _mm512_fmadd_pd(x, y, z); }
#if defined(__GNUC__) && !defined(__clang__)   /* sum += x y, see tile_row in tile.h */
#define TILE_FMA(sum, x, y) __asm__ volatile("vfmadd231pd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y))
#define TILE_FMA_NUMBER(sum, x, y) __asm__ volatile("vfmadd231pd %2%{1to8%}, %1, %0" : "+v"(sum) : "v"(x), "m"(*(y)))
#endif

static inline __m512d tile_quarter(const double *r0, const double *r1, const double *r2, const double *r3)
{
    __m512d x = _mm512_castpd128_pd512(_mm_loadu_pd(r0));
    x = _mm512_insertf64x2(x, _mm_loadu_pd(r1), 1);
    x = _mm512_insertf64x2(x, _mm_loadu_pd(r2), 2);
    return _mm512_insertf64x2(x, _mm_loadu_pd(r3), 3);
}

/* out[j] = element j of each of the 8 rows, j < 2. */
#define TILE_TRANSPOSE(out, row)                                                                                              \
    do {                                                                                                                      \
        __m512d x0 = tile_quarter(row(0), row(2), row(4), row(6)), x1 = tile_quarter(row(1), row(3), row(5), row(7));         \
        out[0] = _mm512_unpacklo_pd(x0, x1);                                                                                  \
        out[1] = _mm512_unpackhi_pd(x0, x1);                                                                                  \
    } while (0)

/* The 8 x 8 transpose of x, in place: 24 shuffles. */
#define TILE_LINE 8
static inline void tile_lines(__m512d *x)
{
    __m512d y[8];
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm512_unpacklo_pd(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_pd(x[i], x[i + 1]);
    }
    for (int j = 0; j < 2; ++j) {
        const __m512d s0 = _mm512_shuffle_f64x2(y[j], y[j + 2], 0x88), s1 = _mm512_shuffle_f64x2(y[j], y[j + 2], 0xdd);
        const __m512d s2 = _mm512_shuffle_f64x2(y[j + 4], y[j + 6], 0x88), s3 = _mm512_shuffle_f64x2(y[j + 4], y[j + 6], 0xdd);
        x[j] = _mm512_shuffle_f64x2(s0, s2, 0x88);
        x[j + 2] = _mm512_shuffle_f64x2(s1, s3, 0x88);
        x[j + 4] = _mm512_shuffle_f64x2(s0, s2, 0xdd);
        x[j + 6] = _mm512_shuffle_f64x2(s1, s3, 0xdd);
    }
}
#endif
