/*
 * run.c - runs scripts in Prometheus' language for tests of PromQL, each over a fresh store.
 *
 *     run [--flush] FILE...
 *
 * --flush: what a script loads is written into parts before it is asked for. Instant evaluations
 * are also made as range queries around their time. The last line is "N passed, N failed"; each
 * failure is printed with file and line. Staleness markers, gaps and the series notation: see the
 * scripts' own documentation in Prometheus (promql/promqltest).
 */
#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/quote.h"
#include "model/labels.h"
#include "promql/eval/run.h"
#include "tsdb/tsdb_testing.h"
#include "wire/number.h"

enum { LINE_BYTES = 1 << 16, VALUES_MAX = 1 << 16, LOOKBACK_MS = 5 * 60 * 1000 };

struct expected {
    struct buf labels; /* canonical */
    double *values;    /* NAN with a payload: none */
    uint32_t count;
};

struct script {
    const char *file;
    unsigned line;
    FILE *in;
    char text[LINE_BYTES];
    bool has_text; /* it was read and put back */
    struct machine m;
    bool flush;
    unsigned passed;
    unsigned failed;
};

static const uint64_t NO_VALUE = 0x7ff0dead0000beefu;

static bool
is_none(double x)
{
    return double_bits(x) == NO_VALUE;
}

static char *
trim(char *s)
{
    while (isspace((unsigned char)*s)) {
        s++;
    }
    size_t n = strlen(s);
    while (n > 0 && isspace((unsigned char)s[n - 1])) {
        s[--n] = '\0';
    }
    return s;
}

/* The next line that is not a comment; NULL at the end. */
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
        if (*t == '#') continue;
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

/* name{a="b",...} at `*at`: canonical labels. */
static void
take_labels(const char **at, struct buf *to)
{
    struct label labels[64];
    uint32_t count = 0;
    static char values[LINE_BYTES];
    size_t used = 0;
    const char *p = *at;
    size_t name = strcspn(p, "{ \t");
    if (name > 0) labels[count++] = (struct label){text("__name__"), bytes_of(p, name)};
    p += name;
    if (*p == '{') {
        p++;
        while (*p != '}' && *p != '\0') {
            while (*p == ' ' || *p == ',') {
                p++;
            }
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
            while (*p != quote) {
                p += 1 + (*p == '\\');
            }
            p++;
            struct buf plain;
            buf_init(&plain, NULL, LINE_BYTES);
            if (!quote_read(bytes_of(value, (size_t)(p - value)), &plain)) abort();
            memcpy(values + used, plain.at, plain.size);
            labels[count++] =
                (struct label){bytes_of(begin, size), bytes_of(values + used, plain.size)};
            used += plain.size;
            buf_fini(&plain);
        }
        p++;
    }
    static const struct labels_limits limits = {100, 10000, 100000};
    if (labels_build(labels, count, &limits, to) != REJECT_NONE && count > 0) abort();
    *at = p;
}

static double
take_number(const char **at)
{
    const char *p = *at;
    char word[64];
    size_t n = 0;
    if (*p == '+' || *p == '-') word[n++] = *p++;
    if (isalpha((unsigned char)*p)) {
        while (isalpha((unsigned char)*p)) {
            word[n++] = *p++;
        }
    } else {
        while (isdigit((unsigned char)*p) || *p == '.' ||
               ((*p == 'e' || *p == 'E') &&
                (isdigit((unsigned char)p[1]) || p[1] == '-' || p[1] == '+')) ||
               ((*p == '-' || *p == '+') && (p[-1] == 'e' || p[-1] == 'E'))) {
            word[n++] = *p++;
        }
    }
    word[n] = '\0';
    *at = p;
    if (strcmp(word, "stale") == 0) return bits_double(STALE_NAN_BITS);
    uint64_t bits;
    if (!number_parse(word, n, &bits)) {
        printf("bad number '%s'\n", word);
        abort();
    }
    return bits_double(bits);
}

