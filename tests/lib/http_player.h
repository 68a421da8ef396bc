/* http_player.h - a server that gives one scripted answer per connection, for tests of clients. */
#ifndef LIB_HTTP_PLAYER_H
#define LIB_HTTP_PLAYER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

enum { ANSWERS_MAX = 8, SEEN_BYTES = 8192 };

struct player {
    int listener;
    char url[64];
    pthread_t thread;
    const char *answers[ANSWERS_MAX]; /* NULL: closes at once; "": never sends anything */
    size_t sizes[ANSWERS_MAX];
    unsigned count;
    atomic_bool over;
    atomic_bool holds;     /* connections stay open after an answer, until the client closes them */
    char seen[SEEN_BYTES]; /* the last request */
};

/* Answers are borrowed until player_stop(). */
void player_start(struct player *p, unsigned count, const char *const *answers);
/* The same for answers with NULs: `sizes` has their sizes. */
void player_start_sized(struct player *p, unsigned count, const char *const *answers,
                        const size_t *sizes);
void player_stop(struct player *p);

#endif
