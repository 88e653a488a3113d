/* cells.h — the arithmetic of one step behind its product, for a few rows and units: forward and right below it backward.
 *
 *   RNN    h' = f(x + p)                                          p: the product of h with the recurrent weights, their bias in it
 *   LSTM   i, f, o = sigmoid(x + p), g = tanh(x + p), c' = f c + i g, h' = o tanh(c')
 *   GRU    r, z = sigmoid(x + p), n = tanh(x + r p), h' = n + z (h - n)
 *
 * x: the product of the input, with its bias. A cell works in the memory of its product, where the rows of a gate lie one behind the other, so that
 * the loops of the elementary functions (map.h) run over some hundred numbers in L1. */

struct recurrent_step {
    const fnn_recurrent_args *f;            /* of a forward, or NULL */
    const fnn_recurrent_backward_args *b;   /* of a backward, or NULL */
    fnn_kernel function;                    /* of an RNN: the activation, or its derivative */
    const int64_t *lengths;                 /* of the share's rows, or NULL */
    size_t t;                               /* the position in time */
    size_t place, apart;                    /* of the share's first row at t in the arrays over time; from a row to the next */
    size_t units;
    const T *x;                             /* forward: gate g of the cell's row r and unit u is at r x_row + g x_gate + u */
    size_t x_row, x_gate;
    size_t pitch;                           /* of state, next, carry; rows of c and dc have `units` */
    T *state, *next, *c;                    /* forward: h before and after, c */
    T *before;                              /* where h after the step is saved as that before the next one: the share's first row; or NULL */
    T *hidden;                              /* LSTM with projection: forward o tanh(c'), backward the gradient of h */
    size_t hidden_pitch;
    T *carry, *dc;                          /* backward: what has come to dh so far, dc */
    T *current;                             /* backward: the gradient of the product */
    size_t current_pitch;
};

FNN_INLINE int recurrent_valid(const recurrent_step *s, size_t row) { return !s->lengths || (int64_t)s->t < s->lengths[row]; }

/* Row `row` of an array over time with rows of so many numbers. */
FNN_INLINE T *recurrent_at(const recurrent_step *s, const void *array, size_t row, size_t width)
{
    return (T *)array + (s->place + row * s->apart) * width;
}

static void recurrent_map(fnn_kernel function, T *x, size_t n)
{
    fnn_map_args map = {x, x, n, 0, 0};
    function(&map, 0, 1);
}

static void recurrent_copy(T *to, const T *from, size_t n)
{
    size_t i = 0;
    for (; i + W <= n; i += W) v_store(to + i, v_load(from + i));
    if (i < n) v_store_n(to + i, v_load_n(from + i, n - i), n - i);
}

static void recurrent_zero(T *to, size_t n)
{
    size_t i = 0;
    for (; i + W <= n; i += W) v_store(to + i, v_zero());
    if (i < n) v_store_n(to + i, v_zero(), n - i);
}

static void recurrent_or_zero(T *to, const T *from, size_t n)
{
    if (from)
        recurrent_copy(to, from, n);
    else
        recurrent_zero(to, n);
}

/* For u, k: the vectors of n numbers. */
#define CELL_EACH(n) for (size_t u = 0, k; k = (n) - u < W ? (n) - u : W, u < (n); u += W)
#define CELL_LOAD(p) v_load_n((p) + u, k)
#define CELL_STORE(p, x) v_store_n((p) + u, x, k)

/* The numbers from the first to the last of `rows` rows of a product. */
FNN_INLINE size_t recurrent_span(size_t row_stride, size_t rows, size_t units) { return (rows - 1) * row_stride + units; }

/* product += x, of one gate. */
static void recurrent_add(T *product, size_t row_stride, const T *x, size_t x_row, size_t rows, size_t units)
{
    for (size_t r = 0; r < rows; ++r, product += row_stride, x += x_row)
        CELL_EACH(units) v_store(product + u, v_add(CELL_LOAD(x), v_load(product + u)));
}

/* The new state of a row and its output: beyond the row's length the old state, and 0. */
static void recurrent_keep(const recurrent_step *s, const T *h, size_t row, size_t unit, size_t units)
{
    const int valid = recurrent_valid(s, row);
    const size_t at = row * s->pitch + unit;
    T *y = recurrent_at(s, s->f->y, row, s->f->y_width) + unit, *before = s->before ? s->before + row * s->apart * s->f->size + unit : NULL;
    if (!valid) h = s->state + at;
    CELL_EACH(units) {
        const V value = CELL_LOAD(h);
        CELL_STORE(s->next + at, value);
        CELL_STORE(y, valid ? value : v_zero());
        if (before) CELL_STORE(before, value);
    }
}

/* dh of these rows and units, in the place of their product: from it (the steps after), what was carried, and the output's gradient. Leaves 0 to be
 * carried further, or beyond a row's length dh itself. */
