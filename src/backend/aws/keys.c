/*
 * keys.c - keeps three texts in one piece of memory, so that only one place has to be overwritten.
 *
 * Answers are not kept here; texts that had to be copied out of them, because of escapes or XML,
 * are overwritten before their memory is freed.
 */
#include "backend/aws/keys.h"

#include <stdio.h>

#include "backend/aws/xml.h"
#include "base/text/time_text.h"
#include "wire/json/json_scan.h"

/* --- keys ------------------------------------------------------------------------------------- */

bool
aws_is_header_text(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < 0x20 || text.at[i] > 0x7e) return false;
    }
    return text.size == 0 || (text.at[0] != ' ' && text.at[text.size - 1] != ' ');
}

static enum err
keys_check_text(struct bytes text, const char *name, size_t bytes_max, struct why *why)
{
    bool blank = text.size > 0 && memchr(text.at, ' ', text.size) != NULL;
    if (text.size <= bytes_max && !blank && aws_is_header_text(text)) return OK;
    return why_set(why, ERR_INPUT, "the %s is %s", name,
                   text.size > bytes_max ? "too long" : "not printable ASCII without spaces");
}

static struct bytes
take_copy(uint8_t **to, struct bytes from)
{
    uint8_t *at = *to;
    if (from.size > 0) memcpy(at, from.at, from.size);
    *to += from.size;
    return bytes_of(at, from.size);
}

enum err
aws_keys_set(struct aws_keys *keys, struct budget *budget, const struct sigv4_credentials *from,
             int64_t expires_s, struct why *why)
{
    enum err e = keys_check_text(from->access_key, "access key", AWS_KEY_BYTES_MAX, why);
    if (e == OK) e = keys_check_text(from->secret_key, "secret key", AWS_KEY_BYTES_MAX, why);
    if (e == OK) {
        e = keys_check_text(from->session_token, "session token", AWS_SESSION_TOKEN_BYTES_MAX, why);
    }
    if (e) return e;
    if (from->access_key.size == 0 || from->secret_key.size == 0) {
        return why_set(why, ERR_INPUT, "missing %s key",
                       from->access_key.size == 0 ? "access" : "secret");
    }
    struct aws_keys made = {.expires_s = expires_s, .budget = budget};
    made.memory_bytes = from->access_key.size + from->secret_key.size + from->session_token.size;
    made.memory = mem_alloc(budget, made.memory_bytes);
    if (made.memory == NULL) return why_set(why, ERR_NOMEM, "not enough memory for keys");
    uint8_t *at = made.memory;
    made.views.access_key = take_copy(&at, from->access_key);
    made.views.secret_key = take_copy(&at, from->secret_key);
    made.views.session_token = take_copy(&at, from->session_token);
    aws_keys_wipe(keys);
    *keys = made;
    return OK;
}

void
aws_keys_wipe(struct aws_keys *keys)
{
    mem_free_secret(keys->budget, keys->memory, keys->memory_bytes);
    *keys = (struct aws_keys){.memory = NULL};
}

bool
aws_keys_equal(const struct aws_keys *a, const struct aws_keys *b)
{
    return bytes_equal(a->views.access_key, b->views.access_key) &&
           bytes_equal(a->views.secret_key, b->views.secret_key) &&
           bytes_equal(a->views.session_token, b->views.session_token);
}

/* --- JSON ------------------------------------------------------------------------------------- */

struct keys_answer {
    struct bytes access_key;
    struct bytes secret_key;
    struct bytes session_token;
    struct bytes expiration;
    struct bytes code;    /* from containers and instances: "Success" */
    struct bytes version; /* from a process: 1 */
};

static void
take_member(struct scan *s, struct bytes key, struct keys_answer *a)
{
    const struct {
        const char *name;
        struct bytes *to;
    } texts[] = {
        {"AccessKeyId", &a->access_key}, {"SecretAccessKey", &a->secret_key},
        {"Token", &a->session_token},    {"SessionToken", &a->session_token},
        {"Expiration", &a->expiration},  {"Code", &a->code},
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!bytes_equal_text(key, texts[i].name)) continue;
        if (scan_peek(s) == '"') {
            *texts[i].to = scan_text(s);
            return;
        }
        if (scan_peek(s) != 'n') scan_fail(s, "expected a string in double quotes");
        scan_null(s);
        *texts[i].to = bytes_of(NULL, 0);
        return;
    }
    if (bytes_equal_text(key, "Version") && scan_peek(s) == '1') {
        a->version = scan_number(s);
    } else {
        scan_skip(s);
    }
}

