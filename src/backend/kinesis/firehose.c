/*
 * firehose.c - destination type `firehose`: Amazon Data Firehose, by PutRecordBatch.
 *
 * Firehose bills each record in steps of 5 KB, so lines are combined into few large records, filled
 * to just below a step. Each record is stored or refused on its own; a call has one record per
 * bucket of series, so that a series is in one record. There is only one bucket, and one record,
 * unless calls may be larger than a record.
 *
 * With gzip a record is a member of its own: Firehose's objects then are gzip files. The compressed
 * size is known only at the end, so a call being filled is assumed to compress like those before
 * it.
 */
#include "backend/kinesis/kinesis.h"

#include <stdio.h>
#include <string.h>

#include "backend/common/pack.h"

enum {
    SAMPLES = 50000,
    CALL_BYTES = 800 << 10,
    CALL_BYTES_MAX = 4 << 20,
    LANES = 2,
    STEP_BYTES = 5 * 1024,          /* unit of billing */
    RECORD_BYTES_MAX = 1000 * 1024, /* a multiple of STEP_BYTES */
    GZIP_FRAME_BYTES = 512,         /* upper bound for the growth of such a record by packing */
    HEAD_BYTES = 128,               /* for the beginning and end of a body */
    ENTRY_BYTES = sizeof ",{\"Data\":\"\"}" - 1,
    NAME_BYTES_MAX = 64,
    PARTS = 1024, /* compressed sizes are measured in units of 1/PARTS */
};

_Static_assert(RECORD_BYTES_MAX % STEP_BYTES == 0, "the largest record wastes nothing");

struct firehose {
    struct stream_writer stream;
    const struct firehose_settings *settings;
    uint32_t buckets;
    struct packer *packer;
    struct buf packed;
    uint32_t packed_parts; /* compressed size of PARTS bytes */
};

/* --- the writer ------------------------------------------------------------------------------- */

/* Plans few large records: as many as a full call needs. */
static void
plan_records(struct firehose *w)
{
    uint64_t body_bytes = w->stream.base.options.settings->batch.max_bytes;
    if (body_bytes == 0) body_bytes = CALL_BYTES;
    if (body_bytes > CALL_BYTES_MAX) body_bytes = CALL_BYTES_MAX;
    /* Size of the lines in such a body, before base64. */
    size_t frame = HEAD_BYTES + 3 * (ENTRY_BYTES + 4), largest = RECORD_BYTES_MAX;
    size_t raw = body_bytes <= frame ? 0 : (size_t)(body_bytes - frame) / 4 * 3;
    size_t record = raw < STEP_BYTES ? STEP_BYTES : raw / STEP_BYTES * STEP_BYTES;
    w->buckets = raw < 2 * largest ? 1 : (uint32_t)(raw / largest);
    w->stream.record_limits = (struct aws_record_limits){
        .lines = UINT32_MAX,
        .record_bytes_max = largest,
        .record_bytes = record < largest ? record : largest,
        .frame_bytes = w->settings->compression == COMPRESSION_GZIP ? GZIP_FRAME_BYTES : 0,
        .head_bytes = HEAD_BYTES,
        .entry_bytes = ENTRY_BYTES,
        .call_bytes_max = CALL_BYTES_MAX,
        .what = "a record of the delivery stream",
    };
}

static void
judge_description(struct bytes answer, struct writer_step *step)
{
    static const char outer[] = "DeliveryStreamDescription";
    char status[32], kind[48], text[WRITER_ANSWER_BYTES];
    aws_answer_find(answer, outer, "DeliveryStreamStatus", status, sizeof status);
    aws_answer_find(answer, outer, "DeliveryStreamType", kind, sizeof kind);
    if (strcmp(status, "ACTIVE") != 0) step->verdict = VERDICT_RETRY;
    if (strcmp(kind, "DirectPut") != 0) step->verdict = VERDICT_BLOCKED;
    snprintf(text, sizeof text, "the delivery stream is %s and of type %s%s",
             status[0] != '\0' ? status : "in an unknown state", kind[0] != '\0' ? kind : "unknown",
             step->verdict == VERDICT_BLOCKED ? ": expected type DirectPut" : "");
    step_answer(step, bytes_of_text(text));
}

static enum err firehose_make_body(struct stream_writer *base, struct aws_records *r);

static const struct stream_type type = {
    .service = {"firehose", "firehose", "FIREHOSE"},
    .operations = "Firehose_20150804",
    .put = "PutRecordBatch",
    .list = "RequestResponses",
    .what = "delivery stream",
    .describe = "DescribeDeliveryStream",
    .judge_description = judge_description,
    .make_body = firehose_make_body,
};

static void
firehose_fini(struct writer *writer)
{
    struct firehose *w = (struct firehose *)writer;
    stream_fini(&w->stream);
    packer_free(w->packer);
    buf_fini(&w->packed);
}

