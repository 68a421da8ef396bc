/* histograms.c - reads and prints {{schema:0 sum:5 count:4 buckets:[1 2 1]}}. */
#include <assert.h>
#include <strings.h>

#include "model/histogram.h"
#include "promql/testseries/notation_private.h"
#include "wire/number.h"

/* more empty buckets in a row are printed as their number */
enum { EMPTY_SHOWN_MAX = 1000 };

enum key {
    KEY_SCHEMA,
    KEY_SUM,
    KEY_COUNT,
    KEY_ZERO_COUNT,
    KEY_ZERO_WIDTH,
    KEY_CUSTOM,
    KEY_BUCKETS,
    KEY_OFFSET,
    KEY_NEGATIVE_BUCKETS,
    KEY_NEGATIVE_OFFSET,
    KEY_HINT,
    KEYS
};

static const char *const keys[KEYS] = {
    "schema",  "sum",    "count",     "z_bucket", "z_bucket_w",         "custom_values",
    "buckets", "offset", "n_buckets", "n_offset", "counter_reset_hint",
};

/* by enum reset_hint */
static const char *const hints[] = {"unknown", "reset", "not_reset", "gauge"};
enum { HINTS = sizeof hints / sizeof *hints };

struct bits_list {
    uint64_t *bits;
    uint32_t count;
};

/* The description of a histogram. */
struct described {
    bool given[KEYS];
    int64_t whole[KEYS]; /* KEY_SCHEMA and the offsets */
    double number[KEYS];
    struct bits_list list[KEYS];
    enum reset_hint hint;
};

/* `count` if the word is not in the list. */
static unsigned
find_word(struct bytes word, const char *const *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (strlen(words[i]) == word.size &&
            strncasecmp((const char *)word.at, words[i], word.size) == 0) {
            return i;
        }
    }
    return count;
}

