/* sizes.c — how the weights of a recurrent layer are packed (panels.h), and the scratch memory of its kernels. */
#include "../gemm/blocks.h"

/* The widest tiles are those of a single row; more rows share what is loaded. */
size_t fnn_recurrent_panel(fnn_dtype dtype, size_t units, size_t rows, size_t pieces)
{
    const fnn_gemm_blocks *b = &fnn_gemm_block_sizes[fnn_current_isa][dtype];
    const size_t vectors = fnn_gemm_ceil(fnn_gemm_ceil(units, b->lanes), pieces), most = rows == 1 && b->lanes > 1 ? FNN_GEMM_WIDEST : b->cols / b->lanes;
    return fnn_gemm_ceil(vectors, fnn_gemm_ceil(vectors, most));
}

size_t fnn_recurrent_packed(fnn_dtype dtype, size_t k, size_t gates, size_t units)
{
    const size_t lanes = fnn_gemm_block_sizes[fnn_current_isa][dtype].lanes;
    return (k + 1) * gates * fnn_gemm_ceil(units, lanes) * lanes;
}
