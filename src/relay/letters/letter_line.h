/*
 * letter_line.h - a dead letter as a line of NDJSON, and files of such lines. The line is that of
 * an export (wire/json/sample_json.h) with further members, so that `firekeep import` reads it too.
 * Format: docs/format/relay.md.
 *
 * Threads: none of its own; a reader belongs to one at a time.
 */
#ifndef RELAY_LETTERS_LETTER_LINE_H
#define RELAY_LETTERS_LETTER_LINE_H

#include "backend/item.h"
#include "base/buf.h"
#include "sys/env.h"

/* An item that a destination refused permanently, or cannot represent. */
struct dead_letter {
    struct item item;
    struct bytes reason; /* one word */
    struct bytes answer; /* text of the destination's response; may be empty */
    int64_t failed_ms;   /* Unix time */
};

enum { LETTER_LINE_BYTES_MAX = 64 << 20 };

/* Appends the line with its line feed. A lack of room shows in buf_error(to), and leaves `to`
 * unchanged. */
void letter_line_put(struct buf *to, const struct dead_letter *letter);

struct letter_reader;
/* ERR_NOMEM. */
MUST_CHECK enum err letter_reader_new(struct budget *memory, struct letter_reader **ret_reader);
void letter_reader_free(struct letter_reader *reader);
/* Reads a line without its line feed: views of both until the next call. ERR_CORRUPT, ERR_NOMEM. */
MUST_CHECK enum err letter_reader_line(struct letter_reader *reader, struct bytes line,
                                       struct dead_letter *ret_letter);

/* The text of a file of lines, packed or not, piece by piece. */
struct letter_text {
    struct env *env;
    struct budget *memory;
    struct file file;
    uint64_t offset; /* in the file, as it is stored */
    struct archive_unpacker *unpacker;
    struct buf packed; /* bytes that the unpacker was given last */
    struct buf carry;  /* text from carry_at on; a line that begins in it was not given so far */
    size_t carry_at;
};
/* Opens a file of the directory `dir`, by its number. Call letter_text_close() in any case.
 * ERR_MISSING; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letter_text_open(struct letter_text *text, struct env *env, const char *dir,
                                     uint32_t number, struct budget *memory, struct why *why);
/* Gives the next line with its line feed, a view until the next call. The last one may lack it.
 * ERR_MISSING: the end; ERR_CORRUPT: the rest is damaged; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letter_text_line(struct letter_text *text, struct bytes *ret_line,
                                     struct why *why);
void letter_text_close(struct letter_text *text);

/* Lines of a file, by its number in the directory `dir`. */
struct letter_range {
    struct env *env;
    const char *dir;
    struct budget *memory;
    uint32_t number;
    uint64_t from, to; /* offsets in the text */
    enum err (*each)(void *context, const struct dead_letter *letter, struct bytes line);
    void *context;
};
/* Calls `each` for every whole line that can be read; a missing file has none. `ret_end` is where
 * the last whole line ends. Errors of `each` are forwarded; ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err letter_range_each(const struct letter_range *range, uint64_t *ret_end,
                                      struct why *why);

#endif
