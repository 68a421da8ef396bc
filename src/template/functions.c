/* functions.c - the functions that Prometheus gives to templates: see run.h. */
#include "base/text/hex.h"
#include "base/text/quote.h"
#include "base/text/time_text.h"
#include "base/text/utf8.h"
#include "model/regex/replacer.h"
#include "template/run.h"
#include "template/tree.h"
#include "wire/number.h"

#include <arpa/inet.h>
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <wctype.h>

/* --- letters and cases ------------------------------------------------------------------------ */

/* The C library knows letters and cases; word boundaries follow the simple cases of Unicode's
 * rules, as in Prometheus. */

static bool
has_locale(struct tmpl_unicode *u)
{
    if (u->locale == (locale_t)0) u->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (u->locale == (locale_t)0) u->failed = true;
    return !u->failed;
}

void
tmpl_unicode_fini(struct tmpl_unicode *u)
{
    if (u->locale != (locale_t)0) freelocale(u->locale);
    u->locale = (locale_t)0;
}

bool
tmpl_is_word(struct tmpl_unicode *u, int32_t c)
{
    if (c < 0) return false;
    if (c < 0x80) return ascii_is_word((uint8_t)c);
    return c != RUNE_BAD && has_locale(u) && iswalnum_l((wint_t)c, u->locale);
}

static int32_t
upper_of(struct tmpl_unicode *u, int32_t c)
{
    if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
    return has_locale(u) ? (int32_t)towupper_l((wint_t)c, u->locale) : c;
}

static int32_t
lower_of(struct tmpl_unicode *u, int32_t c)
{
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
    return has_locale(u) ? (int32_t)towlower_l((wint_t)c, u->locale) : c;
}

static void
put_rune(struct buf *to, int32_t c)
{
    uint8_t bytes[UTF8_BYTES_MAX];
    buf_put(to, bytes, utf8_put(bytes, (uint32_t)c));
}

/* --- the beginnings of words ------------------------------------------------------------------ */

static bool
has_case(struct tmpl_unicode *u, int32_t c)
{
    if (c < 0x80) return ascii_is_letter((uint8_t)c);
    return has_locale(u) && (iswlower_l((wint_t)c, u->locale) || iswupper_l((wint_t)c, u->locale));
}

/* Changes the first letter of each word that has a case; others stay. An apostrophe, a dot or a
 * colon before a letter does not end a word, nor does an accent. */
static void
put_titles(struct tmpl_unicode *u, struct bytes text, struct buf *to)
{
    bool changed = false;
    for (size_t i = 0; i < text.size && buf_error(to) == OK;) {
        unsigned step, next_step;
        int32_t c = rune_get(text.at + i, text.size - i, &step);
        i += step;
        int32_t next = i < text.size ? rune_get(text.at + i, text.size - i, &next_step) : ' ';
        bool joins = c == '\'' || c == '.' || c == ':' || c == 0xb7 || c == 0x2019;
        bool accent = c >= 0x300 && c <= 0x36f;
        put_rune(to, !changed && has_case(u, c) ? upper_of(u, c) : c);
        if (has_case(u, c))
            changed = true;
        else
            changed &= joins ? tmpl_is_word(u, next) : accent || tmpl_is_word(u, c);
    }
}

enum { CASE_TITLE, CASE_UPPER, CASE_LOWER };

/* Changes the case of letters; bytes that are not UTF-8 become U+FFFD. */
static TMPL_FUNCTION(change_case)
{
    struct tmpl_unicode *u = &run->unicode;
    struct buf *to = &run->text;
    const struct bytes text = args[0].text;
    buf_clear(to);
    if (way == CASE_TITLE) put_titles(u, text, to);
    for (size_t i = 0; way != CASE_TITLE && i < text.size && buf_error(to) == OK;) {
        unsigned step;
        int32_t c = rune_get(text.at + i, text.size - i, &step);
        put_rune(to, way == CASE_UPPER ? upper_of(u, c) : lower_of(u, c));
        i += step;
    }
    return u->failed ? run_no_memory(run) : run_take_text(run, ret);
}

