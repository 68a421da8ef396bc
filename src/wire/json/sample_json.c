/*
 * sample_json.c - every number reads back bit for bit: integers as integers, doubles as their
 * shortest digits, or as bits if JSON has no number for them.
 *
 * Members may come in any order. Each array becomes a list of 8-byte items in the scanner's arena;
 * its length is not known before, so the list doubles, up to HISTOGRAM_BUCKETS_MAX. The set of
 * members (one bit each) determines the kind and reveals contradictions.
 */
#include "wire/json/sample_json.h"
#include "base/buf.h"
#include "base/text/hex.h"
#include "base/text/json.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "wire/number.h"
#include "wire/shape.h"

/* --- writing ---------------------------------------------------------------------------------- */

enum { DOUBLE_BYTES = NUMBER_TEXT_BYTES };

static size_t
print_double(uint64_t bits, char *to)
{
    if ((bits >> 52 & 0x7ff) != 0x7ff) return number_print_json(bits, to);
    to[0] = '"';
    size_t size = 1 + hex_print_word(bits, to + 1);
    to[size] = '"';
    return size + 1;
}

static void
put_double(struct buf *to, const char *name, uint64_t bits)
{
    char text[DOUBLE_BYTES];
    buf_put_text(to, name);
    buf_put(to, text, print_double(bits, text));
}

static void
put_int(struct buf *to, const char *name, int64_t v)
{
    buf_put_text(to, name);
    buf_put_int(to, v);
}

/* Puts doubles as bits, or integers. */
static void
put_numbers(struct buf *to, const char *name, bool doubles, const void *numbers, uint32_t count)
{
    const uint64_t *words = numbers;
    char text[1 + DOUBLE_BYTES];
    if (count == 0) return;
    buf_put_text(to, name);
    for (uint32_t i = 0; i < count; i++) {
        text[0] = i == 0 ? '[' : ',';
        buf_put(to, text,
                1 + (doubles ? print_double(words[i], text + 1)
                             : decimal_print_int((int64_t)words[i], text + 1)));
    }
    buf_put_u8(to, ']');
}

static void
put_spans(struct buf *to, const char *name, const struct hist_buckets *b)
{
    if (b->span_count == 0) return;
    buf_put_text(to, name);
    for (uint32_t i = 0; i < b->span_count; i++) {
        put_int(to, i == 0 ? "[{\"offset\":" : ",{\"offset\":", b->spans[i].offset);
        put_int(to, ",\"length\":", b->spans[i].length);
        buf_put_u8(to, '}');
    }
    buf_put_u8(to, ']');
}

static void
put_count(struct buf *to, bool is_int, const char *name_int, const char *name_float, uint64_t v)
{
    if (!is_int) {
        put_double(to, name_float, v);
        return;
    }
    buf_put_text(to, name_int);
    buf_put_uint(to, v);
}

void
histogram_json_put(struct buf *to, const struct histogram *h)
{
    const struct hist_buckets *n = &h->negative, *p = &h->positive;
    bool is_int = h->kind == SAMPLE_HISTOGRAM_INT;
    put_count(to, is_int, "{\"count_int\":", "{\"count_float\":", h->count);
    put_double(to, ",\"sum\":", h->sum_bits);
    put_int(to, ",\"schema\":", h->schema);
    put_double(to, ",\"zero_threshold\":", h->zero_threshold_bits);
    put_count(to, is_int, ",\"zero_count_int\":", ",\"zero_count_float\":", h->zero_count);
    put_spans(to, ",\"negative_spans\":", n);
    if (is_int)
        put_numbers(to, ",\"negative_deltas\":", false, n->deltas, n->bucket_count);
    else
        put_numbers(to, ",\"negative_counts\":", true, n->counts, n->bucket_count);
    put_spans(to, ",\"positive_spans\":", p);
    if (is_int)
        put_numbers(to, ",\"positive_deltas\":", false, p->deltas, p->bucket_count);
    else
        put_numbers(to, ",\"positive_counts\":", true, p->counts, p->bucket_count);
    if (h->reset_hint != RESET_UNKNOWN) put_int(to, ",\"reset_hint\":", h->reset_hint);
    put_numbers(to, ",\"custom_values\":", true, h->custom_bits, h->custom_count);
    buf_put_u8(to, '}');
}

