/* Decoding of a part of a JPEG, by libjpeg-turbo. */

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

#include "kernels.h"

#define LINES 16
#define MOST_SCANS 500 /* as TurboJPEG limits them: a small file of thousands takes hours */
#define SMOOTHED 10    /* coefficients that libjpeg-turbo looks at before it smooths blocks */

struct errors {
    struct jpeg_error_mgr manager;
    jmp_buf back;
};

static void stop(j_common_ptr info)
{
    longjmp(((struct errors *)info->err)->back, 1);
}

static void count(j_common_ptr info, int level)
{
    if (level < 0)
        info->err->num_warnings++;
}

static void limit_scans(j_common_ptr info)
{
    if (info->is_decompressor && ((j_decompress_ptr)info)->input_scan_number > MOST_SCANS)
        stop(info);
}

static void read_lines(j_decompress_ptr info, int64_t rows, uint8_t *pixels, int64_t stride)
{
    JSAMPROW lines[LINES];
    for (int64_t row = 0; row < rows;) {
        int64_t wanted = rows - row < LINES ? rows - row : LINES;
        for (int64_t line = 0; line < wanted; line++)
            lines[line] = pixels + (row + line) * stride;
        int64_t given = jpeg_read_scanlines(info, lines, wanted);
        if (given == 0)
            stop((j_common_ptr)info);
        row += given;
    }
}

/* Whether blocks may be smoothed: the scans of a progressive file bring not all of the low coefficients. */
static int smoothed(j_decompress_ptr info)
{
    if (!info->progressive_mode || info->coef_bits == NULL)
        return 0;
    for (int component = 0; component < info->num_components; component++)
        for (int place = 1; place < SMOOTHED; place++)
            if (info->coef_bits[component][place] != 0)
                return 1;
    return 0;
}

/* Whether this is the libjpeg that the header is of. */
EXPORTED int ilsvrc_can_decode(void)
{
    struct jpeg_decompress_struct info;
    struct errors errors;
    info.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = stop;
    if (setjmp(errors.back))
        return 0;
    jpeg_create_decompress(&info);
    jpeg_destroy_decompress(&info);
    return 1;
}

/* Rows `top` to `top + rows` of a JPEG of `width` x `height` in RGB, accurate DCT and fancy upsampling.

   Columns begin at or before `left`, where a block does: the result says at which. It is -1 where the file is damaged
   before the last of these rows or, if that is the picture's last, behind it, and -2 where only all columns together
   have the right pixels. `pixels` has room for rows of `columns` + 31 pixels, `stride` bytes apart. The first and the
   last column of a part that ends inside of the picture lack a neighbour for fancy upsampling. */
EXPORTED int64_t ilsvrc_decode_part(const uint8_t *payload, size_t size, int64_t width, int64_t height, int64_t left,
                                    int64_t top, int64_t columns, int64_t rows, uint8_t *pixels, int64_t stride)
{
    struct jpeg_decompress_struct info;
    struct errors errors;
    struct jpeg_progress_mgr progress = {.progress_monitor = limit_scans};
    if (left < 0 || top < 0 || columns < 1 || rows < 1 || columns > width - left || rows > height - top)
        return -1;
    info.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = stop;
    errors.manager.emit_message = count;
    if (setjmp(errors.back)) {
        jpeg_destroy_decompress(&info);
        return -1;
    }
    jpeg_create_decompress(&info);
    info.progress = &progress;
    jpeg_mem_src(&info, payload, size);
    jpeg_read_header(&info, TRUE);
    if (info.image_width != width || info.image_height != height)
        longjmp(errors.back, 1);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    if (columns < width && smoothed(&info)) { /* across the part's edge */
        jpeg_destroy_decompress(&info);
        return -2;
    }
    JDIMENSION start = left, span = columns;
    if (columns < width)
        jpeg_crop_scanline(&info, &start, &span);
    if (top > 0 && jpeg_skip_scanlines(&info, top) != top)
        longjmp(errors.back, 1);
    read_lines(&info, rows, pixels, stride);
    if (top + rows == height)
        jpeg_finish_decompress(&info); /* looks for the end of the image */
    int64_t result = errors.manager.num_warnings ? -1 : (int64_t)start;
    jpeg_destroy_decompress(&info);
    return result;
}
