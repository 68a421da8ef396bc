/* stored_file.c - see stored_file.h. */
#include "rules/stored/stored_file.h"

#include <stdio.h>

#include "base/fields.h"
#include "base/text/quote.h"
#include "base/text/utf8.h"
#include "model/tenant_name.h"
#include "rules/rules.h"

static const uint8_t MAGIC[8] = {'F', 'K', 'R', 'U', 'L', 'E', 'S', 0};
static const char SUFFIX[] = ".groups";

enum {
    VERSION = 1,
    SUFFIX_BYTES = sizeof SUFFIX - 1,
    NAME_BYTES = TENANT_NAME_BYTES_MAX + 32, /* size of a file name */
    ASIDE_MAX = 100,
};

enum err
stored_name_check(struct bytes name, const char *what, struct why *why)
{
    bool is_fine = name.size > 0 && name.size <= STORED_NAME_BYTES_MAX && utf8_valid(name) &&
                   memchr(name.at, '\0', name.size) == NULL;
    if (is_fine) return OK;
    return why_set(why, ERR_INPUT, "expected a %s of 1 to %d bytes of UTF-8, got %s", what,
                   STORED_NAME_BYTES_MAX, shown_of(name).text);
}

int
stored_compare(struct bytes namespace_a, struct bytes name_a, struct bytes namespace_b,
               struct bytes name_b)
{
    int order = bytes_compare(namespace_a, namespace_b);
    return order != 0 ? order : bytes_compare(name_a, name_b);
}

/* --- the format ------------------------------------------------------------------------------- */

static void
head_fields(const struct fields *f, struct bytes *tenant, uint64_t *count)
{
    field_counted(f, tenant);
    field_varint(f, count);
}

static void
group_fields(const struct fields *f, struct stored_text *group)
{
    field_counted(f, &group->namespace);
    field_counted(f, &group->name);
    field_counted(f, &group->text);
}

void
stored_begin(struct bytes tenant, uint32_t count, struct buf *to)
{
    const struct fields f = {.to = to};
    uint64_t wide = count;
    framed_begin(to);
    head_fields(&f, &tenant, &wide);
}

void
stored_add(const struct stored_text *group, struct buf *to)
{
    const struct fields f = {.to = to};
    struct stored_text copy = *group;
    group_fields(&f, &copy);
}

void
stored_end(struct buf *to)
{
    framed_end(to, MAGIC, VERSION);
}

/* The list grows as groups are found: the number of groups in the file takes no memory. */
static enum err
decode_piece(struct bytes piece, struct bytes tenant, struct arena *arena, struct stored_texts *ret)
{
    struct cursor c = cursor_of(piece);
    const struct fields f = {.from = &c};
    struct stored_texts found = {NULL};
    struct bytes named;
    uint64_t count;
    head_fields(&f, &named, &count);
    fields_check(&f, bytes_equal(named, tenant));
    while (!c.bad && found.count < count) {
        struct stored_text group;
        const struct stored_text *last = found.count > 0 ? &found.items[found.count - 1] : NULL;
        group_fields(&f, &group);
        bool is_in_order = last == NULL || stored_compare(last->namespace, last->name,
                                                          group.namespace, group.name) < 0;
        fields_check(&f, stored_name_check(group.namespace, "", NULL) == OK &&
                             stored_name_check(group.name, "", NULL) == OK &&
                             group.text.size <= RULE_FILE_BYTES_MAX && is_in_order);
        if (c.bad) break;
        struct stored_text *items = arena_push(arena, found.items, found.count, sizeof *items);
        if (items == NULL) return ERR_NOMEM;
        found.items = items;
        items[found.count++] = group;
    }
    fields_check(&f, cursor_left(&c) == 0);
    if (c.bad) return ERR_CORRUPT;
    *ret = found;
    return OK;
}

enum err
stored_decode(struct bytes file, struct bytes tenant, struct arena *arena, struct stored_texts *ret,
              struct why *why)
{
    struct bytes piece;
    enum err e = framed_open(file, MAGIC, VERSION, &piece, why);
    if (e) return e;
    e = decode_piece(piece, tenant, arena, ret);
    if (e == ERR_CORRUPT)
        return why_set(why, e, "the file is damaged: its content is inconsistent");
    return e ? why_set(why, e, "not enough memory for rules") : OK;
}

/* --- files ------------------------------------------------------------------------------------ */

