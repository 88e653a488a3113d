/* vec_scalar.h — the vector words (see vec.h) in portable C, one lane wide. */
#include "vec.h"

typedef T V;
typedef TI I;
typedef int M;
enum { W = 1 };

#ifdef FNN_DTYPE_IS_F32
typedef uint32_t TU;
#define F(function) function##f
#else
typedef uint64_t TU;
#define F(function) function
#endif

FNN_INLINE M m_first(size_t n) { return n != 0; }

FNN_INLINE V v_load(const T *p) { return *p; }
FNN_INLINE void v_store(T *p, V v) { *p = v; }
FNN_INLINE V v_load_n(const T *p, size_t n) { return n ? *p : 0; }
FNN_INLINE V v_load_span(const T *p, size_t first, size_t n) { return first < n ? *p : 0; }
FNN_INLINE void v_store_n(T *p, V v, size_t n)
{
    if (n) *p = v;
}

FNN_INLINE V v_set(T x) { return x; }
FNN_INLINE V v_zero(void) { return 0; }

FNN_INLINE V v_add(V a, V b) { return a + b; }
FNN_INLINE V v_sub(V a, V b) { return a - b; }
FNN_INLINE V v_mul(V a, V b) { return a * b; }
FNN_INLINE V v_div(V a, V b) { return a / b; }
FNN_INLINE V v_sqrt(V a) { return F(sqrt)(a); }
FNN_INLINE V v_fma(V a, V b, V c) { return F(fma)(a, b, c); }
FNN_INLINE V v_fms(V a, V b, V c) { return F(fma)(a, b, -c); }
FNN_INLINE V v_fnma(V a, V b, V c) { return F(fma)(-a, b, c); }
FNN_INLINE V v_min(V a, V b) { return a < b ? a : b; }
FNN_INLINE V v_max(V a, V b) { return a > b ? a : b; }

FNN_INLINE I v_bits(V a)
{
    I bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
FNN_INLINE V v_from_bits(I a)
{
    V value;
    memcpy(&value, &a, sizeof value);
    return value;
}
FNN_INLINE V v_and(V a, V b) { return v_from_bits(v_bits(a) & v_bits(b)); }
FNN_INLINE V v_or(V a, V b) { return v_from_bits(v_bits(a) | v_bits(b)); }
FNN_INLINE V v_xor(V a, V b) { return v_from_bits(v_bits(a) ^ v_bits(b)); }
FNN_INLINE V v_neg(V a) { return v_xor(a, T_C(-0.0)); }
FNN_INLINE V v_abs(V a) { return F(fabs)(a); }
FNN_INLINE V v_copysign(V magnitude, V sign) { return F(copysign)(magnitude, sign); }

FNN_INLINE V v_round(V a) { return F(rint)(a); }
FNN_INLINE V v_floor(V a) { return F(floor)(a); }

FNN_INLINE M v_lt(V a, V b) { return a < b; }
FNN_INLINE M v_le(V a, V b) { return a <= b; }
FNN_INLINE M v_gt(V a, V b) { return a > b; }
FNN_INLINE M v_ge(V a, V b) { return a >= b; }
FNN_INLINE M v_eq(V a, V b) { return a == b; }
FNN_INLINE M v_ne(V a, V b) { return a != b; }
FNN_INLINE M v_isnan(V a) { return a != a; }
FNN_INLINE M m_and(M a, M b) { return a & b; }
FNN_INLINE M m_or(M a, M b) { return a | b; }
FNN_INLINE M m_not(M a) { return !a; }
FNN_INLINE int m_any(M a) { return a; }
FNN_INLINE V v_select(M m, V if_true, V if_false) { return m ? if_true : if_false; }

/* Integers wrap around, as they do in vector registers. */
FNN_INLINE I i_set(TI x) { return x; }
FNN_INLINE I i_add(I a, I b) { return (I)((TU)a + (TU)b); }
FNN_INLINE I i_sub(I a, I b) { return (I)((TU)a - (TU)b); }
FNN_INLINE I i_and(I a, I b) { return a & b; }
FNN_INLINE I i_or(I a, I b) { return a | b; }
#define i_shl(a, count) ((I)((TU)(a) << (count)))
#define i_shr(a, count) ((I)((TU)(a) >> (count)))

/* A cast of NaN or of a value out of range is undefined in C. */
FNN_INLINE I v_to_int(V a) { return v_abs(a) < T_C(2147483648.0) ? (I)a : 0; }
FNN_INLINE V v_from_int(I a) { return (V)a; }

/* In two factors, 2^floor(n/2) and the rest: each is a normal number, and only the second product may round. */
FNN_INLINE V v_scale2(V x, V n)
{
    V half = v_floor(n * T_C(0.5));
    I bias = i_set(T_BIAS), low = v_to_int(half), high = v_to_int(n - half);
    return x * v_from_bits(i_shl(i_add(low, bias), T_MANTISSA)) * v_from_bits(i_shl(i_add(high, bias), T_MANTISSA));
}

FNN_INLINE T v_sum(V v) { return v; }
FNN_INLINE T v_top(V v) { return v; }
#ifdef FNN_DTYPE_IS_F32
FNN_INLINE V v_table16(const T *t, I i) { return t[i & 15]; }
#endif
FNN_INLINE void v_transpose(V m[W]) { (void)m; }
FNN_INLINE V v_even(V a, V b) { return (void)b, a; }
FNN_INLINE V v_odd(V a, V b) { return (void)a, b; }
FNN_INLINE V v_zip_low(V a, V b) { return (void)b, a; }
FNN_INLINE V v_zip_high(V a, V b) { return (void)a, b; }
FNN_INLINE V v_load_bytes(const uint8_t *p) { return *p; }
FNN_INLINE void v_store_bytes(uint8_t *p, V v) { *p = (uint8_t)v; }

#undef F
