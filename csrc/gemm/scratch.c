/* scratch.c — how much scratch memory the matrix product wants. */
#include "blocks.h"

size_t fnn_gemm_scratch(const fnn_gemm_args *args, fnn_dtype dtype, size_t parts)
{
    size_t size = dtype == FNN_F32 ? sizeof(float) : sizeof(double);
    if (!args->batch || !args->m || !args->n)
        return 0;
    fnn_gemm_plan plan = fnn_gemm_make_plan(args, &fnn_gemm_block_sizes[fnn_current_isa][dtype], size, parts);
    return (plan.a_size + plan.b_size) * size;
}
