/* Plans copy their arguments, keep the order of the calls, replay as often as one likes, and survive a failed append. Inputs are bound anew, and a
 * replay that is stopped or cancelled before the commit leaves no trace. */
#include "check.h"
#include "fnn.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CALLS 1000

static int order[CALLS], ran;
static size_t misaligned;

/* `size` bytes that all have the value of the first; the first two also count the call. */
typedef struct bytes_args { unsigned char size, value[200]; } bytes_args;

static void bytes(const void *args, size_t part, size_t parts)
{
    const bytes_args *a = args;
    (void)part, (void)parts;
    misaligned += (uintptr_t)args % 16 != 0;
    for (size_t i = 0; i < a->size; i++)
        if (a->value[i] != a->value[0])
            order[ran] = -1000;
    order[ran++] += a->size ? a->value[0] : 0;
}

typedef struct add_args { atomic_int *to; } add_args;

static void add(const void *args, size_t part, size_t parts)
{
    const add_args *a = args;
    atomic_fetch_add(a->to, (int)(part + 1 + 100 * parts));
}

static int stop(void)
{
    return 1;
}

static void stubborn(const void *args, size_t part, size_t parts)
{
    (void)args, (void)part, (void)parts;
    while (!fnn_interrupted())
        ;
}

static int64_t count, bad;

typedef struct set_args { int64_t *to; const int64_t *from; } set_args;

static void set(const void *args, size_t part, size_t parts)
{
    const set_args *a = args;
    (void)part, (void)parts;
    *a->to = *a->from;
    if (a->to != &bad) count++;
}

/* count counts, then `bad` is read from the input, then, after the commit, a call that cannot be cancelled. */
static void inputs_and_ends(void)
{
    int64_t inputs[3] = {0, 0, 5}, first = 0, last = 0;
    set_args to_first = {&first, NULL}, to_bad = {&bad, NULL}, to_last = {&last, NULL};
    fnn_plan *plan = fnn_plan_new();
    CHECK(fnn_plan_preserve(plan, &first, sizeof first) == 0 && fnn_plan_preserve(plan, &count, sizeof count) == 0);
    CHECK(fnn_plan_append(plan, set, &to_first, sizeof to_first, 1, NULL) == 0);
    CHECK(fnn_plan_input(plan, offsetof(set_args, from), 0, 2 * sizeof(int64_t)) == 0);
    CHECK(fnn_plan_append(plan, set, &to_bad, sizeof to_bad, 1, &bad) == 0);
    CHECK(fnn_plan_input(plan, offsetof(set_args, from), 1, 0) == 0);
    fnn_plan_commit(plan);
    CHECK(fnn_plan_append(plan, set, &to_last, sizeof to_last, 1, NULL) == 0);
    CHECK(fnn_plan_input(plan, offsetof(set_args, from), 0, 2 * sizeof(int64_t)) == 0);
    fnn_set_poll(NULL);

    fnn_plan_bind(plan, 0, inputs);
    fnn_plan_bind(plan, 1, inputs);
    CHECK(fnn_plan_replay(plan) == FNN_DONE && first == 5 && last == 5 && count == 2);
    inputs[2] = 6;
    fnn_plan_bind(plan, 1, inputs + 2);
    CHECK(fnn_plan_replay(plan) == FNN_STOPPED && first == 5 && last == 5 && count == 2);
    fnn_plan_bind(plan, 1, inputs);
    CHECK(fnn_plan_replay(plan) == FNN_DONE && first == 6 && last == 6 && count == 4);
    double seconds[3] = {-1, -1, -1};
    CHECK(fnn_plan_time(plan, seconds) == FNN_DONE && seconds[0] >= 0 && seconds[1] >= 0 && seconds[2] >= 0);
    fnn_plan_free(plan);
}

