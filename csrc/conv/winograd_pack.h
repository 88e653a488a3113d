/* winograd_pack.h — the weights of winograd.h's convolutions, transformed: for each row of a group, 36 products' numbers for its channels; where the products'
 * vectors run along the rows, for each channel those for its rows. Below, "rows" and "channels" are the other's then. */

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
static int winograd_taps(T *g, const T *weight, const fnn_conv_pack_weight_args *a, size_t rows, size_t n, const size_t taps)
{
    const ptrdiff_t tap = a->w_tap[2];
    const size_t all = taps * taps;
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

/* G g G^T of rows x channels, from the first of them on: u[row][6 a + b][channel]. */
FNN_INLINE void winograd_weight(T *u, const T *weight, const fnn_conv_pack_weight_args *a, size_t rows, size_t channels, const int taps)
{
    T g[25 * W] = {0}, scale[FNN_WINOGRAD_PRODUCTS];
    winograd_scales(scale);
    for (size_t c = 0, n; c < channels; c += n, weight += (ptrdiff_t)n * a->w_channel) {
        n = channels - c < W ? channels - c : W;
        for (size_t row = 0; row < rows; ++row) {
            const T *first = weight + (ptrdiff_t)row * a->w_row;
            T *to = u + row * fnn_winograd_row(channels) + c;
            for (size_t i = 0; i < n && row + WINOGRAD_AHEAD < rows; ++i)
                tile_prefetch(first + WINOGRAD_AHEAD * a->w_row + (ptrdiff_t)i * a->w_channel);
            const int turned = winograd_taps(g, first, a, 1, n, (size_t)taps);
            V t[6][5];
            TILE_ROLL for (int j = 0; j < taps; ++j) {
                V down[5], of[6];
                TILE_UNROLL for (int i = 0; i < taps; ++i)
                    down[i] = v_load(g + (turned ? taps * (taps - i) - 1 - j : taps * i + j) * W);
                winograd_a(of, down, taps);
                TILE_UNROLL for (int i = 0; i < 6; ++i)
                    t[i][j] = of[i];
            }
            TILE_ROLL for (int i = 0; i < 6; ++i, to += 6 * channels) {
                V along[6];
                winograd_a(along, t[i], taps);
                TILE_UNROLL for (int j = 0; j < 6; ++j)
                    v_store_n(to + (size_t)j * channels, v_mul(along[j], v_set(scale[6 * i + j])), n);
            }
        }
    }
}

static void winograd_weights(T *u, const T *weight, const fnn_conv_pack_weight_args *a, size_t rows, size_t channels)
{
    if (a->taps[2] == 3)
        winograd_weight(u, weight, a, rows, channels, 3);
    else
        winograd_weight(u, weight, a, rows, channels, 5);
}

static void winograd_pack_weight(const fnn_conv_pack_weight_args *args, size_t part, size_t parts)
{
    fnn_conv_pack_weight_args turned = *args;
    if (args->form == FNN_CONV_WINOGRAD_TURNED)
        turned.rows = args->channels, turned.channels = args->rows, turned.w_row = args->w_channel, turned.w_channel = args->w_row;
    const fnn_conv_pack_weight_args *a = &turned;
    size_t unit, last;
    fnn_share(a->groups * a->rows, 1, part, parts, &unit, &last);
    for (size_t rows; unit < last; unit += rows) {
        const size_t group = unit / a->rows, row = unit % a->rows;
        rows = a->rows - row < last - unit ? a->rows - row : last - unit;
        winograd_weights((T *)a->packed + unit * fnn_winograd_row(a->channels), (const T *)a->weight + (ptrdiff_t)group * a->w_group + (ptrdiff_t)row * a->w_row, a,
                         rows, a->channels);
    }
}
