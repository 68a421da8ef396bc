/*
 * json_scan.h - steps through a JSON text without building a tree: for lines with a hundred
 * thousand numbers, and for numbers whose every bit counts ("-0"). Strict RFC 8259, except that
 * keys may repeat unless the caller forbids it.
 *
 *     scan_expect(&s, '{');
 *     while (scan_key(&s, &key)) ...            // reads a value after each key
 *
 * Like a cursor: after an error `bad` describes it, and all later calls do nothing and return empty
 * results.
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
    const char *bad;     /* a sentence; NULL if no error */
    enum err error;      /* ERR_INPUT, or ERR_NOMEM if the arena is full */
    bool first;          /* nothing was read of the current object or array */
};

/* Begins at the beginning of a text; `arena` is borrowed. */
struct scan scan_of(struct bytes text, struct arena *arena);
/* Makes the scan bad with a static sentence, unless it is bad: then nothing more can be read. */
void scan_fail(struct scan *s, const char *bad);
/* Allocates from the arena. NULL if `s` was bad before or is bad now: out of memory, with the
 * sentence `bad`. */
void *scan_alloc(struct scan *s, size_t size_bytes, const char *bad);

/* Returns the next character that is not a blank, without taking it; 0 at the end. */
uint8_t scan_peek(struct scan *s);
/* Takes this character, mostly '{' or '['. */
void scan_expect(struct scan *s, char wanted);
/* In an object: reads the next key and its colon. False: the object is closed (or bad). */
bool scan_key(struct scan *s, struct bytes *ret_key);
/* Returns the index of a key in `names` and sets its bit in *seen; `count` if unknown. If the bit
 * was set, `s` is bad with the sentence `twice`. */
unsigned scan_which(struct scan *s, struct bytes key, const struct bytes *names, unsigned count,
                    unsigned *seen, const char *twice);
#define SCAN_NAME(text)                                \
    {                                                  \
        (const uint8_t *)"" text "", sizeof(text) - 1, \
    }
/* In an array: true if another value follows. False: the array is closed (or bad). */
bool scan_item(struct scan *s);
/* Reads a text: a view of the input, or of the arena if it had escapes. */
struct bytes scan_text(struct scan *s);
/* Returns the digits of a number as written. */
struct bytes scan_number(struct scan *s);
void scan_null(struct scan *s);
/* Skips any value, checking its syntax only. */
void scan_skip(struct scan *s);
/* Fails if anything but blanks follows. */
void scan_end(struct scan *s);

/* Skips exactly these tokens, without blanks between them: a fast path for the usual output of
 * writers. Returns false if they do not follow; then the caller reads tokens one by one. */
static inline bool
scan_takes(struct scan *s, struct bytes tokens)
{
    if (s->bad != NULL || (size_t)(s->end - s->at) < tokens.size) return false;
    if (memcmp(s->at, tokens.at, tokens.size) != 0) return false;
    s->at += tokens.size;
    return true;
}

/* Reads a number as the bits of a double. Inline: some lines are mostly numbers. */
static inline uint64_t
scan_double(struct scan *s)
{
    uint64_t bits = 0;
    struct bytes digits = scan_number(s);
    if (s->bad == NULL && !number_parse((const char *)digits.at, digits.size, &bits))
        scan_fail(s, "number is too large");
    return bits;
}

/* --- objects without line feeds between them -------------------------------------------------- */

/*
 * Cuts a text of JSON objects into records. A record ends at a line feed, or
 * before an object that follows another one without a line feed, as Amazon Data Firehose joins
 * them:
 *
 *     {"a":1}{"b":"}{"} {"c":3}
 * {"d":4}      four records
 *
 * Outside of strings no object contains '}' followed by '{', so a valid object is never cut. A
 * damaged object spoils at most the object after it, wherever the damage is.
 */

/* State within the current record; zero at its beginning. */
struct json_objects {
    uint8_t last; /* last character outside of strings that is not a blank; 0 if none */
    bool in_string;
    bool escaped;
};

/* Continues the record: returns the number of its bytes in `more`. The next byte is a line feed,
 * which belongs to no record, or begins the next object; `objects` is then zero again. more.size:
 * the record does not end in `more`. */
size_t json_objects_end(struct json_objects *objects, struct bytes more);

#endif
