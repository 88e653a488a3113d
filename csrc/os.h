/* os.h — what the pool needs of the operating system and the processor's control registers: a clock, threads, sleeping on a word
 * of memory, spinning, and the floating-point mode. Included by pool.c alone; the only place that knows platforms.
 */
#ifndef FNN_OS_H
#define FNN_OS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#include <windows.h>
#include <process.h>
#else
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__linux__) && defined(__LP64__) && !defined(FNN_NO_FUTEX)
#define OS_FUTEX 1
#include <linux/futex.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#elif defined(_M_ARM64)
#include <intrin.h>
#elif !defined(__aarch64__)
#include <fenv.h>
#endif

#if defined(_MSC_VER)
#define OS_THREAD_LOCAL __declspec(thread)
#else
#define OS_THREAD_LOCAL _Thread_local
#endif

#define OS_MS INT64_C(1000000)          /* nanoseconds */

/* Clock -------------------------------------------------------------------------------------------------------------- */

/* Nanoseconds from some fixed moment; never goes back. */
static inline int64_t os_now(void)
{
#if defined(_WIN32)
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&ticks);
    return (int64_t)((double)ticks.QuadPart * (1e9 / (double)frequency.QuadPart));
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 * OS_MS + now.tv_nsec;
#endif
}

/* The same some milliseconds late, for a quarter of the time where there is a clock for it. */
static inline int64_t os_now_roughly(void)
{
#if defined(CLOCK_MONOTONIC_COARSE)
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 * OS_MS + now.tv_nsec;
#else
    return os_now();
#endif
}

/* Sleeping on a word -------------------------------------------------------------------------------------------------- */

/* A counter that threads can sleep on: a futex on Linux, WaitOnAddress on Windows, elsewhere a condition variable. */
typedef struct os_word {
    atomic_uint value;
#if !defined(_WIN32) && !defined(OS_FUTEX)
    pthread_mutex_t mutex;
    pthread_cond_t condition;
#endif
} os_word;

static inline void os_word_init(os_word *word)
{
    atomic_init(&word->value, 0);
#if !defined(_WIN32) && !defined(OS_FUTEX)
    pthread_mutex_init(&word->mutex, NULL);
    pthread_cond_init(&word->condition, NULL);
#endif
}

/* Sleep while the word is `seen`, for at most `ns` (negative: without limit). May return early for no reason. */
static inline void os_sleep(os_word *word, unsigned seen, int64_t ns)
{
#if defined(_WIN32)
    WaitOnAddress((volatile void *)&word->value, &seen, sizeof seen, ns < 0 ? INFINITE : (DWORD)(ns / OS_MS + 1));
#elif defined(OS_FUTEX)
    struct timespec limit = {(time_t)(ns / (1000 * OS_MS)), (long)(ns % (1000 * OS_MS))};
    int saved = errno;
    syscall(SYS_futex, &word->value, FUTEX_WAIT_PRIVATE, seen, ns < 0 ? NULL : &limit, NULL, 0);
    errno = saved;
#else
    pthread_mutex_lock(&word->mutex);
    if (atomic_load(&word->value) == seen) {
        if (ns < 0) {
            pthread_cond_wait(&word->condition, &word->mutex);
        } else {
            struct timespec until;      /* a jump of the wall clock makes this sleep too short or too long, once */
            clock_gettime(CLOCK_REALTIME, &until);
            int64_t nanoseconds = until.tv_nsec + ns;
            until.tv_sec += (time_t)(nanoseconds / (1000 * OS_MS));
            until.tv_nsec = (long)(nanoseconds % (1000 * OS_MS));
            pthread_cond_timedwait(&word->condition, &word->mutex, &until);
        }
    }
    pthread_mutex_unlock(&word->mutex);
#endif
}

