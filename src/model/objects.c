/* objects.c - see objects.h. */
#include "model/objects.h"

#include <gnutls/crypto.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"

enum { READ_BYTES = 256 * 1024 };

enum err
object_digest_of(struct bytes content, struct object_digest *ret_digest)
{
    static const uint8_t none[1];
    const void *at = content.at == NULL ? none : content.at;
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, at, content.size, ret_digest->at) < 0 ? ERR_NOMEM
                                                                                     : OK;
}

enum err
object_digester_begin(struct object_digester *d)
{
    gnutls_hash_hd_t whole, piece;
    *d = (struct object_digester){0};
    if (gnutls_hash_init(&whole, GNUTLS_DIG_SHA256) < 0) return ERR_NOMEM;
    d->whole = whole;
    if (gnutls_hash_init(&piece, GNUTLS_DIG_SHA256) < 0) {
        gnutls_hash_deinit(whole, NULL);
        return ERR_NOMEM;
    }
    d->piece = piece;
    return OK;
}

/* Adds the digest of the piece to that of the whole. */
static enum err
end_piece(struct object_digester *d)
{
    gnutls_hash_output(d->piece, d->last.at); /* and begins the next piece */
    d->pieces++;
    return gnutls_hash(d->whole, d->last.at, sizeof d->last.at) < 0 ? ERR_NOMEM : OK;
}

enum err
object_digester_take(void *context, struct bytes bytes)
{
    struct object_digester *d = context;
    while (bytes.size > 0) {
        /* A piece ends when more follows, so that an object of exactly one piece has no list. */
        uint64_t in_piece = d->size - d->pieces * OBJECT_PIECE_BYTES;
        if (in_piece == OBJECT_PIECE_BYTES) {
            enum err e = end_piece(d);
            if (e) return e;
            in_piece = 0;
        }
        uint64_t room = OBJECT_PIECE_BYTES - in_piece;
        size_t size = bytes.size < room ? bytes.size : (size_t)room;
        if (gnutls_hash(d->piece, bytes.at, size) < 0) return ERR_NOMEM;
        d->size += size;
        bytes = bytes_of(bytes.at + size, bytes.size - size);
    }
    return OK;
}

enum err
object_digester_end(struct object_digester *d, enum err e, struct object_digest *ret_digest)
{
    if (e == OK) e = end_piece(d);
    if (d->pieces == 1)
        *ret_digest = d->last;
    else
        gnutls_hash_output(d->whole, ret_digest->at);
    gnutls_hash_deinit(d->whole, NULL);
    gnutls_hash_deinit(d->piece, NULL);
    return e;
}

/* --- whole objects ---------------------------------------------------------------------------- */

static enum err
append_piece(void *context, struct bytes piece)
{
    struct buf *to = context;
    buf_put_bytes(to, piece);
    return buf_error(to);
}

enum err
objects_get(struct objects *o, const char *key, struct buf *to, struct why *why)
{
    buf_clear(to);
    enum err e = o->ops->get(o, key, append_piece, to, why);
    if (e == ERR_LIMIT) return why_set(why, ERR_CORRUPT, "%s is too large", key);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory to read %s", key) : e;
}

enum err
objects_look(struct objects *o, const char *key, bool always, struct object_facts *ret,
             struct why *why)
{
    struct object_digester digester;
    enum err e = o->ops->look(o, key, ret, why);
    if (e || ret->is_archived || (ret->has_digest && !always)) return e;
    if (object_digester_begin(&digester))
        return why_set(why, ERR_NOMEM, "not enough memory for a checksum");
    e = o->ops->get(o, key, object_digester_take, &digester, why);
    return object_digester_end(&digester, e, &ret->digest);
}

/* --- a test of the bucket --------------------------------------------------------------------- */

/* ERR_IO: the object has another content. */
static enum err
expect_probe(struct objects *o, const char *key, struct bytes content, struct budget *memory,
             struct why *why)
{
    struct buf found;
    buf_init(&found, memory, READ_BYTES);
    enum err e = objects_get(o, key, &found, why);
    if (e == ERR_MISSING || (e == OK && !bytes_equal(buf_bytes(&found), content)))
        e = why_set(why, ERR_IO, "%s: the bucket does not return what was written", key);
    buf_fini(&found);
    return e;
}

enum err
objects_probe(struct objects *o, struct env *env, struct budget *memory, bool *ret_conditional,
              struct why *why)
{
    char key[OBJECT_KEY_BYTES];
    uint64_t random;
    struct object_facts facts;
    bool written = true;
    const struct bytes first = bytes_of_text("first"), second = bytes_of_text("second");
    enum err e = env_random(env, &random, sizeof random);
    if (e) return why_set(why, e, "no random numbers");
    snprintf(key, sizeof key, "probe/%016" PRIx64, random);
    e = o->ops->look(o, key, &facts, why);
    if (e == OK) return why_set(why, ERR_IO, "%s: the bucket has what was never written", key);
    if (e != ERR_MISSING) return e;
    e = o->ops->put(o, key, first, false, NULL, why);
    if (e == OK) e = expect_probe(o, key, first, memory, why);
    if (e) return e;
    e = o->ops->put(o, key, second, true, &written, why);
    *ret_conditional = e == OK && !written;
    if (*ret_conditional) e = expect_probe(o, key, first, memory, why);
    if (e == ERR_IO && !*ret_conditional) e = OK; /* it refuses conditions */
    enum err removed = o->ops->remove(o, key, why);
    return err_first(e, removed);
}
