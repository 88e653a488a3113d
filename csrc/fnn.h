/* fnn.h — conventions, types and the kernel table: the one header that the Cython side reads.
 *
 * Conventions of every kernel
 *   - Arguments come in one struct; its fields are in the order outputs, inputs, sizes, scalars. Backward: gradients out,
 *     `dy`, then forward's inputs in forward's order, then what forward saved.
 *   - Arrays are `void *` in the struct and point to the table slot's dtype. Sizes are elements, never bytes; strides are
 *     elements too and may be negative or zero.
 *   - Callers check everything. Kernels trust their arguments, assert their contract in debug builds, and never print,
 *     exit, allocate or touch Python. Scratch memory comes in as an argument.
 *   - A kernel does share `part` of `parts` equal shares of the work. The bits of the result do not depend on `parts`, nor on
 *     the order or the threads in which the shares run.
 *   - Scalars travel as double and are rounded once to the kernel's dtype.
 */
#ifndef FNN_H
#define FNN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the compiled module shows to others, threadpoolctl for one; the rest of csrc is hidden. */
#if defined(_WIN32)
#define FNN_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define FNN_EXPORT __attribute__((visibility("default")))
#else
#define FNN_EXPORT
#endif

typedef enum fnn_dtype { FNN_F32, FNN_F64, FNN_DTYPES } fnn_dtype;
typedef enum fnn_isa { FNN_SCALAR, FNN_AVX2, FNN_AVX512, FNN_NEON, FNN_ISAS } fnn_isa;

typedef void (*fnn_kernel)(const void *args, size_t part, size_t parts);

/* The argument structs, fnn_<set>_args, one per FNN_ARGS entry of kernels.def. */
#define FNN_ARGS(set, fields) typedef struct fnn_##set##_args { fields } fnn_##set##_args;
#define FNN_KERNEL(name, set)
#include "kernels.def"
#undef FNN_ARGS
#undef FNN_KERNEL

/* The kernel table: one slot per kernel and dtype. */
#define FNN_ARGS(set, fields)
#define FNN_KERNEL(name, set) fnn_kernel name[FNN_DTYPES];
typedef struct fnn_table {
#include "kernels.def"
} fnn_table;
#undef FNN_ARGS
#undef FNN_KERNEL

/* dispatch.c ------------------------------------------------------------------------------------------------------- */

extern fnn_table fnn_kernels;
extern fnn_isa fnn_current_isa;         /* what fnn_dispatch filled it for */

/* Fill fnn_kernels: from scalar upward to `isa`. Call before any kernel runs; `isa` must be usable. */
void fnn_dispatch(fnn_isa isa);

/* cpu.c ------------------------------------------------------------------------------------------------------------ */

/* Whether this build has kernels for `isa` and this processor (and operating system) can run them. */
int fnn_isa_usable(fnn_isa isa);
const char *fnn_isa_name(fnn_isa isa);

/* The widest usable instruction set. */
fnn_isa fnn_isa_best(void);

/* pool.c ----------------------------------------------------------------------------------------------------------- */

/* Run all `parts` shares of a kernel on the calling thread and the pool's workers. Returns 0, or 1 if it was cancelled (the
 * outputs are then unspecified). One caller at a time has the workers; others run their shares themselves. */
int fnn_run(fnn_kernel kernel, const void *args, size_t parts);

/* For kernels whose shares need what earlier ones have written. Shares are taken in ascending order, so those before a share have been run or are being run by
 * threads that need not wait for it. fnn_share_done: the calling share has written all. fnn_wait_for_shares: until so many have said so; nonzero means give up. */
void fnn_share_done(void);
int fnn_wait_for_shares(size_t shares);

/* For kernels whose shares may run longer than some 20 ms: to be asked every few ms of work; nonzero means give up. */
int fnn_interrupted(void);

/* While it is on, runs on this thread cannot be cancelled. Returns what it was. */
int fnn_shield(int on);

/* `poll` is called on the thread that called fnn_run, about every 50 ms while it runs; nonzero cancels the run. */
void fnn_set_poll(int (*poll)(void));

/* Threads that fnn_run may use, the caller included (>= 1). The default honours CPU affinity and cgroup quotas. */
FNN_EXPORT size_t fnn_threads(void);
FNN_EXPORT void fnn_set_threads(size_t threads);
size_t fnn_default_threads(void);

/* plan.c ----------------------------------------------------------------------------------------------------------- */

/* Recorded kernel calls, replayed in one go. Functions that return int: 0, or -1 when out of memory, with the plan unchanged. */
typedef struct fnn_plan fnn_plan;
fnn_plan *fnn_plan_new(void);                                                     /* NULL when out of memory */
void fnn_plan_free(fnn_plan *plan);

/* Add a call. `stop`: the replay ends where this cell is not 0 after the call; or NULL. */
int fnn_plan_append(fnn_plan *plan, fnn_kernel kernel, const void *args, size_t size, size_t parts, const int64_t *stop);

/* The pointer `field` bytes into the last call's arguments is one into an input, `offset` bytes from its start. */
int fnn_plan_input(fnn_plan *plan, size_t field, size_t input, size_t offset);

