/* trouble.c - see trouble.h. */
#include "model/trouble.h"

const char *
trouble_word(enum trouble trouble)
{
    static const char *const words[TROUBLE_COUNT] = {
        [TROUBLE_UNSET] = "unknown",
        [TROUBLE_CONNECT] = "connect",
        [TROUBLE_TLS] = "tls",
        [TROUBLE_TIMEOUT] = "timeout",
        [TROUBLE_THROTTLED] = "throttled",
        [TROUBLE_CREDENTIALS] = "credentials",
        [TROUBLE_REFUSED] = "refused",
        [TROUBLE_SERVER] = "server",
        [TROUBLE_BROKEN] = "broken",
        [TROUBLE_DAMAGED] = "damaged",
        [TROUBLE_LIMIT] = "limit",
        [TROUBLE_GONE] = "gone",
    };
    return (unsigned)trouble < TROUBLE_COUNT ? words[trouble] : words[TROUBLE_UNSET];
}

enum err
trouble_say(struct why *why, enum trouble trouble, enum err e)
{
    if (why != NULL) why->trouble = trouble;
    return e;
}

enum trouble
trouble_of(const struct why *why, enum err e)
{
    static const enum trouble of_errors[ERR_COUNT] = {
        [ERR_INPUT] = TROUBLE_REFUSED,       [ERR_LIMIT] = TROUBLE_LIMIT,
        [ERR_AGAIN] = TROUBLE_SERVER,        [ERR_NOMEM] = TROUBLE_LIMIT,
        [ERR_FULL] = TROUBLE_REFUSED,        [ERR_MISSING] = TROUBLE_REFUSED,
        [ERR_CORRUPT] = TROUBLE_DAMAGED,     [ERR_IO] = TROUBLE_REFUSED,
        [ERR_UNSUPPORTED] = TROUBLE_DAMAGED, [ERR_CANCELED] = TROUBLE_TIMEOUT,
    };
    bool is_set = why != NULL && why->trouble > TROUBLE_UNSET && why->trouble < TROUBLE_COUNT;
    return is_set ? (enum trouble)why->trouble : of_errors[e];
}
