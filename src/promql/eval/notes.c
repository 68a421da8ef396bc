/*
 * notes.c - see eval.h.
 *
 * A note that is added again changes nothing but its position, so that an expression over many
 * series and steps has few notes. Two kinds are exceptions: decreases of a classic histogram's
 * buckets with one text are summed up in a struct forced, and overlapping start times of a metric
 * are counted.
 *
 * Invariants:
 *
 *  1. No two notes have the same kind and text; `table` has each of them once.
 *  2. Only infos have a struct forced, whose first time is not after its last one.
 *  3. A part of an evaluation, whose notes are merged, adds no decreases: it evaluates selectors
 *     and functions of ranges alone.
 */
#include "promql/eval/eval.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/text/quote.h"
#include "wire/number.h"

enum { NOTE_BYTES_MAX = 64 * 1024 };

/* The decreases of one text. */
struct forced {
    int64_t first_ms, last_ms; /* times of the first and the last sample */
    struct decrease decrease;  /* extremes of all */
    uint64_t samples;          /* count of decreases, at least 1 */
};

void
notes_init(struct eval_notes *notes, struct budget *budget, struct bytes query)
{
    *notes = (struct eval_notes){.budget = budget, .query = query};
    arena_init(&notes->arena, budget, 0, 0);
}

void
notes_fini(struct eval_notes *notes)
{
    array_free(notes->budget, notes->items, notes->capacity);
    table_fini(&notes->table, notes->budget);
    arena_fini(&notes->arena);
}

/* True if `a` is evaluated before `b`: if it lies within `b`, or to the left of it. */
static bool
is_before(struct text_span a, struct text_span b)
{
    if (b.begin <= a.begin && a.end <= b.end) return true;
    if (a.begin <= b.begin && b.end <= a.end) return false;
    return a.begin < b.begin;
}

static struct eval_note *
notes_put(struct eval_notes *notes, enum promql_note kind, struct text_span at, struct buf *text)
{
    struct eval_note *note = NULL;
    notes->added++;
    if (buf_error(text)) {
        notes->failed = buf_error(text);
        return NULL;
    }
    uint64_t hash = hash_bytes(buf_bytes(text), kind);
    for (uint32_t place = TABLE_START, id; table_next(&notes->table, hash, &place, &id);) {
        note = &notes->items[id];
        if (note->kind != kind || !bytes_equal(note->text, buf_bytes(text))) continue;
        bool first = note->forced != NULL || note->occurrences > 0;
        if (first ? is_before(at, note->at) : is_before(note->at, at)) note->at = at;
        return note;
    }
    struct bytes copy = arena_copy(&notes->arena, buf_bytes(text));
    if (copy.at == NULL || !table_reserve(&notes->table, notes->budget, 1) ||
        !array_reserve(notes->budget, &notes->items, &notes->capacity, notes->count + 1)) {
        notes->failed = ERR_NOMEM;
        return NULL;
    }
    table_add(&notes->table, hash, notes->count);
    note = &notes->items[notes->count++];
    *note = (struct eval_note){.kind = kind, .text = copy, .at = at};
    assert(notes->table.count == notes->count); /* invariant 1 */
    return note;
}