/* Memory that calls before the commit change, and that a replay which does not get there puts back. */
int fnn_plan_preserve(fnn_plan *plan, void *memory, size_t bytes);

/* Calls that are added from here on run to their end, whatever comes. */
void fnn_plan_commit(fnn_plan *plan);

size_t fnn_plan_length(const fnn_plan *plan);

/* Say where an input is. */
void fnn_plan_bind(fnn_plan *plan, size_t input, const void *data);

/* FNN_CANCELLED: the hook of fnn_set_poll said so. FNN_STOPPED: a call's `stop` cell did. The preserved memory is as before then. */
typedef enum fnn_end { FNN_DONE, FNN_CANCELLED, FNN_STOPPED } fnn_end;
fnn_end fnn_plan_replay(const fnn_plan *plan);

/* A replay that takes the time of each call. It may be cancelled anywhere, and nothing is put back. */
fnn_end fnn_plan_time(const fnn_plan *plan, double *seconds);

/* One input of many steps: its rows, the bytes of one, and where a batch of them is gathered to. */
typedef struct fnn_column { const void *rows; void *gathered; size_t bytes; } fnn_column;

/* A plan and where it leaves its value and its output. */
typedef struct fnn_cycle { fnn_plan *plan; const void *value; const void *output; } fnn_cycle;

/* Step i replays cycle[(first + i) % cycles] on rows order[i batch] to order[(i + 1) batch - 1] of every column, or where `order`
 * is NULL on rows i batch and so on, and copies its value to values and its output to outputs, unless that is NULL. Ends
 * after a whole step: `done` of them have been made then. */
typedef struct fnn_steps {
    const fnn_cycle *cycle;
    size_t cycles, first;
    const fnn_column *column;
    size_t columns;
    const int64_t *order;
    size_t batch, steps, done;
    size_t bytes_per_share;             /* of a gather */
    void *values, *outputs;
    size_t value_bytes, output_bytes;   /* of one step */
} fnn_steps;
fnn_end fnn_plan_steps(fnn_steps *steps);

/* gemm/scratch.c --------------------------------------------------------------------------------------------------- */

/* Bytes of scratch memory for each of `parts` shares of the product `args` (its scratch field is not read); may be 0. */
size_t fnn_gemm_scratch(const fnn_gemm_args *args, fnn_dtype dtype, size_t parts);

/* Elements of a matrix of k rows and n columns that gemm_pack has packed. */
size_t fnn_gemm_packed(fnn_dtype dtype, size_t k, size_t n);

/* How a convolution goes: by conv/winograd.h, if that is allowed, in one of three ways, or conv/channels.h. They have their weights packed in orders of their own, but
 * for WINOGRAD_LARGE, which reads them as they are. TURNED, which is not among the answers, is the transposed convolution of depthwise_turned() in conv/depthwise.h. */
enum { FNN_CONV_TILES, FNN_CONV_WINOGRAD, FNN_CONV_CHANNELS, FNN_CONV_TURNED, FNN_CONV_WINOGRAD_TURNED, FNN_CONV_WINOGRAD_LARGE };
int fnn_conv_form(const fnn_conv_args *args, fnn_dtype dtype, int winograd);
static inline int fnn_conv_by_winograd(int form)
{
    return form == FNN_CONV_WINOGRAD || form == FNN_CONV_WINOGRAD_TURNED || form == FNN_CONV_WINOGRAD_LARGE;
}

/* Elements of its packed weights. */
size_t fnn_conv_packed(const fnn_conv_args *args, fnn_dtype dtype);

/* Whether the gradient of a convolution's weights goes by conv/winograd_weight.h: what the field `winograd` is to be. */
int fnn_conv_weight_winograd(const fnn_conv_weight_args *args);

/* Scratch memory as above for the two convolution kernels; SIZE_MAX where it is more than any machine has. */
size_t fnn_conv_scratch(const fnn_conv_args *args, fnn_dtype dtype, size_t parts);
size_t fnn_conv_weight_scratch(const fnn_conv_weight_args *args, fnn_dtype dtype, size_t parts);

/* recurrent/sizes.c: vectors of units in a panel of packed weights, and the numbers in all panels ------------------------ */

size_t fnn_recurrent_panel(fnn_dtype dtype, size_t units, size_t rows, size_t pieces);
size_t fnn_recurrent_packed(fnn_dtype dtype, size_t k, size_t gates, size_t units);

/* Shares ------------------------------------------------------------------------------------------------------------ */

/* The half-open range [*begin, *end) of `n` items that is share `part` of `parts`, cut at multiples of `grain` (>= 1). */
static inline void fnn_share(size_t n, size_t grain, size_t part, size_t parts, size_t *begin, size_t *end)
{
    size_t blocks = n / grain + (n % grain != 0);
    size_t each = blocks / parts, extra = blocks % parts;
    size_t first = part * each + (part < extra ? part : extra);
    size_t last = first + each + (part < extra);
    *begin = first * grain < n ? first * grain : n;
    *end = last * grain < n ? last * grain : n;
}

#ifdef __cplusplus
}
#endif
#endif
