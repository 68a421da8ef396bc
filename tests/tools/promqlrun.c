/*
 * promqlrun.c - runs scripts in Prometheus' language for tests of PromQL, each over a fresh store.
 *
 *     run [--flush] [--shards N] [--measured] [--features LIST] FILE...
 *
 * --flush: the samples that a script loads are written into parts before queries. --shards: series
 * are read in N shards, each by the first free thread. --measured: each evaluation is explained,
 * and then measured. Instant evaluations are also made as range queries around their time.
 * --features: the query.features that are on, separated by commas or spaces; by default
 * delayed-name-removal and use-start-timestamps, as where Prometheus runs its scripts. The last
 * line is "N passed, N failed"; each failure is printed with file and line. Staleness markers, gaps
 * and the series notation: see the scripts' own documentation in Prometheus (promql/promqltest).
 *
 * A line `# needs FEATURE` leaves out the next evaluation if the feature is off.
 *
 * A line `SERIES@st ITEMS` sets the start times of the series in the next line, one for each of its
 * values: `_` or `_xN` for none, or durations that are added to the sample's time, `-1m`, `-1mxN`,
 * `-30s-1mxN`.
 */
#include "lib/test.h"
#include <ctype.h>
#include <math.h>
#include <pthread.h>

#include "base/text/quote.h"
#include "lib/tsdb/tsdb_machine.h"
#include "model/labels.h"
#include "model/regex/replacer.h"
#include "promql/eval/run.h"
#include "wire/number.h"

#define NO_START INT64_MIN

enum { LINE_BYTES = 1 << 16, VALUES_MAX = 1 << 16, LOOKBACK_MS = 5 * 60 * 1000 };

/* One item of VALUES. */
struct value {
    bool is_there;
    double number;
    struct histogram *histogram; /* instead of the number */
    bool has_hint;
};

struct series {
    struct buf labels; /* canonical */
    struct value *values;
    uint32_t count;
    const int64_t
        *starts_ms; /* relative to the samples' times, or NO_START; NULL if there are none */
};

struct script {
    const char *file;
    unsigned line;
    FILE *in;
    char text[LINE_BYTES];
    bool has_text; /* it was read and written back */
    struct machine m;
    struct arena arena; /* memory of values, freed after each command */
    bool flush;
    uint32_t shards;
    bool measured;
    struct promql_features features;
    bool lacks_feature; /* the next evaluation needs a missing feature */
    unsigned passed;
    unsigned failed;
};

static struct script script; /* the current script */
static jmp_buf given_up;

/* Reports a line that cannot be read: the rest of the script counts as one failure. */
static _Noreturn void
give_up(const char *what)
{
    printf("%s:%u: %s: '%s'\n", script.file, script.line, what, script.text);
    script.failed++;
    longjmp(given_up, 1);
}

static char *
trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n > 0 && isspace((unsigned char)s[n - 1]))
        s[--n] = '\0';
    return s;
}

/* Returns the feature with a name, or NULL. */
static bool *
feature_of(struct promql_features *features, const char *name)
{
    if (strcmp(name, "delayed-name-removal") == 0) return &features->delayed_name_removal;
    if (strcmp(name, "use-start-timestamps") == 0) return &features->start_timestamps;
    if (strcmp(name, "type-and-unit-labels") == 0) return &features->type_and_unit_labels;
    return NULL;
}

static void
read_comment(struct script *s, const char *comment)
{
    static const char needs[] = "# needs ";
    if (strncmp(comment, needs, sizeof needs - 1) != 0) return;
    const bool *feature = feature_of(&s->features, comment + sizeof needs - 1);
    if (feature == NULL) give_up("no such feature");
    s->lacks_feature |= !*feature;
}

/* Returns the next line that is not a comment; NULL at the end. */
static char *
next_line(struct script *s)
{
    if (s->has_text) {
        s->has_text = false;
        return s->text;
    }
    while (fgets(s->text, sizeof s->text, s->in) != NULL) {
        s->line++;
        char *t = trim(s->text);
        if (*t == '#') {
            read_comment(s, t);
            continue;
        }
        if (t != s->text && *t != '\0') { /* indented: it keeps its blank */
            memmove(s->text + 1, t, strlen(t) + 1);
            s->text[0] = ' ';
        } else {
            memmove(s->text, t, strlen(t) + 1);
        }
        return s->text;
    }
    return NULL;
}

static void script_fail(struct script *s, const char *format, ...) PRINTF_LIKE(2, 3);

