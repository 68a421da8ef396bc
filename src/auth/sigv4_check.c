/*
 * sigv4_check.c - see signed.h.
 *
 * Reading a claim is grammar alone: one way of signing, each part once and well-formed. Judging
 * compares the claim with the terms, the cheapest first, and the signature last.
 *
 * The canonical request is made by net/sigv4.h, whose path is the one that the HTTP server routes:
 * cleaned by the same function and encoded once more, never decoded. Paths and queries that a
 * signer and the server may read differently are malformed: a target that is not a path, a dot that
 * is escaped, a semicolon between arguments.
 *
 * Signers differ in how they sign a query, so two forms are tried: decoded, encoded and sorted, as
 * AWS specifies; and sorted only. A signature of either form fits one set of arguments: the first
 * is made of the arguments that the server reads, the second is the query itself.
 *
 * Invariants:
 *
 * 1. `texts` of a claim has its size before the first view of it is taken, and never grows.
 * 2. A claim is verified only by a signature that was compared, and then stays so: its request and
 *    its terms do not change.
 */
#include "auth/signed.h"

#include <assert.h>
#include <gnutls/gnutls.h>
#include <strings.h>
#include <time.h>

#include "base/text/hex.h"
#include "base/text/texts.h"
#include "base/text/utf8.h"

enum { QUERY_BYTES_MAX = 1 << 20, KEY_ID_BYTES_MAX = 128, HASH_DIGITS = SIGV4_HASH_BYTES - 1 };

static const char algorithm[] = "AWS4-HMAC-SHA256";
static const char unsigned_payload[] = "UNSIGNED-PAYLOAD";

/* --- texts ------------------------------------------------------------------------------------ */

static bool
same_name(struct bytes a, const char *b)
{
    return a.size == strlen(b) && strncasecmp((const char *)a.at, b, a.size) == 0;
}

static bool
begins(struct bytes text, const char *with)
{
    size_t size = strlen(with);
    return text.size >= size && strncasecmp((const char *)text.at, with, size) == 0;
}

/* The digits of a hash, in lower case. */
static bool
is_hash(struct bytes text)
{
    if (text.size != HASH_DIGITS) return false;
    for (size_t i = 0; i < text.size; i++)
        if (hex_digit(text.at[i]) < 0 || (text.at[i] >= 'A' && text.at[i] <= 'F')) return false;
    return true;
}

/* Reads exactly that many digits. */
static bool
read_digits(const uint8_t *at, size_t count, int64_t *ret)
{
    int64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        if (!ascii_is_digit(at[i])) return false;
        number = 10 * number + (at[i] - '0');
    }
    *ret = number;
    return true;
}

/* --- times ------------------------------------------------------------------------------------ */

/* Reads "20150830T123600Z". */
static bool
read_basic_time(struct bytes text, int64_t *ret_s)
{
    static const struct {
        uint8_t at, digits;
    } fields[] = {{0, 4}, {4, 2}, {6, 2}, {9, 2}, {11, 2}, {13, 2}};
    int64_t v[6];
    if (text.size != SIGV4_DATE_BYTES - 1 || text.at[8] != 'T' || text.at[15] != 'Z') return false;
    for (int i = 0; i < 6; i++)
        if (!read_digits(text.at + fields[i].at, fields[i].digits, &v[i])) return false;
    struct tm given = {.tm_year = (int)v[0] - 1900,
                       .tm_mon = (int)v[1] - 1,
                       .tm_mday = (int)v[2],
                       .tm_hour = (int)v[3],
                       .tm_min = (int)v[4],
                       .tm_sec = (int)v[5]};
    struct tm real = given;
    *ret_s = timegm(&real); /* changes fields that are beyond their range */
    return real.tm_mon == given.tm_mon && real.tm_mday == given.tm_mday &&
           real.tm_hour == given.tm_hour && real.tm_min == given.tm_min &&
           real.tm_sec == given.tm_sec;
}

/* Reads a Date header: the form above, or "Sun, 30 Aug 2015 12:36:00 GMT", for which botocore
 * writes -0000. */
