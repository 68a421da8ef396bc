/*
 * import_batch.h - collects samples into write requests of moderate size, sends them to a target,
 * and counts the results.
 *
 * Threads: one.
 */
#ifndef CLI_LIB_IMPORT_BATCH_H
#define CLI_LIB_IMPORT_BATCH_H

#include "cli/lib/target/target.h"
#include "model/select.h"
#include "wire/text/text_format.h"

enum { BATCH_SAMPLES_MAX = 5000, BATCH_BYTES_MAX = 4 << 20 };

struct batch_counts {
    struct target_counts taken; /* accepted by the target, or counted by a dry run */
    struct target_counts rejected;
    uint64_t families; /* metadata entries */
    uint64_t requests;
};

struct import_batch;

/*
 * `target` NULL: nothing is sent, everything is counted. `version` is that of the requests made
 * here; captures keep theirs. `rejected` is called with the target's message for each request that
 * was partly refused.
 */
MUST_CHECK enum err batch_new(struct target *target, enum rw_version version,
                              void (*rejected)(void *context, const char *text), void *context,
                              struct import_batch **ret_batch, struct why *why);
void batch_free(struct import_batch *batch);

/*
 * Adds an item. ERR_INPUT: the item itself is invalid (its labels); others may follow. Any other
 * error, and every error of batch_send(), is the target's: then batch_failed() is true and the
 * batch is of no more use.
 */
MUST_CHECK enum err batch_item(struct import_batch *batch, const struct text_item *item,
                               struct why *why);

/* Adds samples of a series with canonical labels; sends requests that are full meanwhile. Errors
 * are the target's. */
MUST_CHECK enum err batch_samples(struct import_batch *batch, struct bytes labels,
                                  const struct sample_batch *samples, struct why *why);

/* Adds a write request of a capture: a snappy block of either version. Errors as above. */
MUST_CHECK enum err batch_request(struct import_batch *batch, struct bytes packed, struct why *why);

/* True if it is time to send. */
bool batch_is_full(const struct import_batch *batch);
/* Sends what was collected. On OK everything given so far is durable, or was refused and
 * reported. */
MUST_CHECK enum err batch_send(struct import_batch *batch, struct why *why);

/* True after an error of the target: the batch can only be freed. */
bool batch_failed(const struct import_batch *batch);
struct batch_counts batch_counts(const struct import_batch *batch);

#endif
