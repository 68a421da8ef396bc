/*
 * configuration.c - writes the reference of docs/configuration.md from the tables of settings and
 * keys.
 *
 *     configuration FILE      prints FILE with the reference below its line MARK replaced
 *
 * A key is an item of a list, and the keys of a mapping are the items below it. Mappings and keys
 * that several lists have are in sections of their own, to which the items refer.
 */
#include <stdio.h>
#include <string.h>

#include "config/lists/access/access_keys.h"
#include "config/lists/lists.h"
#include "config/lists/shared_keys.h"
#include "config/schema/text.h"

#define MARK "<!-- make configuration writes what follows -->\n"

enum { FILE_BYTES_MAX = 1 << 20, VALUES_BYTES = 400 };

/* Sections of settings that have other keys, and roots that follow them. */
static const struct place {
    const char *section;
    const struct schema *keys, *roots;
} places[] = {
    {"web", NULL, &access_root_schema},
    {"retention", &retention_schema, &downsampling_root_schema},
    {"storage", NULL, &object_storage_root_schema},
    {"write", NULL, &inputs_root_schema},
    {"global", &global_schema, &rules_root_schema},
    {"alerting", &alerting_schema, NULL},
};

/* Mappings with a section of their own. */
static const struct shared {
    const char *name;
    const struct schema *schema;
} mappings[] = {
    {"relabel", &relabel_schema},
    {"tls_config", &tls_schema},
    {"http_headers", &http_header_schema},
    {"basic_auth", &basic_auth_schema},
    {"authorization", &authorization_schema},
    {"oauth2", &oauth2_schema},
    {"sigv4", &sigv4_schema},
    {"tls_server_config", &tls_server_schema}, /* a root */
};
enum { MAPPING_COUNT = sizeof mappings / sizeof *mappings, OF_ROOT_COUNT = 1 };

/* Keys that several mappings have side by side, and a mapping from which they are printed. */
static const struct run {
    const char *first, *last, *title, *anchor;
    const struct schema *schema;
} runs[] = {
    {"tls_config", "no_proxy", "TLS and proxies", "tls-and-proxies", &oauth2_schema},
    {"access_key", "external_id", "Credentials of AWS", "credentials-of-aws", &sigv4_schema},
};
enum { RUN_COUNT = sizeof runs / sizeof *runs };

/* --- one key ---------------------------------------------------------------------------------- */

/* Prints words; those with an underscore, which is a sign of Markdown, as code. */
static void
put_help(const char *help)
{
    while (*help != '\0') {
        size_t size = strcspn(help, " "), name = size;
        while (name > 0 && strchr(",;:.()", help[name - 1]) != NULL)
            name--;
        bool is_name = memchr(help, '_', name) != NULL && memchr(help, '`', size) == NULL;
        printf(is_name ? "`%.*s`%.*s" : "%.*s%.*s", (int)name, help, (int)(size - name),
               help + name);
        help += size;
        if (*help == ' ') putchar(*help++);
    }
}

/* Writes the values that a number or choice may have. */
static void
number_values(const struct setting *shape, const char *zero, char *to)
{
    char low[48], high[48];
    if (shape->type == SETTING_BOOL) return;
    if (shape->choices != NULL) {
        snprintf(to, VALUES_BYTES, "`%s`", shape->choices);
        return;
    }
    setting_number_text(shape, shape->min, low, sizeof low);
    setting_number_text(shape, shape->max, high, sizeof high);
    snprintf(to, VALUES_BYTES, "%s%s%s`%s`\u2013`%s`", zero == NULL ? "" : "`",
             zero == NULL ? "" : zero, zero == NULL ? "" : "`, ", low, high);
}

static void
key_values(const struct schema_key *k, char *to)
{
    static const char *const words[] = {
        [SCHEMA_SECRET] = "secret",
        [SCHEMA_TEXTS] = "list",
        [SCHEMA_BYTES_LIST] = "list of labels",
        [SCHEMA_SECRETS] = "list of secrets",
        [SCHEMA_MAPPINGS] = "list",
        [SCHEMA_NAMED_TEXTS] = "map of texts",
        [SCHEMA_NAMED_SECRETS] = "map of secrets",
        [SCHEMA_NAMED_MAPPINGS] = "map",
        [SCHEMA_MAPPING] = NULL,
    };
    if (k->kind == SCHEMA_SET || k->kind == SCHEMA_CHOICE) {
        snprintf(to, VALUES_BYTES, "`%s`", k->choices);
    } else if (k->kind < SCHEMA_OWN) {
        struct setting shape = schema_number(k);
        number_values(&shape, k->zero_word, to);
    } else if (k->kind == SCHEMA_TEXTS && k->what != NULL) {
        snprintf(to, VALUES_BYTES, "%slist, each %s", k->word == NULL ? "" : "`all` or ", k->what);
    } else if (k->what != NULL || words[k->kind] != NULL) {
        snprintf(to, VALUES_BYTES, "%s", k->what != NULL ? k->what : words[k->kind]);
    }
}

