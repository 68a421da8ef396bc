/* retention_size.c - see retention_size.h. */
#include "cli/migrate/retention_size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
retention_size_read(const char *text, uint64_t *ret_bytes)
{
    static const char units[] = "BKMGTPE";
    double sum = 0;
    if (text[0] == '\0') return false;
    while (*text != '\0') {
        char *end;
        if (strspn(text, "0123456789.") == 0) return false;
        double number = strtod(text, &end);
        const char *unit = *end == '\0' ? units : strchr(units, *end);
        if (unit == NULL || end != text + strspn(text, "0123456789.")) return false;
        text = *end == '\0' ? end : end + 1;
        if (unit != units) {
            if (*text == 'i') text++;
            if (*text++ != 'B') return false;
        }
        sum += number * (double)(UINT64_C(1) << 10 * (unit - units));
    }
    if (!(sum < 0x1p63)) return false;
    *ret_bytes = (uint64_t)sum;
    return true;
}

void
retention_size_print(uint64_t bytes, char ret_text[static RETENTION_SIZE_BYTES])
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    for (; bytes > 0 && bytes % 1024 == 0 && unit + 1 < sizeof units / sizeof *units; unit++)
        bytes /= 1024;
    snprintf(ret_text, RETENTION_SIZE_BYTES, "%llu%s", (unsigned long long)bytes, units[unit]);
}
