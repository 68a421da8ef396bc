/* remote_pattern.c - see remote_pattern.h. */
#include "backend/remote/remote_pattern.h"

#include <string.h>

/* Whether it ends in a quote: behind \Q, without \E. */
static bool
is_left_open(struct bytes pattern)
{
    bool quoted = false;
    for (size_t i = 0; i + 1 < pattern.size; i++) {
        if (pattern.at[i] != '\\') continue;
        uint8_t escaped = pattern.at[i + 1];
        if (quoted && escaped != 'E') continue; /* a backslash stands for itself */
        if (quoted || escaped == 'Q') quoted = !quoted;
        i++;
    }
    return quoted;
}

struct bytes
remote_pattern(const struct matcher *m, struct arena *arena)
{
    static const char begin[] = "(?s:", end[] = "\\E)";
    struct bytes pattern = matcher_pattern(m);
    if (pattern.size == 0) return bytes_of("", 0);
    if (matcher_type(m) < MATCH_REGEX) return pattern;
    bool open = is_left_open(pattern);
    if (!open && memchr(pattern.at, '.', pattern.size) == NULL) return pattern;
    uint8_t *text = arena_alloc(arena, pattern.size + sizeof begin + sizeof end);
    if (text == NULL) return bytes_of(NULL, 0);
    uint8_t *at = text;
    memcpy(at, begin, sizeof begin - 1);
    at += sizeof begin - 1;
    memcpy(at, pattern.at, pattern.size);
    at += pattern.size;
    const char *last = open ? end : end + 2;
    memcpy(at, last, strlen(last));
    at += strlen(last);
    return bytes_of(text, (size_t)(at - text));
}
