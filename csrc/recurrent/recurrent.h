/* recurrent.h — recurrent layers: all steps of one direction of one layer in one launch.
 *
 * The product of the inputs, of all steps, is made before (x) by the matrix product's kernel, or step by step from packed weights where these are
 * small, which spares its way through memory; those for the gradients of weights and inputs are made after it. What is left is a chain of steps: panels.h has the
 * product of a step, cells.h what is behind it. A share takes rows of
 * the batch through all steps, so that no share ever waits for another one; h, c and the gates' gradients at hand lie side by side in its
 * scratch memory, whatever the order of the arrays over time. Where there are too few rows for that, a forward goes in pieces: a share is some of the units of all rows for one step,
 * and waits for all pieces of the step before.
 *
 * Backward goes through the steps in the opposite order and makes, for each, the product of the gates' gradients of the step that it comes
 * from; the arithmetic behind it is that of the step at hand. */
#include "panels.h"
#include "cells.h"

/* Rows of a power of two of bytes would all lie in the same few places of L1. */
FNN_INLINE size_t recurrent_pitch(size_t n) { return n * sizeof(T) % 1024 ? n : n + 64 / sizeof(T); }

/* Panels of so many vectors. */
FNN_INLINE size_t recurrent_count(size_t units, size_t panel) { return fnn_gemm_ceil(fnn_gemm_ceil(units, TILE_LANES), panel); }

enum { RECURRENT_LOOK = 16 }; /* steps from one look for an interrupt to the next: a small step takes no longer than a look */

/* A step: the product of the state with the weights, of the input with its weights where these are packed too, and the cell behind them; panels [panel, end). */
static void recurrent_panels_product(recurrent_step *s, const recurrent_panels *p, const T *state, size_t pitch, const recurrent_panels *input, size_t rows, recurrent_cell cell,
                                     size_t panel, size_t end)
{
    enum { SIZE = RECURRENT_GATES * RECURRENT_TILES * RECURRENT_TILE };
    _Alignas(64) T product[SIZE], of_input[SIZE];
    const size_t vectors = fnn_gemm_ceil(p->units, TILE_LANES);
    for (; panel < end; ++panel) {
        const size_t first = panel * p->panel, vecs = vectors - first < p->panel ? vectors - first : p->panel;
        const size_t width = vecs * TILE_LANES, unit = first * TILE_LANES, units = p->units - unit < width ? p->units - unit : width;
        const size_t most = recurrent_tile_rows(vecs);
        const gemm_cut blocks = gemm_cut_evenly(rows, RECURRENT_TILES * most);
        for (size_t i = 0, row = 0, n; i < blocks.parts; ++i, row += n) {
            n = blocks.low + (i < blocks.high);
            const gemm_cut tiles = gemm_cut_evenly(n, most);
            recurrent_gates(p, state + row * pitch, pitch, tiles, vecs, unit, product, n * width);
            if (input && input->packed) {
                const T *x = recurrent_at(s, s->f->input, row, input->k);
                recurrent_gates(input, x, s->apart * input->k, tiles, vecs, unit, of_input, n * width);
            }
            for (size_t j = 0, r = 0, some; j < tiles.parts; ++j, r += some) {
                some = tiles.low + (j < tiles.high);
                if (input) {
                    s->x = input->packed ? of_input + r * width : recurrent_at(s, s->f->x, row + r, p->gates * p->units) + unit;
                    s->x_row = input->packed ? width : s->apart * p->gates * p->units;
                    s->x_gate = input->packed ? n * width : p->units;
                }
                cell(s, product + r * width, width, n * width, row + r, some, unit, units);
            }
        }
    }
}

static void recurrent_product(recurrent_step *s, const recurrent_panels *p, const T *state, size_t pitch, const recurrent_panels *input, size_t rows, recurrent_cell cell)
{
    recurrent_panels_product(s, p, state, pitch, input, rows, cell, 0, recurrent_count(p->units, p->panel));
}

