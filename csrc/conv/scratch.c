/* scratch.c — how much scratch memory the convolutions want, in bytes for each share, and what form the weights have. */
#include "../gemm/blocks.h"
#include "channels_plan.h"
#include "depthwise_plan.h"
#include "images_plan.h"
#include "winograd_plan.h"

/* The bytes of a share, unless the buffer, whose size huge paddings and steps can drive up, would have more than 2^44 elements. */
static size_t bytes(const fnn_conv_view *v, const fnn_conv_blocks *b, size_t channels, size_t elements, size_t size)
{
    const double buffer = (double)b->extent[0] * (double)channels * (double)v->planes * (double)v->rows * (double)v->slots * (double)v->width;
    return buffer > 1.7e13 ? SIZE_MAX : elements * size;
}

static size_t size_of(fnn_dtype dtype) { return dtype == FNN_F32 ? sizeof(float) : sizeof(double); }

int fnn_conv_form(const fnn_conv_args *a, fnn_dtype dtype, int winograd)
{
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    const fnn_gemm_blocks *sizes = &fnn_gemm_block_sizes[fnn_current_isa][dtype];
    if (winograd && fnn_conv_is_dense(a) && fnn_conv_is_winograd(&s, 0))
        return fnn_winograd_is_large(&s) ? FNN_CONV_WINOGRAD_LARGE : fnn_winograd_is_turned(&s, sizes->lanes) ? FNN_CONV_WINOGRAD_TURNED : FNN_CONV_WINOGRAD;
    if (fnn_conv_is_over_images(&s, fnn_conv_is_dense(a), sizes->lanes, size_of(dtype)))
        return FNN_CONV_TILES;
    return fnn_conv_is_over_channels(&s, sizes->lanes, sizes->rows, size_of(dtype)) ? FNN_CONV_CHANNELS : FNN_CONV_TILES;
}

size_t fnn_conv_packed(const fnn_conv_args *a, fnn_dtype dtype)
{
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    if (a->form == FNN_CONV_CHANNELS)
        return fnn_conv_channels_packed(&s, fnn_gemm_block_sizes[fnn_current_isa][dtype].lanes);
    if (a->form == FNN_CONV_WINOGRAD_TURNED)
        return s.groups * fnn_winograd_cells(s.taps, s.step) * s.channels * fnn_winograd_row(s.rows);
    return s.groups * s.rows * (a->form == FNN_CONV_WINOGRAD ? fnn_winograd_row(fnn_winograd_cells(s.taps, s.step) * s.channels) : s.channels * fnn_conv_taps(s.taps));
}

int fnn_conv_weight_winograd(const fnn_conv_weight_args *a)
{
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    return s.channels * fnn_winograd_cells(s.taps, s.step) > 3 && fnn_conv_is_winograd(&s, 1);     /* with three, to transform dy costs as much as is saved */
}

size_t fnn_conv_scratch(const fnn_conv_args *a, fnn_dtype dtype, size_t parts)
{
    const size_t size = size_of(dtype);
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    const fnn_gemm_blocks *sizes = &fnn_gemm_block_sizes[fnn_current_isa][dtype];
    if (fnn_conv_by_winograd(a->form))
        return fnn_winograd_make_plan(&s, sizes->lanes, sizes->rows, size, parts).size * size;
    if (a->form == FNN_CONV_CHANNELS)
        return fnn_conv_make_channels_plan(&s, sizes->lanes, sizes->rows, size, parts).size * size;
    if (a->form == FNN_CONV_TURNED) {
        const fnn_conv_shape reached = fnn_depthwise_reached(&s);
        return fnn_depthwise_scratch(&reached, size) * size;
    }
    const fnn_conv_plan p = fnn_conv_make_plan(&s, sizes->lanes, sizes->rows, size, parts);
    const size_t blocks = fnn_conv_is_depthwise(&s) ? fnn_depthwise_scratch(&s, size) * size
                                                    : bytes(&p.view, &p.blocks, p.bunch * p.chunk, 2 * p.terms + p.buffer + p.panels, size);
    if (!fnn_conv_is_over_images(&s, fnn_conv_is_dense(a), sizes->lanes, size))
        return blocks;
    const size_t images = fnn_conv_make_images_plan(&s, sizes->lanes, sizes->rows, size, parts).size * size;
    return images > blocks ? images : blocks;
}

size_t fnn_conv_weight_scratch(const fnn_conv_weight_args *a, fnn_dtype dtype, size_t parts)
{
    const size_t size = size_of(dtype);
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    const size_t weights = fnn_conv_weights(a), lanes = fnn_gemm_block_sizes[fnn_current_isa][dtype].lanes;
    if (a->winograd) {
        const fnn_winograd_weight_plan p = fnn_winograd_make_weight_plan(&s, weights, lanes, size, parts);
        return fnn_conv_weight_room(p.size, weights, p.pieces, parts) * size;
    }
    if (fnn_conv_is_depthwise(&s))
        return fnn_depthwise_weight_scratch(&s, size) * size;
    const fnn_conv_weight_plan p = fnn_conv_make_weight_plan(&s, weights, lanes, size, parts);
    return bytes(&p.view, &p.blocks, p.bunch * p.channels, fnn_conv_weight_room(p.size, weights, p.pieces, parts), size);
}
