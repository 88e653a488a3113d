/* plan.c — which way convolutions go, how they are cut up, how much scratch memory that takes, and what form the weights have. */
#include "../gemm/blocks.h"
#include "channels_plan.h"
#include "depthwise_plan.h"
#include "images_plan.h"
#include "winograd_plan.h"

enum {
    CHANNELS_BYTES = 400000,                        /* of the input of channels.h, which stays in L2 */
    BUNDLE_BYTES = 800000, BOX_BYTES = 2000000,     /* of x and y of images.h, to stay in L2; of the weights, which every box reads */
};

static fnn_conv_blocks conv_cut(size_t batch, const size_t *out, size_t limit)
{
    const size_t full[4] = {batch, out[0], out[1], out[2]};
    fnn_conv_blocks b = {{1, 1, 1, 1}, {1, 1, 1, 1}, 1, 1};
    for (int axis = 3; axis >= 0; --axis) {
        b.extent[axis] = fnn_conv_even(full[axis], limit > b.cols ? limit / b.cols : 1);
        b.extent[axis] += full[axis] == 0;
        b.count[axis] = fnn_conv_ceil(full[axis], b.extent[axis]);
        b.cols *= b.extent[axis];
        b.total *= b.count[axis];
        if (b.extent[axis] < full[axis])
            limit = 0;
    }
    return b;
}

/* The view of the largest block; `channels` at a time. */
static fnn_conv_view conv_make_view(const fnn_conv_shape *s, const fnn_conv_blocks *b, size_t channels, int in_place)
{
    fnn_conv_view v = {0, 0, 1, 0, {1, 1}, 0, 0, 0, 0, in_place};
    if (in_place) {
        v.row = (ptrdiff_t)s->x_size[2];
        v.plane = (ptrdiff_t)(s->x_size[1] * s->x_size[2]);
        v.channel = (ptrdiff_t)(s->x_size[0] * s->x_size[1] * s->x_size[2]);
        v.image = v.channel * (ptrdiff_t)(s->groups * s->channels);
        return v;
    }
    for (int axis = 0; axis < 2; ++axis)
        if (s->taps[axis] == 1)
            v.keep[axis] = s->step[axis];
    v.planes = fnn_conv_ceil(fnn_conv_reach(b->extent[1], s->step[0], s->taps[0], s->dilation[0]), v.keep[0]);
    v.rows = fnn_conv_ceil(fnn_conv_reach(b->extent[2], s->step[1], s->taps[1], s->dilation[1]), v.keep[1]);
    const size_t cycle = fnn_conv_cycle(s);
    v.slots = cycle < s->taps[2] ? cycle : s->taps[2];
    v.width = s->taps[2] ? b->extent[3] + (s->taps[2] - 1) / cycle * (cycle * s->dilation[2] / s->step[2]) : 0;
    v.row = (ptrdiff_t)(v.slots * v.width);
    v.plane = (ptrdiff_t)v.rows * v.row;
    v.channel = (ptrdiff_t)v.planes * v.plane;
    v.image = (ptrdiff_t)channels * v.channel;
    return v;
}

/* The elements of a buffer for `channels` channels, with room to read a vector too far. */
static size_t conv_buffer(const fnn_conv_view *v, const fnn_conv_blocks *b, size_t channels)
{
    return v->in_place ? 0 : fnn_conv_round(b->extent[0] * channels * v->planes * v->rows * v->slots * v->width + 64);
}

/* How many groups to take at a time, so that they share what a block costs once: as many as keep the buffer in L1 and leave all shares work.
 * view: of one group; units: blocks of a group. */
static size_t conv_bunch(const fnn_conv_shape *s, const fnn_conv_view *v, const fnn_conv_blocks *b, size_t size, size_t units, size_t parts)
{
    const size_t bytes = size * b->extent[0] * (size_t)v->image, fits = bytes ? 20000 / bytes : 0, enough = s->groups * units / (4 * parts);
    const size_t bunch = fits < enough ? fits : enough;
    return v->in_place || bunch <= 1 ? 1 : fnn_conv_even(s->groups, bunch);
}

