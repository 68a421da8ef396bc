/*
 * remote_write_build.c - canonical label bytes already have the form of 1.0. For 2.0 a hash table
 * finds symbols in the fields already written; series are built in a buffer of their own, since
 * their size precedes them.
 */
#include "wire/remote/remote_write_build.h"

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "wire/proto.h"
#include "wire/shape.h"

enum {
    TAG_SYMBOL = 4 << 3 | 2, /* tags of Request; the next one as well */
    WRITE_BUILD_TAG_SERIES = 5 << 3 | 2,
    TAG_SERIES_V1 = 1 << 3 | 2, /* tag of WriteRequest */
    TAG_REFS = 1 << 3 | 2,      /* tags of TimeSeries and Exemplar from here on */
    WRITE_BUILD_TAG_SAMPLE = 2 << 3 | 2,
    WRITE_BUILD_TAG_HISTOGRAM = 3 << 3 | 2,
    TAG_EXEMPLAR = 4 << 3 | 2,
    TAG_EXEMPLAR_V1 = 3 << 3 | 2, /* 1.0 and 2.0 exchange these two numbers */
    TAG_HISTOGRAM_V1 = 4 << 3 | 2,
    WRITE_BUILD_TAG_SAMPLE_VALUE = 1 << 3 | 1,
    WRITE_BUILD_TAG_SAMPLE_TIME = 2 << 3 | 0,
    TAG_SAMPLE_START = 3 << 3 | 0,
    TAG_EXEMPLAR_VALUE = 2 << 3 | 1,
    TAG_EXEMPLAR_TIME = 3 << 3 | 0,
    TAG_METADATA = 3 << 3 | 2, /* WriteRequest; then MetricMetadata */
    TAG_METADATA_TYPE = 1 << 3 | 0,
    TAG_METADATA_FAMILY = 2 << 3 | 2,
    TAG_METADATA_HELP = 4 << 3 | 2,
    TAG_METADATA_UNIT = 5 << 3 | 2,
    TAG_SERIES_METADATA = 5 << 3 | 2, /* TimeSeries of 2.0; then its Metadata, with TYPE as above */
    TAG_METADATA_HELP_REF = 3 << 3 | 0,
    TAG_METADATA_UNIT_REF = 4 << 3 | 0,
};

enum { BUF_COUNT = 7 };

/* A text in the symbol table of the message. */
struct symbol {
    size_t at; /* offset in `symbols` */
    uint32_t size;
};

struct rw_build {
    struct budget *budget;
    enum rw_version version;
    enum err failed;
    struct rw_build_counts counts;

    union {
        struct buf bufs[BUF_COUNT];
        struct {
            struct buf symbols; /* encoded fields */
            struct buf labels;  /* labels of the current series */
            struct buf series;  /* fields of the current series */
            struct buf refs;
            struct buf item; /* a sample, histogram or exemplar */
            struct buf body; /* finished series */
            struct buf message;
        };
    };

    struct symbol *symbol_list; /* by number; number 0 is never looked up */
    uint32_t symbol_count;
    uint32_t symbol_capacity;
    struct table symbol_table; /* by hash of the text */
    bool in_series;
};

static bool
version_is_1(const struct rw_build *b)
{
    return b->version == RW_V1;
}

enum err
rw_build_new(enum rw_version version, struct budget *budget, struct rw_build **ret_build)
{
    struct rw_build *b = mem_new(budget, sizeof *b);
    if (b == NULL) return ERR_NOMEM;
    b->budget = budget;
    b->version = version;
    for (unsigned i = 0; i < BUF_COUNT; i++)
        buf_init(&b->bufs[i], budget, RW_BUILD_BYTES_MAX);
    rw_build_clear(b);
    *ret_build = b;
    return OK;
}

void
rw_build_free(struct rw_build *b)
{
    if (b == NULL) return;
    for (unsigned i = 0; i < BUF_COUNT; i++)
        buf_fini(&b->bufs[i]);
    array_free(b->budget, b->symbol_list, b->symbol_capacity);
    table_fini(&b->symbol_table, b->budget);
    mem_free(b->budget, b, sizeof *b);
}