static void
script_fail(struct script *s, const char *format, ...)
{
    va_list args;
    printf("%s:%u: ", s->file, s->line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

/* --- durations, labels, values ---------------------------------------------------------------- */

static int64_t
duration_ms(const char *text)
{
    int64_t sum = 0;
    while (*text != '\0') {
        char *end;
        double n = strtod(text, &end);
        if (end == text) break;
        int64_t unit = 1000;
        text = end;
        if (strncmp(text, "ms", 2) == 0) {
            unit = 1;
            text += 2;
        } else if (*text != '\0') {
            static const char names[] = "smhdwy";
            static const int64_t units[] = {1000, 60000, 3600000, 86400000, 604800000, 31536000000};
            const char *found = strchr(names, *text);
            if (found != NULL) unit = units[found - names];
            text++;
        }
        sum += (int64_t)round(n * (double)unit);
    }
    return sum;
}

/* Reads name{a="b",...} at `*at` as canonical labels. */
static void
take_labels(const char **at, struct buf *to)
{
    struct label labels[64];
    uint32_t count = 0;
    static char values[LINE_BYTES];
    size_t used = 0;
    const char *p = *at;
    size_t name = strcspn(p, "{@ \t");
    if (name > 0) labels[count++] = (struct label){text("__name__"), bytes_of(p, name)};
    p += name;
    if (*p == '{') {
        p++;
        while (*p != '}' && *p != '\0') {
            while (*p == ' ' || *p == ',')
                p++;
            if (*p == '}') break;
            bool quoted = *p == '"';
            const char *begin = p + quoted;
            size_t size = quoted ? strcspn(begin, "\"") : strcspn(begin, "= ");
            p = begin + size + quoted;
            if (*p == ',' || *p == '}') {
                labels[count++] = (struct label){text("__name__"), bytes_of(begin, size)};
                continue;
            }
            p += strcspn(p, "\"'");
            char quote = *p;
            const char *value = p++;
            while (*p != quote)
                p += 1 + (*p == '\\');
            p++;
            struct buf plain;
            buf_init(&plain, NULL, LINE_BYTES);
            if (!quote_read(bytes_of(value, (size_t)(p - value)), &plain)) give_up("no string");
            memcpy(values + used, plain.at, plain.size);
            labels[count++] =
                (struct label){bytes_of(begin, size), bytes_of(values + used, plain.size)};
            used += plain.size;
            buf_fini(&plain);
        }
        p++;
    }
    static const struct labels_limits limits = {100, 10000, 100000};
    if (labels_build(labels, count, &limits, to) != REJECT_NONE && count > 0) give_up("no labels");
    *at = p;
}

static double
take_number(const char **at)
{
    const char *p = *at;
    char word[64];
    size_t n = 0;
    if (*p == '+' || *p == '-') word[n++] = *p++;
    if (isalpha((unsigned char)*p))
        while (isalpha((unsigned char)*p))
            word[n++] = *p++;
    else
        while (isdigit((unsigned char)*p) || *p == '.' ||
               ((*p == 'e' || *p == 'E') &&
                (isdigit((unsigned char)p[1]) || p[1] == '-' || p[1] == '+')) ||
               ((*p == '-' || *p == '+') && (p[-1] == 'e' || p[-1] == 'E')))
            word[n++] = *p++;
    word[n] = '\0';
    *at = p;
    if (strcmp(word, "stale") == 0) return bits_double(STALE_NAN_BITS);
    uint64_t bits;
    if (!number_parse(word, n, &bits)) give_up("no number");
    return bits_double(bits);
}

/* Reads xN. */
static unsigned long
take_times(const char **at)
{
    char *end;
    unsigned long n = strtoul(*at + 1, &end, 10);
    *at = end;
    return n;
}

/* --- histograms ------------------------------------------------------------------------------- */

/* The content of {{...}}. */
struct notation {
    double schema, sum, count, zero_count, zero_threshold, offset, negative_offset;
    double positive[512], negative[512], custom[512];
    uint32_t positive_count, negative_count, custom_count;
    bool has_hint;
    enum reset_hint hint;
};

static uint32_t
take_list(const char **at, double *values)
{
    uint32_t n = 0;
    const char *p = *at + 1;
    while (*p != ']') {
        while (*p == ' ')
            p++;
        if (*p != ']') values[n++] = take_number(&p);
    }
    *at = p + 1;
    return n;
}

static bool
take_word(const char **at, const char *word)
{
    size_t size = strlen(word);
    if (strncmp(*at, word, size) != 0) return false;
    *at += size;
    return true;
}

static struct notation
take_notation(const char **at)
{
    struct notation n = {.schema = 0};
    const char *p = *at + 2;
    while (*p != '}') {
        if (*p == ' ')
            p++;
        else if (take_word(&p, "schema:"))
            n.schema = take_number(&p);
        else if (take_word(&p, "sum:"))
            n.sum = take_number(&p);
        else if (take_word(&p, "count:"))
            n.count = take_number(&p);
        else if (take_word(&p, "z_bucket_w:"))
            n.zero_threshold = take_number(&p);
        else if (take_word(&p, "z_bucket:"))
            n.zero_count = take_number(&p);
        else if (take_word(&p, "n_offset:"))
            n.negative_offset = take_number(&p);
        else if (take_word(&p, "offset:"))
            n.offset = take_number(&p);
        else if (take_word(&p, "n_buckets:"))
            n.negative_count = take_list(&p, n.negative);
        else if (take_word(&p, "buckets:"))
            n.positive_count = take_list(&p, n.positive);
        else if (take_word(&p, "custom_values:"))
            n.custom_count = take_list(&p, n.custom);
        else if (take_word(&p, "counter_reset_hint:")) {
            n.has_hint = true;
            n.hint = take_word(&p, "unknown")     ? RESET_UNKNOWN
                     : take_word(&p, "reset")     ? RESET_YES
                     : take_word(&p, "not_reset") ? RESET_NO
                     : take_word(&p, "gauge")
                         ? RESET_GAUGE
                         : (give_up("no hint of a counter reset"), RESET_UNKNOWN);
        } else {
            give_up("no histogram");
        }
    }
    *at = p + 2;
    return n;
}

static uint64_t *
bits_of(struct script *s, const double *values, uint32_t count)
{
    uint64_t *bits = arena_alloc(&s->arena, (count + 1) * sizeof *bits);
    for (uint32_t i = 0; i < count; i++)
        bits[i] = double_bits(values[i]);
    return bits;
}

static struct hist_buckets
buckets_of(struct script *s, double offset, const double *counts, uint32_t count)
{
    struct hist_buckets b = {.span_count = count > 0, .bucket_count = count};
    struct hist_span *span = arena_alloc(&s->arena, sizeof *span);
    *span = (struct hist_span){(int32_t)offset, count};
    b.spans = span;
    b.counts = bits_of(s, counts, count);
    return b;
}

static struct histogram *
histogram_of(struct script *s, const struct notation *n)
{
    struct histogram *h = arena_new(&s->arena, sizeof *h);
    h->kind = SAMPLE_HISTOGRAM_FLOAT;
    h->reset_hint = n->hint;
    h->schema = (int32_t)n->schema;
    h->zero_threshold_bits = double_bits(n->zero_threshold);
    h->zero_count = double_bits(n->zero_count);
    h->count = double_bits(n->count);
    h->sum_bits = double_bits(n->sum);
    h->positive = buckets_of(s, n->offset, n->positive, n->positive_count);
    h->negative = buckets_of(s, n->negative_offset, n->negative, n->negative_count);
    h->custom_bits = bits_of(s, n->custom, n->custom_count);
    h->custom_count = n->custom_count;
    return h;
}

/* Returns the buckets of a sum, with those between them. */
static struct hist_buckets
filled_buckets(struct script *s, const struct fhist_side *side)
{
    static double counts[1 << 16];
    if (side->count == 0) return (struct hist_buckets){.span_count = 0};
    int32_t first = side->indexes[0];
    uint32_t count = (uint32_t)(side->indexes[side->count - 1] - first) + 1;
    memset(counts, 0, count * sizeof *counts);
    for (uint32_t i = 0; i < side->count; i++)
        counts[side->indexes[i] - first] = side->counts[i];
    return buckets_of(s, first, counts, count);
}

/* Returns the histogram with the given hint. */
static struct fhist *
as_written(struct script *s, const struct histogram *written)
{
    struct fhist *h = fhist_of(arena_alloc(&s->arena, fhist_bytes_of(written)), written);
    h->hint = written->reset_hint;
    return h;
}

static struct histogram *
sum_of(struct script *s, const struct histogram *a, const struct histogram *b, double factor)
{
    struct fhist sum;
    struct fhist_outcome outcome;
    const struct fhist *x = as_written(s, a);
    const struct fhist *y = as_written(s, b);
    if (fhist_begin(&s->arena, x, false, &sum) || fhist_add(&s->arena, &sum, y, factor, &outcome))
        give_up("not enough memory");
    struct histogram *h = arena_new(&s->arena, sizeof *h);
    *h = (struct histogram){
        .kind = SAMPLE_HISTOGRAM_FLOAT,
        .reset_hint = sum.hint,
        .schema = sum.schema,
        .zero_threshold_bits = double_bits(sum.zero_threshold),
        .zero_count = double_bits(sum.zero_count),
        .count = double_bits(sum.count),
        .sum_bits = double_bits(sum.sum),
        .positive = filled_buckets(s, &sum.positive),
        .negative = filled_buckets(s, &sum.negative),
        .custom_bits = bits_of(s, sum.bounds, sum.bound_count),
        .custom_count = sum.bound_count,
    };
    return h;
}

/* --- VALUES ----------------------------------------------------------------------------------- */

static void
put_value(struct value *values, uint32_t *count, struct value v)
{
    if (*count == VALUES_MAX) give_up("too many values");
    values[(*count)++] = v;
}

static void
take_histograms(struct script *s, const char **at, struct value *values, uint32_t *count)
{
    struct notation n = take_notation(at), step;
    struct histogram *h = histogram_of(s, &n), *more = NULL;
    unsigned long times = 0;
    double factor = **at == '-' ? -1 : 1;
    if (**at == '+' || **at == '-') {
        (*at)++;
        step = take_notation(at);
        more = histogram_of(s, &step);
    }
    if (**at == 'x') times = take_times(at);
    for (unsigned long i = 0; i <= times; i++) {
        put_value(values, count, (struct value){true, 0, h, n.has_hint});
        if (more != NULL) h = sum_of(s, h, more, factor);
    }
}

static void
take_numbers(const char **at, struct value *values, uint32_t *count)
{
    double first = take_number(at), step = 0;
    unsigned long times = 0;
    if (**at == '+' || **at == '-') step = take_number(at);
    if (**at == 'x') times = take_times(at);
    for (unsigned long i = 0; i <= times; i++) {
        put_value(values, count, (struct value){true, first, NULL, false});
        first += step;
    }
}

static struct value *
take_values(struct script *s, const char *p, uint32_t *ret_count)
{
    static struct value values[VALUES_MAX];
    uint32_t n = 0;
    for (;;) {
        while (isspace((unsigned char)*p))
            p++;
        if (*p == '\0') break;
        if (*p == '{') {
            take_histograms(s, &p, values, &n);
        } else if (*p == '_') {
            unsigned long times = 1;
            p++;
            if (*p == 'x') times = take_times(&p);
            for (unsigned long i = 0; i < times; i++)
                put_value(values, &n, (struct value){.is_there = false});
        } else {
            take_numbers(&p, values, &n);
        }
    }
    *ret_count = n;
    struct value *copy = arena_alloc(&s->arena, (n + 1) * sizeof *copy);
    memcpy(copy, values, n * sizeof *copy);
    return copy;
}

/* --- start times ------------------------------------------------------------------------------ */

/* Reads a duration with or without a sign. */
static int64_t
take_offset(const char **at)
{
    char word[64];
    bool negative = **at == '-';
    if (**at == '-' || **at == '+') (*at)++;
    size_t size = strcspn(*at, "+-x \t");
    if (size == 0 || size >= sizeof word) give_up("no duration");
    memcpy(word, *at, size);
    word[size] = '\0';
    *at += size;
    return negative ? -duration_ms(word) : duration_ms(word);
}

static int64_t *
take_starts(struct script *s, const char *p, uint32_t *ret_count)
{
    static int64_t starts_ms[VALUES_MAX];
    uint32_t n = 0;
    while (*(p += strspn(p, " \t")) != '\0') {
        bool is_none = *p == '_';
        int64_t first = 0, step = 0;
        if (is_none)
            p++;
        else
            first = take_offset(&p);
        if (!is_none && (*p == '+' || *p == '-')) step = take_offset(&p);
        unsigned long count = *p == 'x' ? take_times(&p) + !is_none : 1;
        for (; count > 0; count--, first += step) {
            if (n == VALUES_MAX) give_up("too many start times");
            starts_ms[n++] = is_none ? NO_START : first;
        }
    }
    *ret_count = n;
    int64_t *copy = arena_alloc(&s->arena, (n + 1) * sizeof *copy);
    memcpy(copy, starts_ms, n * sizeof *copy);
    return copy;
}

/* --- loading ---------------------------------------------------------------------------------- */

enum { SERIES_MAX = 1 << 16 };

struct load {
    struct series *items;
    uint32_t count;
    bool has_starts;
};

/* Returns the series; of two with the same labels the last one counts, as in Prometheus. */
static struct series *
add_series(struct load *l, struct buf labels)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (!bytes_equal(buf_bytes(&l->items[i].labels), buf_bytes(&labels))) continue;
        buf_fini(&l->items[i].labels);
        l->items[i].labels = labels;
        return &l->items[i];
    }
    if (l->count == SERIES_MAX) give_up("too many series");
    l->items[l->count] = (struct series){.labels = labels};
    return &l->items[l->count++];
}

