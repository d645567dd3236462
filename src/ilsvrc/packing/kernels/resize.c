/* Pillow's resize by four filters, bit for bit, computed for a part of the result only.

   Follows libImaging/Resample.c of Pillow 13: weights in 22-bit fixed point, two passes with 8 bits in between, the
   vertical one first where the height shrinks by more than twice what the width does. The nearest pixel, which
   Geometry.c finds, is a weight of 1. Sums must not be contracted (-ffp-contract=off). */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

struct table { /* of each output pixel along a side: the first source pixel, how many, their weights */
    int64_t *first, *number, count, taps;
    int32_t *weights;
};

void *room(struct scratch *scratch, int which, size_t size)
{
    if (scratch->sizes[which] < size) {
        free(scratch->rooms[which]);
        scratch->rooms[which] = malloc(size);
        scratch->sizes[which] = scratch->rooms[which] ? size : 0;
    }
    return scratch->rooms[which];
}

void release(struct scratch *scratch)
{
    for (int which = 0; which < ROOMS; which++)
        free(scratch->rooms[which]);
}

static double filter(int64_t kind, double x)
{
    if (kind == BILINEAR) {
        double height = 1.0 - fabs(x);
        return height > 0.0 ? height : 0.0;
    }
    if (kind == BOX)
        return -0.5 < x && x <= 0.5 ? 1.0 : 0.0;
    x = fabs(x);
    if (x < 1.0)
        return (1.5 * x - 2.5) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 : 0.0;
}

/* A filter's reach in source pixels, where one output pixel is `scale` of them. */
static double reach(int64_t kind, double scale)
{
    double widened = scale > 1.0 ? scale : 1.0;
    return widened * (kind == BOX ? 0.5 : kind == CUBIC ? 2.0 : 1.0);
}

/* A single whole weight each. Pillow adds up from the first pixel, and its rounding with it. */
static void nearest(struct table *table, int64_t origin, double scale, int64_t start)
{
    double place = 0.5 * scale;
    for (int64_t index = 0; index < start + table->count; index++, place += scale)
        if (index >= start) {
            table->first[index - start] = origin + (int64_t)place;
            table->number[index - start] = 1;
            table->weights[index - start] = 1 << PRECISION_BITS;
        }
}

