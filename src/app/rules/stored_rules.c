/*
 * stored_rules.c - see ruler.h: files are read at the start, groups are shown and
 * changed.
 *
 * Invariants:
 *  1. Tenants are in the order of their names, each once; `views` has them in the same order.
 *  2. Groups of a tenant are in the order of namespace and name, each once.
 *  3. `evaluated` has those groups of a tenant that have rules, in their order.
 *  4. A group is owned by the tenants in force, or by one change.
 */
#include "app/rules/ruler.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/log.h"
#include "config/config.h"
#include "model/storage_layout.h"
#include "rules/load/rule_files.h"
#include "rules/rules.h"
#include "rules/stored/stored_file.h"

#define GROUP_ARENA_BYTES_MAX ((uint64_t)512 << 20)

enum { GROUP_BLOCK_BYTES = 1024 }; /* groups may be many, and most are small */

#define STORED_NO_MEMORY "not enough memory for rules"

struct kept_group {
    struct arena arena; /* has all that follows */
    const char *namespace, *name;
    struct bytes text;
    struct rule_group rules; /* zeroed if the group is not evaluated */
};

struct kept_tenant {
    char *name;
    size_t name_bytes;
    enum err trouble; /* why its file could not be read */
    struct why why;   /* the sentence */
    struct kept_group **groups;
    uint32_t count, capacity;
    /* The groups that are evaluated, as one array. */
    struct rule_group *evaluated;
    uint32_t evaluated_count, evaluated_capacity;
};

struct tenant_list {
    struct kept_tenant **items; /* by name */
    struct rule_set_tenant *views;
    uint32_t count, capacity, view_capacity;
};

struct stored_rules {
    struct env *env;
    struct budget *memory;
    struct budget budget; /* the groups' part of `memory`, which also pays for work with them */
    bool tenancy;
    bool is_durable; /* the directory exists and is synced */
    char parent[SETTING_TEXT_BYTES], dir[FILE_PATH_BYTES];
    struct tenant_list tenants;
    struct metric_collector collector;

    /* Relaxed: statistics. */
    _Atomic uint64_t group_count, invalid_count, unreadable_count;
    _Atomic uint64_t edits[STORED_EDIT_COUNT];
};

/* --- groups ----------------------------------------------------------------------------------- */

static void
kept_group_free(struct stored_rules *s, struct kept_group *g)
{
    if (g == NULL) return;
    arena_fini(&g->arena);
    mem_free(&s->budget, g, sizeof *g);
}

/* NULL: no memory. */
static const char *
keep(struct arena *arena, struct bytes text)
{
    char *copy = arena_alloc(arena, text.size + 1);
    if (copy == NULL) return NULL;
    if (text.size > 0) memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    return copy;
}

/* Makes a group without text and rules. NULL: no memory. */
static struct kept_group *
kept_group_new(struct stored_rules *s, struct bytes namespace)
{
    struct kept_group *g = mem_new(&s->budget, sizeof *g);
    if (g == NULL) return NULL;
    arena_init(&g->arena, &s->budget, GROUP_ARENA_BYTES_MAX, GROUP_BLOCK_BYTES);
    g->namespace = keep(&g->arena, namespace);
    if (g->namespace != NULL) return g;
    kept_group_free(s, g);
    return NULL;
}

/* Takes rules that were parsed into the arena of the group. */
static void
kept_group_take(struct kept_group *g, const struct rule_group *rules)
{
    g->rules = *rules;
    g->rules.file = g->namespace;
}

/* Reads a group that was stored, perhaps by another version. */
static enum err
read_kept(struct stored_rules *s, const char *tenant, const struct stored_text *from,
          struct kept_group **ret)
{
    const struct rule_file_options options = {.report = NULL};
    struct rule_group rules;
    struct why why = {""};
    struct kept_group *g = kept_group_new(s, from->namespace);
    if (g == NULL) return ERR_NOMEM;
    g->name = keep(&g->arena, from->name);
    g->text = arena_copy(&g->arena, from->text);
    enum err e = g->name == NULL || (from->text.size > 0 && g->text.at == NULL) ? ERR_NOMEM : OK;
    if (e == OK) e = rule_group_parse("group", from->text, &options, &g->arena, &rules, &why);
    if (e == ERR_NOMEM) {
        kept_group_free(s, g);
        return e;
    }
    if (e == OK && strcmp(rules.name, g->name) != 0)
        e = why_set(&why, ERR_INPUT, "the text is that of a group of another name");
    if (e == OK) {
        kept_group_take(g, &rules);
    } else {
        log_error("a stored group of rules is not valid, it is kept and not evaluated",
                  KV("tenant", tenant), KV("namespace", g->namespace), KV("group", g->name),
                  KV("error", &why));
    }
    *ret = g;
    return OK;
}

