/* vec_avx2.h — the vector words (see vec.h) for AVX2 with FMA. */
#include <immintrin.h>

#include "vec.h"

#ifdef FNN_DTYPE_IS_F32
typedef __m256 V;
enum { W = 8 };
#define P(op) _mm256_##op##_ps
#define Q(op) _mm256_##op##_epi32
#define CAST_I _mm256_castps_si256
#define CAST_V _mm256_castsi256_ps
#else
typedef __m256d V;
enum { W = 4 };
#define P(op) _mm256_##op##_pd
#define Q(op) _mm256_##op##_epi64
#define CAST_I _mm256_castpd_si256
#define CAST_V _mm256_castsi256_pd
#endif
typedef V M; /* all bits of a lane set, or none */
typedef __m256i I;

/* 32 bytes of ones, 32 of zeros: the window that begins W - n lanes in is the mask of the first n lanes. */
FNN_INLINE I first_lanes(size_t n)
{
    static const int64_t window[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)((const char *)window + ((size_t)W - n) * sizeof(T)));
}
FNN_INLINE M m_first(size_t n) { return CAST_V(first_lanes(n)); }

FNN_INLINE V v_load(const T *p) { return P(loadu)(p); }
FNN_INLINE void v_store(T *p, V v) { P(storeu)(p, v); }
FNN_INLINE V v_load_n(const T *p, size_t n) { return P(maskload)(p, first_lanes(n)); }
FNN_INLINE V v_load_span(const T *p, size_t first, size_t n)
{
    return P(maskload)(p, _mm256_andnot_si256(first_lanes(first), first_lanes(n)));
}
FNN_INLINE void v_store_n(T *p, V v, size_t n) { P(maskstore)(p, first_lanes(n), v); }

FNN_INLINE V v_set(T x) { return P(set1)(x); }
FNN_INLINE V v_zero(void) { return P(setzero)(); }

FNN_INLINE V v_add(V a, V b) { return P(add)(a, b); }
FNN_INLINE V v_sub(V a, V b) { return P(sub)(a, b); }
FNN_INLINE V v_mul(V a, V b) { return P(mul)(a, b); }
FNN_INLINE V v_div(V a, V b) { return P(div)(a, b); }
FNN_INLINE V v_sqrt(V a) { return P(sqrt)(a); }
FNN_INLINE V v_fma(V a, V b, V c) { return P(fmadd)(a, b, c); }
FNN_INLINE V v_fms(V a, V b, V c) { return P(fmsub)(a, b, c); }
FNN_INLINE V v_fnma(V a, V b, V c) { return P(fnmadd)(a, b, c); }
FNN_INLINE V v_min(V a, V b) { return P(min)(a, b); }
FNN_INLINE V v_max(V a, V b) { return P(max)(a, b); }

FNN_INLINE V v_and(V a, V b) { return P(and)(a, b); }
FNN_INLINE V v_or(V a, V b) { return P(or)(a, b); }
FNN_INLINE V v_xor(V a, V b) { return P(xor)(a, b); }
FNN_INLINE V v_neg(V a) { return P(xor)(a, v_set(T_C(-0.0))); }
FNN_INLINE V v_abs(V a) { return P(andnot)(v_set(T_C(-0.0)), a); }
FNN_INLINE V v_copysign(V magnitude, V sign)
{
    V bit = v_set(T_C(-0.0));
    return P(or)(P(andnot)(bit, magnitude), P(and)(bit, sign));
}

