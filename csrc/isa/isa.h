/* isa.h — everything that is compiled once per instruction set and dtype. The files beside this one name the two, include the
 * vector words and then this. All of it is static: nothing compiled for a newer processor can leak into the baseline. The one
 * external symbol fills the instruction set's column of the kernel table. */
#include "../fnn.h"

/* FNN_NAME(relu_forward) is fnn_relu_forward_f32_avx512. */
#define FNN_NAME_(name, dtype, isa) fnn_##name##_##dtype##_##isa
#define FNN_NAME__(name, dtype, isa) FNN_NAME_(name, dtype, isa)
#define FNN_NAME(name) FNN_NAME__(name, FNN_DTYPE_NAME, FNN_ISA_NAME)

/* KERNEL(relu_forward, map) { … } defines a kernel; its body sees `const fnn_map_args *a`, `part` and `parts`. */
#define KERNEL(name, set)                                                                                                     \
    static void name##_body(const fnn_##set##_args *a, size_t part, size_t parts);                                            \
    static void FNN_NAME(name)(const void *args, size_t part, size_t parts)                                                   \
    {                                                                                                                         \
        name##_body((const fnn_##set##_args *)args, part, parts);                                                             \
    }                                                                                                                         \
    static void name##_body(const fnn_##set##_args *a, size_t part, size_t parts)

#include "../vec/reduce.h"
#include "../vec/vmath.h"
#include "../vec/u64.h"

/* gcc schedules x86 code after register allocation only, which leaves the chains of several vectors one behind the other: longer than
 * the processor's scheduler. Scheduled before it, the elementary functions take up to a third less time. Not for gemm/, whose registers
 * are counted. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#pragma GCC push_options
#pragma GCC optimize("schedule-insns")
#endif
#include "../ops/map.h"
#include "../ops/elementary.h"
#include "../ops/activation.h"
#include "../ops/activation_gelu.h"
#include "../ops/activation_piecewise.h"
#include "../ops/sum_rows.h"
#include "../ops/optimizer.h"
#include "../ops/clip.h"
#include "../ops/prelu.h"
#include "../ops/glu.h"
#include "../ops/softmax.h"
#include "../ops/loss.h"
#include "../ops/loss_margin.h"
#include "../ops/cross_entropy.h"
#include "../ops/distance.h"
#include "../ops/margin.h"
#include "../ops/ctc.h"
#include "../ops/check.h"
#include "../ops/lanes.h"
#include "../ops/rows.h"
#include "../ops/span.h"
#include "../ops/elementwise.h"
#include "../ops/dropout.h"
#include "../ops/pad.h"
#include "../ops/upsample.h"
#include "../ops/norm.h"
#include "../ops/planes.h"
#include "../ops/columns.h"
#include "../ops/batch_norm.h"
#include "../ops/power.h"
#include "../ops/pooling_shapes.h"
#include "../ops/pooling.h"
#include "../ops/pooling_backward.h"
#include "../ops/group_norm.h"
#include "../ops/local_response_norm.h"
#include "../ops/fold.h"
#include "../ops/last_step.h"
#include "../ops/embedding.h"
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#pragma GCC pop_options
#endif
#include "../gemm/gemm.h"
#include "../conv/conv.h"
#include "../conv/weight.h"
#include "../recurrent/recurrent.h"
#include "../attention/attention.h"

void FNN_NAME(fill)(fnn_table *table);
void FNN_NAME(fill)(fnn_table *table)
{
#define FNN_ARGS(set, fields)
#define FNN_KERNEL(name, set) table->name[FNN_DTYPE] = FNN_NAME(name);
#include "../kernels.def"
#undef FNN_ARGS
#undef FNN_KERNEL
}
