/* winograd_halved.h — 3 x 3 taps with a step of 2, in 81 products in place of 144.
 *
 * Along an axis the even taps read every second number, 5 for 4 results: F(4, 2), from five points. The odd tap reads those between, one for each result. With
 * e and o for the even and the odd numbers of a patch d of 9,
 *
 *     y = A^T [(G (g0, g2)) . (B^T e)] + g1 o
 *
 * The transposed convolution has half of its results from either part, and e and o are the same numbers of its input, or o is one further. Along both axes that is
 * 9 x 9 products of 6 x 6 weights: those of the odd tap are taken four times. */

/* What of nine numbers along an axis is wanted: both parts' sum, or one's. */
typedef enum winograd_part { WINOGRAD_BOTH, WINOGRAD_EVEN, WINOGRAD_ODD } winograd_part;

/* The patches of W squares, transformed, to v + (9 a + b) v_step. They begin at x + from[square] and have `size` rows, `pitch` apart, and columns. */
static void winograd_half_patch(T *v, size_t v_step, const T *x, const size_t *from, size_t pitch, size_t size, const size_t *lag)
{
    const size_t step = size / 4;
    T d[81 * W], even[45 * W];
    winograd_turn_patches(d, x, from, pitch, size);
    for (size_t i = 0; i < size; ++i) {
        V of[5], t[5];
        TILE_UNROLL for (size_t k = 0; k < 5; ++k)
            of[k] = v_load(d + (k * step * size + i) * W);
        winograd_half_bt(t, of);
        TILE_UNROLL for (size_t k = 0; k < 5; ++k)
            v_store(even + (k * size + i) * W, t[k]);
    }
    for (size_t a = 0; a < 9; ++a, v += 9 * v_step) {
        const T *row = a < 5 ? even + a * size * W : d + (step * (a - 5) + lag[1]) * size * W;
        V of[5], t[5];
        TILE_UNROLL for (size_t k = 0; k < 5; ++k)
            of[k] = v_load(row + k * step * W);
        winograd_half_bt(t, of);
        TILE_UNROLL for (size_t k = 0; k < 5; ++k)
            v_store(v + k * v_step, t[k]);
        TILE_UNROLL for (size_t k = 0; k < 4; ++k)
            v_store(v + (5 + k) * v_step, v_load(row + (k * step + lag[2]) * W));
    }
}

FNN_INLINE void winograd_half_results(V y[4], const V m[9], winograd_part part)
{
    V of[4];
    winograd_half_at(of, m, 4);
    TILE_UNROLL for (int i = 0; i < 4; ++i)
        y[i] = part == WINOGRAD_BOTH ? v_add(of[i], m[5 + i]) : part == WINOGRAD_EVEN ? of[i] : m[5 + i];
}

/* The results of n squares, or what parts[0] of the rows and parts[1] of the columns have of them, + bias, from m + (9 a + b) step, to the lines of their positions,
 * line_step apart. */
static void winograd_half_output(T *lines, size_t line_step, const T *m, size_t step, const T *bias, size_t n, const winograd_part *parts)
{
    for (size_t j = 0; j < n; j += W) {
        V t[4][9], y[4];
        TILE_ROLL for (int b = 0; b < 9; ++b) {
            V down[9];
            TILE_UNROLL for (int a = 0; a < 9; ++a)
                down[a] = v_load(m + (size_t)(9 * a + b) * step + j);
            winograd_half_results(y, down, parts[0]);
            TILE_UNROLL for (int r = 0; r < 4; ++r)
                t[r][b] = y[r];
        }
        TILE_ROLL for (int r = 0; r < 4; ++r) {
            winograd_half_results(y, t[r], parts[1]);
            winograd_line(lines + (size_t)r * line_step + 4 * j, y, bias);
        }
    }
}