/* The same where there is nothing to multiply: `product` is rows x gates x units, or NULL: it is 0. */
static void recurrent_pieces(recurrent_step *s, const T *product, size_t gates, size_t units, size_t rows, recurrent_cell cell)
{
    _Alignas(64) T piece[RECURRENT_GATES * RECURRENT_TILE];
    for (size_t row = 0; row < rows; ++row)
        for (size_t unit = 0, n; unit < units; unit += n) {
            n = units - unit < RECURRENT_TILE ? units - unit : RECURRENT_TILE;
            for (size_t g = 0; g < gates; ++g)
                recurrent_or_zero(piece + g * RECURRENT_TILE, product ? product + (row * gates + g) * units + unit : NULL, n);
            if (s->f) s->x = recurrent_at(s, s->f->x, row, gates * units) + unit, s->x_gate = units;
            cell(s, piece, RECURRENT_TILE, RECURRENT_TILE, row, 1, unit, n);
        }
}

static int recurrent_any(const recurrent_step *s, size_t rows)
{
    for (size_t r = 0; r < rows; ++r)
        if (recurrent_valid(s, r)) return 1;
    return 0;
}

/* rows x n numbers, `pitch` apart, from `from`, or zeros where that is NULL. */
static void recurrent_load(T *to, size_t pitch, const T *from, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; ++r) recurrent_or_zero(to + r * pitch, from ? from + r * n : NULL, n);
}

/* What the steps of rows from `first` on have in common. */
static recurrent_step recurrent_start(const fnn_recurrent_args *a, size_t first, size_t rows, fnn_kernel function)
{
    recurrent_step s = {.f = a, .function = function, .lengths = a->lengths ? a->lengths + first : NULL, .apart = a->apart, .units = a->units};
    s.pitch = recurrent_pitch(a->size), s.hidden_pitch = recurrent_pitch(a->units);
    s.state = (T *)a->scratch + first * (2 * s.pitch + a->units + s.hidden_pitch);
    s.next = s.state + rows * s.pitch;
    s.c = s.next + rows * s.pitch;
    s.hidden = a->projection ? s.c + rows * a->units : NULL;
    return s;
}

/* Before the first step. */
static void recurrent_load_state(const fnn_recurrent_args *a, const recurrent_step *s, size_t first, size_t rows)
{
    recurrent_load(s->state, s->pitch, a->h ? (const T *)a->h + first * a->size : NULL, rows, a->size);
    recurrent_load(s->c, a->units, a->c ? (const T *)a->c + first * a->units : NULL, rows, a->units);
}

/* Step `i`: where it is in the arrays over time. At the first one h before it is saved, at each but the last that before the next. */
static void recurrent_enter(const fnn_recurrent_args *a, recurrent_step *s, size_t i, size_t first)
{
    s->t = a->reverse ? a->steps - 1 - i : i;
    s->place = s->t * a->step + first * a->apart;
    s->before = a->before && i + 1 < a->steps ? recurrent_at(s, a->before, 0, a->size) + (a->reverse ? -1 : 1) * (ptrdiff_t)(a->step * a->size) : NULL;
}

static void recurrent_save_first(const fnn_recurrent_args *a, const recurrent_step *s, size_t rows)
{
    for (size_t r = 0; a->before && r < rows; ++r)
        recurrent_copy(recurrent_at(s, a->before, r, a->size), s->state + r * s->pitch, a->size);
}

/* The last state of the rows from `first` on: from `unit` on, `size` numbers of h and `units` of c. */
static void recurrent_leave(const fnn_recurrent_args *a, const recurrent_step *s, size_t first, size_t rows, size_t unit, size_t size, size_t units)
{
    for (size_t r = 0; r < rows; ++r) {
        recurrent_copy((T *)a->h_last + (first + r) * a->size + unit, s->state + r * s->pitch + unit, size);
        if (a->c_last) recurrent_copy((T *)a->c_last + (first + r) * a->units + unit, s->c + r * a->units + unit, units);
    }
}

