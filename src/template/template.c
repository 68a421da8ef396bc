/*
 * template.c - see template.h. A text is parsed (lexer.c, parser.c) and executed (execute.c); it
 * calls functions of builtins.c, functions.c and methods.c, and verbs.c prints values.
 *
 * Declarations of $labels and the others precede each text, as in Prometheus, and columns in the
 * first line of a text count them.
 *
 * Invariants: all memory of a run, except for regexes, is charged to its own budget, and is
 * returned when the run ends. Exactly the runs that have failed have an error.
 */
#include "template/template.h"

#include <assert.h>
#include <stdio.h>

#include "base/array.h"
#include "base/text/quote.h"
#include "template/run.h"

static const char template_declarations[] =
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}"
    "{{$externalURL := .ExternalURL}}{{$value := .Value}}";

enum {
    SCRATCH_BYTES_MAX = TEMPLATE_OUTPUT_BYTES_MAX + 1024,
};

static void
tmpl_run_begin(struct tmpl_run *run, const struct template_options *options)
{
    *run = (struct tmpl_run){.options = options};
    budget_init(&run->budget, "template", RUN_MEMORY_BYTES_MAX, options->budget);
    arena_init(&run->arena, &run->budget, 0, 0);
    buf_init(&run->out, &run->budget, TEMPLATE_OUTPUT_BYTES_MAX);
    buf_init(&run->text, &run->budget, TEMPLATE_OUTPUT_BYTES_MAX);
    buf_init(&run->scratch, &run->budget, SCRATCH_BYTES_MAX);
}

static void
tmpl_run_end(struct tmpl_run *run)
{
    run_searchers_fini(run);
    array_free(&run->budget, run->variables, run->variable_capacity);
    buf_fini(&run->out);
    buf_fini(&run->text);
    buf_fini(&run->scratch);
    tmpl_unicode_fini(&run->unicode);
    arena_fini(&run->arena);
    assert(budget_used(&run->budget) == 0);
}

static bool
map_of(struct tmpl_run *run, const struct label *labels, uint32_t count, struct tmpl_map *ret)
{
    struct tmpl_entry *entries = arena_alloc(&run->arena, (count + 1u) * sizeof *entries);
    if (entries == NULL) return run_no_memory(run);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes text = labels[i].value.size == 0 ? bytes_of("", 0) : labels[i].value;
        entries[i] = (struct tmpl_entry){labels[i].name, tmpl_of_text(text)};
    }
    *ret = (struct tmpl_map){.entries = entries, .count = count};
    tmpl_map_sort(ret);
    return true;
}

static bool
take_data(struct tmpl_run *run, const struct template_data *data)
{
    run->data = data;
    run->root.external_url = data->external_url;
    if (data->external_url.size == 0) run->root.external_url = bytes_of("", 0);
    return run_value(run, data->value, data->histogram, &run->root.value) &&
           map_of(run, data->labels, data->label_count, &run->root.labels) &&
           map_of(run, data->external_labels, data->external_count, &run->root.external_labels);
}

static bool
tmpl_run_parse(struct tmpl_run *run, struct bytes text)
{
    if (text.size > TEMPLATE_TEXT_BYTES_MAX)
        return run_limit(run, "more than %d bytes of template", TEMPLATE_TEXT_BYTES_MAX);
    size_t before = sizeof template_declarations - 1;
    uint8_t *whole = arena_alloc(&run->arena, before + text.size);
    if (whole == NULL) return run_no_memory(run);
    memcpy(whole, template_declarations, before);
    if (text.size > 0) memcpy(whole + before, text.at, text.size);
    run->parsed = bytes_of(whole, before + text.size);
    const struct tmpl_parsing parsing = {.text = run->parsed,
                                         .name = run->options->name,
                                         .arena = &run->arena,
                                         .unicode = &run->unicode,
                                         .sentence = &run->scratch};
    enum err e = tmpl_parse(&parsing, &run->templates);
    if (e == OK) return true;
    if (e == ERR_NOMEM) return run_no_memory(run);
    run->failed = e;
    (void)snprintf(run->message, sizeof run->message, "%.*s", (int)run->scratch.size,
                   (const char *)run->scratch.at);
    return false;
}

/* Reports "error executing template NAME: template: NAME:LINE:COLUMN: executing "NAME" at <NODE>:
 * MESSAGE". */
static enum err
why_execution_failed(struct tmpl_run *run, struct why *why)
{
    struct buf *to = &run->text;
    struct bytes name = run->options->name;
    buf_clear(to);
    buf_put_text(to, "error executing template ");
    buf_put_bytes(to, name);
    buf_put_text(to, ": template: ");
    buf_put_bytes(to, name);
    if (run->at != NULL) {
        uint32_t column, line = tmpl_line_at(run->parsed, run->at->at, &column);
        buf_printf(to, ":%u:%u: executing ", line, column);
        quote_text(to, run->template->name);
        buf_put_text(to, " at <");
        buf_put_cut(to, run->at->source);
        buf_put_text(to, ">");
    }
    buf_put_text(to, ": ");
    buf_put_text(to, run->message);
    if (buf_error(to) == ERR_NOMEM) return ERR_NOMEM;
    return why_set(why, ERR_INPUT, "%.*s", (int)to->size, (const char *)to->at);
}

/* Reports why a run failed. `before` precedes the sentence of a text that cannot be parsed; NULL if
 * nothing does. */
static enum err
why_failed(struct tmpl_run *run, bool parsed, const char *before, struct why *why)
{
    struct bytes name = run->options->name;
    assert(run->failed != OK);
    if (run->query_failed) {
        if (run->message[0] == '\0') return run->failed;
        return why_set(why, run->failed, "%s", run->message);
    }
    if (run->failed == ERR_LIMIT) {
        return why_set(why, ERR_LIMIT, "template %.*s is too large: %s", (int)name.size,
                       (const char *)name.at, run->message);
    }
    if (run->failed != ERR_INPUT) return run->failed; /* ERR_NOMEM has no sentence */
    if (parsed) return why_execution_failed(run, why);
    if (before == NULL) return why_set(why, ERR_INPUT, "%s", run->message);
    return why_set(why, ERR_INPUT, "%s %.*s: %s", before, (int)name.size, (const char *)name.at,
                   run->message);
}

enum err
template_expand(const struct template_options *options, struct bytes text,
                const struct template_data *data, struct buf *to, struct why *why)
{
    struct tmpl_run run;
    bool parsed = false;
    tmpl_run_begin(&run, options);
    if (take_data(&run, data)) parsed = tmpl_run_parse(&run, text);
    if (parsed && run_execute(&run)) {
        assert(run.failed == OK);
        buf_put_bytes(to, buf_bytes(&run.out));
        enum err e = buf_error(to);
        tmpl_run_end(&run);
        return e;
    }
    enum err e = why_failed(&run, parsed, "error parsing template", why);
    tmpl_run_end(&run);
    return e;
}

enum err
template_check(const struct template_options *options, struct bytes text, struct why *why)
{
    struct tmpl_run run;
    enum err e = OK;
    tmpl_run_begin(&run, options);
    if (!tmpl_run_parse(&run, text)) e = why_failed(&run, false, NULL, why);
    tmpl_run_end(&run);
    return e;
}
