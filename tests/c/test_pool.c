/* The pool's promises: every share runs exactly once, for any number of shares, threads and callers; forks, nested runs and
 * cancellation work at any time; floating-point modes neither leak in nor out. EMULATED leaves the forks out: QEMU's user mode
 * aborts when the child of a process with threads starts one. Long, because each promise is tried with each of the others at work. */
#define _GNU_SOURCE
#include "check.h"
#include "fnn.h"

#include <fenv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_PARTS 1000

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void work_for(double duration)
{
    for (double end = seconds() + duration; seconds() < end;)
        ;
}

typedef struct count_args { atomic_int *runs; double duration; } count_args;

static void count(const void *args, size_t part, size_t parts)
{
    const count_args *a = args;
    if (part >= parts)
        part = MOST_PARTS - 1;          /* seen as one run too many there */
    atomic_fetch_add(&a->runs[part], 1);
    work_for(a->duration);
}

/* Whether a run of `parts` shares ran each exactly once. */
static int runs_each_once(size_t parts, double duration)
{
    atomic_int runs[MOST_PARTS];
    for (size_t i = 0; i < MOST_PARTS; i++)
        atomic_init(&runs[i], 0);
    count_args a = {runs, duration};
    int right = fnn_run(count, &a, parts) == 0;
    for (size_t i = 0; i < MOST_PARTS; i++)
        right &= runs[i] == (i < parts);
    return right;
}

static const size_t PARTS[] = {0, 1, 2, 3, 7, 64, 999};

static void test_shares_are_run_exactly_once(void)
{
    static const size_t threads[] = {1, 2, 3, 8, 2, 1, 4};     /* up and down */
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        fnn_set_threads(threads[t]);
        CHECK(fnn_threads() == threads[t]);
        for (size_t p = 0; p < sizeof PARTS / sizeof *PARTS; p++)
            for (int repeat = 0; repeat < 30; repeat++)
                CHECK(runs_each_once(PARTS[p], repeat % 10 ? 0 : 2e-5));
        usleep(1000);                   /* the workers fall asleep */
        CHECK(runs_each_once(3, 1e-3));
    }
}

static atomic_int others_ran;

static void meet(const void *args, size_t part, size_t parts)
{
    (void)args, (void)part;
    atomic_fetch_add(&others_ran, 1);
    for (double end = seconds() + 10; others_ran < (int)parts && seconds() < end;)
        usleep(100);
}

static void test_shares_run_at_the_same_time(void)
{
    fnn_set_threads(4);
    others_ran = 0;
    double start = seconds();
    CHECK(fnn_run(meet, NULL, 4) == 0 && seconds() - start < 9);
    usleep(2000);                       /* also from sleep */
    others_ran = 0;
    start = seconds();
    CHECK(fnn_run(meet, NULL, 4) == 0 && seconds() - start < 9);
}

static void *call_often(void *wrong)
{
    for (size_t i = 0; i < 300; i++)
        if (!runs_each_once(PARTS[i % 6], i % 50 ? 0 : 1e-4))
            atomic_fetch_add((atomic_int *)wrong, 1);
    return NULL;
}

static void test_eight_callers_at_once(void)
{
    pthread_t callers[8];
    atomic_int wrong = 0;
    fnn_set_threads(3);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&callers[i], NULL, call_often, &wrong) == 0);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_join(callers[i], NULL) == 0);
    CHECK(wrong == 0);
}

static void nest(const void *args, size_t part, size_t parts)
{
    (void)part, (void)parts;
    if (!runs_each_once(5, 0))
        atomic_fetch_add(*(atomic_int *const *)args, 1);
}

static void test_nested_runs(void)
{
    atomic_int wrong = 0, *wrong_at = &wrong;
    fnn_set_threads(3);
    for (size_t parts = 1; parts < 20; parts++)
        CHECK(fnn_run(nest, &wrong_at, parts) == 0);
    CHECK(wrong == 0);
}

/* Each share waits for the four before it to have been done; one of them runs another job meanwhile. */
typedef struct chain_args { atomic_int done[MOST_PARTS]; atomic_int wrong; size_t stuck; } chain_args;

static void chain(const void *args, size_t part, size_t parts)
{
    chain_args *a = (chain_args *)args;
    (void)parts;
    if (part == a->stuck)
        while (!fnn_interrupted())
            ;
    if (fnn_wait_for_shares(part / 4 * 4))
        return;
    for (size_t i = 0; i < part / 4 * 4; i++)
        a->wrong |= !atomic_load_explicit(&a->done[i], memory_order_relaxed);
    if (part == 5)
        a->wrong |= !runs_each_once(7, 1e-5);
    atomic_store_explicit(&a->done[part], 1, memory_order_relaxed);
    fnn_share_done();
}

