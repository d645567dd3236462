/* What a batch shows: the crops or the test views of each stored image, from one decode, equal to Pillow's pixels.

   Threads share a batch: each takes the next image until none is left. loading/decode_batches.py calls it. */

#include <string.h>

#include "kernels.h"

#define JPEG 0       /* beton_layout.JPEG */
#define MARGIN_PX 2  /* fancy upsampling needs one pixel more on each side */
#define BLOCKS_PX 32 /* a part begins at a block of at most 32 pixels */
#define MIN_PX 16    /* in a narrower part libjpeg-turbo may upsample otherwise, with components of every 4th pixel */
#define WHOLE_ROWS (-2)

/* One packed file's images in a batch, and where the threads are. All numbers are int64. */
struct batch {
    const uint8_t *content; /* the packed file */
    int64_t num_images;
    const int64_t *modes, *widths, *heights, *offsets, *sizes;
    int64_t *next;   /* the image that no thread has taken yet */
    int64_t *status; /* of each image */
    uint8_t *shown;
};

/* random_crops.CropBoxes: shown is [num_images, num_views, crop_px, crop_px, 3]. */
struct crops {
    const int64_t *source_boxes, *crop_boxes, *filters;
    int64_t num_views, crop_px;
    int64_t fill[3]; /* of what lies outside of the image, */
    int64_t reflect; /* unless the image is mirrored there */
};

/* view_layout.ViewLayout. */
struct views {
    const int64_t *view_boxes, *filters, *offsets;
    int64_t num_views;
};

/* Decodes a part of a JPEG, or a little more; `part` then has the place of the first pixel. */
static int decode(struct scratch *scratch, const uint8_t *payload, int64_t size, int64_t width, int64_t height,
                  int64_t part[4], struct pixels *decoded)
{
    int64_t left = most(0, least(part[LEFT] - MARGIN_PX, width - MIN_PX)), top = most(0, part[TOP] - MARGIN_PX);
    int64_t columns = least(width, most(part[LEFT] + part[WIDTH] + MARGIN_PX, left + MIN_PX)) - left;
    int64_t rows = least(height, part[TOP] + part[HEIGHT] + MARGIN_PX) - top;
    if (width < 1 || height < 1 || columns < 1 || rows < 1)
        return DAMAGED;
    uint8_t *room_for_all = room(scratch, DECODED, 3 * rows * (width + BLOCKS_PX));
    if (!room_for_all)
        return NO_MEMORY;
    int64_t stride = 3 * (columns + BLOCKS_PX);
    int64_t start = ilsvrc_decode_part(payload, size, width, height, left, top, columns, rows, room_for_all, stride);
    if (start == WHOLE_ROWS) {
        stride = 3 * (width + BLOCKS_PX);
        start = ilsvrc_decode_part(payload, size, width, height, 0, top, width, rows, room_for_all, stride);
    }
    if (start < 0)
        return DAMAGED;
    part[LEFT] = start;
    part[TOP] = top;
    *decoded = (struct pixels){room_for_all, stride};
    return FINE;
}

/* The pixels of a side that a crop of `count` from `start` on is made of: all of them where some lie outside. */
static void inside(int64_t start, int64_t count, int64_t side_px, int64_t *first, int64_t *number)
{
    int leaves = start < 0 || start + count > side_px;
    *first = leaves ? 0 : start;
    *number = leaves ? side_px : count;
}

/* Widens `low` to `high` by the source pixels of the output pixels `start` to `start + count`, or by a wider span. */
static void widen(int64_t kind, int64_t in_px, int64_t out_px, int64_t start, int64_t count, int64_t *low,
                  int64_t *high)
{
    int64_t first, number;
    inside(start, count, out_px, &first, &number);
    double scale = (double)in_px / (double)out_px, support = (scale > 1.0 ? scale : 1.0) * (kind == CUBIC ? 2.0 : 1.0);
    *low = least(*low, most(0, (int64_t)((first + 0.5) * scale - support + 0.5)));
    *high = most(*high, least(in_px, (int64_t)((first + number - 0.5) * scale + support + 0.5)));
}

/* The part of a stored image that its crops are made of. */
static void needed(const struct crops *crops, const int64_t *box, const int64_t *boxes, int64_t kind, int64_t part[4])
{
    int64_t left = box[WIDTH], top = box[HEIGHT], right = 0, bottom = 0;
    for (int64_t view = 0; view < crops->num_views; view++, boxes += 5) {
        widen(kind, box[WIDTH], boxes[0], boxes[2], crops->crop_px, &left, &right);
        widen(kind, box[HEIGHT], boxes[1], boxes[3], crops->crop_px, &top, &bottom);
    }
    part[LEFT] = box[LEFT] + left;
    part[TOP] = box[TOP] + top;
    part[WIDTH] = right - left;
    part[HEIGHT] = bottom - top;
}

