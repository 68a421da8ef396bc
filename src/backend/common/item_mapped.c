/* item_mapped.c - see item_mapped.h. */
#include "backend/common/item_mapped.h"

#include "model/labels.h"

static bool
is_finite(uint64_t bits)
{
    return (bits >> 52 & 0x7ff) != 0x7ff;
}

unsigned
item_mapped(const struct item *item, item_text_mapped *is_mapped, void *context, unsigned forms)
{
    unsigned mapped = 0;
    struct label label;
    struct cursor c = cursor_of(item->labels);
    while (labels_next(&c, &label)) {
        bool is_metric = bytes_equal_text(label.name, "__name__");
        enum writer_mapped role = is_metric ? WRITER_MAPPED_METRIC : WRITER_MAPPED_LABEL_VALUE;
        if (is_mapped(context, role, label.value)) mapped |= role;
        if (is_metric || !is_mapped(context, WRITER_MAPPED_LABEL_NAME, label.name)) continue;
        mapped |= WRITER_MAPPED_LABEL_NAME;
    }
    if (item->kind == ITEM_HISTOGRAM) mapped |= forms & WRITER_MAPPED_HISTOGRAM;
    if (item->kind == ITEM_FLOAT && !is_finite(item->bits)) mapped |= forms & WRITER_MAPPED_FLOAT;
    return mapped;
}
