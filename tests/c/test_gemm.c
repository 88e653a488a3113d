/* test_gemm.c — the matrix product, for one instruction set and dtype, against a plain chain of fma() calls, bit for bit.
 *
 * Compiled once for each (see run_gemm.sh): -DFNN_ISA_NAME=avx2 -DFNN_DTYPE_NAME=f32 -DFNN_DTYPE=FNN_F32 -DFNN_DTYPE_IS_F32.
 * Random shapes, strides (transposed, padded, negative, zero), alpha, beta, bias, activation, batches with broadcast operands, numbers
 * of shares in any order, infinities and NaN. The arrays lie against unmapped pages, so that reading or writing past either end is a
 * crash, and what lies between C's elements must stay as it was. Prints a checksum of all results, which has to be the
 * same for every instruction set. The first argument is the number of cases. Exits with 1 after a failure. */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../csrc/fnn.h"

#define FNN_NAME_(name, dtype, isa) fnn_##name##_##dtype##_##isa
#define FNN_NAME__(name, dtype, isa) FNN_NAME_(name, dtype, isa)
#define FNN_NAME(name) FNN_NAME__(name, FNN_DTYPE_NAME, FNN_ISA_NAME)
#define KERNEL(name, set)                                                                                                     \
    static void name##_body(const fnn_##set##_args *a, size_t part, size_t parts);                                            \
    static void FNN_NAME(name)(const void *args, size_t part, size_t parts)                                                   \
    {                                                                                                                         \
        name##_body((const fnn_##set##_args *)args, part, parts);                                                             \
    }                                                                                                                         \
    static void name##_body(const fnn_##set##_args *a, size_t part, size_t parts)

#include "../../csrc/gemm/gemm.h"
#include "../../csrc/gemm/scratch.c"

#ifdef FNN_DTYPE_IS_F32
#define FMA fmaf
#else
#define FMA fma
#endif

enum { REGION = 1 << 26, PAGE = 1 << 16 };

fnn_isa fnn_current_isa = TILE_ISA;
static int questions, answer_after;
static int failures;

int fnn_interrupted(void)
{
    return ++questions == answer_after;
}

static uint64_t state = 1;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t below(size_t n)
{
    return (size_t)(next() >> 11) % n;
}

/* A number from -1 to 1; seldom something special, if `special`. */
static tile_real number(int special)
{
    if (special && below(64) == 0) {
        static const double some[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1e-42, 3e38};
        return (tile_real)some[below(7)];
    }
    return (tile_real)((double)(int32_t)next() / 2147483648.0);
}

/* y = max(x, p) + q */
static void activate(const void *args, size_t part, size_t parts)
{
    const fnn_map_args *a = args;
    const tile_real *x = a->x;
    tile_real *y = a->y;
    (void)part, (void)parts;
    for (size_t i = 0; i < a->n; ++i)
        y[i] = (x[i] < (tile_real)a->p ? (tile_real)a->p : x[i]) + (tile_real)a->q;
}

/* Memory between unmapped pages. */
static unsigned char *region(void)
{
    unsigned char *p = mmap(NULL, REGION + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + PAGE, REGION, PROT_READ | PROT_WRITE))
        abort();
    return p + PAGE;
}

/* Strides for `batch` matrices of rows x cols, and their total extent. Inputs may repeat rows, columns and matrices. */
typedef struct layout {
    ptrdiff_t row, col, each, base;
    size_t extent;
} layout;

static layout arrange(size_t rows, size_t cols, size_t batch, int input)
{
    layout x;
    size_t pad = below(3) ? 0 : below(20), gap = below(8) ? 1 : 1 + below(3);
    if (below(2))
        x.col = (ptrdiff_t)gap, x.row = (ptrdiff_t)(gap * cols + pad), x.each = x.row * (ptrdiff_t)rows;
    else
        x.row = (ptrdiff_t)gap, x.col = (ptrdiff_t)(gap * rows + pad), x.each = x.col * (ptrdiff_t)cols;
    if (input && below(16) == 0)
        x.row = 0;
    if (input && below(16) == 0)
        x.col = 0;
    if (input && below(16) == 0)
        x.row = x.col = 1;      /* overlapping windows */
    if (input && below(3) == 0)
        x.each = 0;
    if (below(8) == 0)
        x.row = -x.row;
    if (below(8) == 0)
        x.col = -x.col;
    x.base = 0;
    x.extent = 1;
    if (!rows || !cols)
        x.extent = 0;
    else {
        ptrdiff_t steps[3] = {x.row * (ptrdiff_t)(rows - 1), x.col * (ptrdiff_t)(cols - 1), x.each * (ptrdiff_t)(batch - 1)};
        for (int i = 0; i < 3; ++i) {
            x.extent += (size_t)(steps[i] < 0 ? -steps[i] : steps[i]);
            x.base += steps[i] < 0 ? -steps[i] : 0;
        }
    }
    return x;
}