static void
read_load(struct script *s, struct load *l)
{
    const int64_t *starts_ms = NULL; /* from the previous line */
    uint32_t start_count = 0;
    struct buf starts_of = {0};
    for (char *line; (line = next_line(s)) != NULL;) {
        if (*line == '\0') continue;
        if (*line != ' ') {
            s->has_text = true;
            break;
        }
        const char *p = line + 1;
        struct buf labels;
        buf_init(&labels, NULL, LINE_BYTES);
        take_labels(&p, &labels);
        if (strncmp(p, "@st", 3) == 0) {
            if (starts_ms != NULL) give_up("start times without a series");
            starts_ms = take_starts(s, p + 3, &start_count);
            starts_of = labels;
            continue;
        }
        struct series *x = add_series(l, labels);
        x->values = take_values(s, p, &x->count);
        x->starts_ms = starts_ms;
        if (starts_ms == NULL) continue;
        if (!bytes_equal(buf_bytes(&starts_of), buf_bytes(&labels)) || start_count != x->count)
            give_up("start times of another series, or of more or fewer values");
        buf_fini(&starts_of);
        starts_ms = NULL;
        l->has_starts = true;
    }
    if (starts_ms != NULL) give_up("start times without a series");
}

/* --- classic histograms as native ones -------------------------------------------------------- */

