/*
 * http_player.h - a server that sends scripted answers, one per connection, on a thread of its own.
 * For tests of clients.
 */
#ifndef LIB_NET_HTTP_PLAYER_H
#define LIB_NET_HTTP_PLAYER_H

#include "lib/test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWERS_MAX = 8, SEEN_BYTES = 8192 };

struct player {
    int listener;
    char url[64];
    pthread_t thread;
    const char *answers[ANSWERS_MAX]; /* NULL: closes at once; "": sends nothing */
    size_t sizes[ANSWERS_MAX];
    unsigned count;
    atomic_bool over;
    atomic_bool holds;     /* connections stay open after an answer, until the client closes them */
    char seen[SEEN_BYTES]; /* the last request */
    atomic_size_t seen_bytes; /* of which so much is there; release, pairs with tests' acquire */
};

/*
 * Starts a server for up to ANSWERS_MAX connections; answers and sizes are borrowed until
 * player_stop(). Without `sizes` the answers are texts.
 */
void player_start_sized(struct player *p, unsigned count, const char *const *answers,
                        const size_t *sizes);
void player_start(struct player *p, unsigned count, const char *const *answers);
void player_stop(struct player *p);

#endif
