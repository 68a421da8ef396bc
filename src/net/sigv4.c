/*
 * sigv4.c - the canonical request, the text that is signed, the key, and the signature.
 *
 * Path and query come as they are sent. A path becomes canonical by encoding it once more, after
 * the HTTP server's function has cleaned it (S3: neither): so the path that a signature covers is
 * the path that is routed. A query becomes canonical by decoding each name and value, encoding them
 * in the canonical form, and sorting.
 */
#include "net/sigv4.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <time.h>

#include "base/text/hex.h"
#include "net/http_head.h"

enum { SHA256_BYTES = 32, REQUEST_BYTES_MAX = 4 << 20 };

/* --- hashes ----------------------------------------------------------------------------------- */

void
sigv4_hash(struct bytes body, char *ret_hash)
{
    uint8_t hash[SHA256_BYTES];
    int failed = gnutls_hash_fast(GNUTLS_DIG_SHA256, body.at, body.size, hash);
    if (failed != 0) abort(); /* the library has no SHA-256 */
    hex_print(bytes_of(hash, sizeof hash), ret_hash);
}

static void
hmac(const uint8_t *key, size_t key_size, struct bytes text, uint8_t *ret)
{
    int failed = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, key_size, text.at, text.size, ret);
    if (failed != 0) abort();
}

/* --- percent-encoding ------------------------------------------------------------------------- */

/* Decodes percent-encoded text and encodes it again in the canonical form; `as_sent`: copies it. */
static enum err
put_canonical(struct buf *to, struct bytes text, bool as_sent)
{
    if (as_sent) {
        buf_put_bytes(to, text);
        return OK;
    }
    for (size_t i = 0, step; i < text.size; i += step) {
        uint8_t c;
        step = percent_step(text.at + i, text.size - i, &c);
        if (step == 0) return ERR_INPUT;
        if (text.at[i] == '+') c = ' ';
        buf_put_percent(to, bytes_of(&c, 1), "");
    }
    return OK;
}

/* --- the canonical request -------------------------------------------------------------------- */

struct parameter {
    struct bytes name;
    struct bytes value;
};

static int
by_name_and_value(const void *a, const void *b)
{
    const struct parameter *x = a, *y = b;
    int order = bytes_compare(x->name, y->name);
    return order != 0 ? order : bytes_compare(x->value, y->value);
}

/* Cuts `from` after the first `mark`; returns the bytes before it. */
static struct bytes
cut_after(struct bytes *from, char mark)
{
    const uint8_t *at = from->size == 0 ? NULL : memchr(from->at, mark, from->size);
    struct bytes before = at == NULL ? *from : bytes_of(from->at, (size_t)(at - from->at));
    size_t used = before.size + (at != NULL);
    *from = bytes_of(from->at + used, from->size - used);
    return before;
}

enum { PARAMETERS_MAX = 100 };

/* Writes names and values one after another into `scratch`. `ends` are offsets, since its memory
 * may move. */
static enum err
put_query(struct buf *to, struct bytes query, bool as_sent, struct buf *scratch)
{
    buf_clear(scratch);
    struct parameter all[PARAMETERS_MAX];
    size_t ends[2 * PARAMETERS_MAX];
    uint32_t count = 0;
    while (query.size > 0) {
        struct bytes value = cut_after(&query, '&');
        if (value.size == 0) continue;
        if (count == PARAMETERS_MAX) return ERR_LIMIT;
        struct bytes name = cut_after(&value, '=');
        enum err e = put_canonical(scratch, name, as_sent);
        ends[2 * count] = scratch->size;
        if (e == OK) e = put_canonical(scratch, value, as_sent);
        ends[2 * count + 1] = scratch->size;
        if (e) return e;
        count++;
    }
    /* The buffer has no address while it is empty, for example because of too little memory. */
    const uint8_t *text = scratch->at == NULL ? (const uint8_t *)"" : scratch->at;
    for (uint32_t i = 0; i < count; i++) {
        size_t begin = i == 0 ? 0 : ends[2 * i - 1];
        assert(begin <= ends[2 * i]);
        assert(ends[2 * i] <= ends[2 * i + 1]);
        all[i].name = bytes_of(text + begin, ends[2 * i] - begin);
        all[i].value = bytes_of(text + ends[2 * i], ends[2 * i + 1] - ends[2 * i]);
    }
    qsort(all, count, sizeof *all, by_name_and_value);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) buf_put_u8(to, '&');
        buf_put_bytes(to, all[i].name);
        buf_put_u8(to, '=');
        buf_put_bytes(to, all[i].value);
    }
    return buf_error(scratch);
}