static void recurrent_incoming(const recurrent_step *s, T *dh, size_t row_stride, size_t row, size_t rows, size_t unit, size_t units)
{
    for (size_t r = 0; r < rows; ++r, dh += row_stride) {
        const int valid = recurrent_valid(s, row + r);
        const T *dy = valid && s->b->dy ? recurrent_at(s, s->b->dy, row + r, s->b->y_width) + unit : NULL;
        T *carry = s->carry + (row + r) * s->pitch + unit;
        CELL_EACH(units) {
            V d = v_add(v_load(dh + u), CELL_LOAD(carry));
            if (dy) d = v_add(d, CELL_LOAD(dy));
            v_store(dh + u, d);
            CELL_STORE(carry, valid ? v_zero() : d);
        }
    }
}

/* The gradients of one gate before its activation, of one row. Those beyond its length are 0. */
FNN_INLINE T *recurrent_dgate(const recurrent_step *s, size_t row, size_t gates, size_t gate, size_t unit)
{
    return recurrent_at(s, s->b->dgates, row, gates * s->units) + gate * s->units + unit;
}

static void recurrent_no_gradients(const recurrent_step *s, size_t row, size_t gates, size_t unit, size_t units)
{
    for (size_t g = 0; g < gates; ++g) {
        recurrent_zero(recurrent_dgate(s, row, gates, g, unit), units);
        recurrent_zero(s->current + row * s->current_pitch + g * s->units + unit, units);
    }
}

/* --- RNN --- */

static void rnn_cell(recurrent_step *s, T *h, size_t row_stride, size_t gate_stride, size_t row, size_t rows, size_t unit, size_t units)
{
    (void)gate_stride;
    recurrent_add(h, row_stride, s->x, s->x_row, rows, units);
    recurrent_map(s->function, h, recurrent_span(row_stride, rows, units));
    for (size_t r = 0; r < rows; ++r) {
        recurrent_keep(s, h + r * row_stride, row + r, unit, units);
        if (s->f->gates) recurrent_copy(recurrent_at(s, s->f->gates, row + r, s->units) + unit, h + r * row_stride, units);
    }
}

static void rnn_cell_backward(recurrent_step *s, T *dh, size_t row_stride, size_t gate_stride, size_t row, size_t rows, size_t unit, size_t units)
{
    _Alignas(64) T h[RECURRENT_TILE];
    const size_t n = recurrent_span(row_stride, rows, units);
    (void)gate_stride;
    recurrent_incoming(s, dh, row_stride, row, rows, unit, units);
    for (size_t r = 0; r < rows; ++r) {
        const T *saved = recurrent_at(s, s->b->gates, row + r, s->units) + unit;
        CELL_EACH(units) v_store(h + r * row_stride + u, CELL_LOAD(saved));
    }
    fnn_map_backward_args map = {dh, dh, h, n, 0, 0};
    s->function(&map, 0, 1);
    for (size_t r = 0; r < rows; ++r) {
        if (!recurrent_valid(s, row + r)) {
            recurrent_no_gradients(s, row + r, 1, unit, units);
            continue;
        }
        recurrent_copy(recurrent_dgate(s, row + r, 1, 0, unit), dh + r * row_stride, units);
        recurrent_copy(s->current + (row + r) * s->current_pitch + unit, dh + r * row_stride, units);
    }
}

/* --- LSTM --- */

static void lstm_cell(recurrent_step *s, T *i, size_t row_stride, size_t gate_stride, size_t row, size_t rows, size_t unit, size_t units)
{
    const size_t all = s->units, n = recurrent_span(row_stride, rows, units);
    T *f = i + gate_stride, *g = f + gate_stride, *o = g + gate_stride;
    for (size_t q = 0; q < 4; ++q)
        recurrent_add(i + q * gate_stride, row_stride, s->x + q * s->x_gate, s->x_row, rows, units);
    recurrent_map(FNN_NAME(sigmoid_forward), i, n);
    recurrent_map(FNN_NAME(sigmoid_forward), f, n);
    recurrent_map(FNN_NAME(tanh_forward), g, n);
    recurrent_map(FNN_NAME(sigmoid_forward), o, n);
    T *c = i; /* takes the place of i */
    for (size_t r = 0, at = 0; r < rows; ++r, at += row_stride) {
        T *kept = s->c + (row + r) * all + unit, *gates = s->f->gates ? recurrent_at(s, s->f->gates, row + r, 4 * all) + unit : NULL;
        T *cells = s->f->cells ? recurrent_at(s, s->f->cells, row + r, all) + unit : NULL;
        const int valid = recurrent_valid(s, row + r);
        CELL_EACH(units) {
            const V in = v_load(i + at + u), forget = v_load(f + at + u), fresh = v_load(g + at + u);
            const V before = CELL_LOAD(kept), value = v_fma(forget, before, v_mul(in, fresh));
            if (valid) CELL_STORE(kept, value);
            if (cells) CELL_STORE(cells, before);
            if (gates) CELL_STORE(gates, in), CELL_STORE(gates + all, forget), CELL_STORE(gates + 2 * all, fresh), CELL_STORE(gates + 3 * all, v_load(o + at + u));
            v_store(c + at + u, value);
        }
    }
    recurrent_map(FNN_NAME(tanh_forward), c, n);
    for (size_t r = 0, at = 0; r < rows; ++r, at += row_stride) {
        for (size_t u = 0; u < units; u += W) v_store(c + at + u, v_mul(v_load(o + at + u), v_load(c + at + u)));
        if (s->hidden)
            recurrent_copy(s->hidden + (row + r) * s->hidden_pitch + unit, c + at, units);
        else
            recurrent_keep(s, c + at, row + r, unit, units);
        if (s->f->extra) recurrent_or_zero(recurrent_at(s, s->f->extra, row + r, all) + unit, recurrent_valid(s, row + r) ? c + at : NULL, units);
    }
}

