/*
 * signing_keys.c - see users.h.
 *
 * All memory of a set but the table is in one arena for secrets; a file is read into a buffer for
 * secrets, and only whole lines are copied.
 *
 * Invariant:
 *
 * 1. Each key has 1 to SIGNING_SECRETS_MAX secrets, none of them empty.
 */
#include "auth/users.h"

#include <assert.h>

#include "base/buf.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "sys/env.h"

enum { FILE_BYTES_MAX = 16 * 1024, ARENA_BYTES_MAX = 256 << 20 };

struct signing_keys {
    struct arena arena; /* of this struct, too */
    struct signing_key *items;
    uint32_t count;
    struct table by_id;
};

/* --- files ------------------------------------------------------------------------------------ */

static bool
is_visible(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] <= ' ' || text.at[i] > '~') return false;
    return text.size > 0;
}

/* Copies the lines of a file's text, at most `count_max`. */
static enum err
copy_lines(struct bytes text, struct arena *arena, size_t bytes_max, struct bytes *ret_lines,
           uint32_t count_max, uint32_t *ret_count, struct why *why)
{
    uint32_t count = 0;
    if (text.size == 0) return why_set(why, ERR_INPUT, "it is empty");
    while (text.size > 0) {
        struct bytes line = text_cut(&text, '\n');
        if (line.size > 0 && line.at[line.size - 1] == '\r') line.size--;
        if (count == count_max)
            return why_set(why, ERR_INPUT, "it has more lines than %u", (unsigned)count_max);
        if (!is_visible(line))
            return why_set(why, ERR_INPUT, "line %u is empty, or has blanks or bytes beyond ASCII",
                           (unsigned)count + 1);
        if (line.size > bytes_max)
            return why_set(why, ERR_INPUT, "line %u is longer than %zu bytes", (unsigned)count + 1,
                           bytes_max);
        ret_lines[count] = arena_copy(arena, line);
        if (ret_lines[count++].at == NULL) return ERR_NOMEM;
    }
    *ret_count = count;
    return OK;
}

static enum err
read_lines(const char *path, struct arena *arena, size_t bytes_max, struct bytes *ret_lines,
           uint32_t count_max, uint32_t *ret_count, struct why *why)
{
    struct buf text;
    buf_init_secret(&text, arena->budget, FILE_BYTES_MAX);
    enum err e = buf_reserve(&text, 1) ? env_read_whole(env_real(), path, &text, why) : ERR_NOMEM;
    if (e == OK) {
        e = copy_lines(buf_bytes(&text), arena, bytes_max, ret_lines, count_max, ret_count, why);
        if (e == ERR_INPUT) why_prefix(why, e, "cannot use %s", path);
    }
    buf_fini(&text);
    return e;
}

/* --- the set ---------------------------------------------------------------------------------- */

static enum err
add_key(struct signing_keys *keys, const struct access_key_settings *settings, uint32_t user,
        struct why *why)
{
    struct signing_key key = {.user = user};
    uint32_t tokens;
    if (!text_copy(&keys->arena, settings->id, &key.id)) return ERR_NOMEM;
    enum err e = read_lines(settings->secret_file, &keys->arena, SIGNING_SECRET_BYTES_MAX,
                            key.secrets, SIGNING_SECRETS_MAX, &key.secret_count, why);
    if (e && e != ERR_NOMEM) return why_prefix(why, e, "access key %s: secret_file", key.id);
    if (e == OK && settings->session_token_file != NULL) {
        e = read_lines(settings->session_token_file, &keys->arena, SIGNING_TOKEN_BYTES_MAX,
                       &key.session_token, 1, &tokens, why);
        if (e && e != ERR_NOMEM)
            return why_prefix(why, e, "access key %s: session_token_file", key.id);
    }
    if (e) return e;
    assert(key.secret_count > 0 && key.secret_count <= SIGNING_SECRETS_MAX); /* invariant 1 */
    table_add(&keys->by_id, hash_bytes(bytes_of_text(key.id), 0), keys->count);
    keys->items[keys->count++] = key;
    return OK;
}

static enum err
add_all(struct signing_keys *keys, const struct user_list *list, uint32_t count, struct why *why)
{
    keys->items = arena_new(&keys->arena, (count + 1) * sizeof *keys->items);
    if (keys->items == NULL) return ERR_NOMEM;
    if (!table_reserve(&keys->by_id, keys->arena.budget, count)) return ERR_NOMEM;
    for (uint32_t i = 0; i < list->count; i++) {
        for (uint32_t k = 0; k < list->items[i].access_key_count; k++) {
            enum err e = add_key(keys, &list->items[i].access_keys[k], i, why);
            if (e) return e;
        }
    }
    assert(keys->count == count);
    return OK;
}

enum err
signing_keys_read(const struct user_list *list, struct budget *memory,
                  struct signing_keys **ret_keys, struct why *why)
{
    struct arena arena;
    uint64_t count = 0;
    for (uint32_t i = 0; i < list->count; i++)
        count += list->items[i].access_key_count;
    if (count > SIGNING_KEYS_MAX)
        return why_set(why, ERR_LIMIT, "there are more than %d access keys", SIGNING_KEYS_MAX);
    arena_init_secret(&arena, memory, ARENA_BYTES_MAX, 0);
    struct signing_keys *keys = arena_new(&arena, sizeof *keys);
    enum err e = keys == NULL ? ERR_NOMEM : OK;
    if (e == OK) {
        keys->arena = arena;
        e = add_all(keys, list, (uint32_t)count, why);
    }
    if (e) signing_keys_free(keys);
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory for access keys");
    if (e == OK) *ret_keys = keys;
    return e;
}

void
signing_keys_free(struct signing_keys *keys)
{
    if (keys == NULL) return;
    struct arena arena = keys->arena;
    table_fini(&keys->by_id, arena.budget);
    arena_fini(&arena);
}

uint32_t
signing_keys_count(const struct signing_keys *keys)
{
    return keys->count;
}

const struct signing_key *
signing_keys_find(const struct signing_keys *keys, struct bytes id)
{
    for (uint32_t at = TABLE_START, i; table_next(&keys->by_id, hash_bytes(id, 0), &at, &i);)
        if (bytes_equal_text(id, keys->items[i].id)) return &keys->items[i];
    return NULL;
}

static bool
is_same_key(const struct signing_key *a, const struct signing_key *b)
{
    bool same = strcmp(a->id, b->id) == 0 && a->user == b->user &&
                a->secret_count == b->secret_count &&
                bytes_equal(a->session_token, b->session_token);
    for (uint32_t i = 0; i < a->secret_count && same; i++)
        same = bytes_equal(a->secrets[i], b->secrets[i]);
    return same;
}

bool
signing_keys_equal(const struct signing_keys *a, const struct signing_keys *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; i < a->count && same; i++)
        same = is_same_key(&a->items[i], &b->items[i]);
    return same;
}
