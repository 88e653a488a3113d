/* scratch.c — how much memory the matrix product wants for what it packs. */
#include "blocks.h"

size_t fnn_gemm_scratch(const fnn_gemm_args *args, fnn_dtype dtype, size_t parts)
{
    size_t size = dtype == FNN_F32 ? sizeof(float) : sizeof(double);
    if (!args->batch || !args->m || !args->n)
        return 0;
    fnn_gemm_plan plan = fnn_gemm_make_plan(args, &fnn_gemm_block_sizes[fnn_current_isa][dtype], size, parts);
    return (plan.a_size + plan.b_size) * size;
}

size_t fnn_gemm_packed(fnn_dtype dtype, size_t k, size_t n)
{
    const size_t lanes = fnn_gemm_block_sizes[fnn_current_isa][dtype].lanes;
    return k * fnn_gemm_ceil(n, lanes) * lanes;
}
