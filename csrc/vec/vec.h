/* vec.h — what the vector words of every instruction set share. Included by vec_<isa>.h only.
 *
 * A translation unit is compiled for one dtype and one instruction set. It defines FNN_DTYPE_IS_F32 or FNN_DTYPE_IS_F64, then
 * includes one vec_<isa>.h, which defines the words below. Every op is written once on these words; intrinsics appear nowhere
 * else but in gemm/. A word gives the same bits on every instruction set (only the sign and payload of a NaN may differ).
 *
 *   types     T scalar, V vector of W scalars, I vector of W integers as wide as T, M mask of W truth values, W lanes
 *   memory    v_load v_store (any alignment), v_load_n v_store_n (the first n <= W lanes; memory beyond is not touched, lanes
 *             beyond load as +0), v_load_span (the lanes first to n - 1 alone, the others +0)
 *   values    v_set v_zero
 *   rounding  v_add v_sub v_mul v_div v_sqrt, v_fma (a b + c), v_fms (a b - c), v_fnma (c - a b): each rounds once
 *   order     v_min = a < b ? a : b and v_max = a > b ? a : b. So b comes out when either operand is NaN, and when both are
 *             zeros: v_max(limit, x) keeps a NaN in x, v_max(x, limit) drops it
 *   sign      v_neg v_abs v_copysign (magnitude, sign); these also act on NaN
 *   integral  v_round (to nearest, ties to even), v_floor
 *   masks     v_lt v_le v_gt v_ge v_eq (false with NaN), v_ne (true with NaN), v_isnan, m_first (the first n <= W lanes),
 *             m_and m_or m_not m_any, v_select (mask, where true, where false)
 *   bits      v_and v_or v_xor; v_bits v_from_bits (reinterpret)
 *   integers  i_set i_add i_sub i_and i_or, i_shl i_shr (logical; the count is a constant), v_to_int (an integral value below
 *             2^31 in magnitude), v_from_int (a value below 2^31 in magnitude; rounds)
 *   scaling   v_scale2 (x, n) = x 2^n for integral n, |n| <= 252 (float) or 2044 (double), rounded once when x 2^floor(n/2)
 *             is exact: always so for 2^-2 <= |x| < 2^2. Zeros, infinities and NaN in x stay
 *   across    v_sum and v_top (maximum by v_max): fold in halves, lane i with lane i + W/2, down to one scalar.
 *             v_transpose (m): W vectors, lane j of vector i against lane i of vector j.
 *             v_table16 (t, i), float only: t[i mod 16] for integers i
 *   pairs     v_even v_odd (a, b): the elements 0, 2, 4, … and 1, 3, 5, … of a and b, one behind the other.
 *             v_zip_low v_zip_high (a, b): the first and the second W of a0 b0 a1 b1 …
 *   bytes     v_load_bytes v_store_bytes: W values from 0 to 255, integral, as uint8_t
 */
#ifndef FNN_VEC_H
#define FNN_VEC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../inline.h"

#if defined(FNN_DTYPE_IS_F32) == defined(FNN_DTYPE_IS_F64)
#error "define exactly one of FNN_DTYPE_IS_F32 and FNN_DTYPE_IS_F64"
#endif

#ifdef FNN_DTYPE_IS_F32
typedef float T;
typedef int32_t TI;
#define T_C(x) x##f /* a constant of type T: T_C(0.5) */
enum { T_MANTISSA = 23, T_BIAS = 127 };
#else
typedef double T;
typedef int64_t TI;
#define T_C(x) x
enum { T_MANTISSA = 52, T_BIAS = 1023 };
#endif

#endif
