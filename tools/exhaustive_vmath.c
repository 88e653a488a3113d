/* exhaustive_vmath.c — the largest errors of csrc/vec/vmath.h.
 *
 * float32: every float (or every STRIDE-th) against the double functions of libm. float64: STRIDE has no meaning; COUNT random
 * arguments, log-uniform and around the points where formulas change, against libquadmath. Prints for each function the largest error in
 * ULP, where it is, results outside the mathematical range, decreases where the function increases, and a checksum of all
 * results, which has to be the same for every instruction set.
 *
 *     FLAGS="-std=c11 -O3 -ffp-contract=off -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma"
 *     gcc $FLAGS -DFNN_DTYPE_IS_F32 -DVEC_HEADER='"../csrc/vec/vec_avx512.h"' tools/exhaustive_vmath.c -lm -o exhaustive
 *     ./exhaustive [STRIDE or COUNT [function ...]]
 *     with -DFNN_DTYPE_IS_F64 … -lquadmath for float64
 */
#include <stdio.h>
#include <stdlib.h>

#include VEC_HEADER

#include "../csrc/vec/vmath.h"

#ifdef FNN_DTYPE_IS_F32
typedef double Wide;
typedef uint32_t Bits;
#define WIDE(function) function
#define TOP_EXPONENT 128
#define LOW_EXPONENT (-149)
#else
#include <quadmath.h>
typedef __float128 Wide;
typedef uint64_t Bits;
#define WIDE(function) function##q
#define TOP_EXPONENT 1024
#define LOW_EXPONENT (-1074)
#endif

static Wide wide_sigmoid(Wide x) { return x < 0 ? WIDE(exp)(x) / (1 + WIDE(exp)(x)) : 1 / (1 + WIDE(exp)(-x)); }
static Wide wide_softplus(Wide x) { return x > 0 ? x + WIDE(log1p)(WIDE(exp)(-x)) : WIDE(log1p)(WIDE(exp)(x)); }
static Wide wide_log_sigmoid(Wide x) { return -wide_softplus(-x); }

typedef struct Function {
    const char *name;
    Wide (*wide)(Wide);
    double low, high; /* the mathematical range */
} Function;

#define FUNCTIONS(EACH)                                                                                                       \
    EACH(exp, WIDE(exp), 0, INFINITY)                                                                                         \
    EACH(expm1, WIDE(expm1), -1, INFINITY)                                                                                    \
    EACH(log, WIDE(log), -INFINITY, INFINITY)                                                                                 \
    EACH(log1p, WIDE(log1p), -INFINITY, INFINITY)                                                                             \
    EACH(tanh, WIDE(tanh), -1, 1)                                                                                             \
    EACH(sigmoid, wide_sigmoid, 0, 1)                                                                                         \
    EACH(softplus, wide_softplus, 0, INFINITY)                                                                                \
    EACH(log_sigmoid, wide_log_sigmoid, -INFINITY, 0)                                                                         \
    EACH(erf, WIDE(erf), -1, 1)

enum { BLOCK = 4096 };

#define RUN(name, wide, low, high)                                                                                            \
    static void run_##name(T *y, const T *x)                                                                                  \
    {                                                                                                                         \
        for (int i = 0; i < BLOCK; i += W) v_store(y + i, v_##name(v_load(x + i)));                                           \
    }
FUNCTIONS(RUN)

static const struct {
    Function function;
    void (*run)(T *y, const T *x);
} table[] = {
#define ROW(name, wide, low, high) {{#name, wide, low, high}, run_##name},
    FUNCTIONS(ROW)};

static uint64_t state = 88172645463325252u;
static uint64_t random_bits(void)
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

int main(int argc, char **argv)
{
    uint64_t argument = argc > 1 ? strtoull(argv[1], 0, 0) : 1;
    if (argument == 0) argument = 1;
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
        uint64_t checksum = 14695981039346656037u, outside = 0, decreases = 0, signs = 0;
        double worst = 0;
        T at = 0, result = 0;
        for (uint64_t begin = 0; begin < total; begin += BLOCK) {
            for (int i = 0; i < BLOCK; i++) x[i] = sample(begin + (uint64_t)i, argument);
            table[f].run(y, x);
            for (int i = 0; i < BLOCK; i++) {
                Bits bits;
                memcpy(&bits, &y[i], sizeof bits);
                checksum = (checksum ^ (y[i] != y[i] ? 1 : bits)) * 1099511628211u;
#ifndef CHECKSUM_ONLY
                Wide want = table[f].function.wide((Wide)x[i]);
                double error = ulp_error(y[i], want);
                if (error > worst) {
                    worst = error;
                    at = x[i];
                    result = y[i];
                }
                outside += y[i] < table[f].function.low || y[i] > table[f].function.high;
                if (want == 0) signs += y[i] != 0 || (signbit((double)y[i]) != 0) != (signbit((double)want) != 0);
                /* neighbours in x have neighbouring bits; below zero they descend */
                if (i && (x[i] > 0) == (x[i - 1] > 0) && (double)x[i] != 0 && sizeof(T) == 4)
                    decreases += x[i] > x[i - 1] ? y[i] < y[i - 1] : y[i] > y[i - 1];
#endif
            }
        }
        printf("%-12s max %.4f ULP at %a (result %a); outside %llu, decreasing %llu, wrong zeros %llu, checksum %016llx\n",
               table[f].function.name, worst, (double)at, (double)result, (unsigned long long)outside,
               (unsigned long long)decreases, (unsigned long long)signs, (unsigned long long)checksum);
        fflush(stdout);
    }
    return 0;
}
