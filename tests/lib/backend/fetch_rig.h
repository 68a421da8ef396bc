/*
 * fetch_rig.h - a fetcher with a session, a server that gives scripted answers, and one that gives
 * tokens. For tests of requests.
 */
#ifndef LIB_BACKEND_FETCH_RIG_H
#define LIB_BACKEND_FETCH_RIG_H

#include "backend/fetch/fetch.h"
#include "lib/net/http_player.h"

#define TOKEN(text)                                                                      \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"access_token\":\"" text \
    "\",\"expires_in\":3600}"
#define FINE   "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nX-Tone: high\r\n\r\nhello"
#define BUSY   "HTTP/1.1 503 Busy\r\nContent-Length: 8\r\n\r\nso busy!"
#define SILENT "" /* no answer, see struct player */
#define NOBODY "http://127.0.0.1:1/"

enum { HOUR_MS = 3600 * 1000, SILENT_MS = 60 };

struct fetch_rig {
    struct budget memory, query;
    struct source_settings settings; /* may be changed before fetch_rig_start() */
    const struct fetch_signing *signing;
    struct source_counts counts;
    struct http_puller *puller;
    struct fetcher *fetcher;
    struct fetch_session *session;
    struct player player, tokens;
    struct why why;
    atomic_uint looks; /* counts calls of `leaving` */
    /* reports that its client has left when it is called the second time */
    struct query_control leaving;
};

/* Starts the servers, and creates no fetcher. */
void fetch_rig_init(struct fetch_rig *r, unsigned count, const char *const *answers);
/* Requests get a token by OAuth2. */
void fetch_rig_use_tokens(struct fetch_rig *r, unsigned count, const char *const *answers);
/* Makes fetcher and session. */
MUST_CHECK enum err fetch_rig_open(struct fetch_rig *r);
void fetch_rig_start(struct fetch_rig *r);
/* Expects that no memory is left in use. */
void fetch_rig_stop(struct fetch_rig *r);

/* Returns a fetch of the session by GET; `url` NULL: from the rig's server. */
struct fetch *fetch_rig_get(struct fetch_rig *r, const char *url);
/* Returns the error of opening the fetch. */
MUST_CHECK enum err fetch_rig_try(struct fetch_rig *r, struct fetch_session *session,
                                  struct query_control *control, struct fetch **ret_fetch);
/* Waits for the answer; returns its status, or 0 if `expected` is an error. */
unsigned fetch_rig_await(struct fetch_rig *r, struct fetch *fetch, enum err expected);
/* Waits for an answer of this status that is `expected` for fetch_expect_ok(), and closes it. */
void fetch_rig_expect_status(struct fetch_rig *r, struct fetch *fetch, unsigned status,
                             enum err expected);
/* Waits for an answer as FINE and closes it. */
void fetch_rig_expect_hello(struct fetch_rig *r, struct fetch *fetch);
/* Reads all of a body into `room` bytes. */
MUST_CHECK enum err fetch_rig_read_all(struct fetch_rig *r, struct fetch *fetch, size_t room);

/* Expects the last failure to be of this kind. */
void fetch_rig_expect_trouble(const struct fetch_rig *r, enum trouble trouble);
void fetch_rig_expect_words(const struct fetch_rig *r, const char *words);

/* A query in a thread of its own, which reads one answer. */
struct fetch_thread {
    struct fetch_rig *rig;
    const char *url;
    pthread_t thread;
    atomic_uint looks; /* calls of its control while it waited */
    atomic_bool had_turn;
    enum err result;
    struct why why;
};
void fetch_thread_start(struct fetch_thread *x, struct fetch_rig *r, const char *url);
void fetch_thread_join(struct fetch_thread *x);
void fetch_thread_await_look(struct fetch_thread *x);

#endif
