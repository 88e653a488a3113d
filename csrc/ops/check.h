/* check.h — is the data what an operation takes? These are kernels, so that a recorded step asks again for each batch. */

KERNEL(check_labels, check)
{
    const int64_t *label = (const int64_t *)a->x;
    (void)part, (void)parts;
    *a->bad = 0;
    for (size_t i = 0; i < a->n && !*a->bad; i++)
        if ((uint64_t)label[i] >= a->classes && label[i] != (int64_t)a->ignore) *a->bad = (int64_t)i + 1;
}

/* [0, 1], or NaN. */
KERNEL(check_unit_interval, check)
{
    const T *x = (const T *)a->x;
    int outside = 0;
    (void)part, (void)parts;
    for (size_t i = 0; i < a->n; i++) outside |= (x[i] < 0) | (x[i] > 1);
    *a->bad = 0;
    for (size_t i = 0; outside && i < a->n && !*a->bad; i++)
        if (x[i] < 0 || x[i] > 1) *a->bad = (int64_t)i + 1;
}

/* Begins with 0, never falls, and stays within `classes`, which it ends with if `ignore` is not 0. */
KERNEL(check_offsets, check)
{
    const int64_t *offset = (const int64_t *)a->x;
    (void)part, (void)parts;
    *a->bad = 0;
    for (size_t i = 0; i < a->n && !*a->bad; i++) {
        int64_t least = i ? offset[i - 1] : 0, most = i ? (int64_t)a->classes : 0;
        int last = a->ignore && i + 1 == a->n;
        if (offset[i] < least || offset[i] > most || (last && offset[i] != (int64_t)a->classes)) *a->bad = (int64_t)i + 1;
    }
}

/* At least 0, or NaN. */
KERNEL(check_not_negative, check)
{
    const T *x = (const T *)a->x;
    (void)part, (void)parts;
    *a->bad = 0;
    for (size_t i = 0; i < a->n && !*a->bad; i++)
        if (x[i] < 0) *a->bad = (int64_t)i + 1;
}
