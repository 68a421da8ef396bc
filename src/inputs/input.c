/* input.c - see input.h. */
#include "inputs/input.h"

#include <stdlib.h>

static int
compare_names(const void *a, const void *b)
{
    return bytes_compare(((const struct label *)a)->name, ((const struct label *)b)->name);
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct bytes
input_word(struct bytes *line)
{
    size_t from = 0, end;
    while (from < line->size && is_blank(line->at[from]))
        from++;
    for (end = from; end < line->size && !is_blank(line->at[end]); end++)
        ;
    struct bytes word = bytes_of(line->at + from, end - from);
    *line = bytes_of(line->at + end, line->size - end);
    return word;
}

enum err
input_end(struct rw_request *to, enum err e, struct why *why)
{
    if (e == OK)
        rw_fill_end(to);
    else
        rw_request_clear(to);
    if (e == ERR_LIMIT)
        return why_set(why, e, "the series of the request need too much memory: send smaller ones");
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the request") : e;
}

bool
input_sort_labels(struct label *labels, uint32_t *count)
{
    uint32_t kept = 0;
    bool is_sorted = true;
    for (uint32_t i = 0; i < *count; i++)
        if (labels[i].value.size > 0) labels[kept++] = labels[i];
    *count = kept;
    for (uint32_t i = 1; i < kept && is_sorted; i++)
        is_sorted = compare_names(&labels[i - 1], &labels[i]) < 0;
    if (is_sorted) return true;
    qsort(labels, kept, sizeof *labels, compare_names);
    for (uint32_t i = 1; i < kept; i++)
        if (compare_names(&labels[i - 1], &labels[i]) == 0) return false;
    return true;
}
