/* copy_states.c - copies the states and dead letters of all destinations, while a server changes
 * them. */
#include "relay/operate/copy_states.h"

#include <stdio.h>
#include <string.h>

#include "relay/state/directory.h"
#include "relay/state/letter_list.h"
#include "relay/state/state.h"

enum { PATH_BYTES = 700, FILE_BYTES_MAX = 48 << 20, ATTEMPTS = 10, NAME_BYTES = 64 };

struct state_copy {
    struct env *env;
    struct budget *memory;
    char from[PATH_BYTES / 2], to[PATH_BYTES / 2]; /* directories of the destination */
    struct buf names;                              /* of files of dead letters, NAME_BYTES each */
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
    struct state_copy *c = context;
    char text[NAME_BYTES] = "";
    size_t size = strlen(name);
    bool unfinished = size > 4 && strcmp(name + size - 4, ".tmp") == 0;
    if (is_dir || unfinished || size >= sizeof text) return OK;
    memcpy(text, name, size);
    buf_put(&c->names, text, sizeof text);
    return buf_error(&c->names);
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
        for (size_t at = 0; at < c->names.size; at += NAME_BYTES) {
            uint32_t number;
            bool packed;
            const char *name = (const char *)c->names.at + at;
            there |= letter_name_number(name, &number, &packed) && number == list.files[i].number;
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
    char from[PATH_BYTES], to[PATH_BYTES];
    *ret_whole = false;
    buf_clear(&c->names);
    enum err e = env_mkdir(c->env, c->to, c->why);
    if (e == OK) e = copy_file(c, RELAY_STATE_NAME);
    if (e) return e;
    e = path_in(from, sizeof from, c->from, RELAY_LETTERS_NAME, c->why);
    if (e == OK) e = path_in(to, sizeof to, c->to, RELAY_LETTERS_NAME, c->why);
    if (e == OK) e = env_listdir(c->env, from, note_letters, c, c->why);
    if (e == ERR_MISSING) e = OK;
    if (e == OK && c->names.size > 0) e = env_mkdir(c->env, to, c->why);
    for (size_t at = 0; at < c->names.size && e == OK; at += NAME_BYTES) {
        char name[NAME_BYTES + sizeof RELAY_LETTERS_NAME];
        snprintf(name, sizeof name, RELAY_LETTERS_NAME "/%s", (const char *)c->names.at + at);
        e = copy_file(c, name);
        if (e == ERR_MISSING) return OK; /* it was packed or removed meanwhile */
    }
    if (e == OK && c->names.size > 0) e = env_syncdir(c->env, to, c->why);
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
    buf_init(&c.names, memory, FILE_BYTES_MAX);
    buf_init(&c.content, memory, FILE_BYTES_MAX);
    e = copy_all(&c, &names, from, to);
    buf_fini(&c.names);
    buf_fini(&c.content);
    buf_fini(&names.all);
    return e;
}