/* The pixel of a side at `place`, or the one that it mirrors, or -1 for none. */
static int64_t within(int64_t place, int64_t side_px, int64_t reflect)
{
    if (0 <= place && place < side_px)
        return place;
    if (!reflect)
        return -1;
    return place < 0 ? -place : 2 * (side_px - 1) - place;
}

/* One crop at `left`, `top` of an image of `width` x `height` of which `resized` holds `window`. */
static void copy_crop(const struct crops *crops, struct pixels resized, int64_t width, int64_t height, int64_t left,
                      int64_t top, int64_t mirrored, uint8_t *shown)
{
    int64_t side = crops->crop_px;
    int leaves = left < 0 || top < 0 || left + side > width || top + side > height;
    for (int64_t y = 0; y < side; y++, shown += 3 * side) {
        int64_t row = leaves ? within(top + y, height, crops->reflect) : top + y;
        const uint8_t *line = resized.data + row * resized.stride;
        if (!leaves && !mirrored) {
            memcpy(shown, line + 3 * left, 3 * side);
            continue;
        }
        for (int64_t x = 0; x < side; x++) {
            int64_t column = leaves ? within(left + x, width, crops->reflect) : left + x;
            uint8_t *pixel = shown + 3 * (mirrored ? side - 1 - x : x);
            for (int channel = 0; channel < 3; channel++)
                pixel[channel] = row < 0 || column < 0 ? crops->fill[channel] : line[3 * column + channel];
        }
    }
}

/* Left, top, width, height of the union of all crops of the box that is resized to `width` x `height`. */
static void bounds(const struct crops *crops, const int64_t *boxes, int64_t width, int64_t height, int64_t window[4])
{
    int64_t left = width, top = height, right = 0, bottom = 0, first, number;
    for (int64_t view = 0; view < crops->num_views; view++, boxes += 5)
        if (boxes[0] == width && boxes[1] == height) {
            inside(boxes[2], crops->crop_px, width, &first, &number);
            left = least(left, first);
            right = most(right, first + number);
            inside(boxes[3], crops->crop_px, height, &first, &number);
            top = least(top, first);
            bottom = most(bottom, first + number);
        }
    window[LEFT] = left;
    window[TOP] = top;
    window[WIDTH] = right - left;
    window[HEIGHT] = bottom - top;
}

/* The crops of the box of one image; those of one size share one resize. */
static int show_crops(struct scratch *scratch, const struct crops *crops, struct pixels source, const int64_t box[4],
                      const int64_t *boxes, int64_t kind, uint8_t *shown)
{
    int64_t num_views = crops->num_views, window[4];
    uint8_t *done = room(scratch, DONE, num_views);
    if (!done)
        return NO_MEMORY;
    memset(done, 0, num_views);
    for (int64_t view = 0; view < num_views; view++) {
        if (done[view])
            continue;
        int64_t width = boxes[5 * view], height = boxes[5 * view + 1];
        struct pixels resized;
        bounds(crops, boxes, width, height, window);
        if (resize(scratch, RESIZED, source, box, width, height, window, kind, &resized))
            return NO_MEMORY;
        for (int64_t other = view; other < num_views; other++) {
            const int64_t *crop = boxes + 5 * other;
            if (crop[0] != width || crop[1] != height)
                continue;
            copy_crop(crops, resized, window[WIDTH], window[HEIGHT], crop[2] - window[LEFT], crop[3] - window[TOP],
                      crop[4], shown + other * 3 * crops->crop_px * crops->crop_px);
            done[other] = 1;
        }
    }
    return FINE;
}

static int crops_of_image(struct scratch *scratch, const struct batch *batch, const struct crops *crops, int64_t image)
{
    const uint8_t *payload = batch->content + batch->offsets[image];
    const int64_t *boxes = crops->crop_boxes + image * crops->num_views * 5;
    int64_t width = batch->widths[image], height = batch->heights[image], kind = crops->filters[image], box[4], part[4];
    struct pixels source = {payload, 3 * width};
    memcpy(box, crops->source_boxes + 4 * image, sizeof box);
    if (batch->modes[image] == JPEG) {
        needed(crops, box, boxes, kind, part);
        int status = decode(scratch, payload, batch->sizes[image], width, height, part, &source);
        if (status)
            return status;
        box[LEFT] -= part[LEFT];
        box[TOP] -= part[TOP];
    }
    int64_t num_bytes = crops->num_views * 3 * crops->crop_px * crops->crop_px;
    return show_crops(scratch, crops, source, box, boxes, kind, batch->shown + image * num_bytes);
}

