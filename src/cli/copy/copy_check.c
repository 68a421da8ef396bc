/*
 * copy_check.c - see copy.h.
 *
 * The other place is read first, into a table of counts and checksums by a 128-bit hash of the
 * labels; then the first, and each of its series is compared with the table. All samples of a
 * series that is not in it are missing. Series that differ are read again, one by one, from both
 * places: the other may have more samples, which is not a fault. So memory is 56 bytes for each
 * series of a slice, however many samples they have.
 */
#include "cli/copy/copy.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "base/text/json.h"
#include "model/histogram.h"
#include "model/labels.h"
#include "relay/feed/selection.h"

enum {
    SEED_OF_NAMES = 1,
    SEED_OF_OTHER_HALF = 2,
    DIFFERING_BYTES_MAX = 64 << 20,
    LINE_BYTES_MAX = 64 << 20,
};

/* Samples of a series in the slice, in one place. */
struct copy_held {
    uint64_t samples;
    uint64_t sum;
};

struct copy_known {
    uint64_t hash, other_half;
    struct copy_held held;
    bool in_first; /* the first place has the series, too */
};

struct check {
    const struct check_options *o;
    int64_t min_ms, max_ms;
    struct check_counts counts;
    struct copy_known *known;
    uint32_t known_count, known_capacity;
    struct table table;
    struct arena labels; /* series that differ: their labels in both places */
    struct bytes differing[2 * CHECK_DIFFERING_MAX];
    uint32_t differing_count;
    struct arena scratch; /* labels as a destination changes them */
    struct buf line;
};

static enum err
check_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory to compare; use a shorter --slice");
}

/* --- samples of a series ---------------------------------------------------------------------- */

static uint64_t
hash_sample(const struct sample_batch *b, uint32_t i)
{
    uint64_t value = b->kind == SAMPLE_FLOAT ? hash_mix(1, b->value_bits[i])
                                             : hash_mix(2, histogram_hash(&b->histograms[i]));
    return hash_mix(hash_mix(SEED_OF_NAMES, (uint64_t)b->times_ms[i]), value);
}

static enum err
hold_series(struct series_set *set, struct copy_held *ret_held, struct why *why)
{
    struct sample_batch batch = {.count = 1};
    *ret_held = (struct copy_held){0};
    while (batch.count > 0) {
        enum err e = series_set_batch(set, &batch, why);
        if (e) return e;
        ret_held->samples += batch.count;
        for (uint32_t i = 0; i < batch.count; i++)
            ret_held->sum += hash_sample(&batch, i);
    }
    return OK;
}

static struct copy_known *
find_known(const struct check *c, struct bytes labels)
{
    uint64_t hash = hash_bytes(labels, SEED_OF_NAMES);
    uint64_t other_half = hash_bytes(labels, SEED_OF_OTHER_HALF);
    for (uint32_t at = TABLE_START, id; table_next(&c->table, hash, &at, &id);) {
        struct copy_known *k = &c->known[id];
        if (k->hash == hash && k->other_half == other_half) return k;
    }
    return NULL;
}

static enum err
note_known(struct check *c, struct bytes labels, struct copy_held held, struct why *why)
{
    struct budget *memory = c->o->memory;
    if (!array_reserve(memory, &c->known, &c->known_capacity, c->known_count + 1) ||
        !table_reserve(&c->table, memory, 1))
        return check_no_memory(why);
    struct copy_known k = {.hash = hash_bytes(labels, SEED_OF_NAMES),
                           .other_half = hash_bytes(labels, SEED_OF_OTHER_HALF),
                           .held = held};
    table_add(&c->table, k.hash, c->known_count);
    c->known[c->known_count++] = k;
    return OK;
}

static enum err
read_other(struct check *c, struct why *why)
{
    const struct check_options *o = c->o;
    struct series_set *set = NULL;
    struct bytes labels = bytes_of("", 0);
    enum err e = reading_select(o->to, o->to_sets, o->to_count, c->min_ms, c->max_ms, &set, why);
    while (e == OK) {
        struct copy_held held;
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        e = hold_series(set, &held, why);
        if (e == OK && held.samples > 0) e = note_known(c, labels, held, why);
    }
    series_set_free(set);
    return e;
}

/* --- the report ------------------------------------------------------------------------------- */

struct copy_found {
    struct copy_held from, to;
    uint64_t missing, different;
};