void
notes_add(struct eval_notes *notes, enum promql_note kind, struct text_span at, const char *format,
          ...)
{
    struct buf text;
    char words[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    buf_init(&text, notes->budget, NOTE_BYTES_MAX);
    buf_put_text(&text, words);
    notes_put(notes, kind, at, &text);
    buf_fini(&text);
}

void
notes_merge(struct eval_notes *notes, const struct eval_notes *of)
{
    if (of->failed) notes->failed = of->failed;
    for (uint32_t i = 0; i < of->count; i++) {
        const struct eval_note *note = &of->items[i];
        struct buf text = {.at = (uint8_t *)(uintptr_t)note->text.at, .size = note->text.size};
        assert(note->forced == NULL); /* invariant 3 */
        struct eval_note *sum = notes_put(notes, note->kind, note->at, &text);
        if (sum != NULL) sum->occurrences += note->occurrences;
    }
}

/* Puts a note: words, a text in quotes (unless `at` is NULL), and other words with a text (unless
 * they are NULL). NULL: the note is lost. */
static struct eval_note *
put_quoted(struct eval_notes *notes, enum promql_note kind, struct text_span at, const char *before,
           struct bytes quoted, const char *between, struct bytes last)
{
    struct buf text;
    buf_init(&text, notes->budget, NOTE_BYTES_MAX);
    buf_put_text(&text, before);
    if (quoted.at != NULL) quote_text(&text, quoted);
    if (between != NULL) {
        buf_put_text(&text, between);
        quote_text(&text, last);
    }
    struct eval_note *note = notes_put(notes, kind, at, &text);
    buf_fini(&text);
    return note;
}

void
notes_add_quoted(struct eval_notes *notes, enum promql_note kind, struct text_span at,
                 const char *words, struct bytes quoted)
{
    put_quoted(notes, kind, at, "", bytes_of(NULL, 0), words, quoted);
}

static void
notes_put_number(struct buf *to, double number)
{
    char digits[NUMBER_TEXT_BYTES];
    buf_put(to, digits, number_print_sentence(double_bits(number), digits));
}

void
notes_add_number(struct eval_notes *notes, enum promql_note kind, struct text_span at,
                 const char *words, double number)
{
    char digits[NUMBER_TEXT_BYTES];
    int size = (int)number_print_sentence(double_bits(number), digits);
    notes_add(notes, kind, at, "%s%.*s", words, size, digits);
}

void
notes_add_type(struct eval_notes *notes, struct text_span at, struct bytes type,
               struct bytes metric)
{
    struct bytes shown = type.size == 0 ? bytes_of("", 0) : type;
    put_quoted(notes, PROMQL_INFO, at,
               "metric might not be a counter, __type__ label is not set to \"counter\" or "
               "\"histogram\", got ",
               shown, ": ", metric);
}

struct eval_note *
notes_add_metric(struct eval_notes *notes, enum promql_note kind, struct text_span at,
                 const char *words, struct bytes metric)
{
    return put_quoted(notes, kind, at, words, bytes_of(NULL, 0),
                      metric.size == 0 ? NULL : " for metric name ", metric);
}

void
notes_add_overlap(struct eval_notes *notes, struct text_span at, struct bytes metric)
{
    struct eval_note *note =
        put_quoted(notes, PROMQL_WARNING, at,
                   "sample has start time that overlaps with previous sample timestamp for metric ",
                   bytes_of(NULL, 0), "", metric);
    if (note != NULL) note->occurrences++;
}

void
notes_add_decrease(struct eval_notes *notes, struct text_span at, struct bytes metric, int64_t t_ms,
                   const struct decrease *d)
{
    struct eval_note *note =
        notes_add_metric(notes, PROMQL_INFO, at,
                         "input to histogram_quantile needed to be fixed for monotonicity (see "
                         "https://prometheus.io/docs/prometheus/latest/querying/functions/"
                         "#histogram_quantile)",
                         metric);
    if (note == NULL) return;
    assert(note->kind == PROMQL_INFO); /* invariant 2 */
    struct forced *f = note->forced;
    if (f == NULL) {
        note->forced = f = arena_alloc(&notes->arena, sizeof *f);
        if (f == NULL) {
            notes->failed = ERR_NOMEM;
            return;
        }
        *f = (struct forced){t_ms, t_ms, *d, 1};
        return;
    }
    if (t_ms < f->first_ms) f->first_ms = t_ms;
    if (t_ms > f->last_ms) f->last_ms = t_ms;
    assert(f->first_ms <= f->last_ms); /* invariant 2 */
    if (d->least_bound < f->decrease.least_bound) f->decrease.least_bound = d->least_bound;
    if (d->greatest_bound > f->decrease.greatest_bound)
        f->decrease.greatest_bound = d->greatest_bound;
    if (d->most > f->decrease.most) f->decrease.most = d->most;
    f->samples++;
}

static void
notes_put_time(struct buf *to, int64_t t_ms)
{
    char text[64];
    time_t seconds = (time_t)(t_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_put_text(to, text);
}

void
note_print(const struct eval_notes *notes, const struct eval_note *note, struct buf *to)
{
    const struct forced *f = note->forced;
    buf_put_text(to, note->kind == PROMQL_WARNING ? "PromQL warning: " : "PromQL info: ");
    buf_put_bytes(to, note->text);
    if (f != NULL) {
        assert(f->samples > 0); /* invariant 2 */
        buf_put_text(to, ", from buckets ");
        notes_put_number(to, f->decrease.least_bound);
        buf_put_text(to, " to ");
        notes_put_number(to, f->decrease.greatest_bound);
        buf_printf(to, ", with a max diff of %.2g, over %llu samples from ", f->decrease.most,
                   (unsigned long long)f->samples);
        notes_put_time(to, f->first_ms);
        buf_put_text(to, " to ");
        notes_put_time(to, f->last_ms);
    }
    if (note->occurrences > 1)
        buf_printf(to, " (%llu occurrences)", (unsigned long long)note->occurrences);
    buf_put_text(to, " (");
    tree_put_position(notes->query, note->at.begin, to);
    buf_put_u8(to, ')');
}
