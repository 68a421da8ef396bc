/* label_bytes.c - accepts only labels that are a name and a value in this order. */
#include "wire/label_bytes.h"

#include "wire/proto.h"

bool
labels_next(struct cursor *c, struct label *ret_label)
{
    if (c->at == c->end) return false;
    uint8_t tag = cursor_u8(c);
    struct bytes rest = cursor_counted(c);
    if (c->bad) return false;
    struct cursor inner = cursor_of(rest);
    uint8_t name_tag = cursor_u8(&inner);
    struct bytes name = cursor_counted(&inner);
    uint8_t value_tag = cursor_u8(&inner);
    struct bytes value = cursor_counted(&inner);
    bool shaped = tag == PROTO_TAG(1, PROTO_BYTES) && name_tag == PROTO_TAG(1, PROTO_BYTES) &&
                  value_tag == PROTO_TAG(2, PROTO_BYTES);
    if (!shaped || inner.bad || inner.at != inner.end) {
        cursor_fail(c);
        return false;
    }
    *ret_label = (struct label){name, value};
    return true;
}

struct bytes
labels_get(struct bytes labels, struct bytes name)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    while (labels_next(&c, &label)) {
        int order = bytes_compare(label.name, name);
        if (order == 0) return label.value;
        if (order > 0) break;
    }
    return (struct bytes){NULL, 0};
}
