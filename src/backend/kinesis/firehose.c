/*
 * firehose.c - destination type `firehose`: Amazon Data Firehose, by PutRecordBatch.
 *
 * Firehose writes records one behind the other and bills each in steps of 5 KB, so few large ones
 * are made of many lines, filled to just below such a step. Records are stored or refused singly;
 * a call holds one of each bucket of series, so that a series is in one record. There is one
 * bucket, and so one record, until calls may be larger than a record can be.
 *
 * With gzip a record is a member of its own: Firehose's objects then are gzip files. How small it
 * becomes is known only once it is made, so a call being filled is taken to become as small as
 * those before it.
 */
#include <stdio.h>
#include <string.h>

#include "backend/aws/caller.h"
#include "backend/aws/records.h"
#include "backend/common/http_common.h"
#include "backend/common/item_ndjson.h"
#include "backend/common/pack.h"
#include "base/json.h"

enum {
    SAMPLES = 50000,
    CALL_BYTES = 800 << 10,
    CALL_BYTES_MAX = 4 << 20,
    LANES = 2,
    STEP_BYTES = 5 * 1024,          /* what is billed */
    RECORD_BYTES_MAX = 1000 * 1024, /* a multiple of that */
    GZIP_FRAME_BYTES = 512,         /* what such a record may grow by when packed, at most */
    HEAD_BYTES = 128,               /* the begin of a body, and its end */
    ENTRY_BYTES = sizeof ",{\"Data\":\"\"}" - 1,
    NAME_BYTES_MAX = 64,
    PARTS = 1024, /* what is left of a byte, in these */
};

_Static_assert(RECORD_BYTES_MAX % STEP_BYTES == 0, "the largest record wastes nothing");

struct writer {
    struct writer_options options;
    const struct firehose_settings *settings;
    struct aws_caller *caller;
    struct aws_record_limits record_limits;
    uint32_t buckets;
    struct buf head; /* of a body */
    struct buf asking;
    uint32_t asking_keys;
    struct buf scratch; /* the lines of one record */
    struct buf body;    /* of a call, while it is made */
    struct packer *packer;
    struct buf packed;
    uint32_t packed_parts; /* what becomes of PARTS bytes */
};

static const struct aws_service service = {"firehose", "firehose", "FIREHOSE"};

/* --- the writer ------------------------------------------------------------------------------- */

/* The lines that go into a body of so many bytes, before base64. */
static size_t
raw_bytes(uint64_t body_bytes)
{
    size_t frame = HEAD_BYTES + 3 * (ENTRY_BYTES + 4);
    return body_bytes <= frame ? 0 : (size_t)(body_bytes - frame) / 4 * 3;
}

/* Few large records: as many as are needed to fill what a call may be. */
static void
plan_records(struct writer *w)
{
    uint64_t body_bytes = w->options.settings->batch.max_bytes;
    if (body_bytes == 0) body_bytes = CALL_BYTES;
    if (body_bytes > CALL_BYTES_MAX) body_bytes = CALL_BYTES_MAX;
    bool gzip = w->settings->compression == COMPRESSION_GZIP;
    size_t largest = RECORD_BYTES_MAX, raw = raw_bytes(body_bytes);
    w->buckets = raw < 2 * largest ? 1 : (uint32_t)(raw / largest);
    size_t record = raw < STEP_BYTES ? STEP_BYTES : raw / STEP_BYTES * STEP_BYTES;
    w->record_limits = (struct aws_record_limits){
        .lines = UINT32_MAX,
        .record_bytes_max = largest,
        .record_bytes = record < largest ? record : largest,
        .frame_bytes = gzip ? GZIP_FRAME_BYTES : 0,
        .head_bytes = HEAD_BYTES,
        .entry_bytes = ENTRY_BYTES,
        .call_bytes_max = CALL_BYTES_MAX,
        .what = "a record of the delivery stream",
    };
}

static void
firehose_destroy(struct writer *w)
{
    if (w == NULL) return;
    aws_caller_free(w->caller);
    packer_free(w->packer);
    buf_fini(&w->head);
    buf_fini(&w->asking);
    buf_fini(&w->scratch);
    buf_fini(&w->body);
    buf_fini(&w->packed);
    mem_free(w->options.memory, w, sizeof *w);
}

static void
put_name(const struct writer *w, struct buf *to)
{
    buf_put_text(to, "{\"DeliveryStreamName\":");
    (void)json_print_string(to, bytes_of_text(w->settings->delivery_stream)); /* it is ASCII */
}

static void
init(struct writer *w, const struct writer_options *options)
{
    struct budget *memory = options->memory;
    w->options = *options;
    w->settings = &options->settings->u.firehose;
    w->packed_parts = PARTS;
    plan_records(w);
    buf_init(&w->head, memory, HEAD_BYTES);
    buf_init(&w->asking, memory, HEAD_BYTES);
    buf_init(&w->scratch, memory, RECORD_BYTES_MAX);
    aws_records_body_init(&w->body, memory, &w->record_limits);
    buf_init(&w->packed, memory, RECORD_BYTES_MAX);
    put_name(w, &w->head);
    buf_put_text(&w->head, ",\"Records\":[");
}

