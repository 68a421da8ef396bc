/*
 * notation.c - see notation.h. The grammar is
 *
 *     series    = metric { SPACE [ item ] }
 *     item      = "_" [ times ] | value [ [ sign value ] times ]
 *     value     = number | "stale" | histogram
 *     times     = "x" count
 *     histogram = "{{" { key ":" value } "}}", of which a value may be a list: [1 2 1]
 *
 * A repetition counts the values after the first one, so that `1x2` is three values. PromQL's
 * parser reads the metric, as a selector of equal labels.
 *
 * Invariants:
 *
 *  1. While values of an item are left, the walk is after that item: `next` is greater than 0.
 *  2. A sum of histograms changes only in an item that adds, and is that of the item.
 *  3. While a text is read, `at` is at most its size.
 */
#include "promql/testseries/notation.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "model/histogram.h"
#include "promql/parse/tree.h"
#include "wire/number.h"

struct notation_reading {
    struct bytes text;
    uint32_t line; /* number of the first line */
    uint32_t at;
    struct arena *arena;
    struct buf *error;
    enum err failed; /* `error` has the sentence, and all functions return */
};

/* --- errors ----------------------------------------------------------------------------------- */

/* Sets the error, unless there is one. These three return false. */
PRINTF_LIKE(3, 4)
static bool
reading_fail(struct notation_reading *r, uint32_t at, const char *format, ...)
{
    char text[512];
    uint32_t line = r->line, begin = 0;
    va_list args;
    if (r->failed) return false;
    r->failed = ERR_INPUT;
    for (uint32_t i = 0; i < at; i++) {
        if (r->text.at[i] != '\n') continue;
        line++;
        begin = i + 1;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_printf(r->error, "%u:%u: parse error: ", line, at - begin + 1);
    buf_put_text(r->error, text);
    return false;
}

static bool
reading_no_memory(struct notation_reading *r)
{
    if (r->failed) return false;
    r->failed = ERR_NOMEM;
    buf_put_text(r->error, "not enough memory");
    return false;
}

/* Reports the next character. */
static bool
reading_unexpected(struct notation_reading *r, const char *expected)
{
    unsigned bytes;
    if (r->failed) return false;
    reading_fail(r, r->at, "unexpected ");
    if (r->at == r->text.size) {
        buf_put_text(r->error, "end of input");
    } else {
        rune_get(r->text.at + r->at, r->text.size - r->at, &bytes);
        quote_text(r->error, bytes_of(r->text.at + r->at, bytes));
    }
    buf_printf(r->error, " in series values, expected %s", expected);
    return false;
}

/* --- the metric ------------------------------------------------------------------------------- */

/* Copies the labels of a selector. Its name before the braces, which is its last matcher, replaces
 * others, and empty labels are then dropped. */
static bool
take_labels(struct notation_reading *r, const struct node *n, struct notation_metric *ret)
{
    uint32_t count = n->selector.matcher_count;
    bool has_name = n->selector.name.size > 0;
    ret->labels = arena_alloc(r->arena, (count + 1) * sizeof *ret->labels);
    if (ret->labels == NULL) return reading_no_memory(r);
    for (uint32_t i = 0; i < count; i++) {
        const struct node_matcher *m = &n->selector.matchers[i];
        bool is_name = bytes_equal_text(m->name, "__name__");
        if (m->type != MATCH_EQUAL)
            return reading_fail(r, 0, "labels of a series are set by \"=\"");
        if (has_name && i + 1 < count && (is_name || m->value.size == 0)) continue;
        struct label label = {arena_copy(r->arena, m->name), arena_copy(r->arena, m->value)};
        if (label.name.at == NULL || (label.value.at == NULL && m->value.size > 0))
            return reading_no_memory(r);
        ret->labels[ret->count++] = label;
    }
    return true;
}

/* Compares by name, then by value. */
static int
compare_labels(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    int order = bytes_compare(x->name, y->name);
    return order != 0 ? order : bytes_compare(x->value, y->value);
}

/* Reads a metric that ends before `end`. */
static bool
read_metric(struct notation_reading *r, uint32_t end, struct notation_metric *ret)
{
    struct promql_tree *tree;
    struct buf error;
    *ret = (struct notation_metric){.count = 0};
    buf_init(&error, r->arena->budget, NOTATION_BYTES_MAX);
    enum err e =
        promql_parse_selector(bytes_of(r->text.at, end), r->arena->budget, NULL, &tree, &error);
    if (e == OK) {
        take_labels(r, tree->root, ret);
        promql_free(tree);
    } else if (e == ERR_INPUT) {
        buf_put_u8(&error, '\0');
        char *rest = NULL;
        unsigned long line = buf_error(&error) ? 0 : strtoul((const char *)error.at, &rest, 10);
        r->failed = e;
        buf_printf(r->error, "%lu%s", line + r->line - 1, rest == NULL ? "" : rest);
    } else {
        r->failed = e;
        buf_put_bytes(r->error, buf_bytes(&error));
    }
    buf_fini(&error);
    r->at = end;
    if (ret->count > 1) qsort(ret->labels, ret->count, sizeof *ret->labels, compare_labels);
    return !r->failed;
}

/* The end of the metric: that of its name, or of the braces that follow it at once. */
static uint32_t
metric_end(struct bytes text)
{
    uint32_t i = 0;
    while (i < text.size && (ascii_is_word(text.at[i]) || text.at[i] == ':'))
        i++;
    if (i == text.size || text.at[i] != '{') return i;
    for (uint8_t quote = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (quote == 0 && c == '}') return i + 1;
        if (quote == 0 && (c == '"' || c == '\'' || c == '`'))
            quote = c;
        else if (quote != 0 && c == '\\' && quote != '`' && i + 1 < text.size)
            i++;
        else if (c == quote)
            quote = 0;
    }
    return i;
}

static enum err
check_size(struct bytes text, struct buf *error)
{
    if (text.size <= NOTATION_BYTES_MAX) return OK;
    buf_printf(error, "at most %d MiB are allowed", NOTATION_BYTES_MAX >> 20);
    return ERR_LIMIT;
}

enum err
notation_parse_metric(struct bytes text, struct arena *arena, struct notation_metric *ret,
                      struct buf *error)
{
    struct notation_reading r = {.text = text, .line = 1, .arena = arena, .error = error};
    struct notation_metric metric = {.count = 0};
    size_t blanks = 0;
    enum err e = check_size(text, error);
    if (e) return e;
    while (blanks < text.size && strchr(" \t\r\n", text.at[blanks]) != NULL)
        blanks++;
    if (blanks < text.size) read_metric(&r, (uint32_t)text.size, &metric);
    if (buf_error(error)) return buf_error(error);
    if (r.failed == OK) *ret = metric;
    return r.failed;
}

/* --- pieces ----------------------------------------------------------------------------------- */

static uint8_t
next_byte(const struct notation_reading *r)
{
    assert(r->at <= r->text.size); /* invariant 3 */
    return r->at < r->text.size ? r->text.at[r->at] : 0;
}

static bool
accept(struct notation_reading *r, const char *word)
{
    size_t size = strlen(word);
    if (r->text.size - r->at < size || memcmp(r->text.at + r->at, word, size) != 0) return false;
    r->at += (uint32_t)size;
    return true;
}

static bool
skip_spaces(struct notation_reading *r)
{
    uint32_t begin = r->at;
    while (next_byte(r) != 0 && strchr(" \t\r\n", next_byte(r)) != NULL)
        r->at++;
    return r->at > begin;
}

static struct bytes
take_word(struct notation_reading *r)
{
    uint32_t begin = r->at;
    while (ascii_is_letter(next_byte(r)) || next_byte(r) == '_')
        r->at++;
    return bytes_of(r->text.at + begin, r->at - begin);
}

/* Reads a number without a sign. */
static bool
read_unsigned(struct notation_reading *r, double *ret)
{
    uint32_t begin = r->at;
    uint8_t before = 0;
    if (ascii_is_letter(next_byte(r))) {
        take_word(r);
    } else {
        for (uint8_t c; (c = next_byte(r)) != 0; before = c, r->at++) {
            bool sign = (c == '+' || c == '-') && (before | 0x20) == 'e';
            if (!ascii_is_digit(c) && c != '.' && c != '_' && (c | 0x20) != 'e' && !sign) break;
        }
    }
    struct bytes text = bytes_of(r->text.at + begin, r->at - begin);
    bool is_word = text.size > 0 && ascii_is_letter(text.at[0]);
    bool is_named = text.size == 3 && (strncasecmp((const char *)text.at, "inf", 3) == 0 ||
                                       strncasecmp((const char *)text.at, "nan", 3) == 0);
    if (text.size == 0 || (is_word && !is_named)) {
        r->at = begin;
        return reading_unexpected(r, "a number");
    }
    const char *wrong = lexer_number(text, ret);
    if (wrong == NULL) return true;
    reading_fail(r, begin, "error parsing number: strconv.ParseFloat: parsing ");
    quote_text(r->error, text);
    buf_put_text(r->error, wrong);
    return false;
}

static bool
read_number(struct notation_reading *r, double *ret)
{
    bool negative = accept(r, "-");
    if (!read_unsigned(r, ret)) return false;
    if (negative) *ret = -*ret;
    return true;
}

static bool
read_count(struct notation_reading *r, uint64_t *ret)
{
    uint32_t begin = r->at;
    bool fits = true;
    *ret = 0;
    for (; ascii_is_digit(next_byte(r)); r->at++) {
        fits &= !__builtin_mul_overflow(*ret, 10, ret);
        fits &= !__builtin_add_overflow(*ret, (uint64_t)(next_byte(r) - '0'), ret);
    }
    if (r->at == begin) return reading_unexpected(r, "a whole number");
    return fits ||
           reading_fail(r, begin, "invalid repetition in series values: value out of range");
}

/* --- histograms ------------------------------------------------------------------------------- */

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
    for (unsigned i = 0; i < count; i++)
        if (strlen(words[i]) == word.size &&
            strncasecmp((const char *)word.at, words[i], word.size) == 0)
            return i;
    return count;
}

