/*
 * stream_rig.h - a writer of type kinesis or firehose with credentials, items for it, and its
 * requests taken apart. For tests.
 */
#ifndef LIB_BACKEND_STREAM_RIG_H
#define LIB_BACKEND_STREAM_RIG_H

#include "lib/test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/common/pack.h"
#include "backend/writer.h"
#include "base/text/base64.h"
#include "model/labels.h"
#include "sys/sim.h"

struct stream_rig {
    struct sim_env *sim;
    struct budget memory;
    struct destination_settings settings;
    const struct writer_class *class;
    struct writer *writer;
    struct writer_call *call;
    struct writer_step step;
    struct buf labels; /* labels of the last item */
    struct buf saved;
    json_t *body;    /* body of the last step */
    struct buf data; /* data of the last decoded record */
};

/* Makes settings, which the test completes before it opens the writer. */
void stream_rig_init(struct stream_rig *rig, enum destination_type type);

/* Create the writer, the second one with a call, which must succeed. */
enum err stream_rig_create(struct stream_rig *rig, struct why *why);
void stream_rig_open(struct stream_rig *rig);
void stream_rig_close(struct stream_rig *rig);
void stream_rig_fini(struct stream_rig *rig);

/* --- items ------------------------------------------------------------------------------------ */

/* Returns a sample of the series `hash`, whose label "l" has a value of `label_bytes`. */
struct item stream_rig_item(struct stream_rig *rig, uint64_t hash, int64_t t_ms,
                            size_t label_bytes);

/* Returns the size of the line of such an item. */
size_t stream_rig_line_bytes(struct stream_rig *rig, int64_t t_ms, size_t label_bytes);

/* Adds such an item to the call. */
enum writer_add stream_rig_add(struct stream_rig *rig, uint64_t hash, int64_t t_ms,
                               size_t label_bytes, uint32_t *ret_entry);

/* --- steps ------------------------------------------------------------------------------------ */

/* Begins the call, which makes rig->step. */
void stream_rig_begin(struct stream_rig *rig);

/* Answers the request of the step, which makes the next one. */
struct http_call_answer stream_rig_answer_of(unsigned status, const char *body);
void stream_rig_answer(struct stream_rig *rig, unsigned status, const char *body);

/* Begins the preparation, or answers its request if `body` is not NULL. */
void stream_rig_prepare(struct stream_rig *rig, const char *body);

/* Returns the value of a header of the request, or NULL. */
const char *stream_rig_header(const struct stream_rig *rig, const char *name);

/* Expects the verdict of the last entry, and a part of the answer as its reason. */
void stream_rig_expect(const struct stream_rig *rig, enum writer_verdict verdict,
                       const char *answer_part);

/* --- the request ------------------------------------------------------------------------------ */

uint32_t stream_rig_record_count(const struct stream_rig *rig);

/* Returns the data of a record, a view until the next call. */
struct bytes stream_rig_record(struct stream_rig *rig, uint32_t i);

const char *stream_rig_record_key(const struct stream_rig *rig, uint32_t i);

/* Cuts the first line off and returns its time in milliseconds. */
int64_t stream_rig_line_time(struct bytes *lines);

#endif
