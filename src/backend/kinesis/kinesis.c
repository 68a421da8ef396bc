/*
 * kinesis.c - destination type `kinesis`: Amazon Kinesis Data Streams, by PutRecords.
 *
 * Each record of a call is stored or refused on its own, so all items of a series in a call are in
 * one record. The format decides what a record is:
 *
 *   ndjson  a line. Its partition key is the series' hash: labels may be longer than a key.
 *   packed  the lines of a bucket. Series are spread over four buckets per shard, by their hash.
 *   kpl     an aggregate of at most 500 lines. Each has a key of its own, the hash of its series;
 *           all keys of an aggregate belong to one shard.
 *
 * Consumers ignore items of an aggregate with keys of another shard. So an aggregate made with an
 * outdated list of shards, which AWS stored in another shard, is not delivered: the shards are
 * listed again, and it is made again. Its items with the right shard are stored twice.
 */
#include "backend/kinesis/kinesis.h"

#include <stdio.h>
#include <string.h>

#include "backend/common/pack.h"
#include "base/text/hex.h"
#include "base/text/json.h"
#include "wire/point/kpl.h"

enum {
    KINESIS_SAMPLES = 20000,
    KINESIS_CALL_BYTES = 800 << 10,
    KINESIS_LANES = 2,
    KINESIS_CALL_BYTES_MAX = 5 << 20,   /* accepted everywhere in AWS */
    CALL_BYTES_SET_MAX = 10 << 20,      /* the limit with a larger batch.max_bytes */
    KINESIS_RECORD_BYTES_MAX = 1 << 20, /* including its key; the default limit of a stream */
    KEY_BYTES = HEX_WORD_BYTES,         /* the longest partition key */
    KINESIS_HEAD_BYTES = 512,           /* for the beginning and end of a body */
    KINESIS_ENTRY_BYTES = sizeof ",{\"Data\":\"\",\"PartitionKey\":\"\"}" - 1 + KEY_BYTES,
    KPL_FRAME_BYTES = 20,
    KPL_KEYS = 1 << 16,
    KPL_KEY_DIGITS = 4,
    /* The key in the table; the field of a record, the number of its key, the field of its data. */
    KPL_LINE_BYTES = 2 + KPL_KEY_DIGITS + 4 + 3 + 4,
    PUT_UNIT_BYTES = 25 * 1024, /* unit of billing */
    BUCKETS_OF_A_SHARD = 4,
    BUCKETS_MAX = KINESIS_SHARDS_MAX * BUCKETS_OF_A_SHARD,
    SAVED_VERSION = 1,
    LIST_AGAIN_S = 300,
    LIST_FAILED_AGAIN_S = 60,
    KINESIS_NAME_BYTES_MAX = 128,
    ARN_BYTES_MAX = 384,
};

struct kinesis {
    struct stream_writer stream;
    const struct kinesis_settings *settings;
    uint32_t buckets; /* for format packed */
    bool buckets_known;

    struct kinesis_shards *shards; /* NULL: ndjson does not need shards */
    bool listing;                  /* a request for a page is pending */
    bool shards_are_old;           /* an answer showed it */
    int64_t list_ns;               /* time of the next listing */
    struct buf token;

    struct kpl_writer *kpl; /* NULL: another format */
    struct buf aggregates;  /* aggregates of the current call */
    size_t aggregate_bytes[AWS_RECORDS_MAX];
    uint16_t *shard_of_key;   /* KPL_KEYS */
    uint32_t shard_of_key_of; /* generation of the shards in `shard_of_key` */
};

/* --- the writer ------------------------------------------------------------------------------- */

