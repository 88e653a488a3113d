/* vec_neon.h — the vector words (see vec.h) for 64-bit ARM. */
#include <arm_neon.h>

#include "vec.h"

#ifdef FNN_DTYPE_IS_F32
typedef float32x4_t V;
typedef int32x4_t I;
typedef uint32x4_t M;
enum { W = 4 };
#define P(op) op##_f32
#define Q(op) op##_s32
#define U(op) op##_u32
#define F_OF_S vreinterpretq_f32_s32
#define F_OF_U vreinterpretq_f32_u32
#define S_OF_F vreinterpretq_s32_f32
#define U_OF_F vreinterpretq_u32_f32
#else
typedef float64x2_t V;
typedef int64x2_t I;
typedef uint64x2_t M;
enum { W = 2 };
#define P(op) op##_f64
#define Q(op) op##_s64
#define U(op) op##_u64
#define F_OF_S vreinterpretq_f64_s64
#define F_OF_U vreinterpretq_f64_u64
#define S_OF_F vreinterpretq_s64_f64
#define U_OF_F vreinterpretq_u64_f64
#endif

FNN_INLINE V v_load(const T *p) { return P(vld1q)(p); }
FNN_INLINE void v_store(T *p, V v) { P(vst1q)(p, v); }
FNN_INLINE V v_load_n(const T *p, size_t n)
{
    T lanes[W] = {0};
    for (size_t i = 0; i < n; i++) lanes[i] = p[i];
    return v_load(lanes);
}
FNN_INLINE V v_load_span(const T *p, size_t first, size_t n)
{
    T lanes[W] = {0};
    for (size_t i = first; i < n; i++) lanes[i] = p[i];
    return v_load(lanes);
}
FNN_INLINE void v_store_n(T *p, V v, size_t n)
{
    T lanes[W];
    v_store(lanes, v);
    for (size_t i = 0; i < n; i++) p[i] = lanes[i];
}

FNN_INLINE V v_set(T x) { return P(vdupq_n)(x); }
FNN_INLINE V v_zero(void) { return P(vdupq_n)(0); }

FNN_INLINE V v_add(V a, V b) { return P(vaddq)(a, b); }
FNN_INLINE V v_sub(V a, V b) { return P(vsubq)(a, b); }
FNN_INLINE V v_mul(V a, V b) { return P(vmulq)(a, b); }
FNN_INLINE V v_div(V a, V b) { return P(vdivq)(a, b); }
FNN_INLINE V v_sqrt(V a) { return P(vsqrtq)(a); }
FNN_INLINE V v_neg(V a) { return P(vnegq)(a); }
FNN_INLINE V v_abs(V a) { return P(vabsq)(a); }
FNN_INLINE V v_fma(V a, V b, V c) { return P(vfmaq)(c, a, b); }
FNN_INLINE V v_fms(V a, V b, V c) { return P(vfmaq)(v_neg(c), a, b); }
FNN_INLINE V v_fnma(V a, V b, V c) { return P(vfmsq)(c, a, b); }
FNN_INLINE V v_round(V a) { return P(vrndnq)(a); }
FNN_INLINE V v_floor(V a) { return P(vrndmq)(a); }

FNN_INLINE M v_lt(V a, V b) { return P(vcltq)(a, b); }
FNN_INLINE M v_le(V a, V b) { return P(vcleq)(a, b); }
FNN_INLINE M v_gt(V a, V b) { return P(vcgtq)(a, b); }
FNN_INLINE M v_ge(V a, V b) { return P(vcgeq)(a, b); }
FNN_INLINE M v_eq(V a, V b) { return P(vceqq)(a, b); }
FNN_INLINE M m_and(M a, M b) { return U(vandq)(a, b); }
FNN_INLINE M m_or(M a, M b) { return U(vorrq)(a, b); }
FNN_INLINE M m_not(M a) { return U(vceqq)(a, U(vdupq_n)(0)); }
FNN_INLINE M v_ne(V a, V b) { return m_not(v_eq(a, b)); }
FNN_INLINE M v_isnan(V a) { return m_not(v_eq(a, a)); }
FNN_INLINE V v_select(M m, V if_true, V if_false) { return P(vbslq)(m, if_true, if_false); }
FNN_INLINE V v_min(V a, V b) { return v_select(v_lt(a, b), a, b); } /* FMIN and FMAX treat NaN and zeros otherwise */
FNN_INLINE V v_max(V a, V b) { return v_select(v_gt(a, b), a, b); }
FNN_INLINE V v_copysign(V magnitude, V sign) { return v_select(U_OF_F(v_set(T_C(-0.0))), sign, magnitude); }

FNN_INLINE V v_and(V a, V b) { return F_OF_U(U(vandq)(U_OF_F(a), U_OF_F(b))); }
FNN_INLINE V v_or(V a, V b) { return F_OF_U(U(vorrq)(U_OF_F(a), U_OF_F(b))); }
FNN_INLINE V v_xor(V a, V b) { return F_OF_U(U(veorq)(U_OF_F(a), U_OF_F(b))); }