/* Share 0 loads the state, the others are the pieces of one step after the other. */
static void recurrent_piece(const fnn_recurrent_args *a, size_t part, size_t gates, recurrent_cell cell, fnn_kernel function)
{
    const recurrent_panels panels = {a->packed, a->size, gates, a->units, a->panel, a->bias};
    const recurrent_panels input = {a->input_packed, a->inputs, gates, a->units, a->panel, a->input_bias};
    recurrent_step s = recurrent_start(a, 0, a->rows, function);
    if (part == 0) {
        recurrent_load_state(a, &s, 0, a->rows);
        recurrent_enter(a, &s, 0, 0);
        recurrent_save_first(a, &s, a->rows);
        fnn_share_done();
        return;
    }
    const size_t i = (part - 1) / a->pieces;
    size_t first, end;
    fnn_share(recurrent_count(a->units, a->panel), 1, (part - 1) % a->pieces, a->pieces, &first, &end);
    if (fnn_wait_for_shares(1 + i * a->pieces))
        return;
    if (i % 2) {
        T *swap = s.state;
        s.state = s.next, s.next = swap;
    }
    recurrent_enter(a, &s, i, 0);
    recurrent_panels_product(&s, &panels, s.state, s.pitch, &input, a->rows, cell, first, end);
    if (i + 1 == a->steps && first < end) {
        const size_t unit = first * a->panel * TILE_LANES, last = end * a->panel * TILE_LANES, units = (last < a->units ? last : a->units) - unit;
        s.state = s.next;
        recurrent_leave(a, &s, 0, a->rows, unit, units, units);
    }
    fnn_share_done();
}

static void recurrent_forward(const fnn_recurrent_args *a, size_t part, size_t parts, size_t gates, recurrent_cell cell, fnn_kernel function)
{
    if (a->pieces > 1) {
        recurrent_piece(a, part, gates, cell, function);
        return;
    }
    size_t first, end;
    fnn_share(a->rows, 1, part, parts, &first, &end);
    const size_t rows = end - first, units = a->units, size = a->size;
    const recurrent_panels panels = {a->packed, size, gates, units, a->panel, a->bias};
    const recurrent_panels input = {a->input_packed, a->inputs, gates, units, a->panel, a->input_bias};
    const recurrent_panels projection = {a->projection, units, 1, size, a->projection_panel, 0};
    recurrent_step s = recurrent_start(a, first, rows, function);
    recurrent_load_state(a, &s, first, rows);
    for (size_t i = 0; rows && i < a->steps; ++i) {
        recurrent_enter(a, &s, i, first);
        if (i % RECURRENT_LOOK == 0 && fnn_interrupted())
            return;
        if (!i)
            recurrent_save_first(a, &s, rows);
        if (recurrent_any(&s, rows)) {
            if (a->packed)
                recurrent_product(&s, &panels, s.state, s.pitch, &input, rows, cell);
            else
                recurrent_pieces(&s, (const T *)a->product + first * gates * units, gates, units, rows, cell);
            if (a->projection)
                recurrent_product(&s, &projection, s.hidden, s.hidden_pitch, NULL, rows, lstm_project);
            T *swap = s.state;
            s.state = s.next, s.next = swap;
        } else
            for (size_t r = 0; r < rows; ++r) {
                recurrent_zero(recurrent_at(&s, a->y, r, a->y_width), size);
                if (a->extra) recurrent_zero(recurrent_at(&s, a->extra, r, units), units);
                if (s.before) recurrent_copy(s.before + r * s.apart * size, s.state + r * s.pitch, size);
            }
    }
    recurrent_leave(a, &s, first, rows, 0, size, units);
}