enum { BUCKETS_MAX = 256 };

struct bound_series {
    double bound;
    const struct series *series;
};

/* Turns the labels of a classic histogram's series into those of the native one; false if it is not
 * one. */
static bool
native_labels(struct bytes labels, const char *suffix, struct buf *to)
{
    struct label kept[64];
    uint32_t count = 0;
    static char name[4096];
    struct cursor c = cursor_of(labels);
    bool fits = false;
    for (struct label label; labels_next(&c, &label);) {
        if (bytes_equal_text(label.name, "le")) continue;
        if (bytes_equal_text(label.name, "__name__")) {
            size_t size = strlen(suffix);
            fits = label.value.size > size &&
                   memcmp(label.value.at + label.value.size - size, suffix, size) == 0;
            if (!fits) return false;
            memcpy(name, label.value.at, label.value.size - size);
            label.value = bytes_of(name, label.value.size - size);
        }
        kept[count++] = label;
    }
    static const struct labels_limits limits = {100, 10000, 100000};
    return fits && labels_build(kept, count, &limits, to) == REJECT_NONE;
}

static const struct series *
find_native(const struct load *l, uint32_t classic, const char *suffix, struct bytes wanted)
{
    for (uint32_t i = 0; i < classic; i++) {
        struct buf labels;
        buf_init(&labels, NULL, LINE_BYTES);
        bool found = native_labels(buf_bytes(&l->items[i].labels), suffix, &labels) &&
                     bytes_equal(buf_bytes(&labels), wanted);
        buf_fini(&labels);
        if (found) return &l->items[i];
    }
    return NULL;
}

static const struct value *
value_at(const struct series *s, uint32_t i)
{
    if (s == NULL || i >= s->count || !s->values[i].is_there) return NULL;
    return &s->values[i];
}

static struct histogram *
native_at(struct script *s, const struct bound_series *bounds, uint32_t count,
          const struct series *sums, const struct series *counts, uint32_t i)
{
    struct notation n = {.schema = HISTOGRAM_SCHEMA_CUSTOM};
    double before = 0, last = 0;
    bool any = false;
    for (uint32_t k = 0; k < count; k++) {
        const struct value *v = value_at(bounds[k].series, i);
        if (v == NULL || v->histogram != NULL) continue;
        if (k > 0 && bounds[k].bound == bounds[k - 1].bound) continue; /* written otherwise */
        any = true;
        n.positive[n.positive_count++] = v->number - before;
        before = last = v->number;
        if (bounds[k].bound != INFINITY) n.custom[n.custom_count++] = bounds[k].bound;
    }
    if (!any) return NULL;
    const struct value *all = value_at(counts, i), *sum = value_at(sums, i);
    n.count = all != NULL ? all->number : last;
    if (n.positive_count == n.custom_count) n.positive[n.positive_count++] = n.count - before;
    n.sum = sum != NULL ? sum->number : 0;
    return histogram_of(s, &n);
}

static int
compare_bounds(const void *a, const void *b)
{
    const struct bound_series *x = a, *y = b;
    return x->bound < y->bound ? -1 : x->bound > y->bound;
}

/* Adds each classic histogram again as a native one. */
static void
add_natives(struct script *s, struct load *l)
{
    uint32_t classic = l->count;
    for (uint32_t i = 0; i < classic; i++) {
        struct buf labels, others;
        struct bound_series bounds[BUCKETS_MAX];
        uint32_t count = 0, longest = 0;
        bool first = true;
        buf_init(&labels, NULL, LINE_BYTES);
        if (!native_labels(buf_bytes(&l->items[i].labels), "_bucket", &labels)) {
            buf_fini(&labels);
            continue;
        }
        for (uint32_t k = 0; k < classic; k++) {
            uint64_t bits;
            struct bytes own = buf_bytes(&l->items[k].labels), le = labels_get(own, text("le"));
            buf_init(&others, NULL, LINE_BYTES);
            bool same = native_labels(own, "_bucket", &others) &&
                        bytes_equal(buf_bytes(&others), buf_bytes(&labels));
            buf_fini(&others);
            if (!same || !number_parse((const char *)le.at, le.size, &bits)) continue;
            first &= k >= i;
            bounds[count++] = (struct bound_series){bits_double(bits), &l->items[k]};
            if (l->items[k].count > longest) longest = l->items[k].count;
        }
        if (!first || count == 0) {
            buf_fini(&labels);
            continue;
        }
        qsort(bounds, count, sizeof *bounds, compare_bounds);
        const struct series *sums = find_native(l, classic, "_sum", buf_bytes(&labels));
        const struct series *counts = find_native(l, classic, "_count", buf_bytes(&labels));
        struct series native = {
            .labels = labels,
            .values = arena_new(&s->arena, (longest + 1) * sizeof(struct value)),
            .count = longest,
        };
        for (uint32_t k = 0; k < longest; k++) {
            native.values[k].histogram = native_at(s, bounds, count, sums, counts, k);
            native.values[k].is_there = native.values[k].histogram != NULL;
        }
        l->items[l->count++] = native;
    }
}