/* The pieces that `tiles` of rows are cut into, where there are fewer units than shares. */
static size_t conv_row_parts(size_t units, size_t parts, size_t tiles)
{
    const size_t wanted = units == 0 || units % parts == 0 ? 1 : units < parts ? fnn_conv_ceil(parts, units) : units < 4 * parts ? parts : 1;
    return wanted < tiles ? wanted : tiles ? tiles : 1;
}

/* What the busiest of the shares does for a step of k, in multiply-adds for a vector: those, the packing of patches, which each part of the rows does for
 * itself, and the reading of the weights, which every block does. width: of rows that begin a vector each; 0: there are none. */
static double conv_cost(const fnn_conv_shape *s, const fnn_conv_blocks *b, size_t row_parts, size_t width, size_t lanes, size_t tile_rows, size_t parts)
{
    const size_t vectors = width ? b->cols / b->extent[3] * fnn_conv_ceil(b->extent[3], lanes) : fnn_conv_ceil(b->cols, lanes);
    const size_t tiles = fnn_conv_ceil(fnn_conv_ceil(s->rows, tile_rows), row_parts), rows = tiles * tile_rows < s->rows ? tiles * tile_rows : s->rows;
    const size_t units = fnn_conv_ceil(b->total * s->groups * row_parts, parts);
    return (double)units * ((double)vectors * (double)(rows + 8) + 0.5 * (double)rows);
}

/* Whether the patches of a block are packed first. Vectors along the width read patches where they are, unless so many of their lanes would be idle that it
 * is cheaper to pack: two instructions for each vector, and some for each row. Packed are also the planes of a product without taps, which are too far
 * apart to be read many times. */
static int conv_is_packed(const fnn_conv_shape *s, size_t lanes, size_t tile_rows)
{
    const size_t width = s->out[2] ? s->out[2] : 1;
    const double use = (double)width / (double)(fnn_conv_ceil(width, lanes) * lanes), work = 0.5 * (double)s->rows;
    const int far = fnn_conv_inside(s) && s->step[2] == 1 && fnn_conv_taps(s->taps) == 1 && s->rows >= 4 * tile_rows;
    return lanes > 1 && (far || work / use > work + 2 + 2 * (double)lanes / (double)width);
}

/* lanes, rows: of the instruction set's tiles; size: of an element. */
fnn_conv_plan fnn_conv_make_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts)
{
    fnn_conv_plan p;
    const size_t taps = fnn_conv_taps(s->taps), width = s->out[2] ? s->out[2] : 1;
    const int inside = fnn_conv_inside(s) && s->step[2] == 1;
    p.packed = conv_is_packed(s, lanes, tile_rows);
    const size_t most = p.packed ? 640 : 320;     /* k */
    p.chunk = fnn_conv_even(s->channels, taps < most ? most / (taps ? taps : 1) : 1);
    p.chunks = p.chunk ? fnn_conv_ceil(s->channels, p.chunk) : 1;
    const size_t k = p.chunk * taps, fits = 600000 / (size * (k ? k : 1));
    size_t limit = !p.packed || fits > FNN_CONV_COLUMNS ? FNN_CONV_COLUMNS : fits < 4 * lanes ? 4 * lanes : fits;
    if (limit > FNN_CONV_COLUMNS)
        limit = FNN_CONV_COLUMNS;
    double least = 0;
    for (int first = 1; first || (parts > 1 && limit >= 4 * lanes); limit /= 2, first = 0) {
        const fnn_conv_blocks blocks = conv_cut(s->batch, s->out, limit);
        const size_t row_parts = conv_row_parts(blocks.total * s->groups, parts, fnn_conv_ceil(s->rows, tile_rows));
        const double cost = conv_cost(s, &blocks, row_parts, p.packed ? 0 : width, lanes, tile_rows, parts);
        if (first || cost < least)
            p.blocks = blocks, p.row_parts = row_parts, least = cost;
    }
    p.view = conv_make_view(s, &p.blocks, p.chunk, inside && (p.packed || width % lanes == 0));
    p.bunch = p.packed || p.chunks > 1 ? 1 : conv_bunch(s, &p.view, &p.blocks, size, p.blocks.total, parts);
    p.bunches = fnn_conv_ceil(s->groups, p.bunch);
    p.view = conv_make_view(s, &p.blocks, p.bunch * p.chunk, p.view.in_place);
    p.terms = fnn_conv_round(k * sizeof(ptrdiff_t) / size + 1);
    p.buffer = conv_buffer(&p.view, &p.blocks, p.bunch * p.chunk);
    p.panels = p.packed ? fnn_conv_round(k * fnn_conv_ceil(p.blocks.cols, lanes) * lanes + 64) : 0;
    return p;
}

