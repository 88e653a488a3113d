/* dispatch.c — the kernel table. Start from scalar, overwrite upward, return early: a set that lacks a kernel would inherit the
 * one below it. Each isa/<isa>_<dtype>.c defines the function that fills its column. */
#include "fnn.h"

#include <assert.h>

fnn_table fnn_kernels;
fnn_isa fnn_current_isa;

void fnn_fill_f32_scalar(fnn_table *table);
void fnn_fill_f64_scalar(fnn_table *table);
void fnn_fill_f32_avx2(fnn_table *table);
void fnn_fill_f64_avx2(fnn_table *table);
void fnn_fill_f32_avx512(fnn_table *table);
void fnn_fill_f64_avx512(fnn_table *table);
void fnn_fill_f32_neon(fnn_table *table);
void fnn_fill_f64_neon(fnn_table *table);

void fnn_dispatch(fnn_isa isa)
{
    assert(fnn_isa_usable(isa));
    fnn_current_isa = isa;
    fnn_fill_f32_scalar(&fnn_kernels);
    fnn_fill_f64_scalar(&fnn_kernels);
    if (isa == FNN_SCALAR)
        return;
#if defined(__x86_64__) || defined(_M_X64)
    fnn_fill_f32_avx2(&fnn_kernels);
    fnn_fill_f64_avx2(&fnn_kernels);
    if (isa == FNN_AVX2)
        return;
    fnn_fill_f32_avx512(&fnn_kernels);
    fnn_fill_f64_avx512(&fnn_kernels);
#elif defined(__aarch64__) || defined(_M_ARM64)
    fnn_fill_f32_neon(&fnn_kernels);
    fnn_fill_f64_neon(&fnn_kernels);
#endif
}
