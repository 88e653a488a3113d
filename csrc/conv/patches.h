/* patches.h — reading the input of a convolution: the buffer of a block with its zeros, where each position's and each k's patches
 * are in it, and packing them. geometry.h has the terms. */

/* Positions of a block that are neighbours, in the patches and in the result. */
typedef struct conv_span {
    ptrdiff_t from, to;     /* elements from the block's first patch; from the first image of the result */
    size_t n;
} conv_span;

/* The positions of a block as spans of at most `most`, in order; `to` counts in a result of y_size with the positions y_step apart
 * from y_first on and `y_image` elements an image. Returns how many. */
static size_t conv_spans(conv_span *span, const fnn_conv_shape *s, const fnn_conv_view *v, const size_t *start, const size_t *extent, size_t most,
                         const size_t *y_size, const size_t *y_step, const size_t *y_first, size_t y_image)
{
    const size_t plane_step = s->step[0] / v->keep[0], row_step = s->step[1] / v->keep[1];
    size_t count = 0;
    for (size_t n = 0; n < extent[0]; ++n)
        for (size_t d = 0; d < extent[1]; ++d)
            for (size_t h = 0; h < extent[2]; ++h) {
                const ptrdiff_t from = (ptrdiff_t)n * v->image + (ptrdiff_t)(d * plane_step) * v->plane + (ptrdiff_t)(h * row_step) * v->row;
                const size_t plane = (start[1] + d) * y_step[0] + y_first[0], row = (start[2] + h) * y_step[1] + y_first[1];
                const size_t to = (start[0] + n) * y_image + (plane * y_size[1] + row) * y_size[2] + start[3] * y_step[2] + y_first[2];
                for (size_t w = 0; w < extent[3]; w += most)
                    span[count++] = (conv_span){from + (ptrdiff_t)w, (ptrdiff_t)(to + w * y_step[2]), extent[3] - w < most ? extent[3] - w : most};
            }
    return count;
}

/* offsets[k]: from a position's first patch to its patch k, for k = (channel, tap) of so many channels. */
static void conv_offsets(ptrdiff_t *offsets, const fnn_conv_shape *s, const fnn_conv_view *v, size_t channels)
{
    const ptrdiff_t plane = (ptrdiff_t)s->dilation[0] * v->plane, row = (ptrdiff_t)s->dilation[1] * v->row;
    const size_t cycle = fnn_conv_cycle(s), round = cycle * s->dilation[2] / s->step[2];
    for (size_t c = 0; c < channels; ++c)
        for (size_t i = 0; i < s->taps[0]; ++i)
            for (size_t j = 0; j < s->taps[1]; ++j)
                for (size_t k = 0; k < s->taps[2]; ++k)
                    *offsets++ = (ptrdiff_t)c * v->channel + (ptrdiff_t)i * plane + (ptrdiff_t)j * row + (ptrdiff_t)(k % cycle * v->width + k / cycle * round);
}

/* n elements, `step` apart; reads nothing else, may write up to a vector too far where step is 1. */
FNN_INLINE void conv_copy(tile_real *y, const tile_real *x, size_t step, size_t n)
{
    if (step == 1) {
        size_t i = 0;
        for (; i + TILE_LANES <= n; i += TILE_LANES)
            tile_store(y + i, tile_load(x + i));
        if (i < n)
            tile_store(y + i, tile_load_mask(x + i, tile_mask_of(n - i)));
    } else if (step == 2) {
        size_t i = 0;
        for (; i + W < n; i += W)
            v_store(y + i, v_even(v_load(x + 2 * i), v_load(x + 2 * i + W)));
        for (; i < n; i += W) {
            const size_t left = 2 * (n - i) - 1;
            store_up_to(y + i, v_even(load_up_to(x + 2 * i, left), left > W ? load_up_to(x + 2 * i + W, left - W) : v_zero()), n - i);
        }
    } else if (step == 4) {
        for (size_t i = 0; i < n; i += W) {
            V quarter[4];
            for (size_t j = 0, at = 4 * i, end = 4 * n - 3; j < 4; ++j, at += W)
                quarter[j] = at < end ? load_up_to(x + at, end - at) : v_zero();
            store_up_to(y + i, v_even(v_even(quarter[0], quarter[1]), v_even(quarter[2], quarter[3])), n - i);
        }
    } else {
        for (size_t i = 0; i < n; ++i)
            y[i] = x[i * step];
    }
}

