/* copy_states.c - copies the states and dead letters of all destinations, while a server changes
 * them. */
#include "relay/operate/copy_states.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/letters/letter_file.h"
#include "relay/state/directory.h"

enum { PATH_BYTES = 700, FILE_BYTES_MAX = 48 << 20, ATTEMPTS = 10 };

struct state_copy {
    struct env *env;
    struct budget *memory;
    char from[PATH_BYTES / 2], to[PATH_BYTES / 2]; /* directories of the destination */
    struct buf before, now; /* u32 numbers of the files of dead letters, ascending */
    struct buf content;
    struct why *why;
};

static enum err
copy_file(struct state_copy *c, const char *name)
{
    char path[PATH_BYTES];
    buf_clear(&c->content);
    enum err e = path_in(path, sizeof path, c->from, name, c->why);
    if (e == OK) e = env_read_whole(c->env, path, &c->content, c->why);
    return e ? e : env_write_whole(c->env, c->to, name, buf_bytes(&c->content), c->why);
}

static enum err
note_letters(void *context, const char *name, bool is_dir)
{
    struct buf *to = context;
    uint32_t number;
    if (is_dir || !letter_file_number(name, &number)) return OK;
    buf_put(to, &number, sizeof number);
    return buf_error(to);
}

static int
by_number(const void *a, const void *b)
{
    uint32_t x = load_le32(a), y = load_le32(b);
    return (x > y) - (x < y);
}

static enum err
list_letters(struct state_copy *c, struct buf *to)
{
    char path[PATH_BYTES];
    buf_clear(to);
    enum err e = path_in(path, sizeof path, c->from, RELAY_LETTERS_NAME, c->why);
    if (e == OK) e = env_listdir(c->env, path, note_letters, to, c->why);
    if (e == ERR_MISSING) return OK;
    if (e == OK && to->size > 0) qsort(to->at, to->size / 4, 4, by_number);
    return e;
}

/*
 * Copies the files of dead letters in the order of their numbers: one that is followed by another
 * is complete, and only the last one is cut where it ended when it was read. `ret_whole`: no file
 * that existed before the state was read is missing.
 */
static enum err
copy_letters(struct state_copy *c, bool *ret_whole)
{
    char name[LETTER_FILE_NAME_BYTES + sizeof RELAY_LETTERS_NAME], path[PATH_BYTES];
    size_t kept = 0;
    *ret_whole = false;
    enum err e = list_letters(c, &c->now);
    if (e == OK && c->now.size > 0)
        e = path_in(path, sizeof path, c->to, RELAY_LETTERS_NAME, c->why);
    if (e == OK && c->now.size > 0) e = env_mkdir(c->env, path, c->why);
    for (size_t i = 0; i < c->now.size && e == OK; i += 4) {
        uint32_t number = load_le32(c->now.at + i);
        snprintf(name, sizeof name, RELAY_LETTERS_NAME "/%08x.letters", number);
        e = copy_file(c, name);
        if (kept < c->before.size && load_le32(c->before.at + kept) == number) kept += 4;
    }
    if (e == ERR_MISSING) return OK; /* it was removed meanwhile */
    if (e == OK && c->now.size > 0) e = env_syncdir(c->env, path, c->why);
    *ret_whole = kept == c->before.size;
    return e;
}

/* Tries once. The state is read before the letters: letters are durable before a state that names
 * them. */
static enum err
try_to_copy(struct state_copy *c, bool *ret_whole)
{
    *ret_whole = false;
    enum err e = list_letters(c, &c->before);
    if (e == OK) e = env_mkdir(c->env, c->to, c->why);
    if (e == OK) e = copy_file(c, RELAY_STATE_NAME);
    if (e) return e;
    e = copy_letters(c, ret_whole);
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
    }
    /* It has no state: a new destination, or one whose state is damaged. */
    if (e == ERR_MISSING) return env_remove_tree(c->env, c->to, c->why);
    if (e || whole) return e;
    return why_set(c->why, ERR_AGAIN,
                   "files of dead letters of destination %s are being removed; try again", name);
}

static enum err
copy_all(struct state_copy *c, const struct relay_names *names, const char *from, const char *to)
{
    const struct relay_name *name;
    bool made = false;
    for (size_t i = 0; (name = relay_name_at(names, i)) != NULL; i++) {
        if (!name->is_dir || name->text[0] == '.') continue;
        enum err e = made ? OK : env_mkdir(c->env, to, c->why);
        if (e == OK) e = path_in(c->from, sizeof c->from, from, name->text, c->why);
        if (e == OK) e = path_in(c->to, sizeof c->to, to, name->text, c->why);
        if (e == OK) e = copy_one(c, name->text);
        if (e) return e;
        made = true;
    }
    return made ? env_syncdir(c->env, to, c->why) : OK;
}

enum err
relay_copy_states(struct env *env, const char *from, const char *to, struct budget *memory,
                  struct why *why)
{
    struct relay_names names;
    struct state_copy c = {.env = env, .memory = memory, .why = why};
    enum err e = relay_names_read(&names, env, from, memory, why);
    if (e) return e == ERR_MISSING ? OK : e;
    buf_init(&c.before, memory, FILE_BYTES_MAX);
    buf_init(&c.now, memory, FILE_BYTES_MAX);
    buf_init(&c.content, memory, FILE_BYTES_MAX);
    e = copy_all(&c, &names, from, to);
    buf_fini(&c.before);
    buf_fini(&c.now);
    buf_fini(&c.content);
    buf_fini(&names.all);
    return e;
}
