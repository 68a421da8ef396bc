/*
 * kinesis.c - destination type `kinesis`: Amazon Kinesis Data Streams, by PutRecords.
 *
 * Records of a call are stored or refused singly, so whatever a call holds of a series is one
 * record. What a record is, says the format:
 *
 *   ndjson  a line. Its partition key is the series' hash, for labels may be longer than a key.
 *   packed  the lines of a bucket. Series are spread over four buckets a shard, by their hash.
 *   kpl     an aggregate of at most 500 lines, each with its series' hash as a key of its own, all
 * of which belong to one shard.
 *
 * Consumers pass over what they find in an aggregate with a key of another shard. So an aggregate
 * made by an old list of shards, which AWS stored in a shard that it was not meant for, is not
 * delivered: the shards are listed again, and it is made anew. What was right in it comes twice.
 */
#include <stdio.h>
#include <string.h>

#include "backend/aws/caller.h"
#include "backend/aws/records.h"
#include "backend/common/http_common.h"
#include "backend/common/item_ndjson.h"
#include "backend/kinesis/shards.h"
#include "base/hex.h"
#include "base/json.h"
#include "wire/kpl.h"

enum {
    SAMPLES = 20000,
    CALL_BYTES = 800 << 10,
    LANES = 2,
    CALL_BYTES_MAX = 5 << 20,        /* what all of AWS takes */
    CALL_BYTES_ASKED_MAX = 10 << 20, /* where somebody asks for more */
    RECORD_BYTES_MAX = 1 << 20,      /* with its key; what a stream takes unless it is told */
    KEY_BYTES = HEX_WORD_BYTES,      /* the longest of ours */
    HEAD_BYTES = 512,                /* the begin of a body, and its end */
    ENTRY_BYTES = sizeof ",{\"Data\":\"\",\"PartitionKey\":\"\"}" - 1 + KEY_BYTES,
    KPL_FRAME_BYTES = 20,
    KPL_KEYS = 1 << 16,
    KPL_KEY_DIGITS = 4,
    /* The key in the table; a record's field, its key's number, its data's field. */
    KPL_LINE_BYTES = 2 + KPL_KEY_DIGITS + 4 + 3 + 4,
    PUT_UNIT_BYTES = 25 * 1024, /* what is billed */
    BUCKETS_OF_A_SHARD = 4,
    BUCKETS_MAX = KINESIS_SHARDS_MAX * BUCKETS_OF_A_SHARD,
    SAVED_VERSION = 1,
    LIST_AGAIN_S = 300,
    LIST_FAILED_AGAIN_S = 60,
    NAME_BYTES_MAX = 128,
    ARN_BYTES_MAX = 384,
};

struct writer {
    struct writer_options options;
    const struct kinesis_settings *settings;
    struct aws_caller *caller;
    struct aws_record_limits record_limits;
    struct buf head;   /* of a body */
    struct buf asking; /* the body of a request that is no call's */
    uint32_t asking_keys;
    struct buf scratch; /* the lines of one record */
    struct buf body;    /* of a call, while it is made */
    uint32_t buckets;   /* packed */
    bool buckets_known;

    struct kinesis_shards *shards; /* NULL: ndjson needs none */
    bool listing;                  /* a page of theirs is under way */
    bool shards_are_old;           /* an answer said so */
    int64_t list_ns;               /* when they are to be listed */
    struct buf token;

    struct kpl_writer *kpl; /* NULL: another format */
    struct buf aggregates;  /* of a call */
    size_t aggregate_bytes[AWS_RECORDS_MAX];
    uint16_t *shard_of_key;   /* KPL_KEYS */
    uint32_t shard_of_key_of; /* the generation of the shards it is of */
};

static const struct aws_service service = {"kinesis", "kinesis", "KINESIS"};

/* --- the writer ------------------------------------------------------------------------------- */

static bool
is_arn(const char *stream)
{
    return strncmp(stream, "arn:", 4) == 0;
}

/* AWS would refuse each call for it, and so all samples. */
static enum err
check_stream(const char *stream, struct why *why)
{
    bool arn = is_arn(stream);
    if (aws_is_name(stream, arn ? "_.-:/" : "_.-", arn ? ARN_BYTES_MAX : NAME_BYTES_MAX)) return OK;
    return why_set(why, ERR_INPUT,
                   "the stream's name is none: 1 to %d letters, digits and '_.-', or an ARN",
                   NAME_BYTES_MAX);
}

