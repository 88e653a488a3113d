/* pool.c — runs the shares of a kernel on the calling thread and some workers.
 *
 * Workers are started when a job first needs them, and kept. One job at a time has them: whoever finds the pool taken (another
 * Python thread, or a kernel inside a kernel) runs its shares itself, so that callers never wait for each other and the
 * number of busy threads never multiplies. Long, because jobs, forks and interrupts share the pool's one state.
 *
 *   caller                                       worker
 *   1. write the job; seats = helpers            1. wait for seats > 0, take one (seats - 1)
 *   2. wake as many sleepers as there are seats  2. take shares (next + 1) and run them until there are none
 *   3. run share 0, take shares until there      3. leave (left - 1), wake the caller if it sleeps and this was the last
 *      are none
 *   4. withdraw the seats not taken
 *   5. wait until left = seats withdrawn
 *
 * So a worker that wakes up late costs nothing: its seat is gone, and the others have run its share. `seats` and `left` count
 * down from the same number, hence 5. is true exactly when everybody who sat down has left. A worker that takes a seat has not
 * looked at the job before, so that it does not matter how many jobs came and went since it last looked. Share 0 is always the
 * caller's: of two threads each finds what its share of the kernel before wrote in its own caches.
 *
 * Waiting. A worker spins for SPIN_NS after its last job, then sleeps in the kernel (of the operating system); the caller
 * spins for the last worker for LAST_NS, then sleeps in slices. Spinning makes a fork and join 10 to 50 times faster than waking
 * up does, but takes the processor from others, so it is bounded by time and left out where there are more threads than
 * processors. The caller keeps the workers that it wakes off its own processor: in a virtual
 * machine Linux likes to wake them up there, where they wait for some milliseconds, until the scheduler moves them. They come back when they next
 * fall asleep. Lost wake-ups: a worker adds itself to `sleepers` before it looks at `seats` for the last time (inside the
 * operating system), the caller sets `seats` before it looks at `sleepers`; all four are sequentially consistent, so at
 * least one of them sees the other. The same for `left` and `wake_at`.
 *
 * Shares that need what earlier ones have written wait for them, spinning, on `done`. They cannot wait for each other in a circle: shares are
 * taken in ascending order, and whoever has taken the lowest one that is not done need not wait.
 *
 * Interrupts. Each thread knows the run that it works for. fnn_interrupted reads the run's flag; on the thread that called
 * fnn_run it also looks at the clock, and every POLL_NS asks the hook. A cancelled run still waits for its workers, because
 * the arguments live on its caller's stack. Workers block all signals.
 *
 * Fork, at any time and in any thread: the child has none of the workers, so its handler forgets the pool (a few hundred
 * bytes), and the child's next job makes a new one. Only the hook can fork in the middle of a run on the same thread; the
 * child's copy of that run is cancelled.
 *
 * Floating point: workers run in the default mode, callers are put into it for the run, so that the bits of a result do not
 * depend on modes that somebody else set, and neither on which thread ran a share.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "fnn.h"
#include "os.h"
#include "pool.h"

#include <stdlib.h>

#define SPIN_NS INT64_C(50000)          /* a worker, for the next job */
#define LAST_NS (1 * OS_MS)             /* the caller, for the last worker */
#define POLL_NS (50 * OS_MS)

enum { WAIT_TURNS = 1000 };             /* of a share that waits for others, until it looks for an interrupt and yields: some 20 us */
enum { KEPT_OFF = 16 };                 /* so many workers are kept off the caller's processor: it costs a microsecond each */

/* One outermost fnn_run or fnn_plan_replay; on its caller's stack. */
typedef struct run {
    atomic_int cancelled;
    int64_t poll_at;                    /* when to ask the hook; 0: the clock has not been read yet. The caller's only */
    os_fp_mode callers_mode;
} run;

/* A worker, for those who wake it. */
typedef struct sleeper {
    atomic_int thread;                  /* 0: it does not sleep */
    atomic_int off;                     /* 1 + the processor that it is kept off; 0: none */
} sleeper;

