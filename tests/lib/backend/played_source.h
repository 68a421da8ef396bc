/*
 * played_source.h - a source of any type whose server gives scripted answers: one per request, in
 * order. For tests of readers.
 *
 *     played_init(&rig, SOURCE_INFLUXDB);
 *     rig.settings.u.influxdb.server.url = rig.url; ...
 *     played_answer(&rig, "HTTP/1.1 200 OK\r\n..."); ...
 *     played_start(&rig);
 *     played_expect_read(&rig, "up", "up{job=\"x\"} 1000:3ff0000000000000\n");
 *     played_stop(&rig);
 */
#ifndef LIB_BACKEND_PLAYED_SOURCE_H
#define LIB_BACKEND_PLAYED_SOURCE_H

#include "backend/source.h"
#include "base/buf.h"
#include "lib/net/http_player.h"

#define PLAYED_OK     "HTTP/1.1 200 OK\r\nConnection: close\r\n" /* headers may follow */
#define PLAYED_ANSWER PLAYED_OK "\r\n"
#define PLAYED_MAX_MS 4102444800000

struct played_source {
    /* reader_new(), or the constructor of a type that is not in the settings. */
    enum err (*make)(const struct reader_options *options, struct answerer **ret_answerer,
                     struct why *why);
    struct source_settings settings; /* a test may change them before played_start() */
    const char *path;                /* path of `url`; "" at first */
    char url[64];                    /* URL of the server, which sets it when it starts */
    struct buf answers[ANSWERS_MAX];
    unsigned count;
    struct player player;
    struct http_puller *puller;
    struct answerer *reader;
    struct view *view;
    struct budget memory, budget; /* budgets of the reader, and of questions */
    struct query_control control;
    struct source_counts counts;
    struct query_request request; /* a question without matchers, over 0..PLAYED_MAX_MS */
    int64_t shown_from_ms;        /* times are printed as milliseconds after it */
    struct why why;               /* why the last question failed */
    enum err error;               /* its error */
};

void played_init(struct played_source *rig, enum source_type type);
/* Adds an answer; NULs may be appended to the buffer that is returned. */
struct buf *played_answer(struct played_source *rig, const char *text);
void played_answers(struct played_source *rig, unsigned count, const char *const *texts);
/* Starts the server, makes the reader and opens a view. */
void played_start(struct played_source *rig);
/* Expects that no memory is left in use. */
void played_stop(struct played_source *rig);

/*
 * Reads all that a selector selects, or everything if it is NULL, and appends it as text with a NUL
 * at its end: a line `LABELS TIME:BITS TIME:BITS ...` per series, BITS in hex, h for a histogram,
 * with @START if there is one; then a line `warning: ...` for each warning. Views of `rig->view`.
 */
MUST_CHECK enum err played_read(struct played_source *rig, const char *selector, struct buf *to);
void played_expect_read(struct played_source *rig, const char *selector, const char *expected);
/* Expects an error whose sentence contains `words`. */
void played_expect_failure(struct played_source *rig, const char *selector, enum err expected,
                           const char *words);
/* Expects this trouble of the last question. */
void played_expect_trouble(const struct played_source *rig, enum trouble trouble);
/* Expects the last request to contain `words`. */
void played_expect_asked(const struct played_source *rig, const char *words);

/*
 * Looks up names (`what` NULL), series (`what` "") or the values of the label `what`, and appends
 * each with a semicolon after it, warnings with "warning: " before them, and a NUL at the end.
 */
MUST_CHECK enum err played_look_up(struct played_source *rig, const char *selector,
                                   const char *what, struct buf *to);
void played_expect_looked_up(struct played_source *rig, const char *selector, const char *what,
                             const char *expected);

/*
 * Reads with each allocation failed in turn: the question fails with ERR_NOMEM or with one of
 * `others` (bits 1 << ERR), or nevertheless gives an answer, and nothing leaks. Without a failure
 * it gives `expected`. `start` makes a started rig.
 */
void played_fail_allocations(void (*start)(struct played_source *rig, unsigned variant),
                             unsigned variant, const char *selector, const char *expected,
                             unsigned others);

#endif
