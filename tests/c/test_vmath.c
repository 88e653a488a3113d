/* test_vmath.c — the errors of csrc/vec/vmath.h, for one instruction set and dtype.
 *
 * float32: every STRIDE-th of all 2^32 floats against the double functions of libm. float64: COUNT random arguments, log-uniform and
 * around the points where formulas change, against libm's long double (which has to be wider than double). Prints for each
 * function a checksum of all results, which has to be the same for every instruction set, and exits with 1 when an error exceeds
 * its limit in ULP, a result leaves the mathematical range or a zero has the wrong sign.
 *
 *     sh tests/c/run_vmath.sh      a sample, for all instruction sets
 *
 * All floats (some minutes a function), with the largest errors, where they are, and how often an increasing function falls:
 *
 *     gcc -std=c11 -O3 -ffp-contract=off -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -DREPORT -DLIBMVEC -DFNN_DTYPE_IS_F32 \
 *         -DVEC_HEADER='"../../csrc/vec/vec_avx512.h"' tests/c/test_vmath.c -lmvec -lm -o exhaustive && ./exhaustive 1 [function …]
 */
#include <stdio.h>
#include <stdlib.h>

#include VEC_HEADER

#include "../../csrc/vec/vmath.h"

#ifdef FNN_DTYPE_IS_F32
typedef double Wide;
typedef uint32_t Bits;
#define WIDE(function) function
#define TOP_EXPONENT 128
#define LOW_EXPONENT (-149)
#else
typedef long double Wide;
typedef uint64_t Bits;
#define WIDE(function) function##l
#define TOP_EXPONENT 1024
#define LOW_EXPONENT (-1074)
#endif