static void test_shares_that_wait_for_others(void)
{
    static chain_args a;
    static const size_t threads[] = {1, 2, 3, 8};
    for (size_t t = 0; t < 4; t++) {
        fnn_set_threads(threads[t]);
        for (int i = 0; i < 50; i++) {
            memset(&a, 0, sizeof a);
            a.stuck = MOST_PARTS;
            CHECK(fnn_run(chain, &a, i % 2 ? 997 : 6) == 0);
            CHECK(!a.wrong && a.done[i % 2 ? 996 : 5]);
        }
    }
}

#if !defined(EMULATED)
static int exit_code(pid_t child)
{
    int status = -1;
    for (double end = seconds() + 20; seconds() < end; usleep(100))
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
    return -3;                          /* it hangs */
}

static void test_forks_with_a_warm_pool(void)
{
    fnn_set_threads(3);
    for (int i = 0; i < 200; i++) {
        CHECK(runs_each_once(3, i % 20 ? 0 : 1e-4));
        if (i % 3 == 0)
            usleep(200);                /* workers are asleep; otherwise they spin */
        pid_t child = fork();
        if (child == 0)
            _exit(!(runs_each_once(64, 0) && runs_each_once(3, i % 20 ? 0 : 1e-3) && runs_each_once(1, 0)));
        CHECK(runs_each_once(7, 0));    /* the parent's pool goes on */
        CHECK(exit_code(child) == 0);
    }
}

static atomic_int stop_calling;

static void *call_until_stopped(void *wrong)
{
    while (!stop_calling)
        if (!runs_each_once(6, 2e-5))
            atomic_fetch_add((atomic_int *)wrong, 1);
    return NULL;
}

static void test_forks_in_the_middle_of_another_threads_run(void)
{
    pthread_t caller;
    atomic_int wrong = 0;
    stop_calling = 0;
    fnn_set_threads(3);
    CHECK(pthread_create(&caller, NULL, call_until_stopped, &wrong) == 0);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (child == 0) {
            int right = 1;
            for (int k = 0; k < 3; k++)
                right &= runs_each_once(64, 0);
            if (i % 20 == 0) {          /* the child's pool is not taken: it gets helpers */
                double start = seconds();
                others_ran = 0;
                right &= fnn_run(meet, NULL, 3) == 0 && seconds() - start < 9;
            }
            pid_t grandchild = fork();
            if (grandchild == 0)
                _exit(!runs_each_once(3, 0));
            _exit(!(right && exit_code(grandchild) == 0));
        }
        CHECK(exit_code(child) == 0);
    }
    stop_calling = 1;
    CHECK(pthread_join(caller, NULL) == 0 && wrong == 0);
}

#endif

static pthread_t hooks_thread;
static atomic_int hook_calls, hook_calls_elsewhere;
static double hook_stops_at;

static int hook(void)
{
    atomic_fetch_add(&hook_calls, 1);
    if (!pthread_equal(pthread_self(), hooks_thread))
        atomic_fetch_add(&hook_calls_elsewhere, 1);
    return seconds() >= hook_stops_at;
}

#if !defined(EMULATED)
static pid_t forked;

static int forking_hook(void)
{
    if (forked < 0)
        forked = fork();
    return forked == 0 && !runs_each_once(3, 0);        /* the hook itself may run kernels */
}
#endif

static void long_share(const void *args, size_t part, size_t parts)
{
    (void)parts;
    double duration = *(const double *)args;
    for (double end = seconds() + (part == 0 ? duration : 2); seconds() < end && !fnn_interrupted();)
        work_for(1e-3);
}

static void short_share(const void *args, size_t part, size_t parts)
{
    (void)part, (void)parts;
    work_for(*(const double *)args);
}