static void lstm_cell_backward(recurrent_step *s, T *dh, size_t row_stride, size_t gate_stride, size_t row, size_t rows, size_t unit, size_t units)
{
    _Alignas(64) T c[RECURRENT_TILE];
    const size_t all = s->units;
    (void)gate_stride;
    if (!s->hidden)
        recurrent_incoming(s, dh, row_stride, row, rows, unit, units);
    for (size_t r = 0; r < rows; ++r) {
        const T *i = recurrent_at(s, s->b->gates, row + r, 4 * all) + unit, *f = i + all, *g = f + all, *before = recurrent_at(s, s->b->cells, row + r, all) + unit;
        CELL_EACH(units) v_store(c + r * row_stride + u, v_fma(CELL_LOAD(f), CELL_LOAD(before), v_mul(CELL_LOAD(i), CELL_LOAD(g))));
    }
    recurrent_map(FNN_NAME(tanh_forward), c, recurrent_span(row_stride, rows, units));
    for (size_t r = 0; r < rows; ++r) {
        if (!recurrent_valid(s, row + r)) {
            recurrent_no_gradients(s, row + r, 4, unit, units);
            continue;
        }
        const T *gate = recurrent_at(s, s->b->gates, row + r, 4 * all) + unit, *before = recurrent_at(s, s->b->cells, row + r, all) + unit;
        T *to[2] = {recurrent_dgate(s, row + r, 4, 0, unit), s->current + (row + r) * s->current_pitch + unit}, *dcr = s->dc + (row + r) * all + unit;
        CELL_EACH(units) {
            const V one = v_set(1), i = CELL_LOAD(gate), f = CELL_LOAD(gate + all), g = CELL_LOAD(gate + 2 * all), o = CELL_LOAD(gate + 3 * all);
            const V d = v_load(dh + r * row_stride + u), tc = v_load(c + r * row_stride + u);
            const V dc = v_fma(v_mul(d, o), v_fnma(tc, tc, one), CELL_LOAD(dcr));
            const V gradients[4] = {v_mul(v_mul(v_mul(dc, g), i), v_sub(one, i)), v_mul(v_mul(v_mul(dc, CELL_LOAD(before)), f), v_sub(one, f)),
                                    v_mul(v_mul(dc, i), v_fnma(g, g, one)), v_mul(v_mul(v_mul(d, tc), o), v_sub(one, o))};
            CELL_STORE(dcr, v_mul(dc, f));
            for (size_t q = 0; q < 4; ++q) {
                CELL_STORE(to[0] + q * all, gradients[q]);
                CELL_STORE(to[1] + q * all, gradients[q]);
            }
        }
    }
}

/* h' = the projection of o tanh(c'). */
static void lstm_project(recurrent_step *s, T *h, size_t row_stride, size_t gate_stride, size_t row, size_t rows, size_t unit, size_t units)
{
    (void)gate_stride;
    for (size_t r = 0; r < rows; ++r) recurrent_keep(s, h + r * row_stride, row + r, unit, units);
}

static void lstm_project_backward(recurrent_step *s, T *dh, size_t row_stride, size_t gate_stride, size_t row, size_t rows, size_t unit, size_t units)
{
    (void)gate_stride;
    recurrent_incoming(s, dh, row_stride, row, rows, unit, units);
    for (size_t r = 0; r < rows; ++r) {
        T *to = s->hidden + (row + r) * s->hidden_pitch + unit;
        recurrent_or_zero(to, recurrent_valid(s, row + r) ? dh + r * row_stride : NULL, units);
        recurrent_copy(recurrent_at(s, s->b->dextra, row + r, s->b->size) + unit, to, units);
    }
}