/* The table of the output pixels `start` to `start + count`, where `in_px` from `origin` on become `out_px`. */
static int tabulate(struct scratch *scratch, int side, struct table *table, int64_t kind, int64_t origin, int64_t in_px,
                    int64_t out_px, int64_t start, int64_t count)
{
    double scale = (double)in_px / (double)out_px, support = reach(kind, scale);
    int rooms = TABLES + 3 * side;
    table->count = count;
    table->taps = kind == NEAREST ? 1 : (int64_t)ceil(support) * 2 + 1;
    table->first = room(scratch, rooms, count * sizeof(int64_t));
    table->number = room(scratch, rooms + 1, count * sizeof(int64_t));
    table->weights = room(scratch, rooms + 2, count * table->taps * sizeof(int32_t));
    double *values = room(scratch, VALUES, table->taps * sizeof(double));
    if (!table->first || !table->number || !table->weights || !values)
        return NO_MEMORY;
    if (kind == NEAREST) {
        nearest(table, origin, scale, start);
        return FINE;
    }
    double inverse = 1.0 / (scale > 1.0 ? scale : 1.0);
    for (int64_t index = 0; index < count; index++) {
        double center = (start + index + 0.5) * scale, total = 0.0;
        int64_t low = most(0, (int64_t)(center - support + 0.5));
        int64_t taps = least(in_px, (int64_t)(center + support + 0.5)) - low;
        int32_t *weights = table->weights + index * table->taps;
        for (int64_t tap = 0; tap < taps; tap++) {
            values[tap] = filter(kind, (tap + low - center + 0.5) * inverse);
            total += values[tap];
        }
        for (int64_t tap = 0; tap < taps; tap++) {
            double weight = values[tap] / total * (1 << PRECISION_BITS);
            weights[tap] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
        table->first[index] = origin + low;
        table->number[index] = taps;
    }
    return FINE;
}

/* Source pixels from the first to behind the last that are needed; the table then counts from the first. */
static void span(struct table *table, int64_t *start, int64_t *stop)
{
    *start = table->first[0];
    *stop = table->first[table->count - 1] + table->number[table->count - 1];
    for (int64_t index = 0; index < table->count; index++)
        table->first[index] -= *start;
}

/* Resizes `rows` lines along x, into lines without gaps. */
static int across(struct scratch *scratch, struct pixels source, int64_t rows, struct table *table, uint8_t *result)
{
    int64_t width = table->first[table->count - 1] + table->number[table->count - 1];
    uint8_t *last = room(scratch, LAST_LINE, 3 * width + 1);
    if (!last)
        return NO_MEMORY;
    resize_across(source.data, source.stride, width, rows, table->first, table->number, table->weights, table->taps,
                  table->count, last, result);
    return FINE;
}

static void down(struct pixels source, int64_t width, struct table *table, uint8_t *result)
{
    ilsvrc_down(source.data, source.stride, 3 * width, table->first, table->number, table->weights, table->taps,
                table->count, result);
}

/* A window of the box of `source` that is resized to `width` x `height`: `resized` points at its first pixel.

   `box` and `window` are left, top, width, height; the window's are of the resized box. */
int resize(struct scratch *scratch, int into, struct pixels source, const int64_t box[4], int64_t width, int64_t height,
           const int64_t window[4], int64_t kind, struct pixels *resized)
{
    if (box[WIDTH] == width && box[HEIGHT] == height) {
        resized->data = source.data + (box[TOP] + window[TOP]) * source.stride + 3 * (box[LEFT] + window[LEFT]);
        resized->stride = source.stride;
        return FINE;
    }
    struct table columns, rows;
    if (tabulate(scratch, 0, &columns, kind, box[LEFT], box[WIDTH], width, window[LEFT], window[WIDTH]) ||
        tabulate(scratch, 1, &rows, kind, box[TOP], box[HEIGHT], height, window[TOP], window[HEIGHT]))
        return NO_MEMORY;
    uint8_t *result = room(scratch, into, 3 * window[WIDTH] * window[HEIGHT]), *between;
    int64_t shrunk = box[HEIGHT] - height, start, stop;
    if (!result)
        return NO_MEMORY;
    if (shrunk > 0 && shrunk > 2 * (box[WIDTH] - width)) {
        span(&columns, &start, &stop);
        if (!(between = room(scratch, BETWEEN, 3 * (stop - start) * window[HEIGHT])))
            return NO_MEMORY;
        source.data += 3 * start;
        down(source, stop - start, &rows, between);
        if (across(scratch, (struct pixels){between, 3 * (stop - start)}, window[HEIGHT], &columns, result))
            return NO_MEMORY;
    } else {
        span(&rows, &start, &stop);
        if (!(between = room(scratch, BETWEEN, 3 * window[WIDTH] * (stop - start))))
            return NO_MEMORY;
        source.data += start * source.stride;
        if (across(scratch, source, stop - start, &columns, between))
            return NO_MEMORY;
        down((struct pixels){between, 3 * window[WIDTH]}, window[WIDTH], &rows, result);
    }
    *resized = (struct pixels){result, 3 * window[WIDTH]};
    return FINE;
}

/* The same as a function of its own, into lines without gaps; the result says whether there was memory. */
EXPORTED int64_t ilsvrc_resize(const uint8_t *source, int64_t width, const int64_t box[4], const int64_t size[2],
                               const int64_t window[4], int64_t kind, uint8_t *result)
{
    struct scratch scratch = {{0}, {0}};
    struct pixels resized;
    int status = resize(&scratch, RESIZED, (struct pixels){source, 3 * width}, box, size[0], size[1], window, kind,
                        &resized);
    for (int64_t row = 0; status == FINE && row < window[HEIGHT]; row++)
        memcpy(result + row * 3 * window[WIDTH], resized.data + row * resized.stride, 3 * window[WIDTH]);
    release(&scratch);
    return status;
}
