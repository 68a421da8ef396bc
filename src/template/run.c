/* run.c - errors and limits of an execution, and values: see run.h. */
#include "template/run.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/text/quote.h"

enum {
    STEP_BYTES = 64, /* cost of text: one step for so many bytes */
    RUN_STEP_NS = 1000,
};

__attribute__((format(printf, 2, 0))) static void
set_message(struct tmpl_run *run, const char *format, va_list args)
{
    (void)vsnprintf(run->message, sizeof run->message, format, args);
}

bool
run_fail(struct tmpl_run *run, const char *format, ...)
{
    va_list args;
    if (run->failed) return false; /* the first error wins */
    va_start(args, format);
    set_message(run, format, args);
    va_end(args);
    run->failed = ERR_INPUT;
    return false;
}

bool
run_prefix(struct tmpl_run *run, const char *format, ...)
{
    va_list args;
    char before[RUN_MESSAGE_BYTES];
    assert(run->failed != OK); /* there is a message */
    memcpy(before, run->message, sizeof before);
    va_start(args, format);
    set_message(run, format, args);
    va_end(args);
    size_t size = strlen(run->message);
    (void)snprintf(run->message + size, sizeof run->message - size, "%s", before);
    return false;
}

bool
run_limit(struct tmpl_run *run, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_message(run, format, args);
    va_end(args);
    run->failed = ERR_LIMIT;
    return false;
}

bool
run_no_memory(struct tmpl_run *run)
{
    /* Exceeding the limit of a template is its own fault; that of an outer budget is not. */
    bool own = atomic_load_explicit(&run->budget.refused_count, memory_order_relaxed) > 0;
    if (own) return run_limit(run, "more than %d MiB of memory", RUN_MEMORY_BYTES_MAX >> 20);
    run->failed = ERR_NOMEM;
    return false;
}

bool
run_settle(struct tmpl_run *run, const struct buf *buf)
{
    if (buf_error(buf) == OK) return true;
    if (buf_error(buf) == ERR_NOMEM) return run_no_memory(run);
    return run_limit(run, "more than %d bytes of text", TEMPLATE_OUTPUT_BYTES_MAX);
}

static bool
spend_steps(struct tmpl_run *run, uint64_t steps)
{
    run->steps += steps;
    if (run->steps <= TEMPLATE_STEPS_MAX) return true;
    return run_limit(run, "more than %d steps", TEMPLATE_STEPS_MAX);
}

bool
run_spend(struct tmpl_run *run, uint64_t size_bytes)
{
    return spend_steps(run, 1 + size_bytes / STEP_BYTES);
}

bool
run_spend_ns(struct tmpl_run *run, uint64_t ns)
{
    return spend_steps(run, 1 + ns / RUN_STEP_NS);
}

struct bytes
run_copy(struct tmpl_run *run, struct bytes text)
{
    struct bytes copy = arena_copy(&run->arena, text);
    if (copy.at == NULL) run_no_memory(run);
    return copy;
}

bool
run_take_text(struct tmpl_run *run, struct tmpl_value *ret)
{
    if (!run_settle(run, &run->text) || !run_spend(run, run->text.size)) return false;
    *ret = tmpl_of_text(run_copy(run, buf_bytes(&run->text)));
    return ret->text.at != NULL;
}

bool
run_value(struct tmpl_run *run, uint64_t bits, const struct fhist *h, struct tmpl_value *ret)
{
    *ret = tmpl_of_float(bits_double(bits));
    if (h == NULL) return true;
    if (!run_spend(run, fhist_bytes(h))) return false;
    *ret =
        (struct tmpl_value){.type = TMPL_TYPE_HISTOGRAM, .histogram = fhist_keep(&run->arena, h)};
    return ret->histogram != NULL || run_no_memory(run);
}

bool
run_fail_quoted(struct tmpl_run *run, const char *before, struct bytes text, const char *after)
{
    buf_clear(&run->scratch);
    quote_text(&run->scratch, text);
    if (buf_error(&run->scratch) == ERR_NOMEM) return run_no_memory(run);
    return run_fail(run, "%s%.*s%s", before, (int)run->scratch.size, (const char *)run->scratch.at,
                    after);
}

/* --- values ----------------------------------------------------------------------------------- */

const char *
tmpl_type_name(enum tmpl_type type)
{
    /* not shown: names of types */
    static const char *const names[] = {
        [TMPL_TYPE_NIL] = "<nil>",
        [TMPL_TYPE_BOOL] = "bool",
        [TMPL_TYPE_INT] = "int",
        [TMPL_TYPE_FLOAT] = "float64",
        [TMPL_TYPE_STRING] = "string",
        [TMPL_TYPE_TIME] = "time.Time",
        [TMPL_TYPE_DURATION] = "time.Duration",
        [TMPL_TYPE_LABELS] = "map[string]string",
        [TMPL_TYPE_ARGS] = "map[string]interface {}",
        [TMPL_TYPE_RESULT] = "template.queryResult",
        [TMPL_TYPE_SAMPLE] = "*template.sample",
        [TMPL_TYPE_HISTOGRAM] = "*histogram.FloatHistogram",
        [TMPL_TYPE_DATA] = ("struct { Labels map[string]string; ExternalLabels map[string]string; "
                            "ExternalURL string; Value interface {} }"),
        [TMPL_TYPE_ANY] = "interface {}",
    };
    return names[type];
}