/* "StreamName":"..." */
static void
put_stream(const struct writer *w, struct buf *to)
{
    const char *stream = w->settings->stream;
    buf_put_text(to, is_arn(stream) ? "\"StreamARN\":" : "\"StreamName\":");
    (void)json_print_string(to, bytes_of_text(stream)); /* check_stream() knows it is ASCII */
}

static struct aws_record_limits
limits_of(const struct destination_settings *settings)
{
    bool kpl = settings->u.kinesis.format == KINESIS_KPL;
    bool asked = settings->batch.max_bytes > CALL_BYTES_MAX;
    uint64_t asked_bytes = settings->batch.max_bytes;
    if (asked_bytes > CALL_BYTES_ASKED_MAX) asked_bytes = CALL_BYTES_ASKED_MAX;
    return (struct aws_record_limits){
        .lines = settings->u.kinesis.format == KINESIS_NDJSON ? 1
                 : kpl                                        ? KPL_RECORDS_MAX
                                                              : UINT32_MAX,
        .record_bytes_max = RECORD_BYTES_MAX,
        .record_bytes = RECORD_BYTES_MAX,
        .frame_bytes = KEY_BYTES + (kpl ? KPL_FRAME_BYTES : 0),
        .line_frame_bytes = kpl ? KPL_LINE_BYTES : 0,
        .head_bytes = HEAD_BYTES,
        .entry_bytes = ENTRY_BYTES,
        .call_bytes_max = asked ? (size_t)asked_bytes : CALL_BYTES_MAX,
        .what = "a record of the stream",
    };
}

static void
load(struct writer *w, struct bytes saved)
{
    struct cursor c = cursor_of(saved);
    if (cursor_u8(&c) != SAVED_VERSION) return;
    uint64_t buckets = cursor_varint(&c);
    if (c.bad || buckets == 0 || buckets > BUCKETS_MAX) return; /* it is learnt again */
    w->buckets = (uint32_t)buckets;
    w->buckets_known = true;
}

static void
kinesis_save(const struct writer *w, struct buf *to)
{
    if (!w->buckets_known) return;
    buf_put_u8(to, SAVED_VERSION);
    buf_put_varint(to, w->buckets);
}

static void
kinesis_destroy(struct writer *w)
{
    if (w == NULL) return;
    aws_caller_free(w->caller);
    kinesis_shards_free(w->shards);
    kpl_writer_free(w->kpl);
    mem_free(w->options.memory, w->shard_of_key, KPL_KEYS * sizeof *w->shard_of_key);
    buf_fini(&w->head);
    buf_fini(&w->asking);
    buf_fini(&w->scratch);
    buf_fini(&w->body);
    buf_fini(&w->token);
    buf_fini(&w->aggregates);
    mem_free(w->options.memory, w, sizeof *w);
}

static void
init(struct writer *w, const struct writer_options *options)
{
    struct budget *memory = options->memory;
    w->options = *options;
    w->settings = &options->settings->u.kinesis;
    w->record_limits = limits_of(options->settings);
    w->buckets = BUCKETS_OF_A_SHARD;
    buf_init(&w->head, memory, HEAD_BYTES);
    buf_init(&w->asking, memory, 2 * KINESIS_TOKEN_BYTES_MAX);
    buf_init(&w->scratch, memory, RECORD_BYTES_MAX);
    aws_records_body_init(&w->body, memory, &w->record_limits);
    buf_init(&w->token, memory, KINESIS_TOKEN_BYTES_MAX);
    aws_records_body_init(&w->aggregates, memory, &w->record_limits); /* larger than they */
    load(w, options->saved);
}

static enum err
new_kpl(struct writer *w)
{
    if (w->settings->format != KINESIS_KPL) return OK;
    w->shard_of_key = mem_new(w->options.memory, KPL_KEYS * sizeof *w->shard_of_key);
    if (w->shard_of_key == NULL) return ERR_NOMEM;
    return kpl_writer_new(RECORD_BYTES_MAX - KEY_BYTES, KPL_RECORDS_MAX, w->options.memory,
                          &w->kpl);
}

/* For a plan, which asks nobody. */
static enum err
suppose_shards(struct writer *w, uint32_t count)
{
    w->buckets = count * BUCKETS_OF_A_SHARD;
    return kinesis_shards_suppose(w->shards, count);
}