/* `width` elements: `begin` zeros, n of x and zeros again; last: the mask of the last vector of the n. May write up to a vector too far. */
FNN_INLINE void conv_row(tile_real *y, size_t width, size_t begin, const tile_real *x, size_t n, tile_mask last)
{
    for (size_t i = 0; i < begin; i += TILE_LANES)
        tile_store(y + i, tile_zero());
    size_t i = 0;
    for (; i + TILE_LANES <= n; i += TILE_LANES)
        tile_store(y + begin + i, tile_load(x + i));
    if (i < n) {
        tile_store(y + begin + i, tile_load_mask(x + i, last));
        i += TILE_LANES;
    }
    for (i += begin; i < width; i += TILE_LANES)
        tile_store(y + i, tile_zero());
}

/* Elements of p[0 .. W) that are columns of x, if p is where column `at` would be. */
typedef struct conv_columns {
    size_t first, end;
} conv_columns;

FNN_INLINE conv_columns conv_columns_of(ptrdiff_t at, ptrdiff_t width)
{
    const ptrdiff_t first = -at, end = width - at;
    return (conv_columns){first < 0 ? 0 : first < W ? (size_t)first : W, end < 0 ? 0 : end < W ? (size_t)end : W};
}

/* Every step-th element of a row of x of so many columns, from column `at` on, with zeros outside. May write up to a vector too far. */
FNN_INLINE void conv_row_with_step(tile_real *y, size_t width, const tile_real *row, ptrdiff_t at, ptrdiff_t columns, size_t step)
{
    if (step == 2) {
        for (size_t i = 0; i < width; i += W, at += 2 * W) {
            const conv_columns low = conv_columns_of(at, columns), high = conv_columns_of(at + W, columns);
            v_store(y + i, v_even(v_load_span(row + at, low.first, low.end), v_load_span(row + at + W, high.first, high.end)));
        }
        return;
    }
    size_t begin = at < 0 ? fnn_conv_ceil((size_t)-at, step) : 0, end = at < columns ? fnn_conv_ceil((size_t)(columns - at), step) : 0;
    end = end < width ? end : width, begin = begin < end ? begin : end;
    for (size_t i = 0; i < begin; ++i)
        y[i] = 0;
    conv_copy(y + begin, row + at + (ptrdiff_t)(begin * step), step, end - begin);
    for (size_t i = end; i < width; ++i)
        y[i] = 0;
}

/* Fill the buffer with what a block reads of channels [first, first + channels) of x, which points to the first image's first channel
 * of the group. Rows are written from low to high addresses. */
