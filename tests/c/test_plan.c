/* Plans copy their arguments, keep the order of the calls, replay as often as one likes, and survive a failed append. */
#include "check.h"
#include "fnn.h"

#include <stdatomic.h>
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

int main(void)
{
    fnn_plan *plan = fnn_plan_new();
    CHECK(fnn_plan_length(plan) == 0 && fnn_plan_replay(plan) == 0);

    /* arguments of every size from 1 to 201 bytes, overwritten after they were recorded */
    for (int i = 0; i < CALLS; i++) {
        bytes_args a = {(unsigned char)(i % 201), {0}};
        memset(a.value, i % 251, sizeof a.value);
        CHECK(fnn_plan_append(plan, bytes, &a, 1 + a.size, 1) == 0);
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
    CHECK(fnn_plan_append(plan, bytes, &one, SIZE_MAX, 1) == -1);
    CHECK(fnn_plan_append(plan, bytes, &one, SIZE_MAX / 2, 1) == -1);
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
        CHECK(fnn_plan_append(plan, add, &a, sizeof a, parts) == 0);
    CHECK(fnn_plan_length(plan) == 5);
    CHECK(fnn_plan_replay(plan) == 0 && total == 100 * (1 + 4 + 9 + 16) + 1 + 3 + 6 + 10);
    fnn_plan_free(plan);

    /* a cancelled call ends the replay */
    fnn_set_poll(stop);
    total = 0;
    plan = fnn_plan_new();
    CHECK(fnn_plan_append(plan, stubborn, NULL, 0, 2) == 0 && fnn_plan_append(plan, add, &a, sizeof a, 1) == 0);
    CHECK(fnn_plan_replay(plan) == 1 && total == 0);
    CHECK(fnn_plan_replay(plan) == 1 && total == 0);
    fnn_plan_free(plan);
    return failures != 0;
}
