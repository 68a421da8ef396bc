/* verify_rules.c - see verify_rules.h. */
#include "cli/rules/verify_rules.h"

#include <stdio.h>

#include "base/text/quote.h"
#include "model/storage_layout.h"
#include "rules/load/rule_files.h"
#include "rules/schedule/checkpoint.h"
#include "rules/stored/stored_file.h"

enum { LINE_BYTES_MAX = 1024 };

struct verifying_rules {
    const struct verify_rules_options *options;
    char dir[FILE_PATH_BYTES];
    struct verify_rules_report report;
    const char *tenant; /* tenant whose file is being read */
};

static void PRINTF_LIKE(2, 3) add_finding(struct verifying_rules *v, const char *format, ...)
{
    char line[LINE_BYTES_MAX];
    int used = snprintf(line, sizeof line, "stored rules of tenant %s: ", v->tenant);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    va_end(args);
    v->report.wrong++;
    v->options->say(v->options->context, line);
}

static enum err
check_group(struct verifying_rules *v, const struct stored_text *text)
{
    const struct rule_file_options options = {.report = NULL};
    struct rule_group group;
    struct arena arena;
    struct why why = {""};
    arena_init(&arena, v->options->memory, 0, 0);
    enum err e = rule_group_parse("group", text->text, &options, &arena, &group, &why);
    if (e == OK && !bytes_equal_text(text->name, group.name)) {
        e = why_set(&why, ERR_INPUT, "its text is that of %s",
                    shown_of(bytes_of_text(group.name)).text);
    }
    arena_fini(&arena);
    v->report.groups++;
    if (e == OK || e == ERR_NOMEM) return e;
    add_finding(v, "namespace %s, group %s: %s", shown_of(text->namespace).text,
                shown_of(text->name).text, why_text(&why, e));
    return OK;
}

static enum err
check_tenant(void *context, const char *tenant)
{
    struct verifying_rules *v = context;
    struct stored_texts texts = {NULL};
    struct arena arena;
    struct buf file;
    struct why why = {""};
    v->tenant = tenant;
    v->report.tenants++;
    arena_init(&arena, v->options->memory, 0, 0);
    buf_init(&file, v->options->memory, STORED_FILE_BYTES_MAX);
    enum err e = stored_read(v->options->env, v->dir, tenant, &file, &why);
    if (e == OK) e = stored_decode(buf_bytes(&file), bytes_of_text(tenant), &arena, &texts, &why);
    if (e != OK && e != ERR_NOMEM) {
        add_finding(v, "%s/%s.groups: %s", v->dir, tenant, why_text(&why, e));
        e = OK;
    }
    for (uint32_t i = 0; e == OK && i < texts.count; i++) {
        e = check_group(v, &texts.items[i]);
    }
    buf_fini(&file);
    arena_fini(&arena);
    return e;
}

static enum err
check_state(struct verifying_rules *v, struct why *why)
{
    const struct verify_rules_options *options = v->options;
    char line[LINE_BYTES_MAX];
    struct checkpoint_reader state;
    struct why reason = {""};
    enum err e = checkpoint_read(options->env, options->dir, options->memory, &state, &reason);
    if (e == OK) checkpoint_fini(&state);
    if (e == OK || e == ERR_MISSING) return OK;
    if (e == ERR_NOMEM) return why_set(why, e, "%s", why_text(&reason, e));
    snprintf(line, sizeof line, "state of rules: %s", why_text(&reason, e));
    v->report.wrong++;
    options->say(options->context, line);
    return OK;
}

enum err
verify_rules(const struct verify_rules_options *options, struct verify_rules_report *ret,
             struct why *why)
{
    struct verifying_rules v = {.options = options};
    struct why listing = {""};
    enum err e = path_in(v.dir, sizeof v.dir, options->dir, STORAGE_RULES, why);
    if (e) return e;
    e = stored_each(options->env, v.dir, check_tenant, &v, &listing);
    if (e != OK && e != ERR_MISSING) return why_set(why, e, "%s", why_text(&listing, e));
    e = check_state(&v, why);
    if (e == OK) *ret = v.report;
    return e;
}