/* xN */
static unsigned long
take_times(const char **at)
{
    char *end;
    unsigned long n = strtoul(*at + 1, &end, 10);
    *at = end;
    return n;
}

/* VALUES; false: they have histograms. */
static bool
take_values(const char *p, double *values, uint32_t *ret_count)
{
    uint32_t n = 0;
    for (;;) {
        while (isspace((unsigned char)*p)) {
            p++;
        }
        if (*p == '\0') break;
        if (*p == '{') return false;
        if (*p == '_') {
            unsigned long times = 1;
            p++;
            if (*p == 'x') times = take_times(&p);
            for (unsigned long i = 0; i < times; i++) {
                values[n++] = bits_double(NO_VALUE);
            }
            continue;
        }
        double first = take_number(&p), step = 0;
        unsigned long times = 0;
        if (*p == '+' || *p == '-') step = take_number(&p);
        if (*p == 'x') times = take_times(&p);
        for (unsigned long i = 0; i <= times; i++) {
            values[n++] = first;
            first += step;
        }
    }
    *ret_count = n;
    return true;
}

/* --- loading ---------------------------------------------------------------------------------- */

/* Canonical labels are what a message of remote write 1.0 has. */
static void
rq_series_labels(struct rq *rq, struct bytes labels)
{
    rq_close(rq);
    rq->in_series = true;
    buf_clear(&rq->item);
    buf_put_bytes(&rq->item, labels);
}

struct loaded {
    struct buf labels;
    double *values;
    uint32_t count;
};

enum { LOADED_MAX = 1 << 16 };

/* Of two series with the same labels the last one counts, as in Prometheus. */
static void
load(struct script *s, int64_t step_ms)
{
    static double values[VALUES_MAX];
    static struct loaded list[LOADED_MAX];
    uint32_t series = 0;
    for (char *line; (line = next_line(s)) != NULL;) {
        if (*line == '\0') continue;
        if (*line != ' ') {
            s->has_text = true;
            break;
        }
        const char *p = line + 1;
        struct loaded x;
        buf_init(&x.labels, NULL, LINE_BYTES);
        take_labels(&p, &x.labels);
        if (!take_values(p, values, &x.count)) {
            buf_fini(&x.labels);
            continue;
        }
        x.values = malloc((x.count + 1) * sizeof *x.values);
        memcpy(x.values, values, x.count * sizeof *x.values);
        uint32_t at = 0;
        while (at < series && !bytes_equal(buf_bytes(&list[at].labels), buf_bytes(&x.labels))) {
            at++;
        }
        if (at < series) {
            buf_fini(&list[at].labels);
            free(list[at].values);
        }
        list[at] = x;
        series += at == series;
    }
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (uint32_t k = 0; k < series; k++) {
        rq_series_labels(&rq, buf_bytes(&list[k].labels));
        for (uint32_t i = 0; i < list[k].count; i++) {
            double value = list[k].values[i];
            if (!is_none(value)) rq_float(&rq, i * step_ms, double_bits(value), 0);
        }
        buf_fini(&list[k].labels);
        free(list[k].values);
    }
    if (series > 0) must(machine_send(&s->m, "a", &rq));
    rq_fini(&rq);
    machine_commit(&s->m);
    if (s->flush) machine_flush(&s->m);
}

/* --- evaluating ------------------------------------------------------------------------------- */

