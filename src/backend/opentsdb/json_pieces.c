/* json_pieces.c - see opentsdb_reader.h. No recursion; a string is copied, as it may lie in two pieces.
 */
#include "backend/opentsdb/opentsdb_reader.h"

#include "base/text/ascii.h"
#include "base/text/hex.h"
#include "base/text/utf8.h"

void
json_pieces_init(struct json_pieces *p, struct budget *budget)
{
    *p = (struct json_pieces){.failed = OK};
    buf_init(&p->text, budget, JSON_PIECES_TEXT_BYTES_MAX);
}

void
json_pieces_fini(struct json_pieces *p)
{
    buf_fini(&p->text);
}

void
json_pieces_begin(struct json_pieces *p, json_pieces_more more, void *context)
{
    p->more = more;
    p->context = context;
    p->at = p->end = NULL;
    p->first = p->ended = false;
    p->failed = OK;
    p->why.text[0] = '\0';
    buf_clear(&p->text);
}

static void
fail_as(struct json_pieces *p, enum err e, const char *sentence)
{
    if (p->failed) return;
    p->failed = why_set(&p->why, e, "%s", sentence);
    p->at = p->end;
}

void
json_pieces_fail(struct json_pieces *p, const char *sentence)
{
    fail_as(p, ERR_CORRUPT, sentence);
}

/* True if there is a character to read. */
static bool
is_more(struct json_pieces *p)
{
    while (p->at == p->end && !p->ended && p->failed == OK) {
        struct bytes piece;
        p->failed = p->more(p->context, &piece, &p->why);
        if (p->failed) break;
        p->ended = piece.size == 0;
        if (p->ended) break;
        p->at = piece.at;
        p->end = piece.at + piece.size;
    }
    return p->failed == OK && p->at != p->end;
}

