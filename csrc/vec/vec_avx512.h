/* vec_avx512.h — the vector words (see vec.h) for AVX-512 F, BW, DQ, VL. */
#include <immintrin.h>

#include "vec.h"

#ifdef FNN_DTYPE_IS_F32
typedef __m512 V;
typedef __mmask16 M;
enum { W = 16 };
#define P(op) _mm512_##op##_ps
#define Q(op) _mm512_##op##_epi32
#define P_MASK(op) _mm512_##op##_ps_mask
#define M_ALL 0xffffu
#else
typedef __m512d V;
typedef __mmask8 M;
enum { W = 8 };
#define P(op) _mm512_##op##_pd
#define Q(op) _mm512_##op##_epi64
#define P_MASK(op) _mm512_##op##_pd_mask
#define M_ALL 0xffu
#endif
typedef __m512i I;

FNN_INLINE M m_first(size_t n) { return (M)((1u << n) - 1u); }

FNN_INLINE V v_load(const T *p) { return P(loadu)(p); }
FNN_INLINE void v_store(T *p, V v) { P(storeu)(p, v); }
FNN_INLINE V v_load_n(const T *p, size_t n) { return P(maskz_loadu)(m_first(n), p); }
FNN_INLINE V v_load_span(const T *p, size_t first, size_t n) { return P(maskz_loadu)((M)(m_first(n) & ~m_first(first)), p); }
FNN_INLINE void v_store_n(T *p, V v, size_t n) { P(mask_storeu)(p, m_first(n), v); }

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

