/* http_answer.c - see http_answer.h. */
#include "net/http_answer.h"

#include <assert.h>
#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/text/base64.h"
#include "base/text/hex.h"
#include "base/text/texts.h"
#include "sys/env.h"

enum {
    DAY_S = 86400,
    VALUE_BYTES_MIN = 6,
    BASIC_BYTES_MAX = 256 * 1024,
    FORM_BYTES_MAX = 1024 * 1024,
};

bool
http_header_value(const char *line, size_t size, const char *name, char *to, size_t to_size)
{
    size_t name_size = strlen(name);
    if (size <= name_size || line[name_size] != ':') return false;
    if (strncasecmp(line, name, name_size) != 0) return false;
    const char *at = line + name_size + 1, *end = line + size;
    assert(to_size > 0);
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    size_t length = (size_t)(end - at) < to_size - 1 ? (size_t)(end - at) : to_size - 1;
    memcpy(to, at, length);
    to[length] = '\0';
    return true;
}

int64_t
http_retry_after_ns(const char *text, int64_t now_s)
{
    if (isdigit((unsigned char)text[0])) {
        unsigned long long seconds = strtoull(text, NULL, 10);
        return (int64_t)(seconds < DAY_S ? seconds : DAY_S) * NS_PER_S;
    }
    int64_t then_s = curl_getdate(text, NULL);
    return then_s > now_s && then_s - now_s <= DAY_S ? (then_s - now_s) * NS_PER_S : 0;
}

/* --- echoes ----------------------------------------------------------------------------------- */

/* Says how many characters at `at` are the byte c with an escape of JSON or of a URL; 0: none. */
static size_t
escaped(const uint8_t *at, size_t size, uint8_t c)
{
    uint8_t decoded;
    if (size >= 2 && at[0] == '\\' && at[1] == c) return 2;
    if (size >= 3 && at[0] == '%')
        return percent_step(at, size, &decoded) == 3 && decoded == c ? 3 : 0;
    if (size < 6 || memcmp(at, "\\u00", 4) != 0) return 0;
    return hex_parse(bytes_of(at + 4, 2), &decoded) && decoded == c ? 6 : 0;
}

/* Says how many bytes at `at` are the secret, escaped or not, or are its beginning at the end of
 * the text. */
static size_t
echo_size(const uint8_t *at, size_t size, struct bytes secret)
{
    size_t taken = 0;
    for (size_t i = 0; i < secret.size; i++) {
        size_t step = escaped(at + taken, size - taken, secret.at[i]);
        /* The text may end here, perhaps within an escape; also if the secret has that character.
         */
        size_t left = size - taken;
        bool is_cut = left == 0 || (left < 6 && (at[taken] == '%' || at[taken] == '\\'));
        if (step == 0 && i >= VALUE_BYTES_MIN && is_cut) return size;
        if (step == 0 && taken < size && at[taken] == secret.at[i]) step = 1;
        if (step == 0) return 0;
        taken += step;
    }
    return taken;
}

static void
mask_plain(uint8_t *text, size_t size, struct bytes secret)
{
    if (secret.size < VALUE_BYTES_MIN || size == 0) return;
    for (uint8_t *at = text;
         (at = memmem(at, size - (size_t)(at - text), secret.at, secret.size));) {
        memset(at, '*', secret.size);
        at += secret.size;
    }
}

static void
mask(uint8_t *text, size_t size, struct bytes secret)
{
    if (secret.size < VALUE_BYTES_MIN) return;
    mask_plain(text, size, secret);
    for (size_t i = 0; i < size; i++) {
        size_t echoed = echo_size(text + i, size - i, secret);
        memset(text + i, '*', echoed);
        i += echoed > 0 ? echoed - 1 : 0;
    }
}

static bool
has_any(struct bytes name, const char *const *parts, size_t count, bool only_begin)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(parts[i]);
        for (size_t at = 0; at + size <= name.size && (at == 0 || !only_begin); at++)
            if (strncasecmp((const char *)name.at + at, parts[i], size) == 0) return true;
    }
    return false;
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* Says whether the value of a header or field with this name is a credential. */
static bool
is_secret(struct bytes name)
{
    static const char *const parts[] = {"auth", "token", "key", "secret", "cookie", "password"};
    return has_any(name, parts, COUNT(parts), false);
}

/* Says whether it may be one: all are, except those that this program sets itself. */
static bool
may_be_secret(struct bytes name)
{
    static const char *const open[] = {
        "Content-", "Accept",          "User-Agent", "Host",
        "Expect",   "X-Prometheus-",   "X-Amz-",     "If-",
        "Range",    "X-Scope-",        "Date",       "grant_type",
        "scope",    "client_id",       "Action",     "Version",
        "RoleArn",  "RoleSessionName", "ExternalId", "DurationSeconds"};
    return is_secret(name) || !has_any(name, open, COUNT(open), true);
}