/* Prints "(VALUES; LAST): ", if they are not empty. */
static void
put_facts(const char *values, const char *last)
{
    bool both = values[0] != '\0' && last[0] != '\0';
    if (values[0] != '\0' || last[0] != '\0') printf(" (%s%s%s)", values, both ? "; " : "", last);
    printf(": ");
}

static void
put_setting(const struct setting *s)
{
    char name[SETTING_TEXT_BYTES], values[VALUES_BYTES] = "";
    bool has_other_name = strchr(strchr(s->name, '.') + 1, '.') != NULL; /* more than underscores */
    printf("- `--%s%s%s`", s->name, s->fallback[0] == '\0' ? "" : "=", s->fallback);
    if (has_other_name) printf(", `%s`", setting_yaml_name(s, name));
    if (s->type == SETTING_TEXT)
        snprintf(values, sizeof values, "`%s`", s->what);
    else
        number_values(s, s->zero == NULL ? NULL : "0", values);
    put_facts(values, s->reloadable ? "" : "restart");
    put_help(s->help);
    putchar('\n');
}

/* --- mappings --------------------------------------------------------------------------------- */

static const struct shared *
find_shared(const struct schema *schema)
{
    for (unsigned i = 0; i < MAPPING_COUNT; i++)
        if (mappings[i].schema == schema) return &mappings[i];
    return NULL;
}

static void put_keys(const struct schema *schema, uint32_t types, int indent);

/* Prints a key, and what is below it. Returns the last key that this item is about. */
static const struct schema_key *
put_key(const struct schema_key *k, int indent)
{
    char values[VALUES_BYTES] = "";
    const struct shared *shared = k->inner == NULL ? NULL : find_shared(k->inner);
    size_t size = strlen(k->name);
    bool has_file = k[1].name != NULL && strncmp(k[1].name, k->name, size) == 0 &&
                    strcmp(k[1].name + size, "_file") == 0 && k[1].group == k->group &&
                    k->group != 0;
    key_values(k, values);
    const char *fallback = k->kind == SCHEMA_BOOL && k->fallback == NULL ? "false" : k->fallback;
    if (k->required) fallback = NULL;
    printf("%*s- %s`%s%s%s`", indent, "", shared == NULL ? "" : "[", k->name,
           fallback == NULL ? "" : ": ", fallback == NULL ? "" : fallback);
    if (shared != NULL) printf("](#%s)", shared->name);
    if (has_file) printf(", `%s`", k[1].name);
    char last[100] = "";
    if (k->needs != NULL) snprintf(last, sizeof last, "with `%s`", k->needs);
    put_facts(values, k->required ? "required" : last);
    put_help(k->help);
    putchar('\n');
    if (k->inner != NULL && shared == NULL) put_keys(k->inner, 0, indent + 2);
    return has_file ? k + 1 : k;
}

/* Prints the keys that exactly these types have. */
static void
put_keys(const struct schema *schema, uint32_t types, int indent)
{
    const struct run *within = NULL;
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        if (k->types != types) continue;
        for (unsigned i = 0; i < RUN_COUNT && within == NULL; i++) {
            if (strcmp(k->name, runs[i].first) != 0) continue;
            within = &runs[i];
            printf("%*s- `%s` \u2026 `%s`: [%s](#%s)\n", indent, "", within->first, within->last,
                   within->title, within->anchor);
        }
        if (within == NULL)
            k = put_key(k, indent);
        else if (strcmp(k->name, within->last) == 0)
            within = NULL;
    }
}

static void
put_run(const struct run *run)
{
    const struct schema_key *k = run->schema->keys;
    printf("\n### %s\n\n", run->title);
    while (strcmp(k->name, run->first) != 0)
        k++;
    for (; k[-1].name == NULL || strcmp(k[-1].name, run->last) != 0; k++)
        k = put_key(k, 0);
}

