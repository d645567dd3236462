/* Pillow's two passes of a resize, in AVX2 where the processor has it. resize.c makes the weights. */

#include <string.h>

#include "kernels.h"

#define HALF (1 << (PRECISION_BITS - 1))

static inline uint8_t byte(int32_t sum)
{
    int32_t whole = sum >> PRECISION_BITS;
    return whole < 0 ? 0 : whole > 255 ? 255 : whole;
}

/* The bytes `x` to `length` of a line that is made of `number` lines. */
static inline void down_bytes(const uint8_t *line, int64_t stride, int64_t x, int64_t length, int64_t number,
                              const int32_t *weights, uint8_t *result)
{
    for (; x < length; x++) {
        int32_t sum = HALF;
        for (int64_t tap = 0; tap < number; tap++)
            sum += line[tap * stride + x] * weights[tap];
        result[x] = byte(sum);
    }
}

static void across_one_by_one(const uint8_t *source, int64_t stride, int64_t rows, const int64_t *first,
                              const int64_t *number, const int32_t *weights, int64_t taps, int64_t count,
                              uint8_t *result)
{
    for (int64_t row = 0; row < rows; row++, source += stride)
        for (int64_t x = 0; x < count; x++, result += 3)
            for (int channel = 0; channel < 3; channel++) {
                int32_t sum = HALF;
                for (int64_t tap = 0; tap < number[x]; tap++)
                    sum += source[3 * (first[x] + tap) + channel] * weights[x * taps + tap];
                result[channel] = byte(sum);
            }
}

static void down_one_by_one(const uint8_t *source, int64_t stride, int64_t length, const int64_t *first,
                            const int64_t *number, const int32_t *weights, int64_t taps, int64_t count, uint8_t *result)
{
    for (int64_t y = 0; y < count; y++, result += length, weights += taps)
        down_bytes(source + first[y] * stride, stride, 0, length, number[y], weights, result);
}

#if defined(__x86_64__) && !defined(WITHOUT_VECTORS)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

static int has_vectors(void)
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
    __m256i whole = _mm256_srai_epi32(sums, PRECISION_BITS);
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

/* Four lines at once. `last` becomes a copy of the last one, since a byte is read behind each pixel. */
static AVX2 void across_by_vectors(const uint8_t *source, int64_t stride, int64_t width, int64_t rows,
                                   const int64_t *first, const int64_t *number, const int32_t *weights, int64_t taps,
                                   int64_t count, uint8_t *last, uint8_t *result)
{
    memcpy(last, source + (rows - 1) * stride, 3 * width);
    last[3 * width] = 0;
    for (int64_t row = 0; row < rows; row += 4) {
        const uint8_t *lines[4];
        uint8_t *results[4];
        for (int line = 0; line < 4; line++) {
            int64_t place = row + line < rows - 1 ? row + line : rows - 1;
            lines[line] = place == rows - 1 ? last : source + place * stride;
            results[line] = result + place * 3 * count;
        }
        across_four(lines, first, number, weights, taps, count, results);
    }
}

static AVX2 void down_by_vectors(const uint8_t *source, int64_t stride, int64_t length, const int64_t *first,
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
        down_bytes(line, stride, x, length, number[y], weights, result);
    }
}

#else

static int has_vectors(void)
{
    return 0;
}

#define across_by_vectors(source, stride, width, ...) (void)(width)
#define down_by_vectors(...) (void)0

#endif

void resize_across(const uint8_t *source, int64_t stride, int64_t width, int64_t rows, const int64_t *first,
                   const int64_t *number, const int32_t *weights, int64_t taps, int64_t count, uint8_t *last,
                   uint8_t *result)
{
    if (has_vectors())
        across_by_vectors(source, stride, width, rows, first, number, weights, taps, count, last, result);
    else
        across_one_by_one(source, stride, rows, first, number, weights, taps, count, result);
}

EXPORTED void ilsvrc_across(const uint8_t *source, int64_t width, int64_t rows, const int64_t *first,
                            const int64_t *number, const int32_t *weights, int64_t taps, int64_t count, uint8_t *last,
                            uint8_t *result)
{
    resize_across(source, 3 * width, width, rows, first, number, weights, taps, count, last, result);
}

EXPORTED void ilsvrc_down(const uint8_t *source, int64_t stride, int64_t length, const int64_t *first,
                          const int64_t *number, const int32_t *weights, int64_t taps, int64_t count, uint8_t *result)
{
    if (has_vectors())
        down_by_vectors(source, stride, length, first, number, weights, taps, count, result);
    else
        down_one_by_one(source, stride, length, first, number, weights, taps, count, result);
}
