/* cpus.c — how many processors this process may use: those in its affinity mask, and no more than the control groups' quotas.
 *
 * A container that may use 2 of 64 processors mostly sees all 64 and has a quota: so many microseconds of processor time per
 * period. With 64 threads it would use up its quota in the first thirtieth of each period and stand still for the rest. The
 * quota of a group holds for all groups below it, so that the smallest one on the way from ours to the root counts:
 *
 *   version 2   one tree; cpu.max contains "<quota or max> <period>"
 *   version 1   a tree per controller, the processor's in cpu/; cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us
 *
 * In a container the path of our group may be the host's and not exist in the mounted tree; its existing ancestors then
 * include the container's root, which has the quota.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "fnn.h"
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <unistd.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

/* The first `count` numbers of a file, or 0 if it has not so many. */
static int read_numbers(const char *directory, const char *name, long long *numbers, int count)
{
    char path[4300];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = length > 0 && (size_t)length < sizeof path ? fopen(path, "r") : NULL;
    if (!file)
        return 0;
    int got = 0;
    while (got < count && fscanf(file, "%lld", &numbers[got]) == 1)
        got++;
    fclose(file);
    return got == count;
}

/* The quota of one group in processors, rounded up; 0: none. */
static size_t group_cpus(const char *directory)
{
    long long v[2];
    if (!read_numbers(directory, "cpu.max", v, 2)
        && !(read_numbers(directory, "cpu.cfs_quota_us", &v[0], 1) && read_numbers(directory, "cpu.cfs_period_us", &v[1], 1)))
        return 0;
    return v[0] > 0 && v[1] > 0 ? (size_t)((v[0] - 1) / v[1] + 1) : 0;
}

static size_t smaller_limit(size_t a, size_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The smallest quota from mount/tree/group up to mount/tree. */
static size_t tree_cpus(const char *mount, const char *tree, const char *group)
{
    char directory[4200];
    int root = snprintf(directory, sizeof directory, "%s%s", mount, tree);
    int length = snprintf(directory, sizeof directory, "%s%s%s", mount, tree, group);
    if (root < 0 || length < root || (size_t)length >= sizeof directory)
        return 0;
    size_t limit = 0;
    for (;;) {
        limit = smaller_limit(limit, group_cpus(directory));
        char *slash = strrchr(directory + root, '/');
        if (!slash)
            return limit;
        *slash = '\0';
    }
}

size_t fnn_cgroup_cpus(const char *membership, const char *mount)
{
    char line[4200];
    size_t limit = 0;
    FILE *file = fopen(membership, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) {            /* number:controllers:path */
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        *controllers++ = '\0';
        if (*controllers == '\0')
            limit = smaller_limit(limit, tree_cpus(mount, "", path));
        for (char *name = strtok(controllers, ","); name; name = strtok(NULL, ","))
            if (strcmp(name, "cpu") == 0)
                limit = smaller_limit(limit, tree_cpus(mount, "/cpu", path));
    }
    fclose(file);
    return limit;
}

/* The processors that this thread may run on; 0: unknown. */
static size_t affinity_cpus(void)
{
#if defined(__linux__)
    for (size_t most = 1024; most <= 1 << 20; most *= 4) {      /* the kernel refuses a mask that is too short for it */
        cpu_set_t *set = CPU_ALLOC(most);
        if (!set)
            return 0;
        size_t size = CPU_ALLOC_SIZE(most);
        int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : -1;
        CPU_FREE(set);
        if (count >= 0)
            return (size_t)count;
    }
    return 0;
#elif defined(_WIN32)
    DWORD_PTR own, system;
    size_t count = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &own, &system))
        for (; own; own &= own - 1)
            count++;
    return count;
#else
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (size_t)count : 0;
#endif
}

size_t fnn_default_threads(void)
{
    size_t cpus = smaller_limit(affinity_cpus(), fnn_cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup"));
    return cpus ? cpus : 1;
}