/* --- tenants ---------------------------------------------------------------------------------- */

/* Frees a tenant, but not its groups. Accepts NULL. */
static void
kept_tenant_free(struct stored_rules *s, struct kept_tenant *t)
{
    if (t == NULL) return;
    mem_free(s->memory, t->name, t->name_bytes);
    array_free(s->memory, t->groups, t->capacity);
    array_free(s->memory, t->evaluated, t->evaluated_capacity);
    mem_free(s->memory, t, sizeof *t);
}

/* Makes a tenant without groups. NULL: no memory. */
static struct kept_tenant *
kept_tenant_new(struct stored_rules *s, struct bytes name)
{
    struct kept_tenant *t = mem_new(s->memory, sizeof *t);
    if (t == NULL) return NULL;
    t->name_bytes = name.size + 1;
    t->name = mem_new(s->memory, t->name_bytes);
    if (t->name != NULL) {
        memcpy(t->name, name.at, name.size);
        return t;
    }
    kept_tenant_free(s, t);
    return NULL;
}

static int
stored_rules_compare_names(const struct kept_group *g, const char *namespace, const char *name)
{
    return stored_compare(bytes_of_text(g->namespace), bytes_of_text(g->name),
                          bytes_of_text(namespace), bytes_of_text(name == NULL ? "" : name));
}

/* Appends a group, in order. False: no memory. */
static bool
kept_tenant_add(struct stored_rules *s, struct kept_tenant *t, struct kept_group *g)
{
    bool is_evaluated = g->rules.rule_count > 0;
    if (!array_reserve(s->memory, &t->groups, &t->capacity, t->count + 1) ||
        (is_evaluated &&
         !array_reserve(s->memory, &t->evaluated, &t->evaluated_capacity, t->evaluated_count + 1)))
        return false;
    const struct kept_group *last = t->count == 0 ? NULL : t->groups[t->count - 1];
    assert(last == NULL ||
           stored_rules_compare_names(last, g->namespace, g->name) < 0); /* invariant 2 */
    t->groups[t->count++] = g;
    if (is_evaluated) t->evaluated[t->evaluated_count++] = g->rules;
    assert(t->evaluated_count <= t->count); /* invariant 3 */
    return true;
}

static void
tenant_list_fini(struct stored_rules *s, struct tenant_list *list)
{
    array_free(s->memory, list->items, list->capacity);
    array_free(s->memory, list->views, list->view_capacity);
    *list = (struct tenant_list){NULL};
}

/* Appends a tenant with its groups, in order. False: no memory. */
static bool
tenant_list_add(struct stored_rules *s, struct tenant_list *list, struct kept_tenant *t)
{
    if (!array_reserve(s->memory, &list->items, &list->capacity, list->count + 1) ||
        !array_reserve(s->memory, &list->views, &list->view_capacity, list->count + 1))
        return false;
    list->items[list->count] = t;
    list->views[list->count++] =
        (struct rule_set_tenant){t->name, t->evaluated, t->evaluated_count};
    return true;
}

/* Returns the tenant of that name, NULL if it has no stored rules. */
static struct kept_tenant *
stored_rules_find(const struct stored_rules *s, struct bytes name)
{
    for (uint32_t i = 0; i < s->tenants.count; i++)
        if (bytes_equal_text(name, s->tenants.items[i]->name)) return s->tenants.items[i];
    return NULL;
}

/* Returns the index of the first group that is not before these names. With `name` NULL: of the
 * first group of the namespace. */
static uint32_t
kept_tenant_find(const struct kept_tenant *t, const char *namespace, const char *name)
{
    return search_first(i, 0u, t->count,
                        stored_rules_compare_names(t->groups[i], namespace, name) >= 0);
}

/* Returns true if the group with that index has these names; with `name` NULL, if it is in the
 * namespace. */
static bool
kept_tenant_has(const struct kept_tenant *t, uint32_t at, const char *namespace, const char *name)
{
    return at < t->count && strcmp(t->groups[at]->namespace, namespace) == 0 &&
           (name == NULL || strcmp(t->groups[at]->name, name) == 0);
}

