/* Decodes a part of a JPEG, Pillow's resize in AVX2, sums over pixels: what makes loading and packing fast.

   Optional: where this is not compiled, decode_crops.py, resample.py, pixel_statistics.py and mean_image.py give the same
   without it. c_extension.py opens it. */

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#define EXPORTED __attribute__((visibility("default")))
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

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define BITS 22
#define HALF (1 << (BITS - 1))

EXPORTED int ilsvrc_can_resize(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

/* Two pixels as 2 x 4 numbers; the fourth of each is its neighbour's. */
static inline AVX2 __m256i pair(const uint8_t *one, const uint8_t *other)
{
    int32_t low, high;
    memcpy(&low, one, 4);
    memcpy(&high, other, 4);
    return _mm256_cvtepu8_epi32(_mm_insert_epi32(_mm_cvtsi32_si128(low), high, 1));
}

static inline AVX2 __m256i weighed(__m256i sums, __m256i values, __m256i weight)
{
    return _mm256_add_epi32(sums, _mm256_mullo_epi32(values, weight));
}

/* Eight sums as eight bytes, in the lower half. */
static inline AVX2 __m128i bytes(__m256i sums)
{
    __m256i whole = _mm256_srai_epi32(sums, BITS);
    __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    return _mm_packus_epi16(words, words);
}

/* Resizes four lines along x; see resample.py for the weights. */
static AVX2 void across_four(const uint8_t *lines[4], const int64_t *first, const int64_t *number,
                             const int32_t *weights, int64_t taps, int64_t count, uint8_t *results[4])
{
    for (int64_t x = 0; x < count; x++) {
        __m256i upper = _mm256_set1_epi32(HALF), lower = upper;
        int64_t at = 3 * first[x];
        for (int64_t tap = 0; tap < number[x]; tap++, at += 3) {
            __m256i weight = _mm256_set1_epi32(weights[x * taps + tap]);
            upper = weighed(upper, pair(lines[0] + at, lines[1] + at), weight);
            lower = weighed(lower, pair(lines[2] + at, lines[3] + at), weight);
        }
        __m128i two = bytes(upper), more = bytes(lower);
        int32_t pixels[4] = {_mm_cvtsi128_si32(two), _mm_extract_epi32(two, 1), _mm_cvtsi128_si32(more),
                             _mm_extract_epi32(more, 1)};
        for (int line = 0; line < 4; line++)
            memcpy(results[line] + 3 * x, &pixels[line], 3);
    }
}

/* Resizes `rows` lines of `width` pixels along x to `count`. `last` has room for a line and a byte: a copy of the last
   one, since a byte is read behind each pixel. */
EXPORTED AVX2 void ilsvrc_across(const uint8_t *source, int64_t width, int64_t rows, const int64_t *first,
                                 const int64_t *number, const int32_t *weights, int64_t taps, int64_t count,
                                 uint8_t *last, uint8_t *result)
{
    memcpy(last, source + (rows - 1) * 3 * width, 3 * width);
    last[3 * width] = 0;
    for (int64_t row = 0; row < rows; row += 4) {
        const uint8_t *lines[4];
        uint8_t *results[4];
        for (int line = 0; line < 4; line++) {
            int64_t place = row + line < rows - 1 ? row + line : rows - 1;
            lines[line] = place == rows - 1 ? last : source + place * 3 * width;
            results[line] = result + place * 3 * count;
        }
        across_four(lines, first, number, weights, taps, count, results);
    }
}

/* Resizes `length` bytes of lines that are `stride` bytes apart along y to `count` lines. */
EXPORTED AVX2 void ilsvrc_down(const uint8_t *source, int64_t stride, int64_t length, const int64_t *first,
                               const int64_t *number, const int32_t *weights, int64_t taps, int64_t count,
                               uint8_t *result)
{
    for (int64_t y = 0; y < count; y++, result += length, weights += taps) {
        const uint8_t *line = source + first[y] * stride;
        int64_t x = 0;
        for (; x + 32 <= length; x += 32) {
            __m256i sums[4];
            for (int part = 0; part < 4; part++)
                sums[part] = _mm256_set1_epi32(HALF);
            for (int64_t tap = 0; tap < number[y]; tap++) {
                __m256i weight = _mm256_set1_epi32(weights[tap]);
                const __m128i *values = (const __m128i *)(line + tap * stride + x);
                for (int part = 0; part < 4; part++) {
                    __m128i eight = _mm_loadl_epi64((const __m128i *)((const uint8_t *)values + 8 * part));
                    sums[part] = weighed(sums[part], _mm256_cvtepu8_epi32(eight), weight);
                }
            }
            for (int part = 0; part < 4; part++)
                _mm_storel_epi64((__m128i *)(result + x + 8 * part), bytes(sums[part]));
        }
        for (; x < length; x++) {
            int32_t sum = HALF;
            for (int64_t tap = 0; tap < number[y]; tap++)
                sum += line[tap * stride + x] * weights[tap];
            result[x] = sum >> BITS;
        }
    }
}

#define LANES 48        /* bytes of 16 pixels */
#define MOST_BLOCKS 256 /* that 16 bits can sum */

/* Adds 48 sums and squares, as the vectors hold them, to those of three channels, and empties them. */
static AVX2 void gather(__m256i sums[3], __m256i low[3], __m256i high[3], int64_t *sum, int64_t *square)
{
    for (int part = 0; part < 3; part++) {
        uint16_t values[16];
        uint32_t squares[2][8];
        _mm256_storeu_si256((__m256i *)values, sums[part]);
        _mm256_storeu_si256((__m256i *)squares[0], low[part]);
        _mm256_storeu_si256((__m256i *)squares[1], high[part]);
        for (int lane = 0; lane < 16; lane++) {
            int channel = (16 * part + lane) % 3;
            sum[channel] += values[lane];
            square[channel] += squares[lane / 4 % 2][lane / 8 * 4 + lane % 4]; /* unpacked in halves */
        }
        sums[part] = low[part] = high[part] = _mm256_setzero_si256();
    }
}

/* Adds up red, green and blue, and their squares, of `rows` lines of `length` bytes that are `stride` bytes apart. */
EXPORTED AVX2 void ilsvrc_sums(const uint8_t *pixels, int64_t rows, int64_t stride, int64_t length, int64_t *sum,
                               int64_t *square)
{
    __m256i sums[3], low[3], high[3];
    for (int part = 0; part < 3; part++)
        sums[part] = low[part] = high[part] = _mm256_setzero_si256();
    int64_t blocks = 0;
    for (int64_t row = 0; row < rows; row++, pixels += stride) {
        int64_t at = 0;
        for (; at + LANES <= length; at += LANES) {
            for (int part = 0; part < 3; part++) {
                __m256i values = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(pixels + at + 16 * part)));
                __m256i squares = _mm256_mullo_epi16(values, values), zero = _mm256_setzero_si256();
                sums[part] = _mm256_add_epi16(sums[part], values);
                low[part] = _mm256_add_epi32(low[part], _mm256_unpacklo_epi16(squares, zero));
                high[part] = _mm256_add_epi32(high[part], _mm256_unpackhi_epi16(squares, zero));
            }
            if (++blocks == MOST_BLOCKS) {
                gather(sums, low, high, sum, square);
                blocks = 0;
            }
        }
        for (; at < length; at++) {
            sum[at % 3] += pixels[at];
            square[at % 3] += pixels[at] * pixels[at];
        }
    }
    gather(sums, low, high, sum, square);
}

/* Copies the pixels of some rows and columns, which are places of their first bytes. */
EXPORTED AVX2 void ilsvrc_pick(const uint8_t *pixels, const int64_t *rows, const int64_t *columns, int64_t side,
                               uint8_t *picked)
{
    for (int64_t y = 0; y < side; y++) {
        const uint8_t *line = pixels + rows[y];
        for (int64_t x = 0; x < side; x++, picked += 3) {
            const uint8_t *pixel = line + columns[x];
            picked[0] = pixel[0];
            picked[1] = pixel[1];
            picked[2] = pixel[2];
        }
    }
}

#else

EXPORTED int ilsvrc_can_resize(void)
{
    return 0;
}

#endif
