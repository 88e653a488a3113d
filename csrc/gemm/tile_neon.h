/* tile_neon.h — the words of the matrix product's tiles on AArch64: 32 registers of 4 floats or 2 doubles.
 *
 * A tile of 6 rows x 4 vectors keeps 24 accumulators and 4 vectors of B in registers. There are no masked loads: the last vector of a
 * ragged edge goes through a small array. */
#include <arm_neon.h>
#include <string.h>

#define TILE_ISA FNN_NEON
#define TILE_ROWS 6
#define TILE_SUMS 24
#define TILE_STEPS 1    /* steps of k per round */
#define TILE_ANY_STRIDE 1
#define TILE_ALWAYS_MASKED 0
#define TILE_LIST(X)                                                                                                          \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)                            \
    X(1, 3) X(2, 3) X(3, 3) X(4, 3) X(5, 3) X(6, 3) X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4)                            \
    X(1, 5) X(2, 5) X(3, 5) X(1, 6) X(2, 6) X(3, 6) X(1, 7) X(2, 7) X(3, 7) X(1, 8) X(2, 8) X(3, 8)

#define tile_prefetch(p) ((void)(p))

typedef size_t tile_mask;
static inline tile_mask tile_mask_of(size_t n) { return n; }

#ifdef FNN_DTYPE_IS_F32
typedef float32x4_t tile_vec;
#define TILE_LANES 4
#define TILE_BLOCK 4

static inline tile_vec tile_zero(void) { return vdupq_n_f32(0); }
static inline tile_vec tile_set1(float x) { return vdupq_n_f32(x); }
static inline tile_vec tile_load(const float *p) { return vld1q_f32(p); }
static inline tile_vec tile_load_mask(const float *p, tile_mask m)
{
    float x[4] = {0};
    memcpy(x, p, m * sizeof *x);
    return vld1q_f32(x);
}
static inline void tile_store(float *p, tile_vec x) { vst1q_f32(p, x); }
static inline void tile_store_mask(float *p, tile_mask m, tile_vec x)
{
    float y[4];
    vst1q_f32(y, x);
    memcpy(p, y, m * sizeof *y);
}
static inline tile_vec tile_add(tile_vec x, tile_vec y) { return vaddq_f32(x, y); }
static inline tile_vec tile_mul(tile_vec x, tile_vec y) { return vmulq_f32(x, y); }
static inline tile_vec tile_fma(tile_vec x, tile_vec y, tile_vec z) { return vfmaq_f32(z, x, y); }

/* out[j] = element j of each of the 4 rows, j < 4. */
#define TILE_TRANSPOSE(out, row)                                                                                              \
    do {                                                                                                                      \
        float32x4_t x0 = vld1q_f32(row(0)), x1 = vld1q_f32(row(1)), x2 = vld1q_f32(row(2)), x3 = vld1q_f32(row(3));           \
        float64x2_t y0 = vreinterpretq_f64_f32(vzip1q_f32(x0, x1)), y1 = vreinterpretq_f64_f32(vzip2q_f32(x0, x1));           \
        float64x2_t y2 = vreinterpretq_f64_f32(vzip1q_f32(x2, x3)), y3 = vreinterpretq_f64_f32(vzip2q_f32(x2, x3));           \
        out[0] = vreinterpretq_f32_f64(vzip1q_f64(y0, y2));                                                                   \
        out[1] = vreinterpretq_f32_f64(vzip2q_f64(y0, y2));                                                                   \
        out[2] = vreinterpretq_f32_f64(vzip1q_f64(y1, y3));                                                                   \
        out[3] = vreinterpretq_f32_f64(vzip2q_f64(y1, y3));                                                                   \
    } while (0)
#else
typedef float64x2_t tile_vec;
#define TILE_LANES 2
#define TILE_BLOCK 2

static inline tile_vec tile_zero(void) { return vdupq_n_f64(0); }
static inline tile_vec tile_set1(double x) { return vdupq_n_f64(x); }
static inline tile_vec tile_load(const double *p) { return vld1q_f64(p); }
static inline tile_vec tile_load_mask(const double *p, tile_mask m)
{
    double x[2] = {0};
    memcpy(x, p, m * sizeof *x);
    return vld1q_f64(x);
}
static inline void tile_store(double *p, tile_vec x) { vst1q_f64(p, x); }
static inline void tile_store_mask(double *p, tile_mask m, tile_vec x)
{
    double y[2];
    vst1q_f64(y, x);
    memcpy(p, y, m * sizeof *y);
}
static inline tile_vec tile_add(tile_vec x, tile_vec y) { return vaddq_f64(x, y); }
static inline tile_vec tile_mul(tile_vec x, tile_vec y) { return vmulq_f64(x, y); }
static inline tile_vec tile_fma(tile_vec x, tile_vec y, tile_vec z) { return vfmaq_f64(z, x, y); }

/* out[j] = element j of each of the 2 rows, j < 2. */
#define TILE_TRANSPOSE(out, row)                                                                                              \
    do {                                                                                                                      \
        float64x2_t x0 = vld1q_f64(row(0)), x1 = vld1q_f64(row(1));                                                           \
        out[0] = vzip1q_f64(x0, x1);                                                                                          \
        out[1] = vzip2q_f64(x0, x1);                                                                                          \
    } while (0)
#endif