fnn_conv_weight_plan fnn_conv_make_weight_plan(const fnn_conv_shape *s, size_t weights, size_t lanes, size_t size, size_t parts)
{
    fnn_conv_weight_plan p;
    const size_t line = 64 / size, taps = fnn_conv_taps(s->taps), k = s->channels * taps;
    p.dots = s->rows <= FNN_CONV_DOTS;
    p.blocks = conv_cut(s->batch, s->out, 20 * line);
    p.pieces = fnn_conv_weight_pieces(s, weights, p.blocks.total);
    if (p.pieces > 1)
        parts = 1;
    const size_t vectors = fnn_conv_ceil(s->rows, lanes), fewest = fnn_conv_ceil(parts, s->groups ? s->groups : 1);
    const int by_rows = !p.dots && 2 * s->rows > k && vectors >= fewest;   /* each share reads all of x, or else all of dy */
    p.rows = p.dots ? s->rows : fnn_conv_even(by_rows ? fnn_conv_ceil(vectors, fewest) : vectors, FNN_CONV_WEIGHT_ROWS / lanes) * lanes;
    p.rows = p.rows < s->rows ? p.rows : s->rows;
    p.columns = fnn_conv_even(k, p.dots ? 72 : 576);
    if (!by_rows && fewest > 1 && p.columns > fnn_conv_ceil(k, fewest))
        p.columns = fnn_conv_ceil(k, fewest);
    p.row_parts = p.rows ? fnn_conv_ceil(s->rows, p.rows) : 0;
    p.column_parts = p.columns ? fnn_conv_ceil(k, p.columns) : 0;
    p.channels = taps ? fnn_conv_ceil(p.columns + taps - 1, taps) : 0;
    p.channels = p.channels < s->channels ? p.channels : s->channels;
    p.view = conv_make_view(s, &p.blocks, p.channels, !p.dots && fnn_conv_inside(s) && s->step[2] == 1);
    p.bunch = p.dots && p.column_parts == 1 ? conv_bunch(s, &p.view, &p.blocks, size, 1, parts) : 1;
    p.bunches = fnn_conv_ceil(s->groups, p.bunch);
    p.view = conv_make_view(s, &p.blocks, p.bunch * p.channels, p.view.in_place);
    p.offsets = fnn_conv_round((p.columns + 2 * taps) * sizeof(ptrdiff_t) / size + 1);
    p.buffer = conv_buffer(&p.view, &p.blocks, p.bunch * p.channels);
    p.sums = fnn_conv_round(p.bunch * p.columns * (p.dots ? p.rows * line : fnn_conv_ceil(p.rows, lanes) * lanes));
    p.panels = p.dots ? 0 : fnn_conv_round(fnn_conv_ceil(p.rows, lanes) * lanes * p.blocks.cols + 64);
    p.size = p.offsets + p.buffer + p.sums + p.panels;
    return p;
}

/* What the panels of so many vectors hold. */
static size_t conv_channels_packed(const fnn_conv_shape *s, size_t lanes)
{
    return s->groups * s->channels * fnn_conv_taps(s->taps) * fnn_conv_ceil(s->rows, lanes) * lanes;
}

/* The bytes of a block's copied input. */
static double conv_channels_bytes(const fnn_conv_channels_plan *p, size_t size)
{
    return p->view.in_place ? 0 : (double)size * (double)p->blocks.extent[0] * (double)p->view.image;
}

