/*
 * import_batch.h - samples gather here until they make a write request of decent size, which goes
 * to a target; and what became of them is counted.
 */
#ifndef CLI_LIB_IMPORT_BATCH_H
#define CLI_LIB_IMPORT_BATCH_H

#include "cli/lib/target.h"
#include "model/select.h"
#include "wire/text/text_reader.h"

enum { BATCH_SAMPLES_MAX = 5000, BATCH_BYTES_MAX = 4 << 20 };

struct batch_counts {
    struct target_counts taken; /* by the target, or counted by a dry run */
    struct target_counts rejected;
    uint64_t families; /* metadata */
    uint64_t requests;
};

struct import_batch;

/* `target` NULL: nothing is sent, all is counted. `version`: of the requests made here; captures
 * keep theirs. `rejected` is called with the target's words for each request of which something was
 * refused. */
MUST_CHECK enum err batch_new(struct target *target, enum rw_version version,
                              void (*rejected)(void *context, const char *text), void *context,
                              struct import_batch **ret_batch, struct why *why);
void batch_free(struct import_batch *batch);

/*
 * ERR_INPUT: the item itself is wrong (its labels), the rest goes on. Anything else, and every
 * error of batch_send(), is the target's: then batch_failed() says so and nothing more can be done.
 */
MUST_CHECK enum err batch_item(struct import_batch *batch, const struct text_item *item,
                               struct why *why);

/* Samples of a series with canonical labels; what makes a request too large is sent meanwhile. The
 * errors are the target's. */
MUST_CHECK enum err batch_samples(struct import_batch *batch, struct bytes labels,
                                  const struct sample_batch *samples, struct why *why);

/* A write request as it stands in a capture: a snappy block of either version. Errors as above. */
MUST_CHECK enum err batch_request(struct import_batch *batch, struct bytes packed, struct why *why);

/* Whether it is time to send. */
bool batch_is_full(const struct import_batch *batch);
/* Sends what there is. On OK everything given so far is durable, or was refused and told of. */
MUST_CHECK enum err batch_send(struct import_batch *batch, struct why *why);

bool batch_failed(const struct import_batch *batch);
struct batch_counts batch_counts(const struct import_batch *batch);

#endif