int64_t
tmpl_length(const struct tmpl_value *v)
{
    if (v->type == TMPL_TYPE_STRING) return (int64_t)v->text.size;
    if (v->type == TMPL_TYPE_RESULT) return v->result.count;
    return tmpl_is_map(v->type) ? (int64_t)v->map->count : -1;
}

struct tmpl_value
tmpl_element(const struct tmpl_value *v, int64_t i)
{
    assert(i >= 0);
    assert(i < tmpl_length(v));
    if (v->type == TMPL_TYPE_STRING) return tmpl_of_integer(TMPL_TYPE_INT, v->text.at[i]);
    return tmpl_of_sample(v->result.samples[i]);
}

bool
tmpl_is_true(const struct tmpl_value *v)
{
    int64_t length = tmpl_length(v);
    if (length >= 0) return length > 0;
    if (tmpl_is_integer(v->type)) return v->integer != 0;
    if (v->type == TMPL_TYPE_FLOAT) return v->number != 0;
    if (v->type == TMPL_TYPE_BOOL) return v->truth;
    return v->type != TMPL_TYPE_NIL;
}

static int
compare_entries(const void *a, const void *b)
{
    const struct tmpl_entry *x = a, *y = b;
    return bytes_compare(x->key, y->key);
}

void
tmpl_map_sort(struct tmpl_map *map)
{
    if (map->count > 1) qsort(map->entries, map->count, sizeof *map->entries, compare_entries);
}

struct tmpl_value
tmpl_map_get(const struct tmpl_value *map, struct bytes key)
{
    assert(tmpl_is_map(map->type));
    const struct tmpl_entry *entries = map->map->entries;
    uint32_t count = map->map->count;
    uint32_t at = search_first(i, 0u, count, bytes_compare(entries[i].key, key) >= 0);
    if (at < count && bytes_equal(entries[at].key, key)) return entries[at].value;
    if (map->type == TMPL_TYPE_LABELS) return tmpl_of_text(bytes_of("", 0));
    return (struct tmpl_value){.type = TMPL_TYPE_NIL};
}

bool
tmpl_field_at(const struct tmpl_value *v, unsigned index, const char **ret_name,
              struct tmpl_value *ret)
{
    struct tmpl_field {
        const char *name;
        struct tmpl_value value;
    } fields[5] = {{NULL}};
    if (v->type == TMPL_TYPE_DATA) {
        const struct tmpl_root *root = v->root;
        fields[0] = (struct tmpl_field){"Labels", tmpl_of_labels(&root->labels)};
        fields[1] = (struct tmpl_field){"ExternalLabels", tmpl_of_labels(&root->external_labels)};
        fields[2] = (struct tmpl_field){"ExternalURL", tmpl_of_text(root->external_url)};
        fields[3] = (struct tmpl_field){"Value", root->value};
    } else if (v->type == TMPL_TYPE_SAMPLE) {
        fields[0] = (struct tmpl_field){"Labels", tmpl_of_labels(&v->sample->labels)};
        fields[1] = (struct tmpl_field){"Value", v->sample->value};
    } else if (v->type == TMPL_TYPE_HISTOGRAM) {
        const struct fhist *h = v->histogram;
        fields[0] = (struct tmpl_field){"Count", tmpl_of_float(h->count)};
        fields[1] = (struct tmpl_field){"Sum", tmpl_of_float(h->sum)};
        fields[2] = (struct tmpl_field){"ZeroCount", tmpl_of_float(h->zero_count)};
        fields[3] = (struct tmpl_field){"ZeroThreshold", tmpl_of_float(h->zero_threshold)};
        fields[4] = (struct tmpl_field){"Schema", tmpl_of_integer(TMPL_TYPE_INT, h->schema)};
    }
    if (index >= sizeof fields / sizeof *fields || fields[index].name == NULL) return false;
    *ret_name = fields[index].name;
    *ret = fields[index].value;
    return true;
}

bool
tmpl_field_find(const struct tmpl_value *v, struct bytes name, struct tmpl_value *ret)
{
    const char *field;
    struct tmpl_value value;
    for (unsigned i = 0; tmpl_field_at(v, i, &field, &value); i++) {
        if (!bytes_equal_text(name, field)) continue;
        *ret = value;
        return true;
    }
    return false;
}
