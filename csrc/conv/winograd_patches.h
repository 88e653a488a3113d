/* winograd_patches.h — what the convolutions of winograd.h, and the gradient of their weights, read of x: patches of a block's squares, transformed. */

/* B^T d B of W squares: to v + (6 a + b) v_step. Where they are: as for winograd_half_patch. */
static void winograd_patch(T *v, size_t v_step, const T *x, const size_t *from, size_t pitch)
{
    T d[36 * W], t[36 * W];
    winograd_turn_patches(d, x, from, pitch, 6);
    for (int pass = 0; pass < 2; ++pass)
        for (size_t i = 0; i < 6; ++i) {
            const T *line = pass ? t + 6 * i * W : d + i * W;
            const size_t step = pass ? W : 6 * W;
            V of[6], to[6];
            TILE_UNROLL for (size_t k = 0; k < 6; ++k)
                of[k] = v_load(line + k * step);
            winograd_bt(to, of);
            TILE_UNROLL for (size_t k = 0; k < 6; ++k)
                v_store(pass ? v + (6 * i + k) * v_step : t + (6 * k + i) * W, to[k]);
        }
}

/* v[product][channel][square] of some pieces, whose squares are `side` apart and read `over` rows and columns more, with vectors along the squares from the start. lag: for
 * winograd_half_patch, or NULL. Returns how many squares. */
static size_t winograd_square_patches(T *v, size_t v_step, size_t v_pitch, T *room, winograd_view *view, size_t pieces, size_t side, size_t over, const size_t *lag,
                                      size_t channels, size_t plane)
{
    const size_t pitch = FNN_WINOGRAD_SIDE * view->cols + over, overs[2] = {over, over};
    size_t from[FNN_WINOGRAD_SQUARES + W], squares = 0;
    for (size_t i = 0, at = 0; i < pieces; at += (FNN_WINOGRAD_SIDE * view[i++].rows + over) * pitch)
        for (size_t r = 0; r < FNN_WINOGRAD_SIDE * view[i].rows; r += side)
            for (size_t c = 0; c + over < pitch; c += side)
                from[squares++] = at + r * pitch + c;
    for (size_t i = 0; i < W; ++i)
        from[squares + i] = from[squares - 1];
    for (size_t c = 0; c < channels; ++c, v += v_pitch) {
        T *to = room;
        for (size_t i = 0; i < pieces; view[i++].x += plane)
            to += winograd_gather(to, &view[i], overs, 2 * plane).height * (ptrdiff_t)pitch;
        for (size_t j = 0; j < squares; j += W) {
            if (lag)
                winograd_half_patch(v + j, v_step, room, from + j, pitch, side + 1, lag);
            else
                winograd_patch(v + j, v_step, room, from + j, pitch);
        }
    }
    return squares;
}

/* Of a block. x: the first image's first channel. */
static size_t winograd_half_patches(T *v, size_t v_step, T *room, const T *x, const fnn_conv_shape *s, const fnn_winograd_blocks *b, const winograd_block *block)
{
    const size_t side = fnn_winograd_side(s), plane = s->x_size[1] * s->x_size[2], image = s->groups * s->channels * plane;
    winograd_view view[FNN_WINOGRAD_SQUARES];
    winograd_piece p;
    size_t pieces = 0;
    for (size_t row = block->row; row < block->end; row += p.rows) {
        p = winograd_piece_of(s, b, block, row);
        view[pieces++] = (winograd_view){x + p.image * image, (ptrdiff_t)s->x_size[1], (ptrdiff_t)s->x_size[2], (ptrdiff_t)s->x_size[2], 1,
                                         s->origin[1] + (ptrdiff_t)(side * p.row), s->origin[2] + (ptrdiff_t)(side * p.col), side / 4 * p.rows, side / 4 * p.cols};
    }
    return winograd_square_patches(v, v_step, b->pitch, room, view, pieces, side, 1, s->lag, s->channels, plane);
}

/* B^T down the columns of a view's rows of squares, from `shift` rows and columns on: the six rows of it to `to`, `line` apart, square after square. May write up
 * to a vector too far. Prefetches `ahead` elements further. */
