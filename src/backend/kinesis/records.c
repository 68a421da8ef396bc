/*
 * records.c - the calls of both types, see kinesis.h.
 *
 * A line is encoded before its size is known, and removed again if there is no room: that happens
 * once per call. Limits are checked against upper bounds for a record and the body, so that a body
 * never turns out too large.
 */
#include "backend/kinesis/kinesis.h"

#include <assert.h>
#include <stdio.h>

#include "backend/common/http_common.h"
#include "backend/common/pack.h"
#include "base/array.h"
#include "base/hash/hash.h"
#include "base/text/base64.h"
#include "base/text/json.h"
#include "wire/json/json_scan.h"

enum {
    SHOWN_CODE_BYTES = 100,
    SHOWN_MESSAGE_BYTES = 300,
    SCAN_BYTES_MAX = 2 * AWS_RECORDS_ANSWER_BYTES_MAX, /* if all texts had escapes */
};

_Static_assert(AWS_RECORDS_PLACES >= 2 * AWS_RECORDS_MAX,
               "a search for a group always meets a free place");

/* --- life ------------------------------------------------------------------------------------- */

/* Upper bound for the lines before the limits are checked, and for the body. */
static size_t
text_bytes_max(const struct aws_record_limits *l)
{
    return l->call_bytes_max + l->record_bytes_max;
}

enum err
aws_call_init(struct aws_call *c, struct budget *memory, const struct aws_record_limits *limits)
{
    struct aws_records *r = &c->records;
    *r = (struct aws_records){.memory = memory, .limits = *limits};
    buf_init(&r->text, memory, text_bytes_max(limits));
    r->body_bytes = limits->head_bytes;
    r->records = mem_new(memory, AWS_RECORDS_MAX * sizeof *r->records);
    return r->records == NULL ? ERR_NOMEM : OK;
}

void
aws_call_fini(struct writer *writer, struct writer_call *call)
{
    (void)writer;
    struct aws_records *r = &((struct aws_call *)call)->records;
    buf_fini(&r->text);
    array_free(r->memory, r->lines, r->lines_capacity);
    mem_free(r->memory, r->records, AWS_RECORDS_MAX * sizeof *r->records);
}

void
aws_call_clear(struct writer *writer, struct writer_call *call)
{
    (void)writer;
    struct aws_records *r = &((struct aws_call *)call)->records;
    buf_clear(&r->text);
    if (r->count > 0) memset(r->places, 0, sizeof r->places);
    r->count = r->line_count = 0;
    r->body_bytes = r->limits.head_bytes;
    r->made = false;
    r->error[0] = '\0';
}

/* --- lines ------------------------------------------------------------------------------------ */

/* Returns the slot with the group's record, or a free one. */
static uint16_t *
records_find_slot(struct aws_records *r, uint64_t group)
{
    /* Groups may be small numbers, or hashes with common low bits. */
    for (uint64_t i = group * 0x9e3779b97f4a7c15u >> 32;; i++) {
        uint16_t *place = &r->places[i % AWS_RECORDS_PLACES];
        if (*place == 0 || r->records[*place - 1].group == group) return place;
    }
}

/* True if a line of `size` bytes fits into the record (NULL: into a new one); returns the body's
 * size with it. */
static bool
has_room(const struct aws_records *r, const struct aws_record *record, size_t size,
         uint64_t *ret_body_bytes)
{
    const struct aws_record_limits *l = &r->limits;
    size_t before = record == NULL ? l->frame_bytes : record->bytes;
    size_t after = before + l->line_frame_bytes + size;
    if (record == NULL) {
        if (r->count == AWS_RECORDS_MAX || after > l->record_bytes_max) return false;
        *ret_body_bytes = r->body_bytes + l->entry_bytes + base64_size(after);
    } else {
        if (record->line_count == l->lines || after > l->record_bytes) return false;
        *ret_body_bytes = r->body_bytes + base64_size(after) - base64_size(before);
    }
    return *ret_body_bytes <= l->call_bytes_max;
}