static enum err
report(struct check *c, struct bytes labels, const struct copy_found *f, struct why *why)
{
    struct json json;
    if (c->o->report == NULL) return OK;
    buf_clear(&c->line);
    json_init(&json, &c->line);
    json_object_open(&json);
    json_key(&json, "metric");
    labels_put_json(&json, labels);
    json_member_int(&json, "from_ms", c->min_ms);
    json_member_int(&json, "to_ms", c->max_ms);
    json_member_array(&json, "samples");
    json_put_uint(&json, f->from.samples);
    json_put_uint(&json, f->to.samples);
    json_array_close(&json);
    char sums[2][24];
    snprintf(sums[0], sizeof sums[0], "%016" PRIx64, f->from.sum);
    snprintf(sums[1], sizeof sums[1], "%016" PRIx64, f->to.sum);
    json_member_array(&json, "checksums");
    json_put_text(&json, sums[0]);
    json_put_text(&json, sums[1]);
    json_array_close(&json);
    json_member_uint(&json, "missing", f->missing);
    json_member_uint(&json, "different", f->different);
    json_object_close(&json);
    buf_put_u8(&c->line, '\n');
    if (buf_error(&c->line)) return check_no_memory(why);
    return output_write(c->o->report, buf_bytes(&c->line), why);
}

/* --- series of the source --------------------------------------------------------------------- */

/* Counts and reports a series that lacks samples in the other place. */
static enum err
report_differing(struct check *c, struct bytes given, const struct copy_found *f, struct why *why)
{
    c->counts.series_differing++;
    c->counts.missing += f->missing;
    c->counts.different += f->different;
    c->o->differs(c->o->context, given, c->min_ms, f->missing, f->different);
    return report(c, given, f, why);
}

/* Compares a series of the first place, which the other should have under the labels `given`. */
static enum err
compare_with_known(struct check *c, struct bytes labels, struct bytes given, struct copy_held held,
                   struct why *why)
{
    struct copy_known *k = find_known(c, given);
    struct copy_found f = {.from = held};
    c->counts.series++;
    c->counts.samples += held.samples;
    if (k == NULL) {
        f.missing = held.samples;
        return report_differing(c, given, &f, why);
    }
    k->in_first = true;
    f.to = k->held;
    if (f.to.samples == held.samples && f.to.sum == held.sum) return report(c, given, &f, why);
    c->counts.series_differing++;
    c->counts.not_looked_at++; /* both are undone when it is looked at */
    if (c->differing_count == CHECK_DIFFERING_MAX) return OK;
    struct bytes *to = &c->differing[2 * c->differing_count]; /* for recheck_series() */
    to[0] = arena_copy(&c->labels, labels);
    to[1] = arena_copy(&c->labels, given);
    c->differing_count += to[0].at != NULL && to[1].at != NULL;
    return OK;
}

static enum err
read_first(struct check *c, struct why *why)
{
    const struct check_options *o = c->o;
    struct series_set *set = NULL;
    struct bytes labels = bytes_of("", 0);
    enum err e =
        reading_select(o->from, o->from_sets, o->from_count, c->min_ms, c->max_ms, &set, why);
    while (e == OK) {
        struct copy_held held;
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        struct bytes given = labels;
        arena_reset(&c->scratch);
        if (o->selection != NULL) {
            e = selection_apply(o->selection, o->tenant, labels, &c->scratch, &given);
            if (e) e = check_no_memory(why);
            if (e) break;
        }
        if (given.size == 0 && labels.size > 0) continue;
        e = hold_series(set, &held, why);
        if (e == OK && held.samples > 0) e = compare_with_known(c, labels, given, held, why);
    }
    const char *sentence;
    for (uint32_t i = 0; e == OK && (sentence = series_set_warning(set, i)) != NULL; i++) {
        o->left_out(o->context, sentence);
        c->counts.left_out++;
    }
    series_set_free(set);
    return e;
}

/* --- sample by sample ------------------------------------------------------------------------- */

/* A query for one series of a place. */
struct single {
    struct selector selector;
    struct series_set *set;
    struct sample_batch batch;
    uint32_t at;
    bool found;
    struct copy_held held;
};

static void
single_fini(struct single *s)
{
    series_set_free(s->set);
    selector_fini(&s->selector);
}

static enum err
single_more(struct single *s, struct why *why)
{
    if (!s->found || s->at < s->batch.count) return OK;
    s->at = 0;
    enum err e = series_set_batch(s->set, &s->batch, why);
    if (e) return e;
    s->found = s->batch.count > 0;
    return OK;
}

/* Reads the series with these labels. Its selector also matches series with further labels, which
 * are skipped. */