/* The counters that many threads write are a cache line or two apart from all else. */
typedef struct pool {
    os_word seats;                      /* workers that the job still takes */
    char gap_1[128];
    atomic_size_t next;                 /* the first share that nobody has taken */
    char gap_2[128];
    atomic_size_t done;                 /* shares that have called fnn_share_done */
    char gap_3[128];
    os_word left;                       /* helpers wanted at first, less those that have left */
    char gap_4[128];
    atomic_uint wake_at;                /* the caller sleeps until `left` is this less 1; 0: it does not sleep */
    atomic_uint sleepers;               /* workers that sleep, or are about to */
    atomic_size_t numbered;             /* workers that have looked whether there is a place for them in: */
    sleeper sleeper[KEPT_OFF];          /* the first workers */

    /* the job; written before `seats`, read by those who sit */
    fnn_kernel kernel;
    const void *args;
    size_t parts;
    run *run;

    size_t workers;                     /* started; the one who holds the pool owns it */
} pool;

static atomic_uint taken;               /* whether somebody holds the pool */
static pool *the_pool;                  /* NULL before the first job of the process. The one who holds it owns it */
static atomic_uint forks;               /* between the first process and this one */
static atomic_int fork_handled;

static atomic_size_t wanted_threads;    /* 0: not set yet */
static atomic_int may_spin;             /* there are no more threads than processors */
static atomic_int start_failed;         /* the system gave no more threads: do not ask for each job again */
static int (*poll_hook)(void);

/* What the thread works for: the run, or NULL; the job's `done`, or NULL where one share runs after the other. */
static OS_THREAD_LOCAL struct self { run *run; atomic_size_t *done; int is_worker; int shielded; } self;

/* Interrupts -------------------------------------------------------------------------------------------------------- */

static int ask_hook(run *r, int64_t now)
{
    unsigned forks_before = atomic_load(&forks);
    r->poll_at = now + POLL_NS;         /* the hook may run kernels, too */
    os_fp_restore(r->callers_mode);     /* the hook may run anything, in the mode it expects */
    int stop = poll_hook();
    os_fp_default();
    r->poll_at = os_now() + POLL_NS;
    return stop || atomic_load(&forks) != forks_before;
}

static int interrupted(const struct self *me)
{
    run *r = me->run;
    if (!me->is_worker && !me->shielded && poll_hook && !atomic_load_explicit(&r->cancelled, memory_order_relaxed)) {
        int64_t now = os_now_roughly();
        if (r->poll_at == 0)
            r->poll_at = now + POLL_NS;
        else if (now >= r->poll_at && ask_hook(r, now))
            atomic_store_explicit(&r->cancelled, 1, memory_order_relaxed);
    }
    return atomic_load_explicit(&r->cancelled, memory_order_relaxed);
}

int fnn_interrupted(void)
{
    return self.run && interrupted(&self);
}

void fnn_share_done(void)
{
    if (self.done)
        atomic_fetch_add_explicit(self.done, 1, memory_order_release);
}

int fnn_wait_for_shares(size_t shares)
{
    const struct self *me = &self;
    for (unsigned turn = 1; me->done && atomic_load_explicit(me->done, memory_order_acquire) < shares; turn++) {
        os_pause();
        if (turn % WAIT_TURNS)
            continue;
        if (interrupted(me))
            return 1;
        os_yield();
    }
    return me->run && atomic_load_explicit(&me->run->cancelled, memory_order_relaxed);
}

int fnn_shield(int on)
{
    int before = self.shielded;
    self.shielded = on;
    return before;
}

void fnn_set_poll(int (*poll)(void))
{
    poll_hook = poll;
}

/* Workers ----------------------------------------------------------------------------------------------------------- */

static int take_seat(pool *p)
{
    unsigned seats = atomic_load_explicit(&p->seats.value, memory_order_relaxed);
    while (seats && !atomic_compare_exchange_weak(&p->seats.value, &seats, seats - 1))
        ;
    return seats != 0;
}