/* Updates the numbers for metrics, after each change. */
static void
stored_rules_count(struct stored_rules *s)
{
    uint64_t groups = 0, invalid = 0, unreadable = 0;
    for (uint32_t i = 0; i < s->tenants.count; i++) {
        const struct kept_tenant *t = s->tenants.items[i];
        groups += t->count;
        invalid += t->count - t->evaluated_count;
        unreadable += t->trouble != OK;
    }
    atomic_store_explicit(&s->group_count, groups, memory_order_relaxed);
    atomic_store_explicit(&s->invalid_count, invalid, memory_order_relaxed);
    atomic_store_explicit(&s->unreadable_count, unreadable, memory_order_relaxed);
}

/* Asserts invariant 1. */
static void
stored_rules_validate(const struct stored_rules *s)
{
    const struct tenant_list *list = &s->tenants;
    for (uint32_t i = 0; i < list->count; i++) {
        assert(list->views[i].tenant == list->items[i]->name);
        assert(list->views[i].group_count == list->items[i]->evaluated_count);
        assert(i == 0 || strcmp(list->items[i - 1]->name, list->items[i]->name) < 0);
    }
}

/* --- metrics ---------------------------------------------------------------------------------- */

static const struct metric_family edits_family = {
    "firekeep_stored_rules_edits_total",
    "Changes of rules requested through the ruler API, by result.", METRIC_KIND_COUNTER};

void
stored_rules_note(struct stored_rules *s, enum stored_edit result)
{
    atomic_fetch_add_explicit(&s->edits[result], 1, memory_order_relaxed);
}

