/* embedding.h — rows of a table by their numbers, alone or in bags, with the gradients of both.
 *
 * A bag is a run of positions in the list of ids: `length` of them each, or from its offset to the next one's. A lookup's backward is that of
 * bags of one id. Ids are checked by the callers; those equal to padding_idx do not count.
 *
 * Forward (rows.h's gather_rows for single ids): shares are bags, each one chain over its ids in ascending order.
 * Backward scatters. Shares are ranges of columns, so an element of the table's gradient is one chain over the positions in ascending order,
 * whatever the shares; no sorting, and skewed ids do not leave a share idle.
 *
 * The gradient of a large table has only the rows in use, in the order in which they first appeared: row rows[u] is at u of the values, and
 * places[row] says where a row is. That is so if places[row] is below the number of rows in use and rows[places[row]] == row, so nothing has
 * to be cleared between steps, and a further backward goes on where the last one ended. */
enum { EMBEDDING_GRAIN = 16, EMBEDDING_POLL = 64, BAG_SUM = 0, BAG_MEAN, BAG_MAX }; /* modes in the order of fastnn/kernels/embedding.pyx */

/* The positions [*i, *end) of bag b. */
FNN_INLINE void bag_span(const int64_t *offsets, size_t b, size_t bags, size_t n, size_t length, size_t *i, size_t *end)
{
    *i = offsets ? (size_t)offsets[b] : b * length;
    *end = !offsets ? *i + length : b + 1 < bags ? (size_t)offsets[b + 1] : n;
}

KERNEL(embedding_bag_forward, embedding_bag)
{
    size_t b, stop, dim = a->dim;
    const int64_t *ids = (const int64_t *)a->ids;
    const T *scale = (const T *)a->scale;
    fnn_share(a->bags, 1, part, parts, &b, &stop);
    for (; b < stop; b++) {
        size_t i, end, count = 0;
        T *y = (T *)a->y + b * dim;
        int64_t *winners = a->mode == BAG_MAX ? (int64_t *)a->winners + b * dim : NULL;
        bag_span((const int64_t *)a->offsets, b, a->bags, a->n, a->length, &i, &end);
        span_fill(y, 0, (ptrdiff_t)dim);
        for (size_t j = 0; winners && j < dim; j++) winners[j] = -1;
        for (; i < end; i++) {
            if (i % EMBEDDING_POLL == 0 && fnn_interrupted()) return;
            if (ids[i] == a->padding_idx) continue;
            const T *row = (const T *)a->weight + (size_t)ids[i] * dim;
            if (winners) /* the first of equals; NaN beats all */
                for (size_t j = 0; j < dim; j++) {
                    if (winners[j] >= 0 && !(row[j] > y[j] || (row[j] != row[j] && y[j] == y[j]))) continue;
                    y[j] = row[j], winners[j] = ids[i];
                }
            else
                span_scaled(y, row, scale ? scale[i] : 1, (ptrdiff_t)dim, 1);
            count++;
        }
        if (a->mode == BAG_MEAN && count) span_scaled(y, y, 1 / (T)count, (ptrdiff_t)dim, 0);
    }
}

/* dweight[ids[i]] += s dy[bag], where s is scale[i], over the bag's count for means; with winners dweight[winners[bag, j], j] += dy[bag, j]. */
KERNEL(embedding_backward, embedding_backward)
{
    size_t j, last, dim = a->dim;
    const int64_t *ids = (const int64_t *)a->ids, *winners = (const int64_t *)a->winners;
    const T *scale = (const T *)a->scale;
    T *dweight = (T *)a->dweight;
    fnn_share(dim, EMBEDDING_GRAIN, part, parts, &j, &last);
    if (j == last) return; /* there may be any number of rows without columns */
    ptrdiff_t width = (ptrdiff_t)(last - j);
    int64_t next = a->range ? *a->range : -1; /* the first row that is new: they come in this order */
    for (size_t row = 0; !a->range && !a->accumulate && row < a->rows; row++) {
        if (row % EMBEDDING_POLL == 0 && fnn_interrupted()) return;
        memset(dweight + row * dim + j, 0, (size_t)width * sizeof(T));
    }
    for (size_t b = 0; b < a->bags; b++) {
        size_t i, end, count = 0;
        const T *dy = (const T *)a->dy + b * dim;
        bag_span((const int64_t *)a->offsets, b, a->bags, a->n, a->length, &i, &end);
        if (winners) {
            if (b % EMBEDDING_POLL == 0 && fnn_interrupted()) return;
            for (size_t k = j; k < last; k++)
                if (winners[b * dim + k] >= 0) dweight[(size_t)winners[b * dim + k] * dim + k] += dy[k];
            continue;
        }
        for (size_t k = i; a->mean && k < end; k++) count += ids[k] != a->padding_idx;
        T share = count ? 1 / (T)count : 1;
        for (; i < end; i++) {
            if (i % EMBEDDING_POLL == 0 && fnn_interrupted()) return;
            if (ids[i] == a->padding_idx) continue;
            T *to = dweight + (size_t)ids[i] * dim + j;
            if (ids[i] == next) memset(to, 0, (size_t)width * sizeof(T)), next++;
            span_scaled(to, dy + j, scale ? share * scale[i] : share, width, 1);
        }
    }
}

