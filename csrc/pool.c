/* pool.c — runs the shares of a kernel. */
#include "fnn.h"

static size_t threads;
static int (*poll_hook)(void);

int fnn_run(fnn_kernel kernel, const void *args, size_t parts)
{
    for (size_t part = 0; part < parts; part++)
        kernel(args, part, parts);
    return 0;
}

int fnn_interrupted(void)
{
    return poll_hook && poll_hook();
}

void fnn_set_poll(int (*poll)(void))
{
    poll_hook = poll;
}

size_t fnn_threads(void)
{
    return threads ? threads : fnn_default_threads();
}

void fnn_set_threads(size_t n)
{
    threads = n;
}

size_t fnn_default_threads(void)
{
    return 1;
}