void
rw_build_clear(struct rw_build *b)
{
    for (unsigned i = 0; i < BUF_COUNT; i++)
        buf_clear(&b->bufs[i]);
    table_clear(&b->symbol_table);
    b->failed = OK;
    b->in_series = false;
    b->counts = (struct rw_build_counts){0};
    b->symbol_count = 1;
    if (version_is_1(b)) return;
    buf_put_u8(&b->symbols, TAG_SYMBOL); /* number 0 is the empty text */
    buf_put_u8(&b->symbols, 0);
}

/* Empties a buffer but remembers its error. */
static void
empty(struct rw_build *b, struct buf *part)
{
    b->failed = err_first(b->failed, buf_error(part));
    buf_clear(part);
}

/* --- symbols ---------------------------------------------------------------------------------- */

static uint32_t
symbol_number(struct rw_build *b, struct bytes text)
{
    if (text.size == 0 || b->failed) return 0;
    uint64_t hash = hash_bytes(text, 0); /* our own texts need no secret seed */
    for (uint32_t at = TABLE_START, i; table_next(&b->symbol_table, hash, &at, &i);) {
        const struct symbol *s = &b->symbol_list[i];
        if (bytes_equal(bytes_of(b->symbols.at + s->at, s->size), text)) return i;
    }
    if (!table_reserve(&b->symbol_table, b->budget, 1) ||
        !array_reserve(b->budget, &b->symbol_list, &b->symbol_capacity, b->symbol_count + 1)) {
        b->failed = ERR_NOMEM;
        return 0;
    }
    proto_put_bytes(&b->symbols, TAG_SYMBOL, text);
    if (buf_error(&b->symbols)) return 0;
    b->symbol_list[b->symbol_count] =
        (struct symbol){b->symbols.size - text.size, (uint32_t)text.size};
    table_add(&b->symbol_table, hash, b->symbol_count);
    return b->symbol_count++;
}

/* Puts canonical labels unchanged, or as the field labels_refs. */
static void
rw_build_put_labels(struct rw_build *b, struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    if (version_is_1(b)) {
        buf_put_bytes(to, labels);
        return;
    }
    empty(b, &b->refs);
    while (labels_next(&c, &label)) {
        buf_put_varint(&b->refs, symbol_number(b, label.name));
        buf_put_varint(&b->refs, symbol_number(b, label.value));
    }
    if (b->refs.size == 0) return;
    proto_put_bytes(to, TAG_REFS, buf_bytes(&b->refs));
}

/* --- series ----------------------------------------------------------------------------------- */

static void
rw_build_end_series(struct rw_build *b)
{
    if (!b->in_series) return;
    proto_put_bytes(&b->body, version_is_1(b) ? TAG_SERIES_V1 : WRITE_BUILD_TAG_SERIES,
                    buf_bytes(&b->series));
    b->in_series = false;
}

void
rw_build_series(struct rw_build *b, struct bytes labels)
{
    if (b->in_series && bytes_equal(buf_bytes(&b->labels), labels)) return;
    rw_build_end_series(b);
    empty(b, &b->labels);
    empty(b, &b->series);
    buf_put_bytes(&b->labels, labels);
    rw_build_put_labels(b, &b->series, labels);
    b->in_series = true;
    b->counts.series++;
}

/* Zero is not written. */
static void
put_varint(struct buf *to, uint8_t tag, uint64_t v)
{
    if (v != 0) proto_put_varint(to, tag, v);
}

static void
put_item(struct rw_build *b, uint8_t tag)
{
    proto_put_bytes(&b->series, tag, buf_bytes(&b->item));
}

void
rw_build_float(struct rw_build *b, int64_t t_ms, uint64_t bits, int64_t start_ms)
{
    empty(b, &b->item);
    if (bits != 0) proto_put_fixed64(&b->item, WRITE_BUILD_TAG_SAMPLE_VALUE, bits);
    put_varint(&b->item, WRITE_BUILD_TAG_SAMPLE_TIME, (uint64_t)t_ms);
    if (!version_is_1(b)) put_varint(&b->item, TAG_SAMPLE_START, (uint64_t)start_ms);
    put_item(b, WRITE_BUILD_TAG_SAMPLE);
    b->counts.floats++;
}

