/* recurrent.h — recurrent layers: all steps of one direction of one layer in one launch.
 *
 * The product of the inputs, of all steps, is made before (x) by the matrix product's kernel, or step by step from packed weights where these are
 * small, which spares its way through memory; those for the gradients of weights and inputs are made after it. What is left is a chain of steps: panels.h has the
 * product of a step, cells.h what is behind it. A share takes rows of
 * the batch through all steps, so that no share ever waits for another one; h, c and the gates' gradients at hand lie side by side in its
 * scratch memory, whatever the order of the arrays over time.
 *
 * Backward goes through the steps in the opposite order and makes, for each, the product of the gates' gradients of the step that it comes
 * from; the arithmetic behind it is that of the step at hand. */
#include "panels.h"
#include "cells.h"

/* Rows of a power of two of bytes would all lie in the same few places of L1. */
FNN_INLINE size_t recurrent_pitch(size_t n) { return n * sizeof(T) % 1024 ? n : n + 64 / sizeof(T); }

enum { RECURRENT_LOOK = 16 }; /* steps from one look for an interrupt to the next: a small step takes no longer than a look */

/* A step: the product of the state with the weights, of the input with its weights where these are packed too, and the cell behind them. */
static void recurrent_product(recurrent_step *s, const recurrent_panels *p, const T *state, size_t pitch, const recurrent_panels *input, size_t rows, recurrent_cell cell)
{
    enum { SIZE = RECURRENT_GATES * RECURRENT_TILES * RECURRENT_TILE };
    _Alignas(64) T product[SIZE], of_input[SIZE];
    const size_t vectors = fnn_gemm_ceil(p->units, TILE_LANES);
    for (size_t first = 0, vecs; first < vectors; first += vecs) {
        vecs = vectors - first < p->panel ? vectors - first : p->panel;
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

static void recurrent_forward(const fnn_recurrent_args *a, size_t part, size_t parts, size_t gates, recurrent_cell cell, fnn_kernel function)
{
    size_t first, end;
    fnn_share(a->rows, 1, part, parts, &first, &end);
    const size_t rows = end - first, units = a->units, size = a->size;
    const recurrent_panels panels = {a->packed, size, gates, units, a->panel, a->bias};
    const recurrent_panels input = {a->input_packed, a->inputs, gates, units, a->panel, a->input_bias};
    const recurrent_panels projection = {a->projection, units, 1, size, a->projection_panel, 0};
    recurrent_step s = {.f = a, .function = function, .lengths = a->lengths ? a->lengths + first : NULL, .apart = a->apart, .units = units};
    s.pitch = recurrent_pitch(size), s.hidden_pitch = recurrent_pitch(units);
    s.state = (T *)a->scratch + first * (2 * s.pitch + units + s.hidden_pitch);
    s.next = s.state + rows * s.pitch;
    s.c = s.next + rows * s.pitch;
    s.hidden = a->projection ? s.c + rows * units : NULL;
    recurrent_load(s.state, s.pitch, a->h ? (const T *)a->h + first * size : NULL, rows, size);
    recurrent_load(s.c, units, a->c ? (const T *)a->c + first * units : NULL, rows, units);
    for (size_t i = 0; rows && i < a->steps; ++i) {
        s.t = a->reverse ? a->steps - 1 - i : i;
        s.place = s.t * a->step + first * a->apart;
        if (i % RECURRENT_LOOK == 0 && fnn_interrupted())
            return;
        for (size_t r = 0; !i && a->before && r < rows; ++r)
            recurrent_copy(recurrent_at(&s, a->before, r, size), s.state + r * s.pitch, size);
        s.before = a->before && i + 1 < a->steps ? recurrent_at(&s, a->before, 0, size) + (a->reverse ? -1 : 1) * (ptrdiff_t)(a->step * size) : NULL;
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
    for (size_t r = 0; r < rows; ++r) {
        recurrent_copy((T *)a->h_last + (first + r) * size, s.state + r * s.pitch, size);
        if (a->c_last) recurrent_copy((T *)a->c_last + (first + r) * units, s.c + r * units, units);
    }
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