static enum writer_add
unfit(const struct aws_records *r, size_t size, struct why *why)
{
    char known[40] = "";
    if (size > 0) snprintf(known, sizeof known, " of %zu bytes", size);
    size_t frame = r->limits.frame_bytes + r->limits.line_frame_bytes;
    return writer_unfit(why, "the line%s is too long: %s holds at most %zu bytes", known,
                        r->limits.what, r->limits.record_bytes_max - frame);
}

enum writer_add
aws_records_add(struct aws_records *r, uint64_t group, const struct item *item,
                uint32_t *ret_record, struct why *why)
{
    size_t before = r->text.size;
    if (!array_reserve(r->memory, &r->lines, &r->lines_capacity, r->line_count + 1))
        return WRITER_NO_MEMORY;
    item_ndjson_put(&r->text, item);
    enum err e = buf_error(&r->text);
    if (e) {
        r->text.failed = OK;
        if (e != ERR_LIMIT) return WRITER_NO_MEMORY;
        return r->count == 0 ? unfit(r, 0, why) : WRITER_FULL;
    }
    struct aws_line line = {item->series_hash, (uint32_t)before, (uint32_t)(r->text.size - before),
                            AWS_LINE_NONE};
    uint16_t *place = records_find_slot(r, group);
    struct aws_record *record = *place == 0 ? NULL : &r->records[*place - 1];
    uint64_t body_bytes;
    if (!has_room(r, record, line.size, &body_bytes)) {
        r->text.size = before;
        return r->count == 0 ? unfit(r, line.size, why) : WRITER_FULL;
    }
    if (record == NULL) {
        record = &r->records[r->count++];
        *record = (struct aws_record){.group = group,
                                      .adjoining = true,
                                      .verdict = VERDICT_RETRY,
                                      .bytes = r->limits.frame_bytes};
        *place = (uint16_t)r->count;
    }
    if (record->line_count == 0) {
        record->first = r->line_count;
    } else {
        struct aws_line *last = &r->lines[record->last];
        record->adjoining &= last->at + last->size == line.at;
        last->next = r->line_count;
    }
    record->last = r->line_count;
    record->line_count++;
    record->bytes += r->limits.line_frame_bytes + line.size;
    r->lines[r->line_count++] = line;
    r->body_bytes = body_bytes;
    *ret_record = *place - 1u;
    return WRITER_ADDED;
}

uint64_t
aws_records_bytes(const struct aws_records *r)
{
    return r->made ? r->text.size : r->body_bytes;
}

/* --- the body --------------------------------------------------------------------------------- */

struct bytes
aws_records_line(const struct aws_records *r, const struct aws_line *line)
{
    return bytes_of(r->text.at + line->at, line->size);
}

enum err
aws_records_data(const struct aws_records *r, uint32_t record, struct buf *scratch,
                 struct bytes *ret_data)
{
    const struct aws_record *it = &r->records[record];
    const struct aws_line *line = &r->lines[it->first], *last = &r->lines[it->last];
    if (it->adjoining) {
        *ret_data = bytes_of(r->text.at + line->at, last->at + last->size - line->at);
        return OK;
    }
    buf_clear(scratch);
    for (uint32_t i = it->first; i != AWS_LINE_NONE; i = r->lines[i].next)
        buf_put_bytes(scratch, aws_records_line(r, &r->lines[i]));
    *ret_data = buf_bytes(scratch);
    return buf_error(scratch);
}

void
aws_records_body_init(struct buf *body, struct budget *memory,
                      const struct aws_record_limits *limits)
{
    buf_init(body, memory, text_bytes_max(limits));
}

enum err
aws_records_begin(const struct aws_records *r, struct buf *body, struct bytes head)
{
    buf_clear(body);
    if (buf_reserve(body, (size_t)r->body_bytes)) buf_put_bytes(body, head); /* its upper bound */
    return buf_error(body);
}

