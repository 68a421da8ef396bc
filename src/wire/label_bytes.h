/*
 * label_bytes.h - steps through canonical label bytes: the `labels` fields of a 1.0 TimeSeries, as
 * model/labels.h makes them. For writers, which are given nothing else.
 */
#ifndef WIRE_LABEL_BYTES_H
#define WIRE_LABEL_BYTES_H

#include "wire/proto.h"
#include "wire/shape.h"

/* False at the end, and at bytes that are no such labels (then c->bad). */
static inline bool
label_bytes_next(struct cursor *c, struct label *ret_label)
{
    if (c->at == c->end) return false;
    if (proto_tag(c) != PROTO_TAG(1, PROTO_BYTES)) {
        cursor_fail(c);
        return false;
    }
    struct cursor field = cursor_of(proto_bytes(c));
    if (proto_tag(&field) != PROTO_TAG(1, PROTO_BYTES)) field.bad = true;
    ret_label->name = proto_bytes(&field);
    if (proto_tag(&field) != PROTO_TAG(2, PROTO_BYTES)) field.bad = true;
    ret_label->value = proto_bytes(&field);
    if (field.bad) cursor_fail(c);
    return !c->bad;
}

#endif
