/* winograd_pack.h — the weights of winograd.h's convolutions, transformed: for each row of a group, 36 products' numbers for its terms; where the products' vectors run
 * along the rows, for each term those for its rows. Below, "rows" and "channels" are the other's then. */

enum { WINOGRAD_AHEAD = 4 };        /* rows that weights are fetched ahead */

/* `taps` neighbouring numbers of n <= W channels, `step` apart, to taps x W. */
FNN_INLINE void winograd_turn_(T *g, const T *weight, ptrdiff_t step, size_t n, size_t taps, const int whole)
{
#define WINOGRAD_CHANNEL(j) (weight + (ptrdiff_t)(whole || (j) < n ? (j) : n - 1) * step)
    for (size_t left = taps; left; ) {
        const size_t some = left < TILE_BLOCK ? left : TILE_BLOCK;
        tile_vec x[TILE_BLOCK];
        weight -= TILE_BLOCK - some, g -= (TILE_BLOCK - some) * W;      /* the last ones end with the last tap */
        TILE_TRANSPOSE(x, WINOGRAD_CHANNEL);
        TILE_UNROLL for (size_t q = 0; q < TILE_BLOCK; ++q)
            tile_store(g + q * W, x[q]);
        weight += TILE_BLOCK, g += TILE_BLOCK * W, left -= some;
    }
#undef WINOGRAD_CHANNEL
}

static void winograd_turn(T *g, const T *weight, ptrdiff_t step, size_t n, size_t taps)
{
    if (n == W)
        winograd_turn_(g, weight, step, n, taps, 1);
    else
        winograd_turn_(g, weight, step, n, taps, 0);
}

/* The weights of some rows and n <= W channels, tap by tap, from the first tap of the first of them on. Returns whether the last tap is the first. */
static int winograd_taps(T *g, const T *weight, const fnn_conv_pack_weight_args *a, size_t rows, size_t n)
{
    const ptrdiff_t tap = a->w_tap[2];
    const size_t taps = a->taps[2], all = a->taps[1] * taps;
    const int neighbours = (tap == 1 || tap == -1) && a->w_tap[1] == (ptrdiff_t)taps * tap;
    if (neighbours && a->w_row == (ptrdiff_t)all && tap == 1) {
        winograd_turn(g, weight, a->w_channel, n, rows * all);
        return 0;
    }
    for (; rows > 0; --rows, weight += a->w_row, g += all * W) {
        if (neighbours)
            winograd_turn(g, tap == 1 ? weight : weight - (all - 1), a->w_channel, n, all);
        for (size_t i = neighbours ? all : 0; i < all; ++i)
            for (size_t c = 0; c < n; ++c)
                g[i * W + c] = weight[(ptrdiff_t)c * a->w_channel + (ptrdiff_t)(i / taps) * a->w_tap[1] + (ptrdiff_t)(i % taps) * tap];
    }
    return neighbours && tap == -1;
}

/* G g G^T of a cell of n <= W channels, its taps `tap` apart: to u + (6 a + b) step. */
static void winograd_weight(T *u, size_t step, const T *g, ptrdiff_t tap, const T *scale, size_t n, int halved)
{
    V t[6][3];
    TILE_ROLL for (int j = 0; j < 3; ++j) {
        const V column[3] = {v_load(g + j * tap), v_load(g + (3 + j) * tap), v_load(g + (6 + j) * tap)};
        V of[6];
        winograd_g(of, column, halved);
        TILE_UNROLL for (int i = 0; i < 6; ++i)
            t[i][j] = of[i];
    }
    TILE_ROLL for (int i = 0; i < 6; ++i, u += 6 * step) {
        V along[6];
        winograd_g(along, t[i], halved);
        TILE_UNROLL for (int j = 0; j < 6; ++j)
            v_store_n(u + (size_t)j * step, v_mul(along[j], v_set(scale[6 * i + j])), n);
    }
}

/* Those of rows x channels, from the first of them on: u[row][6 a + b][cell][channel], from one product to the next `step`, from one cell to the next u_cell. */
static void winograd_weights(T *u, size_t step, size_t u_cell, const T *weight, const fnn_conv_pack_weight_args *a, size_t rows, size_t channels)
{
    enum { MOST = FNN_WINOGRAD_TAPS * FNN_WINOGRAD_CELLS };
    const size_t taps = a->taps[2], all = a->taps[1] * taps;
    T g[MOST * MOST * W] = {0}, cell[9 * W], scale[FNN_WINOGRAD_PRODUCTS];
    const int halved = fnn_winograd_is_halved(a->taps, a->step);
    winograd_scales(scale, halved);
    for (size_t c = 0, n; c < channels; c += n, weight += (ptrdiff_t)n * a->w_channel) {
        n = channels - c < W ? channels - c : W;
        for (size_t row = 0; row < rows; ++row) {
            const T *first = weight + (ptrdiff_t)row * a->w_row;
            T *to = u + row * fnn_winograd_row(step) + c;
            for (size_t i = 0; i < n && row + WINOGRAD_AHEAD < rows; ++i)
                tile_prefetch(first + WINOGRAD_AHEAD * a->w_row + (ptrdiff_t)i * a->w_channel);
            const int turned = winograd_taps(g, first, a, 1, n);
            if (fnn_winograd_cells(a->taps, a->step) == 1) {
                winograd_weight(to, step, g + (turned ? 8 * W : 0), turned ? -W : W, scale, n, halved);
                continue;
            }
            for (size_t i = 0; i < fnn_winograd_cells_along(a->taps[1], a->step[1]); ++i)
                for (size_t j = 0; j < fnn_winograd_cells_along(taps, a->step[2]); ++j, to += u_cell) {
                    for (size_t q = 0; q < 9; ++q) {
                        const size_t y = fnn_winograd_tap(a->taps[1], a->step[1], i) + q / 3 * a->step[1], x = fnn_winograd_tap(taps, a->step[2], j) + q % 3 * a->step[2];
                        const size_t at = turned ? all - 1 - (taps * y + x) : taps * y + x;
                        v_store(cell + q * W, y < a->taps[1] && x < taps ? v_load(g + at * W) : v_zero());
                    }
                    winograd_weight(to, step, cell, W, scale, n, 0);
                }
        }
    }
}

static void winograd_pack_weight(const fnn_conv_pack_weight_args *args, size_t part, size_t parts)
{
    fnn_conv_pack_weight_args by = *args;
    const int turned = args->form == FNN_CONV_WINOGRAD_TURNED;
    if (turned)
        by.rows = args->channels, by.channels = args->rows, by.w_row = args->w_channel, by.w_channel = args->w_row;
    const fnn_conv_pack_weight_args *a = &by;
    const size_t cells = fnn_winograd_cells(a->taps, a->step);
    const size_t step = turned ? a->channels : cells * a->channels, line = fnn_winograd_row(step), group_lines = turned ? cells * a->rows : a->rows;
    size_t unit, last;
    fnn_share(a->groups * a->rows, 1, part, parts, &unit, &last);
    for (size_t rows; unit < last; unit += rows) {
        const size_t group = unit / a->rows, row = unit % a->rows;
        rows = a->rows - row < last - unit ? a->rows - row : last - unit;
        winograd_weights((T *)a->packed + (group * group_lines + row) * line, step, turned ? a->rows * line : a->channels,
                         (const T *)a->weight + (ptrdiff_t)group * a->w_group + (ptrdiff_t)row * a->w_row, a, rows, a->channels);
    }
}
