/* images_plan.h — how images.h goes about a batch of small images: in bundles of as many as a vector has lanes. */
#ifndef FNN_CONV_IMAGES_PLAN_H
#define FNN_CONV_IMAGES_PLAN_H

#include "geometry.h"

typedef struct fnn_conv_images_plan {
    size_t bundles, deep;               /* all; at a time */
    size_t units, row_parts;            /* so many bundles at a time; pieces that the rows are cut into, where there are fewer of these than shares */
    size_t terms, x, y, size;           /* scratch per share, in elements: a number for every k, of which there are two; for a bundle of x and y; all */
} fnn_conv_images_plan;

fnn_conv_images_plan fnn_conv_make_images_plan(const fnn_conv_shape *s, size_t lanes, size_t tile_rows, size_t size, size_t parts);
int fnn_conv_is_over_images(const fnn_conv_shape *s, int dense, size_t lanes, size_t size);

#endif
