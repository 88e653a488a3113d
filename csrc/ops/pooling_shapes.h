/* pooling_shapes.h — which elements the windows of pooling.h take.
 *
 * Window o of an axis begins at o stride - padding and has `kernel` elements, `dilation` apart; those outside x do not count. Adaptive windows
 * go from floor(o size / cells) to ceil((o + 1) size / cells). Number k of a window's elements counts them in row-major order, those outside too.
 */
enum { NO_WINNER = 255, WINNER_SLACK = 16, POOL_POLL = 1 << 20 };

typedef struct Axis {
    size_t size, cells, kernel, stride, padding, dilation;
    int adaptive;
} Axis;

#define POOL_AXIS(a, i) {(a)->x_shape[i], (a)->y_shape[i], (a)->kernel[i], (a)->stride[i], (a)->padding[i], (a)->dilation[i], (a)->adaptive}
#define POOL_AXES(a) {POOL_AXIS(a, 0), POOL_AXIS(a, 1), POOL_AXIS(a, 2)}

FNN_INLINE size_t volume(const size_t *shape) { return shape[0] * shape[1] * shape[2]; }

FNN_INLINE uint8_t *winners_of(const void *winners, size_t plane, size_t cells)
{
    return winners ? (uint8_t *)winners + plane * (cells + 2 * WINNER_SLACK) + WINNER_SLACK : NULL;
}

/* The elements of window o that are in x: first, first + dilation, … before end. number: of the first. count: how many, at most kernel. */
typedef struct Span {
    size_t first, end, number, count;
} Span;

FNN_INLINE Span span_of(const Axis *s, size_t o)
{
    Span w;
    if (s->adaptive) {
        w.first = o * s->size / s->cells, w.end = ((o + 1) * s->size + s->cells - 1) / s->cells;
        w.number = 0, w.count = w.end - w.first;
        return w;
    }
    size_t begin = o * s->stride, reach = (s->kernel - 1) * s->dilation + 1; /* both with the padding in front */
    w.number = begin < s->padding ? s->padding - begin : 0;
    if (s->dilation != 1) w.number = (w.number + s->dilation - 1) / s->dilation;
    w.first = begin + w.number * s->dilation - s->padding;
    w.end = begin + reach <= s->padding ? 0 : begin + reach - s->padding;
    if (w.end > s->size) w.end = s->size;
    w.count = w.first < w.end ? w.end - w.first : 0;
    if (s->dilation != 1) w.count = (w.count + s->dilation - 1) / s->dilation;
    return w;
}

/* How far the elements of a window are from number 0, in x's plane. */
FNN_INLINE void number_offsets(const Axis *s, size_t offset[256])
{
    for (size_t k = 0; k < 256; k++) {
        size_t row = k / s[2].kernel;
        size_t i = row / s[1].kernel * s[0].dilation, j = row % s[1].kernel * s[1].dilation;
        offset[k] = (i * s[1].size + j) * s[2].size + k % s[2].kernel * s[2].dilation;
    }
}

/* The windows [first, end) of an axis that are whole within x. */
FNN_INLINE void whole_windows(const Axis *s, size_t *first, size_t *end)
{
    size_t reach = (s->kernel - 1) * s->dilation + 1;
    *first = (s->padding + s->stride - 1) / s->stride, *end = s->size + s->padding < reach ? 0 : (s->size + s->padding - reach) / s->stride + 1;
    if (*end > s->cells) *end = s->cells;
    if (*first > *end) *first = *end = 0;
}

/* The elements of window o that an average divides by. */
FNN_INLINE T divisor_of(const Axis *s, Span w, size_t o, int count_padding)
{
    size_t begin = o * s->stride, end = begin + s->kernel, last = s->size + 2 * s->padding;
    return (T)(count_padding && !s->adaptive ? (end < last ? end : last) - begin : w.count);
}

/* Whether there is one window, which has no padding before it. */
FNN_INLINE int is_global(const size_t *x_shape, const size_t *y_shape, const size_t *kernel, const size_t *padding)
{
    int all = 1;
    for (int i = 0; i < 3; i++) all &= y_shape[i] == 1 && kernel[i] >= x_shape[i] && padding[i] == 0;
    return all;
}