FNN_INLINE I v_bits(V a) { return S_OF_F(a); }
FNN_INLINE V v_from_bits(I a) { return F_OF_S(a); }
FNN_INLINE I i_set(TI x) { return Q(vdupq_n)(x); }
FNN_INLINE I i_add(I a, I b) { return Q(vaddq)(a, b); }
FNN_INLINE I i_sub(I a, I b) { return Q(vsubq)(a, b); }
FNN_INLINE I i_and(I a, I b) { return Q(vandq)(a, b); }
FNN_INLINE I i_or(I a, I b) { return Q(vorrq)(a, b); }

#ifdef FNN_DTYPE_IS_F32
#define i_shl(a, count) vshlq_n_s32((a), (count))
#define i_shr(a, count) vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a), (count)))
FNN_INLINE I v_to_int(V a) { return vcvtnq_s32_f32(a); }
FNN_INLINE V v_from_int(I a) { return vcvtq_f32_s32(a); }
FNN_INLINE int m_any(M a) { return vmaxvq_u32(a) != 0; }
FNN_INLINE M m_first(size_t n)
{
    static const uint32_t lane[4] = {0, 1, 2, 3};
    return vcltq_u32(vld1q_u32(lane), vdupq_n_u32((uint32_t)n));
}
/* Lane i with lane i + 2, then the two that are left. */
FNN_INLINE T v_sum(V v)
{
    float32x2_t q = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(q, 0) + vget_lane_f32(q, 1);
}
FNN_INLINE T v_top(V v)
{
    V q = v_max(v, vextq_f32(v, v, 2));
    return vgetq_lane_f32(v_max(q, vextq_f32(q, q, 1)), 0);
}
/* Bytes 4 i to 4 i + 3 of the table. */
FNN_INLINE V v_table16(const T *t, I i)
{
    uint32x4_t bytes = vmlaq_n_u32(vdupq_n_u32(0x03020100), vandq_u32(vreinterpretq_u32_s32(i), vdupq_n_u32(15)), 0x04040404);
    return vreinterpretq_f32_u8(vqtbl4q_u8(vld1q_u8_x4((const uint8_t *)t), vreinterpretq_u8_u32(bytes)));
}
FNN_INLINE void v_transpose(V m[W])
{
    V a = vzip1q_f32(m[0], m[2]), b = vzip2q_f32(m[0], m[2]), c = vzip1q_f32(m[1], m[3]), d = vzip2q_f32(m[1], m[3]);
    m[0] = vzip1q_f32(a, c), m[1] = vzip2q_f32(a, c), m[2] = vzip1q_f32(b, d), m[3] = vzip2q_f32(b, d);
}
#else
#define i_shl(a, count) vshlq_n_s64((a), (count))
#define i_shr(a, count) vreinterpretq_s64_u64(vshrq_n_u64(vreinterpretq_u64_s64(a), (count)))
FNN_INLINE I v_to_int(V a) { return vcvtnq_s64_f64(a); }
FNN_INLINE V v_from_int(I a) { return vcvtq_f64_s64(a); }
FNN_INLINE int m_any(M a) { return vmaxvq_u32(vreinterpretq_u32_u64(a)) != 0; }
FNN_INLINE M m_first(size_t n)
{
    static const uint64_t lane[2] = {0, 1};
    return vcltq_u64(vld1q_u64(lane), vdupq_n_u64((uint64_t)n));
}
FNN_INLINE T v_sum(V v) { return vgetq_lane_f64(v, 0) + vgetq_lane_f64(v, 1); }
FNN_INLINE T v_top(V v) { return vgetq_lane_f64(v_max(v, vextq_f64(v, v, 1)), 0); }
FNN_INLINE void v_transpose(V m[W])
{
    V a = vzip1q_f64(m[0], m[1]), b = vzip2q_f64(m[0], m[1]);
    m[0] = a, m[1] = b;
}
#endif

FNN_INLINE V v_even(V a, V b) { return P(vuzp1q)(a, b); }
FNN_INLINE V v_odd(V a, V b) { return P(vuzp2q)(a, b); }
FNN_INLINE V v_zip_low(V a, V b) { return P(vzip1q)(a, b); }
FNN_INLINE V v_zip_high(V a, V b) { return P(vzip2q)(a, b); }
FNN_INLINE V v_load_bytes(const uint8_t *p)
{
    T lanes[W];
    for (int i = 0; i < W; i++) lanes[i] = p[i];
    return v_load(lanes);
}
FNN_INLINE void v_store_bytes(uint8_t *p, V v)
{
    T lanes[W];
    v_store(lanes, v);
    for (int i = 0; i < W; i++) p[i] = (uint8_t)lanes[i];
}

/* In two factors, 2^floor(n/2) and the rest: each is a normal number, and only the second product may round. */
FNN_INLINE V v_scale2(V x, V n)
{
    V half = v_floor(v_mul(n, v_set(T_C(0.5))));
    I bias = i_set(T_BIAS), low = v_to_int(half), high = v_to_int(v_sub(n, half));
    return v_mul(v_mul(x, v_from_bits(i_shl(i_add(low, bias), T_MANTISSA))),
                 v_from_bits(i_shl(i_add(high, bias), T_MANTISSA)));
}

#undef P
#undef Q
#undef U
#undef F_OF_S
#undef F_OF_U
#undef S_OF_F
#undef U_OF_F