fnn_conv_channels_plan fnn_conv_make_channels_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts)
{
    fnn_conv_channels_plan p;
    const int in_place = fnn_conv_inside(s) && s->step[2] == 1;
    double least = -1;
    p.vectors = fnn_conv_ceil(s->rows, lanes);
    p.most = FNN_CONV_CHANNELS_VECS(tile_rows);
    const size_t panels = fnn_conv_ceil(p.vectors, p.most);
    for (size_t limit = FNN_CONV_COLUMNS; limit >= 2 * tile_rows; limit /= 2) {
        const fnn_conv_blocks blocks = conv_cut(s->batch, s->out, limit);
        const fnn_conv_view view = conv_make_view(s, &blocks, s->channels, in_place);
        const size_t panel_parts = conv_row_parts(blocks.total * s->groups, parts, panels);
        /* what the busiest share does for a step of k, in multiply-adds: those, copying the input, and reading the weights */
        const double units = (double)fnn_conv_ceil(blocks.total * s->groups * panel_parts, parts), vectors = (double)(fnn_conv_ceil(panels, panel_parts) * p.most);
        const double cost = units * ((double)blocks.cols * (vectors + 0.2) + 2 * vectors);
        if (least < 0 || conv_channels_bytes(&p, size) > CHANNELS_BYTES || (parts > 1 && cost < least))
            p.blocks = blocks, p.view = view, p.panel_parts = panel_parts, least = cost;
    }
    p.terms = fnn_conv_round(s->channels * fnn_conv_taps(s->taps) * sizeof(ptrdiff_t) / size + 1);
    p.buffer = conv_buffer(&p.view, &p.blocks, s->channels);
    p.sums = fnn_conv_round(p.blocks.cols * p.most * lanes);
    p.turned = lanes * fnn_conv_round(p.blocks.cols + lanes);
    p.size = p.terms + p.buffer + p.sums + p.turned;
    return p;
}

/* Whether it pays: where patches would be packed; with enough channels to fill vectors, sums so long that turning the results round costs little, and an input that
 * is small enough. Without taps, with tall tiles, if more is to be read than written, or many lanes of an image's last vector would be idle. */
static int conv_is_over_channels(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size)
{
    const size_t taps = fnn_conv_taps(s->taps), positions = s->out[0] * s->out[1] * s->out[2];
    const int idle = 100 * fnn_conv_ceil(positions, lanes) * lanes > 103 * positions;
    const int pays = taps > 1 || (FNN_CONV_CHANNELS_VECS(tile_rows) == 4 && (idle || s->channels >= 2 * s->rows));
    if (!pays || !conv_is_packed(s, lanes, tile_rows) || s->channels * taps < 100 || s->rows < 2 * lanes || 4 * s->rows < 3 * lanes * fnn_conv_ceil(s->rows, lanes))
        return 0;
    const fnn_conv_channels_plan p = fnn_conv_make_channels_plan(s, lanes, tile_rows, size, 1);
    return conv_channels_bytes(&p, size) <= CHANNELS_BYTES;
}

static double conv_bundle_bytes(const fnn_conv_shape *s, size_t lanes, size_t size)
{
    const double x = (double)s->channels * (double)s->x_size[0] * (double)s->x_size[1] * (double)s->x_size[2];
    return (x + (double)s->rows * (double)s->out[0] * (double)s->out[1] * (double)s->out[2]) * (double)(lanes * size);
}