FNN_INLINE V v_round(V a) { return P(roundscale)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
FNN_INLINE V v_floor(V a) { return P(roundscale)(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }

FNN_INLINE M v_lt(V a, V b) { return P_MASK(cmp)(a, b, _CMP_LT_OQ); }
FNN_INLINE M v_le(V a, V b) { return P_MASK(cmp)(a, b, _CMP_LE_OQ); }
FNN_INLINE M v_gt(V a, V b) { return P_MASK(cmp)(a, b, _CMP_GT_OQ); }
FNN_INLINE M v_ge(V a, V b) { return P_MASK(cmp)(a, b, _CMP_GE_OQ); }
FNN_INLINE M v_eq(V a, V b) { return P_MASK(cmp)(a, b, _CMP_EQ_OQ); }
FNN_INLINE M v_ne(V a, V b) { return P_MASK(cmp)(a, b, _CMP_NEQ_UQ); }
FNN_INLINE M v_isnan(V a) { return P_MASK(cmp)(a, a, _CMP_UNORD_Q); }
FNN_INLINE M m_and(M a, M b) { return (M)(a & b); }
FNN_INLINE M m_or(M a, M b) { return (M)(a | b); }
FNN_INLINE M m_not(M a) { return (M)(~a & M_ALL); }
FNN_INLINE int m_any(M a) { return a != 0; }
FNN_INLINE V v_select(M m, V if_true, V if_false) { return P(mask_blend)(m, if_false, if_true); }

FNN_INLINE I i_set(TI x) { return Q(set1)(x); }
FNN_INLINE I i_add(I a, I b) { return Q(add)(a, b); }
FNN_INLINE I i_sub(I a, I b) { return Q(sub)(a, b); }
FNN_INLINE I i_and(I a, I b) { return Q(and)(a, b); }
FNN_INLINE I i_or(I a, I b) { return Q(or)(a, b); }

#ifdef FNN_DTYPE_IS_F32
#define i_shl(a, count) _mm512_slli_epi32((a), (count))
#define i_shr(a, count) _mm512_srli_epi32((a), (count))
FNN_INLINE I v_bits(V a) { return _mm512_castps_si512(a); }
FNN_INLINE V v_from_bits(I a) { return _mm512_castsi512_ps(a); }
FNN_INLINE I v_to_int(V a) { return _mm512_cvtps_epi32(a); }
FNN_INLINE V v_from_int(I a) { return _mm512_cvtepi32_ps(a); }
#else
#define i_shl(a, count) _mm512_slli_epi64((a), (count))
#define i_shr(a, count) _mm512_srli_epi64((a), (count))
FNN_INLINE I v_bits(V a) { return _mm512_castpd_si512(a); }
FNN_INLINE V v_from_bits(I a) { return _mm512_castsi512_pd(a); }
FNN_INLINE I v_to_int(V a) { return _mm512_cvtpd_epi64(a); }
FNN_INLINE V v_from_int(I a) { return _mm512_cvtepi64_pd(a); }
#endif

/* The sign's bit where the first operand has one, the magnitude's elsewhere. */
FNN_INLINE V v_copysign(V magnitude, V sign)
{
    return v_from_bits(Q(ternarylogic)(v_bits(v_set(T_C(-0.0))), v_bits(sign), v_bits(magnitude), 0xca));
}

FNN_INLINE V v_scale2(V x, V n) { return P(scalef)(x, n); }

#ifdef FNN_DTYPE_IS_F32
#define FOLD(op, v)                                                                                                           \
    __m256 h = _mm256_##op##_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));                                     \
    __m128 q = _mm_##op##_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));                                         \
    q = _mm_##op##_ps(q, _mm_movehl_ps(q, q));                                                                                \
    return _mm_cvtss_f32(_mm_##op##_ss(q, _mm_movehdup_ps(q)))
#else
#define FOLD(op, v)                                                                                                           \
    __m256d h = _mm256_##op##_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));                                    \
    __m128d q = _mm_##op##_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));                                        \
    return _mm_cvtsd_f64(_mm_##op##_sd(q, _mm_unpackhi_pd(q, q)))
#endif
FNN_INLINE T v_sum(V v) { FOLD(add, v); }
FNN_INLINE T v_top(V v) { FOLD(max, v); }

#ifdef FNN_DTYPE_IS_F32
FNN_INLINE V v_table16(const T *t, I i) { return _mm512_permutexvar_ps(i, v_load(t)); }
#endif

#ifdef FNN_DTYPE_IS_F32
#define PICK(a, b, ...) _mm512_permutex2var_ps(a, _mm512_setr_epi32(__VA_ARGS__), b)
FNN_INLINE V v_even(V a, V b) { return PICK(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30); }
FNN_INLINE V v_odd(V a, V b) { return PICK(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31); }
FNN_INLINE V v_zip_low(V a, V b) { return PICK(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
FNN_INLINE V v_zip_high(V a, V b) { return PICK(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31); }
FNN_INLINE V v_load_bytes(const uint8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p))); }
FNN_INLINE void v_store_bytes(uint8_t *p, V v) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))); }
#else
#define PICK(a, b, ...) _mm512_permutex2var_pd(a, _mm512_setr_epi64(__VA_ARGS__), b)
FNN_INLINE V v_even(V a, V b) { return PICK(a, b, 0, 2, 4, 6, 8, 10, 12, 14); }
FNN_INLINE V v_odd(V a, V b) { return PICK(a, b, 1, 3, 5, 7, 9, 11, 13, 15); }
FNN_INLINE V v_zip_low(V a, V b) { return PICK(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
FNN_INLINE V v_zip_high(V a, V b) { return PICK(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
FNN_INLINE V v_load_bytes(const uint8_t *p) { return _mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p))); }
FNN_INLINE void v_store_bytes(uint8_t *p, V v) { _mm_storel_epi64((__m128i *)p, _mm256_cvtepi32_epi8(_mm512_cvtpd_epi32(v))); }
#endif
#undef PICK

/* 4 x 4 blocks within the quarters, then the quarters. */
FNN_INLINE void v_transpose(V m[W])
{
    V q[W];
#ifdef FNN_DTYPE_IS_F32
    for (int i = 0; i < 16; i += 4) {
        __m512d low = _mm512_castps_pd(_mm512_unpacklo_ps(m[i], m[i + 1])), high = _mm512_castps_pd(_mm512_unpackhi_ps(m[i], m[i + 1]));
        __m512d next_low = _mm512_castps_pd(_mm512_unpacklo_ps(m[i + 2], m[i + 3]));
        __m512d next_high = _mm512_castps_pd(_mm512_unpackhi_ps(m[i + 2], m[i + 3]));
        q[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, next_low)), q[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, next_low));
        q[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high, next_high)), q[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high, next_high));
    }
#define QUARTERS _mm512_shuffle_f32x4
#else
    for (int i = 0; i < 8; i += 2) q[i] = _mm512_unpacklo_pd(m[i], m[i + 1]), q[i + 1] = _mm512_unpackhi_pd(m[i], m[i + 1]);
#define QUARTERS _mm512_shuffle_f64x2
#endif
    for (int i = 0; i < W / 4; i++) {
        V *a = q + i, low = QUARTERS(a[0], a[W / 4], 0x44), high = QUARTERS(a[0], a[W / 4], 0xee);
        V next_low = QUARTERS(a[W / 2], a[3 * W / 4], 0x44), next_high = QUARTERS(a[W / 2], a[3 * W / 4], 0xee);
        m[i] = QUARTERS(low, next_low, 0x88), m[i + W / 4] = QUARTERS(low, next_low, 0xdd);
        m[i + W / 2] = QUARTERS(high, next_high, 0x88), m[i + 3 * W / 4] = QUARTERS(high, next_high, 0xdd);
    }
#undef QUARTERS
}

#undef FOLD
#undef P
#undef Q
#undef P_MASK
#undef M_ALL
