/*
 * json_pieces.h - steps through a JSON text that arrives in pieces, without holding more of it than
 * one string or number. Private to backend/opentsdb.
 *
 *     json_pieces_open(&p, '{');
 *     while (json_pieces_key(&p)) ... p.text ...     // read a value after each
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

/* More of the text, a view until the next call; empty after its regular end. */
typedef enum err (*json_pieces_more)(void *context, struct bytes *ret_piece, struct why *why);

struct json_pieces {
    json_pieces_more more;
    void *context;
    const uint8_t *at; /* the unread rest of the piece */
    const uint8_t *end;
    struct buf text; /* the last string */
    char number[JSON_PIECES_NUMBER_BYTES_MAX];
    bool first; /* nothing of the current object or array was read */
    bool ended;
    enum err failed;
    struct why why;
};

void json_pieces_init(struct json_pieces *p, struct budget *budget);
void json_pieces_fini(struct json_pieces *p);
/* Called before the first value of a text. */
void json_pieces_begin(struct json_pieces *p, json_pieces_more more, void *context);

/* Fails with ERR_CORRUPT, since the text is not what the caller expects. */
void json_pieces_fail(struct json_pieces *p, const char *sentence);
/* The next character that is not blank, which is not taken; 0 at the end. */
uint8_t json_pieces_peek(struct json_pieces *p);
/* Takes '{' or '['. */
void json_pieces_open(struct json_pieces *p, char wanted);
/* In an object: takes the next key, into `text`, and its colon. False if the object is closed, or
 * after a failure. */
bool json_pieces_key(struct json_pieces *p);
/* In an array: true if another value follows. False if the array is closed, or after a failure. */
bool json_pieces_item(struct json_pieces *p);
/* Takes a string, into `text`; a view until the next call. */
struct bytes json_pieces_text(struct json_pieces *p);
/* Takes a number or word, up to the next comma, bracket or blank. A view until the next call. */
struct bytes json_pieces_word(struct json_pieces *p);
/* Skips any value, and checks its syntax. */
void json_pieces_skip(struct json_pieces *p);
/* Fails if more than blanks follow. */
void json_pieces_end(struct json_pieces *p);

#endif