fnn_conv_images_plan fnn_conv_make_images_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts)
{
    fnn_conv_images_plan p;
    const size_t positions = s->out[0] * s->out[1] * s->out[2], tiles = fnn_conv_ceil(s->rows, tile_rows);
    p.bundles = fnn_conv_ceil(s->batch, lanes);
    p.deep = p.bundles;     /* as many as stay in L2: every box makes its tables once for all of them, and a few positions fill its tiles */
    while (p.deep > 1 && ((double)p.deep * conv_bundle_bytes(s, lanes, size) > BUNDLE_BYTES || fnn_conv_ceil(p.bundles, p.deep) * s->groups < parts))
        --p.deep;
    p.units = fnn_conv_ceil(p.bundles, p.deep);
    p.deep = fnn_conv_ceil(p.bundles, p.units);
    const size_t units = p.units * s->groups, enough = fnn_conv_ceil(parts, units ? units : 1);
    p.row_parts = enough < tiles ? enough : tiles ? tiles : 1;
    p.terms = fnn_conv_round(s->channels * fnn_conv_taps(s->taps) * sizeof(ptrdiff_t) / size + 1);
    p.x = fnn_conv_round(s->channels * s->x_size[0] * s->x_size[1] * s->x_size[2] * lanes);
    p.y = fnn_conv_round(s->rows * positions * lanes);
    p.size = 2 * p.terms + p.deep * (p.x + p.y);
    return p;
}

/* The share of the taps of all positions that reach x along an axis. */
static double conv_reaching(const fnn_conv_shape *s, int axis)
{
    size_t reaching = 0;
    for (size_t p = 0; p < s->out[axis]; ++p)
        for (size_t t = 0; t < s->taps[axis]; ++t) {
            const ptrdiff_t at = (ptrdiff_t)(p * s->step[axis] + t * s->dilation[axis]) + s->origin[axis];
            reaching += at >= 0 && at < (ptrdiff_t)s->x_size[axis];
        }
    return (double)reaching / (double)(s->out[axis] * s->taps[axis]);
}

/* Whether it pays; dense: the result has no other positions. What is saved is the packing of patches, where rows of positions do not fill vectors, and the taps that reach
 * nothing; what it costs is idle lanes, and turning the images there and back. Counted in multiply-adds for a vector of positions. */
int fnn_conv_is_over_images(const fnn_conv_shape *s, int dense, size_t lanes, size_t size)
{
    const size_t taps = fnn_conv_taps(s->taps), positions = s->out[0] * s->out[1] * s->out[2];
    if (!dense || lanes == 1 || 4 * s->batch < 3 * lanes || !positions || !taps || conv_bundle_bytes(s, lanes, size) > BUNDLE_BYTES)
        return 0;
    const double k = (double)s->channels * (double)taps, rows = (double)s->rows;
    if (k * rows * (double)size > BOX_BYTES)
        return 0;
    const double use = (double)s->batch / (double)(fnn_conv_ceil(s->batch, lanes) * lanes);
    const double needed = conv_reaching(s, 0) * conv_reaching(s, 1) * conv_reaching(s, 2) / use;
    const double turned = rows + (double)(s->channels * s->x_size[0] * s->x_size[1] * s->x_size[2]) / (double)positions;
    return k * ((s->out[2] % lanes ? 6 : 0) + rows * (1 - needed)) > 10 * turned;
}

/* The bytes of a share, unless the buffer, whose size huge paddings and steps can drive up, would have more than 2^44 elements. */
static size_t bytes(const fnn_conv_view *v, const fnn_conv_blocks *b, size_t channels, size_t elements, size_t size)
{
    const double buffer = (double)b->extent[0] * (double)channels * (double)v->planes * (double)v->rows * (double)v->slots * (double)v->width;
    return buffer > 1.7e13 ? SIZE_MAX : elements * size;
}

static size_t size_of(fnn_dtype dtype) { return dtype == FNN_F32 ? sizeof(float) : sizeof(double); }

int fnn_conv_form(const fnn_conv_args *a, fnn_dtype dtype, int winograd)
{
    const fnn_conv_shape s = fnn_conv_shape_of(a);
    const fnn_gemm_blocks *sizes = &fnn_gemm_block_sizes[fnn_current_isa][dtype];
    if (winograd && (s.transposed || fnn_conv_is_dense(a)) && fnn_conv_is_winograd(&s, 0))
        return fnn_winograd_is_large(&s) ? FNN_CONV_WINOGRAD_LARGE : fnn_winograd_is_turned(&s, sizes->lanes) ? FNN_CONV_WINOGRAD_TURNED : FNN_CONV_WINOGRAD;
    if (fnn_conv_is_over_images(&s, fnn_conv_is_dense(a), sizes->lanes, size_of(dtype)))
        return FNN_CONV_TILES;
    return conv_is_over_channels(&s, sizes->lanes, sizes->rows, size_of(dtype)) ? FNN_CONV_CHANNELS : FNN_CONV_TILES;
}

