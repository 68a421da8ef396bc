/*
 * keys.h - keys that sign requests to AWS, and parsers for the answers that contain them. Freed
 * memory is overwritten. Messages never contain any part of a key.
 */
#ifndef BACKEND_AWS_KEYS_H
#define BACKEND_AWS_KEYS_H

#include "base/buf.h"
#include "net/sigv4.h"

enum {
    AWS_ANSWER_BYTES_MAX = 64 << 10,
    AWS_KEY_BYTES_MAX = 256, /* for an access key, and for a secret key */
    AWS_SESSION_TOKEN_BYTES_MAX = 16 << 10,
};

/* Zeroed: no keys. */
struct aws_keys {
    struct sigv4_credentials views; /* into `memory` */
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

/* Replaces the keys by copies of these texts. ERR_INPUT: one is missing, too long, or has
 * invalid bytes (they become lines of requests); ERR_NOMEM. An error changes nothing. */
MUST_CHECK enum err aws_keys_set(struct aws_keys *keys, struct budget *budget,
                                 const struct sigv4_credentials *from, int64_t expires_s,
                                 struct why *why);
void aws_keys_wipe(struct aws_keys *keys);
bool aws_keys_equal(const struct aws_keys *a, const struct aws_keys *b);

/* The origin of a JSON answer, which decides the names of members. */
enum aws_keys_form {
    AWS_KEYS_OF_SERVICE, /* containers and instances */
    AWS_KEYS_OF_PROCESS, /* "Version": 1 */
};

/* Parses keys from such an answer. ERR_INPUT: it is not such an answer, or has no keys;
 * ERR_LIMIT: longer than AWS_ANSWER_BYTES_MAX; ERR_NOMEM. An error changes nothing. */
MUST_CHECK enum err aws_keys_from_json(struct aws_keys *keys, struct budget *budget,
                                       struct bytes answer, enum aws_keys_form form,
                                       struct why *why);
/* Does the same for answers of STS, the security token service. */
MUST_CHECK enum err aws_keys_from_xml(struct aws_keys *keys, struct budget *budget,
                                      struct bytes answer, struct why *why);

/* True if a text may be part of a header line: visible ASCII, with blanks inside. */
bool aws_is_header_text(struct bytes text);

#endif
