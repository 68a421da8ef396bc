/*
 * stream_testing.h - a writer of type kinesis or firehose with credentials of its own, items to
 * give it, and what it sends taken apart. For tests.
 */
#ifndef BACKEND_AWS_STREAM_TESTING_H
#define BACKEND_AWS_STREAM_TESTING_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/common/item_ndjson.h"
#include "backend/writer.h"
#include "lib/base64_reader.h"
#include "model/labels.h"
#include "sys/sim.h"

enum { STREAM_TEXT_BYTES_MAX = 32 << 20 };

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
static inline void
rig_init(struct stream_rig *rig, enum destination_type type)
{
    *rig = (struct stream_rig){.class = writer_class_of(type)};
    budget_init(&rig->memory, "test", 0, NULL);
    assert_int_equal(sim_env_new(1, &rig->sim), OK);
    rig->settings.name = "test";
    rig->settings.type = type;
    rig->settings.timeout_ms = 1000;
    rig->settings.aws.region = "eu-west-1";
    rig->settings.aws.access_key.text = "AKID";
    rig->settings.aws.secret_key.text = "SECRET";
    buf_init(&rig->labels, NULL, STREAM_TEXT_BYTES_MAX);
    buf_init(&rig->saved, NULL, STREAM_TEXT_BYTES_MAX);
    buf_init(&rig->data, NULL, STREAM_TEXT_BYTES_MAX);
}

static inline enum err
rig_create(struct stream_rig *rig, struct why *why)
{
    const struct writer_options options = {.env = sim_env_env(rig->sim),
                                           .memory = &rig->memory,
                                           .settings = &rig->settings,
                                           .instance = "0123456789abcdef",
                                           .saved = buf_bytes(&rig->saved)};
    return writer_new(rig->class, &options, &rig->writer, why);
}

static inline void
rig_open(struct stream_rig *rig)
{
    struct why why = {""};
    if (rig_create(rig, &why) != OK) fail_msg("%s", why.text);
    assert_int_equal(writer_call_new(rig->class, rig->writer, &rig->call), OK);
    rig->class->call_clear(rig->writer, rig->call);
}

static inline void
rig_close(struct stream_rig *rig)
{
    if (rig->writer == NULL) return;
    writer_call_free(rig->class, rig->writer, rig->call);
    writer_free(rig->class, rig->writer);
    rig->writer = NULL;
    assert_int_equal(budget_used(&rig->memory), 0);
}

static inline void
rig_fini(struct stream_rig *rig)
{
    rig_close(rig);
    json_decref(rig->body);
    buf_fini(&rig->labels);
    buf_fini(&rig->saved);
    buf_fini(&rig->data);
    sim_env_free(rig->sim);
}

/* --- items ------------------------------------------------------------------------------------ */

/* A sample of the series `hash`; its label "l" has a value of so many bytes. */
static inline struct item
rig_item(struct stream_rig *rig, uint64_t hash, int64_t t_ms, size_t label_bytes)
{
    char *value = malloc(label_bytes + 1);
    assert_non_null(value);
    memset(value, 'x', label_bytes);
    buf_clear(&rig->labels);
    labels_put(&rig->labels, (struct label){bytes_of_text("__name__"), bytes_of_text("up")});
    if (label_bytes > 0) {
        labels_put(&rig->labels, (struct label){bytes_of_text("l"), bytes_of(value, label_bytes)});
    }
    free(value);
    assert_int_equal(buf_error(&rig->labels), OK);
    return (struct item){.kind = ITEM_FLOAT,
                         .tenant = bytes_of_text("anonymous"),
                         .labels = buf_bytes(&rig->labels),
                         .series_hash = hash,
                         .t_ms = t_ms,
                         .bits = double_bits(1)};
}

/* How long the line of such an item is. */
static inline size_t
rig_line_bytes(struct stream_rig *rig, int64_t t_ms, size_t label_bytes)
{
    struct item item = rig_item(rig, 0, t_ms, label_bytes);
    struct buf line;
    buf_init(&line, NULL, STREAM_TEXT_BYTES_MAX);
    item_ndjson_put(&line, &item);
    size_t size = line.size;
    buf_fini(&line);
    return size;
}