/* Adds canonical labels, as a message of remote write 1.0 has them. */
static void
rq_series_labels(struct rq *rq, struct bytes labels)
{
    rq_close(rq);
    rq->in_series = true;
    buf_clear(&rq->item);
    if (rq->version == RW_V1) {
        buf_put_bytes(&rq->item, labels);
        return;
    }
    struct cursor c = cursor_of(labels);
    buf_clear(&rq->packed);
    for (struct label label; labels_next(&c, &label);)
        rq_label_pair(rq, label.name, label.value, &rq->item);
    rq_field(&rq->item, 1, buf_bytes(&rq->packed));
}

static int64_t
start_at(const struct series *x, uint32_t i, int64_t t_ms)
{
    return x->starts_ms == NULL || x->starts_ms[i] == NO_START ? 0 : t_ms + x->starts_ms[i];
}

static void
load(struct script *s, int64_t step_ms, bool natives)
{
    struct load l = {.items = calloc(SERIES_MAX, sizeof *l.items)};
    struct rq rq;
    read_load(s, &l);
    if (natives) add_natives(s, &l);
    rq_init(&rq, l.has_starts ? RW_V2 : RW_V1); /* 1.0 has no start times */
    for (uint32_t k = 0; k < l.count; k++) {
        rq_series_labels(&rq, buf_bytes(&l.items[k].labels));
        for (uint32_t i = 0; i < l.items[k].count; i++) {
            const struct value *v = &l.items[k].values[i];
            int64_t start_ms = start_at(&l.items[k], i, i * step_ms);
            if (!v->is_there) continue;
            if (v->histogram != NULL)
                rq_histogram(&rq, i * step_ms, v->histogram, start_ms);
            else
                rq_float(&rq, i * step_ms, double_bits(v->number), start_ms);
        }
        buf_fini(&l.items[k].labels);
    }
    if (l.count > 0) must(machine_send(&s->m, "a", &rq));
    free(l.items);
    rq_fini(&rq);
    machine_commit(&s->m);
    if (s->flush) machine_flush(&s->m);
}

/* --- threads that help with shards ------------------------------------------------------------ */

struct helper {
    pthread_t threads[SHARDS_MAX];
    uint32_t count;
    _Atomic uint32_t turns; /* relaxed */
};

static void *
help(void *task)
{
    struct promql_help *h = task;
    h->work(h);
    return NULL;
}

/* Adds as many helpers as there is room for; the query does without the others. */
static void
ask_helper(void *context, struct promql_help *task)
{
    struct helper *h = context;
    if (h->count == SHARDS_MAX) return;
    assert_int_equal(pthread_create(&h->threads[h->count], NULL, help, task), 0);
    h->count++;
}

/* Dismisses the helpers of all queries: their tasks end soon. */
static void
dismiss_helper(void *context, struct promql_help *task)
{
    struct helper *h = context;
    (void)task;
    while (h->count > 0)
        assert_int_equal(pthread_join(h->threads[--h->count], NULL), 0);
}

/* Says now and then that a thread must leave, so that another one is asked for. */
static bool
others_wait(void *context)
{
    struct helper *h = context;
    return atomic_fetch_add_explicit(&h->turns, 1, memory_order_relaxed) % 3 == 2;
}

/* --- evaluating ------------------------------------------------------------------------------- */

/* A line such as "expect warn msg: TEXT". */
struct demand {
    char what[16]; /* fail, warn, info, no_warn, no_info */
    char text[4096];
    bool is_regex;
};

struct eval {
    bool instant;
    int64_t first_ms, last_ms, step_ms;
    char query[LINE_BYTES];
    bool fails, ordered, has_scalar, has_string, is_matrix;
    int64_t matrix_first_ms, matrix_step_ms;
    double scalar;
    struct buf string;
    struct demand demands[16];
    uint32_t demand_count;
    struct series items[512];
    uint32_t count;
};

static bool
nearly(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (a == b) return true;
    return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

static bool
sides_agree(const struct fhist_side *a, const struct fhist_side *b)
{
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->indexes[i] != b->indexes[i] || !nearly(a->counts[i], b->counts[i])) return false;
    return true;
}

static struct fhist *
compacted(struct script *s, const struct fhist *h)
{
    struct fhist *copy = fhist_keep(&s->arena, h);
    fhist_compact(copy);
    return copy;
}

static bool
histograms_agree(struct script *s, const struct value *wanted, const struct fhist *is)
{
    const struct histogram *stored = wanted->histogram;
    const struct fhist *a = compacted(s, as_written(s, stored));
    const struct fhist *b = compacted(s, is);
    if (wanted->has_hint && a->hint != b->hint) return false;
    if (a->bound_count != b->bound_count) return false;
    for (uint32_t i = 0; i < a->bound_count; i++)
        if (!nearly(a->bounds[i], b->bounds[i])) return false;
    return a->schema == b->schema && nearly(a->count, b->count) && nearly(a->sum, b->sum) &&
           nearly(a->zero_threshold, b->zero_threshold) && nearly(a->zero_count, b->zero_count) &&
           sides_agree(&a->positive, &b->positive) && sides_agree(&a->negative, &b->negative);
}

static bool
agrees(struct script *s, const struct value *wanted, bool is_there, double number,
       const struct fhist *h)
{
    if (wanted == NULL || !wanted->is_there) return !is_there;
    if (!is_there || (wanted->histogram != NULL) != (h != NULL)) return false;
    return h != NULL ? histograms_agree(s, wanted, h) : nearly(wanted->number, number);
}

static void
print_labels(struct bytes labels)
{
    struct buf out;
    buf_init(&out, NULL, LINE_BYTES);
    labels_print(&out, labels);
    printf("%.*s", (int)out.size, (const char *)out.at);
    buf_fini(&out);
}

