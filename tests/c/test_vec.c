/* test_vec.c — the vector words and the reductions, for one instruction set and dtype.
 *
 * Compiled once for each (see run_vec.sh): -DVEC_HEADER='"…/vec_avx2.h"' -DFNN_DTYPE_IS_F32. Each word is compared with plain C on all
 * pairs of a list of awkward values, and the partial loads run into the end of an allocation. Prints a checksum of the
 * reductions' bits, which has to be the same for every instruction set. Exits with 1 after a failure.
 */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include VEC_HEADER

#include "../../csrc/vec/reduce.h"

#ifdef FNN_DTYPE_IS_F32
#define F(function) function##f
enum { MAX_EXP = FLT_MAX_EXP };
#define T_MIN FLT_MIN
#define T_MAX FLT_MAX
#define T_EPSILON FLT_EPSILON
#else
#define F(function) function
enum { MAX_EXP = DBL_MAX_EXP };
#define T_MIN DBL_MIN
#define T_MAX DBL_MAX
#define T_EPSILON DBL_EPSILON
#endif

static int failures;

static void same(const char *word, T got, T want, T a, T b, T c)
{
    int equal = (got != got && want != want) || memcmp(&got, &want, sizeof got) == 0;
    if (!equal && failures++ < 20)
        printf("%s(%a, %a, %a) = %a, expected %a\n", word, (double)a, (double)b, (double)c, (double)got, (double)want);
}

static T first(V v)
{
    T lanes[W];
    v_store(lanes, v);
    for (int i = 1; i < W; i++) same("lanes differ: ", lanes[i], lanes[0], 0, 0, 0);
    return lanes[0];
}

static T truth(M m) { return first(v_select(m, v_set(1), v_set(0))); }

static uint64_t state = 1;
static T uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (T)((double)(state >> 11) * 0x1p-53);
}

#define CHECK1(word, want) same(#word, first(word(va)), (want), a, 0, 0)
#define CHECK2(word, want) same(#word, first(word(va, vb)), (want), a, b, 0)
#define CHECK3(word, want) same(#word, first(word(va, vb, vc)), (want), a, b, c)
#define CHECK_ORDER(word, want) same(#word, truth(word(va, vb)), (want), a, b, 0)

static void test_words(void)
{
    const T values[] = {0, T_C(-0.0), 1, -1, T_C(0.5), T_C(1.5), T_C(2.5), T_C(-2.5), T_C(0.1), T_C(-3.7), T_C(1e4), T_C(-123456.75),
                        T_MIN, -T_MIN, T_MIN * T_EPSILON, -T_MIN * T_EPSILON, T_MIN * T_C(0.3), T_MAX, -T_MAX, 1 / T_EPSILON,
                        T_C(1.0) + T_EPSILON, (T)INFINITY, -(T)INFINITY, (T)NAN};
    enum { COUNT = sizeof values / sizeof values[0] };
    for (int i = 0; i < COUNT; i++) {
        T a = values[i];
        V va = v_set(a);
        CHECK1(v_neg, -a);
        CHECK1(v_abs, F(fabs)(a));
        CHECK1(v_sqrt, F(sqrt)(a));
        CHECK1(v_round, F(rint)(a));
        CHECK1(v_floor, F(floor)(a));
        same("v_isnan", truth(v_isnan(va)), a != a, a, 0, 0);
        same("v_bits", first(v_from_bits(v_bits(va))), a, a, 0, 0);
        if (F(fabs)(a) < 1e9) same("v_to_int", first(v_from_int(v_to_int(v_round(va)))), F(rint)(a) + 0, a, 0, 0);
        for (int n = -2 * MAX_EXP + 4; n <= 2 * MAX_EXP - 4; n++) {
            int exponent;
            T x = F(frexp)(a, &exponent) * T_C(1.5);
            same("v_scale2", first(v_scale2(v_set(x), v_set((T)n))), F(ldexp)(x, n), x, (T)n, 0);
        }
        for (int j = 0; j < COUNT; j++) {
            T b = values[j];
            V vb = v_set(b);
            CHECK2(v_add, a + b);
            CHECK2(v_sub, a - b);
            CHECK2(v_mul, a * b);
            CHECK2(v_div, a / b);
            CHECK2(v_min, a < b ? a : b);
            CHECK2(v_max, a > b ? a : b);
            CHECK2(v_copysign, F(copysign)(a, b));
            CHECK_ORDER(v_lt, a < b);
            CHECK_ORDER(v_le, a <= b);
            CHECK_ORDER(v_gt, a > b);
            CHECK_ORDER(v_ge, a >= b);
            CHECK_ORDER(v_eq, a == b);
            CHECK_ORDER(v_ne, a != b);
            same("m_and", truth(m_and(v_lt(va, vb), v_lt(va, v_zero()))), a < b && a < 0, a, b, 0);
            same("m_or", truth(m_or(v_lt(va, vb), v_lt(va, v_zero()))), a < b || a < 0, a, b, 0);
            same("m_not", truth(m_not(v_lt(va, vb))), !(a < b), a, b, 0);
            same("m_any", (T)m_any(v_lt(va, vb)), a < b, a, b, 0);
            for (int k = 0; k < COUNT; k++) {
                T c = values[k];
                V vc = v_set(c);
                CHECK3(v_fma, F(fma)(a, b, c));
                CHECK3(v_fms, F(fma)(a, b, -c));
                CHECK3(v_fnma, F(fma)(-a, b, c));
            }
        }
    }
    V one = v_set(1), sign = v_set(T_C(-0.0));
    same("v_and", first(v_and(v_set(T_C(-2.0)), sign)), T_C(-0.0), 0, 0, 0);
    same("v_or", first(v_or(one, sign)), -1, 0, 0, 0);
    same("v_xor", first(v_xor(v_set(-1), sign)), 1, 0, 0, 0);
    same("i_shl", first(v_from_bits(i_shl(i_sub(i_add(i_set(T_BIAS), i_set(5)), i_set(2)), T_MANTISSA))), 8, 0, 0, 0);
    same("i_shr", first(v_from_int(i_shr(v_bits(v_set(T_C(-8.0))), T_MANTISSA))), T_BIAS + 3 + 1 + (T)(T_BIAS * 2 + 1), 0, 0, 0);
    same("i_and", first(v_from_int(i_and(i_set(12), i_or(i_set(2), i_set(8))))), 8, 0, 0, 0);
}

