/* input.c - see input.h. */
#include "inputs/input.h"

#include <stdlib.h>

static int
compare_names(const void *a, const void *b)
{
    return bytes_compare(((const struct label *)a)->name, ((const struct label *)b)->name);
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
