/* last_step.h — the last valid step of each sequence, and back: everywhere else its gradient is 0. */

/* The row of sequence b's last step, or -1 where it has none. */
FNN_INLINE ptrdiff_t last_step_row(const int64_t *lengths, size_t steps, size_t step, size_t apart, size_t b)
{
    const int64_t length = lengths ? lengths[b] : (int64_t)steps;
    return length > 0 ? (ptrdiff_t)((size_t)(length - 1) * step + b * apart) : -1;
}

KERNEL(last_step_forward, last_step)
{
    size_t b, end;
    fnn_share(a->rows, 1, part, parts, &b, &end);
    for (; b < end; ++b) {
        const ptrdiff_t row = last_step_row(a->lengths, a->steps, a->step, a->apart, b);
        T *y = (T *)a->y + b * a->width;
        if (row < 0)
            memset(y, 0, a->width * sizeof(T));
        else
            memcpy(y, (const T *)a->x + (size_t)row * a->width, a->width * sizeof(T));
    }
}

KERNEL(last_step_backward, last_step_backward)
{
    size_t b, end;
    fnn_share(a->rows, 1, part, parts, &b, &end);
    for (; b < end; ++b) {
        const ptrdiff_t row = last_step_row(a->lengths, a->steps, a->step, a->apart, b);
        for (size_t t = 0; t < a->steps; ++t) {
            const size_t at = t * a->step + b * a->apart;
            T *dx = (T *)a->dx + at * a->width;
            if ((ptrdiff_t)at == row)
                memcpy(dx, (const T *)a->dy + b * a->width, a->width * sizeof(T));
            else
                memset(dx, 0, a->width * sizeof(T));
        }
    }
}
