/*
 * told.h - an alert as the members of one Alertmanager are told of it: the labels that say which
 * alert it is, after relabelling, and the JSON of its state, made once for all of them.
 *
 * Threads: immutable but for the count of its users.
 */
#ifndef NOTIFY_TOLD_H
#define NOTIFY_TOLD_H

#include "notify/notify.h"

enum { TOLD_BYTES_MAX = 1 << 20 }; /* of the JSON */
/* The time that an alert may wait in a queue after its end, or after it was made if that is later:
 * a resolved alert that is sent again has its old end, and a time of its own to be delivered in. */
enum { TOLD_KEPT_MS = 15 * 60 * 1000 };

struct told {
    struct budget *memory;
    _Atomic uint32_t refs; /* acquire-release: whoever drops the last one frees it */
    uint32_t labels_bytes;
    uint32_t json_bytes;
    int64_t expires_ms; /* Unix: queues drop it then */
    uint64_t hash;      /* of the labels */
    uint8_t bytes[];    /* labels, JSON */
};

/* What an alert is made with. */
struct told_making {
    struct budget *memory;
    uint64_t seed;            /* of hashes */
    int64_t now_ms;           /* Unix */
    const char *external_url; /* without a slash at its end; "", a path: not known */
};

/*
 * Given, with one reference. `labels` are those of the alert after relabelling. `scratch` is
 * cleared and used. ERR_NOMEM; ERR_LIMIT: more than TOLD_BYTES_MAX.
 */
MUST_CHECK enum err told_new(const struct told_making *making, struct bytes labels,
                             const struct alert_notice *notice, struct buf *scratch,
                             struct told **ret_told);
struct told *told_ref(struct told *told);
/* NULL is fine. */
void told_unref(struct told *told);

static inline struct bytes
told_labels(const struct told *told)
{
    return bytes_of(told->bytes, told->labels_bytes);
}

static inline struct bytes
told_json(const struct told *told)
{
    return bytes_of(told->bytes + told->labels_bytes, told->json_bytes);
}

#endif