/* Escapes in place, from the end. Only quotes have to be escaped. */
size_t
histogram_json_put_escaped(struct buf *to, const struct histogram *h)
{
    size_t from = to->size, quotes = 0;
    histogram_json_put(to, h);
    size_t size = to->size - from;
    for (size_t i = from; i < to->size; i++)
        quotes += to->at[i] == '"';
    if (!buf_reserve(to, quotes)) return size;
    for (size_t i = to->size, at = to->size + quotes; i > from;) {
        uint8_t c = to->at[--i];
        to->at[--at] = c;
        if (c == '"') to->at[--at] = '\\';
    }
    to->size += quotes;
    return size;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Same order as `members` below. */
enum json_member {
    COUNT_INT,
    COUNT_FLOAT,
    SUM,
    SCHEMA,
    ZERO_THRESHOLD,
    ZERO_COUNT_INT,
    ZERO_COUNT_FLOAT,
    NEGATIVE_SPANS,
    NEGATIVE_DELTAS,
    NEGATIVE_COUNTS,
    POSITIVE_SPANS,
    POSITIVE_DELTAS,
    POSITIVE_COUNTS,
    RESET_HINT,
    CUSTOM_VALUES,
    MEMBER_COUNT
};

#define BIT(member) (1u << (member))

static const struct bytes members[MEMBER_COUNT] = {
    SCAN_NAME("count_int"),        SCAN_NAME("count_float"),    SCAN_NAME("sum"),
    SCAN_NAME("schema"),           SCAN_NAME("zero_threshold"), SCAN_NAME("zero_count_int"),
    SCAN_NAME("zero_count_float"), SCAN_NAME("negative_spans"), SCAN_NAME("negative_deltas"),
    SCAN_NAME("negative_counts"),  SCAN_NAME("positive_spans"), SCAN_NAME("positive_deltas"),
    SCAN_NAME("positive_counts"),  SCAN_NAME("reset_hint"),     SCAN_NAME("custom_values")};

enum {
    INT_MEMBERS =
        BIT(COUNT_INT) | BIT(ZERO_COUNT_INT) | BIT(NEGATIVE_DELTAS) | BIT(POSITIVE_DELTAS),
    FLOAT_MEMBERS =
        BIT(COUNT_FLOAT) | BIT(ZERO_COUNT_FLOAT) | BIT(NEGATIVE_COUNTS) | BIT(POSITIVE_COUNTS),
    ITEM_BYTES = 8
};

_Static_assert(sizeof(struct hist_span) == ITEM_BYTES, "spans are list items");

/* An array whose length is known only at its end: arena_push() doubles it. */
struct json_list {
    void *at;
    uint32_t count;
};

static void
list_put(struct scan *s, struct json_list *list, const void *item)
{
    if (s->bad != NULL) return;
    if (list->count == HISTOGRAM_BUCKETS_MAX) {
        scan_fail(s, "histogram has too many buckets");
        return;
    }
    void *at = arena_push(s->arena, list->at, list->count, ITEM_BYTES);
    if (at == NULL) {
        scan_fail(s, "not enough memory for a histogram");
        s->error = ERR_NOMEM;
        return;
    }
    list->at = at;
    memcpy((uint8_t *)list->at + (size_t)list->count * ITEM_BYTES, item, ITEM_BYTES);
    list->count++;
}

/* Reads the output of print_double(). */
static uint64_t
scan_bits_or_double(struct scan *s)
{
    uint64_t bits = 0;
    if (scan_peek(s) == '"') {
        struct bytes text = scan_text(s);
        if (s->bad == NULL && !hex_parse_word(text, &bits))
            scan_fail(s, "expected 16 hex digits in a quoted number");
        return bits;
    }
    return scan_double(s);
}

static int64_t
scan_int(struct scan *s, int64_t min, int64_t max)
{
    int64_t v = 0;
    struct bytes digits = scan_number(s);
    if (s->bad != NULL) return 0;
    if (!time_parse_ms(digits, &v) || v < min || v > max) {
        scan_fail(s, "expected an integer within its range");
        return 0;
    }
    return v;
}

static uint64_t
scan_uint(struct scan *s)
{
    uint64_t v = 0;
    struct bytes digits = scan_number(s);
    for (size_t i = 0; i < digits.size && s->bad == NULL; i++) {
        bool digit = digits.at[i] >= '0' && digits.at[i] <= '9';
        if (!digit || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, digits.at[i] - '0', &v))
            scan_fail(s, "count is not an integer, or is too large");
    }
    return v;
}

