/*
 * schema_hash.c - hashes the values that schema_equal() compares. The hash is the same in all runs
 * of the program.
 */
#include "base/hash/hash.h"
#include "config/schema/schema_private.h"

enum { OWN_BYTES = 96 }; /* for the output of a row's print() */

static void
add_text(struct hash_pieces *h, const char *text)
{
    uint8_t given = text != NULL;
    hash_add(h, bytes_of(&given, 1));
    if (given)
        hash_add(h, bytes_of(text, strlen(text) + 1)); /* with the NUL, which separates texts */
}

static void
add_secret(struct hash_pieces *h, const struct secret *secret)
{
    add_text(h, secret->text);
    add_text(h, secret->file);
}

static void add_mapping(struct hash_pieces *h, const struct schema *schema, unsigned type,
                        const void *base);

/* Adds one field, or one item of a list. */
static void
hash_add_stored(struct hash_pieces *h, const struct schema_key *key, unsigned type, const void *at)
{
    const struct bytes *bytes = at;
    const struct named_text *text = at;
    const struct named_secret *secret = at;
    uint64_t size;
    switch (key->kind) {
    case SCHEMA_TEXT:
    case SCHEMA_TEXTS:
        add_text(h, schema_get_pointer(at, 0));
        break;
    case SCHEMA_BYTES:
    case SCHEMA_BYTES_LIST:
        size = bytes->at == NULL ? UINT64_MAX : bytes->size;
        hash_add(h, bytes_of(&size, sizeof size));
        hash_add(h, *bytes);
        break;
    case SCHEMA_SECRET:
    case SCHEMA_SECRET_FILE:
    case SCHEMA_SECRETS:
        add_secret(h, at);
        break;
    case SCHEMA_NAMED_TEXTS:
        add_text(h, text->name);
        add_text(h, text->value);
        break;
    case SCHEMA_NAMED_SECRETS:
        add_text(h, secret->name);
        add_secret(h, &secret->value);
        break;
    default:
        if (key->kind == SCHEMA_NAMED_MAPPINGS) add_text(h, schema_get_pointer(at, 0));
        add_mapping(h, key->inner, type, at);
    }
}

static void
hash_add_value(struct hash_pieces *h, const struct schema_key *key, unsigned type, const void *base)
{
    char own[OWN_BYTES];
    if (key->print != NULL) {
        key->print(base, own, sizeof own);
        add_text(h, own);
        if (key->kind == SCHEMA_OWN || own[0] != '\0') return;
    }
    if (schema_is_number(key->kind)) {
        uint64_t number = schema_get_number(key, base);
        hash_add(h, bytes_of(&number, sizeof number));
        return;
    }
    const uint8_t *field = (const uint8_t *)base + key->offset;
    if (!schema_is_list(key->kind)) {
        hash_add_stored(h, key, type, field);
        return;
    }
    uint32_t count = schema_get_count(key, base);
    const uint8_t *items = schema_get_pointer(field, 0);
    hash_add(h, bytes_of(&count, sizeof count));
    for (uint32_t i = 0; i < count; i++) {
        hash_add_stored(h, key, type, items + i * schema_item_size(key));
    }
}

static void
add_mapping(struct hash_pieces *h, const struct schema *schema, unsigned type, const void *base)
{
    if (schema->given_first) hash_add(h, bytes_of(base, sizeof(bool)));
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        if (!schema_has_key(k, type)) continue;
        add_text(h, k->name);
        hash_add_value(h, k, type, base);
    }
}

uint64_t
schema_hash(const struct schema *schema, unsigned type, const void *base)
{
    struct hash_pieces h;
    hash_begin(&h, type);
    add_mapping(&h, schema, type, base);
    return hash_end(&h);
}