/* The next character; -1 at the end. */
static int
take(struct json_pieces *p)
{
    return is_more(p) ? *p->at++ : -1;
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

uint8_t
json_pieces_peek(struct json_pieces *p)
{
    while (is_more(p) && is_blank(*p->at)) {
        p->at++;
    }
    return p->failed == OK && p->at != p->end ? *p->at : 0;
}

static void
fail_or_end(struct json_pieces *p, const char *sentence)
{
    bool ended = p->ended && p->at == p->end;
    json_pieces_fail(p, ended ? "the response ends too early" : sentence);
}

void
json_pieces_open(struct json_pieces *p, char wanted)
{
    if (json_pieces_peek(p) != (uint8_t)wanted) {
        fail_or_end(p, wanted == '{' ? "expected an object" : "expected an array");
        return;
    }
    p->at++;
    p->first = true;
}

/* Takes the comma before all but the first item; false if the object or array ends here. */
static bool
another(struct json_pieces *p, char close)
{
    uint8_t c = json_pieces_peek(p);
    bool first = p->first;
    p->first = false;
    if (p->failed) return false;
    if (c == (uint8_t)close) {
        p->at++;
        return false;
    }
    if (first) return true;
    if (c != ',') {
        fail_or_end(p, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
        return false;
    }
    p->at++;
    return true;
}

bool
json_pieces_key(struct json_pieces *p)
{
    if (!another(p, '}')) return false;
    (void)json_pieces_text(p);
    if (json_pieces_peek(p) != ':') fail_or_end(p, "expected ':' after a key");
    if (p->failed) return false;
    p->at++;
    return true;
}

bool
json_pieces_item(struct json_pieces *p)
{
    return another(p, ']');
}

/* --- strings ---------------------------------------------------------------------------------- */

static int32_t
take_hex4(struct json_pieces *p)
{
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int c = take(p), digit = c < 0 ? -1 : hex_digit((uint8_t)c);
        if (digit < 0) return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* Takes the digits after \u; half of a surrogate pair alone is invalid. */
static void
take_unicode(struct json_pieces *p)
{
    uint8_t bytes[UTF8_BYTES_MAX];
    int32_t c = take_hex4(p);
    if (c >= 0xd800 && c < 0xdc00) {
        int32_t low = take(p) == '\\' && take(p) == 'u' ? take_hex4(p) : -1;
        bool pair = low >= 0xdc00 && low < 0xe000;
        c = pair ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : -1;
    }
    if (c < 0 || (c >= 0xdc00 && c < 0xe000)) {
        fail_or_end(p, "invalid \\u escape");
        return;
    }
    buf_put(&p->text, bytes, utf8_put(bytes, (uint32_t)c));
}

static void
take_escape(struct json_pieces *p)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    int c = take(p);
    if (c == 'u') {
        take_unicode(p);
        return;
    }
    const char *found = c <= 0 ? NULL : strchr(names, c);
    if (found == NULL)
        fail_or_end(p, "unknown escape sequence");
    else
        buf_put_u8(&p->text, (uint8_t)meanings[found - names]);
}

struct bytes
json_pieces_text(struct json_pieces *p)
{
    buf_clear(&p->text);
    if (json_pieces_peek(p) != '"') fail_or_end(p, "expected a string in double quotes");
    if (p->failed) return bytes_of(NULL, 0);
    p->at++;
    while (is_more(p)) {
        const uint8_t *from = p->at;
        while (p->at != p->end && *p->at != '"' && *p->at != '\\' && *p->at >= 0x20) {
            p->at++;
        }
        buf_put(&p->text, from, (size_t)(p->at - from));
        if (p->at == p->end) continue;
        uint8_t c = *p->at++;
        if (c == '"') {
            enum err e = buf_error(&p->text);
            if (e == ERR_LIMIT) json_pieces_fail(p, "a string is too long");
            if (e) fail_as(p, e, "not enough memory for the response");
            return p->failed ? bytes_of(NULL, 0) : buf_bytes(&p->text);
        }
        if (c == '\\')
            take_escape(p);
        else
            json_pieces_fail(p, "control character in a string");
    }
    fail_or_end(p, "expected '\"'");
    return bytes_of(NULL, 0);
}

/* --- other values ----------------------------------------------------------------------------- */

static bool
is_of_word(uint8_t c)
{
    return ascii_is_letter(c) || ascii_is_digit(c) || c == '-' || c == '+' || c == '.';
}

struct bytes
json_pieces_word(struct json_pieces *p)
{
    size_t size = 0;
    (void)json_pieces_peek(p);
    while (is_more(p) && is_of_word(*p->at)) {
        if (size == sizeof p->number) {
            json_pieces_fail(p, "a number is too long");
            break;
        }
        p->number[size++] = (char)*p->at++;
    }
    if (size == 0) fail_or_end(p, "expected a value");
    return p->failed ? bytes_of(NULL, 0) : bytes_of(p->number, size);
}

void
json_pieces_skip(struct json_pieces *p)
{
    uint64_t objects = 0; /* a bit for each level, set for an object */
    unsigned depth = 0;
    do {
        uint8_t c = json_pieces_peek(p);
        if (c == '{' || c == '[') {
            if (depth == JSON_PIECES_DEPTH_MAX) json_pieces_fail(p, "too many nested levels");
            if (p->failed) return;
            objects = objects << 1 | (c == '{');
            depth++;
            json_pieces_open(p, (char)c);
        } else if (c == '"') {
            (void)json_pieces_text(p);
        } else {
            (void)json_pieces_word(p);
        }
        while (depth > 0 && !((objects & 1) != 0 ? json_pieces_key(p) : json_pieces_item(p))) {
            if (p->failed) return;
            objects >>= 1;
            depth--;
        }
    } while (depth > 0 && p->failed == OK);
}

void
json_pieces_end(struct json_pieces *p)
{
    if (json_pieces_peek(p) != 0 || p->at != p->end) {
        json_pieces_fail(p, "unexpected text after the value");
    }
}
