/* schema_print.c - prints structs that were read by a schema as YAML. They are compared and hashed as
 * they are printed, with their secrets. */
#include <assert.h>
#include <stdio.h>

#include "base/hash/hash.h"
#include "config/schema/schema_private.h"

enum { OWN_BYTES = 96 }; /* room for the output of a row's print() */
enum { INDENT = 4, DASH = 2 };
#define SECRET_WORD "<secret>"

struct printing {
    struct buf *to;
    unsigned type;
    bool with_secrets;
};

static void print_mapping(const struct printing *p, const struct schema *schema, const void *base,
                          unsigned indent, bool item);

/* True for a mapping that was not given, or a number that is 0. */
static bool
is_default(const struct schema_key *key, unsigned type, const void *base)
{
    _Alignas(16) uint8_t plain[512] = {0};
    const uint8_t *field = (const uint8_t *)base + key->offset;
    if (key->kind != SCHEMA_MAPPING) return schema_get_number(key, base) == 0;
    assert(key->inner->size <= sizeof plain);
    schema_default(key->inner, type, plain);
    for (const struct schema_key *k = key->inner->keys; k->name != NULL; k++) {
        bool same = schema_is_list(k->kind)
                        ? schema_get_count(k, field) == 0
                        : memcmp(field + k->offset, plain + k->offset, k->size) == 0;
        if (!same) return false;
    }
    return true;
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
put_text(const struct printing *p, const struct schema_key *key, const char *text)
{
    if (schema_is_secret(key) && !p->with_secrets)
        buf_put_text(p->to, SECRET_WORD);
    else
        yaml_put_quoted(p->to, text);
}

/* Writes the text of a secret, or the path of its file. */
static void
put_secret(const struct printing *p, const struct schema_key *key, const struct secret *secret)
{
    put_text(p, key, secret->text != NULL ? secret->text : secret->file);
    if (p->with_secrets && secret->text == NULL) buf_put_text(p->to, " (file)");
}

static void
print_item(const struct printing *p, const struct schema_key *key, const void *item,
           unsigned indent)
{
    bool nested = key->kind == SCHEMA_MAPPINGS || key->kind == SCHEMA_NAMED_MAPPINGS;
    bool empty = nested && is_empty(key->inner, p->type, item);
    if (key->kind == SCHEMA_MAPPINGS && !empty) {
        print_mapping(p, key->inner, item, indent + INDENT + DASH, true);
        return;
    }
    bool named = schema_is_map(key->kind);
    print_indent(p->to, indent + INDENT + (named ? 0 : DASH), !named);
    if (named)
        yaml_put_quoted(p->to, schema_get_pointer(item, 0));
    else if (key->kind == SCHEMA_SECRETS)
        put_secret(p, key, item);
    else if (key->kind != SCHEMA_MAPPINGS)
        put_text(p, key, schema_get_pointer(item, 0));
    if (named) buf_put_text(p->to, nested && !empty ? ":" : ": ");
    if (empty) buf_put_text(p->to, "{}");
    if (key->kind == SCHEMA_NAMED_SECRETS)
        put_secret(p, key, &((const struct named_secret *)item)->value);
    else if (key->kind == SCHEMA_NAMED_TEXTS)
        put_text(p, key, ((const struct named_text *)item)->value);
    buf_put_u8(p->to, '\n');
    if (nested && !empty) print_mapping(p, key->inner, item, indent + 2 * INDENT, false);
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
print_scalar(const struct printing *p, const struct schema_key *key, const void *base)
{
    char text[OWN_BYTES];
    const char *stored = NULL;
    struct setting shape;
    switch (key->kind) {
    case SCHEMA_OWN:
    case SCHEMA_MAPPING: /* given as a word */
        key->print(base, text, sizeof text);
        break;
    case SCHEMA_TEXT:
    case SCHEMA_SECRET:
    case SCHEMA_BYTES: /* its copy ends in NUL */
        stored = schema_get_pointer(base, key->offset);
        if (key->has_password && !p->with_secrets)
            print_url(p->to, stored);
        else
            put_text(p, key, stored);
        return;
    case SCHEMA_SECRET_FILE:
        yaml_put_quoted(p->to,
                        schema_get_pointer(base, key->offset + offsetof(struct secret, file)));
        return;
    default:
        shape = schema_number(key);
        setting_number_text(&shape, schema_get_number(key, base), text, sizeof text);
        if (key->zero_word != NULL && schema_get_number(key, base) == 0) {
            snprintf(text, sizeof text, "%s", key->zero_word);
        }
    }
    buf_printf(p->to, key->kind == SCHEMA_SET ? "[%s]" : "%s", text);
}

/* True if a mapping was given as a word. */
static bool
is_word(const struct schema_key *key, const void *base)
{
    char text[OWN_BYTES] = "";
    if (key->print != NULL) key->print(base, text, sizeof text);
    return text[0] != '\0';
}

static void
print_mapping(const struct printing *p, const struct schema *schema, const void *base,
              unsigned indent, bool item)
{
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        if (!schema_is_shown(k, p->type, base)) continue;
        print_indent(p->to, indent, item);
        item = false;
        buf_printf(p->to, "%s:", k->name);
        if (k->kind == SCHEMA_MAPPING && !is_word(k, base)) {
            buf_put_u8(p->to, '\n');
            print_mapping(p, k->inner, (const uint8_t *)base + k->offset, indent + INDENT, false);
        } else if (schema_is_list(k->kind)) {
            const uint8_t *items = schema_get_pointer(base, k->offset);
            uint32_t count = schema_get_count(k, base);
            buf_put_u8(p->to, '\n');
            for (uint32_t i = 0; i < count; i++) {
                print_item(p, k, items + i * schema_item_size(k), indent);
            }
        } else {
            buf_put_u8(p->to, ' ');
            print_scalar(p, k, base);
            buf_put_u8(p->to, '\n');
        }
    }
}

void
schema_print(struct buf *to, const struct schema *schema, unsigned type, const void *base,
             unsigned indent, bool item)
{
    const struct printing p = {.to = to, .type = type};
    print_mapping(&p, schema, base, indent, item);
}

/* --- comparing -------------------------------------------------------------------------------- */

/* Prints all values with their secrets; the caller frees `to`. */
static enum err
print_values(const struct schema *schema, unsigned type, const void *base, struct buf *to)
{
    const struct printing p = {.to = to, .type = type, .with_secrets = true};
    buf_init_secret(to, NULL, 8 * CONFIG_BYTES_MAX);
    if (schema->given_first) buf_put_u8(to, *(const bool *)base);
    print_mapping(&p, schema, base, INDENT, false);
    return buf_error(to);
}

bool
schema_equal(const struct schema *schema, unsigned type, const void *a, const void *b)
{
    struct buf one, other;
    enum err e = print_values(schema, type, a, &one);
    e = err_first(e, print_values(schema, type, b, &other));
    bool same = e == OK && bytes_equal(buf_bytes(&one), buf_bytes(&other));
    buf_fini(&one);
    buf_fini(&other);
    return same;
}

enum err
schema_hash(const struct schema *schema, unsigned type, const void *base, uint64_t *ret_hash)
{
    struct buf text;
    enum err e = print_values(schema, type, base, &text);
    if (e == OK) *ret_hash = hash_bytes(buf_bytes(&text), type);
    buf_fini(&text);
    return e;
}