void
aws_records_put(struct aws_records *r, struct buf *body, uint32_t record, struct bytes data,
                struct bytes key)
{
    buf_put_text(body, record == 0 ? "{\"Data\":\"" : ",{\"Data\":\"");
    base64_put(body, data);
    if (key.size > 0) {
        buf_put_text(body, "\",\"PartitionKey\":\"");
        buf_put_bytes(body, key);
    }
    buf_put_text(body, "\"}");
    r->records[record].sent_bytes = data.size;
}

enum err
aws_records_end(struct aws_records *r, struct buf *body)
{
    buf_put_text(body, "]}");
    enum err e = buf_error(body);
    if (e) return e;
    assert(body->size <= r->body_bytes);
    struct buf lines = r->text;
    r->text = *body;
    *body = lines;
    r->made = true;
    return OK;
}

struct bytes
aws_records_body(const struct aws_records *r)
{
    assert(r->made);
    return buf_bytes(&r->text);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The answer for one record. Views of the body. */
struct records_answer {
    struct bytes id;
    struct bytes shard;
    struct bytes code;
    struct bytes message;
};

static void
read_record(struct scan *s, struct records_answer *result)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        if (scan_peek(s) != '"') { /* usually null */
            scan_skip(s);
            continue;
        }
        struct bytes text = scan_text(s);
        bool id = bytes_equal_text(key, "SequenceNumber") || bytes_equal_text(key, "RecordId");
        if (id) result->id = text;
        if (bytes_equal_text(key, "ShardId")) result->shard = text;
        if (bytes_equal_text(key, "ErrorCode")) result->code = text;
        if (bytes_equal_text(key, "ErrorMessage")) result->message = text;
    }
}

/* No error code means that a record can never be stored: unknown ones are retried. */
static enum writer_verdict
record_verdict(const struct records_answer *result)
{
    /* Firehose sends the last one when its limits are reached. */
    static const char *const throttled[] = {"ProvisionedThroughputExceeded", "Throttling",
                                            "LimitExceeded", "KMSThrottling", "ServiceUnavailable"};
    if (result->code.size == 0) return result->id.size > 0 ? VERDICT_DELIVERED : VERDICT_RETRY;
    for (size_t i = 0; i < sizeof throttled / sizeof *throttled; i++) {
        size_t size = strlen(throttled[i]);
        bool begins = result->code.size >= size && memcmp(result->code.at, throttled[i], size) == 0;
        if (begins) return VERDICT_THROTTLED;
    }
    return VERDICT_RETRY;
}

static int
at_most(size_t size, int limit)
{
    return size < (size_t)limit ? (int)size : limit;
}

static uint32_t
records_read_list(struct aws_records *r, struct scan *s)
{
    uint32_t count = 0;
    scan_expect(s, '[');
    while (scan_item(s)) {
        struct records_answer result = {.id = {NULL, 0}};
        read_record(s, &result);
        if (s->bad != NULL || count++ >= r->count) continue;
        struct aws_record *record = &r->records[count - 1];
        record->verdict = (uint8_t)record_verdict(&result);
        record->shard = result.shard.size == 0 ? 0 : hash_bytes(result.shard, 0);
        if (record->verdict == VERDICT_DELIVERED || r->error[0] != '\0') continue;
        struct writer_step step;
        char text[WRITER_ANSWER_BYTES];
        snprintf(text, sizeof text, "%.*s%s%.*s", at_most(result.code.size, SHOWN_CODE_BYTES),
                 (const char *)result.code.at, result.message.size > 0 ? ": " : "",
                 at_most(result.message.size, SHOWN_MESSAGE_BYTES),
                 (const char *)result.message.at);
        step_answer(&step, bytes_of_text(result.code.size > 0
                                             ? text
                                             : "the response does not mention the record"));
        memcpy(r->error, step.answer, sizeof r->error);
    }
    return count;
}