static void conv_fill(tile_real *buffer, const tile_real *x, const fnn_conv_shape *s, const fnn_conv_view *v, const size_t *start, const size_t *extent,
                      size_t first, size_t channels)
{
    const size_t plane_size = s->x_size[1] * s->x_size[2], channel_size = s->x_size[0] * plane_size, width = v->width, step = s->step[2];
    const ptrdiff_t planes = (ptrdiff_t)s->x_size[0], rows = (ptrdiff_t)s->x_size[1], columns = (ptrdiff_t)s->x_size[2];
    const ptrdiff_t plane0 = (ptrdiff_t)(start[1] * s->step[0]) + s->origin[0], row0 = (ptrdiff_t)(start[2] * s->step[1]) + s->origin[1];
    const ptrdiff_t col0 = (ptrdiff_t)(start[3] * step) + s->origin[2];
    /* with step 1: columns [begin, end) of the buffer are within x */
    const size_t before = col0 < 0 ? (size_t)-col0 : 0, left = col0 < columns ? (size_t)(columns - col0) : 0;
    const size_t end = left < width ? left : width, begin = before < end ? before : end;
    const tile_mask last = tile_mask_of((end - begin + TILE_LANES - 1) % TILE_LANES + 1);
    for (size_t n = 0; n < extent[0]; ++n)
        for (size_t c = 0; c < channels; ++c) {
            const tile_real *channel = x + ((start[0] + n) * s->groups * s->channels + first + c) * channel_size;
            tile_real *to = buffer + (ptrdiff_t)n * v->image + (ptrdiff_t)c * v->channel;
            for (size_t d = 0; d < v->planes; ++d)
                for (size_t h = 0; h < v->rows; ++h, to += v->row) {
                    const ptrdiff_t plane = plane0 + (ptrdiff_t)(d * v->keep[0]), row = row0 + (ptrdiff_t)(h * v->keep[1]);
                    const int outside = plane < 0 || plane >= planes || row < 0 || row >= rows;
                    const tile_real *x_row = channel + (outside ? 0 : plane * (ptrdiff_t)plane_size + row * columns);
                    if (step == 1) {
                        conv_row(to, width, outside ? 0 : begin, x_row + col0 + (ptrdiff_t)begin, outside ? 0 : end - begin, last);
                        continue;
                    }
                    if (outside) {
                        memset(to, 0, (size_t)v->row * sizeof *to);
                        continue;
                    }
                    for (size_t i = 0; i < s->x_size[2]; i += TILE_CACHE_LINE)
                        tile_prefetch(x_row + channel_size + i);
                    for (size_t slot = 0; slot < v->slots; ++slot)
                        conv_row_with_step(to + slot * width, width, x_row, col0 + (ptrdiff_t)(slot * s->dilation[2]), columns, step);
                }
        }
}

/* Pieces from[i] + offsets[k] to y + k y_step + to[i]. With a constant `piece` each is one load and one store. */
FNN_INLINE void conv_pack_pieces(tile_real *y, size_t y_step, const ptrdiff_t *offsets, size_t rows, const tile_real *const *from, const ptrdiff_t *to, size_t count,
                                      const size_t piece)
{
    for (size_t k = 0; k < rows; ++k, y += y_step)
        for (size_t i = 0; i < count; ++i)
            memcpy(y + to[i], from[i] + offsets[k], piece * sizeof *y);
}

/* Row k of the positions in some spans to y + k y_step, for k < rows; up to FNN_CONV_OVER elements after each row are overwritten, in ascending order.
 * skip: positions of the first span to leave out; n: positions to take. over: as many may be read beyond a span's end. */
static void conv_pack(tile_real *y, size_t y_step, const tile_real *x, const ptrdiff_t *offsets, size_t rows, const conv_span *span, size_t skip, size_t n, int over)
{
    const tile_real *from[FNN_CONV_COLUMNS];
    ptrdiff_t to[FNN_CONV_COLUMNS];
    size_t length[FNN_CONV_COLUMNS], count = 0, longest = 0, shortest = n;
    for (size_t done = 0, piece; done < n; done += piece, ++count) {
        const size_t left = span->n - skip;
        piece = left < n - done ? left : n - done;
        if (over && piece > FNN_CONV_OVER)
            piece = FNN_CONV_OVER;
        from[count] = x + span->from + skip;
        length[count] = piece;
        to[count] = (ptrdiff_t)done;
        longest = piece > longest ? piece : longest;
        shortest = piece < shortest ? piece : shortest;
        skip = piece < left ? skip + piece : 0;
        span += piece == left;
    }
    if (over && longest <= 4)
        conv_pack_pieces(y, y_step, offsets, rows, from, to, count, 4);
    else if (over && longest <= 8)
        conv_pack_pieces(y, y_step, offsets, rows, from, to, count, 8);
    else if (over)
        conv_pack_pieces(y, y_step, offsets, rows, from, to, count, FNN_CONV_OVER);
    else if (n > 0 && longest <= TILE_LANES && shortest == longest) {
        const tile_mask mask = tile_mask_of(longest);
        for (size_t k = 0; k < rows; ++k, y += y_step)
            for (size_t i = 0; i < count; ++i)
                tile_store(y + to[i], tile_load_mask(from[i] + offsets[k], mask));
    } else
        for (size_t k = 0; k < rows; ++k, y += y_step)
            for (size_t i = 0; i < count; ++i)
                conv_copy(y + to[i], from[i] + offsets[k], 1, length[i]);
}