enum {
    FUNCTIONS_SECOND_NS = 1000000000,
    STEP_NS = 1000,     /* as in run.c */
    QUERY_NS = 1000000, /* cost of a query, which allows a template a thousand of them */
};

/* --- queries ---------------------------------------------------------------------------------- */

struct sample_gathering {
    struct tmpl_run *run;
    const struct tmpl_sample **samples;
    uint32_t count;
};

static bool
copy_labels(struct tmpl_run *run, struct bytes labels, struct tmpl_map *ret)
{
    struct bytes copy = run_copy(run, labels);
    uint32_t count = labels_count(labels);
    struct tmpl_entry *entries = arena_alloc(&run->arena, (count + 1u) * sizeof *entries);
    struct cursor c = cursor_of(copy);
    struct label label;
    if (copy.at == NULL) return false;
    if (entries == NULL) return run_no_memory(run);
    for (uint32_t i = 0; i < count && labels_next(&c, &label); i++)
        entries[i] = (struct tmpl_entry){label.name, tmpl_of_text(label.value)};
    *ret = (struct tmpl_map){.entries = entries, .count = count};
    return true;
}

static enum err
functions_gather(void *to, const struct template_sample *from)
{
    struct sample_gathering *g = to;
    struct tmpl_run *run = g->run;
    struct tmpl_sample *sample = arena_alloc(&run->arena, sizeof *sample);
    const struct tmpl_sample **samples =
        arena_push(&run->arena, g->samples, g->count, sizeof *samples);
    if (sample == NULL || samples == NULL) {
        run_no_memory(run);
        return run->failed;
    }
    g->samples = samples;
    samples[g->count++] = sample;
    bool kept = run_value(run, from->value, from->histogram, &sample->value) &&
                run_spend(run, from->labels.size) &&
                copy_labels(run, from->labels, &sample->labels);
    return kept ? OK : run->failed;
}

static TMPL_FUNCTION(query)
{
    const struct template_query *q = &run->options->query;
    struct sample_gathering g = {.run = run};
    struct why why = {.text = ""};
    if (q->query == NULL) return run_fail(run, "queries are not possible here");
    if (!run_spend_ns(run, QUERY_NS)) return false;
    enum err e = q->query(q->context, args[0].text, functions_gather, &g, &why);
    if (run->failed) return false;
    if (e == ERR_INPUT) return run_fail(run, "%s", why_text(&why, e));
    if (e) {
        (void)snprintf(run->message, sizeof run->message, "%s", why.text);
        run->failed = e;
        run->query_failed = true;
        return false;
    }
    *ret = (struct tmpl_value){.type = TMPL_TYPE_RESULT, .result = {g.samples, g.count}};
    return true;
}

static TMPL_FUNCTION(first)
{
    if (args[0].result.count == 0)
        return run_fail(run, "first() called on vector with no elements");
    *ret = tmpl_of_sample(args[0].result.samples[0]);
    return true;
}

static TMPL_FUNCTION(value)
{
    *ret = args[0].sample->value;
    return true;
}

static struct bytes
label_of(const struct tmpl_sample *sample, struct bytes name)
{
    const struct tmpl_value labels = tmpl_of_labels(&sample->labels);
    return tmpl_map_get(&labels, name).text;
}

static TMPL_FUNCTION(label)
{
    *ret = tmpl_of_text(label_of(args[1].sample, args[0].text));
    return true;
}

static TMPL_FUNCTION(strvalue)
{
    *ret = tmpl_of_text(label_of(args[0].sample, bytes_of_text("__value__")));
    return true;
}

/* A sample to be sorted; samples with equal keys stay in their order. */
struct sort_place {
    struct bytes key;
    const struct tmpl_sample *sample;
    uint32_t index;
};

