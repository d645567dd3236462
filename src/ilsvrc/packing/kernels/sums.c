/* Sums over pixels, and chosen pixels, in AVX2: pixel statistics and mean images. CRC-32 of stored bytes. */

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

#define CRC __attribute__((target("pclmul,sse4.1")))

EXPORTED int ilsvrc_can_crc32(void)
{
    return __builtin_cpu_supports("pclmul") != 0 && __builtin_cpu_supports("sse4.1") != 0;
}

/* 128 bits, carried over a distance that `keys` stand for, and the 128 bits that lie there. */
static inline CRC __m128i folded(__m128i sum, __m128i keys, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(sum, keys, 0x00), high = _mm_clmulepi64_si128(sum, keys, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

static inline CRC __m128i at(const uint8_t *content, int part)
{
    return _mm_loadu_si128((const __m128i *)content + part);
}

/* 128 bits -> the remainder of 32 (Barrett). */
static inline CRC uint32_t reduced(__m128i sum, __m128i keys)
{
    const __m128i mask = _mm_setr_epi32(~0, 0, ~0, 0), last = _mm_set_epi64x(0, 0x163cd6124),
                  polynomial = _mm_set_epi64x(0x1f7011641, 0x1db710641);
    sum = _mm_xor_si128(_mm_srli_si128(sum, 8), _mm_clmulepi64_si128(sum, keys, 0x10));
    sum = _mm_xor_si128(_mm_srli_si128(sum, 4), _mm_clmulepi64_si128(_mm_and_si128(sum, mask), last, 0x00));
    __m128i part = _mm_clmulepi64_si128(_mm_and_si128(sum, mask), polynomial, 0x10);
    part = _mm_clmulepi64_si128(_mm_and_si128(part, mask), polynomial, 0x00);
    return _mm_extract_epi32(_mm_xor_si128(sum, part), 1);
}

/* zlib's CRC-32, several times as fast: Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
   (2009). */
EXPORTED CRC uint32_t ilsvrc_crc32(const uint8_t *content, size_t size)
{
    uint32_t sum = ~0u;
    if (size >= 64) {
        const __m128i far = _mm_set_epi64x(0x1c6e41596, 0x154442bd4), near = _mm_set_epi64x(0xccaa009e, 0x1751997d0);
        __m128i parts[4];
        for (int part = 0; part < 4; part++)
            parts[part] = at(content, part);
        parts[0] = _mm_xor_si128(parts[0], _mm_cvtsi32_si128(sum));
        for (content += 64, size -= 64; size >= 64; content += 64, size -= 64)
            for (int part = 0; part < 4; part++)
                parts[part] = folded(parts[part], far, at(content, part));
        __m128i one = parts[0];
        for (int part = 1; part < 4; part++)
            one = folded(one, near, parts[part]);
        for (; size >= 16; content += 16, size -= 16)
            one = folded(one, near, at(content, 0));
        sum = reduced(one, near);
    }
    for (; size > 0; content++, size--) {
        sum ^= *content;
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (0xedb88320 & -(sum & 1));
    }
    return ~sum;
}

#else

EXPORTED int ilsvrc_can_sum(void)
{
    return 0;
}

EXPORTED int ilsvrc_can_crc32(void)
{
    return 0;
}

#endif
