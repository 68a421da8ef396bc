/* saved.c - see saved.h. */
#include "backend/s3/saved.h"

#include "base/hash/hash.h"

enum {
    VERSION_WITHOUT_DIGEST = 1,
    VERSION = 2,
    CONTENT_VERSION = 1, /* changes with the form of a line in objects */
};

static uint64_t
mix_text(uint64_t hash, const char *text)
{
    return hash_mix(hash, text == NULL ? 0 : hash_bytes(bytes_of_text(text), 0));
}

uint64_t
s3_content_hash(const struct destination_settings *d)
{
    const struct s3_settings *s3 = &d->u.s3;
    uint64_t hash = hash_mix(CONTENT_VERSION, (uint64_t)s3->compression);
    hash = mix_text(hash, s3->bucket);
    hash = mix_text(hash, s3->endpoint);
    hash = mix_text(hash, s3->prefix);
    return hash_mix(hash, destination_selection_hash(d));
}

void
s3_saved_put(const struct s3_saved *s, const struct s3_object *pending, struct buf *to)
{
    buf_put_u8(to, VERSION);
    buf_put_counted(to, s->learnt);
    buf_put_varint(to, s->seal_count);
    buf_put_counted(to, s->directory);
    buf_put_counted(to, s->instance);
    buf_put_u8(to, pending != NULL);
    if (pending != NULL) buf_put_le64(to, s->content);
    if (pending != NULL) s3_object_put(pending, to);
}

bool
s3_saved_get(struct bytes bytes, struct s3_saved *ret)
{
    struct cursor c = cursor_of(bytes);
    uint8_t version = bytes.size == 0 ? 0 : cursor_u8(&c);
    *ret = (struct s3_saved){.has_digest = version == VERSION};
    if (version != VERSION && version != VERSION_WITHOUT_DIGEST) return false;
    struct s3_saved s = *ret;
    s.learnt = cursor_counted(&c);
    s.seal_count = cursor_varint(&c);
    if (s.has_digest) s.directory = cursor_counted(&c);
    if (s.has_digest) s.instance = cursor_counted(&c);
    bool is_pending = cursor_u8(&c) != 0;
    if (c.bad) return false;
    s.content = is_pending ? cursor_le64(&c) : 0;
    s.is_pending = is_pending && s3_object_get(&c, s.has_digest, &s.object) &&
                   s.object.size <= (uint64_t)S3_PART_BYTES * S3_PARTS_MAX;
    *ret = s;
    return true;
}
