/* http_answer.c - see http_answer.h. */
#include "net/http_answer.h"

#include <assert.h>
#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sys/env.h"

enum { DAY_S = 86400, VALUE_BYTES_MIN = 6 };

bool
http_header_value(const char *line, size_t size, const char *name, char *to, size_t to_size)
{
    size_t name_size = strlen(name);
    if (size <= name_size || line[name_size] != ':') return false;
    if (strncasecmp(line, name, name_size) != 0) return false;
    const char *at = line + name_size + 1, *end = line + size;
    assert(to_size > 0);
    while (at < end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
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

static bool
name_has(const char *name, size_t name_size, const char *part)
{
    size_t part_size = strlen(part);
    for (size_t i = 0; i + part_size <= name_size; i++) {
        if (strncasecmp(name + i, part, part_size) == 0) return true;
    }
    return false;
}

void
http_mask_echo(uint8_t *body, size_t size, const char *header)
{
    static const char *const parts[] = {"auth", "token", "key", "secret", "cookie", "password"};
    const char *colon = strchr(header, ':');
    if (size == 0 || colon == NULL) return;
    bool holds_credential = false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        holds_credential |= name_has(header, (size_t)(colon - header), parts[i]);
    }
    if (!holds_credential) return;
    const char *value = colon + 1 + strspn(colon + 1, " ");
    const char *blank = strchr(value, ' ');
    bool scheme = blank != NULL && strncasecmp(header, "Authorization:", 14) == 0;
    if (scheme) value = blank + 1;
    size_t value_size = strlen(value);
    if (value_size < VALUE_BYTES_MIN) return;
    uint8_t *at = body, *end = body + size;
    while ((at = memmem(at, (size_t)(end - at), value, value_size)) != NULL) {
        memset(at, '*', value_size);
        at += value_size;
    }
}
