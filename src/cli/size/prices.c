/* prices.c - see prices.h. */
#include "cli/size/prices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LINE_BYTES = 192 };

static bool
is_amount(double x)
{
    return isfinite(x) && x >= 0;
}

/* False: not a line of the format. */
static bool
read_line(const char *line, struct prices *p)
{
    int end = 0;
    unsigned year, month, day;
    if (sscanf(line, "date %4u-%2u-%2u %n", &year, &month, &day, &end) == 3 && line[end] == '\0') {
        snprintf(p->date, sizeof p->date, "%04u-%02u-%02u", year, month, day);
        return true;
    }
    if (sscanf(line, "what %127[^\n]%n", p->what, &end) == 1 && end > 0 && line[end] == '\0') {
        return true;
    }
    end = 0;
    if (sscanf(line, "disk %lf %n", &p->disk, &end) == 1 && end > 0) {
        return line[end] == '\0' && is_amount(p->disk);
    }
    if (p->machine_count == PRICES_MACHINES_MAX) return false;
    struct machine_price *m = &p->machines[p->machine_count];
    if (sscanf(line, "machine %31s %lf %lf %lf %n", m->name, &m->cores, &m->gib, &m->price, &end) <
            4 ||
        line[end] != '\0' || !is_amount(m->cores) || !is_amount(m->gib) || !is_amount(m->price)) {
        return false;
    }
    p->machine_count++;
    return true;
}

enum err
prices_read(struct bytes text, struct prices *ret, struct why *why)
{
    char line[LINE_BYTES];
    memset(ret, 0, sizeof *ret);
    ret->disk = NAN;
    const uint8_t *at = text.at, *end = text.at + text.size;
    for (unsigned number = 1; at < end; number++) {
        const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL) line_end = end;
        size_t size = (size_t)(line_end - at);
        if (size >= sizeof line || memchr(at, '\0', size) != NULL) {
            return why_set(why, ERR_INPUT, "line %u is too long, or not text", number);
        }
        memcpy(line, at, size);
        line[size] = '\0';
        if (line[0] != '#' && line[strspn(line, " \t\r")] != '\0' && !read_line(line, ret)) {
            return why_set(why, ERR_INPUT,
                           "line %u is invalid, or there are more than %d machines; expected "
                           "'date YEAR-MONTH-DAY', 'what TEXT', 'disk PRICE' or 'machine NAME "
                           "CORES GIB PRICE'",
                           number, PRICES_MACHINES_MAX);
        }
        at = line_end + (line_end < end);
    }
    if (ret->date[0] == '\0' || isnan(ret->disk)) {
        return why_set(why, ERR_INPUT, "the line 'date' or 'disk' is missing");
    }
    return OK;
}

const struct machine_price *
prices_machine(const struct prices *p, double cores, double gib)
{
    const struct machine_price *best = NULL;
    for (uint32_t i = 0; i < p->machine_count; i++) {
        const struct machine_price *m = &p->machines[i];
        if (m->cores < cores || m->gib < gib) continue;
        if (best == NULL || m->price < best->price) best = m;
    }
    return best;
}
