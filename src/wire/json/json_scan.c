/*
 * json_scan.c - neither tree nor recursion: the caller names what it expects; unknown values are
 * skipped with one bit per open level.
 *
 * jansson, which reads JSON elsewhere, makes an object of every number: a line with a hundred
 * thousand numbers would take many times its size, and a double could lose the exact digits. A text
 * without escapes, nearly every text, is a view of the line.
 */
#include "wire/json/json_scan.h"

#include "base/text/hex.h"
#include "base/text/utf8.h"

struct scan
scan_of(struct bytes text, struct arena *arena)
{
    return (struct scan){
        .at = text.at, .end = text.at + text.size, .start = text.at, .arena = arena};
}

void
scan_fail(struct scan *s, const char *bad)
{
    if (s->bad != NULL) return;
    s->bad = bad;
    s->error = ERR_INPUT;
    s->end = s->at;
}

void *
scan_alloc(struct scan *s, size_t size_bytes, const char *bad)
{
    void *memory = s->bad == NULL ? arena_alloc(s->arena, size_bytes) : NULL;
    if (s->bad != NULL || memory != NULL) return memory;
    scan_fail(s, bad);
    s->error = ERR_NOMEM;
    return NULL;
}

uint8_t
scan_peek(struct scan *s)
{
    while (s->at != s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
    return s->at == s->end ? 0 : *s->at;
}

void
scan_expect(struct scan *s, char wanted)
{
    if (scan_peek(s) != (uint8_t)wanted || s->at == s->end) {
        scan_fail(s, wanted == '{' ? "expected an object" : "expected an array");
        return;
    }
    s->at++;
    s->first = true;
}

/* Takes the comma before every item but the first; false at the closing character. */
static bool
scan_another(struct scan *s, char close)
{
    uint8_t c = scan_peek(s);
    bool first = s->first;
    s->first = false;
    if (s->bad != NULL) return false;
    if (c == (uint8_t)close) {
        s->at++;
        return false;
    }
    if (first) return true;
    if (c != ',') {
        scan_fail(s, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
        return false;
    }
    s->at++;
    return true;
}

bool
scan_key(struct scan *s, struct bytes *ret_key)
{
    if (!scan_another(s, '}')) return false;
    if (scan_peek(s) != '"') scan_fail(s, "expected a key in double quotes");
    struct bytes key = scan_text(s);
    if (scan_peek(s) != ':') scan_fail(s, "expected ':' after a key");
    if (s->bad != NULL) return false;
    s->at++;
    *ret_key = key;
    return true;
}

unsigned
scan_which(struct scan *s, struct bytes key, const struct bytes *names, unsigned count,
           unsigned *seen, const char *twice)
{
    unsigned i = 0;
    while (i < count && !bytes_equal(key, names[i]))
        i++;
    if (i == count) return count;
    if ((*seen & 1u << i) != 0) scan_fail(s, twice);
    *seen |= 1u << i;
    return i;
}

bool
scan_item(struct scan *s)
{
    return scan_another(s, ']');
}

/* --- texts ------------------------------------------------------------------------------------ */

/* Reads four hex digits, or returns -1. */
static int32_t
hex4(struct scan *s)
{
    int32_t v = 0;
    if (s->end - s->at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*s->at++);
        if (digit < 0) return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* Reads the digits after \u. Half of a surrogate pair alone is an error. */
static uint8_t *
unescape_unicode(struct scan *s, uint8_t *to)
{
    int32_t c = hex4(s);
    if (c >= 0xd800 && c < 0xdc00) {
        int32_t low = -1;
        if (s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u') {
            s->at += 2;
            low = hex4(s);
        }
        bool pair = low >= 0xdc00 && low < 0xe000;
        c = pair ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : -1;
    }
    if (c < 0 || (c >= 0xdc00 && c < 0xe000)) {
        scan_fail(s, "invalid \\u escape");
        return to;
    }
    return to + utf8_put(to, (uint32_t)c);
}

static uint8_t *
unescape(struct scan *s, uint8_t *to)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    uint8_t c = s->at == s->end ? 0 : *s->at++;
    if (c == 'u') return unescape_unicode(s, to);
    const char *found = c == 0 ? NULL : strchr(names, c);
    if (found == NULL) {
        scan_fail(s, "unknown escape sequence");
        return to;
    }
    *to = (uint8_t)meanings[found - names];
    return to + 1;
}

/* `size` is the size of the raw text; the unescaped text is never longer. */
static __attribute__((noinline)) struct bytes
text_with_escapes(struct scan *s, size_t size)
{
    uint8_t *text = scan_alloc(s, size + 1, "not enough memory for a string"), *to = text;
    while (s->bad == NULL && *s->at != '"') {
        if (*s->at == '\\') {
            s->at++;
            to = unescape(s, to);
        } else {
            *to++ = *s->at++;
        }
    }
    if (s->bad != NULL) return (struct bytes){NULL, 0};
    s->at++;
    return bytes_of(text, (size_t)(to - text));
}

struct bytes
scan_text(struct scan *s)
{
    struct bytes none = {NULL, 0};
    if (scan_peek(s) != '"') {
        scan_fail(s, "expected a string in double quotes");
        return none;
    }
    const uint8_t *text = ++s->at, *p = text;
    bool escapes = false;
    while (p != s->end && *p != '"') {
        if (*p == '\\' && p + 1 != s->end) {
            escapes = true;
            p++;
        } else if (*p < 0x20) {
            break;
        }
        p++;
    }
    if (p == s->end || *p != '"') {
        s->at = p;
        scan_fail(s, p == s->end ? "unterminated string" : "control character in a string");
        return none;
    }
    if (escapes) return text_with_escapes(s, (size_t)(p - text));
    s->at = p + 1;
    return bytes_of(text, (size_t)(p - text));
}

/* --- other values ----------------------------------------------------------------------------- */

static size_t
take_digits(struct scan *s)
{
    const uint8_t *from = s->at;
    while (s->at != s->end && ascii_is_digit(*s->at))
        s->at++;
    return (size_t)(s->at - from);
}

struct bytes
scan_number(struct scan *s)
{
    struct bytes none = {NULL, 0};
    scan_peek(s);
    const uint8_t *from = s->at;
    if (s->at != s->end && *s->at == '-') s->at++;
    bool zero = s->at != s->end && *s->at == '0';
    size_t digits = take_digits(s);
    bool right = digits > 0 && (!zero || digits == 1);
    if (right && s->at != s->end && *s->at == '.') {
        s->at++;
        right = take_digits(s) > 0;
    }
    if (right && s->at != s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at != s->end && (*s->at == '+' || *s->at == '-')) s->at++;
        right = take_digits(s) > 0;
    }
    if (!right) {
        scan_fail(s, "expected a number");
        return none;
    }
    return bytes_of(from, (size_t)(s->at - from));
}

static void
scan_take_word(struct scan *s, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0) {
        scan_fail(s, "expected a value");
        return;
    }
    s->at += size;
}