static void
print_value(bool is_there, double number, const struct fhist *h)
{
    struct buf out;
    if (!is_there) {
        printf("nothing");
        return;
    }
    if (h == NULL) {
        printf("%.17g", number);
        return;
    }
    buf_init(&out, NULL, LINE_BYTES);
    fhist_print(h, &out);
    printf("schema %d hint %d zero %g/%g %.*s", h->schema, h->hint, h->zero_count,
           h->zero_threshold, (int)out.size, (const char *)out.at);
    buf_fini(&out);
}

static void
print_wanted(struct script *s, const struct value *v)
{
    if (v == NULL || !v->is_there)
        printf("nothing");
    else if (v->histogram != NULL)
        print_value(true, 0, as_written(s, v->histogram));
    else
        print_value(true, v->number, NULL);
}

static bool
differs(struct script *s, const struct eval *x, struct bytes labels, uint32_t at,
        const struct value *wanted, bool is_there, double number, const struct fhist *h)
{
    if (agrees(s, wanted, is_there, number, h)) return false;
    printf("%s:%u: %s: ", s->file, s->line, x->query);
    print_labels(labels);
    printf(" value %u is ", at);
    print_value(is_there, number, h);
    printf(", expected ");
    print_wanted(s, wanted);
    printf("\n");
    return true;
}

/* Returns the expected series with these labels, or NULL. */
static const struct series *
expected_of(const struct eval *x, struct bytes labels, uint32_t *ret_place)
{
    for (uint32_t i = 0; i < x->count; i++) {
        if (!bytes_equal(buf_bytes(&x->items[i].labels), labels)) continue;
        *ret_place = i;
        return &x->items[i];
    }
    return NULL;
}

static bool
unexpected(struct script *s, const struct eval *x, struct bytes labels)
{
    printf("%s:%u: %s: unexpected series ", s->file, s->line, x->query);
    print_labels(labels);
    printf("\n");
    return false;
}

static bool
all_found(struct script *s, const struct eval *x, uint32_t found)
{
    uint32_t wanted = 0;
    for (uint32_t k = 0; k < x->count; k++) {
        bool any = false;
        for (uint32_t i = 0; i < x->items[k].count; i++)
            any |= x->items[k].values[i].is_there;
        wanted += any;
    }
    if (found >= wanted) return true;
    script_fail(s, "%s: %u series, expected %u", x->query, found, wanted);
    return false;
}

/* Compares the result of an instant query, or of one step of a range query. */
static bool
check_series(struct script *s, const struct eval *x, const struct query_run *run,
             uint32_t only_step)
{
    uint32_t found = 0;
    bool ok = true, as_range = x->instant && run->ev.grid.count > 1;
    for (uint32_t i = 0; i < run->columns.count; i++) {
        const struct column *c = &run->columns.items[run->order[i]];
        uint32_t place = 0;
        if (as_range && !bits_has(c->present, only_step)) continue;
        const struct series *e = expected_of(x, c->labels, &place);
        if (e == NULL) {
            ok = unexpected(s, x, c->labels);
            continue;
        }
        found++;
        if (x->ordered && !as_range && place != i) {
            script_fail(s, "%s: series %u comes at place %u", x->query, place, i);
            ok = false;
        }
        uint32_t steps = x->instant ? 1 : run->ev.grid.count;
        for (uint32_t k = 0; k < steps; k++) {
            uint32_t step = as_range ? only_step : k;
            const struct value *wanted = k < e->count ? &e->values[k] : NULL;
            if (!differs(s, x, c->labels, k, wanted, bits_has(c->present, step), c->values[step],
                         column_histogram(c, step)))
                continue;
            ok = false;
            break;
        }
    }
    return all_found(s, x, found) && ok;
}

static bool
check_matrix(struct script *s, const struct eval *x, const struct query_run *run)
{
    bool ok = true;
    uint32_t found = 0;
    for (uint32_t i = 0; i < run->matrix.count; i++) {
        const struct matrix_series *m = &run->matrix.items[i];
        uint32_t place, at = 0;
        const struct series *e = expected_of(x, m->labels, &place);
        if (e == NULL) {
            ok = unexpected(s, x, m->labels);
            continue;
        }
        found++;
        for (uint32_t k = 0; k < e->count && ok; k++) {
            if (!e->values[k].is_there) continue;
            int64_t t_ms = x->matrix_first_ms + k * x->matrix_step_ms;
            bool is_there = at < m->count && m->times_ms[at] == t_ms;
            ok = !differs(s, x, m->labels, k, &e->values[k], is_there, is_there ? m->values[at] : 0,
                          is_there ? m->histograms[at] : NULL);
            at++;
        }
        if (ok && at != m->count) {
            script_fail(s, "%s: %u samples, expected %u", x->query, m->count, at);
            ok = false;
        }
    }
    return all_found(s, x, found) && ok;
}

static bool
check_scalar(struct script *s, const struct eval *x, const struct query_run *run,
             uint32_t only_step)
{
    double value = run->scalars[only_step];
    bool ok = true;
    if (x->has_scalar)
        ok = nearly(value, x->scalar);
    else if (x->instant)
        ok = x->count == 0;
    else if (x->count == 1)
        for (uint32_t i = 0; i < run->ev.grid.count; i++)
            ok &= i < x->items[0].count && nearly(run->scalars[i], x->items[0].values[i].number);
    if (!ok) script_fail(s, "%s: is %.17g, expected %.17g", x->query, value, x->scalar);
    return ok;
}

/* --- expectations ----------------------------------------------------------------------------- */

static bool
text_fits(const struct demand *d, struct bytes given)
{
    struct buf pattern, ignored;
    struct replacer *r;
    if (d->text[0] == '\0') return true;
    if (!d->is_regex) return bytes_equal_text(given, d->text);
    buf_init(&pattern, NULL, LINE_BYTES);
    buf_init(&ignored, NULL, LINE_BYTES);
    buf_printf(&pattern, "(?s:.*)(?:%s)(?s:.*)", d->text);
    if (replacer_new(buf_bytes(&pattern), bytes_of("", 0), NULL, &r)) give_up("no pattern");
    bool fits = replacer_apply(r, given, &ignored);
    replacer_free(r);
    buf_fini(&pattern);
    buf_fini(&ignored);
    return fits;
}

