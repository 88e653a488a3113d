/* winograd_pack.h — the weights of winograd.h's convolutions, transformed: for each row of a group, 36 products' numbers for its channels; where the products'
 * vectors run along the rows, for each channel those for its rows. */

/* `taps` neighbouring numbers of n <= W channels, `step` apart, to taps x W. */
static void winograd_turn(T *g, const T *weight, ptrdiff_t step, size_t n, size_t taps)
{
    const size_t rest = taps % LINES_STEPS, begin = LINES_STEPS == TILE_BLOCK ? taps - TILE_BLOCK : taps - rest;
    pack_transpose(g, W, weight, step, n, taps - rest, 1);
    if (rest)
        pack_transpose(g + begin * W, W, weight + begin, step, n, taps - begin, 1);
}

/* n <= W channels of one row's weights, tap by tap, from the first tap of the first channel on. Returns whether the last tap is the first. */
static int winograd_taps(T *g, const T *weight, const fnn_conv_pack_weight_args *a, size_t n, const size_t taps)
{
    const ptrdiff_t tap = a->w_tap[2];
    const size_t all = taps * taps;
    if ((tap == 1 || tap == -1) && a->w_tap[1] == (ptrdiff_t)taps * tap) {
        const T *from = tap == 1 ? weight : weight - (all - 1);
        winograd_turn(g, from, a->w_channel, n, all);
        return tap == -1;
    }
    for (size_t i = 0; i < all; ++i)
        for (size_t c = 0; c < n; ++c)
            g[i * W + c] = weight[(ptrdiff_t)c * a->w_channel + (ptrdiff_t)(i / taps) * a->w_tap[1] + (ptrdiff_t)(i % taps) * tap];
    return 0;
}

/* G g G^T of some rows: u[row][6 a + b][channel]. */
FNN_INLINE void winograd_weight(T *u, const T *weight, const fnn_conv_pack_weight_args *a, size_t row, size_t end, const int taps)
{
    T g[25 * W] = {0};
    for (; row < end; ++row, u += fnn_winograd_row(a->channels))
        for (size_t c = 0, n; c < a->channels; c += n) {
            n = a->channels - c < W ? a->channels - c : W;
            const int turned = winograd_taps(g, weight + (ptrdiff_t)row * a->w_row + (ptrdiff_t)c * a->w_channel, a, n, (size_t)taps);
            V t[6][5];
            TILE_ROLL for (int j = 0; j < taps; ++j) {
                V down[5], of[6];
                TILE_UNROLL for (int i = 0; i < taps; ++i)
                    down[i] = v_load(g + (turned ? taps * (taps - i) - 1 - j : taps * i + j) * W);
                winograd_a(of, down, taps);
                TILE_UNROLL for (int i = 0; i < 6; ++i)
                    t[i][j] = of[i];
            }
            TILE_ROLL for (int i = 0; i < 6; ++i) {
                V along[6];
                winograd_a(along, t[i], taps);
                TILE_UNROLL for (int j = 0; j < 6; ++j)
                    v_store_n(u + (size_t)(6 * i + j) * a->channels + c, v_mul(along[j], v_set(winograd_scale[i] * winograd_scale[j])), n);
            }
        }
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
        T *u = (T *)a->packed + unit * fnn_winograd_row(a->channels);
        const T *weight = (const T *)a->weight + (ptrdiff_t)group * a->w_group;
        if (a->taps[2] == 3)
            winograd_weight(u, weight, a, row, row + rows, 3);
        else
            winograd_weight(u, weight, a, row, row + rows, 5);
    }
}
