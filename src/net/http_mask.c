/* http_mask.c - see http_mask.h. */
#include "net/http_mask.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { VALUE_BYTES_MIN = 6 };

static bool
name_has(const char *name, size_t name_size, const char *part)
{
    size_t part_size = strlen(part);
    for (size_t i = 0; i + part_size <= name_size; i++) {
        if (strncasecmp(name + i, part, part_size) == 0) return true;
    }
    return false;
}

static bool
holds_credential(const char *name, size_t size)
{
    static const char *const parts[] = {"auth", "token", "key", "secret", "cookie", "password"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (name_has(name, size, parts[i])) return true;
    }
    return false;
}

static void
mask(uint8_t *body, size_t size, const char *value, size_t value_size)
{
    uint8_t *at = body, *end = body + size;
    while ((at = memmem(at, (size_t)(end - at), value, value_size)) != NULL) {
        memset(at, '*', value_size);
        at += value_size;
    }
}

void
http_mask_echo(uint8_t *body, size_t size, const char *header)
{
    const char *colon = strchr(header, ':');
    if (size == 0 || colon == NULL) return;
    if (!holds_credential(header, (size_t)(colon - header))) return;
    const char *value = colon + 1 + strspn(colon + 1, " ");
    const char *blank = strchr(value, ' ');
    bool scheme = blank != NULL && strncasecmp(header, "Authorization:", 14) == 0;
    if (scheme) value = blank + 1;
    size_t value_size = strlen(value);
    if (value_size >= VALUE_BYTES_MIN) mask(body, size, value, value_size);
}