static inline enum writer_add
rig_add(struct stream_rig *rig, uint64_t hash, int64_t t_ms, size_t label_bytes,
        uint32_t *ret_entry)
{
    struct item item = rig_item(rig, hash, t_ms, label_bytes);
    struct why why = {""};
    enum writer_add added = rig->class->add(rig->writer, rig->call, &item, ret_entry, &why);
    if (added == WRITER_UNFIT) {
        snprintf(rig->step.answer, sizeof rig->step.answer, "%.500s", why.text);
    }
    return added;
}

/* --- steps ------------------------------------------------------------------------------------ */

static inline void
rig_keep_body(struct stream_rig *rig)
{
    struct bytes body = rig->step.http.body;
    json_error_t error;
    json_decref(rig->body);
    rig->body = json_loadb((const char *)body.at, body.size, JSON_REJECT_DUPLICATES, &error);
    if (rig->body == NULL) fail_msg("%.*s: %s", (int)body.size, (const char *)body.at, error.text);
}

static inline void
rig_begin(struct stream_rig *rig)
{
    rig->step = (struct writer_step){.next = WRITER_DONE};
    rig->class->begin(rig->writer, rig->call, &rig->step);
    if (rig->step.next == WRITER_SEND) rig_keep_body(rig);
}

static inline struct http_call_answer
rig_answer_of(unsigned status, const char *body)
{
    return (struct http_call_answer){.status = status, .body = bytes_of_text(body)};
}

static inline void
rig_answer(struct stream_rig *rig, unsigned status, const char *body)
{
    struct http_call_answer answer = rig_answer_of(status, body);
    rig->step = (struct writer_step){.next = WRITER_DONE};
    rig->class->judge(rig->writer, rig->call, &answer, &rig->step);
    assert_int_equal(rig->step.next, WRITER_DONE);
}

/* `body` NULL: it begins. */
static inline void
rig_prepare(struct stream_rig *rig, const char *body)
{
    struct http_call_answer answer = rig_answer_of(200, body == NULL ? "" : body);
    rig->step = (struct writer_step){.next = WRITER_DONE};
    rig->class->prepare(rig->writer, body == NULL ? NULL : &answer, &rig->step);
    if (rig->step.next == WRITER_SEND) rig_keep_body(rig);
}

static inline const char *
rig_header(const struct stream_rig *rig, const char *name)
{
    size_t size = strlen(name);
    for (const char *const *h = rig->step.http.headers; *h != NULL; h++) {
        if (strncmp(*h, name, size) == 0 && (*h)[size] == ':') return *h + size + 2;
    }
    return "";
}

static inline void
rig_expect(const struct stream_rig *rig, enum writer_verdict verdict, const char *answer_part)
{
    assert_int_equal(rig->step.next, WRITER_DONE);
    if (rig->step.verdict != verdict) {
        fail_msg("verdict %d, not %d: %s", rig->step.verdict, verdict, rig->step.answer);
    }
    if (strstr(rig->step.answer, answer_part) == NULL) {
        fail_msg("'%s' has no '%s'", rig->step.answer, answer_part);
    }
}

/* --- what was sent ---------------------------------------------------------------------------- */

static inline uint32_t
rig_record_count(const struct stream_rig *rig)
{
    return (uint32_t)json_array_size(json_object_get(rig->body, "Records"));
}

/* A view until the next. */
static inline struct bytes
rig_record(struct stream_rig *rig, uint32_t i)
{
    json_t *record = json_array_get(json_object_get(rig->body, "Records"), i);
    const char *data = json_string_value(json_object_get(record, "Data"));
    assert_non_null(data);
    buf_clear(&rig->data);
    assert_int_equal(base64_get(bytes_of_text(data), &rig->data), OK);
    return buf_bytes(&rig->data);
}

static inline const char *
rig_record_key(const struct stream_rig *rig, uint32_t i)
{
    json_t *record = json_array_get(json_object_get(rig->body, "Records"), i);
    return json_string_value(json_object_get(record, "PartitionKey"));
}

/* The time of the line that begins there, and where the next one does. */
static inline int64_t
rig_line_time(struct bytes *lines)
{
    const uint8_t *end = memchr(lines->at, '\n', lines->size);
    assert_non_null(end);
    const char *time = memmem(lines->at, (size_t)(end - lines->at), "\"time\":", 7);
    assert_non_null(time);
    char digits[24] = "";
    size_t size = (size_t)((const char *)end - (time + 7));
    memcpy(digits, time + 7, size < sizeof digits ? size : sizeof digits - 1);
    lines->size -= (size_t)(end + 1 - lines->at);
    lines->at = end + 1;
    return strtoll(digits, NULL, 10);
}

#endif
