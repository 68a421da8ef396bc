/*
 * crc32c.c - see crc32c.h. The polynomial is 0x1edc6f41, reflected 0x82f63b78.
 *
 * The portable way takes eight bytes a step through eight tables: table[k][b] is what byte b does
 * to the register when k more bytes follow it. The tables are filled once, when first needed.
 */
#include "base/hash/crc32c.h"

#include <pthread.h>

enum { CRC32C_POLYNOMIAL = (int)0x82f63b78u, CRC32C_TABLES = 8 };

static uint32_t tables[CRC32C_TABLES][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void
fill_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? (uint32_t)CRC32C_POLYNOMIAL : 0);
        tables[0][b] = crc;
    }
    for (unsigned k = 1; k < CRC32C_TABLES; k++) {
        for (uint32_t b = 0; b < 256; b++) {
            uint32_t before = tables[k - 1][b];
            tables[k][b] = before >> 8 ^ tables[0][before & 0xff];
        }
    }
}

uint32_t
crc32c_portable(uint32_t crc, struct bytes b)
{
    pthread_once(&tables_once, fill_tables);
    const uint8_t *p = b.at;
    size_t left = b.size;
    crc = ~crc;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t v = load_le64(p) ^ crc;
        crc = tables[7][v & 0xff] ^ tables[6][v >> 8 & 0xff] ^ tables[5][v >> 16 & 0xff] ^
              tables[4][v >> 24 & 0xff] ^ tables[3][v >> 32 & 0xff] ^ tables[2][v >> 40 & 0xff] ^
              tables[1][v >> 48 & 0xff] ^ tables[0][v >> 56];
    }
    for (; left > 0; left--)
        crc = crc >> 8 ^ tables[0][(crc ^ *p++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc, struct bytes b)
{
    const uint8_t *p = b.at;
    size_t left = b.size;
    uint64_t wide = (uint32_t)~crc;
    for (; left >= 8; left -= 8, p += 8)
        wide = __builtin_ia32_crc32di(wide, load_le64(p));
    uint32_t narrow = (uint32_t)wide;
    for (; left > 0; left--)
        narrow = __builtin_ia32_crc32qi(narrow, *p++);
    return ~narrow;
}

#endif

uint32_t
crc32c(uint32_t crc, struct bytes b)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return crc32c_sse42(crc, b);
#endif
    return crc32c_portable(crc, b);
}
