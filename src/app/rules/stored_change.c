/*
 * stored_change.c - changes of stored rules.
 *
 * A group never changes: an edit makes another one. A tenant is a list of groups, in their order;
 * an edit makes another list, which shares the unchanged groups. So the groups in force stay as
 * they are until the commit, which only exchanges pointers. Invariants: see stored_rules.c.
 */
#include "app/rules/stored_rules_private.h"

#include <assert.h>

#include "base/log.h"
#include "rules/load/rule_files.h"
#include "rules/load/rule_print.h"
#include "rules/stored/stored_file.h"

struct stored_change {
    struct stored_rules *stored;
    struct tenant_list tenants; /* all tenants after the change, once it is prepared */
    struct kept_tenant *next;   /* replaces `before`; a tenant without groups is removed */
    struct kept_tenant *before; /* NULL if the tenant is new */
    struct kept_group *added;
    uint32_t removed_at, removed_count; /* groups of `before` that are removed */
};

/* --- a group that is given -------------------------------------------------------------------- */

static void
add_reason(void *context, struct bytes sentence)
{
    struct buf *reasons = context;
    buf_put_bytes(reasons, sentence);
    buf_put_u8(reasons, '\n');
}

/* Prints the group in the form in which it is stored, whatever form the client sent. */
static enum err
keep_printed(struct stored_rules *s, struct kept_group *g, struct why *why)
{
    struct buf text;
    buf_init(&text, s->memory, RULE_FILE_BYTES_MAX);
    rule_group_print(&g->rules, &text);
    enum err e = buf_error(&text);
    if (e == OK) g->text = arena_copy(&g->arena, buf_bytes(&text));
    if (e == OK && g->text.at == NULL) e = ERR_NOMEM;
    buf_fini(&text);
    if (e == ERR_LIMIT) {
        return why_set(why, e, "a group of rules must have at most %d MiB",
                       RULE_FILE_BYTES_MAX >> 20);
    }
    return e ? why_set(why, e, "%s", STORED_NO_MEMORY) : OK;
}

/* Parses the group that a client sent. */
static enum err
read_given(struct stored_rules *s, const struct rules_edit *edit, struct buf *reasons,
           struct kept_group **ret, struct why *why)
{
    const struct rule_file_options options = {.report = add_reason, .context = reasons};
    struct rule_group rules;
    struct kept_group *g = kept_group_new(s, bytes_of_text(edit->namespace));
    if (g == NULL) return why_set(why, ERR_NOMEM, "%s", STORED_NO_MEMORY);
    enum err e = rule_group_parse("body", edit->text, &options, &g->arena, &rules, why);
    if (e == ERR_NOMEM) why_set(why, e, "%s", STORED_NO_MEMORY);
    if (e == OK) e = stored_name_check(bytes_of_text(rules.name), "group name", why);
    if (e == OK) {
        kept_group_take(g, &rules);
        g->name = rules.name;
        e = keep_printed(s, g, why);
    }
    if (e)
        kept_group_free(s, g);
    else
        *ret = g;
    return e;
}

/* --- changes ---------------------------------------------------------------------------------- */

void
stored_rules_abandon(struct stored_change *c)
{
    if (c == NULL) return;
    struct stored_rules *s = c->stored;
    kept_group_free(s, c->added);
    kept_tenant_free(s, c->next);
    tenant_list_fini(s, &c->tenants);
    mem_free(s->memory, c, sizeof *c);
}

/* Finds the groups that the edit removes. ERR_MISSING: a deletion finds none. */
static enum err
find_removed(struct stored_change *c, const struct rules_edit *edit, struct why *why)
{
    const struct kept_tenant *t = c->before;
    const char *name = edit->verb == RULES_SET ? c->added->name : edit->group;
    if (edit->verb == RULES_DELETE_NAMESPACE) name = NULL;
    if (t != NULL) {
        c->removed_at = kept_tenant_find(t, edit->namespace, name);
        while (kept_tenant_has(t, c->removed_at + c->removed_count, edit->namespace, name)) {
            c->removed_count++;
        }
    }
    if (c->removed_count > 0 || edit->verb == RULES_SET) return OK;
    return why_set(why, ERR_MISSING,
                   name == NULL ? "group namespace does not exist" : "group does not exist");
}