/* Wake up to `count` threads that sleep on the word. Change its value before. */
static inline void os_wake(os_word *word, unsigned count)
{
#if defined(_WIN32)
    while (count--)
        WakeByAddressSingle(&word->value);
#elif defined(OS_FUTEX)
    int saved = errno;
    syscall(SYS_futex, &word->value, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
#else
    pthread_mutex_lock(&word->mutex);   /* nobody is between looking at the word and falling asleep */
    pthread_mutex_unlock(&word->mutex);
    while (count--)
        pthread_cond_signal(&word->condition);
#endif
}

/* Tell the processor that this is a spin loop: some 10 to 60 ns. */
static inline void os_pause(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#elif defined(_M_ARM64)
    __isb(_ARM64_BARRIER_SY);
#endif
}

/* Let other threads have the processor, if any wait for it. */
static inline void os_yield(void)
{
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

/* Processors ---------------------------------------------------------------------------------------------------------- */

/* The processor that the calling thread is on, or -1. */
static inline int os_cpu(void)
{
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

/* A thread's number for os_keep_off; 0 where there is none. */
static inline int os_thread(void)
{
#if defined(__linux__)
    return (int)syscall(SYS_gettid);
#else
    return 0;
#endif
}

/* The processors that a thread may run on. */
typedef struct os_cpus {
#if defined(__linux__)
    cpu_set_t set;
#endif
    int known;
} os_cpus;

/* Those of a thread (0: the calling one). */
static inline os_cpus os_cpus_of(int thread)
{
    os_cpus cpus = {.known = 0};
#if defined(__linux__)
    cpus.known = !sched_getaffinity(thread, sizeof cpus.set, &cpus.set);
#else
    (void)thread;
#endif
    return cpus;
}

/* These processors but this one. Returns 0 where there is no other. */
static inline int os_cpus_without(os_cpus *cpus, int cpu)
{
#if defined(__linux__)
    if (!cpus->known || cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &cpus->set) || CPU_COUNT(&cpus->set) < 2)
        return 0;
    CPU_CLR(cpu, &cpus->set);
    return 1;
#else
    (void)cpus, (void)cpu;
    return 0;
#endif
}

/* Keep a thread that is about to be woken off this processor (-1: none), until it comes back. Returns 0 where it has no other. */
static inline int os_keep_off(int thread, int cpu)
{
#if defined(__linux__)
    int saved = errno;
    os_cpus cpus = os_cpus_of(thread);
    int kept = os_cpus_without(&cpus, cpu) && !sched_setaffinity(thread, sizeof cpus.set, &cpus.set);
    errno = saved;
    return kept;
#else
    (void)thread, (void)cpu;
    return 0;
#endif
}

/* Let the calling thread run again where it could before it was kept off this processor. If somebody else has said meanwhile where it may run, that holds. */
static inline void os_come_back(const os_cpus *before, int cpu)
{
    os_cpus now = os_cpus_of(0), narrowed = *before;
#if defined(__linux__)
    if (now.known && os_cpus_without(&narrowed, cpu) && CPU_EQUAL(&now.set, &narrowed.set))
        sched_setaffinity(0, sizeof before->set, &before->set);
#else
    (void)now, (void)narrowed, (void)cpu;
#endif
}

/* Threads ------------------------------------------------------------------------------------------------------------- */

#define OS_STACK_BYTES (1 << 20)

#if defined(_WIN32)
typedef unsigned(__stdcall *os_entry)(void *);
#define OS_ENTRY(name, argument) static unsigned __stdcall name(void *argument)
#else
typedef void *(*os_entry)(void *);
#define OS_ENTRY(name, argument) static void *name(void *argument)
#endif

/* Start a thread that nobody waits for, with a small stack and all signals blocked. Returns 0, or -1 if there is none to be had. */
static inline int os_start_thread(os_entry entry, void *argument)
{
#if defined(_WIN32)
    uintptr_t thread = _beginthreadex(NULL, OS_STACK_BYTES, entry, argument, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (thread)
        CloseHandle((HANDLE)thread);
    return thread ? 0 : -1;
#else
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (pthread_attr_init(&attributes))
        return -1;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, OS_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);        /* the new thread inherits it */
    int failed = pthread_create(&thread, &attributes, entry, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed ? -1 : 0;
#endif
}

/* Name the calling thread, for debuggers and `top`. */
static inline void os_name_thread(const char *name)
{
#if defined(__linux__)
    pthread_setname_np(pthread_self(), name);
#elif defined(__APPLE__)
    pthread_setname_np(name);
#else
    (void)name;
#endif
}

/* Have `child` called in every process that this one forks. */
static inline void os_after_fork(void (*child)(void))
{
#if defined(_WIN32)
    (void)child;
#else
    pthread_atfork(NULL, NULL, child);
#endif
}

/* Floating-point mode --------------------------------------------------------------------------------------------------- */

/* Rounding, treatment of subnormals, and traps: MXCSR's upper bits, FPCR, or just the rounding direction. */
typedef uint64_t os_fp_mode;

/* Set the default mode (round to nearest, subnormals kept, no traps), and return the one before for os_fp_restore. Both cost a
 * few cycles where the mode is the default anyway. */
static inline os_fp_mode os_fp_default(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    unsigned before = _mm_getcsr();
    if ((before & ~0x3fu) != 0x1f80)    /* the low six bits are sticky flags */
        _mm_setcsr(0x1f80);
    return before;
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before)::"memory");
    if (before != 0)
        __asm__ volatile("msr fpcr, %0" ::"r"(UINT64_C(0)) : "memory");
    return before;
#elif defined(_M_ARM64)
    uint64_t before = (uint64_t)_ReadStatusReg(ARM64_FPCR);
    if (before != 0)
        _WriteStatusReg(ARM64_FPCR, 0);
    return before;
#else
    int before = fegetround();
    if (before != FE_TONEAREST)
        fesetround(FE_TONEAREST);
    return (os_fp_mode)before;
#endif
}

static inline void os_fp_restore(os_fp_mode mode)
{
#if defined(__x86_64__) || defined(_M_X64)
    if ((mode & ~UINT64_C(0x3f)) != 0x1f80)
        _mm_setcsr((unsigned)mode);
#elif defined(__aarch64__)
    if (mode != 0)
        __asm__ volatile("msr fpcr, %0" ::"r"(mode) : "memory");
#elif defined(_M_ARM64)
    if (mode != 0)
        _WriteStatusReg(ARM64_FPCR, (__int64)mode);
#else
    if ((int)mode != FE_TONEAREST)
        fesetround((int)mode);
#endif
}

#endif
