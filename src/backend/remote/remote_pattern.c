/* remote_pattern.c - see remote_read.h. */
#include "backend/remote/remote_read.h"

#include <string.h>

#include "wire/remote/remote_read.h"
#include "wire/snappy.h"

enum { REQUEST_BYTES_MAX = 64 << 20 };

/* True if the pattern ends after a \Q without its \E. */
static bool
is_left_open(struct bytes pattern)
{
    bool quoted = false;
    for (size_t i = 0; i + 1 < pattern.size; i++) {
        if (pattern.at[i] != '\\') continue;
        uint8_t escaped = pattern.at[i + 1];
        if (quoted && escaped != 'E') continue; /* the backslash is literal */
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

enum err
remote_request_put(struct buf *to, struct matcher *const *matchers, uint32_t count, int64_t min_ms,
                   int64_t max_ms, bool streamed, bool samples, struct why *why)
{
    struct rr_matcher put[RR_MATCHERS_MAX] = {
        {MATCH_REGEX, bytes_of_text("__name__"), bytes_of_text(".*")}};
    struct arena patterns;
    struct buf message;
    bool fits = true;
    if (count > RR_MATCHERS_MAX) count = RR_MATCHERS_MAX; /* servers may refuse more matchers */
    arena_init(&patterns, to->budget, 0, 0);
    buf_init(&message, to->budget, REQUEST_BYTES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes pattern = remote_pattern(matchers[i], &patterns);
        put[i] = (struct rr_matcher){(uint8_t)matcher_type(matchers[i]), matcher_name(matchers[i]),
                                     pattern};
        fits &= pattern.at != NULL;
    }
    if (count == 0) count = 1; /* servers may refuse a query without matchers */
    rr_request_put_query(&message, min_ms, max_ms, put, count);
    rr_request_put_accepted(&message, streamed, samples);
    enum err e = fits ? buf_error(&message) : ERR_NOMEM;
    if (e == OK) e = snappy_pack(buf_bytes(&message), to);
    buf_fini(&message);
    arena_fini(&patterns);
    return e ? why_set(why, e, "not enough memory for a request") : OK;
}