/* --- GRU --- */

static void gru_cell(recurrent_step *s, T *reset, size_t row_stride, size_t gate_stride, size_t row, size_t rows, size_t unit, size_t units)
{
    const size_t all = s->units, n = recurrent_span(row_stride, rows, units);
    T *z = reset + gate_stride, *fresh = z + gate_stride;
    recurrent_add(reset, row_stride, s->x, s->x_row, rows, units);
    recurrent_add(z, row_stride, s->x + s->x_gate, s->x_row, rows, units);
    recurrent_map(FNN_NAME(sigmoid_forward), reset, n);
    recurrent_map(FNN_NAME(sigmoid_forward), z, n);
    for (size_t r = 0, at = 0; r < rows; ++r, at += row_stride) {
        const T *x = s->x + r * s->x_row + 2 * s->x_gate;
        if (s->f->extra) recurrent_copy(recurrent_at(s, s->f->extra, row + r, all) + unit, fresh + at, units);
        CELL_EACH(units) v_store(fresh + at + u, v_fma(v_load(reset + at + u), v_load(fresh + at + u), CELL_LOAD(x)));
    }
    recurrent_map(FNN_NAME(tanh_forward), fresh, n);
    for (size_t r = 0, at = 0; r < rows; ++r, at += row_stride) {
        const T *before = s->state + (row + r) * s->pitch + unit;
        T *h = fresh + at, *gates = s->f->gates ? recurrent_at(s, s->f->gates, row + r, 3 * all) + unit : NULL;
        CELL_EACH(units) {
            const V update = v_load(z + at + u), value = v_load(h + u);
            if (gates) CELL_STORE(gates, v_load(reset + at + u)), CELL_STORE(gates + all, update), CELL_STORE(gates + 2 * all, value);
            v_store(h + u, v_fma(update, v_sub(CELL_LOAD(before), value), value));
        }
        recurrent_keep(s, h, row + r, unit, units);
    }
}

static void gru_cell_backward(recurrent_step *s, T *dh, size_t row_stride, size_t gate_stride, size_t row, size_t rows, size_t unit, size_t units)
{
    const size_t all = s->units;
    (void)gate_stride;
    recurrent_incoming(s, dh, row_stride, row, rows, unit, units);
    for (size_t r = 0; r < rows; ++r) {
        T *extra = recurrent_at(s, s->b->dextra, row + r, 3 * all) + unit;
        if (!recurrent_valid(s, row + r)) {
            recurrent_no_gradients(s, row + r, 3, unit, units);
            for (size_t q = 0; q < 3; ++q) recurrent_zero(extra + q * all, units);
            continue;
        }
        const T *gate = recurrent_at(s, s->b->gates, row + r, 3 * all) + unit, *before = recurrent_at(s, s->b->before, row + r, all) + unit;
        const T *p = recurrent_at(s, s->b->extra, row + r, all) + unit;
        T *dgate = recurrent_dgate(s, row + r, 3, 0, unit), *current = s->current + (row + r) * s->current_pitch + unit;
        T *carry = s->carry + (row + r) * s->pitch + unit;
        CELL_EACH(units) {
            const V one = v_set(1), reset = CELL_LOAD(gate), z = CELL_LOAD(gate + all), n = CELL_LOAD(gate + 2 * all), d = v_load(dh + r * row_stride + u);
            const V dn = v_mul(v_mul(d, v_sub(one, z)), v_fnma(n, n, one)), dp = v_mul(dn, reset);
            const V dz = v_mul(v_mul(v_mul(d, v_sub(CELL_LOAD(before), n)), z), v_sub(one, z));
            const V dr = v_mul(v_mul(v_mul(dn, CELL_LOAD(p)), reset), v_sub(one, reset));
            CELL_STORE(dgate, dr), CELL_STORE(dgate + all, dz), CELL_STORE(dgate + 2 * all, dn);
            CELL_STORE(current, dr), CELL_STORE(current + all, dz), CELL_STORE(current + 2 * all, dp);
            CELL_STORE(extra, dr), CELL_STORE(extra + all, dz), CELL_STORE(extra + 2 * all, dp);
            CELL_STORE(carry, v_mul(d, z));
        }
    }
}

/* The gradient of the initial state. */
static void recurrent_first(recurrent_step *s, T *product, size_t row_stride, size_t gate_stride, size_t row, size_t rows, size_t unit, size_t units)
{
    (void)gate_stride;
    for (size_t r = 0; r < rows; ++r, product += row_stride) {
        const T *carry = s->carry + (row + r) * s->pitch + unit;
        T *dh = (T *)s->b->dh + (s->place + row + r) * s->b->size + unit;
        CELL_EACH(units) CELL_STORE(dh, v_add(CELL_LOAD(product), CELL_LOAD(carry)));
    }
}