static enum err
firehose_create(const struct writer_options *options, struct writer **ret_writer, struct why *why)
{
    /* AWS would refuse each call for it, and so all samples. */
    if (!aws_is_name(options->settings->u.firehose.delivery_stream, "_.-", NAME_BYTES_MAX)) {
        return why_set(why, ERR_INPUT,
                       "the delivery stream's name is none: 1 to %d letters, digits and '_.-'",
                       NAME_BYTES_MAX);
    }
    struct writer *w = mem_new(options->memory, sizeof *w);
    if (w == NULL) return why_set(why, ERR_NOMEM, "no memory for a destination");
    init(w, options);
    enum err e = buf_error(&w->head);
    if (e == OK) e = packer_new(w->settings->compression, &w->packer);
    if (e) {
        why_set(why, e, "no memory for a destination");
        goto out;
    }
    const struct aws_caller_options caller = {&w->options, &service, w->settings->endpoint,
                                              "Firehose_20150804"};
    e = aws_caller_new(&caller, &w->caller, why);
    if (e) goto out;

    *ret_writer = w;
    w = NULL;
out:
    firehose_destroy(w);
    return e;
}

static struct writer_limits
firehose_limits(const struct writer *w)
{
    (void)w;
    return (struct writer_limits){
        .concurrency = LANES,
        .samples = SAMPLES,
        .bytes = CALL_BYTES,
        .samples_max = UINT32_MAX,
        .bytes_max = CALL_BYTES_MAX,
        .unit = "5kb_steps",
    };
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
firehose_call_new(struct writer *w, struct writer_call **ret_call)
{
    return aws_call_new(w->options.memory, &w->record_limits, ret_call);
}

static enum writer_add
firehose_add(struct writer *w, struct writer_call *c, const struct item *item, uint32_t *ret_entry,
             struct why *why)
{
    *ret_entry = 0;
    return aws_records_add(&c->records, item->series_hash % w->buckets, item, ret_entry, why);
}

static uint64_t
firehose_bytes(const struct writer *w, const struct writer_call *c)
{
    uint64_t bytes = aws_records_bytes(&c->records);
    return c->records.made ? bytes : bytes * w->packed_parts / PARTS;
}

static uint64_t
firehose_units(const struct writer *w, const struct writer_call *c)
{
    uint64_t units = 0;
    for (uint32_t i = 0; i < c->records.count; i++) {
        const struct aws_record *record = &c->records.records[i];
        uint64_t guess = (uint64_t)record->bytes * w->packed_parts / PARTS;
        uint64_t bytes = c->records.made ? record->sent_bytes : guess;
        units += (bytes + STEP_BYTES - 1) / STEP_BYTES;
    }
    return units;
}

/* --- requests --------------------------------------------------------------------------------- */

static enum err
put_record(struct writer *w, struct aws_records *r, uint32_t i)
{
    struct bytes data, none = {NULL, 0};
    enum err e = aws_records_data(r, i, &w->scratch, &data);
    if (e == OK && w->settings->compression == COMPRESSION_GZIP) {
        buf_clear(&w->packed);
        e = pack(w->packer, data, &w->packed);
        data = buf_bytes(&w->packed);
    }
    if (e == OK) aws_records_put(r, &w->body, i, data, none);
    return e;
}

static void
note_packing(struct writer *w, const struct aws_records *r)
{
    uint64_t before = 0, after = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        before += r->records[i].bytes;
        after += r->records[i].sent_bytes;
    }
    uint64_t parts = (after * PARTS + before - 1) / before;
    w->packed_parts = parts < PARTS ? (uint32_t)parts : PARTS;
}

static enum err
make_body(struct writer *w, struct aws_records *r)
{
    if (r->made) return OK;
    enum err e = aws_records_begin(r, &w->body, buf_bytes(&w->head));
    for (uint32_t i = 0; i < r->count && e == OK; i++) {
        e = put_record(w, r, i);
    }
    if (e == OK) e = aws_records_end(r, &w->body);
    if (e == OK) note_packing(w, r);
    return e;
}

static unsigned
firehose_mapped(struct writer *w, const struct item *item)
{
    (void)w;
    return item_ndjson_mapped(item);
}

static enum err
firehose_make(struct writer *w, struct writer_call *c, uint64_t *ret_bytes)
{
    enum err e = make_body(w, &c->records);
    *ret_bytes = aws_records_bytes(&c->records);
    return e;
}

static void
begin_step(struct writer *w, struct writer_call *c, struct writer_step *step)
{
    enum err e = make_body(w, &c->records);
    if (e) {
        step_done(step, VERDICT_RETRY, "no_memory",
                  e == ERR_NOMEM ? "no memory for a request" : "a request cannot be made");
        return;
    }
    aws_caller_call(w->caller, "PutRecordBatch", aws_records_body(&c->records), &c->keys, step);
    step->http.answer_bytes_max = AWS_RECORDS_ANSWER_BYTES_MAX;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Refusals of a stream that is not meant to be written to: no sample is at fault. */
static void
judge_refusal(struct writer_step *step)
{
    static const char *const marks[] = {"InvalidSourceException", "KinesisStreamAsSource",
                                        "MSKAsSource"};
    if (step->verdict != VERDICT_DEAD) return;
    step->verdict = VERDICT_SOME_DEAD;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (strstr(step->answer, marks[i]) == NULL) continue;
        step->verdict = VERDICT_BLOCKED;
        snprintf(step->reason, sizeof step->reason, "configuration");
    }
}

