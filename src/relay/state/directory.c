/* directory.c - see directory.h. */
#include "relay/state/directory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash/crc32c.h"
#include "base/text/texts.h"
#include "relay/state/state.h"

/* --- entries ---------------------------------------------------------------------------------- */

enum { NAMES_BYTES_MAX = 64 * 1024 * 1024 };

enum relay_entry
relay_entry_of(const char *name)
{
    static const struct {
        const char *name;
        enum relay_entry entry;
    } entries[] = {
        {RELAY_STATE_NAME, RELAY_ENTRY_STATE},     {RELAY_PREVIOUS_NAME, RELAY_ENTRY_STATE},
        {RELAY_LETTERS_NAME, RELAY_ENTRY_LETTERS}, {RELAY_RESET_NAME, RELAY_ENTRY_RESET},
        {RELAY_LOCK_NAME, RELAY_ENTRY_LOCK},       {RELAY_DAMAGED_NAME, RELAY_ENTRY_DAMAGED},
    };
    for (unsigned i = 0; i < sizeof entries / sizeof *entries; i++)
        if (strcmp(name, entries[i].name) == 0) return entries[i].entry;
    return text_ends_with(name, ".tmp") ? RELAY_ENTRY_UNFINISHED : RELAY_ENTRY_OTHER;
}

struct search {
    const char *name;
    bool found;
};

static enum err
note_name(void *context, const char *name, bool is_dir)
{
    (void)is_dir;
    struct search *search = context;
    search->found |= strcmp(name, search->name) == 0;
    return OK;
}