static struct aws_record_limits
limits_of(const struct destination_settings *settings)
{
    bool kpl = settings->u.kinesis.format == KINESIS_KPL;
    uint64_t call_bytes = settings->batch.max_bytes;
    if (call_bytes < KINESIS_CALL_BYTES_MAX) call_bytes = KINESIS_CALL_BYTES_MAX;
    if (call_bytes > CALL_BYTES_SET_MAX) call_bytes = CALL_BYTES_SET_MAX;
    return (struct aws_record_limits){
        .lines = settings->u.kinesis.format == KINESIS_NDJSON ? 1
                 : kpl                                        ? KPL_RECORDS_MAX
                                                              : UINT32_MAX,
        .record_bytes_max = KINESIS_RECORD_BYTES_MAX,
        .record_bytes = KINESIS_RECORD_BYTES_MAX,
        .frame_bytes = KEY_BYTES + (kpl ? KPL_FRAME_BYTES : 0),
        .line_frame_bytes = kpl ? KPL_LINE_BYTES : 0,
        .head_bytes = KINESIS_HEAD_BYTES,
        .entry_bytes = KINESIS_ENTRY_BYTES,
        .call_bytes_max = (size_t)call_bytes,
        .what = "a record of the stream",
    };
}

static void
kinesis_save(const struct writer *writer, struct buf *to)
{
    const struct kinesis *w = (const struct kinesis *)writer;
    if (!w->buckets_known) return;
    buf_put_u8(to, SAVED_VERSION);
    buf_put_varint(to, w->buckets);
}

static void
kinesis_judge_description(struct bytes answer, struct writer_step *step)
{
    static const char outer[] = "StreamDescriptionSummary";
    char status[32], shards[16], text[WRITER_ANSWER_BYTES];
    aws_answer_find(answer, outer, "StreamStatus", status, sizeof status);
    aws_answer_find(answer, outer, "OpenShardCount", shards, sizeof shards);
    bool works = strcmp(status, "ACTIVE") == 0 || strcmp(status, "UPDATING") == 0;
    snprintf(text, sizeof text, "the stream is %s and has %s shards",
             status[0] != '\0' ? status : "in an unknown state", shards[0] != '\0' ? shards : "?");
    step->verdict = works ? VERDICT_DELIVERED : VERDICT_RETRY;
    step_answer(step, bytes_of_text(text));
}

static enum err kinesis_make_body(struct stream_writer *base, struct aws_records *r);

static const struct stream_type kinesis_type = {
    .service = {"kinesis", "kinesis", "KINESIS"},
    .operations = "Kinesis_20131202",
    .put = "PutRecords",
    .list = "Records",
    .what = "stream",
    .describe = "DescribeStreamSummary",
    .judge_description = kinesis_judge_description,
    .make_body = kinesis_make_body,
};

static void
kinesis_fini(struct writer *writer)
{
    struct kinesis *w = (struct kinesis *)writer;
    struct budget *memory = w->stream.base.options.memory;
    stream_fini(&w->stream);
    kinesis_shards_free(w->shards);
    kpl_writer_free(w->kpl);
    mem_free(memory, w->shard_of_key, KPL_KEYS * sizeof *w->shard_of_key);
    buf_fini(&w->token);
    buf_fini(&w->aggregates);
}

/* Sets up the state for the format. */
static enum err
init_format(struct kinesis *w)
{
    struct budget *memory = w->stream.base.options.memory;
    if (w->settings->format == KINESIS_NDJSON) return OK;
    enum err e = kinesis_shards_new(memory, &w->shards);
    if (e || w->settings->format != KINESIS_KPL) return e;
    w->shard_of_key = mem_new(memory, KPL_KEYS * sizeof *w->shard_of_key);
    if (w->shard_of_key == NULL) return ERR_NOMEM;
    return kpl_writer_new(KINESIS_RECORD_BYTES_MAX - KEY_BYTES, KPL_RECORDS_MAX, memory, &w->kpl);
}