enum known_word
histogram_word(struct bytes word)
{
    if (find_word(word, keys, KEYS) < KEYS) return WORD_KEY;
    return find_word(word, hints, HINTS) < HINTS ? WORD_HINT : WORD_UNKNOWN;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool
read_signed(struct notation_reading *r, double *ret)
{
    bool negative = piece_accept(r, MARK_SUB);
    if (!piece_number(r, ret)) return false;
    if (negative) *ret = -*ret;
    return true;
}

static bool
read_whole(struct notation_reading *r, int64_t *ret)
{
    uint32_t at = piece_peek(r)->token.at;
    bool negative = piece_accept(r, MARK_SUB);
    uint64_t count;
    if (!piece_count(r, &count)) return false;
    if (count > INT32_MAX) return reading_fail(r, at, "expected at most %d", INT32_MAX);
    *ret = negative ? -(int64_t)count : (int64_t)count;
    return true;
}

static bool
add_to_list(struct notation_reading *r, struct bits_list *to, double value)
{
    if (to->count == HISTOGRAM_BUCKETS_MAX) {
        return reading_fail(r, r->at, "at most %d buckets are allowed", HISTOGRAM_BUCKETS_MAX);
    }
    uint64_t *bits = arena_push(r->arena, to->bits, to->count, sizeof *bits);
    if (bits == NULL) return reading_no_memory(r);
    to->bits = bits;
    bits[to->count++] = double_bits(value);
    return true;
}

/* Reads [1 2 3]. */
static bool
histograms_read_list(struct notation_reading *r, struct bits_list *to)
{
    if (piece_peek(r)->mark != MARK_LEFT_BRACKET) {
        return reading_unexpected(r);
    }
    piece_take(r);
    assert(r->within == WITHIN_HISTOGRAM);
    r->within = WITHIN_LIST;
    for (bool first = true; first || piece_peek(r)->mark != MARK_RIGHT_BRACKET; first = false) {
        double value;
        if (!read_signed(r, &value) || !add_to_list(r, to, value)) return false;
        if (piece_accept(r, MARK_SPACE)) continue;
        if (piece_peek(r)->mark != MARK_RIGHT_BRACKET) {
            return reading_unexpected(r);
        }
    }
    piece_take(r);
    r->within = WITHIN_HISTOGRAM;
    return true;
}

static bool
read_hint(struct notation_reading *r, enum reset_hint *ret)
{
    const struct notation_piece *p = piece_peek(r);
    unsigned i = p->mark == MARK_WORD ? find_word(p->token.text, hints, HINTS) : HINTS;
    if (i == HINTS) return reading_unexpected(r);
    piece_take(r);
    *ret = (enum reset_hint)i;
    return true;
}

static bool
read_of(struct notation_reading *r, enum key key, struct described *d)
{
    switch (key) {
    case KEY_SCHEMA:
    case KEY_OFFSET:
    case KEY_NEGATIVE_OFFSET:
        return read_whole(r, &d->whole[key]);
    case KEY_SUM:
    case KEY_COUNT:
    case KEY_ZERO_COUNT:
        return read_signed(r, &d->number[key]);
    case KEY_ZERO_WIDTH:
        return piece_number(r, &d->number[key]);
    case KEY_HINT:
        return read_hint(r, &d->hint);
    default:
        return histograms_read_list(r, &d->list[key]);
    }
}

/* --- a histogram ------------------------------------------------------------------------------ */

/* Reads key:value. */
static bool
read_pair(struct notation_reading *r, struct described *d)
{
    const struct notation_piece *p = piece_peek(r);
    unsigned key = p->mark == MARK_WORD ? find_word(p->token.text, keys, KEYS) : KEYS;
    if (key == KEYS) return reading_unexpected(r);
    piece_take(r);
    piece_take(r); /* the colon, which histogram_words() has seen */
    if (d->given[key]) {
        return reading_fail(r, 0, "duplicate key \"%s\" in histogram", keys[key]);
    }
    d->given[key] = true;
    return read_of(r, (enum key)key, d);
}

static bool
read_pairs(struct notation_reading *r, struct described *d)
{
    bool space = piece_accept(r, MARK_SPACE);
    if (piece_accept(r, MARK_CLOSE)) return true;
    if (space) return reading_unexpected(r);
    for (;;) {
        if (!read_pair(r, d)) return false;
        r->context = "histogram description";
        r->expected = "histogram description key, e.g. buckets:[5 10 7]";
        space = piece_accept(r, MARK_SPACE);
        if (piece_accept(r, MARK_CLOSE)) return true;
        if (!space) return reading_unexpected(r);
    }
}

static bool
make_side(struct notation_reading *r, const struct described *d, enum key buckets, enum key offset,
          struct hist_buckets *to)
{
    uint32_t count = d->list[buckets].count;
    *to = (struct hist_buckets){.span_count = count > 0, .bucket_count = count};
    if (count == 0) return true;
    if (d->whole[offset] + count > INT32_MAX) {
        return reading_fail(r, r->at, "%s is too large", keys[offset]);
    }
    struct hist_span *span = arena_alloc(r->arena, sizeof *span);
    if (span == NULL) return reading_no_memory(r);
    *span = (struct hist_span){(int32_t)d->whole[offset], count};
    to->spans = span;
    to->counts = d->list[buckets].bits;
    return true;
}

static bool
make(struct notation_reading *r, const struct described *d, const struct fhist **ret)
{
    int64_t schema = d->whole[KEY_SCHEMA];
    struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_FLOAT,
        .schema = (int32_t)schema,
        .zero_threshold_bits = double_bits(d->number[KEY_ZERO_WIDTH]),
        .sum_bits = double_bits(d->number[KEY_SUM]),
        .count = double_bits(d->number[KEY_COUNT]),
        .zero_count = double_bits(d->number[KEY_ZERO_COUNT]),
        .custom_bits = d->list[KEY_CUSTOM].bits,
        .custom_count = d->list[KEY_CUSTOM].count,
    };
    if (schema != HISTOGRAM_SCHEMA_CUSTOM &&
        (schema < HISTOGRAM_SCHEMA_MIN || schema > HISTOGRAM_SCHEMA_MAX)) {
        return reading_fail(r, r->at, "invalid schema %lld, expected %d to %d, or %d",
                            (long long)schema, HISTOGRAM_SCHEMA_MIN, HISTOGRAM_SCHEMA_MAX,
                            HISTOGRAM_SCHEMA_CUSTOM);
    }
    if (!make_side(r, d, KEY_BUCKETS, KEY_OFFSET, &h.positive) ||
        !make_side(r, d, KEY_NEGATIVE_BUCKETS, KEY_NEGATIVE_OFFSET, &h.negative)) {
        return false;
    }
    void *memory = arena_alloc(r->arena, fhist_bytes_of(&h));
    if (memory == NULL) return reading_no_memory(r);
    struct fhist *made = fhist_of(memory, &h);
    made->hint = d->hint;
    *ret = made;
    return true;
}

bool
histogram_read(struct notation_reading *r, const struct fhist **ret, bool *ret_has_hint)
{
    struct described d = {.hint = RESET_UNKNOWN};
    piece_take(r);
    assert(r->within == WITHIN_VALUES);
    r->within = WITHIN_HISTOGRAM;
    bool read = read_pairs(r, &d);
    r->within = WITHIN_VALUES;
    r->context = "series values";
    r->expected = NULL;
    *ret_has_hint = d.given[KEY_HINT];
    return read && make(r, &d, ret);
}