enum err
relay_directory_look(struct env *env, const char *path, struct why *why)
{
    struct file_facts facts;
    char parent[FILE_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    struct search search = {.name = slash == NULL ? path : slash + 1};
    int size = slash == NULL || slash == path ? 1 : (int)(slash - path);
    enum err e = env_facts(env, path, &facts, why);
    if (e == OK && facts.kind == FILE_KIND_DIR) return OK;
    if (e == OK) {
        return why_set(why, ERR_INPUT,
                       "%s is a file, expected a directory: restore the directory, or move the "
                       "file away to start without it",
                       path);
    }
    if (e != ERR_MISSING) return e;
    /* Looks in the parent directory, so that a symbolic link to a missing file is found as well. */
    if (size >= FILE_PATH_BYTES) return why_set(why, ERR_LIMIT, "%.200s: path is too long", path);
    snprintf(parent, sizeof parent, "%.*s", size, slash == NULL ? "." : path);
    e = env_listdir(env, parent, note_name, &search, why);
    if (e && e != ERR_MISSING) return e;
    if (!search.found) return why_set(why, ERR_MISSING, "%s: no such directory", path);
    return why_set(why, ERR_CORRUPT,
                   "%s is a dangling symbolic link: restore its target (is the file system "
                   "mounted?), or remove the link to start without it",
                   path);
}

static enum err
add_name(void *context, const char *text, bool is_dir)
{
    struct relay_names *names = context;
    struct relay_name name = {.is_dir = is_dir};
    char path[FILE_PATH_BYTES];
    struct file_facts facts;
    if (strlen(text) >= sizeof name.text) return ERR_LIMIT;
    if (!is_dir && path_join(path, sizeof path, names->dir, text) == OK)
        name.is_dir =
            env_facts(names->env, path, &facts, NULL) == OK && facts.kind == FILE_KIND_DIR;
    memcpy(name.text, text, strlen(text));
    buf_put(&names->all, &name, sizeof name);
    return buf_error(&names->all);
}

static int
order_names(const void *a, const void *b)
{
    return strcmp(((const struct relay_name *)a)->text, ((const struct relay_name *)b)->text);
}

enum err
relay_names_read(struct relay_names *ret_names, struct env *env, const char *dir,
                 struct budget *memory, struct why *why)
{
    *ret_names = (struct relay_names){.env = env, .dir = dir};
    struct buf *all = &ret_names->all;
    buf_init(all, memory, NAMES_BYTES_MAX);
    enum err e = env_listdir(env, dir, add_name, ret_names, why);
    size_t each = sizeof(struct relay_name);
    if (e == OK && all->size > 0) qsort(all->at, all->size / each, each, order_names);
    if (e) buf_fini(all);
    return e;
}

const struct relay_name *
relay_name_at(const struct relay_names *names, size_t i)
{
    const struct relay_name *all = (const struct relay_name *)(const void *)names->all.at;
    return i < names->all.size / sizeof *all ? &all[i] : NULL;
}

/* --- copies ----------------------------------------------------------------------------------- */

enum { COPY_PATH_BYTES = 700, FILE_BYTES_MAX = 48 << 20, ATTEMPTS = 10 };

struct state_copy {
    struct env *env;
    struct budget *memory;
    char from[COPY_PATH_BYTES / 2], to[COPY_PATH_BYTES / 2]; /* directories of the destination */
    struct relay_names names;                                /* entries of its dead letters */
    struct buf content;
    struct why *why;
};

static enum err
copy_file(struct state_copy *c, const char *name)
{
    char path[COPY_PATH_BYTES];
    buf_clear(&c->content);
    enum err e = path_in(path, sizeof path, c->from, name, c->why);
    if (e == OK) e = env_read_whole(c->env, path, &c->content, c->why);
    return e ? e : env_write_whole(c->env, c->to, name, buf_bytes(&c->content), c->why);
}

/* True if every file that the copied state lists is among those that were copied. */
static enum err
has_all(struct state_copy *c, bool *ret_whole)
{
    struct relay_state state;
    struct letter_list list = {.memory = c->memory};
    buf_clear(&c->content);
    enum err e = relay_state_read(c->env, c->to, &c->content, &state, NULL);
    *ret_whole = true;
    if (e == ERR_NOMEM || e == ERR_IO) return e;
    if (e || letter_list_is_old(state.letters)) return OK;
    e = letter_list_get(&list, state.letters);
    for (uint32_t i = 0; i < list.count && e == OK; i++) {
        bool there = false;
        const struct relay_name *name;
        for (size_t k = 0; (name = relay_name_at(&c->names, k)) != NULL; k++) {
            uint32_t number;
            bool packed;
            there |=
                letter_name_number(name->text, &number, &packed) && number == list.files[i].number;
        }
        *ret_whole &= there;
    }
    letter_list_fini(&list);
    return e;
}

/*
 * Tries once. The state is read before the files of dead letters: lines are durable before a state
 * that knows them, and what the files have beyond it is cut. `ret_whole`: no file of the state was
 * removed meanwhile.
 */
static enum err
try_to_copy(struct state_copy *c, bool *ret_whole)
{
    char from[COPY_PATH_BYTES], to[COPY_PATH_BYTES];
    *ret_whole = false;
    enum err e = env_mkdir(c->env, c->to, c->why);
    if (e == OK) e = copy_file(c, RELAY_STATE_NAME);
    if (e) return e;
    e = path_in(from, sizeof from, c->from, RELAY_LETTERS_NAME, c->why);
    if (e == OK) e = path_in(to, sizeof to, c->to, RELAY_LETTERS_NAME, c->why);
    if (e == OK) e = relay_names_read(&c->names, c->env, from, c->memory, c->why);
    bool has_letters = e == OK && c->names.all.size > 0;
    if (e == ERR_MISSING) e = OK;
    if (has_letters) e = env_mkdir(c->env, to, c->why);
    const struct relay_name *name;
    for (size_t i = 0; e == OK && (name = relay_name_at(&c->names, i)) != NULL; i++) {
        char text[sizeof name->text + sizeof RELAY_LETTERS_NAME];
        if (name->is_dir || text_ends_with(name->text, ".tmp")) continue;
        snprintf(text, sizeof text, RELAY_LETTERS_NAME "/%s", name->text);
        e = copy_file(c, text);
        if (e == ERR_MISSING) return OK; /* it was packed or removed meanwhile */
    }
    if (e == OK && has_letters) e = env_syncdir(c->env, to, c->why);
    if (e == OK) e = has_all(c, ret_whole);
    return e ? e : env_syncdir(c->env, c->to, c->why);
}

static enum err
copy_one(struct state_copy *c, const char *name)
{
    bool whole = false;
    enum err e = OK;
    for (int i = 0; i < ATTEMPTS && e == OK && !whole; i++) {
        if (i > 0) e = env_remove_tree(c->env, c->to, c->why);
        if (e == OK) e = try_to_copy(c, &whole);
        buf_fini(&c->names.all);
    }
    /* It has no state: a new destination, or one whose state is damaged. */
    if (e == ERR_MISSING) return env_remove_tree(c->env, c->to, c->why);
    if (e || whole) return e;
    return why_set(c->why, ERR_AGAIN,
                   "files of dead letters of destination %s are being removed; try again", name);
}

enum err
relay_copy_states(struct env *env, const char *from, const char *to, struct budget *memory,
                  struct why *why)
{
    struct relay_names names;
    struct state_copy c = {.env = env, .memory = memory, .why = why};
    enum err e = relay_names_read(&names, env, from, memory, why);
    if (e) return e == ERR_MISSING ? OK : e;
    buf_init(&c.content, memory, FILE_BYTES_MAX);
    const struct relay_name *name;
    bool made = false;
    for (size_t i = 0; e == OK && (name = relay_name_at(&names, i)) != NULL; i++) {
        if (!name->is_dir || name->text[0] == '.') continue;
        if (!made) e = env_mkdir(env, to, why);
        if (e == OK) e = path_in(c.from, sizeof c.from, from, name->text, why);
        if (e == OK) e = path_in(c.to, sizeof c.to, to, name->text, why);
        if (e == OK) e = copy_one(&c, name->text);
        made = true;
    }
    if (e == OK && made) e = env_syncdir(env, to, why);
    buf_fini(&c.content);
    buf_fini(&names.all);
    return e;
}

/* --- an operator's decision ------------------------------------------------------------------- */

static const char DIRECTORY_NAME[] = RELAY_RESET_NAME;
static const uint8_t MAGIC[8] = {'F', 'K', 'R', 'E', 'S', 'E', 'T', 0};

enum { VERSION = 1, FROM_AT = 16, FROM_MS_AT = 24, CRC_AT = 32, FILE_BYTES = 36 };

const char *
reset_word(enum reset_from from)
{
    static const char *const words[] = {
        [RESET_NOW] = "now",
        [RESET_OLDEST] = "oldest",
        [RESET_PREVIOUS] = "previous",
        [RESET_TIME] = "time",
    };
    assert(from <= RESET_TIME);
    return words[from];
}

enum err
reset_put(struct env *env, const char *dir, const struct reset *reset, struct why *why)
{
    uint8_t file[FILE_BYTES] = {0};
    memcpy(file, MAGIC, sizeof MAGIC);
    store_le32(file + 8, VERSION);
    store_le32(file + 12, VERSION); /* min_reader */
    store_le32(file + FROM_AT, (uint32_t)reset->from);
    store_le64(file + FROM_MS_AT, (uint64_t)reset->from_ms);
    store_le32(file + CRC_AT, crc32c(0, bytes_of(file, CRC_AT)));
    return env_write_whole(env, dir, DIRECTORY_NAME, bytes_of(file, sizeof file), why);
}

enum err
reset_read(struct env *env, const char *dir, struct reset *ret_reset, struct why *why)
{
    uint8_t content[FILE_BYTES];
    char path[FILE_PATH_BYTES];
    size_t got = 0;
    enum err e = path_in(path, sizeof path, dir, DIRECTORY_NAME, why);
    if (e == OK) e = env_read_some(env, path, content, sizeof content, &got, why);
    if (e) return e;
    bool sane = got == sizeof content && memcmp(content, MAGIC, sizeof MAGIC) == 0 &&
                load_le32(content + CRC_AT) == crc32c(0, bytes_of(content, CRC_AT));
    if (sane && load_le32(content + 12) > VERSION) {
        return why_set(why, ERR_UNSUPPORTED, "%s was written by a newer Firekeep; use that version",
                       path);
    }
    uint32_t from = load_le32(content + FROM_AT);
    if (!sane || from > RESET_TIME) {
        const char *slash = strrchr(dir, '/');
        return why_set(why, ERR_CORRUPT,
                       "%s is damaged; reset the destination again: firekeep destinations reset %s "
                       "--from=previous|oldest|now|TIME",
                       path, slash == NULL ? dir : slash + 1);
    }
    *ret_reset = (struct reset){(enum reset_from)from, (int64_t)load_le64(content + FROM_MS_AT)};
    return OK;
}

enum err
reset_remove(struct env *env, const char *dir, struct why *why)
{
    char path[FILE_PATH_BYTES];
    enum err e = path_in(path, sizeof path, dir, DIRECTORY_NAME, why);
    return e ? e : env_unlink(env, path, why);
}
