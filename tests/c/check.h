/* check.h — what the C tests share: CHECK(condition) notes a failure and goes on; main ends with `return failures != 0`. */
#ifndef FNN_CHECK_H
#define FNN_CHECK_H

#include <stdio.h>

static int failures;

#define CHECK(condition)                                                                                                      \
    do {                                                                                                                      \
        if (!(condition)) {                                                                                                   \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                        \
            failures++;                                                                                                       \
        }                                                                                                                     \
    } while (0)

#endif
