/*
 * oracle_wire.c - write requests, read requests and SAMPLES answers, through protobuf-c.
 *
 * A native histogram becomes a text in which two equal histograms look the same however their
 * buckets were laid out: counts are absolute, buckets carry their absolute index, empty ones are
 * left out, and the counter reset hint, which is advice, is ignored. Only the marker of a stale
 * histogram is defined.
 */
#include "oracle_private.h"

#include <inttypes.h>
#include <snappy-c.h>
#include <stdlib.h>

#include "cmp.pb-c.h"

enum { CUSTOM_BUCKETS_SCHEMA = -53, UNPACKED_BLOCK_BYTES = 64 << 10 };
static const uint64_t STALE_MARKER_BITS = 0x7ff0000000000002;
static const size_t MESSAGE_BYTES_MAX = (size_t)2 << 30;

static struct bytes
binary(ProtobufCBinaryData data)
{
    return bytes_of(data.data, data.len);
}

static void *
take_memory(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void
give_memory(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

ProtobufCAllocator
oracle_allocator(struct arena *arena)
{
    arena_init(arena, NULL, 0, UNPACKED_BLOCK_BYTES);
    return (ProtobufCAllocator){take_memory, give_memory, arena};
}

enum err
oracle_unpack(struct bytes compressed, struct buf *to, struct why *why)
{
    size_t size;
    const char *from = (const char *)compressed.at;
    if (snappy_uncompressed_length(from, compressed.size, &size) != SNAPPY_OK)
        return why_set(why, ERR_INPUT, "not a snappy block (%zu bytes)", compressed.size);
    if (size > MESSAGE_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "snappy block announces %zu bytes", size);
    buf_clear(to);
    oracle_need(buf_reserve(to, size + 1));
    if (snappy_uncompress(from, compressed.size, (char *)to->at, &size) != SNAPPY_OK)
        return why_set(why, ERR_INPUT, "broken snappy block (%zu bytes)", compressed.size);
    to->size = size;
    return OK;
}

enum oracle_version
oracle_guess_version(struct bytes message)
{
    if (message.size == 0) return ORACLE_VERSION_UNKNOWN;
    switch (message.at[0] >> 3) {
    case 1:
    case 3:
        return ORACLE_VERSION_1;
    case 4:
    case 5:
        return ORACLE_VERSION_2;
    default:
        return ORACLE_VERSION_UNKNOWN;
    }
}

/* --- histograms ------------------------------------------------------------------------------- */

/* Lists the buckets that are not empty as "index:count". Returns false if spans and counts do not
 * agree. */
static bool
put_buckets(struct buf *to, const char *name, bool is_float, size_t span_count,
            Cmp__BucketSpan **spans, size_t count, const int64_t *deltas, const double *counts)
{
    buf_printf(to, " %s[", name);
    int64_t index = 0;
    size_t used = 0;
    uint64_t absolute = 0;
    for (size_t s = 0; s < span_count; s++) {
        index += spans[s]->offset;
        for (uint32_t i = 0; i < spans[s]->length; i++, index++, used++) {
            if (used == count) return false;
            if (is_float) {
                if (counts[used] == 0) continue;
                buf_printf(to, " %" PRId64 ":%g/%016" PRIx64, index, counts[used],
                           double_bits(counts[used]));
            } else {
                absolute += (uint64_t)deltas[used];
                if (absolute == 0) continue;
                buf_printf(to, " %" PRId64 ":%" PRIu64, index, absolute);
            }
        }
    }
    buf_put_text(to, " ]");
    return used == count;
}

static void
put_double(struct buf *to, const char *name, double value)
{
    buf_printf(to, " %s=%.17g/%016" PRIx64, name, value, double_bits(value));
}

static bool
put_histogram_parts(const struct oracle_options *options, struct buf *to, const Cmp__Histogram *h)
{
    bool is_float = h->count_case == CMP__HISTOGRAM__COUNT_COUNT_FLOAT;
    buf_printf(to, "%s histogram schema=%d", is_float ? "float" : "integer", h->schema);
    if (is_float) {
        put_double(to, "count", h->count_float);
    } else {
        buf_printf(to, " count=%" PRIu64,
                   h->count_case == CMP__HISTOGRAM__COUNT_COUNT_INT ? h->count_int : 0);
    }
    put_double(to, "sum", h->sum);
    if (h->schema == CUSTOM_BUCKETS_SCHEMA) {
        buf_put_text(to, " bounds[");
        for (size_t i = 0; !options->ignore_bounds && i < h->n_custom_values; i++)
            buf_printf(to, " %.17g", h->custom_values[i]);
        buf_put_text(to, " ]");
    } else {
        put_double(to, "zero_threshold", h->zero_threshold);
        if (is_float) {
            put_double(to, "zero",
                       h->zero_count_case == CMP__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_FLOAT
                           ? h->zero_count_float
                           : 0);
        } else {
            buf_printf(to, " zero=%" PRIu64,
                       h->zero_count_case == CMP__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT
                           ? h->zero_count_int
                           : 0);
        }
    }
    return put_buckets(to, "negative", is_float, h->n_negative_spans, h->negative_spans,
                       is_float ? h->n_negative_counts : h->n_negative_deltas, h->negative_deltas,
                       h->negative_counts) &&
           put_buckets(to, "positive", is_float, h->n_positive_spans, h->positive_spans,
                       is_float ? h->n_positive_counts : h->n_positive_deltas, h->positive_deltas,
                       h->positive_counts);
}

/* Returns false if the histogram is malformed; the text says so. */
static bool
put_histogram(const struct oracle_options *options, struct buf *to, const Cmp__Histogram *h)
{
    buf_clear(to);
    if (double_bits(h->sum) == STALE_MARKER_BITS) {
        buf_put_text(to, "stale histogram");
        return true;
    }
    bool ok = put_histogram_parts(options, to, h);
    if (!ok) buf_put_text(to, " (spans and counts disagree)");
    return ok;
}

/* --- write requests --------------------------------------------------------------------------- */

static bool
in_range(struct oracle_range range, int64_t t_ms)
{
    return t_ms >= range.start_ms && t_ms <= range.end_ms;
}

/* Adds the samples in the range of the set; makes the series only if there are any. */
static void
add_values(struct oracle_set *set, struct oracle_label *labels, size_t label_count,
           size_t sample_count, Cmp__Sample **samples, size_t histogram_count,
           Cmp__Histogram **histograms)
{
    if (!oracle_labels_match(set->options, labels, label_count)) return;
    struct oracle_series *series = oracle_find_series(set, labels, label_count);
    for (size_t i = 0; i < sample_count; i++) {
        if (!in_range(set->options->range, samples[i]->timestamp)) continue;
        oracle_add_sample(set, series, samples[i]->timestamp, samples[i]->value);
    }
    struct buf text;
    buf_init(&text, NULL, MESSAGE_BYTES_MAX);
    for (size_t i = 0; i < histogram_count; i++) {
        if (!in_range(set->options->range, histograms[i]->timestamp)) continue;
        if (!put_histogram(set->options, &text, histograms[i]))
            oracle_fault(set, series, "broken histogram");
        oracle_need(buf_error(&text) == OK);
        oracle_add_histogram(set, series, histograms[i]->timestamp, buf_bytes(&text));
    }
    buf_fini(&text);
}

static struct oracle_label *
labels_of(size_t count, Cmp__Label **from)
{
    struct oracle_label *labels = oracle_must(calloc(count + 1, sizeof *labels));
    for (size_t i = 0; i < count; i++)
        labels[i] = (struct oracle_label){binary(from[i]->name), binary(from[i]->value)};
    return labels;
}

static enum err
add_write_1(struct oracle_set *set, struct bytes message, struct oracle_counts *counts,
            struct why *why)
{
    struct arena arena;
    ProtobufCAllocator allocator = oracle_allocator(&arena);
    Cmp__WriteRequest *request = cmp__write_request__unpack(&allocator, message.size, message.at);
    enum err e = request == NULL ? why_set(why, ERR_INPUT, "not a remote write 1.0 request") : OK;
    for (size_t i = 0; e == OK && i < request->n_timeseries; i++) {
        const Cmp__TimeSeries *ts = request->timeseries[i];
        counts->series++;
        counts->samples += ts->n_samples;
        counts->histograms += ts->n_histograms;
        counts->exemplars += ts->n_exemplars;
        if (set == NULL) continue;
        struct oracle_label *labels = labels_of(ts->n_labels, ts->labels);
        add_values(set, labels, ts->n_labels, ts->n_samples, ts->samples, ts->n_histograms,
                   ts->histograms);
        free(labels);
    }
    arena_fini(&arena);
    return e;
}

/* Returns NULL for a reference beyond the symbols, or one without its partner. */
static struct oracle_label *
labels_of_refs(const Cmp__RequestV2 *request, const Cmp__TimeSeriesV2 *ts)
{
    if (ts->n_labels_refs % 2 != 0) return NULL;
    for (size_t i = 0; i < ts->n_labels_refs; i++)
        if (ts->labels_refs[i] >= request->n_symbols) return NULL;
    size_t count = ts->n_labels_refs / 2;
    struct oracle_label *labels = oracle_must(calloc(count + 1, sizeof *labels));
    for (size_t i = 0; i < count; i++) {
        labels[i].name = binary(request->symbols[ts->labels_refs[2 * i]]);
        labels[i].value = binary(request->symbols[ts->labels_refs[2 * i + 1]]);
    }
    return labels;
}

static enum err
add_write_2(struct oracle_set *set, struct bytes message, struct oracle_counts *counts,
            struct why *why)
{
    struct arena arena;
    ProtobufCAllocator allocator = oracle_allocator(&arena);
    Cmp__RequestV2 *request = cmp__request_v2__unpack(&allocator, message.size, message.at);
    enum err e = request == NULL ? why_set(why, ERR_INPUT, "not a remote write 2.0 request") : OK;
    for (size_t i = 0; e == OK && i < request->n_timeseries; i++) {
        const Cmp__TimeSeriesV2 *ts = request->timeseries[i];
        counts->series++;
        counts->samples += ts->n_samples;
        counts->histograms += ts->n_histograms;
        counts->exemplars += ts->n_exemplars;
        if (set == NULL) continue;
        struct oracle_label *labels = labels_of_refs(request, ts);
        if (labels == NULL) {
            e = why_set(why, ERR_INPUT, "series %zu refers to symbols that are not there", i);
            break;
        }
        add_values(set, labels, ts->n_labels_refs / 2, ts->n_samples, ts->samples, ts->n_histograms,
                   ts->histograms);
        free(labels);
    }
    arena_fini(&arena);
    return e;
}

enum err
oracle_count_write(enum oracle_version version, struct bytes message,
                   struct oracle_counts *ret_counts, struct why *why)
{
    struct oracle_counts counts = {0};
    enum err e = version == ORACLE_VERSION_2 ? add_write_2(NULL, message, &counts, why)
                                             : add_write_1(NULL, message, &counts, why);
    if (e == OK) *ret_counts = counts;
    return e;
}

enum err
oracle_add_write(struct oracle_set *set, enum oracle_version version, struct bytes message,
                 struct why *why)
{
    struct oracle_counts ignored = {0};
    return version == ORACLE_VERSION_2 ? add_write_2(set, message, &ignored, why)
                                       : add_write_1(set, message, &ignored, why);
}

/* --- remote read ------------------------------------------------------------------------------ */

static ProtobufCBinaryData
binary_of(struct bytes b)
{
    return (ProtobufCBinaryData){b.size, (uint8_t *)(uintptr_t)b.at};
}

void
oracle_put_read_request(const struct oracle_set *set, struct oracle_range range, bool streamed,
                        struct buf *to)
{
    static const struct oracle_matcher everything = {
        ORACLE_RE, {(const uint8_t *)"__name__", 8}, {(const uint8_t *)".*", 2}};
    const struct oracle_options *options = set->options;
    const struct oracle_matcher *from =
        options->matcher_count > 0 ? options->matchers : &everything;
    size_t count = options->matcher_count > 0 ? options->matcher_count : 1;

    Cmp__LabelMatcher matchers[ORACLE_MATCHERS_MAX];
    Cmp__LabelMatcher *matcher_list[ORACLE_MATCHERS_MAX];
    for (size_t i = 0; i < count; i++) {
        cmp__label_matcher__init(&matchers[i]);
        matchers[i].type = from[i].type;
        matchers[i].name = binary_of(from[i].name);
        matchers[i].value = binary_of(from[i].value);
        matcher_list[i] = &matchers[i];
    }
    Cmp__Query query = CMP__QUERY__INIT;
    query.start_timestamp_ms = range.start_ms;
    query.end_timestamp_ms = range.end_ms;
    query.n_matchers = count;
    query.matchers = matcher_list;
    Cmp__Query *queries[1] = {&query};
    int32_t accepted[1] = {streamed ? 1 : 0}; /* STREAMED_XOR_CHUNKS, SAMPLES */
    Cmp__ReadRequest request = CMP__READ_REQUEST__INIT;
    request.n_queries = 1;
    request.queries = queries;
    request.n_accepted_response_types = 1;
    request.accepted_response_types = accepted;

    size_t size = cmp__read_request__get_packed_size(&request);
    if (!buf_reserve(to, size)) return;
    to->size += cmp__read_request__pack(&request, to->at + to->size);
}

static void
check_labels(struct oracle_set *set, const struct oracle_label *labels, size_t count)
{
    struct oracle_series told = {.labels = labels, .label_count = count};
    for (size_t i = 0; i < count; i++) {
        if (labels[i].name.size == 0 || labels[i].value.size == 0)
            oracle_fault(set, &told, "empty label name or value in an answer");
        if (i > 0 && bytes_compare(labels[i - 1].name, labels[i].name) >= 0)
            oracle_fault(set, &told, "labels out of order or repeated in an answer");
    }
}

static void
check_times(struct oracle_set *set, const struct oracle_series *series, struct oracle_range range,
            const Cmp__TimeSeries *ts)
{
    for (size_t i = 0; i < ts->n_samples; i++) {
        int64_t t_ms = ts->samples[i]->timestamp;
        if (!in_range(range, t_ms)) oracle_fault(set, series, "sample outside the range asked");
        if (i > 0 && ts->samples[i - 1]->timestamp >= t_ms)
            oracle_fault(set, series, "samples of an answer not in ascending order of time");
    }
    for (size_t i = 0; i < ts->n_histograms; i++) {
        int64_t t_ms = ts->histograms[i]->timestamp;
        if (!in_range(range, t_ms)) oracle_fault(set, series, "histogram outside the range asked");
        if (i > 0 && ts->histograms[i - 1]->timestamp >= t_ms)
            oracle_fault(set, series, "histograms of an answer not in ascending order of time");
    }
}

void
oracle_add_answered_series(struct oracle_set *set, struct oracle_range range,
                           const Cmp__TimeSeries *ts)
{
    struct oracle_label *labels = labels_of(ts->n_labels, ts->labels);
    check_labels(set, labels, ts->n_labels);
    struct oracle_series *series = oracle_find_series(set, labels, ts->n_labels);
    bool whole = series->label_count == ts->n_labels; /* no label was left out */
    if (whole && series->seen_in_answer == set->answers)
        oracle_fault(set, series, "series twice in one answer");
    series->seen_in_answer = set->answers;
    check_times(set, series, range, ts);
    for (size_t i = 0; i < ts->n_samples; i++)
        oracle_add_sample(set, series, ts->samples[i]->timestamp, ts->samples[i]->value);
    struct buf text;
    buf_init(&text, NULL, MESSAGE_BYTES_MAX);
    for (size_t i = 0; i < ts->n_histograms; i++) {
        if (!put_histogram(set->options, &text, ts->histograms[i]))
            oracle_fault(set, series, "broken histogram in an answer");
        oracle_need(buf_error(&text) == OK);
        oracle_add_histogram(set, series, ts->histograms[i]->timestamp, buf_bytes(&text));
    }
    buf_fini(&text);
    free(labels);
}

enum err
oracle_add_answer(struct oracle_set *set, struct oracle_range range, struct bytes message,
                  struct why *why)
{
    struct arena arena;
    ProtobufCAllocator allocator = oracle_allocator(&arena);
    Cmp__ReadResponse *answer = cmp__read_response__unpack(&allocator, message.size, message.at);
    enum err e = answer == NULL ? why_set(why, ERR_INPUT, "not a remote read answer") : OK;
    if (e) goto out;
    if (answer->n_results != 1) {
        e = why_set(why, ERR_INPUT, "%zu results to 1 query", answer->n_results);
        goto out;
    }
    set->answers++;
    for (size_t i = 0; i < answer->results[0]->n_timeseries; i++)
        oracle_add_answered_series(set, range, answer->results[0]->timeseries[i]);
out:
    arena_fini(&arena);
    return e;
}