static bool
nearly(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (a == b) return true;
    return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

struct eval {
    bool instant;
    int64_t first_ms, last_ms, step_ms;
    char query[LINE_BYTES];
    bool fails, ordered, scalar, has_string;
    bool unsupported; /* histograms are expected */
    double scalar_value;
    struct expected items[512];
    uint32_t count;
};

static void
print_labels(struct bytes labels)
{
    struct buf out;
    buf_init(&out, NULL, LINE_BYTES);
    labels_print(&out, labels);
    printf("%.*s", (int)out.size, (const char *)out.at);
    buf_fini(&out);
}

static bool
check_series(struct script *s, const struct eval *x, const struct run *run,
             uint32_t step_of_instant)
{
    uint32_t found = 0;
    bool ok = true;
    bool as_range = x->instant && run->ev.grid.count > 1;
    for (uint32_t i = 0; i < run->columns.count; i++) {
        uint32_t id = run->order[i];
        const struct column *c = &run->columns.items[id];
        if (as_range && !bits_has(c->present, step_of_instant)) continue;
        const struct expected *e = NULL;
        uint32_t place = 0;
        for (uint32_t k = 0; k < x->count; k++) {
            if (!bytes_equal(buf_bytes(&x->items[k].labels), c->labels)) continue;
            e = &x->items[k];
            place = k;
        }
        if (e == NULL) {
            script_fail(s, "%s: unexpected series ", x->query);
            print_labels(c->labels);
            printf(" %g\n", c->values[as_range ? step_of_instant : 0]);
            ok = false;
            continue;
        }
        found++;
        if (x->ordered && !as_range && place != i) {
            script_fail(s, "%s: series %u comes at place %u", x->query, place, i);
            ok = false;
        }
        uint32_t steps = x->instant ? 1 : run->ev.grid.count;
        for (uint32_t k = 0; k < steps; k++) {
            uint32_t step = as_range ? step_of_instant : k;
            bool wanted = k < e->count && !is_none(e->values[k]), is = bits_has(c->present, step);
            if (wanted == is && (!is || nearly(c->values[step], e->values[k]))) continue;
            script_fail(s, "%s: value %u is %s%.17g, expected %s%.17g", x->query, k,
                        is ? "" : "none ", is ? c->values[step] : 0, wanted ? "" : "none ",
                        wanted ? e->values[k] : 0);
            ok = false;
            break;
        }
    }
    uint32_t wanted = 0;
    for (uint32_t k = 0; k < x->count; k++) {
        bool any = false;
        for (uint32_t i = 0; i < x->items[k].count; i++) {
            any |= !is_none(x->items[k].values[i]);
        }
        wanted += any;
    }
    if (found < wanted) {
        script_fail(s, "%s: %u series, expected %u", x->query, found, wanted);
        ok = false;
    }
    return ok;
}

static bool
evaluate(struct script *s, const struct eval *x, int64_t first_ms, int64_t last_ms, int64_t step_ms,
         uint32_t step_of_instant)
{
    struct promql_tree *tree;
    struct buf error;
    struct view *view = machine_view(&s->m);
    struct run run;
    bool ok = true;
    buf_init(&error, NULL, 1 << 20);
    enum err e = tree_parse(text(x->query), NULL, &tree, &error);
    if (e) {
        if (!x->fails)
            script_fail(s, "%s: %.*s", x->query, (int)error.size, (const char *)error.at);
        buf_fini(&error);
        view_free(view);
        return x->fails;
    }
    struct run_options options = {.tenant = text("a"),
                                  .first_ms = first_ms,
                                  .last_ms = last_ms,
                                  .step_ms = step_ms,
                                  .lookback_ms = LOOKBACK_MS,
                                  .subquery_step_ms = 60000};
    e = run_begin(&run, tree, view, &options);
    if (e) {
        ok = x->fails;
        if (!ok) {
            script_fail(s, "%s: %.*s%s", x->query, (int)run.ev.error.size,
                        (const char *)run.ev.error.at, run.ev.why.text);
        }
    } else if (x->fails) {
        script_fail(s, "%s: does not fail", x->query);
        ok = false;
    } else if (run.type == VALUE_SCALAR) {
        double value = run.scalars[step_of_instant];
        ok = x->scalar ? nearly(value, x->scalar_value) : !x->instant || x->count == 0;
        if (!x->instant && x->count == 1) {
            ok = true;
            for (uint32_t i = 0; i < run.ev.grid.count; i++) {
                ok &= i < x->items[0].count && nearly(run.scalars[i], x->items[0].values[i]);
            }
        }
        if (!ok) script_fail(s, "%s: is %.17g, expected %.17g", x->query, value, x->scalar_value);
    } else if (run.type == VALUE_VECTOR) {
        ok = check_series(s, x, &run, step_of_instant);
    }
    run_fini(&run);
    tree_free(tree);
    buf_fini(&error);
    view_free(view);
    return ok;
}

static bool
begins(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

static void
read_expectations(struct script *s, struct eval *x)
{
    static double values[VALUES_MAX];
    for (char *line; (line = next_line(s)) != NULL;) {
        if (*line != ' ') {
            s->has_text = true;
            break;
        }
        const char *p = line + 1;
        if (begins(p, "expect ") || begins(p, "expected_fail")) {
            x->fails |= begins(p, "expect fail") || begins(p, "expected_fail");
            x->ordered |= begins(p, "expect ordered");
            x->has_string |= begins(p, "expect string");
            x->unsupported |= begins(p, "expect range vector");
            continue;
        }
        if (strstr(p, "{{") != NULL) {
            x->unsupported = true;
            continue;
        }
        if (isdigit((unsigned char)*p) || *p == '-' || *p == '+' || *p == '.' || begins(p, "NaN") ||
            begins(p, "Inf")) {
            x->scalar = true;
            x->scalar_value = take_number(&p);
            continue;
        }
        struct expected *e = &x->items[x->count++];
        buf_init(&e->labels, NULL, LINE_BYTES);
        take_labels(&p, &e->labels);
        if (!take_values(p, values, &e->count)) abort();
        e->values = malloc((e->count + 1) * sizeof *e->values);
        memcpy(e->values, values, e->count * sizeof *e->values);
    }
}

static void
eval(struct script *s, char *line)
{
    static struct eval x;
    unsigned at_line = s->line;
    memset(&x, 0, sizeof x);
    char *p = strchr(line, ' ');
    *p++ = '\0';
    x.fails = strcmp(line, "eval_fail") == 0;
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
    bool ok = evaluate(s, &x, x.first_ms, x.last_ms, x.step_ms, 0);
    /* These are not the same for a range. */
    static const char *const of_grid[] = {"start()", "end()", "step()", "range()"};
    bool differs = false;
    for (unsigned i = 0; i < sizeof of_grid / sizeof of_grid[0]; i++) {
        differs |= strstr(x.query, of_grid[i]) != NULL;
    }
    if (ok && x.instant && !x.fails && !x.ordered && !differs) {
        ok = evaluate(s, &x, x.first_ms - 60000, x.first_ms + 60000, 60000, 1);
    }
    s->line = end_line;
    s->passed += ok;
    s->failed += !ok;
    for (uint32_t i = 0; i < x.count; i++) {
        buf_fini(&x.items[i].labels);
        free(x.items[i].values);
    }
}

static void
run_script(struct script *s)
{
    machine_init(&s->m, 1);
    machine_must_open(&s->m);
    for (char *line; (line = next_line(s)) != NULL;) {
        if (*line == '\0') continue;
        if (begins(line, "clear")) {
            machine_fini(&s->m);
            machine_init(&s->m, 1);
            machine_must_open(&s->m);
        } else if (begins(line, "load")) {
            load(s, duration_ms(strchr(line, ' ') + 1));
        } else if (begins(line, "eval")) {
            eval(s, line);
        } else {
            script_fail(s, "unknown command: %s", line);
            s->failed++;
        }
    }
    machine_fini(&s->m);
}

int
main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    bool flush = argc > 1 && strcmp(argv[1], "--flush") == 0;
    for (int i = 1 + flush; i < argc; i++) {
        static struct script s;
        memset(&s, 0, sizeof s);
        s.file = argv[i];
        s.flush = flush;
        s.in = fopen(argv[i], "r");
        if (s.in == NULL) {
            perror(argv[i]);
            return 2;
        }
        run_script(&s);
        fclose(s.in);
        printf("%s: %u passed, %u failed\n", argv[i], s.passed, s.failed);
        passed += s.passed;
        failed += s.failed;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