static void winograd_down(T *to, size_t line, const winograd_view *v, const size_t *shift, size_t ahead)
{
    const size_t width = FNN_WINOGRAD_SIDE * v->cols;
    for (size_t j = 0; j < width; j += W) {
        const ptrdiff_t at = v->left + (ptrdiff_t)(shift[1] + j);
        const conv_columns span = conv_columns_of(at, v->width);
        for (size_t r = 0; r < v->rows; ++r) {
            const ptrdiff_t row = v->row + (ptrdiff_t)(shift[0] + r * FNN_WINOGRAD_SIDE);
            const T *x = v->x + row * v->down + at;
            V d[6], t[6];
            TILE_UNROLL for (int a = 0; a < 6; ++a, x += v->down) {
                if (a < FNN_WINOGRAD_SIDE)
                    tile_prefetch(x + ahead);
                d[a] = row + a >= 0 && row + a < v->height ? v_load_span(x, span.first, span.end) : v_zero();
            }
            winograd_bt(t, d);
            TILE_UNROLL for (int a = 0; a < 6; ++a) {
                T *p = to + (size_t)a * line + r * width + j;
                if (j == 0)     /* the next row overwrites what is too much */
                    v_store(p, t[a]);
                else
                    v_store_n(p, t[a], width - j < W ? width - j : W);
            }
        }
    }
}

/* B^T along the rows of n squares for a row of cells, v_cell apart, from winograd_down's lines of each group of columns, to v + (6 a + b) step. */
FNN_INLINE void winograd_along(T *v, size_t step, size_t v_cell, const T *lines, size_t line, size_t n, const int cells)
{
    const int groups = cells == 1 ? 2 : 3;
    for (int a = 0; a < 6; ++a, lines += line, v += 6 * step)
        for (size_t j = 0; j < n; j += W) {
            const T *from = lines + FNN_WINOGRAD_SIDE * j;
            V d[12];
            TILE_UNROLL for (int i = 0; i < 4 * groups; i += 4, from += 6 * line) {
                const V x0 = v_load(from), x1 = v_load(from + W), x2 = v_load(from + 2 * W), x3 = v_load(from + 3 * W);
                const V even = v_even(x0, x1), odd = v_odd(x0, x1), even2 = v_even(x2, x3), odd2 = v_odd(x2, x3);
                d[i] = v_even(even, even2), d[i + 1] = v_even(odd, odd2), d[i + 2] = v_odd(even, even2), d[i + 3] = v_odd(odd, odd2);
            }
            TILE_UNROLL for (int i = 0; i < cells; ++i) {
                V t[6];
                winograd_bt(t, d + FNN_WINOGRAD_TAPS * i);
                TILE_UNROLL for (int b = 0; b < 6; ++b)
                    v_store(v + (size_t)i * v_cell + (size_t)b * step + j, t[b]);
            }
        }
}

/* Of a phase, whose cells are cells[0] rows of cells[1]. */
static size_t winograd_patches_of(T *v, size_t v_step, T *lines, const winograd_view *views, size_t count, size_t plane, size_t channels, const fnn_winograd_blocks *b,
                                  size_t v_row, const size_t *cells)
{
    const size_t v_cell = channels * b->pitch, over[2] = {fnn_winograd_over(cells[0]), fnn_winograd_over(cells[1])};
    const size_t columns = fnn_winograd_groups(cells[1]) * FNN_WINOGRAD_SIDE;
    size_t squares = 0;
    for (size_t c = 0; c < channels; ++c) {
        winograd_view view[FNN_WINOGRAD_SQUARES];
        T *gathered = lines + b->lines;
        for (size_t i = 0; i < count; ++i) {
            view[i] = views[i];
            view[i].x += c * plane;
            if (view[i].along > 1) {
                view[i] = winograd_gather(gathered, &view[i], over, 2 * plane);
                gathered += view[i].height * view[i].width;
            }
        }
        for (size_t row = 0; row < cells[0]; ++row) {
            T *to = lines;
            for (size_t i = 0; i < count; ++i) {
                size_t shift[2] = {FNN_WINOGRAD_TAPS * row, 0};
                for (T *of_group = to; shift[1] < columns; shift[1] += FNN_WINOGRAD_SIDE, of_group += 6 * b->line)
                    winograd_down(of_group, b->line, &view[i], shift, 2 * plane);
                to += view[i].rows * view[i].cols * FNN_WINOGRAD_SIDE;
            }
            squares = (size_t)(to - lines) / FNN_WINOGRAD_SIDE;
            for (T *end = lines + b->lines; squares % W && to < end; to += b->line)    /* what follows is multiplied, too: slowly where it happens to be subnormal */
                for (int i = 0; i < FNN_WINOGRAD_SIDE; ++i)
                    v_store(to + i * W, v_zero());
            T *of = v + row * v_row + c * b->pitch;
            if (W == 1)
                winograd_along(of, v_step, v_cell, lines, b->line, squares, (int)cells[1]);
            else if (cells[1] == 1)
                winograd_along(of, v_step, v_cell, lines, b->line, squares, 1);
            else if (cells[1] == 2)
                winograd_along(of, v_step, v_cell, lines, b->line, squares, 2);
            else
                winograd_along(of, v_step, v_cell, lines, b->line, squares, 3);
        }
    }
    return squares;
}

