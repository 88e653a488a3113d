/* pool.h — what pool.c offers to the other files of csrc, and to its tests. */
#ifndef FNN_POOL_H
#define FNN_POOL_H

#include <stddef.h>

/* Call body(argument) as one run: its fnn_run's together are polled about every 50 ms, not each by itself. Returns what `body`
 * returns. */
int fnn_as_one_run(int (*body)(const void *argument), const void *argument);

/* The processors that control groups allow this process (rounded up; 0: no limit), given the text file that says which groups
 * it is in and the directory where their tree is mounted. */
size_t fnn_cgroup_cpus(const char *membership, const char *mount);

#endif