/* dscale[i] = dy[bag] · weight[ids[i]]. */
KERNEL(embedding_bag_dots, embedding_bag_dots)
{
    size_t b, stop, dim = a->dim;
    const int64_t *ids = (const int64_t *)a->ids;
    fnn_share(a->bags, 1, part, parts, &b, &stop);
    for (; b < stop; b++) {
        size_t i, end;
        bag_span((const int64_t *)a->offsets, b, a->bags, a->n, a->length, &i, &end);
        for (; i < end; i++) {
            if (i % EMBEDDING_POLL == 0 && fnn_interrupted()) return;
            ((T *)a->dscale)[i] = ids[i] == a->padding_idx ? 0 : row_dot((const T *)a->dy + b * dim, (const T *)a->weight + (size_t)ids[i] * dim, dim);
        }
    }
}

/* The three below go through the ids once or twice in one share: that takes less time than anything that is done with them. */

/* scale[i] = given[i] (or 1) over the number of times that ids[i] is among the ids. */
KERNEL(embedding_frequencies, embedding_frequencies)
{
    const int64_t *ids = (const int64_t *)a->ids;
    (void)parts;
    if (part) return;
    for (size_t i = 0; i < a->n; i++) a->counts[ids[i]] = 0;
    for (size_t i = 0; i < a->n; i++) a->counts[ids[i]]++;
    for (size_t i = 0; i < a->n; i++) ((T *)a->scale)[i] = (a->given ? ((const T *)a->given)[i] : 1) / (T)a->counts[ids[i]];
}

/* weight[row] *= max_norm / (|weight[row]| + 1e-7) for rows among the ids whose norm is above max_norm, each once. norm: as for clip. */
KERNEL(embedding_renorm, embedding_renorm)
{
    const int64_t *ids = (const int64_t *)a->ids;
    (void)parts;
    if (part) return;
    for (size_t i = 0; i < a->n; i++) a->seen[ids[i]] = 0;
    for (size_t i = 0; i < a->n; i++) {
        if (a->seen[ids[i]]) continue;
        T *row = (T *)a->weight + (size_t)ids[i] * a->dim;
        double norm = block_norm(row, a->dim, a->norm);
        a->seen[ids[i]] = 1;
        if (a->norm == 2) norm = sqrt(norm);
        if (norm > a->max_norm) span_scaled(row, row, (T)(a->max_norm / (norm + 1e-7)), (ptrdiff_t)a->dim, 0);
    }
}

/* slots[i] = where the gradient of row ids[i] is among those in use, -1 for the padding. range becomes {how many there were, are}. */
KERNEL(embedding_slots, embedding_slots)
{
    const int64_t *ids = (const int64_t *)a->ids;
    int64_t count = a->accumulate ? a->range[1] : 0;
    (void)parts;
    if (part) return;
    a->range[0] = count;
    for (size_t i = 0; i < a->n; i++) {
        int64_t slot = -1;
        if (ids[i] != a->padding_idx) {
            slot = a->places[ids[i]];
            if (slot < 0 || slot >= count || a->rows[slot] != ids[i]) slot = count++, a->places[ids[i]] = slot, a->rows[slot] = ids[i];
        }
        a->slots[i] = slot;
    }
    a->range[1] = count;
}