static int
compare_places(const void *a, const void *b)
{
    const struct sort_place *x = a, *y = b;
    int order = bytes_compare(x->key, y->key);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

/* Sorts the list itself, as Prometheus does: a variable with the same list changes, too. */
static TMPL_FUNCTION(sort_by_label)
{
    uint32_t size = args[1].result.count;
    *ret = args[1];
    if (!run_spend(run, (uint64_t)size * 64)) return false;
    struct sort_place *places = arena_alloc(&run->arena, (size + 1u) * sizeof *places);
    if (places == NULL) return run_no_memory(run);
    for (uint32_t i = 0; i < size; i++) {
        const struct tmpl_sample *sample = args[1].result.samples[i];
        places[i] = (struct sort_place){label_of(sample, args[0].text), sample, i};
    }
    if (size > 1) qsort(places, size, sizeof *places, compare_places);
    for (uint32_t i = 0; i < size; i++)
        args[1].result.samples[i] = places[i].sample;
    return true;
}

static TMPL_FUNCTION(args_function)
{
    enum { NAME_BYTES = 16 };
    uint32_t depth = 1;
    struct tmpl_map *map = arena_alloc(&run->arena, sizeof *map);
    struct tmpl_entry *entries = arena_alloc(&run->arena, (count + 1u) * sizeof *entries);
    char *names = arena_alloc(&run->arena, (count + 1u) * NAME_BYTES);
    if (map == NULL || entries == NULL || names == NULL) return run_no_memory(run);
    for (uint32_t i = 0; i < count; i++) {
        char *name = names + (size_t)i * NAME_BYTES;
        (void)snprintf(name, NAME_BYTES, "arg%u", i);
        entries[i] = (struct tmpl_entry){bytes_of_text(name), args[i]};
        assert(args[i].type != TMPL_TYPE_ARGS || args[i].map->depth > 0);
        if (args[i].type == TMPL_TYPE_ARGS && args[i].map->depth >= depth)
            depth = args[i].map->depth + 1;
    }
    if (depth > TEMPLATE_DEPTH_MAX)
        return run_limit(run, "more than %d levels of args", TEMPLATE_DEPTH_MAX);
    *map = (struct tmpl_map){entries, count, depth};
    tmpl_map_sort(map); /* arg10 is before arg2 */
    *ret = (struct tmpl_value){.type = TMPL_TYPE_ARGS, .map = map};
    return true;
}

/* --- regexes ---------------------------------------------------------------------------------- */

/* Compiling takes from 10 us to 100 ms, which count as steps; the last few are kept, since a loop
 * needs the same one again. */
enum {
    INSTRUCTIONS_BYTES = 100,
    COMPILE_NS = 20000,
    COMPILE_NS_OF_BYTE = 5000,
    COMPILE_NS_OF_REPETITION = 1000000
};

/* Repetitions and Unicode classes are short in the text and make large programs. */
static uint64_t
compile_ns(struct bytes pattern)
{
    uint64_t ns = COMPILE_NS + pattern.size * COMPILE_NS_OF_BYTE;
    for (size_t i = 0; i < pattern.size; i++) {
        uint8_t c = pattern.at[i];
        if (c == '{' || c == 'p' || c == 'P') {
            bool escaped = i > 0 && pattern.at[i - 1] == '\\';
            if (escaped == (c != '{')) ns += COMPILE_NS_OF_REPETITION;
        }
    }
    return ns;
}

/* Compiles a regex, or finds it among the last ones. The message of an error is Go's. */
static bool
run_searcher(struct tmpl_run *run, struct bytes pattern, const struct searcher **ret)
{
    for (unsigned i = 0; i < RUN_SEARCHERS; i++) {
        const struct run_searcher *s = &run->searchers[i];
        if (s->searcher == NULL || !bytes_equal(s->pattern, pattern)) continue;
        *ret = s->searcher;
        return run_spend(run, pattern.size);
    }
    assert(run->searcher_next < RUN_SEARCHERS);
    struct run_searcher *s = &run->searchers[run->searcher_next];
    struct searcher *made;
    struct why why = {.text = ""};
    if (!run_spend_ns(run, compile_ns(pattern))) return false;
    enum err e = searcher_new(pattern, run->options->budget, &made, &why);
    if (e == ERR_INPUT) return run_fail(run, "%s", why.text);
    if (e) {
        run->failed = e;
        return false;
    }
    /* The work for a short text shows how large the program is, and how long compiling took. */
    if (!run_spend_ns(run, searcher_work(made, INSTRUCTIONS_BYTES))) {
        searcher_free(made);
        return false;
    }
    searcher_free(s->searcher);
    *s = (struct run_searcher){pattern, made}; /* the pattern lies in the arena or in the text */
    run->searcher_next = (run->searcher_next + 1) % RUN_SEARCHERS;
    *ret = made;
    return true;
}

void
run_searchers_fini(struct tmpl_run *run)
{
    for (unsigned i = 0; i < RUN_SEARCHERS; i++)
        searcher_free(run->searchers[i].searcher);
}

/* --- texts ------------------------------------------------------------------------------------ */

static TMPL_FUNCTION(safe_html)
{
    *ret = args[0];
    return true;
}

static TMPL_FUNCTION(match)
{
    const struct searcher *s;
    if (!run_searcher(run, args[0].text, &s)) return false;
    if (!run_spend_ns(run, searcher_work(s, args[1].text.size))) return false;
    *ret = tmpl_of_bool(searcher_finds(s, args[1].text));
    return true;
}

static TMPL_FUNCTION(re_replace_all)
{
    const struct searcher *s;
    if (!run_searcher(run, args[0].text, &s)) {
        return run->failed == ERR_INPUT &&
               run_prefix(run, "regexp: Compile(`%.*s`): ", (int)args[0].text.size,
                          (const char *)args[0].text.at);
    }
    assert(run->steps <= TEMPLATE_STEPS_MAX); /* run_spend() has refused more */
    uint64_t whole = (TEMPLATE_STEPS_MAX - run->steps) * STEP_NS, left = whole;
    buf_clear(&run->text);
    enum err e = searcher_replace(s, args[2].text, args[1].text, &left, &run->text);
    if (!run_settle(run, &run->text)) return false;
    if (e == ERR_NOMEM) return run_no_memory(run);
    if (!run_spend_ns(run, whole - left + (e == ERR_LIMIT) * STEP_NS)) return false;
    return run_take_text(run, ret);
}

/* --- addresses -------------------------------------------------------------------------------- */

static size_t
find_byte(struct bytes text, size_t from, char c)
{
    const uint8_t *found = from >= text.size ? NULL : memchr(text.at + from, c, text.size - from);
    return found == NULL ? text.size : (size_t)(found - text.at);
}

/* Splits "host:port" and "[v6]:port". False: the text is neither. */
static bool
split_port(struct bytes text, struct bytes *ret_host, struct bytes *ret_port)
{
    size_t colon = text.size, begin = 0, rest = 0;
    while (colon > 0 && text.at[colon - 1] != ':')
        colon--;
    if (colon == 0) return false;
    colon--;
    size_t end = colon;
    if (text.at[0] == '[') {
        end = find_byte(text, 0, ']');
        if (end + 1 != colon) return false;
        begin = 1;
        rest = colon;
    } else if (find_byte(text, 0, ':') != colon) {
        return false;
    }
    if (find_byte(text, begin, '[') < text.size || find_byte(text, rest, ']') < text.size)
        return false;
    *ret_host = bytes_of(text.at + begin, end - begin);
    *ret_port = bytes_of(text.at + colon + 1, text.size - colon - 1);
    return true;
}

static TMPL_FUNCTION(strip_port)
{
    struct bytes host, port;
    *ret = tmpl_of_text(split_port(args[0].text, &host, &port) ? host : args[0].text);
    return true;
}

static TMPL_FUNCTION(strip_domain)
{
    struct bytes host = args[0].text, port = bytes_of(NULL, 0);
    *ret = args[0];
    if (host.size == 0) return true;
    if (!split_port(args[0].text, &host, &port)) port.size = 0;
    char text[INET6_ADDRSTRLEN];
    uint8_t address[16];
    if (host.size < sizeof text && memchr(host.at, 0, host.size) == NULL) {
        memcpy(text, host.at, host.size);
        text[host.size] = '\0';
        if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1)
            return true;
    }
    host.size = find_byte(host, 0, '.');
    if (port.size == 0) {
        *ret = tmpl_of_text(host);
        return true;
    }
    bool brackets = find_byte(host, 0, ':') < host.size;
    buf_clear(&run->text);
    buf_put_text(&run->text, brackets ? "[" : "");
    buf_put_bytes(&run->text, host);
    buf_put_text(&run->text, brackets ? "]:" : ":");
    buf_put_bytes(&run->text, port);
    return run_take_text(run, ret);
}

