/* schema_print.c - compares structs that were read by a schema, and prints them as YAML. */
#include <assert.h>
#include <stdio.h>

#include "config/schema/schema_private.h"

enum { OWN_BYTES = 96 }; /* room for the output of a row's print() */

/* --- comparing -------------------------------------------------------------------------------- */

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_secret(const struct secret *a, const struct secret *b)
{
    return same_text(a->text, b->text) && same_text(a->file, b->file);
}

/* Compares one field, or one item of a list. Both have the same layout. */
static bool
same_stored(const struct schema_key *key, enum schema_kind kind, unsigned type, const void *a,
            const void *b)
{
    const struct bytes *ba = a, *bb = b;
    const struct named_text *ta = a, *tb = b;
    const struct named_secret *sa = a, *sb = b;
    switch (kind) {
    case SCHEMA_TEXT:
    case SCHEMA_TEXTS:
        return same_text(schema_get_pointer(a, 0), schema_get_pointer(b, 0));
    case SCHEMA_BYTES:
    case SCHEMA_BYTES_LIST:
        return (ba->at == NULL) == (bb->at == NULL) && bytes_equal(*ba, *bb);
    case SCHEMA_SECRET:
    case SCHEMA_SECRET_FILE:
    case SCHEMA_SECRETS:
        return same_secret(a, b);
    case SCHEMA_NAMED_TEXTS:
        return same_text(ta->name, tb->name) && same_text(ta->value, tb->value);
    case SCHEMA_NAMED_SECRETS:
        return same_text(sa->name, sb->name) && same_secret(&sa->value, &sb->value);
    case SCHEMA_NAMED_MAPPINGS:
        if (!same_text(schema_get_pointer(a, 0), schema_get_pointer(b, 0))) return false;
        return schema_equal(key->inner, type, a, b);
    default:
        return schema_equal(key->inner, type, a, b);
    }
}

static bool
schema_same_value(const struct schema_key *key, unsigned type, const void *a, const void *b)
{
    const uint8_t *fa = (const uint8_t *)a + key->offset, *fb = (const uint8_t *)b + key->offset;
    char ta[OWN_BYTES], tb[OWN_BYTES];
    if (key->print != NULL) {
        key->print(a, ta, sizeof ta);
        key->print(b, tb, sizeof tb);
        if (strcmp(ta, tb) != 0) return false;
        if (key->kind == SCHEMA_OWN || ta[0] != '\0') return true;
    }
    if (schema_is_number(key->kind)) {
        return schema_get_number(key, a) == schema_get_number(key, b);
    }
    if (!schema_is_list(key->kind)) {
        return same_stored(key, key->kind, type, fa, fb);
    }
    uint32_t count = schema_get_count(key, a);
    if (count != schema_get_count(key, b)) return false;
    fa = schema_get_pointer(fa, 0);
    fb = schema_get_pointer(fb, 0);
    for (uint32_t i = 0; i < count; i++) {
        size_t at = i * schema_item_size(key);
        if (!same_stored(key, key->kind, type, fa + at, fb + at)) return false;
    }
    return true;
}

bool
schema_equal(const struct schema *schema, unsigned type, const void *a, const void *b)
{
    if (schema->given_first && *(const bool *)a != *(const bool *)b) return false;
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        if (schema_has_key(k, type) && !schema_same_value(k, type, a, b)) return false;
    }
    return true;
}

/* --- printing --------------------------------------------------------------------------------- */

enum { INDENT = 4, DASH = 2 };
#define SECRET_WORD "<secret>"

/* True for a mapping that equals its default, or a number that is 0. */
static bool
is_default(const struct schema_key *key, unsigned type, const void *base)
{
    _Alignas(16) uint8_t plain[512] = {0};
    if (key->kind == SCHEMA_MAPPING) {
        assert(key->inner->size <= sizeof plain);
        schema_default(key->inner, type, plain);
        return schema_equal(key->inner, type, (const uint8_t *)base + key->offset, plain);
    }
    return schema_get_number(key, base) == 0;
}

bool
schema_is_shown(const struct schema_key *key, unsigned type, const void *base)
{
    const uint8_t *field = (const uint8_t *)base + key->offset;
    if (!schema_has_key(key, type)) return false;
    switch (key->kind) {
    case SCHEMA_TEXT:
    case SCHEMA_BYTES:
    case SCHEMA_SECRET:
        return schema_get_pointer(field, 0) != NULL;
    case SCHEMA_SECRET_FILE:
        return schema_get_pointer(field, offsetof(struct secret, file)) != NULL;
    case SCHEMA_TEXTS:
    case SCHEMA_BYTES_LIST:
    case SCHEMA_SECRETS:
    case SCHEMA_MAPPINGS:
    case SCHEMA_NAMED_TEXTS:
    case SCHEMA_NAMED_SECRETS:
    case SCHEMA_NAMED_MAPPINGS:
        return schema_get_count(key, base) > 0;
    case SCHEMA_MAPPING:
        if (key->inner->given_first) return *(const bool *)field;
        break;
    default:
        break;
    }
    return !key->quiet || !is_default(key, type, base);
}

static void
print_indent(struct buf *to, unsigned indent, bool item)
{
    buf_printf(to, "%*s%s", (int)(item ? indent - DASH : indent), "", item ? "- " : "");
}