static void
firehose_step(struct writer *w, struct writer_call *c, const struct http_call_answer *answer,
              struct writer_step *ret_step)
{
    if (answer == NULL) {
        begin_step(w, c, ret_step);
        return;
    }
    aws_caller_judge(w->caller, c->keys, answer, ret_step);
    judge_refusal(ret_step);
    if (ret_step->verdict != VERDICT_DELIVERED) return;
    if (aws_records_read(&c->records, "RequestResponses", answer) == OK)
        aws_records_judge(&c->records, ret_step);
    else
        aws_records_not_understood(ret_step);
}

static bool
firehose_need_prepare(struct writer *w)
{
    return aws_caller_is_due(w->caller);
}

static void
firehose_prepare(struct writer *w, const struct http_call_answer *answer,
                 struct writer_step *ret_step)
{
    aws_caller_prepare(w->caller, answer, ret_step);
}

/* --- looking whether it works ----------------------------------------------------------------- */

static void
ask(struct writer *w, const char *operation, struct writer_step *step)
{
    if (buf_error(&w->asking)) {
        step_done(step, VERDICT_RETRY, "no_memory", "no memory for a request");
        return;
    }
    aws_caller_call(w->caller, operation, buf_bytes(&w->asking), &w->asking_keys, step);
}

static void
check_stream_is_there(struct writer *w, const struct http_call_answer *answer,
                      struct writer_step *step)
{
    static const char outer[] = "DeliveryStreamDescription";
    char status[32], type[48], text[WRITER_ANSWER_BYTES];
    if (answer == NULL) {
        buf_clear(&w->asking);
        put_name(w, &w->asking);
        buf_put_u8(&w->asking, '}');
        ask(w, "DescribeDeliveryStream", step);
        return;
    }
    aws_caller_judge(w->caller, w->asking_keys, answer, step);
    if (step->verdict != VERDICT_DELIVERED) return;
    aws_answer_find(answer->body, outer, "DeliveryStreamStatus", status, sizeof status);
    aws_answer_find(answer->body, outer, "DeliveryStreamType", type, sizeof type);
    if (strcmp(status, "ACTIVE") != 0) step->verdict = VERDICT_RETRY;
    if (strcmp(type, "DirectPut") != 0) step->verdict = VERDICT_BLOCKED;
    snprintf(text, sizeof text, "the delivery stream is %s and of type %s%s",
             status[0] != '\0' ? status : "in no known state", type[0] != '\0' ? type : "unknown",
             step->verdict == VERDICT_BLOCKED ? ", not DirectPut as it has to be" : "");
    step_answer(step, bytes_of_text(text));
}

/* With nothing in it: whoever may not write is told so, others that it is no request. */
static void
check_may_put(struct writer *w, const struct http_call_answer *answer, struct writer_step *step)
{
    if (answer == NULL) {
        buf_clear(&w->asking);
        buf_put_bytes(&w->asking, buf_bytes(&w->head));
        buf_put_text(&w->asking, "]}");
        ask(w, "PutRecordBatch", step);
        return;
    }
    aws_caller_judge(w->caller, w->asking_keys, answer, step);
    aws_judge_empty(step);
}

static bool
firehose_check(struct writer *w, uint32_t number, const struct http_call_answer *answer,
               struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES])
{
    switch (number) {
    case 0:
        snprintf(what, WRITER_ANSWER_BYTES, "credentials");
        aws_caller_prepare(w->caller, answer, ret_step);
        return true;
    case 1:
        snprintf(what, WRITER_ANSWER_BYTES, "delivery stream %s (firehose:DescribeDeliveryStream)",
                 w->settings->delivery_stream);
        check_stream_is_there(w, answer, ret_step);
        return true;
    case 2:
        snprintf(what, WRITER_ANSWER_BYTES,
                 "permission to write, asked with an empty request (firehose:PutRecordBatch)");
        check_may_put(w, answer, ret_step);
        return true;
    default:
        return false;
    }
}

const struct writer_class firehose_writer = {
    .type = DESTINATION_FIREHOSE,
    .create = firehose_create,
    .destroy = firehose_destroy,
    .limits = firehose_limits,
    .call_new = firehose_call_new,
    .call_free = aws_call_free,
    .call_clear = aws_call_clear,
    .add = firehose_add,
    .bytes = firehose_bytes,
    .units = firehose_units,
    .make = firehose_make,
    .mapped = firehose_mapped,
    .step = firehose_step,
    .entry = aws_call_entry,
    .need_prepare = firehose_need_prepare,
    .prepare = firehose_prepare,
    .check = firehose_check,
};
