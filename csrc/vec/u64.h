/* u64.h — vectors of UW unsigned 64-bit lanes, for random numbers. Integers: the bits are the same everywhere by nature.
 *
 *   u_set u_load u_store   u_add u_xor u_or
 *   u_mul (the product of the lanes' low halves), u_high (a >> 32), u_low (a & (2^32 - 1)), u_raise (a << 32)
 */
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
typedef __m512i U;
enum { UW = 8 };
#define X(op) _mm512_##op
FNN_INLINE U u_set(uint64_t x) { return X(set1_epi64)((long long)x); }
FNN_INLINE U u_load(const uint64_t *p) { return X(loadu_si512)(p); }
FNN_INLINE void u_store(uint64_t *p, U a) { X(storeu_si512)(p, a); }
FNN_INLINE U u_xor(U a, U b) { return X(xor_si512)(a, b); }
FNN_INLINE U u_or(U a, U b) { return X(or_si512)(a, b); }
FNN_INLINE U u_low(U a) { return X(and_si512)(a, u_set(0xffffffffu)); }
#elif defined(__AVX2__)
typedef __m256i U;
enum { UW = 4 };
#define X(op) _mm256_##op
FNN_INLINE U u_set(uint64_t x) { return X(set1_epi64x)((long long)x); }
FNN_INLINE U u_load(const uint64_t *p) { return X(loadu_si256)((const __m256i *)p); }
FNN_INLINE void u_store(uint64_t *p, U a) { X(storeu_si256)((__m256i *)p, a); }
FNN_INLINE U u_xor(U a, U b) { return X(xor_si256)(a, b); }
FNN_INLINE U u_or(U a, U b) { return X(or_si256)(a, b); }
FNN_INLINE U u_low(U a) { return X(and_si256)(a, u_set(0xffffffffu)); }
#endif

#ifdef X
FNN_INLINE U u_add(U a, U b) { return X(add_epi64)(a, b); }
FNN_INLINE U u_mul(U a, U b) { return X(mul_epu32)(a, b); }
FNN_INLINE U u_high(U a) { return X(srli_epi64)(a, 32); }
FNN_INLINE U u_raise(U a) { return X(slli_epi64)(a, 32); }
#undef X
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
typedef uint64x2_t U;
enum { UW = 2 };
FNN_INLINE U u_set(uint64_t x) { return vdupq_n_u64(x); }
FNN_INLINE U u_load(const uint64_t *p) { return vld1q_u64(p); }
FNN_INLINE void u_store(uint64_t *p, U a) { vst1q_u64(p, a); }
FNN_INLINE U u_add(U a, U b) { return vaddq_u64(a, b); }
FNN_INLINE U u_xor(U a, U b) { return veorq_u64(a, b); }
FNN_INLINE U u_or(U a, U b) { return vorrq_u64(a, b); }
FNN_INLINE U u_mul(U a, U b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
FNN_INLINE U u_high(U a) { return vshrq_n_u64(a, 32); }
FNN_INLINE U u_low(U a) { return vandq_u64(a, u_set(0xffffffffu)); }
FNN_INLINE U u_raise(U a) { return vshlq_n_u64(a, 32); }
#else
typedef uint64_t U;
enum { UW = 1 };
FNN_INLINE U u_set(uint64_t x) { return x; }
FNN_INLINE U u_load(const uint64_t *p) { return *p; }
FNN_INLINE void u_store(uint64_t *p, U a) { *p = a; }
FNN_INLINE U u_add(U a, U b) { return a + b; }
FNN_INLINE U u_xor(U a, U b) { return a ^ b; }
FNN_INLINE U u_or(U a, U b) { return a | b; }
FNN_INLINE U u_mul(U a, U b) { return (uint64_t)(uint32_t)a * (uint32_t)b; }
FNN_INLINE U u_high(U a) { return a >> 32; }
FNN_INLINE U u_low(U a) { return a & 0xffffffffu; }
FNN_INLINE U u_raise(U a) { return a << 32; }
#endif