void
rw_build_histogram(struct rw_build *b, int64_t t_ms, int64_t start_ms, const struct histogram *h)
{
    empty(b, &b->item);
    histogram_message_put(&b->item, t_ms, version_is_1(b) ? 0 : start_ms, h);
    put_item(b, version_is_1(b) ? TAG_HISTOGRAM_V1 : WRITE_BUILD_TAG_HISTOGRAM);
    b->counts.histograms++;
}

void
rw_build_exemplar(struct rw_build *b, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    empty(b, &b->item);
    rw_build_put_labels(b, &b->item, labels);
    if (bits != 0) proto_put_fixed64(&b->item, TAG_EXEMPLAR_VALUE, bits);
    put_varint(&b->item, TAG_EXEMPLAR_TIME, (uint64_t)t_ms);
    put_item(b, version_is_1(b) ? TAG_EXEMPLAR_V1 : TAG_EXEMPLAR);
    b->counts.exemplars++;
}

void
rw_build_metadata(struct rw_build *b, enum metric_type type, struct bytes help, struct bytes unit)
{
    if (version_is_1(b)) return;
    empty(b, &b->item);
    put_varint(&b->item, TAG_METADATA_TYPE, type);
    put_varint(&b->item, TAG_METADATA_HELP_REF, symbol_number(b, help));
    put_varint(&b->item, TAG_METADATA_UNIT_REF, symbol_number(b, unit));
    put_item(b, TAG_SERIES_METADATA);
}

struct rw_build_counts
rw_build_counts(const struct rw_build *b)
{
    struct rw_build_counts counts = b->counts;
    counts.bytes = b->symbols.size + b->body.size + (b->in_series ? b->series.size + 8 : 0);
    return counts;
}

enum err
rw_build_end(struct rw_build *b, struct bytes *ret_message)
{
    rw_build_end_series(b);
    empty(b, &b->message);
    buf_put_bytes(&b->message, buf_bytes(&b->symbols));
    buf_put_bytes(&b->message, buf_bytes(&b->body));
    for (unsigned i = 0; i < BUF_COUNT; i++)
        b->failed = err_first(b->failed, buf_error(&b->bufs[i]));
    if (b->failed) return b->failed;
    *ret_message = buf_bytes(&b->message);
    return OK;
}

void
rw_build_metadata_v1(struct buf *to, struct bytes family, enum metric_type type, struct bytes help,
                     struct bytes unit)
{
    struct {
        uint8_t tag;
        struct bytes text;
    } fields[] = {
        {TAG_METADATA_FAMILY, family}, {TAG_METADATA_HELP, help}, {TAG_METADATA_UNIT, unit}};
    size_t size = type == METRIC_UNKNOWN ? 0 : 2;
    for (unsigned i = 0; i < 3; i++) {
        size_t text = fields[i].text.size;
        if (text > 0) size += 1 + varint_size(text) + text;
    }
    if (!buf_reserve(to, size + 4 * VARINT_SIZE_MAX)) return; /* all of it or nothing */
    proto_put_varint(to, TAG_METADATA, size);
    put_varint(to, TAG_METADATA_TYPE, type);
    for (unsigned i = 0; i < 3; i++)
        if (fields[i].text.size > 0) proto_put_bytes(to, fields[i].tag, fields[i].text);
}

/* --- the Histogram message -------------------------------------------------------------------- */

/*
 * Sizes are computed first, so that nested messages are written in place.
 */

