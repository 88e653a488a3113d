/* winograd_views.h — the squares of a block: in which lattices of which images they are, and where these read x, or a copy of it. */

/* A block's squares in one lattice of an image, of which it has the positions first + dilation (row, column): rows of squares [row, row + rows), columns
 * [col, col + cols). */
typedef struct winograd_piece {
    size_t image, first[2], row, rows, col, cols;
} winograd_piece;

/* A block: rows of squares [row, end), counted over all lattices, and columns. */
typedef struct winograd_block {
    size_t row, end, col, cols;
} winograd_block;

FNN_INLINE winograd_block winograd_block_of(const fnn_winograd_blocks *b, size_t index)
{
    const size_t row = index / b->col_blocks * b->rows, col = index % b->col_blocks * b->cols, left = b->lattices * b->lattice_rows - row;
    return (winograd_block){row, row + (left < b->rows ? left : b->rows), col, b->row - col < b->cols ? b->row - col : b->cols};
}

/* Its piece from row `row` on. */
FNN_INLINE winograd_piece winograd_piece_of(const fnn_conv_shape *s, const fnn_winograd_blocks *b, const winograd_block *block, size_t row)
{
    const size_t lattice = row / b->lattice_rows, first = row % b->lattice_rows, left = b->lattice_rows - first, down = s->dilation[1], along = s->dilation[2];
    return (winograd_piece){lattice / along / down, {lattice / along % down, lattice % along}, first, block->end - row < left ? block->end - row : left,
                            block->col, block->cols};
}

/* The positions of a piece's lattice along an axis from its square `square` on. */
FNN_INLINE size_t winograd_left(const fnn_conv_shape *s, const winograd_piece *p, int axis, size_t square)
{
    const size_t first = p->first[axis - 1] + FNN_WINOGRAD_SIDE * square * s->dilation[axis];
    return first < s->out[axis] ? fnn_conv_ceil(s->out[axis] - first, s->dilation[axis]) : 0;
}

/* How far a lattice's rows, or columns, of x are apart: with a dilation or a step, not both. */
FNN_INLINE size_t winograd_apart(const fnn_conv_shape *s, int axis) { return s->dilation[axis] * s->step[axis]; }

/* Of a piece's x along an axis: where the first row or column of its lattice is, for the taps of a phase, how many there are, and which the first square reads first. */
FNN_INLINE size_t winograd_axis(const fnn_conv_shape *s, const winograd_piece *p, int axis, size_t phase, size_t square, ptrdiff_t *size, ptrdiff_t *first)
{
    const ptrdiff_t apart = (ptrdiff_t)winograd_apart(s, axis), at = (ptrdiff_t)(p->first[axis - 1] + phase) + s->origin[axis];
    const ptrdiff_t before = at / apart - (at % apart < 0), begin = at - before * apart, end = (ptrdiff_t)s->x_size[axis];
    *size = begin < end ? (end - begin + apart - 1) / apart : 0;
    *first = before + (ptrdiff_t)(FNN_WINOGRAD_SIDE * square);
    return (size_t)begin;
}

/* Where a piece reads a channel of x: a lattice of height x width, rows `down` apart, columns `along`, from its row `row` and column `left` on. */
typedef struct winograd_view {
    const T *x;
    ptrdiff_t height, width, down, along, row, left;
    size_t rows, cols;          /* of squares */
} winograd_view;

/* The pieces of a block for the taps of a phase. x: the first image's first channel. */
static size_t winograd_views(winograd_view *view, const T *x, const fnn_conv_shape *s, const fnn_winograd_blocks *b, const winograd_block *block, const size_t *phase)
{
    const size_t image = s->groups * s->channels * s->x_size[1] * s->x_size[2];
    winograd_piece p;
    size_t n = 0;
    for (size_t row = block->row; row < block->end; row += p.rows, ++n) {
        winograd_view *v = &view[n];
        p = winograd_piece_of(s, b, block, row);
        const size_t down = winograd_axis(s, &p, 1, phase[0], p.row, &v->height, &v->row);
        const size_t along = winograd_axis(s, &p, 2, phase[1], p.col, &v->width, &v->left);
        v->x = x + p.image * image + down * s->x_size[2] + along;
        v->down = (ptrdiff_t)(winograd_apart(s, 1) * s->x_size[2]), v->along = (ptrdiff_t)winograd_apart(s, 2);
        v->rows = p.rows, v->cols = p.cols;
    }
    return n;
}

/* What a view whose columns are not neighbours reads, with zeros outside, as one whose columns are; over: the rows and columns that it has more than its squares.
 * Prefetches `ahead` elements further. */
static winograd_view winograd_gather(T *to, const winograd_view *v, const size_t *over, size_t ahead)
{
    const size_t rows = FNN_WINOGRAD_SIDE * v->rows + over[0], cols = FNN_WINOGRAD_SIDE * v->cols + over[1];
    const ptrdiff_t begin = v->left < 0 ? -v->left : 0, left = v->width - v->left, end = left < begin ? begin : left < (ptrdiff_t)cols ? left : (ptrdiff_t)cols;
    memset(to, 0, rows * cols * sizeof *to);
    for (size_t r = 0; r < rows; ++r) {
        const ptrdiff_t y = v->row + (ptrdiff_t)r;
        if (begin < end && y >= 0 && y < v->height) {
            const T *x = v->x + y * v->down + (v->left + begin) * v->along;
            for (ptrdiff_t i = 0; i < (end - begin) * v->along; i += TILE_CACHE_LINE)
                tile_prefetch(x + ahead + (size_t)i);
            conv_copy(to + r * cols + (size_t)begin, x, (size_t)v->along, (size_t)(end - begin));
        }
    }
    return (winograd_view){to, (ptrdiff_t)rows, (ptrdiff_t)cols, (ptrdiff_t)cols, 1, 0, 0, v->rows, v->cols};
}

/* The patches of W squares, element by element: size x size x W. They begin at x + from[square], with rows `pitch` apart. */
static void winograd_turn_patches(T *d, const T *x, const size_t *from, size_t pitch, size_t size)
{
    for (size_t r = 0; r < size; ++r, x += pitch, d += size * W)
        for (size_t i = 0; i < size; i += TILE_BLOCK) {
            const size_t col = i + TILE_BLOCK < size ? i : size - TILE_BLOCK;
            tile_vec some[TILE_BLOCK];
#define WINOGRAD_SQUARE(j) (x + from[j] + col)
            TILE_TRANSPOSE(some, WINOGRAD_SQUARE);
#undef WINOGRAD_SQUARE
            TILE_UNROLL for (size_t k = 0; k < TILE_BLOCK; ++k)
                tile_store(d + (col + k) * W, some[k]);
        }
}