/* Reads [1 2 3]. */
static bool
read_list(struct notation_reading *r, struct bits_list *to)
{
    if (!accept(r, "[")) return reading_unexpected(r, "a list");
    do {
        double value;
        if (!read_number(r, &value)) return false;
        if (to->count == HISTOGRAM_BUCKETS_MAX)
            return reading_fail(r, r->at, "at most %d buckets are allowed", HISTOGRAM_BUCKETS_MAX);
        uint64_t *bits = arena_push(r->arena, to->bits, to->count, sizeof *bits);
        if (bits == NULL) return reading_no_memory(r);
        to->bits = bits;
        bits[to->count++] = double_bits(value);
        if (!skip_spaces(r) && next_byte(r) != ']')
            return reading_unexpected(r, "a space or \"]\"");
    } while (!accept(r, "]"));
    return true;
}

/* Reads the value of a key. */
static bool
read_of(struct notation_reading *r, enum key key, struct described *d)
{
    uint32_t begin = r->at;
    unsigned hint;
    bool negative;
    uint64_t whole;
    switch (key) {
    case KEY_SCHEMA:
    case KEY_OFFSET:
    case KEY_NEGATIVE_OFFSET:
        negative = accept(r, "-");
        if (!read_count(r, &whole)) return false;
        if (whole > INT32_MAX) return reading_fail(r, begin, "expected at most %d", INT32_MAX);
        d->whole[key] = negative ? -(int64_t)whole : (int64_t)whole;
        return true;
    case KEY_SUM:
    case KEY_COUNT:
    case KEY_ZERO_COUNT:
        return read_number(r, &d->number[key]);
    case KEY_ZERO_WIDTH:
        return read_unsigned(r, &d->number[key]);
    case KEY_HINT:
        hint = find_word(take_word(r), hints, HINTS);
        d->hint = (enum reset_hint)hint;
        return hint < HINTS || reading_fail(r, begin, "unknown hint of a counter reset");
    default:
        return read_list(r, &d->list[key]);
    }
}