/* True if a mapping prints nothing. */
static bool
is_empty(const struct schema *schema, unsigned type, const void *base)
{
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        if (schema_is_shown(k, type, base)) return false;
    }
    return true;
}

static void
print_item(struct buf *to, const struct schema_key *key, unsigned type, const void *item,
           unsigned indent)
{
    bool nested = key->kind == SCHEMA_MAPPINGS || key->kind == SCHEMA_NAMED_MAPPINGS;
    bool empty = nested && is_empty(key->inner, type, item);
    if (key->kind == SCHEMA_MAPPINGS && !empty) {
        schema_print(to, key->inner, type, item, indent + INDENT + DASH, true);
        return;
    }
    bool named = schema_is_map(key->kind);
    print_indent(to, indent + INDENT + (named ? 0 : DASH), !named);
    if (schema_is_secret(key) && !named) {
        buf_put_text(to, SECRET_WORD);
    } else if (key->kind != SCHEMA_MAPPINGS) {
        yaml_put_quoted(to,
                        schema_get_pointer(item, 0)); /* the text of a list, or the name of a map */
    }
    if (named) buf_put_text(to, nested && !empty ? ":" : ": ");
    if (empty) buf_put_text(to, "{}");
    if (schema_is_secret(key) && named) {
        buf_put_text(to, SECRET_WORD);
    } else if (key->kind == SCHEMA_NAMED_TEXTS) {
        yaml_put_quoted(to, ((const struct named_text *)item)->value);
    }
    buf_put_u8(to, '\n');
    if (nested && !empty) schema_print(to, key->inner, type, item, indent + 2 * INDENT, false);
}

static void
print_items(struct buf *to, const struct schema_key *key, unsigned type, const void *base,
            unsigned indent)
{
    const uint8_t *items = schema_get_pointer(base, key->offset);
    uint32_t count = schema_get_count(key, base);
    buf_put_u8(to, '\n');
    for (uint32_t i = 0; i < count; i++) {
        print_item(to, key, type, items + i * schema_item_size(key), indent);
    }
}

/*
 * Prints "http://user:<secret>@proxy:3128". A user without a password is hidden, too: it may be a
 * token. The last '@' counts, because a password with an unescaped slash looks like a path.
 */
static void
print_url(struct buf *to, const char *url)
{
    struct buf text;
    const char *host = strstr(url, "://"), *at = strrchr(url, '@');
    size_t begin = host == NULL ? 0 : (size_t)(host - url) + 3;
    if (at == NULL) {
        yaml_put_quoted(to, url);
        return;
    }
    const char *colon = memchr(url + begin, ':', (size_t)(at - url) - begin);
    buf_init(&text, NULL, SCHEMA_TEXT_BYTES_MAX + sizeof SECRET_WORD);
    buf_put(&text, url, colon == NULL ? begin : (size_t)(colon - url) + 1);
    buf_put_text(&text, SECRET_WORD);
    buf_put(&text, at, strlen(at) + 1);
    yaml_put_quoted(to, buf_error(&text) == OK ? (const char *)text.at : SECRET_WORD);
    buf_fini(&text);
}

_Static_assert(offsetof(struct bytes, at) == 0, "a view's text is found like any");

static void
print_scalar(struct buf *to, const struct schema_key *key, const void *base)
{
    char text[OWN_BYTES];
    struct setting shape;
    if (schema_is_secret(key)) {
        buf_put_text(to, SECRET_WORD);
        return;
    }
    switch (key->kind) {
    case SCHEMA_OWN:
    case SCHEMA_MAPPING: /* given as a word */
        key->print(base, text, sizeof text);
        break;
    case SCHEMA_TEXT:
    case SCHEMA_BYTES: /* its copy ends in NUL */
        (key->has_password ? print_url : yaml_put_quoted)(to,
                                                          schema_get_pointer(base, key->offset));
        return;
    case SCHEMA_SECRET_FILE:
        yaml_put_quoted(to, schema_get_pointer(base, key->offset + offsetof(struct secret, file)));
        return;
    default:
        shape = schema_number(key);
        setting_number_text(&shape, schema_get_number(key, base), text, sizeof text);
        if (key->zero_word != NULL && schema_get_number(key, base) == 0) {
            snprintf(text, sizeof text, "%s", key->zero_word);
        }
    }
    if (key->kind == SCHEMA_SET) buf_put_u8(to, '[');
    buf_put_text(to, text);
    if (key->kind == SCHEMA_SET) buf_put_u8(to, ']');
}

/* True if a mapping was given as a word. */
static bool
is_word(const struct schema_key *key, const void *base)
{
    char text[OWN_BYTES] = "";
    if (key->print != NULL) key->print(base, text, sizeof text);
    return text[0] != '\0';
}

void
schema_print(struct buf *to, const struct schema *schema, unsigned type, const void *base,
             unsigned indent, bool item)
{
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        if (!schema_is_shown(k, type, base)) continue;
        print_indent(to, indent, item);
        item = false;
        buf_printf(to, "%s:", k->name);
        if (k->kind == SCHEMA_MAPPING && !is_word(k, base)) {
            buf_put_u8(to, '\n');
            schema_print(to, k->inner, type, (const uint8_t *)base + k->offset, indent + INDENT,
                         false);
        } else if (schema_is_list(k->kind)) {
            print_items(to, k, type, base, indent);
        } else {
            buf_put_u8(to, ' ');
            print_scalar(to, k, base);
            buf_put_u8(to, '\n');
        }
    }
}
