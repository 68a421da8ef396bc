/*
 * http_head.h - private to the HTTP server: parses the head of a request (its line and headers) in
 * place, and bodies in chunks. Pure: bytes in, views out. A decoder of foreign bytes:
 * http_head_fuzz.c.
 */
#ifndef NET_HTTP_HEAD_H
#define NET_HTTP_HEAD_H

#include "base/buf.h"

enum {
    HTTP_WRONG_BYTES = 48,   /* size of a message about a query string */
    HTTP_HEADERS_MAX = 1024, /* lines */
    HTTP_CHUNK_LINE_MAX = 1024,
    HTTP_TRAILERS_BYTES_MAX = 8192,
};

/* A header or an argument: offsets of NUL-terminated texts in http_head.text. */
struct http_field {
    uint32_t name;
    uint32_t value;
};

struct http_head {
    /* Set by the owner before http_head_parse(): a whole head, empty line included. */
    struct buf text;

    /* Views of it live as long as the text does. */
    const char *method;
    const char *target;    /* as it was sent, with its query */
    const char *path;      /* decoded; "/" if the target has none */
    const char *sent_path; /* as it was sent, if it has an escaped slash; else NULL */
    struct buf sent;       /* the texts of target, unless that is `path`, and sent_path */
    struct buf location;   /* the clean path with its query, if the path is not clean; else empty */
    struct buf headers;    /* array of struct http_field */
    struct buf arguments;  /* array of struct http_field, without malformed arguments */
    struct buf dropped;    /* array of struct http_field: malformed arguments, without values */
    bool bad_query;        /* has %00 */
    char wrong_query[HTTP_WRONG_BYTES]; /* describes the first malformed argument; else "" */

    bool old;    /* HTTP/1.0 */
    bool keeps;  /* the connection is kept for a next request */
    bool closes; /* a Connection header has "close" */
    bool bad_host;
    unsigned host_count;

    /* The framing of the body. */
    bool bad; /* contradictory, or made to be read differently by a proxy in front of us */
    bool has_length;
    bool chunked;
    bool coded; /* has a transfer coding that is not supported */
    bool expects;
    bool expects_other;
    uint64_t length;      /* UINT64_MAX: more digits than fit */
    const char *encoding; /* Content-Encoding; may be NULL */
};

/* `limit_bytes` is the largest size of `text`. */
void http_head_init(struct http_head *head, struct budget *budget, size_t limit_bytes);
void http_head_fini(struct http_head *head);
/* Charges its memory to a budget above its own, or its own. */
void http_head_charge(struct http_head *head, struct budget *above);

/* Looks for the end of the head in `text`. Returns the size of the head with its empty line, or 0
 * if it is incomplete. *scanned (0 at first) keeps the place to continue at when more has
 * arrived. */
size_t http_head_end(struct bytes text, size_t *scanned);

/* Parses the text. Returns 0, or the status of a refusal, with *ret_why: 400 (not HTTP, a control
 * character, a line without a colon, a target with an invalid escape, not exactly one valid Host in
 * HTTP/1.1), 431 (too many lines), 503 (not enough memory), 505 (another version). Headers that
 * contradict each other set `bad`. */
unsigned http_head_parse(struct http_head *head, const char **ret_why);

/* Says whether a list of words, between commas or blanks, has this one in any case. */
bool http_list_has(const char *list, const char *word);

/* The first header of that name (any case); NULL if it is absent. */
const char *http_head_header(const struct http_head *head, const char *name);
unsigned http_head_header_count(const struct http_head *head, const char *name);
/* The name and value of the header line at that index; false after the last. */
bool http_head_header_at(const struct http_head *head, uint32_t index, const char **ret_name,
                         const char **ret_value);
/* The next argument of that name at or after *at, which moves beyond it; NULL after the last. */
const char *http_head_argument(const struct http_head *head, const char *name, uint32_t *at);
/* True if the name of a malformed argument begins with the prefix. */
bool http_head_drops(const struct http_head *head, const char *prefix);

/* Appends a path without empty, "." and ".." segments (dots may be escaped), fit for Location:
 * bytes that are not allowed in a URL are escaped, and exactly one slash comes first. False: the
 * path is clean already, or does not begin with a slash; then nothing is appended. sigv4.c signs
 * the path that this function makes. */
bool http_path_clean(struct bytes path, struct buf *to);

/* --- bodies in chunks ------------------------------------------------------------------------- */

struct http_chunks {
    enum http_chunks_at {
        HTTP_CHUNK_SIZE,
        HTTP_CHUNK_BLANK, /* after the size */
        HTTP_CHUNK_EXTENSION,
        HTTP_CHUNK_SIZE_LF,
        HTTP_CHUNK_DATA,
        HTTP_CHUNK_DATA_CR,
        HTTP_CHUNK_DATA_LF,
        HTTP_CHUNK_TRAILER, /* the first byte of a line; all that follow are of trailers, too */
        HTTP_CHUNK_TRAILER_NAME,
        HTTP_CHUNK_TRAILER_VALUE,
        HTTP_CHUNK_TRAILER_LF,
        HTTP_CHUNK_END_LF,
        HTTP_CHUNK_DONE,
    } at;
    unsigned line_bytes; /* size of the present line, or of all trailers */
    unsigned digits;
    uint64_t left; /* bytes of the present chunk to come */
};

/* Consumes bytes of `from` up to the next piece of the body, which it returns (a view; empty: more
 * bytes are needed, or `at` is HTTP_CHUNK_DONE, after which nothing is consumed). ERR_INPUT: the
 * bytes are not valid chunks. */
MUST_CHECK enum err http_chunks_take(struct http_chunks *chunks, struct bytes *from,
                                     struct bytes *ret_piece);

#endif
