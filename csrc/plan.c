/* plan.c — recorded kernel calls, replayed in one go.
 *
 * A plan is one growing block of memory, appended to and never edited but for the pointers that are bound:
 *
 *   | call | args, padded to 16 bytes | call | args, padded | …
 *
 * so a replay reads memory in one direction and costs, beyond the kernels, a function call and a cache line or two for each.
 * Argument structs are copied; what their pointers point to must stay where it is for as long as the plan is replayed, except
 * for the inputs, which are bound anew before a replay.
 *
 * A replay is whole or leaves no trace. The calls from `commit` on are never cut short; those before it may be cancelled, or
 * stopped by a check that found bad data, and then what they changed of the preserved memory is put back.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "fnn.h"
#include "os.h"
#include "pool.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 16
#define CALLS_PER_LOOK 4        /* calls between two looks at the clock: none takes more than some 20 ms without looking itself */

/* `size`: of the padded arguments that follow. `stop`: after the call, a cell that is not 0 ends the replay; or NULL. */
typedef union call {
    struct { fnn_kernel kernel; size_t parts; size_t size; const int64_t *stop; } is;
    char padding[(sizeof(fnn_kernel) + 2 * sizeof(size_t) + sizeof(void *) + ALIGN - 1) / ALIGN * ALIGN];
} call;

/* The pointer at `at` bytes of the plan's memory is `offset` bytes into input number `input`. */
typedef struct binding { size_t at, input, offset; } binding;

typedef struct preserved { void *memory, *copy; size_t bytes; } preserved;

/* A growing array of items of any one type. */
typedef struct items { void *data; size_t count, capacity; } items;

struct fnn_plan {
    items calls;                        /* of bytes */
    items bindings, preserved;
    size_t length, last;                /* how many calls, and where the last one is */
    size_t commit;                      /* where the calls begin that must run to their end */
};

/* Room for `more` items of `size` bytes at the end, which the caller then counts; NULL: no memory, and nothing has changed. */
static void *grow(items *array, size_t size, size_t more)
{
    if (more > SIZE_MAX / 4 / size || array->count > SIZE_MAX / 4 / size)
        return NULL;
    size_t needed = array->count + more;
    if (needed > array->capacity) {
        size_t capacity = needed + needed / 2 + 16;
        void *data = realloc(array->data, capacity * size);     /* aligned to 16 bytes on every 64-bit platform */
        if (!data)
            return NULL;
        array->data = data;
        array->capacity = capacity;
    }
    return (char *)array->data + array->count * size;
}

fnn_plan *fnn_plan_new(void)
{
    fnn_plan *plan = calloc(1, sizeof(fnn_plan));
    if (plan)
        plan->commit = SIZE_MAX;
    return plan;
}

void fnn_plan_free(fnn_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->preserved.count; i++)
        free(((preserved *)plan->preserved.data)[i].copy);
    free(plan->calls.data);
    free(plan->bindings.data);
    free(plan->preserved.data);
    free(plan);
}

int fnn_plan_append(fnn_plan *plan, fnn_kernel kernel, const void *args, size_t size, size_t parts, const int64_t *stop)
{
    if (size > SIZE_MAX / 8)
        return -1;
    size_t padded = (size + ALIGN - 1) / ALIGN * ALIGN;
    call *c = grow(&plan->calls, 1, sizeof(call) + padded);
    if (!c)
        return -1;
    c->is.kernel = kernel;
    c->is.parts = parts;
    c->is.size = padded;
    c->is.stop = stop;
    if (size)
        memcpy(c + 1, args, size);
    plan->last = plan->calls.count;
    plan->calls.count += sizeof(call) + padded;
    plan->length++;
    return 0;
}

int fnn_plan_input(fnn_plan *plan, size_t field, size_t input, size_t offset)
{
    binding *b = grow(&plan->bindings, sizeof *b, 1);
    if (!b)
        return -1;
    *b = (binding){plan->last + sizeof(call) + field, input, offset};
    plan->bindings.count++;
    return 0;
}

int fnn_plan_preserve(fnn_plan *plan, void *memory, size_t bytes)
{
    preserved *p = grow(&plan->preserved, sizeof *p, 1);
    void *copy = p ? malloc(bytes + !bytes) : NULL;
    if (!copy)
        return -1;
    *p = (preserved){memory, copy, bytes};
    plan->preserved.count++;
    return 0;
}

void fnn_plan_commit(fnn_plan *plan)
{
    plan->commit = plan->calls.count;
}

size_t fnn_plan_length(const fnn_plan *plan)
{
    return plan->length;
}