/* Two plans by turns on batches of two rows; the second one is stopped by a row. */
static void many_steps(void)
{
    int64_t rows[8] = {0, 1, 2, 3, 0, 5, 6, 7}, order[8] = {6, 7, 4, 5, 2, 3, 0, 1}, gathered[2], value = 0, values[4] = {0}, outputs[8];
    set_args to_value = {&value, NULL}, to_bad = {&bad, NULL};
    fnn_dispatch(FNN_SCALAR);
    fnn_plan *plan = fnn_plan_new(), *strict = fnn_plan_new();
    CHECK(fnn_plan_append(plan, set, &to_value, sizeof to_value, 1, NULL) == 0 && fnn_plan_input(plan, offsetof(set_args, from), 0, 8) == 0);
    CHECK(fnn_plan_append(strict, set, &to_value, sizeof to_value, 1, NULL) == 0 && fnn_plan_input(strict, offsetof(set_args, from), 0, 8) == 0);
    CHECK(fnn_plan_append(strict, set, &to_bad, sizeof to_bad, 1, &bad) == 0 && fnn_plan_input(strict, offsetof(set_args, from), 0, 0) == 0);
    fnn_cycle cycle[2] = {{strict, &value, gathered}, {plan, &value, gathered}};
    fnn_column column = {rows, gathered, sizeof(int64_t)};
    fnn_steps s = {.cycle = cycle, .cycles = 2, .first = 1, .column = &column, .columns = 1, .order = order, .batch = 2, .steps = 4,
                   .bytes_per_share = 1, .values = values, .outputs = outputs, .value_bytes = 8, .output_bytes = 16};
    CHECK(fnn_plan_steps(&s) == FNN_DONE && s.done == 4);
    for (int i = 0; i < 4; i++)
        CHECK(values[i] == rows[order[2 * i + 1]] && outputs[2 * i] == rows[order[2 * i]] && outputs[2 * i + 1] == values[i]);
    s.order = NULL, s.outputs = NULL, s.done = 0, s.first = 0;
    CHECK(fnn_plan_steps(&s) == FNN_DONE && s.done == 4 && values[0] == 1 && values[3] == 7);
    rows[4] = 1;                        /* step 2 is the strict plan's */
    s.done = 0;
    CHECK(fnn_plan_steps(&s) == FNN_STOPPED && s.done == 2);
    fnn_plan_free(plan);
    fnn_plan_free(strict);
}

int main(void)
{
    fnn_plan *plan = fnn_plan_new();
    CHECK(fnn_plan_length(plan) == 0 && fnn_plan_replay(plan) == 0);

    /* arguments of every size from 1 to 201 bytes, overwritten after they were recorded */
    for (int i = 0; i < CALLS; i++) {
        bytes_args a = {(unsigned char)(i % 201), {0}};
        memset(a.value, i % 251, sizeof a.value);
        CHECK(fnn_plan_append(plan, bytes, &a, 1 + a.size, 1, NULL) == 0);
        memset(&a, 255, sizeof a);
    }
    for (int replay = 1; replay <= 3; replay++) {
        ran = 0;
        CHECK(fnn_plan_replay(plan) == 0 && ran == CALLS);
        for (int i = 0; i < CALLS; i++)
            CHECK(order[i] == replay * (i % 201 ? i % 251 : 0));
    }
    CHECK(misaligned == 0);

    /* no memory: the plan is as it was */
    bytes_args one = {1, {7}};
    CHECK(fnn_plan_append(plan, bytes, &one, SIZE_MAX, 1, NULL) == -1);
    CHECK(fnn_plan_append(plan, bytes, &one, SIZE_MAX / 2, 1, NULL) == -1);
    CHECK(fnn_plan_length(plan) == CALLS);
    ran = 0;
    CHECK(fnn_plan_replay(plan) == 0 && ran == CALLS);
    fnn_plan_free(plan);
    fnn_plan_free(NULL);

    /* calls in several shares go through the pool */
    fnn_set_threads(3);
    atomic_int total = 0;
    add_args a = {&total};
    plan = fnn_plan_new();
    for (size_t parts = 0; parts <= 4; parts++)
        CHECK(fnn_plan_append(plan, add, &a, sizeof a, parts, NULL) == 0);
    CHECK(fnn_plan_length(plan) == 5);
    CHECK(fnn_plan_replay(plan) == 0 && total == 100 * (1 + 4 + 9 + 16) + 1 + 3 + 6 + 10);
    fnn_plan_free(plan);

    /* a cancelled call ends the replay */
    fnn_set_poll(stop);
    total = 0;
    plan = fnn_plan_new();
    CHECK(fnn_plan_append(plan, stubborn, NULL, 0, 2, NULL) == 0 && fnn_plan_append(plan, add, &a, sizeof a, 1, NULL) == 0);
    CHECK(fnn_plan_replay(plan) == FNN_CANCELLED && total == 0);
    CHECK(fnn_plan_replay(plan) == FNN_CANCELLED && total == 0);
    fnn_plan_free(plan);
    inputs_and_ends();
    many_steps();
    return failures != 0;
}