/* Loads and stores of n lanes touch nothing beyond, and m_first agrees with them. */
static void test_partial(void)
{
    for (size_t n = 0; n <= W; n++) {
        T *source = malloc(n * sizeof(T) + 1), target[W + 1], lanes[W];
        for (size_t i = 0; i < n; i++) source[i] = (T)i + 1;
        for (size_t i = 0; i <= W; i++) target[i] = -1;
        V v = v_load_n(source, n);
        v_store(lanes, v);
        v_store_n(target, v, n);
        for (size_t i = 0; i < W; i++) {
            same("v_load_n", lanes[i], i < n ? (T)i + 1 : 0, (T)n, (T)i, 0);
            same("v_store_n", target[i], i < n ? (T)i + 1 : -1, (T)n, (T)i, 0);
        }
        same("v_store_n", target[W], -1, (T)n, W, 0);
        for (size_t begin = 0; begin <= n; begin++) {
            v_store(lanes, v_load_span(source, begin, n));
            for (size_t i = 0; i < W; i++) same("v_load_span", lanes[i], begin <= i && i < n ? (T)i + 1 : 0, (T)begin, (T)n, (T)i);
        }
        v_store(lanes, v_select(m_first(n), v_set(1), v_set(2)));
        for (size_t i = 0; i < W; i++) same("m_first", lanes[i], i < n ? 1 : 2, (T)n, (T)i, 0);
        free(source);
    }
}

/* reduce.h's order, written out plainly. */
static T fold(T *lanes, int maximum)
{
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] = maximum ? (lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half]) : lanes[i] + lanes[i + half];
    return lanes[0];
}