void fnn_plan_bind(fnn_plan *plan, size_t input, const void *data)
{
    const binding *b = plan->bindings.data;
    for (size_t i = 0; i < plan->bindings.count; i++)
        if (b[i].input == input) {
            const char *pointer = (const char *)data + b[i].offset;
            memcpy((char *)plan->calls.data + b[i].at, &pointer, sizeof pointer);
        }
}

/* Replay --------------------------------------------------------------------------------------------------------------- */

static const call *call_at(const fnn_plan *plan, size_t at)
{
    return (const call *)((const char *)plan->calls.data + at);
}

/* Run the calls from byte `at` to `end`. */
static fnn_end run_calls(const fnn_plan *plan, size_t at, size_t end)
{
    for (size_t i = 1; at < end; i++) {
        const call *c = call_at(plan, at);
        if (c->is.parts == 1)
            c->is.kernel(c + 1, 0, 1);
        else if (fnn_run(c->is.kernel, c + 1, c->is.parts))
            return FNN_CANCELLED;
        if (c->is.stop && *c->is.stop)
            return FNN_STOPPED;
        if (i % CALLS_PER_LOOK == 0 && fnn_interrupted())
            return FNN_CANCELLED;
        at += sizeof(call) + c->is.size;
    }
    return FNN_DONE;
}

static void copy_preserved(const fnn_plan *plan, int back)
{
    const preserved *p = plan->preserved.data;
    for (size_t i = 0; i < plan->preserved.count; i++)
        memcpy(back ? p[i].memory : p[i].copy, back ? p[i].copy : p[i].memory, p[i].bytes);
}

static int replay(const void *argument)
{
    const fnn_plan *plan = argument;
    size_t end = plan->calls.count, commit = plan->commit < end ? plan->commit : end;
    copy_preserved(plan, 0);
    fnn_end result = run_calls(plan, 0, commit);
    if (result != FNN_DONE) {
        copy_preserved(plan, 1);
        return result;
    }
    int before = fnn_shield(1);
    run_calls(plan, commit, end);
    fnn_shield(before);
    return FNN_DONE;
}

fnn_end fnn_plan_replay(const fnn_plan *plan)
{
    return (fnn_end)fnn_as_one_run(replay, plan);
}

/* For a profile, by fnn_as_one_run: seconds[i] is the time of call i. Nothing is put back. */
typedef struct timing { const fnn_plan *plan; double *seconds; } timing;

static int replay_timed(const void *argument)
{
    const timing *t = argument;
    size_t at = 0;
    for (size_t i = 0; i < t->plan->length; i++) {
        const call *c = call_at(t->plan, at);
        int64_t begin = os_now();
        if (fnn_run(c->is.kernel, c + 1, c->is.parts))
            return FNN_CANCELLED;
        t->seconds[i] = (double)(os_now() - begin) * 1e-9;
        at += sizeof(call) + c->is.size;
    }
    return FNN_DONE;
}

fnn_end fnn_plan_time(const fnn_plan *plan, double *seconds)
{
    timing t = {plan, seconds};
    return (fnn_end)fnn_as_one_run(replay_timed, &t);
}

/* Many replays ------------------------------------------------------------------------------------------------------------ */

/* Bind the inputs of step `step` to its rows: where they are, if these are in order, or gathered. */
static int bind_batch(const fnn_steps *s, fnn_plan *plan, size_t step)
{
    for (size_t i = 0; i < s->columns; i++) {
        const fnn_column *column = &s->column[i];
        size_t first = step * s->batch;
        if (!s->order) {
            fnn_plan_bind(plan, i, (const char *)column->rows + first * column->bytes);
            continue;
        }
        fnn_gather_rows_args args = {column->gathered, column->rows, s->order + first, s->batch, column->bytes};
        size_t bytes = s->batch * column->bytes;
        if (fnn_run(fnn_kernels.gather_rows[FNN_F32], &args, bytes < s->bytes_per_share ? 1 : bytes / s->bytes_per_share))
            return 1;
        fnn_plan_bind(plan, i, column->gathered);
    }
    return 0;
}

static int run_steps(const void *argument)
{
    fnn_steps *s = (fnn_steps *)(uintptr_t)argument;
    for (; s->done < s->steps; s->done++) {
        const fnn_cycle *now = &s->cycle[(s->first + s->done) % s->cycles];
        int result = fnn_interrupted() || bind_batch(s, now->plan, s->done) ? FNN_CANCELLED : replay(now->plan);
        if (result != FNN_DONE)
            return result;
        memcpy((char *)s->values + s->done * s->value_bytes, now->value, s->value_bytes);
        if (s->outputs)
            memcpy((char *)s->outputs + s->done * s->output_bytes, now->output, s->output_bytes);
    }
    return FNN_DONE;
}

fnn_end fnn_plan_steps(fnn_steps *steps)
{
    return (fnn_end)fnn_as_one_run(run_steps, steps);
}
