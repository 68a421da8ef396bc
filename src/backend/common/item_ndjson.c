/* item_ndjson.c - see item_ndjson.h. */
#include "backend/common/item_ndjson.h"

#include <assert.h>

#include "base/text/utf8.h"
#include "wire/json/ndjson_line.h"

void
item_ndjson_put(struct buf *to, const struct item *item)
{
    struct ndjson_exemplar exemplar = {item->exemplar_labels, item->t_ms, item->bits};
    struct ndjson_sample sample = {.t_ms = item->t_ms, .start_ms = item->start_ms};
    assert(item->kind != ITEM_METADATA);
    switch (item->kind) {
    case ITEM_HISTOGRAM:
        sample.kind = NDJSON_HISTOGRAM;
        sample.histogram = item->histogram;
        break;
    case ITEM_EXEMPLAR:
        sample.kind = NDJSON_EXEMPLARS;
        sample.exemplars = &exemplar;
        sample.exemplar_count = 1;
        break;
    default:
        sample.kind = NDJSON_FLOAT;
        sample.bits = item->bits;
        break;
    }
    ndjson_line_put(to, item->labels, &sample);
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
