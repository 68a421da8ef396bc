/*
 * rule_set.c - reads all files of rules. Files are found tenant by tenant and pattern by pattern,
 * and each is read when it is first found. An invalid file does not stop the reading, so that all
 * errors are reported at once. Exceeded limits and a lack of memory do.
 */
#include "config/rule_set.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "rules/load/rule_files.h"
#include "sys/paths.h"

#define SET_BYTES_MAX ((uint64_t)2 << 30)

struct found_rule_file {
    const char *path;
    struct rule_groups groups;
    bool is_there;
    uint32_t tenant_plus_1; /* the last tenant that has it; 0: none */
};

struct set_reading {
    const struct rule_set_options *options;
    struct rule_set set;
    struct why *why;
    enum err first; /* error of the first invalid file; `why` has its sentence */
    struct buf text;
    uint64_t text_bytes;

    struct found_rule_file *files;
    uint32_t file_count, file_capacity;
    struct table by_path;
};

static enum err
rule_set_no_memory(struct set_reading *r)
{
    return why_set(r->why, ERR_NOMEM, "not enough memory for rules");
}

static enum err
too_many(struct why *why, uint32_t max, const char *what)
{
    return why_set(why, ERR_LIMIT, "at most %u %s are allowed", max, what);
}

/* --- files ------------------------------------------------------------------------------------ */

/* Remembers the error of a file if it is the first. */
static void
note_error(struct set_reading *r, enum err e, const struct why *why)
{
    if (r->first == OK) {
        r->first = e;
        if (r->why != NULL) *r->why = *why;
    }
}

struct wanted_name {
    const char *name;
    bool found;
};

static enum err
compare_name(void *context, const char *name, bool is_dir)
{
    struct wanted_name *wanted = context;
    (void)is_dir;
    if (strcmp(wanted->name, name) == 0) wanted->found = true;
    return OK;
}

/*
 * Explains why a path that a directory may list cannot be opened. ERR_IO: the directory has that
 * name, so it is a symbolic link to a missing file. Otherwise ERR_MISSING, or the reason why the
 * directory cannot be listed.
 */
static enum err
check_missing(struct env *env, const char *path, struct why *why)
{
    const char *slash = strrchr(path, '/');
    struct wanted_name wanted = {slash == NULL ? path : slash + 1, false};
    char dir[FILE_PATH_BYTES] = ".";
    size_t size = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    if (size >= sizeof dir) return ERR_MISSING;
    if (size > 0) {
        memcpy(dir, path, size);
        dir[size] = '\0';
    }
    enum err e = env_listdir(env, dir, compare_name, &wanted, why);
    if (e || !wanted.found) return e ? e : ERR_MISSING;
    return why_set(why, ERR_IO, "cannot open %s: what it links to does not exist", path);
}

static enum err
rule_set_read_text(struct set_reading *r, const char *path, struct why *why)
{
    buf_clear(&r->text);
    enum err e = env_read_whole(r->options->env, path, &r->text, why);
    if (e == ERR_MISSING) return check_missing(r->options->env, path, why);
    if (e == ERR_LIMIT && buf_error(&r->text))
        return why_set(why, e, "%s: must be at most %d KiB", path, RULE_FILE_BYTES_MAX / 1024);
    if (e) return e;
    r->text_bytes += r->text.size;
    if (r->text_bytes <= RULE_SET_TEXT_BYTES_MAX) return OK;
    return why_set(why, ERR_LIMIT, "rule files must be at most %d MiB together",
                   RULE_SET_TEXT_BYTES_MAX >> 20);
}

static enum err
count_rules(struct set_reading *r, const struct rule_groups *groups)
{
    struct rule_set *set = &r->set;
    set->file_count++;
    set->group_count += groups->count;
    for (uint32_t i = 0; i < groups->count; i++)
        set->rule_count += groups->items[i].rule_count;
    if (set->group_count > RULE_SET_GROUPS_MAX)
        return too_many(r->why, RULE_SET_GROUPS_MAX, "groups of rules");
    if (set->rule_count > RULE_SET_RULES_MAX) return too_many(r->why, RULE_SET_RULES_MAX, "rules");
    return OK;
}