static void recurrent_backward(const fnn_recurrent_backward_args *a, size_t part, size_t parts, size_t gates, recurrent_cell cell, fnn_kernel function)
{
    size_t first, end;
    fnn_share(a->rows, 1, part, parts, &first, &end);
    const size_t rows = end - first, units = a->units, size = a->size;
    const recurrent_panels panels = {a->packed, gates * units, 1, size, a->panel, 0}, projection = {a->projection, size, 1, units, a->projection_panel, 0};
    recurrent_step s = {.b = a, .function = function, .lengths = a->lengths ? a->lengths + first : NULL, .apart = a->apart, .units = units};
    s.pitch = s.hidden_pitch = recurrent_pitch(size), s.current_pitch = recurrent_pitch(gates * units);
    T *now = (T *)a->scratch + first * (2 * s.current_pitch + 2 * s.pitch + units);
    s.current = now + rows * s.current_pitch;
    s.carry = s.current + rows * s.current_pitch;
    s.hidden = a->projection ? s.carry + rows * s.pitch : NULL;
    s.dc = s.carry + 2 * rows * s.pitch;
    recurrent_load(s.carry, s.pitch, a->dh_last ? (const T *)a->dh_last + first * size : NULL, rows, size);
    recurrent_load(s.dc, units, a->dc_last ? (const T *)a->dc_last + first * units : NULL, rows, units);
    int any = 0; /* whether `now` holds anything but zeros */
    for (size_t i = 0; rows && i < a->steps; ++i) {
        s.t = a->reverse ? i : a->steps - 1 - i;
        s.place = s.t * a->step + first * a->apart;
        if (i % RECURRENT_LOOK == 0 && fnn_interrupted())
            return;
        for (size_t r = 0; a->valid && r < rows; ++r)
            recurrent_or_zero(recurrent_at(&s, a->valid, r, a->inputs), recurrent_valid(&s, r) ? recurrent_at(&s, a->x, r, a->inputs) : NULL, a->inputs);
        const recurrent_cell behind = a->projection ? lstm_project_backward : cell;
        if (any)
            recurrent_product(&s, &panels, now, s.current_pitch, NULL, rows, behind);
        else
            recurrent_pieces(&s, NULL, 1, size, rows, behind);
        if (a->projection)
            recurrent_product(&s, &projection, s.hidden, s.hidden_pitch, NULL, rows, cell);
        any = recurrent_any(&s, rows);
        T *swap = now;
        now = s.current, s.current = swap;
    }
    if (a->dh && rows) {
        s.place = first;
        if (!a->steps)
            recurrent_load(now, s.current_pitch, NULL, rows, gates * units);
        recurrent_product(&s, &panels, now, s.current_pitch, NULL, rows, recurrent_first);
    }
    if (a->dc)
        for (size_t r = 0; r < rows; ++r) recurrent_copy((T *)a->dc + (first + r) * units, s.dc + r * units, units);
}

KERNEL(rnn_tanh_forward, recurrent) { recurrent_forward(a, part, parts, 1, rnn_cell, FNN_NAME(tanh_forward)); }
KERNEL(rnn_tanh_backward, recurrent_backward) { recurrent_backward(a, part, parts, 1, rnn_cell_backward, FNN_NAME(tanh_backward)); }
KERNEL(rnn_relu_forward, recurrent) { recurrent_forward(a, part, parts, 1, rnn_cell, FNN_NAME(relu_forward)); }
KERNEL(rnn_relu_backward, recurrent_backward) { recurrent_backward(a, part, parts, 1, rnn_cell_backward, FNN_NAME(relu_backward)); }
KERNEL(lstm_forward, recurrent) { recurrent_forward(a, part, parts, 4, lstm_cell, NULL); }
KERNEL(lstm_backward, recurrent_backward) { recurrent_backward(a, part, parts, 4, lstm_cell_backward, NULL); }
KERNEL(gru_forward, recurrent) { recurrent_forward(a, part, parts, 3, gru_cell, NULL); }
KERNEL(gru_backward, recurrent_backward) { recurrent_backward(a, part, parts, 3, gru_cell_backward, NULL); }