static void
stored_rules_collect(struct metric_sink *sink, void *stored)
{
    static const char *const results[STORED_EDIT_COUNT] = {
        [STORED_EDIT_DONE] = "done",
        [STORED_EDIT_REFUSED] = "refused",
        [STORED_EDIT_FAILED] = "failed",
    };
    const struct stored_rules *s = stored;
    metric_put_budget(sink, &s->budget);
    for (unsigned i = 0; i < STORED_EDIT_COUNT; i++) {
        struct metric_pair pair = {"result", bytes_of_text(results[i])};
        metric_put_u64(sink, &edits_family, &pair, 1,
                       atomic_load_explicit(&s->edits[i], memory_order_relaxed));
    }
    metric_put_one(sink, "firekeep_stored_rules_groups", METRIC_KIND_GAUGE,
                   "Groups of rules that are stored through the ruler API.",
                   (double)atomic_load_explicit(&s->group_count, memory_order_relaxed));
    metric_put_one(
        sink, "firekeep_stored_rules_invalid_groups", METRIC_KIND_GAUGE,
        "Stored groups of rules that are not evaluated, because this version does not accept them.",
        (double)atomic_load_explicit(&s->invalid_count, memory_order_relaxed));
    metric_put_one(sink, "firekeep_stored_rules_unreadable_tenants", METRIC_KIND_GAUGE,
                   "Tenants whose stored rules are not evaluated, because the file cannot be read.",
                   (double)atomic_load_explicit(&s->unreadable_count, memory_order_relaxed));
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Reads the groups of a tenant. Errors but ERR_NOMEM mean that the file cannot be read. */
static enum err
read_groups(struct stored_rules *s, struct kept_tenant *t, struct why *why)
{
    struct stored_texts texts = {NULL};
    struct arena arena;
    struct buf file;
    arena_init(&arena, s->memory, 0, 0);
    buf_init(&file, s->memory, STORED_FILE_BYTES_MAX);
    enum err e = stored_read(s->env, s->dir, t->name, &file, why);
    if (e == OK) e = stored_decode(buf_bytes(&file), bytes_of_text(t->name), &arena, &texts, why);
    for (uint32_t i = 0; e == OK && i < texts.count; i++) {
        struct kept_group *g;
        e = read_kept(s, t->name, &texts.items[i], &g);
        if (e == OK && !kept_tenant_add(s, t, g)) {
            kept_group_free(s, g);
            e = ERR_NOMEM;
        }
    }
    buf_fini(&file);
    arena_fini(&arena);
    return e;
}

struct stored_reading {
    struct stored_rules *stored;
    uint32_t left_alone; /* tenants */
};

static enum err
read_tenant(void *context, const char *name)
{
    struct stored_reading *reading = context;
    struct stored_rules *s = reading->stored;
    struct why why = {""};
    if (!s->tenancy && strcmp(name, "anonymous") != 0) {
        reading->left_alone++;
        return OK;
    }
    struct kept_tenant *t = kept_tenant_new(s, bytes_of_text(name));
    if (t == NULL) return ERR_NOMEM;
    enum err e = read_groups(s, t, &why);
    if (e != OK && e != ERR_NOMEM) {
        bool is_known = e == ERR_CORRUPT || e == ERR_UNSUPPORTED;
        t->trouble = is_known ? e : ERR_IO;
        why_set(&t->why, e, "cannot read the stored rules of tenant %s: %s", t->name,
                why_text(&why, e));
        log_error("cannot read stored rules, those of this tenant are not evaluated",
                  KV("tenant", t->name), KV("directory", s->dir), KV("error", why_text(&why, e)));
        e = OK;
    }
    if (e == OK && !tenant_list_add(s, &s->tenants, t)) e = ERR_NOMEM;
    if (e == OK) return OK;
    for (uint32_t i = 0; i < t->count; i++)
        kept_group_free(s, t->groups[i]);
    kept_tenant_free(s, t);
    return e;
}

static int
compare_tenants(const void *a, const void *b)
{
    const struct kept_tenant *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int
compare_views(const void *a, const void *b)
{
    const struct rule_set_tenant *x = a, *y = b;
    return strcmp(x->tenant, y->tenant);
}

enum err
stored_rules_open(const struct stored_rules_options *options, struct stored_rules **ret_stored,
                  struct why *why)
{
    struct stored_rules *s = mem_new(NULL, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "%s", STORED_NO_MEMORY);
    s->env = options->env;
    s->memory = options->memory;
    budget_init(&s->budget, "stored_rules", 0, options->memory);
    s->tenancy = options->tenancy;
    struct stored_reading reading = {.stored = s};
    snprintf(s->parent, sizeof s->parent, "%s", options->storage_path);
    enum err e = path_in(s->dir, sizeof s->dir, options->storage_path, STORAGE_RULES, why);
    if (e == OK) {
        struct why listing = {""};
        e = stored_each(s->env, s->dir, read_tenant, &reading, &listing);
        if (e == ERR_MISSING) e = OK; /* no groups were stored so far */
        if (e) why_set(why, e, "%s", e == ERR_NOMEM ? STORED_NO_MEMORY : listing.text);
    }
    if (e) {
        stored_rules_free(s);
        return e;
    }
    if (s->tenants.count > 1) {
        qsort(s->tenants.items, s->tenants.count, sizeof *s->tenants.items, compare_tenants);
        qsort(s->tenants.views, s->tenants.count, sizeof *s->tenants.views, compare_views);
    }
    stored_rules_validate(s);
    if (reading.left_alone > 0) {
        log_warn("stored rules of tenants are not evaluated with tenancy.enabled=false",
                 KV("tenants", reading.left_alone), KV("directory", s->dir));
    }
    /* The limit is set after reading: it refuses further groups, and stored groups are evaluated
     * even if they exceed it. */
    atomic_store_explicit(&s->budget.limit_bytes, options->memory_bytes, memory_order_relaxed);
    stored_rules_count(s);
    s->collector = (struct metric_collector){.collect = stored_rules_collect, .context = s};
    metric_register_collector(&s->collector);
    *ret_stored = s;
    return OK;
}

void
stored_rules_free(struct stored_rules *s)
{
    if (s == NULL) return;
    metric_unregister(&s->collector.link);
    for (uint32_t i = 0; i < s->tenants.count; i++) {
        struct kept_tenant *t = s->tenants.items[i];
        for (uint32_t k = 0; k < t->count; k++)
            kept_group_free(s, t->groups[k]);
        kept_tenant_free(s, t);
    }
    tenant_list_fini(s, &s->tenants);
    mem_free(NULL, s, sizeof *s);
}

/* --- queries ---------------------------------------------------------------------------------- */

struct stored_groups
stored_rules_groups(const struct stored_rules *s)
{
    return (struct stored_groups){s->tenants.views, s->tenants.count};
}

static void
print_list(const struct kept_tenant *t, const char *namespace, struct buf *to)
{
    const char *last = NULL;
    uint32_t at = namespace == NULL ? 0 : kept_tenant_find(t, namespace, NULL);
    for (; at < t->count && (namespace == NULL || kept_tenant_has(t, at, namespace, NULL)); at++) {
        const struct kept_group *g = t->groups[at];
        if (last == NULL || strcmp(last, g->namespace) != 0)
            rules_print_namespace(g->namespace, to);
        rules_print_entry(g->text, to);
        last = g->namespace;
    }
}

enum err
stored_rules_print(const struct stored_rules *s, const struct rules_wanted *wanted, struct buf *to,
                   struct why *why)
{
    const struct kept_tenant *t = stored_rules_find(s, wanted->tenant);
    size_t before = to->size;
    if (t != NULL && t->trouble) return why_set(why, t->trouble, "%s", t->why.text);
    if (wanted->group != NULL) {
        uint32_t at = t == NULL ? 0 : kept_tenant_find(t, wanted->namespace, wanted->group);
        if (t == NULL || !kept_tenant_has(t, at, wanted->namespace, wanted->group))
            return why_set(why, ERR_MISSING, "group does not exist");
        buf_put_bytes(to, t->groups[at]->text);
    } else {
        if (t != NULL) print_list(t, wanted->namespace, to);
        if (to->size == before) buf_put_text(to, "{}\n");
    }
    return buf_error(to) ? why_set(why, ERR_NOMEM, "not enough memory for the answer") : OK;
}

/* --- changes ---------------------------------------------------------------------------------- */

/* A group never changes: an edit makes another one. A tenant is a list of groups, in their order;
 * an edit makes another list, which shares the unchanged groups. So the groups in force stay as
 * they are until the commit, which only exchanges pointers. */
struct stored_change {
    struct stored_rules *stored;
    struct tenant_list tenants; /* all tenants after the change, once it is prepared */
    struct kept_tenant *next;   /* replaces `before`; a tenant without groups is removed */
    struct kept_tenant *before; /* NULL if the tenant is new */
    struct kept_group *added;
    uint32_t removed_at, removed_count; /* groups of `before` that are removed */
};

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
        while (kept_tenant_has(t, c->removed_at + c->removed_count, edit->namespace, name))
            c->removed_count++;
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
    for (uint32_t i = 0; i < c->removed_at; i++)
        if (!kept_tenant_add(s, c->next, t->groups[i])) return false;
    if (c->added != NULL && !kept_tenant_add(s, c->next, c->added)) return false;
    for (uint32_t i = c->removed_at + c->removed_count; i < count; i++)
        if (!kept_tenant_add(s, c->next, t->groups[i])) return false;
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
    if (c->before == NULL && c->stored->tenants.count >= STORED_TENANTS_MAX)
        return why_set(why, ERR_INPUT, "at most %d tenants can store rules", STORED_TENANTS_MAX);
    return OK;
}

enum err
stored_rules_prepare(struct stored_rules *s, const struct rules_edit *edit,
                     const struct stored_limits *limits, struct buf *reasons,
                     struct stored_change **ret_change, struct why *why)
{
    if (edit->text.size > limits->bytes_max) {
        return why_set(why, ERR_LIMIT,
                       "a group of rules must have at most %llu bytes (rules.api_max_bytes)",
                       (unsigned long long)limits->bytes_max);
    }
    struct stored_change *c = mem_new(s->memory, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "%s", STORED_NO_MEMORY);
    c->stored = s;
    c->before = stored_rules_find(s, edit->tenant);
    enum err e = stored_name_check(bytes_of_text(edit->namespace), "namespace", why);
    /* A group may be stored where the file cannot be read: it begins a new file. If a newer version
     * wrote the file, that version can read it, and the edit is refused. */
    enum err trouble = c->before == NULL ? OK : c->before->trouble;
    if (e == OK && trouble && (edit->verb != RULES_SET || trouble == ERR_UNSUPPORTED))
        e = why_set(why, trouble, "%s", c->before->why.text);
    if (e == OK && edit->verb == RULES_SET) e = read_given(s, edit, reasons, &c->added, why);
    if (e == OK) e = find_removed(c, edit, why);
    if (e == OK) e = check_counts(c, limits, why);
    if (e == OK && (!make_next(c, edit->tenant) || !make_list(c)))
        e = why_set(why, ERR_NOMEM, "%s", STORED_NO_MEMORY);
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
    enum err e = OK;
    if (!s->is_durable) { /* the directory is made durable once */
        e = env_mkdir(s->env, s->dir, why);
        if (e == OK) e = env_syncdir(s->env, s->parent, why);
        s->is_durable = e == OK;
    }
    if (e == OK && is_damaged) e = stored_set_aside(s->env, s->dir, c->next->name, aside, why);
    if (e == ERR_MISSING && is_damaged) e = OK; /* an operator removed the damaged file meanwhile */
    if (e == OK && c->next->count > 0)
        e = write_file(c, why);
    else if (e == OK)
        e = stored_remove(s->env, s->dir, c->next->name, why);
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
    for (uint32_t i = 0; i < c->removed_count; i++)
        kept_group_free(s, c->before->groups[c->removed_at + i]);
    kept_tenant_free(s, c->before);
    c->added = NULL;
    if (c->next->count > 0) c->next = NULL; /* else the tenant is in no list */
    stored_rules_count(s);
    stored_rules_abandon(c);
}