/* With -DLIBMVEC and -lmvec (x86-64, glibc, AVX-512) the double functions run eight at a time: all floats in a minute a function. */
#ifdef LIBMVEC
#define WIDE_VECTOR(name)                                                                                                     \
    __m512d _ZGVeN8v_##name(__m512d);                                                                                         \
    static void vector_##name(Wide *w)                                                                                        \
    {                                                                                                                         \
        for (int i = 0; i < BLOCK; i += 8) _mm512_storeu_pd(w + i, _ZGVeN8v_##name(_mm512_loadu_pd(w + i)));                  \
    }
#else
#define WIDE_VECTOR(name)                                                                                                     \
    static void vector_##name(Wide *w)                                                                                        \
    {                                                                                                                         \
        for (int i = 0; i < BLOCK; i++) w[i] = WIDE(name)(w[i]);                                                              \
    }
#endif
enum { BLOCK = 4096 };
WIDE_VECTOR(exp)
WIDE_VECTOR(expm1)
WIDE_VECTOR(log)
WIDE_VECTOR(log1p)
WIDE_VECTOR(tanh)
WIDE_VECTOR(erf)
static void vector_sigmoid(Wide *w)
{
    for (int i = 0; i < BLOCK; i++) w[i] = -w[i];
    vector_exp(w);
    for (int i = 0; i < BLOCK; i++) w[i] = 1 / (1 + w[i]);
}
static void vector_softplus(Wide *w)
{
    static Wide x[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        x[i] = w[i];
        w[i] = w[i] > 0 ? -w[i] : w[i];
    }
    vector_exp(w);
    vector_log1p(w);
    for (int i = 0; i < BLOCK; i++) w[i] = x[i] > 0 ? x[i] + w[i] : w[i];
}
static void vector_log_sigmoid(Wide *w)
{
    for (int i = 0; i < BLOCK; i++) w[i] = -w[i];
    vector_softplus(w);
    for (int i = 0; i < BLOCK; i++) w[i] = -w[i];
}

typedef struct Function {
    const char *name;
    void (*wide)(Wide *); /* in place, BLOCK of them */
    double low, high; /* the mathematical range */
    double limit;     /* of the error, in ULP */
} Function;

#define FUNCTIONS(EACH)                                                                                                       \
    EACH(exp, vector_exp, 0, INFINITY, 1)                                                                                         \
    EACH(expm1, vector_expm1, -1, INFINITY, 2)                                                                                    \
    EACH(log, vector_log, -INFINITY, INFINITY, 1)                                                                                 \
    EACH(log1p, vector_log1p, -INFINITY, INFINITY, 2)                                                                             \
    EACH(tanh, vector_tanh, -1, 1, 2)                                                                                             \
    EACH(sigmoid, vector_sigmoid, 0, 1, 2)                                                                                         \
    EACH(softplus, vector_softplus, 0, INFINITY, 2)                                                                                \
    EACH(log_sigmoid, vector_log_sigmoid, -INFINITY, 0, 2)                                                                         \
    EACH(erf, vector_erf, -1, 1, 2)

#define RUN(name, wide, low, high, limit)                                                                                            \
    static void run_##name(T *y, const T *x)                                                                                  \
    {                                                                                                                         \
        for (int i = 0; i < BLOCK; i += W) v_store(y + i, v_##name(v_load(x + i)));                                           \
    }
FUNCTIONS(RUN)

static const struct {
    Function function;
    void (*run)(T *y, const T *x);
} table[] = {
#define ROW(name, wide, low, high, limit) {{#name, wide, low, high, limit}, run_##name},
    FUNCTIONS(ROW)};

static uint64_t state = 88172645463325252u;
static inline uint64_t random_bits(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return (state ^= state << 17) * 2685821657736338717u;
}

/* Half of the samples have uniform bits, the others lie where the functions change most. */
static T sample(uint64_t index, uint64_t stride)
{
    T x;
#ifdef FNN_DTYPE_IS_F32
    Bits bits = (Bits)(index * stride);
    memcpy(&x, &bits, sizeof x);
#else
    (void)stride;
    static const double awkward[] = {0, INFINITY, -INFINITY, NAN, 0x1p-1074, 0x1p-1022, -0.0, 1, -1, 0x1.fffffffffffffp+1023,
                                     -0x1.fffffffffffffp+1023, 709.782712893384, 709.7827128933841, -745.1332191019411, -745.1332191019412,
                                     -708.3964185322641, 1.0000000000000002, 0.9999999999999999, -0.9999999999999999};
    if (index < sizeof awkward / sizeof awkward[0]) return awkward[index];
    uint64_t bits = random_bits(), kind = random_bits() % 8;
    double unit = (double)(bits >> 11) * 0x1p-53;
    static const double scale[8] = {0, 0, 1, 2, 20, 40, 1500, 2};
    memcpy(&x, &bits, sizeof x);
    if (kind == 1) x = copysign(ldexp(1 + unit, -(int)(random_bits() % 64)), x);
    if (kind > 1 && kind < 7) x = (unit - 0.5) * 2 * scale[kind];
    if (kind == 7) x = 1 + ldexp(unit - 0.5, -(int)(random_bits() % 50));
#endif
    return x;
}

/* |got - want| in units of the last place of want; 0 for two NaN. An overflow counts as 2^TOP_EXPONENT. */
#ifdef FNN_DTYPE_IS_F32
static inline double ulp_error(T got, Wide want)
{
    double limit = 0x1p128, g = got > limit ? limit : got < -limit ? -limit : got;
    want = want > limit ? limit : want < -limit ? -limit : want;
    uint64_t bits;
    memcpy(&bits, &want, sizeof bits);
    uint64_t exponent = bits >> 52 & 2047;
    exponent = exponent < 1023 - 126 ? 1023 - 126 : exponent > 1023 + 127 ? 1023 + 127 : exponent;
    bits = (1023 + 23 + 1023 - exponent) << 52;
    double scale, error;
    memcpy(&scale, &bits, sizeof scale);
    error = fabs(g - want) * scale;
    return error == error ? error : got != got && want != want ? 0 : (double)INFINITY;
}
#else
static double ulp_error(T got, Wide want)
{
    if (want != want || got != got) return want != want && got != got ? 0 : INFINITY;
    Wide limit = WIDE(ldexp)(1, TOP_EXPONENT), g = got, size = WIDE(fabs)(want);
    if (g > limit) g = limit;
    if (g < -limit) g = -limit;
    if (size > limit) {
        want = want > 0 ? limit : -limit;
        size = limit;
    }
    int exponent;
    WIDE(frexp)(size, &exponent);
    exponent -= T_MANTISSA + 1;
    if (exponent < LOW_EXPONENT || size == 0) exponent = LOW_EXPONENT;
    if (size == limit) exponent = TOP_EXPONENT - T_MANTISSA - 1;
    return (double)WIDE(fabs)(WIDE(ldexp)(g - want, -exponent));
}
#endif

int main(int argc, char **argv)
{
    uint64_t argument = argc > 1 ? strtoull(argv[1], 0, 0) : sizeof(T) == 4 ? 49999 : 100000;
    int failures = 0;
    static T x[BLOCK], y[BLOCK];
    for (size_t f = 0; f < sizeof table / sizeof table[0]; f++) {
        int wanted = argc < 3;
        for (int i = 2; i < argc; i++) wanted |= strcmp(argv[i], table[f].function.name) == 0;
        if (!wanted) continue;
#ifdef FNN_DTYPE_IS_F32
        uint64_t total = ((uint64_t)1 << 32) / argument;
#else
        uint64_t total = argument;
        state = 88172645463325252u;
#endif
        uint64_t checksum = 0, outside = 0, decreases = 0, signs = 0;
        double worst = 0;
        T at = 0, result = 0;
        for (uint64_t begin = 0; begin < total; begin += BLOCK) {
            for (int i = 0; i < BLOCK; i++) x[i] = sample(begin + (uint64_t)i, argument);
            table[f].run(y, x);
            static Wide want[BLOCK];
            static double error[BLOCK];
            for (int i = 0; i < BLOCK; i++) want[i] = x[i];
            table[f].function.wide(want);
            double block_worst = 0;
            for (int i = 0; i < BLOCK; i++) error[i] = ulp_error(y[i], want[i]);
            for (int i = 0; i < BLOCK; i++) block_worst = error[i] > block_worst ? error[i] : block_worst;
            for (int i = 0; i < BLOCK && block_worst > worst; i++)
                if (error[i] == block_worst) {
                    worst = block_worst;
                    at = x[i];
                    result = y[i];
                }
            for (int i = 0; i < BLOCK; i++) {
                Bits bits;
                memcpy(&bits, &y[i], sizeof bits);
                bits = y[i] != y[i] ? 1 : bits;
                checksum += (bits ^ (bits >> 15)) * (2 * (begin + (uint64_t)i) + 1) * 0x9e3779b97f4a7c15u;
            }
            T low = (T)table[f].function.low, high = (T)table[f].function.high;
            Bits beyond = 0, zeros = 0, falls = 0;
            for (int i = 0; i < BLOCK; i++) beyond += (y[i] < low) | (y[i] > high);
            for (int i = 0; i < BLOCK; i++)
                zeros += (want[i] == 0) & ((y[i] != 0) | (copysign(1, (double)y[i]) != copysign(1, (double)want[i])));
#ifdef FNN_DTYPE_IS_F32 /* one block's arguments have one sign, and ascend or descend */
            for (int i = 1; i < BLOCK; i++)
                falls += ((x[i] > x[i - 1]) & (y[i] < y[i - 1])) | ((x[i] < x[i - 1]) & (y[i] > y[i - 1]));
#endif
            outside += beyond;
            signs += zeros;
            decreases += falls;
        }
        printf("%s %016llx\n", table[f].function.name, (unsigned long long)checksum);
        int failed = !(worst <= table[f].function.limit) || outside || signs;
        failures += failed;
#ifndef REPORT
        if (failed)
#endif
            printf("    largest error %.4f ULP, at %a (result %a); %llu outside the range, %llu wrong zeros, %llu falls\n", worst,
                   (double)at, (double)result, (unsigned long long)outside, (unsigned long long)signs, (unsigned long long)decreases);
        fflush(stdout);
    }
    return failures != 0;
}