static bool
check_demand(struct script *s, const struct eval *x, const struct demand *d,
             const struct query_run *run)
{
    bool none = strncmp(d->what, "no_", 3) == 0;
    enum promql_note kind = strstr(d->what, "warn") != NULL ? PROMQL_WARNING : PROMQL_INFO;
    struct buf all;
    bool found = false;
    buf_init(&all, NULL, LINE_BYTES);
    for (uint32_t i = 0; i < run->ev.notes.count; i++) {
        struct buf text;
        if (run->ev.notes.items[i].kind != kind) continue;
        buf_init(&text, NULL, LINE_BYTES);
        note_print(&run->ev.notes, &run->ev.notes.items[i], &text);
        found |= text_fits(d, buf_bytes(&text));
        buf_put_bytes(&all, buf_bytes(&text));
        buf_put_text(&all, "; ");
        buf_fini(&text);
    }
    if (found == none) {
        script_fail(s, "%s: expect %s %s: there is %.*s", x->query, d->what, d->text, (int)all.size,
                    all.at == NULL ? "" : (const char *)all.at);
    }
    buf_fini(&all);
    return found != none;
}

/* Says whether an error is an expected one. */
static bool
check_failure(struct script *s, const struct eval *x, struct bytes error)
{
    bool ok = x->fails;
    for (uint32_t i = 0; i < x->demand_count && ok; i++)
        if (strcmp(x->demands[i].what, "fail") == 0) ok = text_fits(&x->demands[i], error);
    if (!ok) script_fail(s, "%s: error %.*s", x->query, (int)error.size, (const char *)error.at);
    return ok;
}

static bool
check_answer(struct script *s, const struct eval *x, const struct query_run *run,
             uint32_t only_step)
{
    bool ok = true;
    if (x->fails) {
        script_fail(s, "%s: does not fail", x->query);
        return false;
    }
    for (uint32_t i = 0; i < x->demand_count; i++)
        ok &= check_demand(s, x, &x->demands[i], run);
    if (run->type == VALUE_SCALAR) return check_scalar(s, x, run, only_step) && ok;
    if (run->type == VALUE_VECTOR) return check_series(s, x, run, only_step) && ok;
    if (run->type == VALUE_MATRIX) return check_matrix(s, x, run) && ok;
    if (!x->has_string || bytes_equal(run->string, buf_bytes(&x->string))) return ok;
    script_fail(s, "%s: is another string", x->query);
    return false;
}

/* Returns false if the plan of an evaluated expression could not be made. */
static bool
run_measured(struct query_run *run, const struct promql_tree *tree, struct view *view,
             const struct promql_options *options, enum err *ret_error)
{
    struct query_run planned = {.type = VALUE_NONE};
    struct promql_plan plan;
    struct buf json;
    promql_plan_init(&plan, NULL);
    buf_init(&json, NULL, 64 << 20);
    enum err e = run_plan(&planned, tree, view, options, &plan);
    *ret_error = run_begin(run, tree, view, options, e ? NULL : &plan);
    if (e == OK) e = promql_plan_put(&plan, PLAN_MEMORY_SHOWN, &json);
    buf_fini(&json);
    run_fini(&planned);
    promql_plan_fini(&plan);
    return e == OK || *ret_error != OK;
}

static bool
evaluate(struct script *s, const struct eval *x, int64_t first_ms, int64_t last_ms, int64_t step_ms,
         uint32_t only_step)
{
    struct promql_tree *tree;
    struct buf error;
    struct query_run run = {.type = VALUE_NONE};
    bool ok;
    buf_init(&error, NULL, 1 << 20);
    if (promql_parse(text(x->query), NULL, NULL, &tree, &error)) {
        ok = check_failure(s, x, buf_bytes(&error));
        buf_fini(&error);
        return ok;
    }
    struct view *view = machine_view(&s->m);
    struct helper helper = {.count = 0};
    struct promql_helpers helpers = {ask_helper, dismiss_helper, others_wait, &helper};
    struct promql_options options = {.helpers = &helpers,
                                     .shards = s->shards,
                                     .tenant = text("a"),
                                     .first_ms = first_ms,
                                     .last_ms = last_ms,
                                     .step_ms = step_ms,
                                     .lookback_ms = LOOKBACK_MS,
                                     .subquery_step_ms = 60000,
                                     .features = s->features};
    enum err e;
    bool planned = true;
    if (s->measured)
        planned = run_measured(&run, tree, view, &options, &e);
    else
        e = run_begin(&run, tree, view, &options, NULL);
    if (e == ERR_INPUT && run.ev.error.size > 0)
        ok = check_failure(s, x, buf_bytes(&run.ev.error));
    else if (e)
        ok = check_failure(s, x, text(run.ev.why.text));
    else
        ok = check_answer(s, x, &run, only_step);
    if (!planned) script_fail(s, "%s: cannot be explained", x->query);
    ok &= planned;
    run_fini(&run);
    promql_free(tree);
    buf_fini(&error);
    view_free(view);
    return ok;
}

/* --- commands --------------------------------------------------------------------------------- */

static bool
begins(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

static void
add_demand(struct eval *x, const char *what, const char *rest)
{
    struct demand *d = &x->demands[x->demand_count++];
    *d = (struct demand){.is_regex = false};
    snprintf(d->what, sizeof d->what, "%s", what);
    while (*rest == ' ')
        rest++;
    if (begins(rest, "msg:")) rest += 4;
    d->is_regex = begins(rest, "regex:");
    if (d->is_regex) rest += 6;
    while (*rest == ' ')
        rest++;
    snprintf(d->text, sizeof d->text, "%s", rest);
}

static void
read_expect(struct eval *x, const char *p)
{
    char a[64], b[64], c[64];
    if (begins(p, "ordered")) {
        x->ordered = true;
    } else if (begins(p, "string ")) {
        x->has_string = true;
        if (!quote_read(text(p + 7), &x->string)) give_up("no string");
    } else if (sscanf(p, "range vector from %63s to %63s step %63s", a, b, c) == 3) {
        x->is_matrix = true;
        x->matrix_first_ms = duration_ms(a);
        x->matrix_step_ms = duration_ms(c);
    } else {
        static const char *const words[] = {"fail", "warn", "info", "no_warn", "no_info"};
        for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
            if (!begins(p, words[i])) continue;
            x->fails |= i == 0;
            add_demand(x, words[i], p + strlen(words[i]));
            return;
        }
        give_up("no expectation that is known");
    }
}