static enum err
parse_expiration(struct bytes text, int64_t *ret_s, struct why *why)
{
    int64_t ms = 0;
    if (text.size > 0 && !time_parse_rfc3339(text, &ms)) {
        return why_set(why, ERR_INPUT,
                       "invalid Expiration in the response: expected a time as in RFC 3339");
    }
    *ret_s = ms / 1000;
    return OK;
}

static enum err
keys_take_answer(struct aws_keys *keys, struct budget *budget, const struct keys_answer *a,
                 enum aws_keys_form form, struct why *why)
{
    int64_t expires_s = 0;
    if (form == AWS_KEYS_OF_PROCESS && !bytes_equal_text(a->version, "1")) {
        return why_set(why, ERR_INPUT, "unknown Version in the response: expected 1");
    }
    if (a->code.size > 0 && !bytes_equal_text(a->code, "Success")) {
        bool word = a->code.size <= 64 && aws_is_header_text(a->code);
        return why_set(why, ERR_INPUT, "the response has Code %.*s: expected Success",
                       word ? (int)a->code.size : 2, word ? (const char *)a->code.at : "??");
    }
    enum err e = parse_expiration(a->expiration, &expires_s, why);
    if (e) return e;
    const struct sigv4_credentials views = {a->access_key, a->secret_key, a->session_token};
    return aws_keys_set(keys, budget, &views, expires_s, why);
}

enum err
aws_keys_from_json(struct aws_keys *keys, struct budget *budget, struct bytes answer,
                   enum aws_keys_form form, struct why *why)
{
    struct arena arena;
    struct keys_answer a = {0};
    struct bytes key;
    if (answer.size > AWS_ANSWER_BYTES_MAX) {
        return why_set(why, ERR_LIMIT, "the response must be at most %d bytes",
                       AWS_ANSWER_BYTES_MAX);
    }
    arena_init_secret(&arena, budget, 4 * AWS_ANSWER_BYTES_MAX, 0);
    struct scan s = scan_of(answer, &arena);
    scan_expect(&s, '{');
    while (s.bad == NULL && scan_key(&s, &key)) {
        take_member(&s, key, &a);
    }
    scan_end(&s);
    enum err e = s.bad != NULL
                     ? why_set(why, s.error, "the response is not a valid JSON object: %s", s.bad)
                     : keys_take_answer(keys, budget, &a, form, why);
    arena_fini(&arena);
    return e;
}

/* --- XML -------------------------------------------------------------------------------------- */

/* One byte more than allowed, and NUL, so that a text that is too long is detected. */
struct xml_texts {
    char access_key[AWS_KEY_BYTES_MAX + 2];
    char secret_key[AWS_KEY_BYTES_MAX + 2];
    char session_token[AWS_SESSION_TOKEN_BYTES_MAX + 2];
    char expiration[TIME_TEXT_BYTES];
};

enum err
aws_keys_from_xml(struct aws_keys *keys, struct budget *budget, struct bytes answer,
                  struct why *why)
{
    static const char *const roots[] = {"AssumeRoleResponse", "AssumeRoleWithWebIdentityResponse",
                                        NULL};
    struct xml_texts t;
    struct aws_xml_field fields[] = {
        {"Credentials", "AccessKeyId", t.access_key, sizeof t.access_key},
        {"Credentials", "SecretAccessKey", t.secret_key, sizeof t.secret_key},
        {"Credentials", "SessionToken", t.session_token, sizeof t.session_token},
        {"Credentials", "Expiration", t.expiration, sizeof t.expiration},
    };
    int64_t expires_s = 0;
    enum err e = aws_xml_read(answer, roots, fields, sizeof fields / sizeof *fields);
    if (e == ERR_MISSING) e = ERR_INPUT;
    if (e) {
        e = why_set(why, e, "the response of STS does not contain credentials");
        goto out;
    }
    e = parse_expiration(bytes_of_text(t.expiration), &expires_s, why);
    if (e) goto out;
    const struct sigv4_credentials views = {
        bytes_of_text(t.access_key), bytes_of_text(t.secret_key), bytes_of_text(t.session_token)};
    e = aws_keys_set(keys, budget, &views, expires_s, why);
out:
    explicit_bzero(&t, sizeof t);
    return e;
}