static enum err
firehose_init(struct writer *writer, struct why *why)
{
    struct firehose *w = (struct firehose *)writer;
    const struct writer_options *options = &w->stream.base.options;
    const struct firehose_settings *settings = &options->settings->u.firehose;
    /* AWS would refuse every call, and so all samples. */
    if (!aws_is_name(settings->delivery_stream, "_.-", NAME_BYTES_MAX)) {
        return why_set(why, ERR_INPUT,
                       "invalid delivery stream name: expected 1 to %d letters, digits and '_.-'",
                       NAME_BYTES_MAX);
    }
    w->stream.base.limits = (struct writer_limits){
        .throttles_parts = true,
        .concurrency = LANES,
        .samples = SAMPLES,
        .bytes = CALL_BYTES,
        .samples_max = UINT32_MAX,
        .bytes_max = CALL_BYTES_MAX,
        .unit = "5kb_steps",
        .mapped = ITEM_NDJSON_MAPPED,
    };
    w->stream.type = &type;
    w->stream.name_key = "DeliveryStreamName";
    w->stream.name = settings->delivery_stream;
    w->settings = settings;
    w->packed_parts = PARTS;
    plan_records(w);
    buf_init(&w->packed, options->memory, RECORD_BYTES_MAX);
    enum err e = packer_new(settings->compression, &w->packer);
    return e ? e : stream_init(&w->stream, settings->endpoint, why);
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum writer_add
firehose_add(struct writer *writer, struct writer_call *call, const struct item *item,
             uint32_t *ret_entry, struct why *why)
{
    struct firehose *w = (struct firehose *)writer;
    struct aws_call *c = (struct aws_call *)call;
    uint64_t bucket = item->series_hash % w->buckets;
    *ret_entry = 0;
    return aws_records_add(&c->records, bucket, item, ret_entry, why);
}

static uint64_t
firehose_bytes(const struct writer *writer, const struct writer_call *call)
{
    const struct firehose *w = (const struct firehose *)writer;
    const struct aws_call *c = (const struct aws_call *)call;
    uint64_t bytes = aws_records_bytes(&c->records);
    return c->records.made ? bytes : bytes * w->packed_parts / PARTS;
}

static uint64_t
firehose_units(const struct writer *writer, const struct writer_call *call)
{
    const struct firehose *w = (const struct firehose *)writer;
    const struct aws_call *c = (const struct aws_call *)call;
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
firehose_make_body(struct stream_writer *base, struct aws_records *r)
{
    struct firehose *w = (struct firehose *)base;
    uint64_t before = 0, after = 0;
    enum err e = aws_records_begin(r, &base->body, buf_bytes(&base->head));
    for (uint32_t i = 0; i < r->count && e == OK; i++) {
        struct bytes data, none = {NULL, 0};
        e = aws_records_data(r, i, &base->scratch, &data);
        if (e == OK && w->settings->compression == COMPRESSION_GZIP) {
            buf_clear(&w->packed);
            e = pack(w->packer, data, &w->packed);
            data = buf_bytes(&w->packed);
        }
        if (e) break;
        aws_records_put(r, &base->body, i, data, none);
        before += r->records[i].bytes;
        after += r->records[i].sent_bytes;
    }
    if (e == OK) e = aws_records_end(r, &base->body);
    if (e) return e;
    uint64_t parts = (after * PARTS + before - 1) / before;
    w->packed_parts = parts < PARTS ? (uint32_t)parts : PARTS;
    return OK;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
firehose_judge(struct writer *writer, struct writer_call *call,
               const struct http_call_answer *answer, struct writer_step *ret_step)
{
    struct firehose *w = (struct firehose *)writer;
    struct aws_call *c = (struct aws_call *)call;
    /* Errors of a stream that does not accept records: the samples are not at fault. */
    static const char *const marks[] = {"InvalidSourceException", "KinesisStreamAsSource",
                                        "MSKAsSource"};
    if (stream_take(&w->stream, c, answer, ret_step)) aws_records_judge(&c->records, ret_step);
    if (ret_step->verdict != VERDICT_SOME_DEAD) return;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (strstr(ret_step->answer, marks[i]) == NULL) continue;
        ret_step->verdict = VERDICT_BLOCKED;
        snprintf(ret_step->reason, sizeof ret_step->reason, "configuration");
    }
}

const struct writer_class firehose_writer = {
    .type = DESTINATION_FIREHOSE,
    .writer_bytes = sizeof(struct firehose),
    .call_bytes = sizeof(struct aws_call),
    .init = firehose_init,
    .fini = firehose_fini,
    .call_init = stream_call_init,
    .call_fini = aws_call_fini,
    .call_clear = aws_call_clear,
    .add = firehose_add,
    .bytes = firehose_bytes,
    .units = firehose_units,
    .maps = item_ndjson_maps,
    .begin = stream_begin,
    .judge = firehose_judge,
    .entry = aws_call_entry,
    .need_prepare = stream_need_prepare,
    .prepare = stream_prepare,
    .check = stream_check,
};
