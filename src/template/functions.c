/* functions.c - the functions that Prometheus gives to templates: see run.h. */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text/hex.h"
#include "model/regex/replacer.h"
#include "template/run.h"

enum {
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
    for (uint32_t i = 0; i < count && labels_next(&c, &label); i++) {
        entries[i] = (struct tmpl_entry){label.name, tmpl_of_text(label.value)};
    }
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
    if (args[0].result.count == 0) {
        return run_fail(run, "first() called on vector with no elements");
    }
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
    for (uint32_t i = 0; i < size; i++) {
        args[1].result.samples[i] = places[i].sample;
    }
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
        if (args[i].type == TMPL_TYPE_ARGS && args[i].map->depth >= depth) {
            depth = args[i].map->depth + 1;
        }
    }
    if (depth > TEMPLATE_DEPTH_MAX) {
        return run_limit(run, "more than %d levels of args", TEMPLATE_DEPTH_MAX);
    }
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
    for (unsigned i = 0; i < RUN_SEARCHERS; i++) {
        searcher_free(run->searchers[i].searcher);
    }
}

/* --- texts ------------------------------------------------------------------------------------ */

static bool
change_case(struct tmpl_run *run, enum tmpl_case as, struct bytes text, struct tmpl_value *ret)
{
    buf_clear(&run->text);
    tmpl_change_case(&run->unicode, as, text, &run->text);
    if (run->unicode.failed) return run_no_memory(run);
    return run_take_text(run, ret);
}

static TMPL_FUNCTION(title)
{
    return change_case(run, TMPL_TITLE, args[0].text, ret);
}

static TMPL_FUNCTION(to_upper)
{
    return change_case(run, TMPL_UPPER, args[0].text, ret);
}

static TMPL_FUNCTION(to_lower)
{
    return change_case(run, TMPL_LOWER, args[0].text, ret);
}

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
    while (colon > 0 && text.at[colon - 1] != ':') {
        colon--;
    }
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
    if (find_byte(text, begin, '[') < text.size || find_byte(text, rest, ']') < text.size) {
        return false;
    }
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

static bool
take_escaped(struct tmpl_run *run, const char *before, struct bytes text, const char *after,
             struct tmpl_value *ret)
{
    buf_clear(&run->text);
    buf_put_text(&run->text, before);
    tmpl_escape_query(text, &run->text);
    buf_put_text(&run->text, after);
    return run_take_text(run, ret);
}

static TMPL_FUNCTION(url_query_escape)
{
    return take_escaped(run, "", args[0].text, "", ret);
}

static TMPL_FUNCTION(graph_link)
{
    return take_escaped(run, "/graph?g0.expr=", args[0].text, "&g0.tab=0", ret);
}

static TMPL_FUNCTION(table_link)
{
    return take_escaped(run, "/graph?g0.expr=", args[0].text, "&g0.tab=1", ret);
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
    {"graphLink", graph_link, 1, false, {STRING}},
    {"humanize", run_humanize, 1, false, {ANY}},
    {"humanize1024", run_humanize1024, 1, false, {ANY}},
    {"humanizeDuration", run_humanize_duration, 1, false, {ANY}},
    {"humanizePercentage", run_humanize_percentage, 1, false, {ANY}},
    {"humanizeTimestamp", run_humanize_timestamp, 1, false, {ANY}},
    {"label", label, 2, false, {STRING, SAMPLE}},
    {"match", match, 2, false, {STRING, STRING}},
    {.name = "now", .call = now},
    {"parseDuration", run_parse_duration, 1, false, {STRING}},
    {.name = "pathPrefix", .call = path_prefix},
    {"query", query, 1, false, {STRING}},
    {"reReplaceAll", re_replace_all, 3, false, {STRING, STRING, STRING}},
    {"safeHtml", safe_html, 1, false, {STRING}},
    {"sortByLabel", sort_by_label, 2, false, {STRING, RESULT}},
    {"stripDomain", strip_domain, 1, false, {STRING}},
    {"stripPort", strip_port, 1, false, {STRING}},
    {"strvalue", strvalue, 1, false, {SAMPLE}},
    {"tableLink", table_link, 1, false, {STRING}},
    {"title", title, 1, false, {STRING}},
    {"toDuration", run_to_duration, 1, false, {ANY}},
    {"toLower", to_lower, 1, false, {STRING}},
    {"toTime", run_to_time, 1, false, {ANY}},
    {"toUpper", to_upper, 1, false, {STRING}},
    {"urlQueryEscape", url_query_escape, 1, false, {STRING}},
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
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal_text(name, list[i].name)) return &list[i];
    }
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