/* Makes the tenant with the edit applied. False: no memory. */
static bool
make_next(struct stored_change *c, struct bytes name)
{
    struct stored_rules *s = c->stored;
    const struct kept_tenant *t = c->before;
    uint32_t count = t == NULL ? 0 : t->count;
    c->next = kept_tenant_new(s, name);
    if (c->next == NULL) return false;
    for (uint32_t i = 0; i < c->removed_at; i++) {
        if (!kept_tenant_add(s, c->next, t->groups[i])) return false;
    }
    if (c->added != NULL && !kept_tenant_add(s, c->next, c->added)) return false;
    for (uint32_t i = c->removed_at + c->removed_count; i < count; i++) {
        if (!kept_tenant_add(s, c->next, t->groups[i])) return false;
    }
    assert(c->next->count + c->removed_count == count + (c->added != NULL)); /* invariant 4 */
    return true;
}

/* Makes the list of tenants with the edit applied. False: no memory. */
static bool
make_list(struct stored_change *c)
{
    struct stored_rules *s = c->stored;
    bool is_placed = c->next->count == 0;
    for (uint32_t i = 0; i < s->tenants.count; i++) {
        struct kept_tenant *t = s->tenants.items[i];
        if (!is_placed && strcmp(t->name, c->next->name) >= 0) {
            if (!tenant_list_add(s, &c->tenants, c->next)) return false;
            is_placed = true;
        }
        if (t != c->before && !tenant_list_add(s, &c->tenants, t)) return false;
    }
    return is_placed || tenant_list_add(s, &c->tenants, c->next);
}

static enum err
check_counts(const struct stored_change *c, const struct stored_limits *limits, struct why *why)
{
    uint32_t count = c->before == NULL ? 0 : c->before->count;
    if (c->added == NULL || c->removed_count > 0) return OK;
    if (count >= limits->groups_max) {
        return why_set(why, ERR_INPUT,
                       "at most %u groups of a tenant can be stored (rules.api_max_groups)",
                       limits->groups_max);
    }
    if (c->before == NULL && c->stored->tenants.count >= STORED_TENANTS_MAX) {
        return why_set(why, ERR_INPUT, "at most %d tenants can store rules", STORED_TENANTS_MAX);
    }
    return OK;
}

/* A group may be stored where the file cannot be read: it begins a new file. If a newer version
 * wrote the file, that version can read it, and the edit is refused. */
static enum err
check_trouble(const struct kept_tenant *t, enum rules_verb verb, struct why *why)
{
    if (t == NULL || t->trouble == OK) return OK;
    if (verb == RULES_SET && t->trouble != ERR_UNSUPPORTED) return OK;
    return why_set(why, t->trouble, "%s", t->why.text);
}

enum err
stored_rules_prepare(struct stored_rules *s, const struct rules_edit *edit,
                     const struct stored_limits *limits, struct buf *reasons,
                     struct stored_change **ret_change, struct why *why)
{
    if (edit->text.size > limits->bytes_max) {
        return why_set(why, ERR_LIMIT,
                       "a group of rules must have at most %llu bytes "
                       "(rules.api_max_bytes)",
                       (unsigned long long)limits->bytes_max);
    }
    struct stored_change *c = mem_new(s->memory, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "%s", STORED_NO_MEMORY);
    c->stored = s;
    c->before = stored_rules_find(s, edit->tenant);
    enum err e = stored_name_check(bytes_of_text(edit->namespace), "namespace", why);
    if (e == OK) e = check_trouble(c->before, edit->verb, why);
    if (e == OK && edit->verb == RULES_SET) e = read_given(s, edit, reasons, &c->added, why);
    if (e == OK) e = find_removed(c, edit, why);
    if (e == OK) e = check_counts(c, limits, why);
    if (e == OK && (!make_next(c, edit->tenant) || !make_list(c))) {
        e = why_set(why, ERR_NOMEM, "%s", STORED_NO_MEMORY);
    }
    if (e)
        stored_rules_abandon(c);
    else
        *ret_change = c;
    return e;
}