/* Fields of Histogram and BucketSpan. */
enum {
    TAG_COUNT_INT = 1 << 3 | 0,
    TAG_COUNT_FLOAT = 2 << 3 | 1,
    TAG_SUM = 3 << 3 | 1,
    TAG_SCHEMA = 4 << 3 | 0,
    TAG_ZERO_THRESHOLD = 5 << 3 | 1,
    TAG_ZERO_COUNT_INT = 6 << 3 | 0,
    TAG_ZERO_COUNT_FLOAT = 7 << 3 | 1,
    TAG_NEGATIVE_SPANS = 8 << 3 | 2, /* deltas and counts are the next two fields */
    TAG_POSITIVE_SPANS = 11 << 3 | 2,
    TAG_RESET_HINT = 14 << 3 | 0,
    TAG_TIME = 15 << 3 | 0,
    TAG_CUSTOM = 16 << 3 | 2,
    TAG_START_TIME = 17 << 3 | 0,
    TAG_SPAN_OFFSET = 1 << 3 | 0,
    TAG_SPAN_LENGTH = 2 << 3 | 0,
    NEXT_FIELD = 1 << 3,
};

static void
put_doubles_field(struct buf *to, unsigned tag, const uint64_t *bits, uint32_t count)
{
    if (count == 0) return;
    proto_put_bytes(to, tag, bytes_of(bits, (size_t)count * sizeof *bits));
}

static void
put_side(struct buf *to, enum sample_kind kind, unsigned tag, const struct hist_buckets *b)
{
    for (uint32_t i = 0; i < b->span_count; i++) {
        uint64_t offset = zigzag(b->spans[i].offset);
        uint32_t length = b->spans[i].length;
        size_t span_bytes = (offset == 0 ? 0 : 1 + varint_size(offset)) +
                            (length == 0 ? 0 : 1 + varint_size(length));
        proto_put_varint(to, tag, span_bytes);
        if (offset != 0) proto_put_varint(to, TAG_SPAN_OFFSET, offset);
        if (length != 0) proto_put_varint(to, TAG_SPAN_LENGTH, length);
    }
    if (kind == SAMPLE_HISTOGRAM_FLOAT) {
        put_doubles_field(to, tag + 2 * NEXT_FIELD, b->counts, b->bucket_count);
        return;
    }
    if (b->bucket_count == 0) return;
    size_t size = 0;
    for (uint32_t i = 0; i < b->bucket_count; i++)
        size += varint_size(zigzag(b->deltas[i]));
    proto_put_varint(to, tag + NEXT_FIELD, size);
    for (uint32_t i = 0; i < b->bucket_count; i++)
        buf_put_zigzag(to, b->deltas[i]);
}

/* Count and zero count are written even if zero: the kind is that of the field that is present. */
void
histogram_message_put(struct buf *to, int64_t t_ms, int64_t start_ms, const struct histogram *h)
{
    bool is_int = h->kind == SAMPLE_HISTOGRAM_INT;
    if (is_int)
        proto_put_varint(to, TAG_COUNT_INT, h->count);
    else
        proto_put_fixed64(to, TAG_COUNT_FLOAT, h->count);
    if (h->sum_bits != 0) proto_put_fixed64(to, TAG_SUM, h->sum_bits);
    if (h->schema != 0) proto_put_varint(to, TAG_SCHEMA, zigzag(h->schema));
    if (h->zero_threshold_bits != 0)
        proto_put_fixed64(to, TAG_ZERO_THRESHOLD, h->zero_threshold_bits);
    if (is_int)
        proto_put_varint(to, TAG_ZERO_COUNT_INT, h->zero_count);
    else
        proto_put_fixed64(to, TAG_ZERO_COUNT_FLOAT, h->zero_count);
    put_side(to, h->kind, TAG_NEGATIVE_SPANS, &h->negative);
    put_side(to, h->kind, TAG_POSITIVE_SPANS, &h->positive);
    if (h->reset_hint != RESET_UNKNOWN) proto_put_varint(to, TAG_RESET_HINT, h->reset_hint);
    if (t_ms != 0) proto_put_varint(to, TAG_TIME, (uint64_t)t_ms);
    put_doubles_field(to, TAG_CUSTOM, h->custom_bits, h->custom_count);
    if (start_ms != 0) proto_put_varint(to, TAG_START_TIME, (uint64_t)start_ms);
}
