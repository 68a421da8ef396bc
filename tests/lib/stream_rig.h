/*
 * stream_rig.h - a writer of type kinesis or firehose with credentials of its own, items to
 * give it, and what it sends taken apart. For tests.
 */
#ifndef LIB_STREAM_RIG_H
#define LIB_STREAM_RIG_H

#include "lib/test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/common/item_ndjson.h"
#include "backend/writer.h"
#include "lib/base64_reader.h"
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
    struct buf labels; /* of the item made last */
    struct buf saved;
    json_t *body;    /* of the step sent last */
    struct buf data; /* of the record decoded last */
};

/* The settings are to be completed; then rig_open(). */
void stream_rig_init(struct stream_rig *rig, enum destination_type type);

enum err stream_rig_create(struct stream_rig *rig, struct why *why);

void stream_rig_open(struct stream_rig *rig);

void stream_rig_close(struct stream_rig *rig);

void stream_rig_fini(struct stream_rig *rig);

/* --- items ------------------------------------------------------------------------------------ */

/* A sample of the series `hash`; its label "l" has a value of so many bytes. */
struct item stream_rig_item(struct stream_rig *rig, uint64_t hash, int64_t t_ms,
                            size_t label_bytes);

/* How long the line of such an item is. */
size_t stream_rig_line_bytes(struct stream_rig *rig, int64_t t_ms, size_t label_bytes);

enum writer_add stream_rig_add(struct stream_rig *rig, uint64_t hash, int64_t t_ms,
                               size_t label_bytes, uint32_t *ret_entry);

/* --- steps ------------------------------------------------------------------------------------ */

void stream_rig_begin(struct stream_rig *rig);

struct http_call_answer stream_rig_answer_of(unsigned status, const char *body);

void stream_rig_answer(struct stream_rig *rig, unsigned status, const char *body);

/* `body` NULL: it begins. */
void stream_rig_prepare(struct stream_rig *rig, const char *body);

const char *stream_rig_header(const struct stream_rig *rig, const char *name);

void stream_rig_expect(const struct stream_rig *rig, enum writer_verdict verdict,
                       const char *answer_part);

/* --- what was sent ---------------------------------------------------------------------------- */

uint32_t stream_rig_record_count(const struct stream_rig *rig);

/* A view until the next. */
struct bytes stream_rig_record(struct stream_rig *rig, uint32_t i);

const char *stream_rig_record_key(const struct stream_rig *rig, uint32_t i);

/* The time of the line that begins there, and where the next one does. */
int64_t stream_rig_line_time(struct bytes *lines);

#endif