static void
scan_spans(struct scan *s, struct json_list *list)
{
    struct bytes key;
    scan_expect(s, '[');
    while (scan_item(s)) {
        struct hist_span span = {0};
        scan_expect(s, '{');
        while (scan_key(s, &key))
            if (bytes_equal_text(key, "offset"))
                span.offset = (int32_t)scan_int(s, INT32_MIN, INT32_MAX);
            else if (bytes_equal_text(key, "length"))
                span.length = (uint32_t)scan_int(s, 0, UINT32_MAX);
            else
                scan_skip(s);
        list_put(s, list, &span);
    }
}

static void
scan_member(struct scan *s, enum json_member member, struct histogram *h, struct json_list lists[])
{
    switch (member) {
    case COUNT_INT:
        h->count = scan_uint(s);
        break;
    case COUNT_FLOAT:
        h->count = scan_bits_or_double(s);
        break;
    case SUM:
        h->sum_bits = scan_bits_or_double(s);
        break;
    case SCHEMA:
        h->schema = (int32_t)scan_int(s, INT32_MIN, INT32_MAX);
        break;
    case ZERO_THRESHOLD:
        h->zero_threshold_bits = scan_bits_or_double(s);
        break;
    case ZERO_COUNT_INT:
        h->zero_count = scan_uint(s);
        break;
    case ZERO_COUNT_FLOAT:
        h->zero_count = scan_bits_or_double(s);
        break;
    case NEGATIVE_SPANS:
    case POSITIVE_SPANS:
        scan_spans(s, &lists[member]);
        break;
    case NEGATIVE_DELTAS:
    case POSITIVE_DELTAS:
        scan_expect(s, '[');
        while (scan_item(s)) {
            int64_t delta = scan_int(s, INT64_MIN, INT64_MAX);
            list_put(s, &lists[member], &delta);
        }
        break;
    case NEGATIVE_COUNTS:
    case POSITIVE_COUNTS:
    case CUSTOM_VALUES:
        scan_expect(s, '[');
        while (scan_item(s)) {
            uint64_t bits = scan_bits_or_double(s);
            list_put(s, &lists[member], &bits);
        }
        break;
    case RESET_HINT:
        h->reset_hint = (enum reset_hint)scan_int(s, RESET_UNKNOWN, RESET_GAUGE);
        break;
    case MEMBER_COUNT:
        scan_skip(s);
    }
}

/* After `spans` come the members of the deltas and of the counts. */
static struct hist_buckets
buckets_of(const struct json_list lists[], enum json_member spans, bool is_int)
{
    const struct json_list *counts = &lists[spans + (is_int ? 1 : 2)];
    struct hist_buckets b = {
        .spans = lists[spans].at, .span_count = lists[spans].count, .bucket_count = counts->count};
    if (is_int)
        b.deltas = counts->at;
    else
        b.counts = counts->at;
    return b;
}

void
histogram_json_scan(struct scan *s, struct histogram *ret_histogram)
{
    struct histogram h = {0};
    struct json_list lists[MEMBER_COUNT] = {{0}};
    struct bytes key;
    unsigned seen = 0;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        unsigned member =
            scan_which(s, key, members, MEMBER_COUNT, &seen, "duplicate histogram member");
        scan_member(s, (enum json_member)member, &h, lists);
    }
    bool is_int = (seen & BIT(COUNT_INT)) != 0;
    if ((seen & (BIT(COUNT_INT) | BIT(COUNT_FLOAT))) == 0) scan_fail(s, "missing histogram count");
    if ((seen & INT_MEMBERS) != 0 && (seen & FLOAT_MEMBERS) != 0)
        scan_fail(s, "histogram has both integer and float counts");
    if (s->bad != NULL) return;
    h.kind = is_int ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
    h.negative = buckets_of(lists, NEGATIVE_SPANS, is_int);
    h.positive = buckets_of(lists, POSITIVE_SPANS, is_int);
    h.custom_bits = lists[CUSTOM_VALUES].at;
    h.custom_count = lists[CUSTOM_VALUES].count;
    *ret_histogram = h;
}