enum { ESCAPED_ONLY, ESCAPED_IN_GRAPH, ESCAPED_IN_TABLE };

static TMPL_FUNCTION(url_escape)
{
    buf_clear(&run->text);
    if (way != ESCAPED_ONLY) buf_put_text(&run->text, "/graph?g0.expr=");
    tmpl_escape_query(args[0].text, &run->text);
    if (way != ESCAPED_ONLY)
        buf_put_text(&run->text, way == ESCAPED_IN_GRAPH ? "&g0.tab=0" : "&g0.tab=1");
    return run_take_text(run, ret);
}

static TMPL_FUNCTION(external_url)
{
    *ret = tmpl_of_text(run->root.external_url);
    return true;
}

/* The path of the URL, decoded. */
static TMPL_FUNCTION(path_prefix)
{
    struct bytes url = run->root.external_url;
    size_t colon = find_byte(url, 0, ':');
    bool has_host = colon + 2 < url.size && url.at[colon + 1] == '/' && url.at[colon + 2] == '/';
    size_t begin = find_byte(url, has_host ? colon + 3 : 0, '/');
    size_t end = find_byte(url, 0, '?'), fragment = find_byte(url, 0, '#');
    if (fragment < end) end = fragment;
    buf_clear(&run->text);
    for (size_t i = begin; i < end;) {
        uint8_t c;
        size_t step = percent_step(url.at + i, end - i, &c);
        buf_put_u8(&run->text, c);
        i += step > 0 ? step : 1;
    }
    return run_take_text(run, ret);
}