/* One view out of the resized image, resized again where it is shown at another size. */
static int copy_view(struct scratch *scratch, struct pixels resized, int64_t left, int64_t top, const int64_t *view,
                     int64_t kind, uint8_t *shown)
{
    int64_t box[4] = {left, top, view[4], view[5]}, window[4] = {0, 0, view[6], view[7]};
    struct pixels part;
    if (resize(scratch, SHOWN, resized, box, view[6], view[7], window, kind, &part))
        return NO_MEMORY;
    for (int64_t row = 0; row < view[7]; row++)
        memcpy(shown + row * 3 * view[6], part.data + row * part.stride, 3 * view[6]);
    return FINE;
}

static int one_size(const struct views *views, const int64_t *boxes, int64_t one, int64_t other)
{
    return boxes[8 * one] == boxes[8 * other] && boxes[8 * one + 1] == boxes[8 * other + 1] &&
           views->filters[one] == views->filters[other];
}

/* All views of one image; those of one resized size share a resize. */
static int show_views(struct scratch *scratch, const struct views *views, struct pixels source, const int64_t box[4],
                      const int64_t *boxes, const int64_t *offsets, uint8_t *shown)
{
    int64_t num_views = views->num_views;
    uint8_t *done = room(scratch, DONE, num_views);
    if (!done)
        return NO_MEMORY;
    memset(done, 0, num_views);
    for (int64_t view = 0; view < num_views; view++) {
        if (done[view])
            continue;
        int64_t width = boxes[8 * view], height = boxes[8 * view + 1], left = width, top = height, right = 0, bottom = 0;
        for (int64_t other = view; other < num_views; other++)
            if (one_size(views, boxes, view, other)) {
                const int64_t *part = boxes + 8 * other;
                left = least(left, part[2]);
                top = least(top, part[3]);
                right = most(right, part[2] + part[4]);
                bottom = most(bottom, part[3] + part[5]);
            }
        int64_t window[4] = {left, top, right - left, bottom - top};
        struct pixels resized;
        if (resize(scratch, RESIZED, source, box, width, height, window, views->filters[view], &resized))
            return NO_MEMORY;
        for (int64_t other = view; other < num_views; other++)
            if (one_size(views, boxes, view, other)) {
                const int64_t *part = boxes + 8 * other;
                if (copy_view(scratch, resized, part[2] - left, part[3] - top, part, views->filters[view],
                              shown + offsets[other]))
                    return NO_MEMORY;
                done[other] = 1;
            }
    }
    return FINE;
}

static int views_of_image(struct scratch *scratch, const struct batch *batch, const struct views *views, int64_t image)
{
    const uint8_t *payload = batch->content + batch->offsets[image];
    int64_t width = batch->widths[image], height = batch->heights[image], box[4] = {0, 0, width, height};
    int64_t part[4] = {0, 0, width, height};
    struct pixels source = {payload, 3 * width};
    if (batch->modes[image] == JPEG) {
        int status = decode(scratch, payload, batch->sizes[image], width, height, part, &source);
        if (status)
            return status;
    }
    return show_views(scratch, views, source, box, views->view_boxes + image * views->num_views * 8,
                      views->offsets + image * views->num_views, batch->shown);
}

static int64_t take(const struct batch *batch)
{
    return __atomic_fetch_add(batch->next, 1, __ATOMIC_RELAXED);
}

EXPORTED void ilsvrc_show_crops(const struct batch *batch, const struct crops *crops)
{
    struct scratch scratch = {{0}, {0}};
    for (int64_t image = take(batch); image < batch->num_images; image = take(batch))
        batch->status[image] = crops_of_image(&scratch, batch, crops, image);
    release(&scratch);
}

EXPORTED void ilsvrc_show_views(const struct batch *batch, const struct views *views)
{
    struct scratch scratch = {{0}, {0}};
    for (int64_t image = take(batch); image < batch->num_images; image = take(batch))
        batch->status[image] = views_of_image(&scratch, batch, views, image);
    release(&scratch);
}
