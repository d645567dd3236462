/* Sums over pixels, and chosen pixels, in AVX2: pixel statistics and mean images. */

#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

#define LANES 48        /* bytes of 16 pixels */
#define MOST_BLOCKS 256 /* that 16 bits can sum */

EXPORTED int ilsvrc_can_sum(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

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

EXPORTED int ilsvrc_can_sum(void)
{
    return 0;
}

#endif