/* Reads the file at `file->path` and counts its rules. */
static enum err
rule_set_read_file(struct set_reading *r, struct found_rule_file *file)
{
    const struct rule_file_options options = {
        .report = r->options->report, .context = r->options->context, .shows_place = true};
    struct why why = {""};
    enum err e = rule_set_read_text(r, file->path, &why);
    if (e == ERR_MISSING) return OK; /* it may have been removed since its directory was listed */
    file->is_there = true;
    bool parsed = e == OK;
    if (e == OK) {
        e = rule_file_parse(file->path, buf_bytes(&r->text), &options, r->set.arena, &file->groups,
                            &why);
    }
    if (e == OK) return count_rules(r, &file->groups);
    if (e == ERR_LIMIT || e == ERR_NOMEM) {
        if (r->why != NULL) *r->why = why;
        return e;
    }
    note_error(r, e, &why);
    if (!parsed && r->options->report != NULL)
        r->options->report(r->options->context, bytes_of_text(why_text(&why, e)));
    return OK;
}

/* Returns the file at that path, which is read if it is new. */
static enum err
find_file(struct set_reading *r, const char *path, struct found_rule_file **ret_file)
{
    uint64_t hash = hash_bytes(bytes_of_text(path), 0);
    for (uint32_t at = TABLE_START, id; table_next(&r->by_path, hash, &at, &id);) {
        *ret_file = &r->files[id];
        if (strcmp(r->files[id].path, path) == 0) return OK;
    }
    struct budget *budget = r->options->budget;
    if (r->file_count == RULE_SET_FILES_MAX)
        return too_many(r->why, RULE_SET_FILES_MAX, "rule files");
    if (!array_reserve(budget, &r->files, &r->file_capacity, r->file_count + 1) ||
        !table_reserve(&r->by_path, budget, 1))
        return rule_set_no_memory(r);
    struct found_rule_file *file = &r->files[r->file_count];
    *file = (struct found_rule_file){.path = path};
    table_add(&r->by_path, hash, r->file_count++);
    *ret_file = file;
    return rule_set_read_file(r, file);
}

/* --- patterns --------------------------------------------------------------------------------- */

struct path_listing {
    struct arena *arena;
    struct text_list paths;
    struct why *why;
};

static enum err
add_path(void *context, const char *path)
{
    struct path_listing *l = context;
    struct text_list *paths = &l->paths;
    if (paths->count == RULE_SET_FILES_MAX)
        return too_many(l->why, RULE_SET_FILES_MAX, "rule files");
    const char **items = arena_push(l->arena, paths->items, paths->count, sizeof(const char *));
    if (items == NULL || !text_copy(l->arena, path, &items[paths->count]))
        return why_set(l->why, ERR_NOMEM, "not enough memory for rules");
    paths->items = items;
    paths->count++;
    return OK;
}

static int
compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum err
rule_paths_find(struct env *env, const char *pattern, struct arena *arena,
                struct text_list *ret_paths, struct why *why)
{
    struct path_listing l = {.arena = arena, .why = why};
    enum err e = file_pattern_expand(env, pattern, add_path, &l, why);
    if (e) return e;
    if (l.paths.count > 1)
        qsort(l.paths.items, l.paths.count, sizeof *l.paths.items, compare_paths);
    *ret_paths = l.paths;
    return OK;
}

static enum err
add_groups(struct set_reading *r, struct rule_set_tenant *tenant, const struct rule_groups *groups)
{
    for (uint32_t i = 0; i < groups->count; i++) {
        struct rule_group *items =
            arena_push(r->set.arena, tenant->groups, tenant->group_count, sizeof *items);
        if (items == NULL) return rule_set_no_memory(r);
        tenant->groups = items;
        items[tenant->group_count++] = groups->items[i];
    }
    return OK;
}