static bool
make_side(struct notation_reading *r, const struct described *d, enum key buckets, enum key offset,
          struct hist_buckets *to)
{
    uint32_t count = d->list[buckets].count;
    *to = (struct hist_buckets){.span_count = count > 0, .bucket_count = count};
    if (count == 0) return true;
    if (d->whole[offset] + count > INT32_MAX)
        return reading_fail(r, r->at, "%s is too large", keys[offset]);
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
        !make_side(r, d, KEY_NEGATIVE_BUCKETS, KEY_NEGATIVE_OFFSET, &h.negative))
        return false;
    void *memory = arena_alloc(r->arena, fhist_bytes_of(&h));
    if (memory == NULL) return reading_no_memory(r);
    struct fhist *made = fhist_of(memory, &h);
    made->hint = d->hint;
    *ret = made;
    return true;
}

/* Reads a histogram from after "{{" to after "}}". */
static bool
read_histogram(struct notation_reading *r, const struct fhist **ret, bool *ret_has_hint)
{
    struct described d = {.hint = RESET_UNKNOWN};
    skip_spaces(r);
    while (!accept(r, "}}")) {
        uint32_t begin = r->at;
        struct bytes word = take_word(r);
        unsigned key = find_word(word, keys, KEYS);
        if (word.size == 0) return reading_unexpected(r, "a key, e.g. buckets:[5 10 7], or \"}}\"");
        if (key == KEYS) {
            return reading_fail(r, begin, "bad histogram descriptor found: \"%.*s\"",
                                (int)word.size, (const char *)word.at);
        }
        if (!accept(r, ":")) return reading_fail(r, begin, "missing `:` for histogram descriptor");
        if (d.given[key])
            return reading_fail(r, begin, "duplicate key \"%s\" in histogram", keys[key]);
        d.given[key] = true;
        if (!read_of(r, (enum key)key, &d)) return false;
        if (!skip_spaces(r) && next_byte(r) != '}')
            return reading_unexpected(r, "a space or \"}}\"");
    }
    *ret_has_hint = d.given[KEY_HINT];
    return make(r, &d, ret);
}