/* me: where the caller finds the thread while it sleeps, or NULL; cpus: where it could run when it last fell asleep. */
static void wait_for_seat(pool *p, sleeper *me, os_cpus *cpus)
{
    for (;;) {
        int64_t stop = atomic_load_explicit(&may_spin, memory_order_relaxed) ? os_now() + SPIN_NS : 0;
        do {
            for (int i = 0; i < 16; i++) {
                if (take_seat(p))
                    return;
                if (stop)
                    os_pause();
            }
        } while (stop && os_now() < stop);
        if (me) {
            os_come_back(cpus, atomic_exchange(&me->off, 0) - 1);
            *cpus = os_cpus_of(0);
            atomic_store(&me->thread, os_thread());
        }
        atomic_fetch_add(&p->sleepers, 1);
        os_sleep(&p->seats, 0, -1);
        atomic_fetch_sub(&p->sleepers, 1);
        if (me)
            atomic_store(&me->thread, 0);
    }
}

/* Run shares: `part`, then those that nobody has taken. */
static void work(struct self *me, pool *p, size_t part)
{
    size_t parts = p->parts;
    me->done = &p->done;
    for (; part < parts; part = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) {
        p->kernel(p->args, part, parts);
        if (interrupted(me))
            return;
    }
}

static void serve(pool *p)
{
    struct self *me = &self;
    size_t number = atomic_fetch_add(&p->numbered, 1);
    os_cpus cpus = os_cpus_of(0);
    me->is_worker = 1;
    for (;;) {
        wait_for_seat(p, number < KEPT_OFF ? &p->sleeper[number] : NULL, &cpus);
        me->run = p->run;
        work(me, p, atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed));
        unsigned left = atomic_fetch_sub(&p->left.value, 1) - 1;
        if (atomic_load(&p->wake_at) == left + 1)
            os_wake(&p->left, 1);
    }
}

OS_ENTRY(worker, argument)
{
    os_name_thread("fastnn");
    os_fp_default();                    /* it inherits the mode of the thread that started it */
    serve(argument);
    return 0;
}

/* The caller ---------------------------------------------------------------------------------------------------------- */

static void forget_pool(void)
{
    the_pool = NULL;
    atomic_store(&taken, 0);
    atomic_fetch_add(&forks, 1);
}

/* The pool, or NULL if somebody else has it or there is no memory for it. */
static pool *take_pool(void)
{
    if (!atomic_load(&fork_handled)) {  /* before the pool is first taken; twice does no harm */
        os_after_fork(forget_pool);
        atomic_store(&fork_handled, 1);
    }
    if (atomic_load_explicit(&taken, memory_order_relaxed) || atomic_exchange(&taken, 1))
        return NULL;
    if (!the_pool) {
        pool *p = calloc(1, sizeof *p);
        if (!p) {
            atomic_store(&taken, 0);
            return NULL;
        }
        os_word_init(&p->seats);
        os_word_init(&p->left);
        the_pool = p;
    }
    return the_pool;
}

/* Have `helpers` workers awake: those that are not asleep will look for a seat by themselves. */
static void call_workers(pool *p, unsigned helpers)
{
    while (p->workers < helpers && !atomic_load_explicit(&start_failed, memory_order_relaxed)) {
        if (os_start_thread(worker, p))
            atomic_store(&start_failed, 1);
        else
            p->workers++;
    }
    unsigned sleepers = atomic_load(&p->sleepers);
    size_t awake = p->workers - sleepers;
    if (sleepers && awake < helpers) {
        const int cpu = os_cpu();
        for (size_t i = 0; i < KEPT_OFF && i < p->workers; i++) {
            sleeper *s = &p->sleeper[i];
            const int thread = atomic_load(&s->thread);
            if (thread && !atomic_load(&s->off)) {
                atomic_store(&s->off, cpu + 1);
                if (!os_keep_off(thread, cpu))
                    atomic_store(&s->off, 0);
            }
        }
        os_wake(&p->seats, helpers - (unsigned)awake);
    }
}