static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static int
compare_header_names(struct bytes a, struct bytes b)
{
    for (size_t i = 0; i < a.size && i < b.size; i++) {
        int order = lower(a.at[i]) - lower(b.at[i]);
        if (order != 0) return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

/* Drops spaces around the value, and makes runs of spaces within it one space. */
static void
put_trimmed(struct buf *to, struct bytes value)
{
    bool space = false, any = false;
    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = value.at[i];
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            space = true;
            continue;
        }
        if (space && any) buf_put_u8(to, ' ');
        buf_put_u8(to, c);
        space = false;
        any = true;
    }
}

static void
put_lower(struct buf *to, struct bytes name)
{
    for (size_t i = 0; i < name.size; i++)
        buf_put_u8(to, lower(name.at[i]));
}

/* The headers to sign, sorted. Headers of the same name keep their order, and are signed as one. */
struct signing {
    struct sigv4_header headers[SIGV4_HEADERS_MAX + 3];
    uint32_t count;
    bool query_as_sent;
    char date[SIGV4_DATE_BYTES];
};

static void
signing_add(struct signing *s, const char *name, struct bytes value)
{
    assert(s->count < sizeof s->headers / sizeof *s->headers);
    s->headers[s->count++] = (struct sigv4_header){bytes_of_text(name), value};
}

/* Takes the headers of the request. */
static enum err
signing_init(struct signing *s, const struct sigv4_request *r)
{
    struct tm tm;
    time_t now = (time_t)r->time_s;
    if (r->header_count > SIGV4_HEADERS_MAX) return ERR_LIMIT;
    if (gmtime_r(&now, &tm) == NULL ||
        strftime(s->date, sizeof s->date, "%Y%m%dT%H%M%SZ", &tm) == 0)
        return ERR_INPUT;
    s->count = r->header_count;
    if (s->count > 0) memcpy(s->headers, r->headers, s->count * sizeof *s->headers);
    return OK;
}

/* Keeps the order of headers of the same name, by insertion. */
static void
signing_sort(struct signing *s)
{
    for (uint32_t i = 1; i < s->count; i++) {
        struct sigv4_header h = s->headers[i];
        uint32_t at = i;
        for (; at > 0 && compare_header_names(s->headers[at - 1].name, h.name) > 0; at--)
            s->headers[at] = s->headers[at - 1];
        s->headers[at] = h;
    }
}

/* Adds the headers that sigv4_sign() makes. */
static enum err
signing_of_sender(struct signing *s, const struct sigv4_request *r,
                  const struct sigv4_credentials *c)
{
    enum err e = signing_init(s, r);
    if (e) return e;
    if (r->is_s3) signing_add(s, "x-amz-content-sha256", bytes_of_text(r->payload_hash));
    signing_add(s, "x-amz-date", bytes_of_text(s->date));
    if (c->session_token.size > 0) signing_add(s, "x-amz-security-token", c->session_token);
    signing_sort(s);
    return OK;
}

static bool
is_repeated(const struct signing *s, uint32_t i)
{
    return i > 0 && compare_header_names(s->headers[i - 1].name, s->headers[i].name) == 0;
}

static void
put_signed_names(struct buf *to, const struct signing *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (is_repeated(s, i)) continue;
        if (i > 0) buf_put_u8(to, ';');
        put_lower(to, s->headers[i].name);
    }
}

static enum err
put_request(struct buf *to, const struct sigv4_request *r, const struct signing *s)
{
    struct buf scratch;
    buf_init_secret(&scratch, to->budget, REQUEST_BYTES_MAX);
    buf_put_bytes(to, r->method);
    buf_put_u8(to, '\n');
    if (r->is_s3 && r->path.size > 0) {
        buf_put_bytes(to, r->path);
    } else {
        struct bytes path = r->path;
        if (http_path_clean(path, &scratch)) path = buf_bytes(&scratch);
        buf_put_percent(to, path.size == 0 ? bytes_of_text("/") : path, "/");
    }
    enum err e = buf_error(&scratch);
    buf_put_u8(to, '\n');
    if (e == OK) e = put_query(to, r->query, s->query_as_sent, &scratch);
    buf_fini(&scratch);
    buf_put_u8(to, '\n');
    for (uint32_t i = 0; i < s->count; i++) {
        if (is_repeated(s, i)) {
            buf_put_u8(to, ',');
        } else {
            if (i > 0) buf_put_u8(to, '\n');
            put_lower(to, s->headers[i].name);
            buf_put_u8(to, ':');
        }
        put_trimmed(to, s->headers[i].value);
    }
    buf_put_text(to, "\n\n");
    put_signed_names(to, s);
    buf_put_u8(to, '\n');
    buf_put_text(to, r->payload_hash);
    return e ? e : buf_error(to);
}

