/* panels.h — the product that every step of a recurrent layer makes, rows x k times k x (gates x units), with the arithmetic of the cell behind it.
 *
 * The weights are packed once for all steps. A panel has all gates of a few vectors of units: for each k first the gate's units, then the next
 * gate's, and behind the last k the bias. So a tile of the product (gemm/tile.h) is all that the cell needs for a few rows and units, and the cell
 * takes it from L1. A panel stays in L2, or in L1 where it is small, while the rows go by.
 *
 * Every element is one chain of fused multiply-adds over k in ascending order from 0, then the bias: as in gemm/gemm.h. */

typedef struct recurrent_panels {
    const T *packed;
    size_t k, gates, units;
    size_t panel;               /* vectors of units in a panel; fewer in the last */
    int bias;
} recurrent_panels;

typedef struct recurrent_step recurrent_step;

/* What follows the product for `rows` rows from `row` on and `units` units from `unit` on. product: gate g of row r and unit u is at
 * r row_stride + g gate_stride + u. NULL: it is 0. */
typedef void (*recurrent_cell)(const recurrent_step *s, const T *product, size_t row_stride, size_t gate_stride, size_t row, size_t rows,
                               size_t unit, size_t units);

static size_t recurrent_tile_rows(size_t vecs)
{
    size_t rows = TILE_ROWS;
    while (!tile_kernels[0][0][rows][vecs])
        --rows;
    return rows;
}

/* a: rows x k, a_step apart. */
static void recurrent_product(const recurrent_panels *p, const T *a, size_t a_step, size_t rows, const recurrent_step *s, recurrent_cell cell)
{
    T product[TILE_SUMS * TILE_LANES];
    const size_t vectors = fnn_gemm_ceil(p->units, TILE_LANES);
    tile_args t = {0};
    t.c = product;
    t.a_step = (ptrdiff_t)a_step;
    t.k = p->k;
    t.last = TILE_LANES;
    t.bias_kind = p->bias ? TILE_BIAS_VECTOR : TILE_BIAS_NONE;
    for (size_t first = 0, some; first < vectors; first += some) {
        some = vectors - first < p->panel ? vectors - first : p->panel;
        const size_t vecs = p->gates * some, width = vecs * TILE_LANES, unit = first * TILE_LANES;
        const size_t units = p->units - unit < some * TILE_LANES ? p->units - unit : some * TILE_LANES;
        const gemm_cut tiles = gemm_cut_evenly(rows, recurrent_tile_rows(vecs));
        t.b = p->packed + unit * p->gates * (p->k + 1);
        t.bias = t.b + p->k * width;
        t.b_step = t.c_step = (ptrdiff_t)width;
        t.ahead = 8 * t.b_step;
        for (size_t i = 0, row = 0, n; i < tiles.parts; ++i, row += n) {
            n = tiles.low + (i < tiles.high);
            t.a = a + row * a_step;
            tile_kernels[0][0][n][vecs](&t);
            cell(s, product, width, some * TILE_LANES, row, n, unit, units);
        }
    }
}

/* The same without a product of ours: `product` is rows x gates x units, or NULL. */
static void recurrent_pieces(const T *product, size_t gates, size_t all, size_t rows, const recurrent_step *s, recurrent_cell cell)
{
    const size_t most = TILE_SUMS / gates * TILE_LANES;
    for (size_t row = 0; row < rows; ++row)
        for (size_t unit = 0; unit < all; unit += most)
            cell(s, product ? product + row * gates * all + unit : NULL, gates * all, all, row, 1, unit, all - unit < most ? all - unit : most);
}

KERNEL(recurrent_pack, recurrent_pack)
{
    const size_t vectors = fnn_gemm_ceil(a->units, TILE_LANES);
    size_t panel, end;
    fnn_share(fnn_gemm_ceil(vectors, a->panel), 1, part, parts, &panel, &end);
    for (; panel < end; ++panel) {
        const size_t first = panel * a->panel, some = vectors - first < a->panel ? vectors - first : a->panel, unit = first * TILE_LANES;
        const size_t units = a->units - unit < some * TILE_LANES ? a->units - unit : some * TILE_LANES, width = a->gates * some * TILE_LANES;
        T *to = (T *)a->packed + unit * a->gates * (a->k + 1);
        if (fnn_interrupted())
            return;
        for (size_t g = 0; g < a->gates; ++g, to += some * TILE_LANES) {
            const T *from = (const T *)a->weight + (ptrdiff_t)g * a->gate_stride + (ptrdiff_t)unit * a->unit_stride;
            pack_b(to, width, from, a->k_stride, a->unit_stride, units, a->k, 1);
            if (a->bias)
                memcpy(to + a->k * width, (const T *)a->bias + g * a->units + unit, units * sizeof(T));
        }
    }
}