void
scan_null(struct scan *s)
{
    scan_peek(s);
    scan_take_word(s, "null");
}

void
scan_skip(struct scan *s)
{
    uint64_t objects = 0; /* one bit per level: the level is an object */
    unsigned depth = 0;
    struct bytes key;
    for (;;) {
        uint8_t c = scan_peek(s);
        if (c == '{' || c == '[') {
            if (depth == SCAN_DEPTH_MAX) scan_fail(s, "too many nested levels");
            if (s->bad != NULL) return;
            objects = objects << 1 | (c == '{');
            depth++;
            scan_expect(s, (char)c);
        } else {
            /* A scalar. */
            if (c == '"')
                (void)scan_text(s);
            else if (c == 't')
                scan_take_word(s, "true");
            else if (c == 'f')
                scan_take_word(s, "false");
            else if (c == 'n')
                scan_take_word(s, "null");
            else
                (void)scan_number(s);
        }
        while (depth > 0 && !((objects & 1) != 0 ? scan_key(s, &key) : scan_item(s))) {
            if (s->bad != NULL) return;
            objects >>= 1;
            depth--;
        }
        if (depth == 0 || s->bad != NULL) return;
    }
}

void
scan_end(struct scan *s)
{
    if (s->bad == NULL && scan_peek(s) != 0) scan_fail(s, "unexpected text after the value");
    if (s->bad == NULL && s->at != s->end) scan_fail(s, "unexpected text after the value");
}

/* --- objects without line feeds between them -------------------------------------------------- */

size_t
json_objects_end(struct json_objects *o, struct bytes more)
{
    struct json_objects s = *o;
    size_t i = 0;
    for (; i < more.size && more.at[i] != '\n'; i++) {
        uint8_t c = more.at[i];
        if (s.in_string) {
            s.in_string = c != '"' || s.escaped;
            s.escaped = c == '\\' && !s.escaped;
            continue;
        }
        if (c == ' ' || c == '\t' || c == '\r') continue;
        if (c == '{' && s.last == '}') break;
        /* A quote after another character closes a string whose beginning is lost: if it opened
         * one, everything up to the next line feed would be read inside out. */
        bool may_open = s.last == ':' || s.last == ',' || s.last == '{' || s.last == '[';
        s.in_string = c == '"' && may_open;
        s.last = c;
    }
    *o = i < more.size ? (struct json_objects){0} : s;
    return i;
}