/* Only histograms that pass histogram_check() can be added. */
static bool
is_valid(struct notation_reading *r, const struct fhist *h)
{
    struct histogram stored;
    struct why why = {""};
    if (fhist_stored(r->arena, h, &stored)) return reading_no_memory(r);
    if (histogram_check(&stored, &why) == OK) return true;
    return reading_fail(r, r->taken_at, "%s", why.text);
}

bool
histogram_adds(struct notation_reading *r, const struct fhist *to, const struct fhist *more)
{
    if (to->schema > more->schema) {
        return reading_fail(r, r->taken_at,
                            "error combining histograms: cannot merge from schema %d to %d",
                            more->schema, to->schema);
    }
    if (fhist_is_custom(to) != fhist_is_custom(more)) {
        return reading_fail(r, r->taken_at,
                            "cannot apply this operation on histograms with a mix of exponential "
                            "and custom bucket schemas");
    }
    bool same = to->bound_count == more->bound_count;
    for (uint32_t i = 0; same && i < to->bound_count; i++) {
        same = to->bounds[i] == more->bounds[i];
    }
    if (!same) {
        return reading_fail(r, r->taken_at,
                            "cannot apply this operation on custom buckets histograms with "
                            "different custom bounds");
    }
    return is_valid(r, to) && is_valid(r, more);
}

/* --- as a text -------------------------------------------------------------------------------- */

static void
histograms_put_number(struct buf *to, double number)
{
    char text[NUMBER_TEXT_BYTES];
    buf_put(to, text, number_print_sentence(double_bits(number), text));
}

static void
histograms_put_key(struct buf *to, enum key key)
{
    assert(to->size > 0); /* the braces */
    if (to->at[to->size - 1] != '{') buf_put_u8(to, ' ');
    buf_printf(to, "%s:", keys[key]);
}

static void
put_unless_0(struct buf *to, enum key key, double number)
{
    if (number == 0) return;
    histograms_put_key(to, key);
    histograms_put_number(to, number);
}

static void
put_empty(struct buf *to, int64_t count)
{
    if (count > EMPTY_SHOWN_MAX) {
        buf_printf(to, " (%lld empty)", (long long)count);
        return;
    }
    while (count-- > 0) {
        buf_put_text(to, " 0");
    }
}

/* Puts the buckets from the first one with observations to the last one. */
static void
put_side(struct buf *to, const struct fhist_side *side, enum key buckets, enum key offset)
{
    uint32_t first = 0, end = side->count;
    while (first < end && side->counts[first] == 0) {
        first++;
    }
    while (end > first && side->counts[end - 1] == 0) {
        end--;
    }
    if (first == end) return;
    if (side->indexes[first] != 0) {
        histograms_put_key(to, offset);
        buf_printf(to, "%d", side->indexes[first]);
    }
    histograms_put_key(to, buckets);
    buf_put_u8(to, '[');
    int64_t empty = 0;
    for (uint32_t i = first; i < end; i++) {
        if (i > first) empty += (int64_t)side->indexes[i] - side->indexes[i - 1] - 1;
        if (side->counts[i] == 0) {
            empty++;
            continue;
        }
        put_empty(to, empty);
        empty = 0;
        if (i > first) buf_put_u8(to, ' ');
        histograms_put_number(to, side->counts[i]);
    }
    buf_put_u8(to, ']');
}

void
notation_put_histogram(const struct fhist *h, struct buf *to)
{
    buf_put_text(to, "{{");
    if (buf_error(to)) return;
    if (h->schema != 0) {
        histograms_put_key(to, KEY_SCHEMA);
        buf_printf(to, "%d", h->schema);
    }
    put_unless_0(to, KEY_COUNT, h->count);
    put_unless_0(to, KEY_SUM, h->sum);
    if (!fhist_is_custom(h)) {
        put_unless_0(to, KEY_ZERO_COUNT, h->zero_count);
        put_unless_0(to, KEY_ZERO_WIDTH, h->zero_threshold);
    } else {
        histograms_put_key(to, KEY_CUSTOM);
        for (uint32_t i = 0; i < h->bound_count; i++) {
            buf_put_u8(to, i == 0 ? '[' : ' ');
            histograms_put_number(to, h->bounds[i]);
        }
        buf_put_text(to, h->bound_count == 0 ? "[]" : "]");
    }
    if (h->hint != RESET_UNKNOWN) {
        histograms_put_key(to, KEY_HINT);
        buf_put_text(to, hints[h->hint]);
    }
    put_side(to, &h->positive, KEY_BUCKETS, KEY_OFFSET);
    put_side(to, &h->negative, KEY_NEGATIVE_BUCKETS, KEY_NEGATIVE_OFFSET);
    buf_put_text(to, "}}");
}
