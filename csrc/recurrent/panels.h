/* panels.h — the products that every step of a recurrent layer makes, rows x k times k x (gates x units), with the arithmetic of the cell behind them.
 *
 * The weights are packed once for all steps. A panel has a few vectors of units: gate after gate, each k rows of these units and behind them their
 * bias. So a gate of a panel is what a tile of the product (gemm/tile.h) reads, and stays in L1 or L2 while the rows go by. The products of some
 * rows with all gates of a panel are what the cell needs for these rows and units; it takes them from L1.
 *
 * Every element is one chain of fused multiply-adds over k in ascending order from 0, then the bias: as in gemm/gemm.h. */

typedef struct recurrent_panels {
    const T *packed;            /* or NULL */
    size_t k, gates, units;
    size_t panel;               /* vectors of units in a panel; fewer in the last */
    int bias;
} recurrent_panels;

typedef struct recurrent_step recurrent_step;

/* What follows the product for `rows` rows from `row` on and `units` units from `unit` on. product: gate g of row r and unit u is at
 * r row_stride + g gate_stride + u, and whole vectors may be read and written there. */
typedef void (*recurrent_cell)(recurrent_step *s, T *product, size_t row_stride, size_t gate_stride, size_t row, size_t rows, size_t unit, size_t units);

/* Tiles of rows for which a gate's panel is read. */
enum { RECURRENT_GATES = 4, RECURRENT_TILES = 4, RECURRENT_TILE = TILE_SUMS * TILE_LANES };

_Static_assert(TILE_LANES % W == 0, "the tiles' vectors are those of the cells");

static size_t recurrent_tile_rows(size_t vecs)
{
    size_t rows = TILE_ROWS;
    while (!tile_kernels[0][0][rows][vecs])
        --rows;
    return rows;
}

/* All gates of the panel of `vecs` vectors from `unit` on, for all the tiles of rows. a: rows of k numbers, a_step apart. */
static void recurrent_gates(const recurrent_panels *p, const T *a, size_t a_step, gemm_cut tiles, size_t vecs, size_t unit, T *product, size_t gate_stride)
{
    const size_t width = vecs * TILE_LANES;
    tile_args t = {0};
    t.a_step = (ptrdiff_t)a_step, t.b_step = t.c_step = (ptrdiff_t)width;
    t.k = p->k, t.last = TILE_LANES;
    t.bias_kind = p->bias ? TILE_BIAS_VECTOR : TILE_BIAS_NONE;
    t.b = p->packed + unit * p->gates * (p->k + 1);
    for (size_t g = 0; g < p->gates; ++g, t.b += (p->k + 1) * width, product += gate_stride) {
        t.bias = t.b + p->k * width;
        t.a = a, t.c = product;
        for (size_t i = 0, n; i < tiles.parts; ++i, t.a += n * a_step, t.c += n * width) {
            n = tiles.low + (i < tiles.high);
            tile_kernels[0][0][n][vecs](&t);
        }
    }
}

KERNEL(recurrent_pack, recurrent_pack)
{
    const size_t vectors = fnn_gemm_ceil(a->units, TILE_LANES);
    size_t panel, end;
    fnn_share(fnn_gemm_ceil(vectors, a->panel), 1, part, parts, &panel, &end);
    for (; panel < end; ++panel) {
        const size_t first = panel * a->panel, some = vectors - first < a->panel ? vectors - first : a->panel, unit = first * TILE_LANES;
        const size_t units = a->units - unit < some * TILE_LANES ? a->units - unit : some * TILE_LANES, width = some * TILE_LANES;
        T *to = (T *)a->packed + unit * a->gates * (a->k + 1);
        if (fnn_interrupted())
            return;
        for (size_t g = 0; g < a->gates; ++g, to += (a->k + 1) * width) {
            const T *from = (const T *)a->weight + (ptrdiff_t)g * a->gate_stride + (ptrdiff_t)unit * a->unit_stride;
            pack_b(to, width, from, a->k_stride, a->unit_stride, units, a->k, 1);
            if (a->bias) {
                memset(to + a->k * width, 0, width * sizeof(T));
                memcpy(to + a->k * width, (const T *)a->bias + g * a->units + unit, units * sizeof(T));
            }
        }
    }
}