static enum err
kinesis_create(const struct writer_options *options, struct writer **ret_writer, struct why *why)
{
    enum err e = check_stream(options->settings->u.kinesis.stream, why);
    if (e) return e;
    struct writer *w = mem_new(options->memory, sizeof *w);
    if (w == NULL) return why_set(why, ERR_NOMEM, "no memory for a destination");
    init(w, options);
    buf_put_u8(&w->head, '{');
    put_stream(w, &w->head);
    buf_put_text(&w->head, ",\"Records\":[");
    e = buf_error(&w->head);
    if (e == OK && w->settings->format != KINESIS_NDJSON) {
        e = kinesis_shards_new(options->memory, &w->shards);
    }
    if (e == OK && w->shards != NULL && options->shards > 0) e = suppose_shards(w, options->shards);
    if (e == OK) e = new_kpl(w);
    if (e) {
        why_set(why, e, "no memory for a destination");
        goto out;
    }
    const struct aws_caller_options caller = {&w->options, &service, w->settings->endpoint,
                                              "Kinesis_20131202"};
    e = aws_caller_new(&caller, &w->caller, why);
    if (e) goto out;

    *ret_writer = w;
    w = NULL;
out:
    kinesis_destroy(w);
    return e;
}

static struct writer_limits
kinesis_limits(const struct writer *w)
{
    bool ndjson = w->settings->format == KINESIS_NDJSON;
    return (struct writer_limits){
        .one_of_a_series = ndjson,
        .concurrency = LANES,
        .samples = ndjson ? AWS_RECORDS_MAX : SAMPLES,
        .bytes = CALL_BYTES,
        .samples_max = ndjson ? AWS_RECORDS_MAX : UINT32_MAX,
        .bytes_max = CALL_BYTES_ASKED_MAX,
        .unit = "put_units",
    };
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
kinesis_call_new(struct writer *w, struct writer_call **ret_call)
{
    return aws_call_new(w->options.memory, &w->record_limits, ret_call);
}

/* Of `kpl` one of few enough to know the shards of all. */
static struct bytes
key_of_series(const struct writer *w, uint64_t series, char to[HEX_WORD_BYTES])
{
    hex_print_word(series, to);
    size_t digits = w->kpl != NULL ? KPL_KEY_DIGITS : HEX_WORD_BYTES;
    return bytes_of(to + HEX_WORD_BYTES - digits, digits);
}

static void
find_shards_of_keys(struct writer *w)
{
    char text[HEX_WORD_BYTES];
    for (uint32_t key = 0; key < KPL_KEYS; key++) {
        struct bytes digits = key_of_series(w, key, text);
        w->shard_of_key[key] = (uint16_t)kinesis_shards_find(w->shards, digits);
    }
    w->shard_of_key_of = kinesis_shards_generation(w->shards);
}

static uint64_t
find_group(const struct writer *w, const struct writer_call *c, const struct item *item)
{
    switch (w->settings->format) {
    case KINESIS_NDJSON:
        return item->series_hash;
    case KINESIS_PACKED:
        /* As a lane is chosen: it then has its share of the buckets, and larger records. */
        return item->series_hash % c->buckets;
    default:
        return w->shard_of_key[item->series_hash % KPL_KEYS];
    }
}

static enum writer_add
kinesis_add(struct writer *w, struct writer_call *c, const struct item *item, uint32_t *ret_entry,
            struct why *why)
{
    uint32_t generation = w->shards == NULL ? 0 : kinesis_shards_generation(w->shards);
    *ret_entry = 0;
    if (c->records.count == 0) {
        c->buckets = w->buckets;
        c->buckets_guessed = w->settings->format == KINESIS_PACKED && !w->buckets_known;
        c->generation = generation;
        if (w->kpl != NULL && w->shard_of_key_of != generation) find_shards_of_keys(w);
    } else if (w->kpl != NULL && c->generation != generation) {
        return WRITER_FULL; /* the numbers of shards are others now */
    }
    return aws_records_add(&c->records, find_group(w, c, item), item, ret_entry, why);
}

static uint64_t
kinesis_bytes(const struct writer *w, const struct writer_call *c)
{
    (void)w;
    return aws_records_bytes(&c->records);
}

static uint64_t
kinesis_units(const struct writer *w, const struct writer_call *c)
{
    (void)w;
    uint64_t units = 0;
    for (uint32_t i = 0; i < c->records.count; i++) {
        const struct aws_record *record = &c->records.records[i];
        size_t bytes = c->records.made ? record->sent_bytes : record->bytes;
        units += (bytes + PUT_UNIT_BYTES - 1) / PUT_UNIT_BYTES;
    }
    return units;
}

/* --- requests --------------------------------------------------------------------------------- */

/* An aggregate of the record's lines, behind the others. */
static enum err
aggregate(struct writer *w, const struct aws_records *r, const struct aws_record *record)
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

static enum err
make_aggregates(struct writer *w, const struct aws_records *r)
{
    buf_clear(&w->aggregates);
    for (uint32_t i = 0; i < r->count; i++) {
        size_t before = w->aggregates.size;
        enum err e = aggregate(w, r, &r->records[i]);
        if (e) return e;
        w->aggregate_bytes[i] = w->aggregates.size - before;
    }
    kpl_seal(w->aggregates.at, w->aggregate_bytes, r->count);
    return OK;
}

/* `made`: the bytes of the call's aggregates that are in the body already. */
static enum err
put_record(struct writer *w, struct aws_records *r, uint32_t i, size_t *made)
{
    const struct aws_record *record = &r->records[i];
    struct bytes data;
    char text[HEX_WORD_BYTES];
    struct bytes key = key_of_series(w, r->lines[record->first].series, text);
    enum err e = OK;
    if (w->settings->format == KINESIS_PACKED) {
        key = bytes_of(text, (size_t)snprintf(text, sizeof text, "%u", (unsigned)record->group));
    }
    if (w->kpl != NULL) {
        data = bytes_of(w->aggregates.at + *made, w->aggregate_bytes[i]);
        *made += data.size;
    } else {
        e = aws_records_data(r, i, &w->scratch, &data);
    }
    if (e == OK) aws_records_put(r, &w->body, i, data, key);
    return e;
}

static enum err
make_body(struct writer *w, struct aws_records *r)
{
    size_t made = 0;
    if (r->made) return OK;
    enum err e = w->kpl != NULL ? make_aggregates(w, r) : OK;
    if (e == OK) e = aws_records_begin(r, &w->body, buf_bytes(&w->head));
    for (uint32_t i = 0; i < r->count && e == OK; i++) {
        e = put_record(w, r, i, &made);
    }
    return e ? e : aws_records_end(r, &w->body);
}

static unsigned
kinesis_mapped(struct writer *w, const struct item *item)
{
    (void)w;
    return item_ndjson_mapped(item);
}

static enum err
kinesis_make(struct writer *w, struct writer_call *c, uint64_t *ret_bytes)
{
    enum err e = make_body(w, &c->records);
    *ret_bytes = aws_records_bytes(&c->records);
    return e;
}

/* Lines gathered by shards that are not those of the stream. Of `packed` only if they never were:
 * series would begin in one shard and go on in another. */
static bool
is_gathered_wrongly(const struct writer *w, const struct writer_call *c)
{
    bool other = w->kpl != NULL && c->generation != kinesis_shards_generation(w->shards);
    return other || (c->buckets_guessed && c->buckets != w->buckets);
}

static void
begin_step(struct writer *w, struct writer_call *c, struct writer_step *step)
{
    if (is_gathered_wrongly(w, c)) {
        step_done(step, VERDICT_REBUILD, "resharded", "the stream's shards are others now");
        return;
    }
    enum err e = make_body(w, &c->records);
    if (e) {
        step_done(step, VERDICT_RETRY, "no_memory",
                  e == ERR_NOMEM ? "no memory for a request" : "a request cannot be made");
        return;
    }
    aws_caller_call(w->caller, "PutRecords", aws_records_body(&c->records), &c->keys, step);
    step->http.answer_bytes_max = AWS_RECORDS_ANSWER_BYTES_MAX;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
list_at_once(struct writer *w)
{
    w->shards_are_old = true;
    w->list_ns = 0;
}

/*
 * Aggregates that went to another shard than was meant. A shard that was known when the call was
 * made was there then, with a range of its own: that a key of another one went there is not what
 * Kinesis does, but what something does that stands for it; there would be no end to it.
 */
static void
look_at_shards(struct writer *w, struct writer_call *c)
{
    struct aws_records *r = &c->records;
    bool same = c->generation == kinesis_shards_generation(w->shards);
    for (uint32_t i = 0; i < r->count; i++) {
        struct aws_record *record = &r->records[i];
        if (record->verdict != VERDICT_DELIVERED || record->shard == 0) continue;
        bool meant = same && record->shard == kinesis_shards_id(w->shards, (uint32_t)record->group);
        if (meant || (same && kinesis_shards_knows(w->shards, record->shard))) continue;
        list_at_once(w);
        if (record->line_count == 1) continue; /* its key is that of the whole */
        record->verdict = VERDICT_RETRY;
        snprintf(r->told, sizeof r->told, "the stream's shards have changed");
    }
}

static void
kinesis_step(struct writer *w, struct writer_call *c, const struct http_call_answer *answer,
             struct writer_step *ret_step)
{
    if (answer == NULL) {
        begin_step(w, c, ret_step);
        return;
    }
    aws_caller_judge(w->caller, c->keys, answer, ret_step);
    if (ret_step->verdict == VERDICT_DEAD) ret_step->verdict = VERDICT_SOME_DEAD;
    if (ret_step->verdict != VERDICT_DELIVERED) return;
    if (aws_records_read(&c->records, "Records", answer) != OK) {
        aws_records_not_understood(ret_step);
        return;
    }
    if (w->kpl != NULL) look_at_shards(w, c);
    aws_records_judge(&c->records, ret_step);
}

/* --- before ----------------------------------------------------------------------------------- */

static bool
list_is_due(const struct writer *w)
{
    return w->shards != NULL && env_monotonic_ns(w->options.env) >= w->list_ns;
}

static void
list_again_in(struct writer *w, int64_t seconds)
{
    w->list_ns = env_monotonic_ns(w->options.env) + seconds * NS_PER_S;
}

static bool
kinesis_need_prepare(struct writer *w)
{
    return aws_caller_is_due(w->caller) || list_is_due(w);
}

/* Sends the body that was made in `asking`. */
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
ask_for_page(struct writer *w, struct writer_step *step)
{
    struct buf *to = &w->asking;
    buf_clear(to);
    if (w->token.size > 0) {
        buf_put_text(to, "{\"NextToken\":");
        (void)json_print_string(to, buf_bytes(&w->token));
    } else {
        buf_put_u8(to, '{');
        put_stream(w, to);
        buf_put_text(to, ",\"ShardFilter\":{\"Type\":\"AT_LATEST\"}");
    }
    buf_printf(to, ",\"MaxResults\":%d}", KINESIS_PAGE_SHARDS);
    ask(w, "ListShards", step);
    w->listing = step->next == WRITER_SEND;
    step->http.answer_bytes_max = KINESIS_PAGE_BYTES_MAX;
}

static void
begin_list(struct writer *w, struct writer_step *step)
{
    kinesis_shards_begin(w->shards);
    buf_clear(&w->token);
    ask_for_page(w, step);
}

static void
end_list(struct writer *w, struct writer_step *step)
{
    struct why why = {""};
    if (kinesis_shards_end(w->shards, &why) != OK) {
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

static void
take_page(struct writer *w, const struct http_call_answer *answer, struct writer_step *step)
{
    struct why why = {""};
    w->listing = false;
    aws_caller_judge(w->caller, w->asking_keys, answer, step);
    if (step->verdict != VERDICT_DELIVERED) return;
    buf_clear(&w->token);
    enum err e = kinesis_shards_read(w->shards, answer->body, &w->token, &why);
    if (e)
        step_done(step, VERDICT_RETRY, "shards", why.text);
    else if (w->token.size > 0)
        ask_for_page(w, step);
    else
        end_list(w, step);
}

/* What is known goes on to serve, where it can; for credentials and the time there is a better
 * way. */
static void
put_list_off(struct writer *w, struct writer_step *step)
{
    bool known = w->kpl != NULL ? kinesis_shards_count(w->shards) > 0 && !w->shards_are_old
                                : w->buckets_known;
    if (step->next == WRITER_SEND || step->verdict == VERDICT_DELIVERED) return;
    if (!known || step->verdict == VERDICT_UNPREPARED || step->verdict == VERDICT_AGAIN) return;
    list_again_in(w, LIST_FAILED_AGAIN_S);
    step->verdict = VERDICT_DELIVERED;
}

static void
kinesis_prepare(struct writer *w, const struct http_call_answer *answer,
                struct writer_step *ret_step)
{
    if (answer != NULL && w->listing) {
        take_page(w, answer, ret_step);
        put_list_off(w, ret_step);
        return;
    }
    *ret_step = (struct writer_step){.next = WRITER_DONE, .verdict = VERDICT_DELIVERED};
    if (answer != NULL || aws_caller_is_due(w->caller)) {
        aws_caller_prepare(w->caller, answer, ret_step);
        if (ret_step->next == WRITER_SEND || ret_step->verdict != VERDICT_DELIVERED) return;
    }
    if (!list_is_due(w)) return;
    begin_list(w, ret_step);
    put_list_off(w, ret_step);
}

/* --- looking whether it works ----------------------------------------------------------------- */

static void
check_stream_is_there(struct writer *w, const struct http_call_answer *answer,
                      struct writer_step *step)
{
    char status[32], shards[16];
    if (answer == NULL) {
        buf_clear(&w->asking);
        buf_put_u8(&w->asking, '{');
        put_stream(w, &w->asking);
        buf_put_u8(&w->asking, '}');
        ask(w, "DescribeStreamSummary", step);
        return;
    }
    aws_caller_judge(w->caller, w->asking_keys, answer, step);
    if (step->verdict != VERDICT_DELIVERED) return;
    aws_answer_find(answer->body, "StreamDescriptionSummary", "StreamStatus", status,
                    sizeof status);
    aws_answer_find(answer->body, "StreamDescriptionSummary", "OpenShardCount", shards,
                    sizeof shards);
    bool works = strcmp(status, "ACTIVE") == 0 || strcmp(status, "UPDATING") == 0;
    char text[WRITER_ANSWER_BYTES];
    snprintf(text, sizeof text, "the stream is %s and has %s shards",
             status[0] != '\0' ? status : "in no known state", shards[0] != '\0' ? shards : "?");
    step->verdict = works ? VERDICT_DELIVERED : VERDICT_RETRY;
    step_answer(step, bytes_of_text(text));
}

static void
check_shards(struct writer *w, const struct http_call_answer *answer, struct writer_step *step)
{
    if (answer == NULL)
        begin_list(w, step);
    else
        take_page(w, answer, step);
}

/* With nothing in it: whoever may not write is told so, others that it is no request. */
static void
check_may_put(struct writer *w, const struct http_call_answer *answer, struct writer_step *step)
{
    if (answer == NULL) {
        buf_clear(&w->asking);
        buf_put_bytes(&w->asking, buf_bytes(&w->head));
        buf_put_text(&w->asking, "]}");
        ask(w, "PutRecords", step);
        return;
    }
    aws_caller_judge(w->caller, w->asking_keys, answer, step);
    aws_judge_empty(step);
}

static bool
kinesis_check(struct writer *w, uint32_t number, const struct http_call_answer *answer,
              struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES])
{
    if (number >= 2 && w->shards == NULL) number++; /* ndjson needs no list of them */
    switch (number) {
    case 0:
        snprintf(what, WRITER_ANSWER_BYTES, "credentials");
        aws_caller_prepare(w->caller, answer, ret_step);
        return true;
    case 1:
        snprintf(what, WRITER_ANSWER_BYTES, "stream %.128s (kinesis:DescribeStreamSummary)",
                 w->settings->stream);
        check_stream_is_there(w, answer, ret_step);
        return true;
    case 2:
        snprintf(what, WRITER_ANSWER_BYTES, "its shards (kinesis:ListShards)");
        check_shards(w, answer, ret_step);
        return true;
    case 3:
        snprintf(what, WRITER_ANSWER_BYTES,
                 "permission to write, asked with an empty request (kinesis:PutRecords)");
        check_may_put(w, answer, ret_step);
        return true;
    default:
        return false;
    }
}

const struct writer_class kinesis_writer = {
    .type = DESTINATION_KINESIS,
    .create = kinesis_create,
    .destroy = kinesis_destroy,
    .limits = kinesis_limits,
    .call_new = kinesis_call_new,
    .call_free = aws_call_free,
    .call_clear = aws_call_clear,
    .add = kinesis_add,
    .bytes = kinesis_bytes,
    .units = kinesis_units,
    .make = kinesis_make,
    .mapped = kinesis_mapped,
    .step = kinesis_step,
    .entry = aws_call_entry,
    .need_prepare = kinesis_need_prepare,
    .prepare = kinesis_prepare,
    .save = kinesis_save,
    .check = kinesis_check,
};
