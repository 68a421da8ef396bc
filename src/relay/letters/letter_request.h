/*
 * letter_request.h - an operator's requests about dead letters: a file for each request, which is
 * created whole, and removed when the relay has carried it out. Format: docs/format/relay.md.
 *
 * A request selects letters up to a place. A decision about a letter is final for its place (a
 * letter that is refused once more gets a new one), so a request that is carried out again after a
 * crash finds nothing left to do.
 */
#ifndef RELAY_LETTERS_LETTER_REQUEST_H
#define RELAY_LETTERS_LETTER_REQUEST_H

#include "relay/letters/letter_file.h"

enum {
    LETTER_REASON_BYTES = 128,
    LETTER_REQUEST_NAME_BYTES = 48,
    LETTER_REQUESTS_MAX = 1024, /* waiting requests */
};

struct letter_request {
    enum dead_letters_wish wish;
    uint32_t file; /* selects letters before this file and offset */
    uint32_t offset;
    char reason[LETTER_REASON_BYTES];     /* selects letters with this reason; "" for all */
    char name[LETTER_REQUEST_NAME_BYTES]; /* name of its file; set by letter_request_write() */
    bool damaged;                         /* it cannot be read, and its file may be removed */
};

/* True if the request selects a letter at that place, unless something else was decided about it.
 */
bool letter_request_means(const struct letter_request *request, uint32_t file, uint64_t offset,
                          struct bytes reason);

struct letter_requests {
    struct buf memory;
    const struct letter_request *items; /* in the order of their making */
    uint32_t count;
};
void letter_requests_fini(struct letter_requests *requests);

/*
 * Reads the waiting requests of a directory, the oldest first, at most LETTER_REQUESTS_MAX.
 * Requests of a newer version are left out. ERR_MISSING: the directory does not exist; ERR_IO,
 * ERR_NOMEM.
 */
MUST_CHECK enum err letter_requests_read(struct letter_requests *ret_requests, struct env *env,
                                         const char *dir, struct budget *memory, struct why *why);
bool letter_request_is_name(const char *name);
/* Reads one request without changing anything. ERR_CORRUPT; ERR_UNSUPPORTED: a newer version's;
 * ERR_MISSING, ERR_IO. */
MUST_CHECK enum err letter_request_examine(struct env *env, const char *dir, const char *name,
                                           struct letter_request *ret_request, struct why *why);
/* Writes a request, durably. */
MUST_CHECK enum err letter_request_write(struct env *env, const char *dir,
                                         const struct letter_request *request, struct why *why);
MUST_CHECK enum err letter_request_remove(struct env *env, const char *dir,
                                          const struct letter_request *request, struct why *why);

#endif