/* --- lines ------------------------------------------------------------------------------------ */

/*
 * Written without struct json: only the middle of a line changes within a series.
 */

/* --- labels ----------------------------------------------------------------------------------- */

/* Puts the labels that are not UTF-8. */
static void
put_labels_hex(struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    bool comma = false;
    buf_put_text(to, ",\"labels_hex\":{");
    while (labels_next(&c, &label)) {
        if (utf8_valid(label.name) && utf8_valid(label.value)) continue;
        buf_put_text(to, comma ? ",\"" : "\"");
        buf_put_hex(to, label.name);
        buf_put_text(to, "\":\"");
        buf_put_hex(to, label.value);
        buf_put_u8(to, '"');
        comma = true;
    }
    buf_put_u8(to, '}');
}

/* Puts the labels after a colon. */
static void
ndjson_put_labels(struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    bool comma = false, all = true;
    buf_put_u8(to, '{');
    while (labels_next(&c, &label)) {
        size_t before = to->size;
        if (comma) buf_put_u8(to, ',');
        bool exact = json_print_string(to, label.name);
        buf_put_u8(to, ':');
        exact &= json_print_string(to, label.value);
        if (!exact) to->size = before;
        comma |= exact;
        all &= exact;
    }
    buf_put_u8(to, '}');
    if (!all) put_labels_hex(to, labels);
}

void
ndjson_head_put(struct buf *to, struct bytes labels)
{
    buf_put_text(to, "{\"name\":");
    size_t before = to->size;
    if (json_print_string(to, labels_get(labels, bytes_of_text("__name__")))) return;
    to->size = before;
    buf_put_text(to, "\"\"");
}

void
ndjson_tail_put(struct buf *to, struct bytes labels)
{
    buf_put_text(to, ",\"labels\":");
    ndjson_put_labels(to, labels);
    buf_put_text(to, "}\n");
}

/* --- samples ---------------------------------------------------------------------------------- */

static void
ndjson_put_value(struct buf *to, uint64_t bits)
{
    static const char name[] = ",\"value\":", none[] = ",\"value\":null,\"bits\":\"";
    char text[sizeof none + NUMBER_TEXT_BYTES];
    size_t size;
    if ((bits >> 52 & 0x7ff) != 0x7ff) {
        size = sizeof name - 1;
        memcpy(text, name, size);
        size += number_print_json(bits, text + size);
    } else {
        size = sizeof none - 1;
        memcpy(text, none, size);
        size += hex_print_word(bits, text + size);
        text[size++] = '"';
    }
    buf_put(to, text, size);
}

static void
ndjson_put_time(struct buf *to, const char *name, int64_t ms)
{
    buf_put_text(to, name);
    buf_put_int(to, ms);
}

void
ndjson_sample_put(struct buf *to, const struct labelled_sample *sample)
{
    ndjson_put_time(to, ",\"time\":", sample->t_ms);
    if (sample->histogram == NULL)
        ndjson_put_value(to, sample->bits);
    else
        buf_put_text(to, ",\"value\":null");
    if (sample->start_ms != 0) ndjson_put_time(to, ",\"start_ms\":", sample->start_ms);
    if (sample->histogram == NULL) return;
    buf_put_text(to, ",\"histogram\":");
    histogram_json_put(to, sample->histogram);
}

void
ndjson_line_put(struct buf *to, const struct labelled_sample *sample,
                const struct bytes *exemplar_labels)
{
    struct bytes labels = sample->labels;
    size_t before = to->size;
    /* A low estimate of the size: in long labels, lengths take more bytes than the JSON syntax. */
    if (!buf_reserve(to, labels.size - labels.size / 8 + 32)) return;
    ndjson_head_put(to, labels);
    if (exemplar_labels == NULL) {
        ndjson_sample_put(to, sample);
    } else {
        ndjson_put_time(to, ",\"time\":", sample->t_ms);
        buf_put_text(to, ",\"value\":null,\"exemplars\":[{\"labels\":");
        ndjson_put_labels(to, *exemplar_labels);
        ndjson_put_value(to, sample->bits);
        ndjson_put_time(to, ",\"time\":", sample->t_ms);
        buf_put_text(to, "}]");
    }
    ndjson_tail_put(to, labels);
    if (buf_error(to)) to->size = before;
}