size_t fnn_conv_packed(const fnn_conv_args *a, fnn_dtype dtype)
{
    const fnn_conv_shape s = fnn_conv_shape_of(a);
    if (a->form == FNN_CONV_CHANNELS)
        return conv_channels_packed(&s, fnn_gemm_block_sizes[fnn_current_isa][dtype].lanes);
    if (a->form == FNN_CONV_WINOGRAD_TURNED)
        return s.groups * fnn_winograd_cells(s.taps, s.step) * s.channels * fnn_winograd_row(s.rows);
    return s.groups * s.rows * (a->form == FNN_CONV_WINOGRAD ? fnn_winograd_row(fnn_winograd_cells(s.taps, s.step) * s.channels) : s.channels * fnn_conv_taps(s.taps));
}

int fnn_conv_weight_winograd(const fnn_conv_weight_args *a)
{
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    return s.channels * fnn_winograd_cells(s.taps, s.step) > 3 && fnn_conv_is_winograd(&s, 1);     /* with three, to transform dy costs as much as is saved */
}

size_t fnn_conv_scratch(const fnn_conv_args *a, fnn_dtype dtype, size_t parts)
{
    const size_t size = size_of(dtype);
    const fnn_conv_shape s = fnn_conv_shape_of(a);
    const fnn_gemm_blocks *sizes = &fnn_gemm_block_sizes[fnn_current_isa][dtype];
    if (fnn_conv_by_winograd(a->form))
        return fnn_winograd_make_plan(&s, sizes->lanes, sizes->rows, size, parts).size * size;
    if (a->form == FNN_CONV_CHANNELS)
        return fnn_conv_make_channels_plan(&s, sizes->lanes, sizes->rows, size, parts).size * size;
    if (a->form == FNN_CONV_TURNED) {
        const fnn_conv_shape reached = fnn_depthwise_reached(&s);
        return fnn_depthwise_scratch(&reached, size) * size;
    }
    const fnn_conv_plan p = fnn_conv_make_plan(&s, sizes->lanes, sizes->rows, size, parts);
    const size_t blocks = fnn_conv_is_depthwise(&s) ? fnn_depthwise_scratch(&s, size) * size
                                                    : bytes(&p.view, &p.blocks, p.bunch * p.chunk, 2 * p.terms + p.buffer + p.panels, size);
    if (!fnn_conv_is_over_images(&s, fnn_conv_is_dense(a), sizes->lanes, size))
        return blocks;
    const size_t images = fnn_conv_make_images_plan(&s, sizes->lanes, sizes->rows, size, parts).size * size;
    return images > blocks ? images : blocks;
}

size_t fnn_conv_weight_scratch(const fnn_conv_weight_args *a, fnn_dtype dtype, size_t parts)
{
    const size_t size = size_of(dtype);
    const fnn_conv_shape s = FNN_CONV_SHAPE(a);
    const size_t weights = fnn_conv_weights(a), lanes = fnn_gemm_block_sizes[fnn_current_isa][dtype].lanes;
    if (a->winograd) {
        const fnn_winograd_weight_plan p = fnn_winograd_make_weight_plan(&s, weights, lanes, size, parts);
        return fnn_conv_weight_room(p.size, weights, p.pieces, parts) * size;
    }
    if (fnn_conv_is_depthwise(&s))
        return fnn_depthwise_weight_scratch(&s, size) * size;
    const fnn_conv_weight_plan p = fnn_conv_make_weight_plan(&s, weights, lanes, size, parts);
    return bytes(&p.view, &p.blocks, p.bunch * p.channels, fnn_conv_weight_room(p.size, weights, p.pieces, parts), size);
}