static enum err
kinesis_init(struct writer *writer, struct why *why)
{
    struct kinesis *w = (struct kinesis *)writer;
    const struct writer_options *options = &w->stream.base.options;
    const struct kinesis_settings *settings = &options->settings->u.kinesis;
    bool arn = strncmp(settings->stream, "arn:", 4) == 0;
    /* AWS would refuse every call, and so all samples. */
    if (!aws_is_name(settings->stream, arn ? "_.-:/" : "_.-",
                     arn ? ARN_BYTES_MAX : KINESIS_NAME_BYTES_MAX)) {
        return why_set(why, ERR_INPUT,
                       "invalid stream name: expected 1 to %d letters, digits and '_.-', or an ARN",
                       KINESIS_NAME_BYTES_MAX);
    }
    bool ndjson = settings->format == KINESIS_NDJSON;
    w->stream.base.limits = (struct writer_limits){
        .one_of_a_series = ndjson,
        .throttles_parts = true,
        .concurrency = KINESIS_LANES,
        .samples = ndjson ? AWS_RECORDS_MAX : KINESIS_SAMPLES,
        .bytes = KINESIS_CALL_BYTES,
        .samples_max = ndjson ? AWS_RECORDS_MAX : UINT32_MAX,
        .bytes_max = CALL_BYTES_SET_MAX,
        .unit = "put_units",
        .mapped = ITEM_NDJSON_MAPPED,
    };
    w->stream.type = &kinesis_type;
    w->stream.name_key = arn ? "StreamARN" : "StreamName";
    w->stream.name = settings->stream;
    w->stream.record_limits = limits_of(options->settings);
    w->settings = settings;
    w->buckets = BUCKETS_OF_A_SHARD;
    buf_init(&w->token, options->memory, KINESIS_TOKEN_BYTES_MAX);
    /* The body is always larger than the aggregates. */
    aws_records_body_init(&w->aggregates, options->memory, &w->stream.record_limits);
    struct cursor saved = cursor_of(options->saved);
    bool is_ours = cursor_u8(&saved) == SAVED_VERSION;
    uint64_t buckets = cursor_varint(&saved);
    w->buckets_known = is_ours && !saved.bad && buckets > 0 && buckets <= BUCKETS_MAX;
    if (w->buckets_known) w->buckets = (uint32_t)buckets; /* otherwise the list of shards decides */
    enum err e = init_format(w);
    return e ? e : stream_init(&w->stream, settings->endpoint, why);
}

/* --- calls ------------------------------------------------------------------------------------ */

/* Returns the partition key. `kpl` uses few different ones, so that the shards of all are known. */
static struct bytes
key_of_series(const struct kinesis *w, uint64_t series, char to[HEX_WORD_BYTES])
{
    hex_print_word(series, to);
    size_t digits = w->kpl != NULL ? KPL_KEY_DIGITS : HEX_WORD_BYTES;
    return bytes_of(to + HEX_WORD_BYTES - digits, digits);
}

/* Returns the group of a series: lines of a group become one record. */
static uint64_t
group_of(const struct kinesis *w, const struct aws_call *c, uint64_t series)
{
    switch (w->settings->format) {
    case KINESIS_NDJSON:
        return series;
    case KINESIS_PACKED:
        /* Lanes are chosen in the same way: each has its share of the buckets, and larger
         * records. */
        return series % c->buckets;
    default:
        return w->shard_of_key[series % KPL_KEYS];
    }
}

static enum writer_add
kinesis_add(struct writer *writer, struct writer_call *call, const struct item *item,
            uint32_t *ret_entry, struct why *why)
{
    struct kinesis *w = (struct kinesis *)writer;
    struct aws_call *c = (struct aws_call *)call;
    uint32_t generation = w->shards == NULL ? 0 : kinesis_shards_generation(w->shards);
    *ret_entry = 0;
    if (c->records.count == 0) {
        c->buckets = w->buckets;
        c->buckets_guessed = w->settings->format == KINESIS_PACKED && !w->buckets_known;
        c->generation = generation;
        bool others = w->kpl != NULL && w->shard_of_key_of != generation;
        for (uint32_t key = 0; key < KPL_KEYS && others; key++) {
            char text[HEX_WORD_BYTES];
            struct bytes digits = key_of_series(w, key, text);
            w->shard_of_key[key] = (uint16_t)kinesis_shards_find(w->shards, digits);
        }
        if (others) w->shard_of_key_of = generation;
    } else if (w->kpl != NULL && c->generation != generation) {
        return WRITER_FULL; /* the shards have changed */
    }
    return aws_records_add(&c->records, group_of(w, c, item->series_hash), item, ret_entry, why);
}