static bool
read_date_header(struct bytes text, int64_t *ret_s)
{
    static const char *const zones[] = {" GMT", " -0000", " +0000"};
    char copy[40];
    struct tm tm = {.tm_mday = 0};
    if (read_basic_time(text, ret_s)) return true;
    if (text.size == 0 || text.size >= sizeof copy) return false;
    memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    const char *rest = strptime(copy, "%a, %d %b %Y %H:%M:%S", &tm);
    if (rest == NULL) return false;
    *ret_s = timegm(&tm);
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++)
        if (strcmp(rest, zones[i]) == 0) return true;
    return false;
}

static bool
is_day_of(struct bytes day, int64_t time_s)
{
    char text[16];
    struct tm tm;
    time_t time = (time_t)time_s;
    return gmtime_r(&time, &tm) != NULL && strftime(text, sizeof text, "%Y%m%d", &tm) > 0 &&
           bytes_equal_text(day, text);
}

/* --- parts of a claim ------------------------------------------------------------------------- */

/* Reads "ID/20150830/us-east-1/aps/aws4_request". */
static enum err
read_credential(struct sigv4_claim *c, struct bytes text, struct why *why)
{
    struct bytes parts[5];
    for (int i = 0; i < 5; i++) {
        parts[i] = text_cut(&text, '/');
        if (parts[i].size == 0) return why_set(why, ERR_INPUT, "malformed credential scope");
    }
    if (text.at != NULL || !bytes_equal_text(parts[4], "aws4_request"))
        return why_set(why, ERR_INPUT, "malformed credential scope");
    if (parts[0].size > KEY_ID_BYTES_MAX) return why_set(why, ERR_INPUT, "access key too long");
    c->key_id = parts[0];
    c->day = parts[1];
    c->region = parts[2];
    c->service = parts[3];
    return OK;
}

static bool
is_lower_name(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.at[i];
        bool fine = (c >= 'a' && c <= 'z') || ascii_is_digit(c) ||
                    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
        if (!fine) return false;
    }
    return name.size > 0;
}

/* Names in lower case, sorted, each once. */
static enum err
read_signed_names(struct sigv4_claim *c, struct bytes text, struct why *why)
{
    struct bytes last = bytes_of(NULL, 0);
    c->signed_names = text;
    do {
        struct bytes name = text_cut(&text, ';');
        if (!is_lower_name(name) || bytes_compare(last, name) >= 0)
            return why_set(why, ERR_INPUT, "malformed or unsorted list of signed headers");
        last = name;
    } while (text.at != NULL);
    return OK;
}

/* Reads what header and query share. */
static enum err
read_parts(struct sigv4_claim *c, struct bytes credential, struct bytes signed_names,
           struct bytes signature, struct why *why)
{
    if (!is_hash(signature)) return why_set(why, ERR_INPUT, "malformed signature");
    c->signature = signature;
    enum err e = read_credential(c, credential, why);
    return e ? e : read_signed_names(c, signed_names, why);
}

/* Reads an Authorization header: the algorithm, and three items in any order. */
static enum err
read_authorization(struct sigv4_claim *c, struct bytes text, struct why *why)
{
    static const char *const names[] = {"Credential", "SignedHeaders", "Signature"};
    struct bytes values[3] = {{NULL, 0}};
    struct bytes word = text_cut(&text, ' ');
    if (!bytes_equal_text(word, algorithm))
        return why_set(why, ERR_INPUT, "unsupported algorithm, expected %s", algorithm);
    do {
        struct bytes value = text_trim(text_cut(&text, ','));
        struct bytes name = text_cut(&value, '=');
        int i = 0;
        while (i < 3 && !bytes_equal_text(name, names[i]))
            i++;
        if (i == 3 || value.size == 0 || values[i].at != NULL)
            return why_set(why, ERR_INPUT, "malformed Authorization header");
        values[i] = value;
    } while (text.at != NULL);
    for (int i = 0; i < 3; i++)
        if (values[i].at == NULL) return why_set(why, ERR_INPUT, "missing %s", names[i]);
    return read_parts(c, values[0], values[1], values[2], why);
}

/* --- presigned queries ------------------------------------------------------------------------ */

enum presigned_part {
    ALGORITHM,
    CREDENTIAL,
    DATE,
    EXPIRES,
    SIGNED_HEADERS,
    SIGNATURE,
    SECURITY_TOKEN, /* the only one that may be absent */
    PRESIGNED_PARTS,
};

