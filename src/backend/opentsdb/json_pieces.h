/*
 * json_pieces.h - steps through a JSON text that arrives in pieces, without holding more of it than
 * one string or number. Private to backend/opentsdb.
 *
 *     json_pieces_open(&p, '{');
 *     while (json_pieces_key(&p)) ... p.text ...     // a value has to be read after each
 *
 * Like a cursor: once something is wrong, `failed` says what kind and `why` in words, and all later
 * calls do nothing and give empty results. For a whole text in memory see wire/json/json_scan.h.
 *
 * Threads: one.
 */
#ifndef BACKEND_OPENTSDB_JSON_PIECES_H
#define BACKEND_OPENTSDB_JSON_PIECES_H

#include "base/buf.h"
#include "base/err.h"

enum {
    JSON_PIECES_DEPTH_MAX = 64,
    JSON_PIECES_TEXT_BYTES_MAX = 256 * 1024,
    JSON_PIECES_NUMBER_BYTES_MAX = 128,
};

/* More of the text, a view until the next call; empty: it ended in order. */
typedef enum err (*json_pieces_more)(void *context, struct bytes *ret_piece, struct why *why);

struct json_pieces {
    json_pieces_more more;
    void *context;
    const uint8_t *at; /* what of the piece is not read */
    const uint8_t *end;
    struct buf text; /* the string that was read last */
    char number[JSON_PIECES_NUMBER_BYTES_MAX];
    bool first; /* of the object or array at hand nothing was read */
    bool ended;
    enum err failed;
    struct why why;
};

void json_pieces_init(struct json_pieces *p, struct budget *budget);
void json_pieces_fini(struct json_pieces *p);
/* Before the first value of a text. */
void json_pieces_begin(struct json_pieces *p, json_pieces_more more, void *context);

/* That the text is not what the caller expects: ERR_CORRUPT. */
void json_pieces_fail(struct json_pieces *p, const char *sentence);
/* The next character that is not blank; 0 at the end. It stays. */
uint8_t json_pieces_peek(struct json_pieces *p);
/* Takes '{' or '['. */
void json_pieces_open(struct json_pieces *p, char wanted);
/* In an object: the next key, in `text`, with its colon. False: the object is closed, or it failed.
 */
bool json_pieces_key(struct json_pieces *p);
/* In an array: true if another value follows. False: the array is closed, or it failed. */
bool json_pieces_item(struct json_pieces *p);
/* A string, into `text`; a view of it until the next call. */
struct bytes json_pieces_text(struct json_pieces *p);
/* What stands there instead of a string, up to the next comma, bracket or blank: a number, a word.
 * A view until the next call. */
struct bytes json_pieces_word(struct json_pieces *p);
/* Any value, not looked at beyond its form. */
void json_pieces_skip(struct json_pieces *p);
/* Only blanks may follow. */
void json_pieces_end(struct json_pieces *p);

#endif
