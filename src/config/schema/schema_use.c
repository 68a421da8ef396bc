/*
 * schema_use.c - lets a mapping take keys from another. Its own keys win, and also replace keys
 * that exclude or complete them: a mapping with its own token does not take the other's password.
 */
#include "config/schema/schema_private.h"

/* Returns the row of the used mapping that means the same as `key`, or NULL. */
static const struct schema_key *
same_row(const struct schema_used *used, const struct schema_key *key)
{
    const struct schema_key *other =
        schema_find(used->schema, bytes_of_text(key->name), used->type);
    if (other == NULL || other->kind != key->kind || other->inner != key->inner) return NULL;
    if (schema_is_number(key->kind) && other->size != key->size) return NULL;
    bool of_types = key->types != 0 && other->types != 0;
    return of_types || strcmp(key->name, "name") == 0 ? other : NULL;
}

/* True if the mapping has a key of its own that decides `key`, too. */
static bool
is_decided(const struct schema_place *place, const struct schema_key *key)
{
    if (schema_given_for(place, key) != NULL) return true;
    if (key->needs == NULL) return false;
    return schema_given_for(place, schema_find(place->schema, bytes_of_text(key->needs),
                                               place->x->type)) != NULL;
}

static void
copy_field(void *base, size_t to, const void *from_base, size_t from, size_t size)
{
    memcpy((uint8_t *)base + to, (const uint8_t *)from_base + from, size);
}

static void
copy_value(const struct schema_key *key, void *base, const struct schema_key *other,
           const void *from)
{
    bool listed = schema_is_list(key->kind);
    size_t size = listed ? sizeof(void *) : key->size;
    copy_field(base, key->offset, from, other->offset, size);
    if (listed) {
        copy_field(base, key->count_offset, from, other->count_offset, sizeof(uint32_t));
    }
}

/* Checks a text that `use` filled in by the checks of this schema. */
static enum err
check_taken(struct schema_place *place, const struct schema_key *key)
{
    struct why *why = place->x->in->why;
    enum err e = OK;
    if (key->kind == SCHEMA_TEXT && key->check != NULL) {
        e = key->check(schema_get_pointer(place->base, key->offset), why);
    } else if (key->kind == SCHEMA_NAMED_SECRETS && key->check_name != NULL) {
        const struct named_secret *items = schema_get_pointer(place->base, key->offset);
        uint32_t count = schema_get_count(key, place->base);
        for (uint32_t i = 0; i < count && e == OK; i++)
            e = key->check_name(items[i].name, why);
    }
    if (e == OK) return OK;
    err_ignore(why_prefix(why, e, "%s", key->name), "only adds to the sentence");
    err_ignore(reader_at(place->x->in, place->values[key - place->schema->keys]), "the same");
    return e;
}

enum err
schema_take_used(struct schema_place *place)
{
    const struct schema_used *used = place->x->used;
    const struct schema_key *keys = place->schema->keys;
    size_t by =
        (size_t)(schema_find(place->schema, bytes_of_text(used->key), place->x->type) - keys);
    bool taken[SCHEMA_KEYS_MAX] = {false};
    for (const struct schema_key *k = keys; k->name != NULL; k++) {
        if (!schema_has_key(k, place->x->type) || is_decided(place, k)) continue;
        if (strcmp(k->name, "type") == 0) {
            taken[k - keys] = true; /* the reader has noted the name */
            continue;
        }
        const struct schema_key *other = same_row(used, k);
        if (other == NULL || !schema_is_shown(other, used->type, used->base)) continue;
        copy_value(k, place->base, other, used->base);
        taken[k - keys] = true;
    }
    for (const struct schema_key *k = keys; k->name != NULL; k++) {
        if (!taken[k - keys]) continue;
        place->given[k - keys] = true;
        place->keys[k - keys] = place->keys[by];
        place->values[k - keys] = place->values[by];
        enum err e = check_taken(place, k);
        if (e) return e;
    }
    return OK;
}