static const char *const part_names[PRESIGNED_PARTS] = {
    "X-Amz-Algorithm",     "X-Amz-Credential", "X-Amz-Date",          "X-Amz-Expires",
    "X-Amz-SignedHeaders", "X-Amz-Signature",  "X-Amz-Security-Token"};

/* Returns PRESIGNED_PARTS if it is an ordinary argument. */
static enum presigned_part
part_of(struct bytes name)
{
    enum presigned_part p = 0;
    while (p < PRESIGNED_PARTS && !same_name(name, part_names[p]))
        p++;
    return p;
}

static bool
has_part(struct bytes query)
{
    while (query.size > 0) {
        struct bytes value = text_cut(&query, '&');
        if (part_of(text_cut(&value, '=')) < PRESIGNED_PARTS) return true;
    }
    return false;
}

/* Decodes into *to, which it moves. A "+" might be meant as a blank. */
static bool
decode(struct bytes from, uint8_t **to, struct bytes *ret)
{
    uint8_t *begin = *to;
    for (size_t i = 0, step; i < from.size; i += step) {
        step = percent_step(from.at + i, from.size - i, *to);
        if (step == 0 || from.at[i] == '+') return false;
        ++*to;
    }
    *ret = bytes_of(begin, (size_t)(*to - begin));
    return true;
}

/* Reads the parameters, and leaves the rest of the query and what is signed of it in the claim:
 * the query without X-Amz-Signature in the first half of `texts`, decoded values in the second. */
static enum err
read_parameters(struct sigv4_claim *c, struct bytes query, struct bytes *values, struct why *why)
{
    if (!buf_reserve(&c->texts, 2 * query.size))
        return why_set(why, buf_error(&c->texts), "query too long");
    c->texts.size = 2 * query.size; /* invariant 1 */
    uint8_t *kept = c->texts.at, *decoded = kept + query.size;
    while (query.size > 0) {
        struct bytes pair = text_cut(&query, '&'), value = pair, name = text_cut(&value, '=');
        enum presigned_part p = part_of(name);
        if (p < PRESIGNED_PARTS) {
            if (!bytes_equal_text(name, part_names[p]) || values[p].at != NULL || value.size == 0 ||
                !decode(value, &decoded, &values[p]))
                return why_set(why, ERR_INPUT, "malformed or repeated %s", part_names[p]);
        }
        if (p == SIGNATURE || pair.size == 0) continue;
        if (kept > c->texts.at) *kept++ = '&';
        memcpy(kept, pair.at, pair.size);
        kept += pair.size;
    }
    assert(decoded <= c->texts.at + c->texts.size); /* invariant 1 */
    c->query = bytes_of(c->texts.at, (size_t)(kept - c->texts.at));
    return OK;
}

static enum err
read_presigned(struct sigv4_claim *c, struct bytes query, struct why *why)
{
    struct bytes values[PRESIGNED_PARTS] = {{NULL, 0}};
    enum err e = read_parameters(c, query, values, why);
    if (e) return e;
    for (enum presigned_part p = 0; p < SECURITY_TOKEN; p++)
        if (values[p].at == NULL) return why_set(why, ERR_INPUT, "missing %s", part_names[p]);
    if (!bytes_equal_text(values[ALGORITHM], algorithm))
        return why_set(why, ERR_INPUT, "unsupported algorithm, expected %s", algorithm);
    if (values[EXPIRES].size > 6 ||
        !read_digits(values[EXPIRES].at, values[EXPIRES].size, &c->expires_s))
        return why_set(why, ERR_INPUT, "malformed X-Amz-Expires");
    if (!read_basic_time(values[DATE], &c->time_s))
        return why_set(why, ERR_INPUT, "malformed X-Amz-Date");
    c->is_presigned = true;
    c->session_token = values[SECURITY_TOKEN];
    return read_parts(c, values[CREDENTIAL], values[SIGNED_HEADERS], values[SIGNATURE], why);
}

/* --- the claim -------------------------------------------------------------------------------- */

/* Returns the number of headers of that name, and the value of the first. */
static unsigned
find_header(const struct sigv4_arrival *r, const char *name, struct bytes *ret_first)
{
    struct sigv4_header h;
    unsigned count = 0;
    for (uint32_t i = 0; r->header_at(r->context, i, &h); i++)
        if (same_name(h.name, name) && count++ == 0) *ret_first = h.value;
    return count;
}