static uint64_t
kinesis_bytes(const struct writer *writer, const struct writer_call *call)
{
    (void)writer;
    const struct aws_call *c = (const struct aws_call *)call;
    return aws_records_bytes(&c->records);
}

static uint64_t
kinesis_units(const struct writer *writer, const struct writer_call *call)
{
    (void)writer;
    const struct aws_call *c = (const struct aws_call *)call;
    uint64_t units = 0;
    for (uint32_t i = 0; i < c->records.count; i++) {
        const struct aws_record *record = &c->records.records[i];
        size_t bytes = c->records.made ? record->sent_bytes : record->bytes;
        units += (bytes + PUT_UNIT_BYTES - 1) / PUT_UNIT_BYTES;
    }
    return units;
}

/* --- requests --------------------------------------------------------------------------------- */

/* Appends an aggregate of the record's lines. */
static enum err
aggregate(struct kinesis *w, const struct aws_records *r, const struct aws_record *record)
{
    char key[HEX_WORD_BYTES];
    enum err e = OK;
    kpl_writer_clear(w->kpl);
    for (uint32_t i = record->first; i != AWS_LINE_NONE && e == OK; i = r->lines[i].next) {
        const struct aws_line *line = &r->lines[i];
        e = kpl_writer_add(w->kpl, key_of_series(w, line->series, key), aws_records_line(r, line));
    }
    return e ? e : kpl_writer_end(w->kpl, &w->aggregates);
}

/* `made`: bytes of the call's aggregates that are already in the body. */
static enum err
kinesis_put_record(struct kinesis *w, struct aws_records *r, uint32_t i, size_t *made)
{
    const struct aws_record *record = &r->records[i];
    struct bytes data;
    char text[HEX_WORD_BYTES];
    struct bytes key = key_of_series(w, r->lines[record->first].series, text);
    enum err e = OK;
    if (w->settings->format == KINESIS_PACKED)
        key = bytes_of(text, (size_t)snprintf(text, sizeof text, "%u", (unsigned)record->group));
    if (w->kpl != NULL) {
        data = bytes_of(w->aggregates.at + *made, w->aggregate_bytes[i]);
        *made += data.size;
    } else {
        e = aws_records_data(r, i, &w->stream.scratch, &data);
    }
    if (e == OK) aws_records_put(r, &w->stream.body, i, data, key);
    return e;
}

static enum err
kinesis_make_body(struct stream_writer *base, struct aws_records *r)
{
    struct kinesis *w = (struct kinesis *)base;
    size_t made = 0;
    enum err e = OK;
    if (w->kpl != NULL) {
        buf_clear(&w->aggregates);
        for (uint32_t i = 0; i < r->count && e == OK; i++) {
            size_t before = w->aggregates.size;
            e = aggregate(w, r, &r->records[i]);
            w->aggregate_bytes[i] = w->aggregates.size - before;
        }
        if (e == OK) kpl_seal(w->aggregates.at, w->aggregate_bytes, r->count);
    }
    if (e == OK) e = aws_records_begin(r, &base->body, buf_bytes(&base->head));
    for (uint32_t i = 0; i < r->count && e == OK; i++)
        e = kinesis_put_record(w, r, i, &made);
    return e ? e : aws_records_end(r, &base->body);
}

