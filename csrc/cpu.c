/* cpu.c — which instruction sets this processor and operating system can run.
 *
 * An instruction set is a bundle of features; all of them must be there:
 *   scalar   nothing
 *   avx2     AVX, AVX2, FMA, and the operating system saves XMM and YMM
 *   avx512   avx2's and AVX512F, BW, DQ, VL, and the operating system saves the opmasks and all of ZMM
 *   neon     part of every 64-bit Arm processor
 *
 * CPUID tells what the processor has; XGETBV tells which registers the operating system (or hypervisor) saves on a context
 * switch. Without the second question the first AVX instruction could be an illegal one. macOS reports ZMM as not saved until a
 * process first uses it, so Macs with AVX-512 run avx2.
 */
#include "fnn.h"

#if defined(__x86_64__) || defined(_M_X64)

#if defined(_MSC_VER) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif

typedef struct leaf { uint32_t eax, ebx, ecx, edx; } leaf;

/* One leaf (sub-leaf 0) of CPUID; all zero where the processor does not have it. */
static leaf cpuid(uint32_t number)
{
    leaf r = {0, 0, 0, 0};
#if defined(_MSC_VER) && !defined(__clang__)
    int words[4];
    __cpuid(words, 0);
    if ((uint32_t)words[0] >= number) {
        __cpuidex(words, (int)number, 0);
        r.eax = (uint32_t)words[0];
        r.ebx = (uint32_t)words[1];
        r.ecx = (uint32_t)words[2];
        r.edx = (uint32_t)words[3];
    }
#else
    __get_cpuid_count(number, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
    return r;
}

/* XCR0: the register states that the operating system saves. Only where CPUID says OSXSAVE. */
static uint64_t saved_state(void)
{
#if defined(_MSC_VER) && !defined(__clang__)
    return _xgetbv(0);
#else
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
#endif
}

static int all(uint64_t word, uint64_t bits)
{
    return (word & bits) == bits;
}

#define BIT(n) (UINT64_C(1) << (n))

static int has_avx2(void)
{
    leaf one = cpuid(1), seven = cpuid(7);
    return all(one.ecx, BIT(12) | BIT(27) | BIT(28))            /* FMA, OSXSAVE, AVX */
        && all(seven.ebx, BIT(5))                               /* AVX2 */
        && all(saved_state(), BIT(1) | BIT(2));                 /* XMM, YMM */
}

static int has_avx512(void)
{
    return has_avx2()
        && all(cpuid(7).ebx, BIT(16) | BIT(17) | BIT(30) | BIT(31))   /* F, DQ, BW, VL */
        && all(saved_state(), BIT(5) | BIT(6) | BIT(7));        /* opmasks, upper ZMM0-15, ZMM16-31 */
}

int fnn_isa_usable(fnn_isa isa)
{
    return isa == FNN_SCALAR || (isa == FNN_AVX2 && has_avx2()) || (isa == FNN_AVX512 && has_avx512());
}

#elif defined(__aarch64__) || defined(_M_ARM64)

int fnn_isa_usable(fnn_isa isa)
{
    return isa == FNN_SCALAR || isa == FNN_NEON;
}

#else

int fnn_isa_usable(fnn_isa isa)
{
    return isa == FNN_SCALAR;
}

#endif

fnn_isa fnn_isa_best(void)
{
    int isa = FNN_ISAS - 1;
    while (!fnn_isa_usable((fnn_isa)isa))
        isa--;
    return (fnn_isa)isa;
}

const char *fnn_isa_name(fnn_isa isa)
{
    static const char *const names[FNN_ISAS] = {"scalar", "avx2", "avx512", "neon"};
    return names[isa];
}