/* Only histograms that pass histogram_check() can be added. */
static bool
is_valid(struct notation_reading *r, const struct fhist *h)
{
    struct histogram stored;
    struct why why = {""};
    if (fhist_stored(r->arena, h, &stored)) return reading_no_memory(r);
    if (histogram_check(&stored, &why) == OK) return true;
    return reading_fail(r, r->at, "%s", why.text);
}

/* False, with an error, if `more` cannot be added to `to` repeatedly. */
static bool
histogram_adds(struct notation_reading *r, const struct fhist *to, const struct fhist *more)
{
    if (to->schema > more->schema) {
        return reading_fail(r, r->at,
                            "error combining histograms: cannot merge from schema %d to %d",
                            more->schema, to->schema);
    }
    if (fhist_is_custom(to) != fhist_is_custom(more)) {
        return reading_fail(r, r->at,
                            "cannot apply this operation on histograms with a mix of exponential "
                            "and custom bucket schemas");
    }
    bool same = to->bound_count == more->bound_count;
    for (uint32_t i = 0; same && i < to->bound_count; i++)
        same = to->bounds[i] == more->bounds[i];
    if (!same) {
        return reading_fail(r, r->at,
                            "cannot apply this operation on custom buckets histograms with "
                            "different custom bounds");
    }
    return is_valid(r, to) && is_valid(r, more);
}