/* --- answers ---------------------------------------------------------------------------------- */

/*
 * Finds aggregates that went to another shard than intended. A known shard cannot be wrong: it
 * existed, with its own range, when the call was made. If its answers still name another one, the
 * other end is not really Kinesis, and retries would never end.
 */
static void
look_at_shards(struct kinesis *w, struct aws_call *c)
{
    struct aws_records *r = &c->records;
    bool same = c->generation == kinesis_shards_generation(w->shards);
    for (uint32_t i = 0; i < r->count; i++) {
        struct aws_record *record = &r->records[i];
        if (record->verdict != VERDICT_DELIVERED || record->shard == 0) continue;
        bool meant = same && record->shard == kinesis_shards_id(w->shards, (uint32_t)record->group);
        if (meant || (same && kinesis_shards_knows(w->shards, record->shard))) continue;
        w->shards_are_old = true;
        w->list_ns = 0;
        if (record->line_count == 1)
            continue; /* the key of the single line is that of the record */
        record->verdict = VERDICT_RETRY;
        snprintf(r->error, sizeof r->error, "the stream's shards have changed");
    }
}

static void
kinesis_judge(struct writer *writer, struct writer_call *call,
              const struct http_call_answer *answer, struct writer_step *step)
{
    struct kinesis *w = (struct kinesis *)writer;
    struct aws_call *c = (struct aws_call *)call;
    if (!stream_take(&w->stream, c, answer, step)) return;
    if (w->kpl != NULL) look_at_shards(w, c);
    aws_records_judge(&c->records, step);
}

static void
kinesis_begin(struct writer *writer, struct writer_call *call, struct writer_step *step)
{
    struct kinesis *w = (struct kinesis *)writer;
    struct aws_call *c = (struct aws_call *)call;
    /* The lines were grouped by outdated shards. For `packed`, only a guessed number is
     * replaced: otherwise the order within a series would be lost. */
    bool other = w->kpl != NULL && c->generation != kinesis_shards_generation(w->shards);
    if (other || (c->buckets_guessed && c->buckets != w->buckets))
        step_done(step, VERDICT_REBUILD, "resharded", "the stream's shards have changed");
    else
        stream_begin(writer, call, step);
}

/* --- preparing -------------------------------------------------------------------------------- */

static bool
list_is_due(const struct kinesis *w)
{
    return w->shards != NULL && env_monotonic_ns(w->stream.base.options.env) >= w->list_ns;
}

static void
list_again_in(struct kinesis *w, int64_t seconds)
{
    w->list_ns = env_monotonic_ns(w->stream.base.options.env) + seconds * NS_PER_S;
}

static bool
kinesis_need_prepare(struct writer *writer)
{
    struct kinesis *w = (struct kinesis *)writer;
    return aws_caller_is_due(w->stream.caller) || list_is_due(w);
}

static void
ask_for_page(struct kinesis *w, struct writer_step *step)
{
    struct buf *to = &w->stream.request;
    buf_clear(to);
    if (w->token.size > 0) {
        buf_put_text(to, "{\"NextToken\":");
        (void)json_print_string(to, buf_bytes(&w->token));
    } else {
        buf_put_u8(to, '{');
        stream_put_name(&w->stream, to);
        buf_put_text(to, ",\"ShardFilter\":{\"Type\":\"AT_LATEST\"}");
    }
    buf_printf(to, ",\"MaxResults\":%d}", KINESIS_PAGE_SHARDS);
    stream_ask(&w->stream, "ListShards", step);
    w->listing = step->next == WRITER_SEND;
    step->http.answer_bytes_max = KINESIS_PAGE_BYTES_MAX;
}

static void
begin_list(struct kinesis *w, struct writer_step *step)
{
    kinesis_shards_begin(w->shards);
    buf_clear(&w->token);
    ask_for_page(w, step);
}

