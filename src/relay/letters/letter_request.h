/*
 * letter_request.h - what an operator wants done with dead letters, on its way to the relay: a file
 * for each request, which appears whole and goes when the relay has done it. Format:
 * docs/format/relay.md.
 *
 * A request says up to which place letters are meant. What is decided about a letter is final for
 * its place (a letter that is refused once more gets a new one), so a request that is carried out
 * again, after a crash, finds nothing left to do.
 */
#ifndef RELAY_LETTERS_LETTER_REQUEST_H
#define RELAY_LETTERS_LETTER_REQUEST_H

#include "relay/letters/letter_file.h"

enum {
    LETTER_REASON_BYTES = 128,
    LETTER_REQUEST_NAME_BYTES = 48,
    LETTER_REQUESTS_MAX = 1024, /* that wait */
};

struct letter_request {
    enum dead_letters_wish wish;
    uint32_t file; /* letters before this place */
    uint32_t offset;
    char reason[LETTER_REASON_BYTES];     /* ""; any */
    char name[LETTER_REQUEST_NAME_BYTES]; /* of its file; letter_request_write() makes one up */
    bool damaged;                         /* it is none, and its file may go */
};

/* Whether it means a letter at that place, if nothing else was decided about it. */
bool letter_request_means(const struct letter_request *request, uint32_t file, uint64_t offset,
                          struct bytes reason);

struct letter_requests {
    struct buf memory;
    const struct letter_request *items; /* in the order of their making */
    uint32_t count;
};
void letter_requests_fini(struct letter_requests *requests);

/*
 * Those that wait in a directory, the oldest first and not more than LETTER_REQUESTS_MAX. Of a
 * newer version's none is seen. ERR_MISSING: no such directory; ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err letter_requests_read(struct letter_requests *ret_requests, struct env *env,
                                         const char *dir, struct budget *memory, struct why *why);
bool letter_request_is_name(const char *name);
/* One of them, for who only looks. ERR_CORRUPT; ERR_UNSUPPORTED: a newer version's; ERR_MISSING,
 * ERR_IO. */
MUST_CHECK enum err letter_request_examine(struct env *env, const char *dir, const char *name,
                                           struct letter_request *ret_request, struct why *why);
/* Durable on return. */
MUST_CHECK enum err letter_request_write(struct env *env, const char *dir,
                                         const struct letter_request *request, struct why *why);
MUST_CHECK enum err letter_request_remove(struct env *env, const char *dir,
                                          const struct letter_request *request, struct why *why);

#endif
