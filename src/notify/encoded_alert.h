/*
 * encoded_alert.h - an alert, shared by the queues of one Alertmanager's members: the labels that
 * identify it, after relabelling, and the JSON of its state, encoded once for all members.
 *
 * Threads: immutable except for the number of references; any may use it.
 */
#ifndef NOTIFY_ENCODED_ALERT_H
#define NOTIFY_ENCODED_ALERT_H

#include "notify/notify.h"

enum { ENCODED_ALERT_BYTES_MAX = 1 << 20 }; /* for the JSON, and for the labels */
/*
 * An alert may wait in a queue for this long after its end or, if that is later, after its
 * encoding: a resolved alert that is sent again has its old end, and needs time of its own for
 * delivery.
 */
enum { ENCODED_ALERT_KEPT_MS = 15 * 60 * 1000 };

struct encoded_alert {
    struct budget *memory;
    _Atomic uint32_t refs; /* acquire-release: the last user frees it */
    uint32_t labels_bytes;
    uint32_t json_bytes;
    int64_t expires_ms; /* Unix: queues drop it then */
    uint64_t hash;      /* hash of the labels */
    uint8_t bytes[];    /* labels, JSON */
};

/* Values that all alerts of one call are encoded with. */
struct alert_encoding {
    struct budget *memory;
    uint64_t seed;            /* seed of hashes */
    int64_t now_ms;           /* Unix */
    const char *external_url; /* this server's, without a slash at its end; "" or a path: unknown */
};

/*
 * Given, with one reference. `labels` are those of the alert after relabelling, and replace those
 * of the notice. `scratch` is cleared and used. ERR_NOMEM; ERR_LIMIT: labels or JSON have more than
 * ENCODED_ALERT_BYTES_MAX.
 */
MUST_CHECK enum err encoded_alert_new(const struct alert_encoding *encoding, struct bytes labels,
                                      const struct alert_notice *notice, struct buf *scratch,
                                      struct encoded_alert **ret_alert);
struct encoded_alert *encoded_alert_ref(struct encoded_alert *alert);
/* NULL is fine. */
void encoded_alert_unref(struct encoded_alert *alert);

static inline struct bytes
encoded_alert_labels(const struct encoded_alert *alert)
{
    return bytes_of(alert->bytes, alert->labels_bytes);
}

static inline struct bytes
encoded_alert_json(const struct encoded_alert *alert)
{
    return bytes_of(alert->bytes + alert->labels_bytes, alert->json_bytes);
}

#endif