static uint64_t test_reductions(void)
{
    static const size_t sizes[] = {0, 1, 2, 7, 10, 15, 16, 17, 31, 32, 33, 100, 1000, 2048, 2049, 4096, 4097, 10001, 12288};
    uint64_t checksum = 14695981039346656037u;
    T *x = malloc(12288 * sizeof(T)), *y = malloc(12288 * sizeof(T));
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        size_t n = sizes[s];
        T total[LANES] = {0}, block[LANES] = {0}, dots[LANES] = {0}, dot[LANES] = {0}, top[LANES];
        for (size_t i = 0; i < LANES; i++) top[i] = -(T)INFINITY;
        for (size_t i = 0; i < n; i++) {
            x[i] = uniform() - T_C(0.25);
            y[i] = uniform() * 100;
            if (i && i % LANE_BLOCK == 0)
                for (size_t l = 0; l < LANES; l++) {
                    total[l] += block[l];
                    dots[l] += dot[l];
                    block[l] = dot[l] = 0;
                }
            block[i % LANES] += x[i];
            dot[i % LANES] = F(fma)(x[i], y[i], dot[i % LANES]);
            if (x[i] > top[i % LANES]) top[i % LANES] = x[i];
        }
        for (size_t l = 0; l < LANES; l++) {
            total[l] += block[l];
            dots[l] += dot[l];
        }
        T results[4] = {row_sum(x, n), row_dot(x, y, n), row_max(x, n), row_sum_squares(x, T_C(0.25), n)};
        same("row_sum", results[0], fold(total, 0), (T)n, 0, 0);
        same("row_dot", results[1], fold(dots, 0), (T)n, 0, 0);
        same("row_max", results[2], fold(top, 1), (T)n, 0, 0);
        T squares = 0, tolerance = T_EPSILON * (T)(n + 8) * (T)n;
        for (size_t i = 0; i < n; i++) squares += (x[i] - T_C(0.25)) * (x[i] - T_C(0.25));
        if (!(F(fabs)(squares - results[3]) <= tolerance) && failures++ < 20) printf("row_sum_squares, n = %zu\n", n);
        if (n) {
            x[n - 1] = (T)NAN;
            same("row_max of a NaN", row_max(x, n), (T)NAN, (T)n, 0, 0);
        }
        for (size_t i = 0; i < sizeof results; i++) checksum = (checksum ^ ((unsigned char *)results)[i]) * 1099511628211u;
    }
    free(x);
    free(y);
    return checksum;
}

static void test_transpose(void)
{
    V m[W];
    T lanes[W * W];
    for (int i = 0; i < W * W; i++) lanes[i] = (T)i;
    for (int i = 0; i < W; i++) m[i] = v_load(lanes + i * W);
    v_transpose(m);
    for (int i = 0; i < W; i++) {
        v_store(lanes, m[i]);
        for (int j = 0; j < W; j++) same("v_transpose", lanes[j], (T)(j * W + i), (T)i, (T)j, 0);
    }
}

static void test_pairs(void)
{
    T pairs[2 * W], even[W], odd[W], zipped[2 * W];
    for (int i = 0; i < 2 * W; i++) pairs[i] = (T)i + 1;
    V a = v_load(pairs), b = v_load(pairs + W);
    v_store(even, v_even(a, b)), v_store(odd, v_odd(a, b));
    v_store(zipped, v_zip_low(a, b)), v_store(zipped + W, v_zip_high(a, b));
    for (int i = 0; i < W; i++) {
        same("v_even", even[i], pairs[2 * i], (T)i, 0, 0);
        same("v_odd", odd[i], pairs[2 * i + 1], (T)i, 0, 0);
        same("v_zip", zipped[2 * i], pairs[i], (T)i, 0, 0);
        same("v_zip", zipped[2 * i + 1], pairs[W + i], (T)i, 1, 0);
    }
}

/* All 256 of them, to and from an allocation of just W bytes; the byte after them stays. */
static void test_bytes(void)
{
    T lanes[W], back[W];
    uint8_t *bytes = malloc(W), target[W + 1];
    for (int first = 0; first < 256; first++) {
        for (int i = 0; i < W; i++) bytes[i] = (uint8_t)(first + 3 * i);
        v_store(lanes, v_load_bytes(bytes));
        target[W] = 7;
        v_store_bytes(target, v_load(lanes));
        v_store(back, v_load_bytes(target));
        for (int i = 0; i < W; i++) {
            same("v_load_bytes", lanes[i], (T)((first + 3 * i) % 256), (T)first, (T)i, 0);
            same("v_store_bytes", back[i], lanes[i], (T)first, (T)i, 0);
        }
        same("v_store_bytes", target[W], 7, (T)first, W, 0);
    }
    free(bytes);
}

#ifdef FNN_DTYPE_IS_F32
static void test_table(void)
{
    T table[16];
    for (int i = 0; i < 16; i++) table[i] = (T)(i * i);
    for (int i = 0; i < 40; i++) same("v_table16", first(v_table16(table, i_set(i))), (T)(i % 16 * (i % 16)), (T)i, 0, 0);
}
#else
static void test_table(void) {}
#endif

int main(void)
{
    test_words();
    test_table();
    test_transpose();
    test_pairs();
    test_bytes();
    test_partial();
    printf("reductions %016llx\n", (unsigned long long)test_reductions());
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
