/* recurrent.h — recurrent layers: all steps of one direction of one layer in one launch.
 *
 * The product of the inputs, of all steps, is made before (x), and those for the gradients of weights and inputs after it, by the matrix product's
 * kernel. What is left is a chain of steps: panels.h has the product of a step, cells.h what is behind it. A share takes rows of
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

static int recurrent_any(const recurrent_step *s, size_t rows)
{
    for (size_t r = 0; r < rows; ++r)
        if (recurrent_valid(s, r)) return 1;
    return 0;
}

/* rows x n numbers, `pitch` apart, from `from`, or zeros where that is NULL. */
static void recurrent_load(T *to, size_t pitch, const T *from, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; ++r)
        if (from)
            recurrent_copy(to + r * pitch, from + r * n, n);
        else
            recurrent_zero(to + r * pitch, n);
}

static void recurrent_forward(const fnn_recurrent_args *a, size_t part, size_t parts, size_t gates, recurrent_cell cell, fnn_kernel function)
{
    size_t first, end;
    fnn_share(a->rows, 1, part, parts, &first, &end);
    const size_t rows = end - first, units = a->units, size = a->size;
    const recurrent_panels panels = {a->packed, size, gates, units, a->panel, a->bias};
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
        for (size_t r = 0; a->before && r < rows; ++r)
            recurrent_copy(recurrent_at(&s, a->before, r, size), s.state + r * s.pitch, size);
        for (size_t r = 0; a->cells && r < rows; ++r)
            recurrent_copy(recurrent_at(&s, a->cells, r, units), s.c + r * units, units);
        const int any = recurrent_any(&s, rows);
        if (any) {
            if (a->packed)
                recurrent_product(&panels, s.state, s.pitch, rows, &s, cell);
            else
                recurrent_pieces((const T *)a->product + first * gates * units, gates, units, rows, &s, cell);
            if (a->projection)
                recurrent_product(&projection, s.hidden, s.hidden_pitch, rows, &s, lstm_project);
            T *swap = s.state;
            s.state = s.next, s.next = swap;
        }
        for (size_t r = 0; r < rows; ++r) {
            T *y = recurrent_at(&s, a->y, r, a->y_width);
            if (recurrent_valid(&s, r))
                recurrent_copy(y, s.state + r * s.pitch, size);
            else
                recurrent_zero(y, size);
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
        const recurrent_cell behind = a->projection ? lstm_project_backward : cell;
        if (any)
            recurrent_product(&panels, now, s.current_pitch, rows, &s, behind);
        else
            recurrent_pieces(NULL, gates, size, rows, &s, behind);
        if (a->projection)
            recurrent_product(&projection, s.hidden, s.hidden_pitch, rows, &s, cell);
        any = recurrent_any(&s, rows);
        T *swap = now;
        now = s.current, s.current = swap;
    }
    if (a->dh && rows) {
        s.place = first;
        if (!a->steps)
            recurrent_load(now, s.current_pitch, NULL, rows, gates * units);
        recurrent_product(&panels, now, s.current_pitch, rows, &s, recurrent_first);
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
