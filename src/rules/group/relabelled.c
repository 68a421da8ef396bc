/* relabelled.c - see relabelled.h. */
#include "rules/group/relabelled.h"

#include <assert.h>
#include <stdlib.h>

static int
relabelled_compare_names(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    return bytes_compare(x->name, y->name);
}

uint32_t
relabelled_sort(struct label *over, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool is_new = true;
        for (uint32_t k = 0; k < kept && is_new; k++) {
            is_new = !bytes_equal(over[k].name, over[i].name);
        }
        if (is_new) over[kept++] = over[i];
    }
    if (kept > 1) qsort(over, kept, sizeof *over, relabelled_compare_names);
    return kept;
}

void
relabelled_put(struct buf *to, struct bytes labels, const struct label *over, uint32_t count)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    bool more = labels_next(&c, &label);
    uint32_t i = 0;
    while (more || i < count) {
        assert(i + 1 >= count || bytes_compare(over[i].name, over[i + 1].name) < 0);
        int order = !more ? 1 : i == count ? -1 : bytes_compare(label.name, over[i].name);
        if (order < 0) {
            labels_put(to, label);
        } else if (over[i].value.size > 0) {
            labels_put(to, over[i]);
        }
        if (order >= 0) i++;
        if (order <= 0) more = labels_next(&c, &label);
    }
}
