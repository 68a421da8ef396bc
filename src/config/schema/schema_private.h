/*
 * schema_private.h - accesses the fields that a schema's rows describe. For schema.c,
 * schema_print.c and schema_hash.c only.
 */
#ifndef CONFIG_SCHEMA_SCHEMA_PRIVATE_H
#define CONFIG_SCHEMA_SCHEMA_PRIVATE_H

#include <assert.h>

#include "config/schema/schema.h"

/* The mapping that is being read. */
struct schema_place {
    struct schema_reader *x;
    const struct schema *schema;
    void *base;
    const char *path; /* "oauth2.tls_config"; "" for the outermost mapping */
    yaml_mark_t begin;
    bool given[SCHEMA_KEYS_MAX];
    yaml_mark_t keys[SCHEMA_KEYS_MAX];
    yaml_mark_t values[SCHEMA_KEYS_MAX];
};

/* Returns the row that was given among `key` and its group; NULL if there is none. */
const struct schema_key *schema_given_for(const struct schema_place *place,
                                          const struct schema_key *key);

/* Returns true if the type has the key and its field is not empty. */
bool schema_is_shown(const struct schema_key *key, unsigned type, const void *base);

static inline bool
schema_is_number(enum schema_kind kind)
{
    return kind <= SCHEMA_SET;
}

/* True if the key's texts are never shown. */
static inline bool
schema_is_secret(const struct schema_key *key)
{
    return key->is_secret || key->kind == SCHEMA_SECRET || key->kind == SCHEMA_SECRETS ||
           key->kind == SCHEMA_NAMED_SECRETS;
}

static inline bool
schema_has_key(const struct schema_key *key, unsigned type)
{
    return key->types == 0 || (key->types >> type & 1) != 0;
}

static inline uint64_t
schema_get_number(const struct schema_key *key, const void *base)
{
    uint64_t number = 0; /* little endian: a narrow field fills the low bytes */
    assert(key->size <= sizeof number);
    memcpy(&number, (const uint8_t *)base + key->offset, key->size);
    return number;
}

static inline const void *
schema_get_pointer(const void *base, size_t offset)
{
    const void *p;
    memcpy(&p, (const uint8_t *)base + offset, sizeof p);
    return p;
}

static inline uint32_t
schema_get_count(const struct schema_key *key, const void *base)
{
    uint32_t count;
    memcpy(&count, (const uint8_t *)base + key->count_offset, sizeof count);
    return count;
}

/* The size of one item in a list or map. */
static inline size_t
schema_item_size(const struct schema_key *key)
{
    switch (key->kind) {
    case SCHEMA_TEXTS:
        return sizeof(const char *);
    case SCHEMA_BYTES_LIST:
        return sizeof(struct bytes);
    case SCHEMA_SECRETS:
        return sizeof(struct secret);
    case SCHEMA_NAMED_TEXTS:
        return sizeof(struct named_text);
    case SCHEMA_NAMED_SECRETS:
        return sizeof(struct named_secret);
    default:
        return key->inner->size;
    }
}

/* True for maps, whose items begin with their name. */
static inline bool
schema_is_map(enum schema_kind kind)
{
    return kind >= SCHEMA_NAMED_TEXTS && kind <= SCHEMA_NAMED_MAPPINGS;
}

/* True for lists and maps. */
static inline bool
schema_is_list(enum schema_kind kind)
{
    return kind >= SCHEMA_TEXTS && kind <= SCHEMA_NAMED_MAPPINGS;
}

#endif