static tile_real *place(unsigned char *region, size_t extent)
{
    size_t bytes = extent * sizeof(tile_real);
    if (bytes > REGION)
        abort();
    return (tile_real *)(below(2) ? region : region + REGION - bytes);
}

static size_t size(size_t case_number)
{
    if (case_number % 4 == 0)
        return 1 + below(6);
    return below(case_number % 16 == 1 ? 70 : 24);
}

int main(int argc, char **argv)
{
    const size_t cases = argc > 1 ? (size_t)atol(argv[1]) : 6000;
    unsigned char *memory[6];
    tile_real *before = malloc(REGION), *want = malloc(REGION);
    uint64_t checksum = 0;
    (void)FNN_NAME(fma_peak);
    for (int i = 0; i < 6; ++i)
        memory[i] = region();

    for (size_t number_of_case = 0; number_of_case < cases && failures < 10; ++number_of_case) {
        /* shapes: mostly around the tiles, sometimes beyond the blocks in one or two directions */
        size_t m = size(next()), n = size(next()), k = size(next()), batch = below(4) ? 1 : below(5);
        if (below(24) == 0)
            k = 200 + below(700);
        if (below(24) == 0)
            m = 100 + below(500);
        if (below(24) == 0)
            n = 100 + below(m * k < 4000 ? 4500 : 400);
        const size_t parts = below(2) ? 1 : 1 + below(7);
        const int special = below(4) == 0;
        const double scalars[] = {1, 1, 1, 0, -1, 0.37};
        const layout la = arrange(m, k, batch ? batch : 1, 1), lb = arrange(k, n, batch ? batch : 1, 1);
        const layout lc = arrange(m, n, batch ? batch : 1, 0);
        ptrdiff_t offsets[15];
        fnn_gemm_args args = {0};
        args.batch = batch, args.m = m, args.n = n, args.k = k;
        args.a_row = la.row, args.a_col = la.col, args.b_row = lb.row, args.b_col = lb.col, args.c_row = lc.row, args.c_col = lc.col;
        args.alpha = scalars[below(6)];
        args.beta = below(2) ? 0 : scalars[below(6)];

        /* data */
        tile_real *a = place(memory[0], la.extent), *b = place(memory[1], lb.extent), *c = place(memory[2], lc.extent);
        for (size_t i = 0; i < la.extent; ++i)
            a[i] = number(special);
        for (size_t i = 0; i < lb.extent; ++i)
            b[i] = number(special);
        for (size_t i = 0; i < lc.extent; ++i)
            c[i] = args.beta == 0 ? (tile_real)NAN : number(0);
        memcpy(before, c, lc.extent * sizeof *c);
        memcpy(want, c, lc.extent * sizeof *c);
        args.a = a + la.base, args.b = b + lb.base, args.c = c + lc.base;
        for (size_t i = 0; i < batch; ++i) {
            offsets[3 * i] = (ptrdiff_t)i * lc.each;
            offsets[3 * i + 1] = (ptrdiff_t)i * la.each;
            offsets[3 * i + 2] = (ptrdiff_t)i * lb.each;
        }
        if (batch != 1 || below(2))
            args.offsets = offsets;
        if (below(2)) {
            const ptrdiff_t rows[] = {0, 1, 0, (ptrdiff_t)n, 2}, cols[] = {1, 0, 0, 1, 3};
            const size_t kind = below(5), extent = m && n ? (m - 1) * (size_t)rows[kind] + (n - 1) * (size_t)cols[kind] + 1 : 0;
            tile_real *bias = place(memory[3], extent);
            for (size_t i = 0; i < extent; ++i)
                bias[i] = number(0);
            args.bias = bias, args.bias_row = rows[kind], args.bias_col = cols[kind];
        }
        if (below(3) == 0)
            args.activation = activate, args.p = -0.5, args.q = 0.25;

        /* what it should be */
        for (size_t l = 0; l < batch; ++l)
            for (size_t i = 0; i < m; ++i)
                for (size_t j = 0; j < n; ++j) {
                    const ptrdiff_t si = (ptrdiff_t)i, sj = (ptrdiff_t)j;
                    tile_real *to = want + lc.base + (ptrdiff_t)l * lc.each + si * lc.row + sj * lc.col;
                    tile_real sum = args.beta == 0 ? 0 : args.beta == 1 ? *to : (tile_real)args.beta * *to;
                    for (size_t p = 0; p < k; ++p)
                        sum = FMA((tile_real)args.alpha * ((tile_real *)args.a)[(ptrdiff_t)l * la.each + si * la.row + (ptrdiff_t)p * la.col],
                                  ((tile_real *)args.b)[(ptrdiff_t)l * lb.each + (ptrdiff_t)p * lb.row + sj * lb.col], sum);
                    if (args.bias)
                        sum += ((const tile_real *)args.bias)[si * args.bias_row + sj * args.bias_col];
                    if (args.activation) {
                        fnn_map_args map = {&sum, &sum, 1, args.p, args.q};
                        activate(&map, 0, 1);
                    }
                    *to = sum;
                }

        /* what it is */
        const size_t packed = fnn_gemm_packed(FNN_DTYPE, k, n) * sizeof(tile_real);
        if (batch == 1 && packed <= REGION && below(3) == 0) {
            const fnn_gemm_pack_args pack = {memory[5] + REGION - (packed + 63) / 64 * 64, args.b, k, n, args.b_row, args.b_col};
            memset(pack.packed, 0xff, packed);
            for (size_t p = 0; p < parts; ++p)
                FNN_NAME(gemm_pack)(&pack, p, parts);
            args.b = pack.packed, args.b_packed = 1, args.b_row = args.b_col = PTRDIFF_MAX / 2;
        }
        const size_t scratch = fnn_gemm_scratch(&args, FNN_DTYPE, parts) * parts;
        args.scratch = memory[4] + REGION - (scratch + 63) / 64 * 64;
        if (scratch > REGION)
            abort();
        memset(args.scratch, 0xff, scratch);
        const size_t first = below(parts);
        for (size_t p = 0; p < parts; ++p)
            FNN_NAME(gemm)(&args, (first + p) % parts, parts);

        for (size_t i = 0; i < lc.extent; ++i) {
            if (c[i] != c[i] && want[i] != want[i])
                continue;
            uint64_t bits = 0;
            memcpy(&bits, &c[i], sizeof c[i]);
            checksum = (checksum ^ bits) * 0x9E3779B97F4A7C15u;
            if (memcmp(&c[i], &want[i], sizeof *c)) {
                printf("case %zu: batch %zu m %zu n %zu k %zu parts %zu alpha %g beta %g a %td,%td b %td,%td c %td,%td bias %td,%td: "
                       "c[%zu] = %a, expected %a\n", number_of_case, batch, m, n, k, parts, args.alpha, args.beta, args.a_row, args.a_col,
                       args.b_row, args.b_col, args.c_row, args.c_col, args.bias_row, args.bias_col, i, (double)c[i], (double)want[i]);
                ++failures;
                break;
            }
        }
    }

    /* an interrupted product stops asking and returns */
    fnn_gemm_args args = {.batch = 3, .m = 300, .n = 300, .k = 300, .a_row = 300, .a_col = 1, .b_row = 300, .b_col = 1, .c_row = 300,
                          .c_col = 1, .alpha = 1};
    ptrdiff_t offsets[9] = {0};
    args.a = memory[0], args.b = memory[1], args.c = memory[2], args.offsets = offsets;
    args.scratch = memory[4];
    memset(memory[0], 0, 300 * 300 * sizeof(tile_real));
    memset(memory[1], 0, 300 * 300 * sizeof(tile_real));
    questions = 0, answer_after = 2;
    FNN_NAME(gemm)(&args, 0, 1);
    if (questions != 2) {
        printf("asked %d times, was interrupted the second time\n", questions);
        ++failures;
    }

    printf("%016llx\n", (unsigned long long)checksum);
    return failures != 0;
}
