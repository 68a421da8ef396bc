#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/destinations_testing.h"

/* A file of the source tree, NUL-terminated; tests run in its root. The caller frees it. */
static char *
read_source_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("%s is missing: run the tests in the root of the source tree", path);
    char *text = calloc(1, CONFIG_BYTES_MAX);
    assert_non_null(text);
    size_t got = fread(text, 1, CONFIG_BYTES_MAX - 1, f);
    assert_in_range(got, 1, CONFIG_BYTES_MAX - 2);
    fclose(f);
    return text;
}

/* The column "Value" of the manual. */
static void
allowed_values(const struct schema_key *k, char *to, size_t size)
{
    static const char *const words[] = {
        [SCHEMA_OWN] = "",
        [SCHEMA_TEXT] = "text",
        [SCHEMA_BYTES] = "text",
        [SCHEMA_SECRET] = "secret",
        [SCHEMA_SECRET_FILE] = "",
        [SCHEMA_TEXTS] = "list",
        [SCHEMA_BYTES_LIST] = "list of labels",
        [SCHEMA_MAPPINGS] = "list of rules, see below",
        [SCHEMA_NAMED_TEXTS] = "map of texts",
        [SCHEMA_NAMED_SECRETS] = "map of secrets",
        [SCHEMA_MAPPING] = "keys, see below",
    };
    size_t used = 0;
    if (k->kind == SCHEMA_CHOICE) {
        for (const char *p = k->choices; *p != 0;) {
            size_t length = strcspn(p, "|");
            used += (size_t)snprintf(to + used, size - used, "%s`%.*s`", used == 0 ? "" : ", ",
                                     (int)length, p);
            p += length + (p[length] == '|');
        }
        return;
    }
    if (k->kind == SCHEMA_BOOL) {
        snprintf(to, size, "`true`, `false`");
        return;
    }
    if (k->kind > SCHEMA_CHOICE) {
        snprintf(to, size, "%s", k->what != NULL ? k->what : words[k->kind]);
        if (k->kind == SCHEMA_TEXTS) {
            snprintf(to, size, "%slist, each %s", k->word == NULL ? "" : "`all`, or a ",
                     k->what == NULL ? "text" : k->what);
        }
        return;
    }
    struct setting shape = schema_number(k);
    char low[48], high[48];
    setting_number_text(&shape, k->min, low, sizeof low);
    setting_number_text(&shape, k->max, high, sizeof high);
    snprintf(to, size, "%s%s%s`%s`\u2013`%s`", k->zero_word == NULL ? "" : "`",
             k->zero_word == NULL ? "" : k->zero_word, k->zero_word == NULL ? "" : "`, ", low,
             high);
}

/* The page has a table for each mapping; types have theirs, too. Returns how many rows. */
static unsigned
check_manual(const char *page, const struct schema *schema)
{
    unsigned count = 0;
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++, count++) {
        char values[300], fallback[60] = "\u2013", row[900];
        allowed_values(k, values, sizeof values);
        if (k->required) snprintf(fallback, sizeof fallback, "required");
        if (k->fallback != NULL) snprintf(fallback, sizeof fallback, "`%s`", k->fallback);
        snprintf(row, sizeof row, "\n| `%s` | %s | %s | %s |", k->name, fallback, values, k->help);
        if (strstr(page, row) == NULL) fail_msg("docs/configuration.md lacks this row:%s", row);
        if (k->inner != NULL) check_manual(page, k->inner);
    }
    return count;
}

static void
test_manual_has_a_true_row_for_every_key(void **state)
{
    (void)state;
    char *page = read_source_file("docs/configuration.md");
    assert_in_range(check_manual(page, &destination_schema), 60, SCHEMA_KEYS_MAX);
    free(page);
}

static void
test_example_file_shows_a_destination_of_each_type(void **state)
{
    (void)state;
    static const char mark[] = "\n#destinations:\n";
    char *text = read_source_file("docs/firekeep.example.yml");
    char *from = strstr(text, mark), *to = from;
    assert_non_null(from);
    /* Each line behind loses its '#', as whoever copies it does. */
    for (const char *p = from; *p != 0; p++) {
        bool begins = p > from && p[-1] == '\n';
        if (begins) assert_int_equal(*p, '#');
        if (!begins) *to++ = *p;
    }
    *to = 0;
    struct destinations list = read_list(text, false);
    uint32_t types = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        types |= 1u << list.items[i].type;
    }
    assert_int_equal(types, (1u << DESTINATION_TYPE_COUNT) - 1);
    destinations_free(&list);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manual_has_a_true_row_for_every_key),
        cmocka_unit_test(test_example_file_shows_a_destination_of_each_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
