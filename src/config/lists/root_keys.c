/* root_keys.c - see root_keys.h. */
#include "config/lists/root_keys.h"

/* For all texts and outgrown arrays; a text of CONFIG_BYTES_MAX needs less. */
enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 };

struct root_walk {
    struct schema_reader reader;
    const struct schema *schema;
    void *base;
};

static enum err
root_keys_read(struct config_reader *in, void *context)
{
    struct root_walk *w = context;
    if (in->event.type != YAML_MAPPING_START_EVENT) {
        if (w->schema->partial || reader_is_null(in)) return reader_skip(in);
        return reader_complain(in, "expected keys such as '%s:', got %s", w->schema->keys->name,
                               reader_found(in).text);
    }
    return schema_read(&w->reader, w->schema, w->base);
}

void
root_arena_free(struct arena *arena)
{
    if (arena == NULL) return;
    arena_fini(arena);
    mem_free(NULL, arena, sizeof *arena);
}

enum err
root_keys_yaml(const struct schema *schema, const struct root_context *root, struct bytes text,
               void *base, struct arena **ret_arena, struct why *why)
{
    struct config_reader in;
    enum err e = reader_init(&in, root->file_name, text, CONFIG_BYTES_MAX, why);
    if (e) return e;
    struct arena *arena = mem_new(NULL, sizeof *arena);
    if (arena == NULL) {
        e = why_set(why, ERR_NOMEM, "%s: not enough memory", root->file_name);
        goto out;
    }
    arena_init_secret(arena, NULL, ARENA_BYTES_MAX, 0);
    struct root_walk w = {
        .reader = {.in = &in, .arena = arena, .list = "", .types = "", .context = root},
        .schema = schema,
        .base = base,
    };
    e = reader_document(&in, root_keys_read, &w);
    if (e || arena->used_bytes == 0) {
        root_arena_free(arena);
        arena = NULL;
    }
    if (e == OK) *ret_arena = arena;
out:
    reader_fini(&in);
    return e;
}