/* Wait until the workers who sat down have left. */
static void wait_for_workers(const struct self *me, pool *p, unsigned withdrawn, unsigned forks_before)
{
    if (atomic_load(&p->left.value) == withdrawn)
        return;
    if (atomic_load_explicit(&may_spin, memory_order_relaxed)) {
        int64_t stop = os_now() + LAST_NS;
        do {
            for (int i = 0; i < 16; i++) {
                if (atomic_load(&p->left.value) == withdrawn)
                    return;
                os_pause();
            }
        } while (os_now() < stop);
    }
    atomic_store(&p->wake_at, withdrawn + 1);
    for (;;) {
        unsigned left = atomic_load(&p->left.value);
        if (left == withdrawn)
            break;
        os_sleep(&p->left, left, POLL_NS);
        interrupted(me);
        if (atomic_load(&forks) != forks_before)
            return;
    }
    atomic_store(&p->wake_at, 0);
}

static void run_shared(struct self *me, pool *p, fnn_kernel kernel, const void *args, size_t parts, unsigned helpers)
{
    unsigned forks_before = atomic_load(&forks);
    p->kernel = kernel;
    p->args = args;
    p->parts = parts;
    p->run = me->run;
    atomic_store_explicit(&p->next, 1, memory_order_relaxed);
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    atomic_store_explicit(&p->left.value, helpers, memory_order_relaxed);
    atomic_store(&p->seats.value, helpers);
    call_workers(p, helpers);
    work(me, p, 0);
    me->done = NULL;
    if (atomic_load(&forks) != forks_before)    /* forked by the hook: neither the workers nor the pool are this process's */
        return;
    wait_for_workers(me, p, atomic_exchange(&p->seats.value, 0), forks_before);
    if (atomic_load(&forks) == forks_before)
        atomic_store(&taken, 0);
}

static void run_alone(struct self *me, fnn_kernel kernel, const void *args, size_t parts)
{
    atomic_size_t *done = me->done;     /* of a run that this one is inside of */
    me->done = NULL;
    for (size_t part = 0; part < parts; part++) {
        kernel(args, part, parts);
        if (part + 1 < parts && interrupted(me))
            break;
    }
    me->done = done;
}

static void run_all(struct self *me, fnn_kernel kernel, const void *args, size_t parts)
{
    if (parts == 1) {                   /* no share to wait for */
        kernel(args, 0, 1);
        return;
    }
    size_t threads = fnn_threads();
    if (threads > parts)
        threads = parts;
    pool *p = threads > 1 ? take_pool() : NULL;
    if (p)
        run_shared(me, p, kernel, args, parts, (unsigned)threads - 1);
    else
        run_alone(me, kernel, args, parts);
}

int fnn_run(fnn_kernel kernel, const void *args, size_t parts)
{
    struct self *me = &self;
    os_fp_mode mode = os_fp_default();
    int cancelled;
    if (me->run) {
        run_all(me, kernel, args, parts);
        cancelled = atomic_load_explicit(&me->run->cancelled, memory_order_relaxed);
    } else {
        run outermost = {0, 0, mode};
        me->run = &outermost;
        run_all(me, kernel, args, parts);
        me->run = NULL;
        cancelled = atomic_load_explicit(&outermost.cancelled, memory_order_relaxed);
    }
    os_fp_restore(mode);
    return cancelled;
}

int fnn_as_one_run(int (*body)(const void *argument), const void *argument)
{
    struct self *me = &self;
    if (me->run)
        return body(argument);
    os_fp_mode mode = os_fp_default();
    run outermost = {0, 0, mode};
    me->run = &outermost;
    int result = body(argument);
    me->run = NULL;
    os_fp_restore(mode);
    return result;
}

/* The number of threads ------------------------------------------------------------------------------------------------- */

size_t fnn_threads(void)
{
    size_t threads = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    if (threads == 0) {
        fnn_set_threads(fnn_default_threads());
        threads = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    }
    return threads;
}

void fnn_set_threads(size_t threads)
{
    atomic_store(&may_spin, threads <= fnn_default_threads());
    atomic_store(&start_failed, 0);
    atomic_store(&wanted_threads, threads);
}
