/* Control group quotas of both versions, on a small imitation of their file trees. */
#define _GNU_SOURCE
#include "check.h"
#include "fnn.h"
#include "pool.h"

#if defined(__linux__)
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static size_t limit(const char *membership)
{
    char path[256];
    write_file("membership", membership);
    snprintf(path, sizeof path, "%s/membership", root);
    return fnn_cgroup_cpus(path, root);
}

int main(void)
{
    snprintf(root, sizeof root, "%s/fnn_cgroup_XXXXXX", P_tmpdir);
    if (!mkdtemp(root))
        return 1;

    /* version 2: the smallest quota on the way to the root, rounded up; what is not there sets no limit */
    CHECK(limit("0::/\n") == 0);
    write_file("a/b/cpu.max", "max 100000\n");
    CHECK(limit("0::/a/b\n") == 0);
    write_file("a/cpu.max", "250000 100000\n");
    CHECK(limit("0::/a/b\n") == 3 && limit("0::/a\n") == 3 && limit("0::/\n") == 0);
    write_file("a/b/cpu.max", "1000 100000\n");
    CHECK(limit("0::/a/b\n") == 1 && limit("0::/a\n") == 3);
    write_file("cpu.max", "200000 100000\n");
    CHECK(limit("0::/a\n") == 2 && limit("0::/\n") == 2 && limit("0::/no/such/group\n") == 2);
    CHECK(limit("0::/../../elsewhere\n") == 2);

    /* version 1, alone and beside version 2 */
    write_file("cpu/x/cpu.cfs_quota_us", "-1\n");
    write_file("cpu/x/cpu.cfs_period_us", "100000\n");
    CHECK(limit("4:cpu,cpuacct:/x\n") == 0);
    write_file("cpu/x/cpu.cfs_quota_us", "400000\n");
    CHECK(limit("5:cpuset:/x\n4:cpuacct,cpu:/x\n") == 4);
    CHECK(limit("5:cpuset:/x\n") == 0);
    CHECK(limit("4:cpu:/x\n0::/a\n") == 2);

    /* nonsense sets no limit */
    write_file("a/b/cpu.max", "-5 0\n");
    CHECK(limit("0::/a/b\n") == 2);
    write_file("cpu.max", "many\n");
    CHECK(limit("0::/\n") == 0 && limit("") == 0 && limit("what is this\n::\n\n") == 0);
    CHECK(fnn_cgroup_cpus("no/such/file", root) == 0);

    CHECK(fnn_default_threads() >= 1);
    cpu_set_t before, one;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &before)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
        }
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK(fnn_default_threads() == 1);

    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command) != 0 || failures != 0;
}
#else
int main(void)
{
    CHECK(fnn_default_threads() >= 1);
    return failures != 0;
}
#endif
