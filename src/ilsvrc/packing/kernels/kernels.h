/* What the files of this folder share; c_extension.py opens the library.

   Optional: without it the Pillow loader gives the same pixels, and resize.py, pixel_statistics.py and mean_image.py
   the same numbers. */

#ifndef ILSVRC_KERNELS_H
#define ILSVRC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define EXPORTED __attribute__((visibility("default")))
#define PRECISION_BITS 22 /* of a weight, behind the point */

enum { BILINEAR, BOX, NEAREST, CUBIC };               /* filters, numbered as in random_crops.py */
enum { FINE, DAMAGED, NO_MEMORY };                    /* status of an image */
enum { LEFT, TOP, WIDTH, HEIGHT };                    /* of a box */
enum { DECODED, BETWEEN, RESIZED, SHOWN, LAST_LINE, VALUES, DONE, TABLES, ROOMS = TABLES + 6 };

/* A thread's memory, which grows as images need it. */
struct scratch {
    void *rooms[ROOMS];
    size_t sizes[ROOMS];
};

struct pixels {
    const uint8_t *data;
    int64_t stride; /* bytes from line to line */
};

static inline int64_t least(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

static inline int64_t most(int64_t one, int64_t other)
{
    return one > other ? one : other;
}

/* decode.c */
int64_t ilsvrc_decode_part(const uint8_t *payload, size_t size, int64_t width, int64_t height, int64_t left, int64_t top,
                           int64_t columns, int64_t rows, uint8_t *pixels, int64_t stride);

/* passes.c: `first`, `number` and `weights` [count][taps] are of each output pixel. */
void resize_across(const uint8_t *source, int64_t stride, int64_t width, int64_t rows, const int64_t *first,
                   const int64_t *number, const int32_t *weights, int64_t taps, int64_t count, uint8_t *last,
                   uint8_t *result);
void ilsvrc_down(const uint8_t *source, int64_t stride, int64_t length, const int64_t *first, const int64_t *number,
                 const int32_t *weights, int64_t taps, int64_t count, uint8_t *result);

/* resize.c */
void *room(struct scratch *scratch, int which, size_t size);
void release(struct scratch *scratch);
int resize(struct scratch *scratch, int into, struct pixels source, const int64_t box[4], int64_t width, int64_t height,
           const int64_t window[4], int64_t kind, struct pixels *resized);

#endif