/* --- values ----------------------------------------------------------------------------------- */

static bool
read_item(struct notation_reading *r, struct notation_item *item)
{
    double value = 0;
    uint64_t times = 0;
    bool more_hint;
    *item = (struct notation_item){.kind = NOTATION_FLOAT};
    if (accept(r, "_")) {
        *item = (struct notation_item){.kind = NOTATION_NONE, .count = 1};
        return !accept(r, "x") || read_count(r, &item->count);
    }
    if (accept(r, "stale")) {
        item->bits = STALE_NAN_BITS;
    } else if (accept(r, "{{")) {
        item->kind = NOTATION_HISTOGRAM;
        if (!read_histogram(r, &item->histogram, &item->has_hint)) return false;
    } else {
        if (next_byte(r) == '+') r->at++;
        if (!read_number(r, &value)) return false;
        item->bits = double_bits(value);
    }
    char sign = (char)next_byte(r);
    item->adds = sign == '+' || sign == '-';
    if (item->adds) {
        r->at++;
        item->factor = sign == '-' ? -1 : 1;
        if (item->kind == NOTATION_FLOAT) {
            if (!read_unsigned(r, &item->step)) return false;
            item->step *= item->factor;
        } else if (!accept(r, "{{")) {
            return reading_unexpected(r, "a histogram");
        } else if (!read_histogram(r, &item->more, &more_hint)) {
            return false;
        }
    }
    if (accept(r, "x")) {
        if (!read_count(r, &times)) return false;
    } else if (item->adds) {
        return reading_unexpected(r, "a repetition such as x3");
    }
    item->count = times == UINT64_MAX ? times : times + 1; /* with the first one */
    return item->kind == NOTATION_FLOAT || !item->adds || times == 0 ||
           histogram_adds(r, item->histogram, item->more);
}

enum err
notation_parse(struct bytes text, uint32_t line, struct arena *arena, struct notation *ret,
               struct buf *error)
{
    struct notation_reading r = {.text = text, .line = line, .arena = arena, .error = error};
    struct notation made = {.item_count = 0};
    enum err e = check_size(text, error);
    if (e) return e;
    uint32_t end = metric_end(text);
    if (end > 0)
        read_metric(&r, end, &made.metric);
    else if (text.size > 0)
        reading_unexpected(&r, "a metric");
    while (!r.failed && r.at < text.size) {
        if (!skip_spaces(&r)) reading_unexpected(&r, "a space");
        if (r.failed || r.at == text.size) break;
        struct notation_item *items = arena_push(arena, made.items, made.item_count, sizeof *items);
        if (items == NULL) reading_no_memory(&r);
        if (items == NULL || !read_item(&r, &items[made.item_count])) break;
        made.items = items;
        made.item_count++;
    }
    if (r.failed == OK && buf_error(error) == OK) *ret = made;
    return buf_error(error) ? buf_error(error) : r.failed;
}

/* --- walking ---------------------------------------------------------------------------------- */

struct notation_walk
notation_begin(const struct notation *of, struct arena *arena)
{
    return (struct notation_walk){.of = of, .arena = arena};
}

static enum err
begin_item(struct notation_walk *w, const struct notation_item *item)
{
    w->left = item->count;
    w->value = bits_double(item->bits);
    w->current = (struct notation_value){item->kind, item->bits, item->histogram, item->has_hint};
    if (item->kind != NOTATION_HISTOGRAM || !item->adds) return OK;
    w->current.histogram = &w->sum;
    return fhist_begin(w->arena, item->histogram, false, &w->sum);
}

