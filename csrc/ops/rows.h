/* rows.h — rows of arrays, whatever they hold. */

KERNEL(gather_rows, gather_rows)
{
    size_t begin, end;
    fnn_share(a->n, 1, part, parts, &begin, &end);
    for (size_t i = begin; i < end; i++)
        memcpy((char *)a->y + i * a->bytes, (const char *)a->x + (size_t)a->rows[i] * a->bytes, a->bytes);
}