static TMPL_FUNCTION(now)
{
    *ret = tmpl_of_float((double)run->data->time_ms / 1000);
    return true;
}

/* --- numbers for people, and numbers as moments and durations --------------------------------- */

/* Converts numbers, strings, integers and durations (to seconds). */
static bool
to_float(struct tmpl_run *run, const struct tmpl_value *v, double *ret)
{
    uint64_t bits;
    switch (v->type) {
    case TMPL_TYPE_FLOAT:
        *ret = v->number;
        return true;
    case TMPL_TYPE_STRING:
        if (!number_parse_go((const char *)v->text.at, v->text.size, &bits)) {
            return run_fail_quoted(run, "strconv.ParseFloat: parsing ", v->text,
                                   ": invalid syntax");
        }
        *ret = bits_double(bits);
        return true;
    case TMPL_TYPE_INT:
        *ret = (double)v->integer;
        return true;
    case TMPL_TYPE_DURATION:
        *ret = (double)(v->integer / FUNCTIONS_SECOND_NS) +
               (double)(v->integer % FUNCTIONS_SECOND_NS) / FUNCTIONS_SECOND_NS;
        return true;
    default:
        return run_fail(run, "can't convert %s to float", tmpl_type_name(v->type));
    }
}

/* A number beyond 64 bits becomes the least integer, as in Go on AMD64. */
static int64_t
integer_of(double v)
{
    return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}

static bool
take_short(struct tmpl_run *run, double v, const char *unit, struct tmpl_value *ret)
{
    buf_clear(&run->text);
    if (isnan(v))
        buf_put_text(&run->text, "NaN");
    else if (isinf(v))
        buf_put_text(&run->text, v > 0 ? "+Inf" : "-Inf");
    else
        buf_printf(&run->text, "%.4g", v);
    buf_put_text(&run->text, unit);
    return run_take_text(run, ret);
}