struct stored_groups
stored_change_groups(const struct stored_change *c)
{
    return (struct stored_groups){c->tenants.views, c->tenants.count};
}

const char *
stored_change_name(const struct stored_change *c)
{
    return c->added->name;
}

/* Makes the directory durable, once. */
static enum err
make_dir(struct stored_rules *s, struct why *why)
{
    if (s->is_durable) return OK;
    enum err e = env_mkdir(s->env, s->dir, why);
    if (e == OK) e = env_syncdir(s->env, s->parent, why);
    s->is_durable = e == OK;
    return e;
}

static enum err
write_file(struct stored_change *c, struct why *why)
{
    struct stored_rules *s = c->stored;
    const struct kept_tenant *t = c->next;
    struct buf file;
    buf_init(&file, s->memory, STORED_FILE_BYTES_MAX);
    stored_begin(bytes_of_text(t->name), t->count, &file);
    for (uint32_t i = 0; i < t->count; i++) {
        const struct kept_group *g = t->groups[i];
        struct stored_text text = {bytes_of_text(g->namespace), bytes_of_text(g->name), g->text};
        stored_add(&text, &file);
    }
    stored_end(&file);
    enum err e = buf_error(&file);
    if (e == ERR_LIMIT) {
        why_set(why, e, "the stored rules of a tenant must have at most %d MiB together",
                STORED_FILE_BYTES_MAX >> 20);
    } else if (e) {
        why_set(why, e, "%s", STORED_NO_MEMORY);
    } else {
        e = stored_write(s->env, s->dir, t->name, buf_bytes(&file), why);
    }
    buf_fini(&file);
    return e;
}

static enum err
try_write(struct stored_change *c, struct why *why)
{
    struct stored_rules *s = c->stored;
    char aside[FILE_PATH_BYTES] = "";
    bool is_damaged = c->before != NULL && c->before->trouble != OK;
    enum err e = make_dir(s, why);
    if (e == OK && is_damaged) e = stored_set_aside(s->env, s->dir, c->next->name, aside, why);
    if (e == ERR_MISSING && is_damaged) e = OK; /* an operator removed the damaged file meanwhile */
    if (e == OK && c->next->count > 0) {
        e = write_file(c, why);
    } else if (e == OK) {
        e = stored_remove(s->env, s->dir, c->next->name, why);
    }
    if (e == OK && aside[0] != '\0') {
        log_warn("a file of stored rules that cannot be read was set aside",
                 KV("tenant", c->next->name), KV("path", aside));
    }
    return e;
}

enum err
stored_rules_write(struct stored_change *c, struct why *why)
{
    enum err e = try_write(c, why);
    if (e == ERR_MISSING) { /* an operator removed the directory */
        c->stored->is_durable = false;
        if (why != NULL) why->text[0] = '\0';
        e = try_write(c, why);
    }
    return e == ERR_MISSING ? ERR_IO
                            : e; /* 404 would be wrong: nothing that the client named is missing */
}

void
stored_rules_commit(struct stored_change *c)
{
    struct stored_rules *s = c->stored;
    struct tenant_list before = s->tenants;
    assert(c->next != NULL); /* the change is prepared */
    s->tenants = c->tenants;
    c->tenants = before;
    stored_rules_validate(s);
    assert(c->removed_count == 0 || c->removed_at + c->removed_count <= c->before->count);
    for (uint32_t i = 0; i < c->removed_count; i++) {
        kept_group_free(s, c->before->groups[c->removed_at + i]);
    }
    kept_tenant_free(s, c->before);
    c->added = NULL;
    if (c->next->count > 0) c->next = NULL; /* else the tenant is in no list */
    stored_rules_count(s);
    stored_rules_abandon(c);
}