static enum err
single_open(const struct check *c, struct reading *place, struct bytes labels, struct single *s,
            struct why *why)
{
    struct cursor cursor = cursor_of(labels);
    struct label label;
    enum err e = OK;
    *s = (struct single){.found = false};
    while (e == OK && s->selector.count < SELECTOR_MATCHERS_MAX && labels_next(&cursor, &label)) {
        e = matcher_new(MATCH_EQUAL, label.name, label.value, c->o->memory,
                        &s->selector.matchers[s->selector.count], why);
        s->selector.count += e == OK;
    }
    struct matcher_set set = {s->selector.matchers, s->selector.count};
    if (e == OK) e = reading_select(place, &set, 1, c->min_ms, c->max_ms, &s->set, why);
    while (e == OK && !s->found) {
        struct bytes found;
        e = series_set_next(s->set, &found, why);
        if (e || found.at == NULL) break;
        s->found = bytes_equal(found, labels);
    }
    return e ? e : single_more(s, why);
}

static int64_t
single_time(const struct single *s)
{
    return s->batch.times_ms[s->at];
}

static void
single_take(struct single *s)
{
    s->held.samples++;
    s->held.sum += hash_sample(&s->batch, s->at++);
}

static bool
same_sample(const struct single *a, const struct single *b)
{
    if (a->batch.kind == SAMPLE_FLOAT && b->batch.kind == SAMPLE_FLOAT)
        return a->batch.value_bits[a->at] == b->batch.value_bits[b->at];
    if (a->batch.kind == SAMPLE_FLOAT || b->batch.kind == SAMPLE_FLOAT) return false;
    return histogram_equal(&a->batch.histograms[a->at], &b->batch.histograms[b->at]);
}

static enum err
compare_singles(struct single *from, struct single *to, struct copy_found *f, struct why *why)
{
    while (from->found) {
        bool here = to->found && single_time(to) == single_time(from);
        bool before = to->found && single_time(to) < single_time(from);
        if (!before) {
            f->missing += !here;
            f->different += here && !same_sample(from, to);
            single_take(from);
        }
        if (here || before) single_take(to);
        enum err e = single_more(from, why);
        if (e == OK) e = single_more(to, why);
        if (e) return e;
    }
    while (to->found) { /* reads the rest for its count and checksum */
        single_take(to);
        enum err e = single_more(to, why);
        if (e) return e;
    }
    f->from = from->held;
    f->to = to->held;
    return OK;
}

static enum err
recheck_series(struct check *c, struct bytes labels, struct bytes given, struct why *why)
{
    struct single from = {.found = false}, to = {.found = false};
    struct copy_found f = {.missing = 0};
    enum err e = single_open(c, c->o->from, labels, &from, why);
    if (e == OK) e = single_open(c, c->o->to, given, &to, why);
    if (e == OK) e = compare_singles(&from, &to, &f, why);
    single_fini(&from);
    single_fini(&to);
    if (e) return e;
    c->counts.series_differing--;
    c->counts.not_looked_at--;
    if (f.missing == 0 && f.different == 0) return report(c, given, &f, why);
    return report_differing(c, given, &f, why);
}

/* --- the slice -------------------------------------------------------------------------------- */

void
check_counts_add(struct check_counts *to, const struct check_counts *more)
{
    to->series += more->series;
    to->samples += more->samples;
    to->series_differing += more->series_differing;
    to->missing += more->missing;
    to->different += more->different;
    to->not_looked_at += more->not_looked_at;
    to->series_beside += more->series_beside;
    to->samples_beside += more->samples_beside;
    to->left_out += more->left_out;
}

enum err
check_slice(const struct check_options *options, int64_t min_ms, int64_t max_ms,
            struct check_counts *add_to, struct why *why)
{
    struct budget *memory = options->memory;
    struct check *c = mem_new(memory, sizeof *c);
    if (c == NULL) return check_no_memory(why);
    c->o = options;
    c->min_ms = min_ms;
    c->max_ms = max_ms;
    arena_init(&c->labels, memory, DIFFERING_BYTES_MAX, 0);
    arena_init(&c->scratch, memory, LINE_BYTES_MAX, 0);
    buf_init(&c->line, memory, LINE_BYTES_MAX);
    enum err e = read_other(c, why);
    if (e == OK) e = read_first(c, why);
    for (uint32_t i = 0; e == OK && i < c->differing_count; i++)
        e = recheck_series(c, c->differing[2 * i], c->differing[2 * i + 1], why);
    if (e == OK) {
        for (uint32_t i = 0; i < c->known_count; i++) {
            if (c->known[i].in_first) continue;
            c->counts.series_beside++;
            c->counts.samples_beside += c->known[i].held.samples;
        }
        check_counts_add(add_to, &c->counts);
    }
    arena_fini(&c->labels);
    arena_fini(&c->scratch);
    buf_fini(&c->line);
    table_fini(&c->table, memory);
    array_free(memory, c->known, c->known_capacity);
    mem_free(memory, c, sizeof *c);
    return e;
}
