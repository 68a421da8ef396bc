/* item_ndjson.c - see item_ndjson.h. */
#include "backend/common/item_ndjson.h"

#include <assert.h>

#include "base/text/utf8.h"
#include "wire/json/sample_json.h"

struct labelled_sample
item_sample(const struct item *item)
{
    return (struct labelled_sample){
        .labels = item->labels,
        .t_ms = item->t_ms,
        .start_ms = item->start_ms,
        .bits = item->bits,
        .histogram = item->kind == ITEM_HISTOGRAM ? item->histogram : NULL,
    };
}

void
item_ndjson_put(struct buf *to, const struct item *item)
{
    struct labelled_sample sample = item_sample(item);
    assert(item->kind != ITEM_METADATA);
    ndjson_line_put(to, &sample, item->kind == ITEM_EXEMPLAR ? &item->exemplar_labels : NULL);
}

static bool
ndjson_is_mapped(void *context, enum writer_mapped role, struct bytes text)
{
    (void)context;
    (void)role;
    return !utf8_valid(text);
}

unsigned
item_ndjson_mapped(struct writer *writer, const struct item *item)
{
    (void)writer;
    return writer_item_mapped(item, ndjson_is_mapped, NULL,
                              WRITER_MAPPED_FLOAT | WRITER_MAPPED_HISTOGRAM);
}