/* The headers that the server reads itself, or that the signature depends on, must not be there
 * twice: the server reads the first, and a signature covers all as one value. */
static enum err
read_headers(struct sigv4_claim *c, struct why *why)
{
    struct bytes date = {NULL, 0}, token = {NULL, 0};
    const struct {
        const char *name;
        struct bytes *value;
    } single[] = {{"host", &c->host},
                  {"x-amz-date", &date},
                  {"x-amz-content-sha256", &c->content_hash},
                  {"x-amz-security-token", &token},
                  {"x-scope-orgid", &c->tenant}};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (find_header(c->request, single[i].name, single[i].value) > 1)
            return why_set(why, ERR_INPUT, "more than one header %s", single[i].name);
    struct bytes hash = c->content_hash;
    if (hash.at != NULL && !is_hash(hash) && !bytes_equal_text(hash, unsigned_payload) &&
        !begins(hash, "STREAMING-"))
        return why_set(why, ERR_INPUT, "malformed X-Amz-Content-Sha256");
    if (c->is_presigned)
        return token.at == NULL ? OK : why_set(why, ERR_INPUT, "security token in a header");
    c->session_token = token;
    c->date_name = date.at == NULL ? "date" : "x-amz-date";
    if (date.at == NULL && find_header(c->request, "date", &date) > 1)
        return why_set(why, ERR_INPUT, "more than one header date");
    bool fine = c->date_name[0] == 'x' ? read_basic_time(date, &c->time_s)
                                       : read_date_header(date, &c->time_s);
    return fine ? OK : why_set(why, ERR_INPUT, "missing or malformed date");
}

/* Refuses what the server and a signer may read differently. */
static enum err
check_target(struct bytes path, struct bytes query, struct why *why)
{
    if (path.size == 0 || path.at[0] != '/')
        return why_set(why, ERR_INPUT, "request target is not a path");
    for (size_t i = 0; i < path.size; i++) {
        uint8_t c;
        if (path.at[i] == '%' && percent_step(path.at + i, path.size - i, &c) == 3 && c == '.')
            return why_set(why, ERR_INPUT, "escaped dot in the path");
    }
    if (query.size > 0 && memchr(query.at, ';', query.size) != NULL)
        return why_set(why, ERR_INPUT, "semicolon in the query");
    return OK;
}

static enum err
read_claim(struct sigv4_claim *c, struct bytes authorization, unsigned authorizations,
           bool has_parameters, struct why *why)
{
    enum err e = check_target(c->path, c->query, why);
    if (e) return e;
    if (authorizations > 1) return why_set(why, ERR_INPUT, "more than one Authorization header");
    if (authorizations > 0 && has_parameters)
        return why_set(why, ERR_INPUT, "signed in the query and in a header");
    e = has_parameters ? read_presigned(c, c->query, why)
                       : read_authorization(c, authorization, why);
    if (e == OK) e = read_headers(c, why);
    if (e == OK && !is_day_of(c->day, c->time_s))
        e = why_set(why, ERR_INPUT, "credential scope is not of the day of the date");
    return e;
}

enum sigv4_verdict
sigv4_claim_read(const struct sigv4_arrival *r, struct budget *budget, struct sigv4_claim *c,
                 struct why *why)
{
    struct sigv4_header h;
    struct bytes authorization = {NULL, 0}, query = r->target;
    unsigned authorizations = 0;
    bool is_aws = false;
    *c = (struct sigv4_claim){.request = r};
    buf_init_secret(&c->texts, budget, 2 * QUERY_BYTES_MAX);
    c->path = text_cut(&query, '?');
    c->query = query;
    for (uint32_t i = 0; r->header_at(r->context, i, &h); i++) {
        if (!same_name(h.name, "authorization")) continue;
        authorizations++;
        authorization = h.value;
        is_aws |= begins(h.value, "AWS4-") || begins(h.value, "AWS ");
    }
    bool has_parameters = has_part(query);
    if (!is_aws && !has_parameters) return SIGV4_ABSENT;
    enum err e = read_claim(c, authorization, authorizations, has_parameters, why);
    return e == OK ? SIGV4_CLAIMED : e == ERR_NOMEM ? SIGV4_NO_MEMORY : SIGV4_MALFORMED;
}

