/* content.c - see content.h. */
#include "backend/s3/content.h"

#include "base/hash.h"

enum { CONTENT_VERSION = 1 }; /* of what a line of an object looks like */

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