/* --- sections --------------------------------------------------------------------------------- */

/* Prints a section for each key of the root. */
static void
put_roots(const struct schema *schema)
{
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        if (k->inner == &global_schema) continue; /* a section of settings */
        char values[VALUES_BYTES] = "";
        key_values(k, values);
        printf("\n## %s\n\n%c", k->name, k->help[0] - 'a' + 'A');
        put_help(k->help + 1);
        printf("%s%s%s.\n", values[0] == '\0' ? "" : " (", values, values[0] == '\0' ? "" : ")");
        if (k->inner == NULL) continue;
        putchar('\n');
        put_keys(k->inner, 0, 0);
    }
}

/* Prints the titles of the types that are, or, if `types` is nearly all of them, are not there. */
static void
put_types(const char *title, const char *choices, uint32_t types, uint32_t all)
{
    bool but = types != 0 && __builtin_popcount(all & ~types) == 1;
    printf("\n### ");
    if (types == 0 || but) printf("All ");
    printf("%c%s%s%s", types == 0 || but ? title[0] : title[0] - 'a' + 'A', title + 1,
           types == 0 || but || __builtin_popcount(types) > 1 ? "s" : "",
           types == 0 ? ""
           : but      ? " but "
                      : " ");
    const char *before = "";
    for (unsigned i = 0; types != 0; i++) {
        size_t size = strcspn(choices, "|");
        if (((but ? all & ~types : types) >> i & 1) != 0) {
            printf("%s%.*s", before, (int)size, choices);
            before = ", ";
        }
        if (choices[size] == '\0') break;
        choices += size + 1;
    }
    printf("\n\n");
}

/* Prints the keys of a list whose entries have types, one section for each set of types. */
static void
put_list(const char *name, const char *title, const struct schema *schema)
{
    const struct schema_key *type = schema->keys;
    while (strcmp(type->name, "type") != 0)
        type++;
    uint32_t all = 1;
    for (const char *p = type->choices; (p = strchr(p, '|')) != NULL; p++)
        all = all << 1 | 1;
    printf("\n## %s\n", name);
    for (const struct schema_key *k = schema->keys; k->name != NULL; k++) {
        const struct schema_key *before = schema->keys;
        while (before->types != k->types)
            before++;
        if (before != k || k->types == all) continue;
        put_types(title, type->choices, k->types, all);
        put_keys(schema, k->types, 0);
        if (k->types == 0) put_keys(schema, all, 0);
    }
}

static void
put_reference(void)
{
    for (const struct setting *s = settings_table(); s->name != NULL;) {
        size_t size = strcspn(s->name, ".") + 1;
        const struct setting *first = s;
        char section[40];
        snprintf(section, sizeof section, "%.*s", (int)size - 1, s->name);
        for (char *p = section; (p = strchr(p, '-')) != NULL;)
            *p = '_';
        printf("\n## %s\n\n", section);
        for (; s->name != NULL && strncmp(s->name, first->name, size) == 0; s++)
            put_setting(s);
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            if (strcmp(places[i].section, section) != 0) continue;
            if (places[i].keys != NULL) put_keys(places[i].keys, 0, 0);
            if (places[i].roots != NULL) put_roots(places[i].roots);
        }
    }
    put_list("destinations", "destination", &destination_schema);
    put_list("sources", "source", &source_schema);
    printf("\n## Keys of several lists\n");
    for (unsigned i = 0; i < RUN_COUNT; i++)
        put_run(&runs[i]);
    for (unsigned i = 0; i < MAPPING_COUNT - OF_ROOT_COUNT; i++) {
        printf("\n### %s\n\n", mappings[i].name);
        put_keys(mappings[i].schema, 0, 0);
    }
}

int
main(int argc, char **argv)
{
    static char text[FILE_BYTES_MAX];
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    size_t size = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    if (file != NULL) fclose(file);
    text[size] = '\0';
    char *mark = strstr(text, MARK);
    if (mark == NULL) {
        fprintf(stderr, "usage: configuration FILE; it has the line %s", MARK);
        return 1;
    }
    fwrite(text, 1, (size_t)(mark - text) + strlen(MARK), stdout);
    put_reference();
    return 0;
}