enum err
aws_records_read(struct aws_records *r, const char *list, const struct http_call_answer *answer)
{
    struct arena arena;
    struct bytes key;
    uint32_t count = UINT32_MAX;
    r->error[0] = '\0';
    if (answer->body_cut) return ERR_INPUT;
    arena_init(&arena, r->memory, SCAN_BYTES_MAX, 0);
    struct scan s = scan_of(answer->body, &arena);
    scan_expect(&s, '{');
    while (scan_key(&s, &key))
        if (bytes_equal_text(key, list) && scan_peek(&s) == '[')
            count = records_read_list(r, &s);
        else
            scan_skip(&s);
    scan_end(&s);
    enum err e = s.bad == NULL && count == r->count ? OK : ERR_INPUT;
    arena_fini(&arena);
    return e;
}

static const char *
record_reason(enum writer_verdict verdict)
{
    return verdict == VERDICT_THROTTLED ? "throttled" : "unavailable";
}

void
aws_records_judge(const struct aws_records *r, struct writer_step *ret_step)
{
    uint32_t stored = 0, throttled = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        stored += r->records[i].verdict == VERDICT_DELIVERED;
        throttled += r->records[i].verdict == VERDICT_THROTTLED;
    }
    if (stored == r->count) {
        step_done(ret_step, VERDICT_DELIVERED, "", "");
        return;
    }
    /* No record was stored: the body stays as it is. */
    enum writer_verdict verdict = throttled > 0 ? VERDICT_THROTTLED : VERDICT_RETRY;
    step_done(ret_step, stored == 0 ? verdict : VERDICT_MIXED, record_reason(verdict), r->error);
}

void
aws_call_entry(const struct writer *writer, const struct writer_call *call, uint32_t record,
               struct writer_entry *ret_entry)
{
    (void)writer;
    const struct aws_records *r = &((const struct aws_call *)call)->records;
    enum writer_verdict verdict = (enum writer_verdict)r->records[record].verdict;
    *ret_entry = (struct writer_entry){.verdict = verdict};
    if (verdict == VERDICT_DELIVERED) return;
    snprintf(ret_entry->reason, sizeof ret_entry->reason, "%s", record_reason(verdict));
    snprintf(ret_entry->answer, sizeof ret_entry->answer, "%s", r->error);
}

/* --- streams ---------------------------------------------------------------------------------- */

enum { REQUEST_BYTES_MAX = 128 << 10 };

enum err
stream_init(struct stream_writer *w, const char *endpoint, struct why *why)
{
    struct budget *memory = w->base.options.memory;
    const struct aws_record_limits *limits = &w->record_limits;
    buf_init(&w->head, memory, limits->head_bytes);
    buf_init(&w->request, memory, REQUEST_BYTES_MAX);
    buf_init(&w->scratch, memory, limits->record_bytes_max);
    aws_records_body_init(&w->body, memory, limits);
    buf_put_u8(&w->head, '{');
    stream_put_name(w, &w->head);
    buf_put_text(&w->head, ",\"Records\":[");
    enum err e = buf_error(&w->head);
    if (e) return e;
    const struct aws_caller_options caller = {&w->base.options, &w->type->service, endpoint,
                                              w->type->operations, "application/x-amz-json-1.1"};
    return aws_caller_new(&caller, &w->caller, why);
}

void
stream_fini(struct stream_writer *w)
{
    aws_caller_free(w->caller);
    buf_fini(&w->head);
    buf_fini(&w->request);
    buf_fini(&w->scratch);
    buf_fini(&w->body);
}

void
stream_put_name(const struct stream_writer *w, struct buf *to)
{
    buf_printf(to, "\"%s\":", w->name_key);
    (void)json_print_string(to, bytes_of_text(w->name));
}

/* --- calls ------------------------------------------------------------------------------------ */

enum err
stream_call_init(struct writer *writer, struct writer_call *call)
{
    const struct stream_writer *w = (const struct stream_writer *)writer;
    return aws_call_init((struct aws_call *)call, w->base.options.memory, &w->record_limits);
}

