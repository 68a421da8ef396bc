/*
 * json_scan.h - steps through a JSON text without building a tree: for lines that hold a hundred
 * thousand numbers each, and for numbers whose every bit counts ("-0" is one). RFC 8259, strictly,
 * but that a key may come twice; which the caller may forbid.
 *
 *     scan_expect(&s, '{');
 *     while (scan_key(&s, &key)) ...            // a value has to be read after each
 *
 * Like a cursor: once something is wrong, `bad` says what and where, and all later calls do nothing
 * and give empty results.
 */
#ifndef WIRE_JSON_JSON_SCAN_H
#define WIRE_JSON_JSON_SCAN_H

#include "base/bytes.h"
#include "base/mem.h"
#include "wire/number.h"

enum { SCAN_DEPTH_MAX = 64 };

struct scan {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *start;
    struct arena *arena; /* for texts with escapes */
    const char *bad;     /* a sentence; NULL: all is well */
    enum err error;      /* ERR_INPUT, or ERR_NOMEM when the arena is full */
    bool first;          /* of the object or array at hand nothing was read */
};

struct scan scan_of(struct bytes text, struct arena *arena);
void scan_fail(struct scan *s, const char *bad);
/* From the arena; NULL, and then it is bad for want of memory. */
void *scan_alloc(struct scan *s, size_t size_bytes, const char *bad);

/* The next character that is no blank; 0 at the end. Not taken. */
uint8_t scan_peek(struct scan *s);
/* Takes this character, '{' or '[' above all. */
void scan_expect(struct scan *s, char wanted);
/* In an object: the next key, and its colon. False: the object is closed (or bad). */
bool scan_key(struct scan *s, struct bytes *ret_key);
/* Which of `names` a key is, whose bit goes to *seen; `count`: none. Bad, with the sentence
 * `twice`: the bit was there. */
unsigned scan_which(struct scan *s, struct bytes key, const struct bytes *names, unsigned count,
                    unsigned *seen, const char *twice);
#define SCAN_NAME(text)                                \
    {                                                  \
        (const uint8_t *)"" text "", sizeof(text) - 1, \
    }
/* In an array: true if another value follows. False: the array is closed (or bad). */
bool scan_item(struct scan *s);
/* A text: a view of the input, or of the arena if it had escapes. */
struct bytes scan_text(struct scan *s);
/* The digits of a number as they stand there. */
struct bytes scan_number(struct scan *s);
void scan_null(struct scan *s);
/* Any value, not looked at beyond its form. */
void scan_skip(struct scan *s);
/* Nothing but blanks may follow. */
void scan_end(struct scan *s);

/* Takes tokens that stand there just so, with no blanks between them: for what a writer writes
 * nearly always. Whoever calls it also reads them token by token. False: nothing was taken. */
static inline bool
scan_takes(struct scan *s, struct bytes tokens)
{
    if (s->bad != NULL || (size_t)(s->end - s->at) < tokens.size) return false;
    if (memcmp(s->at, tokens.at, tokens.size) != 0) return false;
    s->at += tokens.size;
    return true;
}

/* A number as the bits of a double. Inline: of some lines it is nearly all. */
static inline uint64_t
scan_double(struct scan *s)
{
    uint64_t bits = 0;
    struct bytes digits = scan_number(s);
    if (s->bad == NULL && !number_parse((const char *)digits.at, digits.size, &bits)) {
        scan_fail(s, "number is too large");
    }
    return bits;
}

#endif