enum { UNITS = 8 };

static const char *const thousands[] = {"", "k", "M", "G", "T", "P", "E", "Z", "Y"};
static const char *const thousandths[] = {"", "m", "u", "n", "p", "f", "a", "z", "y"};
static const char *const kibis[] = {"", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"};

/* Divides until *v is below `base`; returns the index of its unit. */
static unsigned
divide(double *v, double base)
{
    unsigned unit = 0;
    for (; unit < UNITS && fabs(*v) >= base; unit++)
        *v /= base;
    return unit;
}

static unsigned
multiply(double *v)
{
    unsigned unit = 0;
    for (; unit < UNITS && fabs(*v) < 1; unit++)
        *v *= 1000;
    return unit;
}

static TMPL_FUNCTION(humanize)
{
    double v;
    if (!to_float(run, &args[0], &v)) return false;
    const char *unit = "";
    if (v != 0 && isfinite(v))
        unit = fabs(v) >= 1 ? thousands[divide(&v, 1000)] : thousandths[multiply(&v)];
    return take_short(run, v, unit, ret);
}

static TMPL_FUNCTION(humanize1024)
{
    double v;
    if (!to_float(run, &args[0], &v)) return false;
    const char *unit = isfinite(v) ? kibis[divide(&v, 1024)] : "";
    return take_short(run, v, unit, ret);
}

static TMPL_FUNCTION(humanize_percentage)
{
    double v;
    return to_float(run, &args[0], &v) && take_short(run, v * 100, "%", ret);
}

/* Prints whole seconds from a minute on, and a smaller unit below a second. */
static TMPL_FUNCTION(humanize_duration)
{
    double v;
    if (!to_float(run, &args[0], &v)) return false;
    if (!isfinite(v)) return take_short(run, v, "", ret);
    if (fabs(v) < 60) {
        char unit[4] = "";
        bool small = v != 0 && fabs(v) < 1;
        strcat(strcpy(unit, small ? thousandths[multiply(&v)] : ""), "s");
        return take_short(run, v, unit, ret);
    }
    int64_t all = integer_of(fabs(v));
    long long days = all / 86400, hours = all / 3600 % 24, minutes = all / 60 % 60, s = all % 60;
    struct buf *to = &run->text;
    buf_clear(to);
    if (v < 0) buf_put_u8(to, '-');
    if (days != 0) buf_printf(to, "%lldd ", days);
    if (days != 0 || hours != 0) buf_printf(to, "%lldh ", hours);
    buf_printf(to, "%lldm %llds", minutes, s);
    return run_take_text(run, ret);
}

/* Converts 1d2h to a number of seconds. */
static TMPL_FUNCTION(parse_duration)
{
    int64_t ms = 0;
    bool zero = bytes_equal_text(args[0].text, "0");
    if (!zero && !time_parse_duration_api(args[0].text, &ms))
        return run_fail_quoted(run, "not a valid duration string: ", args[0].text, "");
    *ret = tmpl_of_float((double)ms / 1000);
    return true;
}

static TMPL_FUNCTION(to_duration)
{
    double v;
    if (!to_float(run, &args[0], &v)) return false;
    *ret = tmpl_of_integer(TMPL_TYPE_DURATION, integer_of(v * FUNCTIONS_SECOND_NS));
    return true;
}

/* Converts seconds to a moment with milliseconds. */
static bool
moment_of(struct tmpl_run *run, double v, int64_t *ret)
{
    enum { MS_NS = 1000000 };
    double ns = v * 1e9;
    if (ns > 0x1p63 || ns < -0x1p63) {
        return run_fail(run,
                        "%g cannot be represented as a nanoseconds timestamp since it overflows "
                        "int64",
                        v);
    }
    *ret = integer_of(ns) / MS_NS * MS_NS;
    return true;
}

static TMPL_FUNCTION(humanize_timestamp)
{
    double v;
    int64_t ns = 0;
    if (!to_float(run, &args[0], &v)) return false;
    if (!isfinite(v)) return take_short(run, v, "", ret);
    if (!moment_of(run, v, &ns)) return false;
    const struct tmpl_value moment = tmpl_of_integer(TMPL_TYPE_TIME, ns);
    buf_clear(&run->text);
    tmpl_print_own(&moment, &run->text);
    return run_take_text(run, ret);
}

static TMPL_FUNCTION(to_time)
{
    double v;
    int64_t ns = 0;
    if (!to_float(run, &args[0], &v)) return false;
    if (!isfinite(v)) return run_fail(run, "value is NaN or Inf");
    if (!moment_of(run, v, &ns)) return false;
    *ret = tmpl_of_integer(TMPL_TYPE_TIME, ns);
    return true;
}

/* --- the table -------------------------------------------------------------------------------- */

#define STRING TMPL_TYPE_STRING
#define SAMPLE TMPL_TYPE_SAMPLE
#define RESULT TMPL_TYPE_RESULT
#define ANY    TMPL_TYPE_ANY

/* Ordered by name. */
static const struct tmpl_function functions[] = {
    {"args", args_function, 1, true, {ANY}},
    {.name = "externalURL", .call = external_url},
    {"first", first, 1, false, {RESULT}},
    {"graphLink", url_escape, 1, false, {STRING}, ESCAPED_IN_GRAPH},
    {"humanize", humanize, 1, false, {ANY}},
    {"humanize1024", humanize1024, 1, false, {ANY}},
    {"humanizeDuration", humanize_duration, 1, false, {ANY}},
    {"humanizePercentage", humanize_percentage, 1, false, {ANY}},
    {"humanizeTimestamp", humanize_timestamp, 1, false, {ANY}},
    {"label", label, 2, false, {STRING, SAMPLE}},
    {"match", match, 2, false, {STRING, STRING}},
    {.name = "now", .call = now},
    {"parseDuration", parse_duration, 1, false, {STRING}},
    {.name = "pathPrefix", .call = path_prefix},
    {"query", query, 1, false, {STRING}},
    {"reReplaceAll", re_replace_all, 3, false, {STRING, STRING, STRING}},
    {"safeHtml", safe_html, 1, false, {STRING}},
    {"sortByLabel", sort_by_label, 2, false, {STRING, RESULT}},
    {"stripDomain", strip_domain, 1, false, {STRING}},
    {"stripPort", strip_port, 1, false, {STRING}},
    {"strvalue", strvalue, 1, false, {SAMPLE}},
    {"tableLink", url_escape, 1, false, {STRING}, ESCAPED_IN_TABLE},
    {"title", change_case, 1, false, {STRING}, CASE_TITLE},
    {"toDuration", to_duration, 1, false, {ANY}},
    {"toLower", change_case, 1, false, {STRING}, CASE_LOWER},
    {"toTime", to_time, 1, false, {ANY}},
    {"toUpper", change_case, 1, false, {STRING}, CASE_UPPER},
    {"urlQueryEscape", url_escape, 1, false, {STRING}, ESCAPED_ONLY},
    {"value", value, 1, false, {SAMPLE}},
};

const char *
template_function_word(uint32_t n)
{
    return n < sizeof functions / sizeof *functions ? functions[n].name : NULL;
}

const struct tmpl_function *
tmpl_find_in(const struct tmpl_function *list, size_t count, struct bytes name)
{
    for (size_t i = 0; i < count; i++)
        if (bytes_equal_text(name, list[i].name)) return &list[i];
    return NULL;
}

/* A function of Prometheus hides one of Go with its name. */
const struct tmpl_function *
tmpl_function_find(struct bytes name)
{
    const struct tmpl_function *found =
        tmpl_find_in(functions, sizeof functions / sizeof *functions, name);
    return found != NULL ? found : tmpl_builtin_find(name);
}