/* Appends text without its percent-encoding. */
static void
put_decoded(struct buf *to, struct bytes text)
{
    for (size_t at = 0; at < text.size;) {
        uint8_t c;
        size_t step = percent_step(text.at + at, text.size - at, &c);
        buf_put_u8(to, c);
        at += step > 0 ? step : 1;
    }
}

/* Masks the secret in a buffer; all of the text if there was not enough memory for it. */
static void
mask_buf(uint8_t *text, size_t size, const struct buf *secret)
{
    if (buf_error(secret) == OK)
        mask(text, size, buf_bytes(secret));
    else
        memset(text, '*', size);
}

/* Masks the password of credentials of Basic, which a server may repeat decoded. OAuth 2.0 encodes
 * it for a form before. */
static void
mask_basic(uint8_t *text, size_t size, struct bytes coded)
{
    struct buf pair, plain;
    buf_init_secret(&pair, NULL, BASIC_BYTES_MAX);
    buf_init_secret(&plain, NULL, BASIC_BYTES_MAX);
    enum err e = base64_get(coded, &pair);
    const uint8_t *colon = e || pair.size == 0 ? NULL : memchr(pair.at, ':', pair.size);
    if (colon != NULL) {
        size_t before = (size_t)(colon + 1 - pair.at);
        struct bytes password = bytes_of(colon + 1, pair.size - before);
        mask(text, size, password);
        put_decoded(&plain, password);
        mask_buf(text, size, &plain);
    } else if (buf_error(&pair) != OK) {
        mask_buf(text, size, &pair);
    }
    buf_fini(&pair);
    buf_fini(&plain);
}

/* Returns the name of a header line. */
static struct bytes
name_of(const char *header)
{
    return bytes_of(header, strcspn(header, ":"));
}

/* Returns the value of a header line, of Authorization without its scheme. */
static struct bytes
value_of(const char *header, bool *ret_is_basic)
{
    size_t name_size = name_of(header).size;
    *ret_is_basic = false;
    if (header[name_size] == '\0') return bytes_of("", 0);
    const char *value = header + name_size + 1 + strspn(header + name_size + 1, " ");
    const char *blank = strchr(value, ' ');
    if (blank == NULL || strncasecmp(header, "Authorization:", 14) != 0)
        return bytes_of_text(value);
    *ret_is_basic = strncasecmp(value, "Basic ", 6) == 0;
    return bytes_of_text(blank + 1);
}

void
http_mask_token(uint8_t *body, size_t size, const char *header)
{
    bool is_basic;
    if (is_secret(name_of(header))) mask_plain(body, size, value_of(header, &is_basic));
}

void
http_mask_echo(uint8_t *text, size_t size, const char *header)
{
    bool is_basic;
    struct bytes value = value_of(header, &is_basic);
    if (size == 0 || !may_be_secret(name_of(header))) return;
    if (is_basic) mask_basic(text, size, value);
    mask(text, size, value);
}

void
http_mask_form(uint8_t *text, size_t size, struct bytes form)
{
    struct buf value;
    buf_init_secret(&value, NULL, FORM_BYTES_MAX);
    while (form.size > 0 && size > 0) {
        struct bytes coded = text_cut(&form, '&'), name = text_cut(&coded, '=');
        buf_clear(&value);
        if (coded.at == NULL || !may_be_secret(name)) continue;
        put_decoded(&value, coded);
        mask_buf(text, size, &value);
    }
    buf_fini(&value);
}

void
http_mask_proxy(uint8_t *text, size_t size, const char *proxy_url)
{
    const char *begin = proxy_url == NULL ? NULL : strstr(proxy_url, "://");
    if (begin == NULL || size == 0) return;
    begin += 3;
    const char *end = memrchr(begin, '@', strcspn(begin, "/?#"));
    const char *colon = end == NULL ? NULL : memchr(begin, ':', (size_t)(end - begin));
    if (end == NULL) return;
    /* Without a password the name may be a token. */
    const char *secret = colon != NULL ? colon + 1 : begin;
    struct buf plain, pair, coded;
    buf_init_secret(&plain, NULL, BASIC_BYTES_MAX);
    buf_init_secret(&pair, NULL, BASIC_BYTES_MAX);
    buf_init_secret(&coded, NULL, 2 * BASIC_BYTES_MAX);
    put_decoded(&plain, bytes_of(secret, (size_t)(end - secret)));
    if (colon != NULL) put_decoded(&pair, bytes_of(begin, (size_t)(secret - begin)));
    buf_put_bytes(&pair, buf_bytes(&plain));
    if (colon == NULL) buf_put_u8(&pair, ':');
    base64_put(&coded, buf_bytes(&pair));
    mask_buf(text, size, &plain);
    mask_buf(text, size, buf_error(&pair) == OK ? &coded : &pair);
    buf_fini(&plain);
    buf_fini(&pair);
    buf_fini(&coded);
}
