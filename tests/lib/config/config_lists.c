/* config_lists.c - see config_lists.h. */
#include "lib/config/config_lists.h"

struct settings
settings_with_tenancy(bool on)
{
    struct settings s;
    settings_default(&s);
    s.tenancy_enabled = on;
    return s;
}

char *
example_list(const char *name)
{
    char mark[40];
    snprintf(mark, sizeof mark, "\n#%s:\n", name);
    char *text = read_source_file("docs/firekeep.example.yml");
    char *from = strstr(text, mark), *to = text;
    assert_non_null(from);
    for (const char *p = from + 1; *p != 0 && *p != '\n'; p++) {
        assert_int_equal(*p, '#');
        size_t size = strcspn(p + 1, "\n") + 1; /* size of the line with its end */
        memmove(to, p + 1, size);
        to += size;
        p += size;
    }
    *to = 0;
    return text;
}

/* --- tables ----------------------------------------------------------------------------------- */

/* Says whether any of the texts sets the key. */
static bool
is_given_somewhere(const char *key, const struct list_text *whole, size_t text_count)
{
    char wanted[80];
    for (const char *before = " {\n"; *before != '\0'; before++) {
        snprintf(wanted, sizeof wanted, "%c%s:", *before, key);
        for (size_t i = 0; i < text_count; i++)
            if (strstr(whole[i].text, wanted) != NULL) return true;
    }
    return false;
}

void
check_rows(const struct schema *schema, unsigned type_count, const struct list_text *whole,
           size_t text_count)
{
    uint32_t all = (1u << type_count) - 1, seen = 0;
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        bool list = k->kind >= SCHEMA_TEXTS && k->kind <= SCHEMA_NAMED_MAPPINGS;
        seen++;
        if (!is_given_somewhere(k->name, whole, text_count)) fail_msg("no test gives %s", k->name);
        assert_int_equal(k->name[strspn(k->name, "abcdefghijklmnopqrstuvwxyz0123456789_")], 0);
        assert_non_null(k->help);
        assert_int_not_equal(k->help[strlen(k->help) - 1], '.');
        assert_true(k->min <= k->max || k->max == 0);
        assert_int_equal(k->kind == SCHEMA_CHOICE || k->kind == SCHEMA_SET, k->choices != NULL);
        bool may_be_own = k->kind == SCHEMA_OWN || k->kind == SCHEMA_MAPPING;
        assert_int_equal(k->parse != NULL, k->print != NULL);
        assert_true(k->parse == NULL ? k->kind != SCHEMA_OWN : may_be_own && k->what != NULL);
        bool nested = k->kind == SCHEMA_MAPPING || k->kind == SCHEMA_MAPPINGS ||
                      k->kind == SCHEMA_NAMED_MAPPINGS;
        assert_int_equal(nested, k->inner != NULL);
        if (list) assert_true(k->max > 0);
        assert_int_equal(k->types & ~all, 0);
        if (k->inner != NULL) check_rows(k->inner, type_count, whole, text_count);
        /* A type has each key once. */
        for (const struct schema_key *other = schema->keys; other != k; other++) {
            if (strcmp(k->name, other->name) != 0) continue;
            assert_int_not_equal(k->types, 0);
            assert_int_equal(k->types & other->types, 0);
        }
    }
    assert_in_range(seen, 1, SCHEMA_KEYS_MAX);
}