enum err
notation_next(struct notation_walk *w, struct notation_value *ret, bool *ret_more)
{
    enum err e = OK;
    assert(w->left == 0 || w->next > 0); /* invariant 1 */
    assert(w->next <= w->of->item_count);
    const struct notation_item *item = w->left > 0 ? &w->of->items[w->next - 1] : NULL;
    if (item != NULL && item->adds && item->kind == NOTATION_HISTOGRAM) {
        struct fhist_outcome outcome;
        assert(w->current.histogram == &w->sum); /* invariant 2 */
        e = fhist_add(w->arena, &w->sum, item->more, item->factor, &outcome);
    } else if (item != NULL && item->adds) {
        w->value += item->step;
        w->current.bits = double_bits(w->value);
    }
    while (e == OK && w->left == 0 && w->next < w->of->item_count)
        e = begin_item(w, &w->of->items[w->next++]);
    if (e) return e;
    *ret_more = w->left > 0;
    if (w->left > 0) w->left--;
    *ret = w->current;
    return OK;
}

/* --- as a text -------------------------------------------------------------------------------- */

static void
notation_put_number(struct buf *to, double number)
{
    char text[NUMBER_TEXT_BYTES];
    buf_put(to, text, number_print_sentence(double_bits(number), text));
}

static void
notation_put_key(struct buf *to, enum key key)
{
    assert(to->size > 0); /* the braces */
    if (to->at[to->size - 1] != '{') buf_put_u8(to, ' ');
    buf_printf(to, "%s:", keys[key]);
}

static void
put_unless_0(struct buf *to, enum key key, double number)
{
    if (number == 0) return;
    notation_put_key(to, key);
    notation_put_number(to, number);
}

static void
put_empty(struct buf *to, int64_t count)
{
    if (count > EMPTY_SHOWN_MAX) {
        buf_printf(to, " (%lld empty)", (long long)count);
        return;
    }
    while (count-- > 0)
        buf_put_text(to, " 0");
}

/* Puts the buckets from the first one with observations to the last one. */
static void
put_side(struct buf *to, const struct fhist_side *side, enum key buckets, enum key offset)
{
    uint32_t first = 0, end = side->count;
    while (first < end && side->counts[first] == 0)
        first++;
    while (end > first && side->counts[end - 1] == 0)
        end--;
    if (first == end) return;
    if (side->indexes[first] != 0) {
        notation_put_key(to, offset);
        buf_printf(to, "%d", side->indexes[first]);
    }
    notation_put_key(to, buckets);
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
        notation_put_number(to, side->counts[i]);
    }
    buf_put_u8(to, ']');
}

void
notation_put_histogram(const struct fhist *h, struct buf *to)
{
    buf_put_text(to, "{{");
    if (buf_error(to)) return;
    if (h->schema != 0) {
        notation_put_key(to, KEY_SCHEMA);
        buf_printf(to, "%d", h->schema);
    }
    put_unless_0(to, KEY_COUNT, h->count);
    put_unless_0(to, KEY_SUM, h->sum);
    if (!fhist_is_custom(h)) {
        put_unless_0(to, KEY_ZERO_COUNT, h->zero_count);
        put_unless_0(to, KEY_ZERO_WIDTH, h->zero_threshold);
    } else {
        notation_put_key(to, KEY_CUSTOM);
        for (uint32_t i = 0; i < h->bound_count; i++) {
            buf_put_u8(to, i == 0 ? '[' : ' ');
            notation_put_number(to, h->bounds[i]);
        }
        buf_put_text(to, h->bound_count == 0 ? "[]" : "]");
    }
    if (h->hint != RESET_UNKNOWN) {
        notation_put_key(to, KEY_HINT);
        buf_put_text(to, hints[h->hint]);
    }
    put_side(to, &h->positive, KEY_BUCKETS, KEY_OFFSET);
    put_side(to, &h->negative, KEY_NEGATIVE_BUCKETS, KEY_NEGATIVE_OFFSET);
    buf_put_text(to, "}}");
}
