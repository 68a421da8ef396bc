/*
 * keys.h - the keys that requests to AWS are signed with, and the answers that bring them.
 * What is given up is overwritten. Texts for people never hold any of it.
 */
#ifndef BACKEND_AWS_KEYS_H
#define BACKEND_AWS_KEYS_H

#include "base/buf.h"
#include "net/sigv4.h"

enum {
    AWS_ANSWER_BYTES_MAX = 64 << 10,
    AWS_KEY_BYTES_MAX = 256, /* of an access key, of a secret key */
    AWS_SESSION_TOKEN_BYTES_MAX = 16 << 10,
};

/* Zeroed: there are none. */
struct aws_keys {
    struct sigv4_credentials views; /* of `memory` */
    int64_t expires_s;              /* Unix; 0: never */
    uint8_t *memory;
    size_t memory_bytes;
    struct budget *budget;
};

static inline bool
aws_keys_given(const struct aws_keys *keys)
{
    return keys->memory != NULL;
}

/*
 * Copies these texts in place of those that are there. ERR_INPUT: one is missing, too long, or has
 * bytes that none has (they become lines of requests); ERR_NOMEM. After an error nothing changed.
 */
MUST_CHECK enum err aws_keys_set(struct aws_keys *keys, struct budget *budget,
                                 const struct sigv4_credentials *from, int64_t expires_s,
                                 struct why *why);
void aws_keys_wipe(struct aws_keys *keys);
bool aws_keys_equal(const struct aws_keys *a, const struct aws_keys *b);

/* Who answers in JSON: the names differ. */
enum aws_keys_form {
    AWS_KEYS_OF_SERVICE, /* of containers and of instances */
    AWS_KEYS_OF_PROCESS, /* "Version": 1 */
};

/*
 * Reads keys from such an answer. ERR_INPUT: it is not such an answer, or has no keys, and why;
 * ERR_LIMIT: longer than AWS_ANSWER_BYTES_MAX; ERR_NOMEM. After an error nothing changed.
 */
MUST_CHECK enum err aws_keys_from_json(struct aws_keys *keys, struct budget *budget,
                                       struct bytes answer, enum aws_keys_form form,
                                       struct why *why);
/* The same for answers of STS, the security token service. */
MUST_CHECK enum err aws_keys_from_xml(struct aws_keys *keys, struct budget *budget,
                                      struct bytes answer, struct why *why);

/* Whether a text may stand in a line of a request: visible ASCII, blanks inside. */
bool aws_is_header_text(struct bytes text);

#endif