static void
name_file(char to[NAME_BYTES], const char *tenant)
{
    snprintf(to, NAME_BYTES, "%s%s", tenant, SUFFIX);
}

enum err
stored_read(struct env *env, const char *dir, const char *tenant, struct buf *to, struct why *why)
{
    char name[NAME_BYTES], path[FILE_PATH_BYTES];
    name_file(name, tenant);
    enum err e = path_in(path, sizeof path, dir, name, why);
    if (e == OK) e = env_read_whole(env, path, to, why);
    if (e == ERR_LIMIT && buf_error(to)) {
        return why_set(why, ERR_CORRUPT, "the file is damaged: it is larger than %d MiB",
                       STORED_FILE_BYTES_MAX >> 20);
    }
    return e;
}

enum err
stored_write(struct env *env, const char *dir, const char *tenant, struct bytes file,
             struct why *why)
{
    char name[NAME_BYTES];
    name_file(name, tenant);
    return env_write_whole(env, dir, name, file, why);
}

enum err
stored_remove(struct env *env, const char *dir, const char *tenant, struct why *why)
{
    char name[NAME_BYTES], path[FILE_PATH_BYTES];
    name_file(name, tenant);
    enum err e = path_in(path, sizeof path, dir, name, why);
    if (e == OK) e = env_unlink(env, path, why);
    return e ? e : env_syncdir(env, dir, why);
}

/* Tries the n-th name for files that are set aside: it must be free, or name the same file. */
static enum err
try_aside(struct env *env, const char *path, const struct file_facts *facts, unsigned n,
          char aside[FILE_PATH_BYTES], bool *ret_done, struct why *why)
{
    struct file_facts there;
    struct why looking;
    int size = snprintf(aside, FILE_PATH_BYTES, "%s.damaged", path);
    if (n > 1) size = snprintf(aside, FILE_PATH_BYTES, "%s.damaged.%u", path, n);
    if (size >= FILE_PATH_BYTES) return why_set(why, ERR_LIMIT, "%s: path is too long", path);
    enum err e = env_facts(env, aside, &there, &looking);
    *ret_done = e == ERR_MISSING || (e == OK && there.number == facts->number);
    if (e == OK) return OK;
    if (e != ERR_MISSING) return why_set(why, e, "%s", looking.text);
    e = env_link(env, path, aside, NULL);
    /* Without links, the file is missing until the next write. */
    return e ? env_rename(env, path, aside, why) : OK;
}

enum err
stored_set_aside(struct env *env, const char *dir, const char *tenant,
                 char ret_path[FILE_PATH_BYTES], struct why *why)
{
    char name[NAME_BYTES], path[FILE_PATH_BYTES], aside[FILE_PATH_BYTES];
    struct file_facts facts;
    bool done = false;
    name_file(name, tenant);
    enum err e = path_in(path, sizeof path, dir, name, why);
    if (e == OK) e = env_facts(env, path, &facts, why);
    for (unsigned n = 1; e == OK && !done; n++) {
        if (n > ASIDE_MAX) {
            return why_set(why, ERR_LIMIT, "%s: %d damaged files were set aside before", path,
                           ASIDE_MAX);
        }
        e = try_aside(env, path, &facts, n, aside, &done, why);
    }
    if (e == OK) memcpy(ret_path, aside, sizeof aside);
    return e;
}

struct each_tenant {
    enum err (*each)(void *context, const char *tenant);
    void *context;
};

/* Also for a directory of such a name: its reader reports that it is not a file, and why there are
 * no groups. */
static enum err
give_tenant(void *context, const char *name, bool is_dir)
{
    const struct each_tenant *to = context;
    size_t size = strlen(name);
    (void)is_dir;
    if (size <= SUFFIX_BYTES || strcmp(name + size - SUFFIX_BYTES, SUFFIX) != 0) return OK;
    struct bytes tenant = bytes_of(name, size - SUFFIX_BYTES);
    if (tenant_name_check(tenant, NULL)) return OK; /* not a file of groups */
    char text[TENANT_NAME_BYTES_MAX + 1];
    snprintf(text, sizeof text, "%.*s", (int)tenant.size, name);
    return to->each(to->context, text);
}

enum err
stored_each(struct env *env, const char *dir, enum err (*each)(void *context, const char *tenant),
            void *context, struct why *why)
{
    struct each_tenant to = {each, context};
    return env_listdir(env, dir, give_tenant, &to, why);
}