void
stream_begin(struct writer *writer, struct writer_call *call, struct writer_step *step)
{
    struct stream_writer *w = (struct stream_writer *)writer;
    struct aws_call *c = (struct aws_call *)call;
    enum err e = c->records.made ? OK : w->type->make_body(w, &c->records);
    if (e) {
        step_done(step, VERDICT_RETRY, "no_memory",
                  e == ERR_NOMEM ? "not enough memory for a request" : "cannot build the request");
        return;
    }
    aws_caller_call(w->caller, NULL, w->type->put, aws_records_body(&c->records), &c->keys, step);
    step->http.answer_bytes_max = AWS_RECORDS_ANSWER_BYTES_MAX;
}

bool
stream_take(struct stream_writer *w, struct aws_call *c, const struct http_call_answer *answer,
            struct writer_step *step)
{
    aws_caller_judge(w->caller, c->keys, answer, step);
    if (step->verdict == VERDICT_DEAD) step->verdict = VERDICT_SOME_DEAD;
    if (step->verdict != VERDICT_DELIVERED) return false;
    if (aws_records_read(&c->records, w->type->list, answer) == OK) return true;
    step_done(step, VERDICT_RETRY, "answer", "the response does not say which records were stored");
    return false;
}

/* --- requests outside of calls ---------------------------------------------------------------- */

void
stream_ask(struct stream_writer *w, const char *operation, struct writer_step *step)
{
    if (buf_error(&w->request)) {
        step_no_memory(step, "a request");
        return;
    }
    aws_caller_call(w->caller, NULL, operation, buf_bytes(&w->request), &w->request_keys, step);
}

void
stream_judge(struct stream_writer *w, const struct http_call_answer *answer,
             struct writer_step *step)
{
    aws_caller_judge(w->caller, w->request_keys, answer, step);
}

/* --- preparing and checks --------------------------------------------------------------------- */

bool
stream_need_prepare(struct writer *writer)
{
    return aws_caller_is_due(((const struct stream_writer *)writer)->caller);
}

void
stream_prepare(struct writer *writer, const struct http_call_answer *answer,
               struct writer_step *step)
{
    aws_caller_prepare(((struct stream_writer *)writer)->caller, answer, step);
}

static void
check_is_there(struct stream_writer *w, const struct http_call_answer *answer,
               struct writer_step *step)
{
    if (answer != NULL) {
        stream_judge(w, answer, step);
        if (step->verdict == VERDICT_DELIVERED) w->type->judge_description(answer->body, step);
        return;
    }
    buf_clear(&w->request);
    buf_put_u8(&w->request, '{');
    stream_put_name(w, &w->request);
    buf_put_u8(&w->request, '}');
    stream_ask(w, w->type->describe, step);
}

/* Judges an empty put: a missing permission is reported before the invalid request. */
static void
check_may_put(struct stream_writer *w, const struct http_call_answer *answer,
              struct writer_step *step)
{
    if (answer != NULL) {
        stream_judge(w, answer, step);
        aws_judge_empty(step);
        return;
    }
    buf_clear(&w->request);
    buf_put_bytes(&w->request, buf_bytes(&w->head));
    buf_put_text(&w->request, "]}");
    stream_ask(w, w->type->put, step);
}

bool
stream_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
             struct writer_step *step, char what[WRITER_ANSWER_BYTES])
{
    struct stream_writer *w = (struct stream_writer *)writer;
    const struct stream_type *type = w->type;
    if (number == 0) {
        snprintf(what, WRITER_ANSWER_BYTES, "credentials");
        stream_prepare(writer, answer, step);
    } else if (number == 1) {
        snprintf(what, WRITER_ANSWER_BYTES, "%s %.128s (%s:%s)", type->what, w->name,
                 type->service.name, type->describe);
        check_is_there(w, answer, step);
    } else if (number == 2) {
        snprintf(what, WRITER_ANSWER_BYTES,
                 "permission to write, checked with an empty request (%s:%s)", type->service.name,
                 type->put);
        check_may_put(w, answer, step);
    }
    return number <= 2;
}