enum err
sigv4_canonical(const struct sigv4_request *request, const struct sigv4_credentials *credentials,
                struct buf *to)
{
    struct signing s = {.count = 0};
    enum err e = signing_of_sender(&s, request, credentials);
    return e ? e : put_request(to, request, &s);
}

/* --- the signature ---------------------------------------------------------------------------- */

static enum err
derive_key(const struct sigv4_request *r, struct bytes secret, struct bytes day,
           struct buf *scratch, uint8_t *ret_key)
{
    uint8_t next[SHA256_BYTES];
    const struct bytes steps[] = {day, r->region, r->service, bytes_of_text("aws4_request")};
    buf_clear(scratch);
    if (!buf_reserve(scratch, 4 + secret.size)) return buf_error(scratch);
    buf_put_text(scratch, "AWS4");
    buf_put_bytes(scratch, secret);
    hmac(scratch->at, scratch->size, steps[0], ret_key);
    for (unsigned i = 1; i < sizeof steps / sizeof *steps; i++) {
        hmac(ret_key, SHA256_BYTES, steps[i], next);
        memcpy(ret_key, next, sizeof next);
    }
    explicit_bzero(next, sizeof next);
    return OK;
}

static void
put_scope(struct buf *to, const struct sigv4_request *r, struct bytes day)
{
    buf_put_bytes(to, day);
    buf_put_u8(to, '/');
    buf_put_bytes(to, r->region);
    buf_put_u8(to, '/');
    buf_put_bytes(to, r->service);
    buf_put_text(to, "/aws4_request");
}

/* Writes the signature in hex. */
static enum err
make_signature(const struct sigv4_request *r, struct bytes secret, const struct signing *s,
               struct budget *budget, char *ret_signature)
{
    uint8_t key[SHA256_BYTES], signature[SHA256_BYTES];
    char hash[SIGV4_HASH_BYTES];
    struct bytes day = bytes_of(s->date, 8);
    struct buf scratch;
    buf_init_secret(&scratch, budget, REQUEST_BYTES_MAX);
    enum err e = put_request(&scratch, r, s);
    if (e) goto out;
    sigv4_hash(buf_bytes(&scratch), hash);
    e = derive_key(r, secret, day, &scratch, key);
    if (e) goto out;
    buf_clear(&scratch);
    buf_put_text(&scratch, "AWS4-HMAC-SHA256\n");
    buf_put_text(&scratch, s->date);
    buf_put_u8(&scratch, '\n');
    put_scope(&scratch, r, day);
    buf_put_u8(&scratch, '\n');
    buf_put_text(&scratch, hash);
    e = buf_error(&scratch);
    if (e == OK) hmac(key, sizeof key, buf_bytes(&scratch), signature);
    explicit_bzero(key, sizeof key);
    if (e == OK) hex_print(bytes_of(signature, sizeof signature), ret_signature);
out:
    buf_fini(&scratch);
    return e;
}

enum err
sigv4_expect(const struct sigv4_request *r, struct bytes secret_key, bool query_as_sent,
             struct budget *budget, char *ret_signature)
{
    struct signing s;
    enum err e = signing_init(&s, r);
    if (e) return e;
    s.query_as_sent = query_as_sent;
    signing_sort(&s);
    return make_signature(r, secret_key, &s, budget, ret_signature);
}

enum err
sigv4_sign(const struct sigv4_request *r, const struct sigv4_credentials *c, struct buf *to)
{
    struct signing s = {.count = 0};
    char signature[SIGV4_HASH_BYTES];
    enum err e = signing_of_sender(&s, r, c);
    if (e == OK) e = make_signature(r, c->secret_key, &s, to->budget, signature);
    if (e) return e;
    buf_printf(to, "X-Amz-Date: %s\n", s.date);
    if (c->session_token.size > 0) {
        buf_put_text(to, "X-Amz-Security-Token: ");
        buf_put_bytes(to, c->session_token);
        buf_put_u8(to, '\n');
    }
    if (r->is_s3) buf_printf(to, "X-Amz-Content-Sha256: %s\n", r->payload_hash);
    buf_put_text(to, "Authorization: AWS4-HMAC-SHA256 Credential=");
    buf_put_bytes(to, c->access_key);
    buf_put_u8(to, '/');
    put_scope(to, r, bytes_of(s.date, 8));
    buf_put_text(to, ", SignedHeaders=");
    put_signed_names(to, &s);
    buf_printf(to, ", Signature=%s\n", signature);
    return buf_error(to);
}