void
sigv4_claim_fini(struct sigv4_claim *c)
{
    buf_fini(&c->texts);
}

/* --- the terms -------------------------------------------------------------------------------- */

static bool
is_signed(const struct sigv4_claim *c, const char *name)
{
    struct bytes names = c->signed_names;
    while (names.size > 0)
        if (bytes_equal_text(text_cut(&names, ';'), name)) return true;
    return false;
}

static enum err
check_signed_names(const struct sigv4_claim *c, const struct sigv4_terms *t, struct why *why)
{
    const struct {
        const char *name;
        bool must;
    } names[] = {{"host", true},
                 {c->date_name, c->date_name != NULL},
                 {"x-amz-content-sha256", c->content_hash.at != NULL},
                 {"x-amz-security-token", !c->is_presigned && c->session_token.at != NULL},
                 {"x-scope-orgid", !t->unsigned_tenant && c->tenant.at != NULL}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].must && !is_signed(c, names[i].name))
            return why_set(why, ERR_INPUT, "header %s is not signed", names[i].name);
    return OK;
}

static bool
is_listed(struct text_list list, struct bytes text)
{
    for (uint32_t i = 0; i < list.count; i++)
        if (same_name(text, list.items[i])) return true;
    return false;
}

static int
shown(struct bytes text)
{
    return text.size < 64 ? (int)text.size : 64;
}

static enum err
check_scope(const struct sigv4_claim *c, const struct sigv4_terms *t, struct why *why)
{
    bool known = bytes_equal_text(c->service, "aps") || bytes_equal_text(c->service, "execute-api");
    for (uint32_t i = 0; i < t->services.count; i++)
        known |= bytes_equal_text(c->service, t->services.items[i]);
    if (!known) {
        return why_set(why, ERR_INPUT, "signed for service \"%.*s\"", shown(c->service),
                       (const char *)c->service.at);
    }
    if (t->region != NULL && !bytes_equal_text(c->region, t->region)) {
        return why_set(why, ERR_INPUT, "signed for region \"%.*s\"", shown(c->region),
                       (const char *)c->region.at);
    }
    if (t->hosts.count > 0 && !is_listed(t->hosts, c->host)) {
        return why_set(why, ERR_INPUT, "signed for host \"%.*s\"", shown(c->host),
                       (const char *)c->host.at);
    }
    return OK;
}

static enum err
check_time(const struct sigv4_claim *c, int64_t now_s, struct why *why)
{
    if (c->time_s > now_s + SIGV4_SKEW_S)
        return why_set(why, ERR_INPUT, "signed in the future; check the clocks");
    if (!c->is_presigned) {
        return c->time_s >= now_s - SIGV4_SKEW_S
                   ? OK
                   : why_set(why, ERR_INPUT, "signed too long ago; check the clocks");
    }
    if (!bytes_equal_text(c->request->method, "GET") &&
        !bytes_equal_text(c->request->method, "HEAD"))
        return why_set(why, ERR_INPUT, "presigned, but not GET or HEAD");
    if (c->expires_s < 1 || c->expires_s > SIGV4_EXPIRES_S)
        return why_set(why, ERR_INPUT, "X-Amz-Expires is not 1 to %d seconds", SIGV4_EXPIRES_S);
    if (now_s > c->time_s + c->expires_s) return why_set(why, ERR_INPUT, "expired");
    return OK;
}

static enum err
check_payload(const struct sigv4_claim *c, const struct sigv4_terms *t, struct why *why)
{
    if (c->content_hash.at == NULL || is_hash(c->content_hash)) return OK;
    if (!bytes_equal_text(c->content_hash, unsigned_payload))
        return why_set(why, ERR_INPUT, "signed for a body in signed chunks, which is unsupported");
    if (!t->unsigned_payload || !c->request->is_tls) {
        return why_set(why, ERR_INPUT, "unsigned payload, which is not allowed%s",
                       t->unsigned_payload ? " without TLS" : "");
    }
    return OK;
}