static enum err
note_unmatched(struct set_reading *r, const char *tenant, const char *pattern)
{
    struct rule_set *set = &r->set;
    struct unmatched_pattern *items =
        arena_push(set->arena, set->unmatched, set->unmatched_count, sizeof *items);
    const char *copy;
    if (items == NULL || !text_copy(set->arena, pattern, &copy)) return rule_set_no_memory(r);
    set->unmatched = items;
    items[set->unmatched_count++] =
        (struct unmatched_pattern){tenant, copy, file_pattern_is_wild(pattern)};
    return OK;
}

static enum err
read_pattern(struct set_reading *r, struct rule_set_tenant *tenant, const char *pattern)
{
    uint32_t number = (uint32_t)(tenant - r->set.tenants) + 1;
    struct text_list paths = {NULL};
    struct why why = {""};
    enum err e = rule_paths_find(r->options->env, pattern, r->set.arena, &paths, &why);
    if (e == ERR_LIMIT || e == ERR_NOMEM) {
        if (r->why != NULL) *r->why = why;
        return e;
    }
    bool any = e != OK; /* an unreadable directory is reported here */
    if (e) {
        note_error(r, e, &why);
        if (r->options->report != NULL)
            r->options->report(r->options->context, bytes_of_text(why_text(&why, e)));
        e = OK;
    }
    for (uint32_t i = 0; i < paths.count && e == OK; i++) {
        struct found_rule_file *file = NULL;
        e = find_file(r, paths.items[i], &file);
        if (e || !file->is_there) continue;
        any = true;
        if (file->tenant_plus_1 == number) continue;
        file->tenant_plus_1 = number;
        e = add_groups(r, tenant, &file->groups);
    }
    if (e == OK && !any) e = note_unmatched(r, tenant->tenant, pattern);
    return e;
}

/* --- the rule set ----------------------------------------------------------------------------- */

static enum err
read_tenants(struct set_reading *r, const struct rule_settings *settings)
{
    struct arena *arena = r->set.arena;
    r->set.tenants = arena_new(arena, settings->tenant_count * sizeof *r->set.tenants);
    if (r->set.tenants == NULL) return rule_set_no_memory(r);
    for (uint32_t i = 0; i < settings->tenant_count; i++) {
        const struct tenant_rules *from = &settings->tenants[i];
        struct rule_set_tenant *to = &r->set.tenants[i];
        if (!text_copy(arena, from->tenant, &to->tenant)) return rule_set_no_memory(r);
        r->set.tenant_count = i + 1;
        for (uint32_t k = 0; k < from->files.count; k++) {
            enum err e = read_pattern(r, to, from->files.items[k]);
            if (e) return e;
        }
    }
    return OK;
}

enum err
rule_set_read(const struct rule_settings *settings, const struct rule_set_options *options,
              struct rule_set *ret_set, struct why *why)
{
    struct set_reading r = {.options = options, .why = why};
    struct budget *budget = options->budget;
    if (settings->tenant_count == 0) {
        *ret_set = r.set;
        return OK;
    }
    r.set.arena = mem_new(budget, sizeof *r.set.arena);
    if (r.set.arena == NULL) return rule_set_no_memory(&r);
    arena_init(r.set.arena, budget, SET_BYTES_MAX, 0);
    buf_init(&r.text, budget, RULE_FILE_BYTES_MAX);
    enum err e = read_tenants(&r, settings);
    if (e == OK) e = r.first;
    buf_fini(&r.text);
    table_fini(&r.by_path, budget);
    array_free(budget, r.files, r.file_capacity);
    if (e)
        rule_set_free(&r.set);
    else
        *ret_set = r.set;
    return e;
}

void
rule_set_free(struct rule_set *set)
{
    if (set == NULL) return;
    if (set->arena != NULL) {
        struct budget *budget = set->arena->budget;
        arena_fini(set->arena);
        mem_free(budget, set->arena, sizeof *set->arena);
    }
    *set = (struct rule_set){NULL};
}
