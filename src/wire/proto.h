/*
 * proto.h - reads protobuf messages through a bounded cursor, and writes their fields; without a
 * schema compiler.
 *
 *     for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
 *         switch (tag) {
 *         case PROTO_TAG(1, PROTO_BYTES): name = proto_bytes(&c); break;
 *         case PROTO_TAG(2, PROTO_VARINT): t_ms = (int64_t)cursor_varint(&c); break;
 *         default: proto_skip(&c, tag, 1u << 1 | 1u << 2);
 *         }
 *     }
 *     if (c.bad) return ERR_INPUT;
 *
 * Reads follow base/bytes.h: after a failure the cursor is at its end and `bad`, so one check after
 * the loop is enough; values read in the failing round are zero or empty.
 *
 * Stricter than the protobuf specification, in ways that no encoder notices: tags and lengths take
 * at most 5 bytes; a varint beyond 64 bits is refused instead of truncated; groups (long gone from
 * the language, and skipped like any unknown field) nest at most PROTO_GROUPS_MAX deep; and a known
 * field of the wrong wire type is refused if the caller names its known fields to proto_skip().
 * Text is not checked for UTF-8.
 */
#ifndef WIRE_PROTO_H
#define WIRE_PROTO_H

#include "base/buf.h"

enum proto_wire {
    PROTO_VARINT = 0,
    PROTO_FIXED64 = 1,
    PROTO_BYTES = 2,
    PROTO_GROUP_BEGIN = 3,
    PROTO_GROUP_END = 4,
    PROTO_FIXED32 = 5
};

enum { PROTO_GROUPS_MAX = 100 }; /* nesting limit, as in protobuf's own decoders */

#define PROTO_TAG(field, wire) ((uint32_t)(field) << 3 | (uint32_t)(wire))

/* The bit of a field below 64 in a set of known fields. */
#define PROTO_KNOWN(field) ((uint64_t)1 << (field))

/* The slow path of tags and lengths: more than one byte, or the end. */
static inline uint32_t
proto_varint32_long(struct cursor *c)
{
    uint32_t v = 0;
    const uint8_t *p = c->at;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (p == c->end) break;
        uint8_t b = *p++;
        if (shift == 28 && b > 0x0f) break;
        v |= (uint32_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            c->at = p;
            return v;
        }
    }
    cursor_fail(c);
    return 0;
}

static inline uint32_t
proto_varint32(struct cursor *c)
{
    if (c->at != c->end && *c->at < 0x80) return *c->at++;
    return proto_varint32_long(c);
}

/* Returns the next tag, to be compared with PROTO_TAG(); 0 at the end of the message or when it is
 * bad. */
static inline uint32_t
proto_tag(struct cursor *c)
{
    if (c->at == c->end) return 0;
    uint32_t tag = proto_varint32(c);
    if (tag >= PROTO_TAG(1, 0)) return tag;
    cursor_fail(c); /* field number 0, or not a varint */
    return 0;
}

/* Reads the contents of a field of wire type PROTO_BYTES: text, embedded message, packed numbers.
 */
static inline struct bytes
proto_bytes(struct cursor *c)
{
    return cursor_bytes(c, proto_varint32(c));
}

/* int32, uint32 and enums are sent as up to 64 bits, of which the lower half counts. */
static inline uint32_t
proto_uint32(struct cursor *c)
{
    return (uint32_t)cursor_varint(c);
}

static inline int32_t
proto_sint32(struct cursor *c)
{
    uint32_t u = (uint32_t)cursor_varint(c);
    return (int32_t)(u >> 1 ^ (0 - (u & 1)));
}

static inline int64_t
proto_int64(struct cursor *c)
{
    return (int64_t)cursor_varint(c);
}

/* Skips a group of this field after its start was read. Bad: it ends with another field's end, or
 * with the message. */
void proto_skip_group(struct cursor *c, uint32_t field);

/* Skips the value of an unknown field. A tag whose field number is in the set `known` is bad: the
 * right wire type has a case of its own. */
static inline void
proto_skip(struct cursor *c, uint32_t tag, uint64_t known)
{
    uint32_t field = tag >> 3;
    if (field < 64 && (known >> field & 1) != 0) {
        cursor_fail(c);
        return;
    }
    switch (tag & 7) {
    case PROTO_VARINT:
        cursor_varint(c);
        break;
    case PROTO_FIXED64:
        cursor_bytes(c, 8);
        break;
    case PROTO_BYTES:
        proto_bytes(c);
        break;
    case PROTO_FIXED32:
        cursor_bytes(c, 4);
        break;
    case PROTO_GROUP_BEGIN:
        proto_skip_group(c, field);
        break;
    default: /* the end of a group that was not begun, and two types that do not exist */
        cursor_fail(c);
    }
}

/* Returns the number of varints in a packed field: the exact size of the array for them. Bytes of a
 * truncated last varint are not counted; reading it fails. */
static inline uint32_t
proto_packed_count(struct bytes packed)
{
    const uint64_t tops = 0x8080808080808080u;
    size_t i = 0;
    uint64_t count = 0;
    for (; packed.size - i >= 8; i += 8) {
        uint64_t ends = (~load_le64(packed.at + i) & tops) >> 7; /* bit 0 of each last byte */
        count += ends * 0x0101010101010101u >> 56;
    }
    for (; i < packed.size; i++)
        count += packed.at[i] < 0x80;
    return (uint32_t)count;
}

/* --- writing: a field, whatever its value; all of it or nothing ------------------------------- */

static inline void
proto_put_varint(struct buf *to, uint32_t tag, uint64_t v)
{
    if (!buf_reserve(to, 2 * VARINT_SIZE_MAX)) return;
    to->size += varint_put(to->at + to->size, tag);
    to->size += varint_put(to->at + to->size, v);
}

static inline void
proto_put_fixed64(struct buf *to, uint32_t tag, uint64_t v)
{
    if (!buf_reserve(to, VARINT_SIZE_MAX + sizeof v)) return;
    to->size += varint_put(to->at + to->size, tag);
    store_le64(to->at + to->size, v);
    to->size += sizeof v;
}

static inline void
proto_put_bytes(struct buf *to, uint32_t tag, struct bytes b)
{
    if (!buf_reserve(to, 2 * VARINT_SIZE_MAX + b.size)) return;
    proto_put_varint(to, tag, b.size);
    buf_put_bytes(to, b);
}

#endif