/* Judges all but the signature. */
static enum err
check_terms(const struct sigv4_claim *c, const struct sigv4_terms *t, int64_t now_s,
            struct why *why)
{
    enum err e = check_scope(c, t, why);
    if (e == OK) e = check_time(c, now_s, why);
    if (e == OK) e = check_signed_names(c, t, why);
    if (e == OK) e = check_payload(c, t, why);
    if (e == OK) {
        bool same =
            c->session_token.size == t->session_token.size &&
            (t->session_token.size == 0 ||
             gnutls_memcmp(c->session_token.at, t->session_token.at, t->session_token.size) == 0);
        e = same ? OK : why_set(why, ERR_INPUT, "missing or wrong session token");
    }
    return e;
}

/* --- the signature ---------------------------------------------------------------------------- */

/* Collects the lines of all signed headers. */
static enum err
collect_headers(const struct sigv4_claim *c, struct sigv4_header *to, uint32_t *ret_count,
                struct why *why)
{
    struct bytes names = c->signed_names;
    uint32_t count = 0;
    do {
        struct bytes name = text_cut(&names, ';');
        struct sigv4_header h;
        uint32_t before = count;
        for (uint32_t i = 0; c->request->header_at(c->request->context, i, &h); i++) {
            if (h.name.size != name.size ||
                strncasecmp((const char *)h.name.at, (const char *)name.at, name.size) != 0)
                continue;
            if (count == SIGV4_HEADERS_MAX)
                return why_set(why, ERR_INPUT, "more than %d signed headers", SIGV4_HEADERS_MAX);
            to[count++] = h;
        }
        if (count == before) {
            return why_set(why, ERR_INPUT, "signed header \"%.*s\" is missing", shown(name),
                           (const char *)name.at);
        }
    } while (names.at != NULL);
    *ret_count = count;
    return OK;
}

/* Tries both forms of the query. */
static enum err
check_signature(const struct sigv4_claim *c, const struct sigv4_terms *t, struct bytes payload,
                struct why *why)
{
    struct sigv4_header headers[SIGV4_HEADERS_MAX];
    struct sigv4_request r = {.method = c->request->method,
                              .path = c->path,
                              .query = c->query,
                              .headers = headers,
                              .region = c->region,
                              .service = c->service,
                              .time_s = c->time_s};
    char expected[SIGV4_HASH_BYTES];
    bool same = false;
    assert(payload.size < sizeof r.payload_hash);
    memcpy(r.payload_hash, payload.at, payload.size);
    enum err e = collect_headers(c, headers, &r.header_count, why);
    if (e) return e;
    for (int as_sent = 0; e == OK && !same && as_sent < (c->query.size == 0 ? 1 : 2); as_sent++) {
        e = sigv4_expect(&r, t->secret_key, as_sent == 1, c->texts.budget, expected);
        if (e == OK) same = gnutls_memcmp(expected, c->signature.at, HASH_DIGITS) == 0;
    }
    explicit_bzero(expected, sizeof expected);
    if (e == ERR_NOMEM) return e;
    if (e) return why_set(why, ERR_INPUT, "invalid escape in the query, or too many arguments");
    return same ? OK : why_set(why, ERR_INPUT, "the signature does not match");
}

enum sigv4_verdict
sigv4_judge(struct sigv4_claim *c, const struct sigv4_terms *t, int64_t now_s,
            const char *body_hash, struct why *why)
{
    enum err e = OK;
    struct bytes given = c->content_hash;
    assert(c->signature.size == HASH_DIGITS);
    if (!c->is_verified) {
        e = check_terms(c, t, now_s, why);
        if (e == OK && given.at == NULL && body_hash == NULL) return SIGV4_NEEDS_BODY;
        if (e == OK)
            e = check_signature(c, t, given.at != NULL ? given : bytes_of_text(body_hash), why);
        c->is_verified = e == OK; /* invariant 2 */
    }
    if (e == OK && is_hash(given)) {
        if (body_hash == NULL) return SIGV4_NEEDS_BODY;
        if (!bytes_equal_text(given, body_hash))
            e = why_set(why, ERR_INPUT, "the body does not have the signed hash");
    }
    return e == OK ? SIGV4_GOOD : e == ERR_NOMEM ? SIGV4_NO_MEMORY : SIGV4_REFUSED;
}