static void test_cancellation(void)
{
    double duration = 2, short_duration = 5e-3;
    static const size_t threads[] = {1, 2, 4};
    hooks_thread = pthread_self();
    fnn_set_poll(hook);
    for (size_t t = 0; t < 3; t++) {
        fnn_set_threads(threads[t]);
        for (size_t parts = 1; parts <= 4; parts++) {
            /* a share that asks by itself; the first one long, then short, so that the caller waits for the others'. 0.2 s would do on a machine that is not busy */
            duration = parts % 2 ? 2 : 1e-3;
            double start = seconds();
            hook_stops_at = start + 0.1;
            CHECK(fnn_run(long_share, &duration, parts) == 1);
            CHECK(seconds() - start >= 0.1 && seconds() - start < 1.5);
        }
        /* shares that do not ask: between two of them */
        double start = seconds();
        hook_stops_at = start + 0.1;
        CHECK(fnn_run(short_share, &short_duration, 3000) == 1);
        CHECK(seconds() - start >= 0.1 && seconds() - start < 1.5);
        CHECK(runs_each_once(64, 0));   /* and the pool is as good as new */
    }
    CHECK(hook_calls_elsewhere == 0);

    /* shares that wait for one that never ends */
    for (size_t t = 0; t < 3; t++) {
        static chain_args a;
        memset(&a, 0, sizeof a);
        a.stuck = 9;
        fnn_set_threads(threads[t]);
        double start = seconds();
        hook_stops_at = start + 0.1;
        CHECK(fnn_run(chain, &a, 100) == 1);
        CHECK(seconds() - start >= 0.1 && seconds() - start < 1.5 && !a.wrong && !a.done[12]);
    }

    /* short runs never call the hook; long ones every 50 ms */
    hook_stops_at = 1e99;
    hook_calls = 0;
    for (int i = 0; i < 1000; i++)
        CHECK(runs_each_once(2, 0));
    CHECK(hook_calls == 0);
    double one_part = 0.5;
    CHECK(fnn_run(long_share, &one_part, 1) == 0);
    CHECK(hook_calls >= 1 && hook_calls <= 10);
    CHECK(fnn_interrupted() == 0);

#if !defined(EMULATED)
    /* a hook that forks: the parent finishes, the child's copy of the run is cancelled, and its next one works */
    fnn_set_poll(forking_hook);
    for (size_t t = 0; t < 3; t++) {
        pid_t self = getpid();
        double some = 0.03;
        forked = -1;
        fnn_set_threads(threads[t]);
        int cancelled = fnn_run(short_share, &some, 5 * threads[t]);
        if (getpid() != self)
            _exit(!(cancelled && runs_each_once(3, 0)));
        CHECK(!cancelled && forked > 0 && exit_code(forked) == 0);
    }
#endif
    fnn_set_poll(NULL);
}

/* 1 / 3 + 2^-60 and half of the smallest normal number: differ in every rounding mode, and when subnormals are flushed. */
static void inexact(const void *args, size_t part, size_t parts)
{
    (void)parts;
    volatile double one = 1, three = 3, tiny = 0x1p-1022, half = 0.5;
    double *out = *(double *const *)args + 2 * part;
    out[0] = one / three + 0x1p-60;
    out[1] = -one / three;
    if (tiny * half != 0x1p-1023)
        out[0] = 0;
}

static void test_floating_point_mode(void)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    double expected[2], got[128], *at = expected;
    inexact(&at, 0, 1);
    at = got;
    fnn_set_threads(4);
    for (size_t m = 0; m < 4; m++)
        for (size_t p = 1; p < 6; p++) {
            CHECK(fesetround(modes[m]) == 0);
            fnn_run(inexact, &at, PARTS[p]);
            CHECK(fegetround() == modes[m]);
            fesetround(FE_TONEAREST);
            for (size_t i = 0; i < PARTS[p]; i++)
                CHECK(memcmp(got + 2 * i, expected, sizeof expected) == 0);
        }
#if defined(__x86_64__)
    unsigned before = __builtin_ia32_stmxcsr();
    for (size_t p = 1; p < 6; p++) {
        __builtin_ia32_ldmxcsr(before | 0x8040);        /* flush subnormal results and operands to zero */
        fnn_run(inexact, &at, PARTS[p]);
        CHECK((__builtin_ia32_stmxcsr() & 0x8040) == 0x8040);
        __builtin_ia32_ldmxcsr(before);
        for (size_t i = 0; i < PARTS[p]; i++)
            CHECK(memcmp(got + 2 * i, expected, sizeof expected) == 0);
    }
#elif defined(__aarch64__)
    for (size_t p = 1; p < 6; p++) {
        unsigned long flush = 1ul << 24, after;
        __asm__ volatile("msr fpcr, %0" ::"r"(flush));
        fnn_run(inexact, &at, PARTS[p]);
        __asm__ volatile("mrs %0, fpcr" : "=r"(after));
        __asm__ volatile("msr fpcr, %0" ::"r"(0ul));
        CHECK(after == flush);
        for (size_t i = 0; i < PARTS[p]; i++)
            CHECK(memcmp(got + 2 * i, expected, sizeof expected) == 0);
    }
#endif
}

#if !defined(EMULATED)
/* Nothing hangs when a process ends while workers run, spin or sleep. */
static void test_exit(void)
{
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            runs_each_once(7, 1e-4);
            usleep(i % 2 ? 500 : 0);
            exit(0);
        }
        CHECK(exit_code(child) == 0);
    }
}
#endif

int main(void)
{
    test_shares_are_run_exactly_once();
    test_shares_run_at_the_same_time();
    test_eight_callers_at_once();
    test_nested_runs();
    test_shares_that_wait_for_others();
    test_cancellation();
    test_floating_point_mode();
#if !defined(EMULATED)
    test_forks_with_a_warm_pool();
    test_forks_in_the_middle_of_another_threads_run();
    test_exit();
#endif
    return failures != 0;
}
