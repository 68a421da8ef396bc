/* fields.h - describes the fields of a record once for writing and reading: each function appends a
 * field to a buffer, or reads it from a cursor. Fields are zero once the cursor is bad. All
 * functions are inline, so that only one direction is left where it is known. */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include "base/buf.h"

#define FIELDS_INLINE static inline __attribute__((always_inline))

struct fields {
    struct buf *to; /* NULL when fields are read */
    struct cursor *from;
};

/* Marks the record as bad unless `good`. */
static inline void
fields_check(const struct fields *f, bool good)
{
    if (f->to == NULL && !good) cursor_fail(f->from);
}

static inline bool
fields_are_good(const struct fields *f)
{
    return f->to != NULL || !f->from->bad;
}

/* True if more fields follow: the record of an older version may end here. */
static inline bool
fields_follow(const struct fields *f)
{
    return f->to != NULL || (!f->from->bad && cursor_left(f->from) > 0);
}

#define FIELD(name, type, put, get)                                      \
    FIELDS_INLINE void field_##name(const struct fields *f, type *value) \
    {                                                                    \
        if (f->to != NULL)                                               \
            put(f->to, *value);                                          \
        else                                                             \
            *value = get(f->from);                                       \
    }
FIELD(u8, uint8_t, buf_put_u8, cursor_u8)
FIELD(le64, uint64_t, buf_put_le64, cursor_le64)
FIELD(varint, uint64_t, buf_put_varint, cursor_varint)
FIELD(zigzag, int64_t, buf_put_zigzag, cursor_zigzag)
FIELD(counted, struct bytes, buf_put_counted, cursor_counted) /* a view when read */
#undef FIELD

static inline void
field_varints(const struct fields *f, uint64_t *values, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        field_varint(f, &values[i]);
    }
}

FIELDS_INLINE void
field_u32(const struct fields *f, uint32_t *value)
{
    uint64_t wide = *value;
    field_varint(f, &wide);
    fields_check(f, wide <= UINT32_MAX);
    *value = (uint32_t)wide;
}

static inline void
field_bool(const struct fields *f, bool *value)
{
    uint8_t byte = *value;
    field_u8(f, &byte);
    *value = byte != 0;
}

static inline void
field_fixed(const struct fields *f, uint8_t *bytes, size_t size)
{
    if (f->to != NULL) {
        buf_put(f->to, bytes, size);
        return;
    }
    struct bytes value = cursor_bytes(f->from, size);
    if (!f->from->bad) memcpy(bytes, value.at, size);
}

/* A text of less than `size` bytes that ends in NUL. */
static inline void
field_text(const struct fields *f, char *text, size_t size)
{
    struct bytes value = f->to == NULL ? bytes_of(NULL, 0) : bytes_of_text(text);
    field_counted(f, &value);
    if (f->to != NULL) return;
    fields_check(f, value.size < size &&
                        (value.size == 0 || memchr(value.at, '\0', value.size) == NULL));
    if (f->from->bad) return;
    if (value.size > 0) memcpy(text, value.at, value.size);
    text[value.size] = '\0';
}

#endif