FNN_INLINE V v_round(V a) { return P(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
FNN_INLINE V v_floor(V a) { return P(round)(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }

FNN_INLINE M v_lt(V a, V b) { return P(cmp)(a, b, _CMP_LT_OQ); }
FNN_INLINE M v_le(V a, V b) { return P(cmp)(a, b, _CMP_LE_OQ); }
FNN_INLINE M v_gt(V a, V b) { return P(cmp)(a, b, _CMP_GT_OQ); }
FNN_INLINE M v_ge(V a, V b) { return P(cmp)(a, b, _CMP_GE_OQ); }
FNN_INLINE M v_eq(V a, V b) { return P(cmp)(a, b, _CMP_EQ_OQ); }
FNN_INLINE M v_ne(V a, V b) { return P(cmp)(a, b, _CMP_NEQ_UQ); }
FNN_INLINE M v_isnan(V a) { return P(cmp)(a, a, _CMP_UNORD_Q); }
FNN_INLINE M m_and(M a, M b) { return P(and)(a, b); }
FNN_INLINE M m_or(M a, M b) { return P(or)(a, b); }
FNN_INLINE M m_not(M a) { return P(xor)(a, CAST_V(_mm256_set1_epi32(-1))); }
FNN_INLINE int m_any(M a) { return P(movemask)(a) != 0; }
FNN_INLINE V v_select(M m, V if_true, V if_false) { return P(blendv)(if_false, if_true, m); }

FNN_INLINE I v_bits(V a) { return CAST_I(a); }
FNN_INLINE V v_from_bits(I a) { return CAST_V(a); }
FNN_INLINE I i_add(I a, I b) { return Q(add)(a, b); }
FNN_INLINE I i_sub(I a, I b) { return Q(sub)(a, b); }
FNN_INLINE I i_and(I a, I b) { return _mm256_and_si256(a, b); }
FNN_INLINE I i_or(I a, I b) { return _mm256_or_si256(a, b); }

#ifdef FNN_DTYPE_IS_F32
#define i_shl(a, count) _mm256_slli_epi32((a), (count))
#define i_shr(a, count) _mm256_srli_epi32((a), (count))
FNN_INLINE I i_set(TI x) { return _mm256_set1_epi32(x); }
FNN_INLINE I v_to_int(V a) { return _mm256_cvtps_epi32(a); }
FNN_INLINE V v_from_int(I a) { return _mm256_cvtepi32_ps(a); }
#else
#define i_shl(a, count) _mm256_slli_epi64((a), (count))
#define i_shr(a, count) _mm256_srli_epi64((a), (count))
FNN_INLINE I i_set(TI x) { return _mm256_set1_epi64x(x); }
/* There is no conversion to or from 64-bit integers: 2^52 + 2^51 brings a value's integer into the low mantissa bits. */
FNN_INLINE I v_to_int(V a)
{
    V magic = v_set(6755399441055744.0);
    return i_sub(v_bits(v_add(a, magic)), v_bits(magic));
}
FNN_INLINE V v_from_int(I a)
{
    V magic = v_set(6755399441055744.0);
    return v_sub(v_from_bits(i_add(a, v_bits(magic))), magic);
}
#endif

/* In two factors, 2^floor(n/2) and the rest: each is a normal number, and only the second product may round. */
FNN_INLINE V v_scale2(V x, V n)
{
    V half = v_floor(v_mul(n, v_set(T_C(0.5))));
    I bias = i_set(T_BIAS), low = v_to_int(half), high = v_to_int(v_sub(n, half));
    return v_mul(v_mul(x, v_from_bits(i_shl(i_add(low, bias), T_MANTISSA))),
                 v_from_bits(i_shl(i_add(high, bias), T_MANTISSA)));
}

#ifdef FNN_DTYPE_IS_F32
#define FOLD(op, v)                                                                                                           \
    __m128 q = _mm_##op##_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));                                         \
    q = _mm_##op##_ps(q, _mm_movehl_ps(q, q));                                                                                \
    return _mm_cvtss_f32(_mm_##op##_ss(q, _mm_movehdup_ps(q)))
#else
#define FOLD(op, v)                                                                                                           \
    __m128d q = _mm_##op##_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));                                        \
    return _mm_cvtsd_f64(_mm_##op##_sd(q, _mm_unpackhi_pd(q, q)))
#endif
FNN_INLINE T v_sum(V v) { FOLD(add, v); }
FNN_INLINE T v_top(V v) { FOLD(max, v); }

#ifdef FNN_DTYPE_IS_F32
/* blendv looks at the sign bit: bit 3 of the index, moved there. */
FNN_INLINE V v_table16(const T *t, I i)
{
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(v_load(t), i), _mm256_permutevar8x32_ps(v_load(t + 8), i), v_from_bits(i_shl(i, 28)));
}
#endif

/* Within the halves first, then the quarters (even, odd) or halves (zip) to their places. */
#ifdef FNN_DTYPE_IS_F32
#define QUARTERS(v) _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8))
FNN_INLINE V v_even(V a, V b) { return QUARTERS(_mm256_shuffle_ps(a, b, 0x88)); }
FNN_INLINE V v_odd(V a, V b) { return QUARTERS(_mm256_shuffle_ps(a, b, 0xdd)); }
FNN_INLINE V v_load_bytes(const uint8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p))); }
FNN_INLINE void v_store_bytes(uint8_t *p, V v)
{
    __m256i i = _mm256_cvtps_epi32(v);
    __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
}
#else
#define QUARTERS(v) _mm256_permute4x64_pd(v, 0xd8)
FNN_INLINE V v_even(V a, V b) { return QUARTERS(_mm256_unpacklo_pd(a, b)); }
FNN_INLINE V v_odd(V a, V b) { return QUARTERS(_mm256_unpackhi_pd(a, b)); }
FNN_INLINE V v_load_bytes(const uint8_t *p)
{
    int32_t four;
    memcpy(&four, p, 4);
    return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
}
FNN_INLINE void v_store_bytes(uint8_t *p, V v)
{
    __m128i i = _mm256_cvtpd_epi32(v), words = _mm_packus_epi32(i, i);
    int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    memcpy(p, &four, 4);
}
#endif
#undef QUARTERS
FNN_INLINE V v_zip_low(V a, V b) { return P(permute2f128)(P(unpacklo)(a, b), P(unpackhi)(a, b), 0x20); }
FNN_INLINE V v_zip_high(V a, V b) { return P(permute2f128)(P(unpacklo)(a, b), P(unpackhi)(a, b), 0x31); }

/* Blocks of W/2 within the halves, then the halves. */
FNN_INLINE void v_transpose(V m[W])
{
    V q[W];
#ifdef FNN_DTYPE_IS_F32
    for (int i = 0; i < 8; i += 4) {
        __m256d low = _mm256_castps_pd(_mm256_unpacklo_ps(m[i], m[i + 1])), high = _mm256_castps_pd(_mm256_unpackhi_ps(m[i], m[i + 1]));
        __m256d next_low = _mm256_castps_pd(_mm256_unpacklo_ps(m[i + 2], m[i + 3]));
        __m256d next_high = _mm256_castps_pd(_mm256_unpackhi_ps(m[i + 2], m[i + 3]));
        q[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, next_low)), q[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, next_low));
        q[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high, next_high)), q[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high, next_high));
    }
#else
    for (int i = 0; i < 4; i += 2) q[i] = _mm256_unpacklo_pd(m[i], m[i + 1]), q[i + 1] = _mm256_unpackhi_pd(m[i], m[i + 1]);
#endif
    for (int i = 0; i < W / 2; i++)
        m[i] = P(permute2f128)(q[i], q[i + W / 2], 0x20), m[i + W / 2] = P(permute2f128)(q[i], q[i + W / 2], 0x31);
}

#undef FOLD
#undef P
#undef Q
#undef CAST_I
#undef CAST_V