static void
take_page(struct kinesis *w, const struct http_call_answer *answer, struct writer_step *step)
{
    struct why why = {""};
    w->listing = false;
    stream_judge(&w->stream, answer, step);
    if (step->verdict != VERDICT_DELIVERED) return;
    buf_clear(&w->token);
    enum err e = kinesis_shards_read(w->shards, answer->body, &w->token, &why);
    if (e == OK && w->token.size > 0) {
        ask_for_page(w, step);
        return;
    }
    if (e == OK) e = kinesis_shards_end(w->shards, &why);
    if (e) {
        step_done(step, VERDICT_RETRY, "shards", why.text);
        return;
    }
    w->buckets = kinesis_shards_count(w->shards) * BUCKETS_OF_A_SHARD;
    w->buckets_known = true;
    w->shards_are_old = false;
    list_again_in(w, LIST_AGAIN_S);
    step_done(step, VERDICT_DELIVERED, "", "");
    snprintf(step->answer, sizeof step->answer, "%u shards", kinesis_shards_count(w->shards));
}

/* If listing fails, the known shards stay in use if possible; errors of credentials and the
 * clock have other remedies. */
static void
put_list_off(struct kinesis *w, struct writer_step *step)
{
    bool known = w->kpl != NULL ? kinesis_shards_count(w->shards) > 0 && !w->shards_are_old
                                : w->buckets_known;
    if (step->next == WRITER_SEND || step->verdict == VERDICT_DELIVERED) return;
    if (!known || step->verdict == VERDICT_UNPREPARED || step->verdict == VERDICT_AGAIN) return;
    list_again_in(w, LIST_FAILED_AGAIN_S);
    step->verdict = VERDICT_DELIVERED;
}

static void
kinesis_prepare(struct writer *writer, const struct http_call_answer *answer,
                struct writer_step *ret_step)
{
    struct kinesis *w = (struct kinesis *)writer;
    if (answer != NULL && w->listing) {
        take_page(w, answer, ret_step);
        put_list_off(w, ret_step);
        return;
    }
    *ret_step = (struct writer_step){.next = WRITER_DONE, .verdict = VERDICT_DELIVERED};
    if (answer != NULL || aws_caller_is_due(w->stream.caller)) {
        aws_caller_prepare(w->stream.caller, answer, ret_step);
        if (ret_step->next == WRITER_SEND || ret_step->verdict != VERDICT_DELIVERED) return;
    }
    if (!list_is_due(w)) return;
    begin_list(w, ret_step);
    put_list_off(w, ret_step);
}

/* ndjson needs no list of shards; for the other formats the list is checked before the put. */
static bool
kinesis_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
              struct writer_step *step, char what[WRITER_ANSWER_BYTES])
{
    struct kinesis *w = (struct kinesis *)writer;
    if (number < 2 || w->shards == NULL) return stream_check(writer, number, answer, step, what);
    if (number > 2) return stream_check(writer, number - 1, answer, step, what);
    snprintf(what, WRITER_ANSWER_BYTES, "list of shards (kinesis:ListShards)");
    if (answer == NULL)
        begin_list(w, step);
    else
        take_page(w, answer, step);
    return true;
}

const struct writer_class kinesis_writer = {
    .type = DESTINATION_KINESIS,
    .writer_bytes = sizeof(struct kinesis),
    .call_bytes = sizeof(struct aws_call),
    .init = kinesis_init,
    .fini = kinesis_fini,
    .call_init = stream_call_init,
    .call_fini = aws_call_fini,
    .call_clear = aws_call_clear,
    .add = kinesis_add,
    .bytes = kinesis_bytes,
    .units = kinesis_units,
    .maps = item_ndjson_maps,
    .begin = kinesis_begin,
    .judge = kinesis_judge,
    .entry = aws_call_entry,
    .need_prepare = kinesis_need_prepare,
    .prepare = kinesis_prepare,
    .save = kinesis_save,
    .check = kinesis_check,
};