static void
read_expectations(struct script *s, struct eval *x)
{
    for (char *line; (line = next_line(s)) != NULL;) {
        if (*line != ' ') {
            s->has_text = true;
            break;
        }
        const char *p = line + 1;
        if (begins(p, "expect ")) {
            read_expect(x, p + 7);
        } else if (begins(p, "expected_fail_message ")) {
            add_demand(x, "fail", p + 22);
        } else if (begins(p, "expected_fail_regexp ")) {
            add_demand(x, "fail", p + 21);
            x->demands[x->demand_count - 1].is_regex = true;
        } else if (isdigit((unsigned char)*p) || *p == '-' || *p == '+' || *p == '.' ||
                   begins(p, "NaN") || begins(p, "Inf")) {
            x->has_scalar = true;
            x->scalar = take_number(&p);
        } else {
            struct series *e = &x->items[x->count++];
            buf_init(&e->labels, NULL, LINE_BYTES);
            if (!begins(p, "{{")) take_labels(&p, &e->labels);
            e->values = take_values(s, p, &e->count);
        }
    }
}

/* Says whether the query is different as a range query. */
static bool
is_of_one_time(const char *query)
{
    static const char *const words[] = {"start()", "end()", "step()", "range()"};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(query, words[i]) != NULL) return true;
    return false;
}

static void
eval(struct script *s, char *line)
{
    static struct eval x;
    unsigned at_line = s->line;
    bool is_left_out = s->lacks_feature;
    s->lacks_feature = false;
    memset(&x, 0, sizeof x);
    buf_init(&x.string, NULL, LINE_BYTES);
    char *p = strchr(line, ' ');
    *p++ = '\0';
    if (begins(line, "eval_") && strcmp(line, "eval_ordered") != 0) {
        add_demand(&x, line + 5, "");
        x.fails = strcmp(line, "eval_fail") == 0;
    }
    x.ordered = strcmp(line, "eval_ordered") == 0;
    x.instant = begins(p, "instant");
    char a[64], b[64], c[64];
    int used = 0;
    if (x.instant) {
        sscanf(p, "instant at %63s %n", a, &used);
        x.first_ms = duration_ms(a);
    } else {
        sscanf(p, "range from %63s to %63s step %63s %n", a, b, c, &used);
        x.first_ms = duration_ms(a);
        x.last_ms = duration_ms(b);
        x.step_ms = duration_ms(c);
    }
    snprintf(x.query, sizeof x.query, "%s", p + used);
    read_expectations(s, &x);
    unsigned end_line = s->line;
    s->line = at_line;
    bool ok = is_left_out || evaluate(s, &x, x.first_ms, x.last_ms, x.step_ms, 0);
    bool also_range = x.instant && !x.fails && !x.ordered && !x.is_matrix && !x.has_string &&
                      !is_of_one_time(x.query);
    if (ok && also_range && !is_left_out) {
        x.demand_count = 0; /* other times may have more annotations */
        ok = evaluate(s, &x, x.first_ms - 60000, x.first_ms + 60000, 60000, 1);
    }
    s->line = end_line;
    s->passed += ok && !is_left_out;
    s->failed += !ok;
    for (uint32_t i = 0; i < x.count; i++)
        buf_fini(&x.items[i].labels);
    buf_fini(&x.string);
}

static void
run_script(struct script *s)
{
    machine_init(&s->m, 1);
    machine_must_open(&s->m);
    arena_init(&s->arena, NULL, 0, 0);
    for (char *line; (line = next_line(s)) != NULL; arena_reset(&s->arena)) {
        if (*line == '\0') continue;
        if (begins(line, "clear")) {
            machine_fini(&s->m);
            machine_init(&s->m, 1);
            machine_must_open(&s->m);
        } else if (begins(line, "load")) {
            load(s, duration_ms(strchr(line, ' ') + 1), begins(line, "load_with_nhcb"));
        } else if (begins(line, "eval")) {
            eval(s, line);
        } else {
            script_fail(s, "unknown command: %s", line);
            s->failed++;
        }
    }
    arena_fini(&s->arena);
    machine_fini(&s->m);
}

static void
run_or_give_up(void)
{
    if (setjmp(given_up) == 0) run_script(&script);
}

static bool
read_features(char *list, struct promql_features *ret)
{
    *ret = (struct promql_features){false};
    for (char *at, *name = strtok_r(list, ", ", &at); name; name = strtok_r(NULL, ", ", &at)) {
        bool *feature = feature_of(ret, name);
        if (feature == NULL) return false;
        *feature = true;
    }
    return true;
}

int
main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    bool flush = false;
    uint32_t shards = 0;
    bool measured = false;
    struct promql_features features = {.delayed_name_removal = true, .start_timestamps = true};
    int first = 1;
    for (; first < argc && argv[first][0] == '-'; first++) {
        if (strcmp(argv[first], "--flush") == 0) {
            flush = true;
        } else if (strcmp(argv[first], "--shards") == 0 && first + 1 < argc) {
            shards = (uint32_t)strtoul(argv[++first], NULL, 10);
        } else if (strcmp(argv[first], "--measured") == 0) {
            measured = true;
        } else if (strcmp(argv[first], "--features") != 0 || first + 1 >= argc ||
                   !read_features(argv[++first], &features)) {
            fprintf(stderr, "usage: run [--flush] [--shards N] [--measured] [--features LIST] "
                            "FILE...\n");
            return 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a failed assertion leaves the lines of earlier scripts */
    for (int i = first; i < argc; i++) {
        script = (struct script){.file = argv[i],
                                 .flush = flush,
                                 .shards = shards,
                                 .measured = measured,
                                 .features = features};
        script.in = fopen(argv[i], "r");
        if (script.in == NULL) {
            perror(argv[i]);
            return 2;
        }
        run_or_give_up();
        fclose(script.in);
        printf("%s: %u passed, %u failed\n", argv[i], script.passed, script.failed);
        passed += script.passed;
        failed += script.failed;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