/* Whether images are a square each, of 4 x 4 with zeros around it. */
FNN_INLINE int winograd_is_tiny(const fnn_conv_shape *s)
{
    int tiny = 1;
    for (int i = 1; i < 3; ++i)
        tiny &= s->taps[i] == 3 && s->x_size[i] == 4 && s->out[i] == 4 && s->origin[i] == -1 && s->dilation[i] == 1;
    return tiny;
}

/* Then vectors run along the images, n of them and `image` apart, from the start. */
static void winograd_tiny_patches(T *v, size_t v_step, const T *x, size_t image, size_t n, size_t channels, size_t pitch)
{
    const V zero = v_zero();
    for (size_t c = 0; c < channels; ++c, x += 16, v += pitch)
        for (size_t i = 0; i < n; i += W) {
            const size_t some = n - i < W ? n - i : W;
            T d[16 * W];
            V t[6][4];
            for (size_t r = i; r < i + some; ++r)
                tile_prefetch(x + r * image + 32);
            pack_transpose(d, W, x + i * image, (ptrdiff_t)image, some, 16, 1);
            TILE_ROLL for (int k = 0; k < 4; ++k) {
                const V column[6] = {zero, v_load(d + k * W), v_load(d + (4 + k) * W), v_load(d + (8 + k) * W), v_load(d + (12 + k) * W), zero};
                V of[6];
                winograd_bt(of, column);
                TILE_UNROLL for (int a = 0; a < 6; ++a)
                    t[a][k] = of[a];
            }
            T *to = v + i;
            TILE_ROLL for (int a = 0; a < 6; ++a) {
                const V row[6] = {zero, t[a][0], t[a][1], t[a][2], t[a][3], zero};
                V of[6];
                winograd_bt(of, row);
                TILE_UNROLL for (int b = 0; b < 6; ++b, to += v_step)
                    v_store(to, of[b]);
            }
        }
}

/* B^T d B of a block's squares of some channels: v[6 a + b][cell][channel][square]. x: the first image's first channel. Returns how many squares. */
static size_t winograd_patches(T *v, size_t v_step, T *lines, const T *x, const fnn_conv_shape *s, size_t channels, const fnn_winograd_blocks *b, const winograd_block *block)
{
    winograd_view views[FNN_WINOGRAD_SQUARES];
    if (winograd_is_tiny(s)) {
        const size_t image = s->groups * s->channels * 16;
        winograd_tiny_patches(v, v_step, x + block->row * image, image, block->end - block->row, channels, b->pitch);
        return block->end - block->row;
    }
    const size_t plane = s->x_size[1] * s->x_size[2], v_cell = channels * b->pitch, v_row = fnn_winograd_cells_along(s->taps[2], s->step[2]) * v_cell;
    const size_t cols = FNN_WINOGRAD_SIDE * block->cols;
    size_t squares = (block->end - block->row) * block->cols;
    if (fnn_winograd_cells(s->taps, s->step) == 1 && squares >= W && 3 * cols < 2 * fnn_conv_ceil(cols, W) * W) {    /* along a row many lanes would be idle */
        const size_t first[2] = {0, 0}, pieces = winograd_views(views, x, s, b, block, first);
        return winograd_square_patches(v, v_step, b->pitch, lines + b->lines, views, pieces, FNN_WINOGRAD_SIDE, 2, NULL, channels, plane);
    }
    for (size_t phase[2] = {0}; phase[0] < s->step[1]; ++phase[0]) {
        size_t cells[2] = {fnn_winograd_phase_cells(s->taps[1], s->step[1], phase[0])};
        T *of = v;
        for (phase[1] = 0; phase[1] < s->step[2]; ++phase[1], of += cells[1] * v_cell) {
            cells[1] = fnn_winograd_phase_cells(s->taps[2], s->step[2], phase[1]);
            squares = winograd_patches_of(of, v_step, lines, views, winograd_views(views, x, s, b, block, phase), plane, channels, b, v_row, cells);
        }
        v += cells[0] * v_row;
    }
    return squares;
}
