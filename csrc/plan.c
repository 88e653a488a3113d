/* plan.c — recorded kernel calls, replayed in one go.
 *
 * A plan is one growing block of memory, appended to and never edited:
 *
 *   | call | args, padded to 16 bytes | call | args, padded | …
 *
 * so a replay reads memory in one direction and costs, beyond the kernels, a function call and a cache line or two for each.
 * Argument structs are copied; what their pointers point to must stay where it is for as long as the plan is replayed.
 */
#include "fnn.h"
#include "pool.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 16
#define CALLS_PER_LOOK 4        /* calls between two looks at the clock: none takes more than some 20 ms without looking itself */

/* `size`: of the padded arguments that follow. */
typedef union call {
    struct { fnn_kernel kernel; size_t parts; size_t size; } is;
    char padding[(sizeof(fnn_kernel) + 2 * sizeof(size_t) + ALIGN - 1) / ALIGN * ALIGN];
} call;

struct fnn_plan {
    char *memory;
    size_t used, capacity, length;      /* bytes, bytes, calls */
};

fnn_plan *fnn_plan_new(void)
{
    return calloc(1, sizeof(fnn_plan));
}

void fnn_plan_free(fnn_plan *plan)
{
    if (plan)
        free(plan->memory);
    free(plan);
}

int fnn_plan_append(fnn_plan *plan, fnn_kernel kernel, const void *args, size_t size, size_t parts)
{
    if (size > SIZE_MAX / 4 || plan->used > SIZE_MAX / 4)
        return -1;
    size_t padded = (size + ALIGN - 1) / ALIGN * ALIGN;
    size_t needed = plan->used + sizeof(call) + padded;
    if (needed > plan->capacity) {
        size_t capacity = needed < 1024 ? 1024 : needed + needed / 2;
        char *memory = realloc(plan->memory, capacity);     /* aligned to 16 bytes on every 64-bit platform */
        if (!memory)
            return -1;
        plan->memory = memory;
        plan->capacity = capacity;
    }
    call *c = (call *)(plan->memory + plan->used);
    c->is.kernel = kernel;
    c->is.parts = parts;
    c->is.size = padded;
    if (size)
        memcpy(c + 1, args, size);
    plan->used = needed;
    plan->length++;
    return 0;
}

size_t fnn_plan_length(const fnn_plan *plan)
{
    return plan->length;
}

static int replay(const void *argument)
{
    const fnn_plan *plan = argument;
    size_t at = 0;
    for (size_t i = 1; at != plan->used; i++) {
        const call *c = (const call *)(plan->memory + at);
        if (fnn_run(c->is.kernel, c + 1, c->is.parts) || (i % CALLS_PER_LOOK == 0 && fnn_interrupted()))
            return 1;
        at += sizeof(call) + c->is.size;
    }
    return 0;
}

int fnn_plan_replay(const fnn_plan *plan)
{
    return fnn_as_one_run(replay, plan);
}
