/*
 * migrated.c - see migrated.h.
 *
 * The new configuration is a tree, which begins as a copy of the parts that have a place in
 * Firekeep. It is written as a text, which the reader of configurations checks; whatever that
 * refuses is cut from the tree, and the check begins again. So there is no second list of what
 * Firekeep knows, and the result is always accepted. A check may cut many unknown keys, but only
 * one part that is refused for another reason, which the next check may see no more.
 */
#include "cli/migrate/migrated.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text/time_text.h"
#include "cli/migrate/retention_size.h"
#include "config/lists/lists.h"
#include "wire/yaml/yaml_values.h"

enum { PIECES_MAX = 100000, DEPTH_MAX = 20, NAME_BYTES = 40, PATH_BYTES = 4096 };

enum piece_kind { PIECE_TEXT, PIECE_MAPPING, PIECE_LIST };

/* A value, and its key in the mapping that has it. */
struct yaml_piece {
    enum piece_kind kind;
    bool is_plain;    /* a text without quotes */
    bool is_cut;      /* refused; the next prune() takes it out */
    const char *key;  /* NULL in a list */
    const char *text; /* of PIECE_TEXT */
    struct yaml_piece *first, *last, *next;
    size_t line, column;  /* of the key, or of the item of a list, as written */
    size_t from_line;     /* in Prometheus' file; 0: not from there */
    const char *from_key; /* its key there */
};

struct migration {
    const struct migrate_options *options;
    struct arena arena;
    yaml_document_t *document;
    uint32_t count; /* nodes */
    size_t line;    /* that is being written */
    struct buf *left_out;
    char dir[PATH_BYTES]; /* that relative paths begin at */
    enum err error;
    struct why *why;
};

/* --- why something is left out ---------------------------------------------------------------- */

static const struct {
    const char *key, *reason;
} reasons[] = {
    {"scrape_configs", "Prometheus goes on scraping"},
    {"scrape_config_files", "Prometheus goes on scraping"},
    {"scrape_interval", "Prometheus goes on scraping"},
    {"scrape_timeout", "Prometheus goes on scraping"},
    {"storage", "except for retention, it has no use: samples of any age and exemplars are stored"},
    {"queue_config", "sizes, retries and concurrency are chosen by Firekeep; see batch and retry"},
    {"metadata_config", "metadata are always sent"},
    {"send_exemplars", "exemplars are always sent"},
    {"send_native_histograms", "native histograms are always sent"},
    {"follow_redirects", "redirects are never followed"},
    {"enable_http2", "requests use HTTP/1.1"},
    {"filter_external_labels", "series keep the external labels, as those that Prometheus sends"},
    {"read_recent", "Firekeep asks for the times that it does not have; see `time`"},
    {"proxy_from_environment", "without proxy_url, environment variables name the proxy"},
    {"tracing", "Firekeep sends no traces"},
    {"otlp", "Firekeep receives remote write"},
    {"runtime", "Firekeep has no garbage collector"},
};

static const char *
reason_of(const char *key)
{
    for (size_t i = 0; key != NULL && i < sizeof reasons / sizeof *reasons; i++) {
        if (strcmp(reasons[i].key, key) == 0) return reasons[i].reason;
    }
    return NULL;
}

/* Appends a line about a part that is not carried over. */
static void
leave_out(struct migration *m, size_t line, const char *key, const char *reason)
{
    const char *known = reason_of(key);
    if (line > 0) buf_printf(m->left_out, "line %zu, ", line);
    buf_printf(m->left_out, "%s: %s\n", key == NULL ? "a key" : key,
               known != NULL ? known : reason);
}

/* --- the tree --------------------------------------------------------------------------------- */

static void
fail(struct migration *m, enum err e, const char *sentence)
{
    if (m->error == OK) m->error = why_set(m->why, e, "%s: %s", m->options->file_name, sentence);
}

static struct yaml_piece *
new_piece(struct migration *m, enum piece_kind kind)
{
    struct yaml_piece *n = m->count++ < PIECES_MAX ? arena_new(&m->arena, sizeof *n) : NULL;
    if (n == NULL) {
        fail(m, m->count > PIECES_MAX ? ERR_LIMIT : ERR_NOMEM,
             m->count > PIECES_MAX ? "it has too many values" : "not enough memory");
        return NULL;
    }
    n->kind = kind;
    return n;
}

static const char *
copy_text(struct migration *m, const char *text)
{
    struct bytes copy = arena_copy(&m->arena, bytes_of(text, strlen(text) + 1));
    if (copy.at == NULL) fail(m, ERR_NOMEM, "not enough memory");
    return copy.at == NULL ? "" : (const char *)copy.at;
}

/* Appends a value to a mapping or list. */
static struct yaml_piece *
add(struct yaml_piece *to, const char *key, struct yaml_piece *n)
{
    if (to == NULL || n == NULL) return n;
    n->key = key;
    if (to->last == NULL)
        to->first = n;
    else
        to->last->next = n;
    to->last = n;
    return n;
}

static struct yaml_piece *
add_text(struct migration *m, struct yaml_piece *to, const char *key, const char *text)
{
    struct yaml_piece *n = new_piece(m, PIECE_TEXT);
    if (n != NULL) n->text = copy_text(m, text);
    return add(to, key, n);
}

/* Takes out what is cut, and sections that are empty after that. */
static void
prune(struct yaml_piece *of, bool is_root)
{
    struct yaml_piece *n = of->first, *next;
    of->first = of->last = NULL;
    for (; n != NULL; n = next) {
        next = n->next;
        n->next = NULL;
        bool had_any = n->first != NULL;
        if (n->is_cut) continue;
        prune(n, false);
        if (!is_root || n->kind != PIECE_MAPPING || n->first != NULL || !had_any)
            add(of, n->key, n);
    }
}

/* --- copying ---------------------------------------------------------------------------------- */

static yaml_node_t *
yaml_at(struct migration *m, int number)
{
    return yaml_document_get_node(m->document, number);
}

static const char *
scalar(const yaml_node_t *y)
{
    return y->type == YAML_SCALAR_NODE ? (const char *)y->data.scalar.value : NULL;
}

/* Says whether it is the key of YAML's merge type, whose value is a mapping, or a list of them,
 * with keys that the mapping itself may lack. */
static bool
is_merge(const yaml_node_t *key)
{
    const char *name = scalar(key);
    return name != NULL && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           strcmp(name, "<<") == 0;
}

/* Says whether it is nothing, as after a key without a value: the same as no key. */
static bool
is_null(const yaml_node_t *y)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (scalar(y) == NULL || y->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(scalar(y), words[i]) == 0) return true;
    }
    return false;
}

/* Returns the n-th mapping that a merge key names; NULL after the last, and after too many: merged
 * mappings that merge others multiply. */
static yaml_node_t *
merged_at(struct migration *m, int number, size_t n)
{
    if (m->count++ >= PIECES_MAX) {
        fail(m, ERR_LIMIT, "it has too many values");
        return NULL;
    }
    yaml_node_t *y = yaml_at(m, number);
    if (y->type != YAML_SEQUENCE_NODE) return n == 0 ? y : NULL;
    yaml_node_item_t *items = y->data.sequence.items.start;
    return items + n < y->data.sequence.items.top ? yaml_at(m, items[n]) : NULL;
}

static yaml_node_t *
yaml_find_in(struct migration *m, yaml_node_t *mapping, const char *key, unsigned depth)
{
    if (mapping == NULL || mapping->type != YAML_MAPPING_NODE || depth == 0) return NULL;
    yaml_node_pair_t *first = mapping->data.mapping.pairs.start,
                     *end = mapping->data.mapping.pairs.top;
    for (yaml_node_pair_t *p = first; p < end; p++) {
        const char *name = scalar(yaml_at(m, p->key));
        if (name != NULL && strcmp(name, key) == 0) return yaml_at(m, p->value);
    }
    yaml_node_t *found = NULL, *merged;
    for (yaml_node_pair_t *p = first; p < end && found == NULL; p++) {
        if (!is_merge(yaml_at(m, p->key))) continue;
        for (size_t i = 0; found == NULL && (merged = merged_at(m, p->value, i)) != NULL; i++)
            found = yaml_find_in(m, merged, key, depth - 1);
    }
    return found;
}

/* Returns the value of a key; NULL: the mapping does not have it. */
static yaml_node_t *
yaml_find(struct migration *m, yaml_node_t *mapping, const char *key)
{
    return yaml_find_in(m, mapping, key, DEPTH_MAX);
}

/* Returns true for keys whose texts are paths: those of files, and lists of them. */
static bool
is_path(const char *key)
{
    if (key == NULL) return false;
    size_t size = strlen(key);
    return strcmp(key, "rule_files") == 0 || strcmp(key, "files") == 0 ||
           (size > 5 && strcmp(key + size - 5, "_file") == 0);
}

/* Relative paths of Prometheus begin at its configuration's directory. */
static const char *
absolute(struct migration *m, const char *path)
{
    struct buf text;
    if (path[0] == '/' || path[0] == '\0') return copy_text(m, path);
    buf_init(&text, m->options->memory, 2 * PATH_BYTES);
    buf_printf(&text, "%s/%s", m->dir, path);
    buf_put_u8(&text, 0);
    const char *whole = buf_error(&text) ? path : (const char *)text.at;
    whole = copy_text(m, whole);
    buf_fini(&text);
    return whole;
}

static struct yaml_piece *copy_piece(struct migration *m, int number, const char *key,
                                     unsigned depth);

static bool
has_key(const struct yaml_piece *mapping, const char *key)
{
    for (const struct yaml_piece *n = mapping->first; n != NULL; n = n->next) {
        if (strcmp(n->key, key) == 0) return true;
    }
    return false;
}

/* Copies the pairs of a mapping, and then those of mappings that it merges: of two values the first
 * stays. */
static void
copy_pairs(struct migration *m, const yaml_node_t *y, struct yaml_piece *to, bool is_merged,
           unsigned depth)
{
    yaml_node_pair_t *first = y->data.mapping.pairs.start, *end = y->data.mapping.pairs.top;
    const yaml_node_t *merged;
    if (y->type != YAML_MAPPING_NODE || depth == 0)
        return fail(m, ERR_INPUT, "a merge key (<<) has a value that is not a mapping");
    for (yaml_node_pair_t *p = first; p < end && m->error == OK; p++) {
        const yaml_node_t *name = yaml_at(m, p->key);
        const char *text = scalar(name);
        if (text == NULL) return fail(m, ERR_INPUT, "a key is not a text");
        if (is_merge(name) || (is_merged && has_key(to, text))) continue;
        if (is_null(yaml_at(m, p->value))) continue;
        struct yaml_piece *child =
            add(to, copy_text(m, text), copy_piece(m, p->value, text, depth));
        if (child == NULL) return;
        child->from_line = name->start_mark.line + 1;
        child->from_key = child->key;
    }
    for (yaml_node_pair_t *p = first; p < end && m->error == OK; p++) {
        if (!is_merge(yaml_at(m, p->key))) continue;
        for (size_t i = 0; (merged = merged_at(m, p->value, i)) != NULL && m->error == OK; i++)
            copy_pairs(m, merged, to, true, depth - 1);
    }
}

static struct yaml_piece *
copy_children(struct migration *m, const yaml_node_t *y, struct yaml_piece *n, const char *key,
              unsigned depth)
{
    if (y->type == YAML_SEQUENCE_NODE) {
        for (yaml_node_item_t *i = y->data.sequence.items.start; i < y->data.sequence.items.top;
             i++) {
            add(n, NULL, copy_piece(m, *i, key, depth));
        }
        return n;
    }
    copy_pairs(m, y, n, false, depth);
    return n;
}

/* Copies a value; `key` is that of the mapping that has it, or its list. */
static struct yaml_piece *
copy_piece(struct migration *m, int number, const char *key, unsigned depth)
{
    const yaml_node_t *y = yaml_at(m, number);
    if (depth == 0) {
        fail(m, ERR_LIMIT, "values are nested too deeply");
        return NULL;
    }
    enum piece_kind kind = y->type == YAML_SCALAR_NODE    ? PIECE_TEXT
                           : y->type == YAML_MAPPING_NODE ? PIECE_MAPPING
                                                          : PIECE_LIST;
    struct yaml_piece *n = new_piece(m, kind);
    if (n == NULL) return NULL;
    n->from_line = y->start_mark.line + 1;
    if (kind != PIECE_TEXT) return copy_children(m, y, n, key, depth - 1);
    const char *text = scalar(y);
    n->is_plain = y->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && text[0] != '\0' &&
                  strpbrk(text, "\n:#") == NULL;
    n->text = is_path(key) ? absolute(m, text) : copy_text(m, text);
    return n;
}

static int
number_of(struct migration *m, const yaml_node_t *y)
{
    return (int)(y - m->document->nodes.start) + 1;
}

/* Copies the value of a key, if the mapping has it. */
static struct yaml_piece *
carry_over(struct migration *m, yaml_node_t *from, const char *key, struct yaml_piece *to,
           const char *new_key)
{
    yaml_node_t *y = yaml_find(m, from, key);
    if (y == NULL || is_null(y)) return NULL;
    struct yaml_piece *n = add(to, new_key, copy_piece(m, number_of(m, y), key, DEPTH_MAX));
    if (n != NULL) n->from_key = key;
    return n;
}

/* --- sections --------------------------------------------------------------------------------- */

/* A list of Prometheus whose items become items of a list of Firekeep with a name and a type. */
struct section {
    const char *from, *to, *type;
    struct {
        const char *from, *to;
    } renamed[4];
};

static const struct section sections[] = {
    {"remote_write",
     "destinations",
     "remote_write",
     {{"write_relabel_configs", "relabel"}, {"remote_timeout", "timeout"}}},
    {"remote_read", "sources", "remote_read", {{"remote_timeout", "timeout"}}},
};

/* Makes a name that Firekeep accepts: the item's own, or that of the section with its number. */
static void
put_name(struct migration *m, const struct section *s, struct yaml_piece *item, const char *own,
         unsigned number)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s-%u", s->from, number);
    if (own != NULL && own[0] != '\0') snprintf(name, sizeof name, "%s", own);
    for (char *p = name; *p != '\0'; p++) {
        bool fits = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || *p == '_' || (*p == '.' && p > name);
        if (!fits) *p = '-';
    }
    add_text(m, item, "name", name);
    add_text(m, item, "type", s->type);
}

static void
rename_keys(const struct section *s, struct yaml_piece *item)
{
    for (struct yaml_piece *n = item->first; n != NULL; n = n->next) {
        for (size_t i = 0; i < sizeof s->renamed / sizeof *s->renamed; i++) {
            if (s->renamed[i].from != NULL && strcmp(n->key, s->renamed[i].from) == 0)
                n->key = s->renamed[i].to;
        }
    }
}

static void
migrate_section(struct migration *m, const struct section *s, yaml_node_t *root,
                struct yaml_piece *to)
{
    yaml_node_t *list = yaml_find(m, root, s->from);
    unsigned number = 1;
    if (list == NULL || is_null(list)) return;
    if (list->type != YAML_SEQUENCE_NODE)
        return leave_out(m, list->start_mark.line + 1, s->from, "expected a list");
    struct yaml_piece *items = add(to, s->to, new_piece(m, PIECE_LIST));
    if (items != NULL) items->from_key = s->from;
    for (yaml_node_item_t *i = list->data.sequence.items.start;
         items != NULL && i < list->data.sequence.items.top; i++) {
        yaml_node_t *y = yaml_at(m, *i);
        struct yaml_piece *item = add(items, NULL, new_piece(m, PIECE_MAPPING));
        if (item == NULL || y->type != YAML_MAPPING_NODE) continue;
        yaml_node_t *own = yaml_find(m, y, "name");
        item->from_line = y->start_mark.line + 1;
        put_name(m, s, item, own == NULL ? NULL : scalar(own), number++);
        struct yaml_piece *copy = copy_piece(m, *i, NULL, DEPTH_MAX);
        if (copy == NULL) return;
        rename_keys(s, copy);
        for (struct yaml_piece *n = copy->first, *next; n != NULL; n = next) {
            next = n->next;
            n->next = NULL;
            if (strcmp(n->key, "name") != 0) add(item, n->key, n);
        }
    }
}

/* --- retention -------------------------------------------------------------------------------- */

static void
put_size(struct migration *m, struct yaml_piece *to, uint64_t bytes)
{
    char text[RETENTION_SIZE_BYTES];
    retention_size_print(bytes, text);
    add_text(m, to, "size", text);
}

enum err
migrate_check_flags(const struct migrate_options *options, struct why *why)
{
    int64_t ms;
    uint64_t bytes;
    const char *time = options->retention_time, *size = options->retention_size;
    if (time != NULL && strcmp(time, "0") != 0 && !time_parse_duration(bytes_of_text(time), &ms))
        return why_set(
            why, ERR_INPUT,
            "--storage.tsdb.retention.time: expected a duration such as 15d, got '%.64s'", time);
    if (size != NULL && !retention_size_read(size, &bytes))
        return why_set(why, ERR_INPUT,
                       "--storage.tsdb.retention.size: expected a size such as 512MB, got '%.64s'",
                       size);
    return OK;
}

/* Returns the text of a retention in the file, which overrides the flag, else that of the flag. */
static const char *
retention_of(struct migration *m, yaml_node_t *root, const char *key, const char *flag,
             size_t *ret_line)
{
    yaml_node_t *storage = yaml_find(m, root, "storage");
    yaml_node_t *retention = yaml_find(m, yaml_find(m, storage, "tsdb"), "retention");
    yaml_node_t *y = yaml_find(m, retention, key);
    bool is_set = y != NULL && !is_null(y) && scalar(y) != NULL;
    *ret_line = is_set ? y->start_mark.line + 1 : 0;
    return is_set ? scalar(y) : flag;
}

static void
migrate_retention(struct migration *m, yaml_node_t *root, struct yaml_piece *to)
{
    const struct migrate_options *o = m->options;
    size_t line;
    uint64_t bytes;
    struct yaml_piece *retention = new_piece(m, PIECE_MAPPING);
    const char *time = retention_of(m, root, "time", o->retention_time, &line);
    struct yaml_piece *n = NULL;
    if (time != NULL && strcmp(time, "0") == 0)
        leave_out(m, line, "retention.time", "0 sets no limit");
    else if (time != NULL)
        n = add_text(m, retention, "time", time);
    if (n != NULL) n->from_line = line;
    const char *size = retention_of(m, root, "size", o->retention_size, &line);
    if (size != NULL && !retention_size_read(size, &bytes))
        leave_out(m, line, "retention.size", "expected a size such as 512MB");
    else if (size != NULL && bytes > 0)
        put_size(m, retention, bytes);
    const char *percentage = retention_of(m, root, "percentage", NULL, &line);
    if (percentage != NULL)
        leave_out(m, line, "retention.percentage", "Firekeep has no such setting; see `size`");
    if (retention != NULL && retention->first != NULL) add(to, "retention", retention);
}

/* --- the root --------------------------------------------------------------------------------- */

/* Older configurations have tokens in keys of their own; items of lists are what has them. */
static void
convert_tokens(struct migration *m, struct yaml_piece *of)
{
    bool is_item = of->kind == PIECE_MAPPING && of->key == NULL;
    for (struct yaml_piece *n = of->first; n != NULL && m->error == OK; n = n->next) {
        bool is_file = is_item && strcmp(n->key, "bearer_token_file") == 0;
        if (n->kind != PIECE_TEXT ||
            (!is_file && !(is_item && strcmp(n->key, "bearer_token") == 0))) {
            convert_tokens(m, n);
            continue;
        }
        struct yaml_piece *token = add_text(m, NULL, NULL, n->text);
        if (token == NULL) return;
        token->is_plain = n->is_plain;
        token->from_line = n->from_line;
        n->kind = PIECE_MAPPING;
        n->key = "authorization";
        add(n, is_file ? "credentials_file" : "credentials", token);
    }
}

/* Returns true for the keys of secrets, and of mappings and lists of them. */
static bool
is_secret(const char *key)
{
    static const char *const secrets[] = {"password",   "credentials", "client_secret",
                                          "access_key", "secret_key",  "endpoint_params",
                                          "headers",    "secrets"};
    for (size_t i = 0; key != NULL && i < sizeof secrets / sizeof *secrets; i++) {
        if (strcmp(key, secrets[i]) == 0) return true;
    }
    return false;
}

/* Returns the piece of a secret in which Firekeep would replace a variable; NULL: none. */
static const struct yaml_piece *
find_variable(const struct yaml_piece *of)
{
    const struct yaml_piece *found = NULL;
    for (const struct yaml_piece *n = of->first; n != NULL && found == NULL; n = n->next) {
        bool has_variable = n->kind == PIECE_TEXT && (is_secret(n->key) || is_secret(of->key)) &&
                            strstr(n->text, "${") != NULL;
        found = has_variable ? n : find_variable(n);
    }
    return found;
}

/* Cuts the items of lists whose secrets would be others in Firekeep. */
static void
cut_variables(struct migration *m, struct yaml_piece *of)
{
    for (struct yaml_piece *n = of->first; n != NULL; n = n->next) {
        const struct yaml_piece *secret = of->kind == PIECE_LIST ? find_variable(n) : NULL;
        n->is_cut = secret != NULL;
        if (secret == NULL)
            cut_variables(m, n);
        else
            leave_out(
                m, secret->from_line, secret->key == NULL ? "secrets" : secret->key,
                "Firekeep replaces ${...} by an environment variable: name one, or a file, that "
                "has this secret");
    }
}

/* Sections that are called the same. */
static const char *const same[] = {"global", "rule_files", "alerting"};

/* Says whether it is a section that has a place in Firekeep. */
static bool
is_section(const char *key)
{
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        if (strcmp(key, same[i]) == 0) return true;
    }
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (strcmp(key, sections[i].from) == 0) return true;
    }
    return false;
}

/* Names the sections that have no place. Nothing of Prometheus in a file is an error: it is the
 * configuration of something else. */
static void
leave_out_sections(struct migration *m, const yaml_node_t *root)
{
    yaml_node_pair_t *first = root->data.mapping.pairs.start, *end = root->data.mapping.pairs.top;
    bool any = first == end;
    for (yaml_node_pair_t *p = first; p < end; p++) {
        const yaml_node_t *name = yaml_at(m, p->key);
        const char *key = scalar(name);
        any |= is_merge(name) || (key != NULL && (is_section(key) || reason_of(key) != NULL));
        if (!is_merge(name) && (key == NULL || !is_section(key)))
            leave_out(m, name->start_mark.line + 1, key, "Firekeep has no such setting");
    }
    if (!any)
        fail(m, ERR_INPUT,
             "not a configuration of Prometheus: it has none of its sections. Of one of Grafana "
             "Agent, write metrics.global or an entry of metrics.configs into a file of its own");
}

static struct yaml_piece *
migrate_root(struct migration *m, yaml_node_t *root)
{
    struct yaml_piece *to = new_piece(m, PIECE_MAPPING);
    if (to == NULL) return NULL;
    migrate_retention(m, root, to);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        carry_over(m, root, same[i], to, same[i]);
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        migrate_section(m, &sections[i], root, to);
    convert_tokens(m, to);
    cut_variables(m, to);
    prune(to, true);
    leave_out_sections(m, root);
    return to;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
put_indent(struct buf *to, size_t count)
{
    while (count-- > 0)
        buf_put_u8(to, ' ');
}

static void put_children(struct migration *m, struct yaml_piece *of, size_t indent, struct buf *to);

/* Writes the value after its key or hyphen. */
static void
put_value(struct migration *m, struct yaml_piece *n, size_t indent, struct buf *to)
{
    if (n->kind == PIECE_TEXT) {
        if (n->is_plain)
            buf_put_text(to, n->text);
        else
            yaml_put_quoted(to, n->text);
        buf_put_u8(to, '\n');
        m->line++;
    } else if (n->first == NULL) {
        buf_put_text(to, n->kind == PIECE_LIST ? "[]\n" : "{}\n");
        m->line++;
    } else {
        put_children(m, n, indent, to);
    }
}

/* Writes a pair: its value on the same line if it is a text, else below. */
static void
put_pair(struct migration *m, struct yaml_piece *n, size_t indent, struct buf *to)
{
    n->line = m->line;
    n->column = indent + 1;
    if (strpbrk(n->key, ":#{}[],&*!|>'\"%@` ") == NULL && n->key[0] != '-' && n->key[0] != '\0')
        buf_put_text(to, n->key);
    else
        yaml_put_quoted(to, n->key);
    bool below = n->kind != PIECE_TEXT && n->first != NULL;
    buf_put_text(to, below ? ":\n" : ": ");
    if (below) m->line++;
    put_value(m, n, n->kind == PIECE_LIST ? indent : indent + 2, to);
}

static void
put_children(struct migration *m, struct yaml_piece *of, size_t indent, struct buf *to)
{
    for (struct yaml_piece *n = of->first; n != NULL; n = n->next) {
        bool follows_hyphen = n == of->first && to->size > 0 && to->at[to->size - 1] == ' ';
        if (!follows_hyphen) put_indent(to, indent);
        if (of->kind == PIECE_MAPPING) {
            put_pair(m, n, indent, to);
        } else {
            n->line = m->line;
            n->column = indent + 3;
            buf_put_text(to, "- ");
            put_value(m, n, indent + 2, to);
        }
    }
}

static void
write_tree(struct migration *m, struct yaml_piece *root, struct buf *to)
{
    buf_clear(to);
    m->line = 1;
    put_children(m, root, 0, to);
    if (buf_error(to)) fail(m, buf_error(to), "the configuration is too large");
}

/* --- checking --------------------------------------------------------------------------------- */

static bool
is_rules(const struct yaml_piece *n)
{
    return n->key != NULL && strstr(n->key, "relabel") != NULL;
}

/* Returns true for keys of Prometheus without which the rest would do something else. */
static bool
is_needed(const char *key)
{
    return strcmp(key, "azuread") == 0 || strcmp(key, "google_iam") == 0 ||
           strcmp(key, "required_matchers") == 0 || strcmp(key, "http_headers") == 0 ||
           strcmp(key, "proxy_connect_header") == 0 || strcmp(key, "grant_type") == 0;
}

/* Returns the child that has the line. */
static struct yaml_piece *
child_at(const struct yaml_piece *of, size_t line)
{
    struct yaml_piece *found = NULL;
    for (struct yaml_piece *n = of->first; n != NULL && n->line <= line; n = n->next)
        found = n;
    return found;
}

static bool
is_unknown_key(const struct yaml_error *error)
{
    return strstr(error->why.text, "unknown key") != NULL;
}

/*
 * Cuts what the error is about. A key that is unknown goes alone. A value that is refused takes the
 * item of the outermost list with it, a destination for example, as do some keys: without them it
 * would mean something else. Relabelling rules are all kept or all left out, for the same reason.
 * Returns false if there is nothing at the place.
 */
static bool
cut_at(struct migration *m, struct yaml_piece *root, const struct yaml_error *error)
{
    bool is_unknown = is_unknown_key(error);
    struct yaml_piece *of = root, *n, *parent = NULL, *found = NULL;
    for (bool in_list = false; (n = child_at(of, error->line)) != NULL; of = n) {
        bool is_key = of->kind == PIECE_MAPPING && n->line == error->line;
        if (n->is_cut) return true; /* with all that is in it */
        if (is_rules(of)) break;
        if (!in_list ||
            (is_unknown && is_key && n->column == error->column && !is_needed(n->key))) {
            parent = of;
            found = n;
        }
        in_list |= of->kind == PIECE_LIST;
    }
    if (found == NULL) return false;
    const char *sentence = strstr(error->why.text, ": ");
    const struct yaml_piece *named = found->key == NULL ? parent : found;
    leave_out(m, found->from_line, named->from_key != NULL ? named->from_key : named->key,
              sentence == NULL ? error->why.text : sentence + 2);
    found->is_cut = true;
    return true;
}

/* Reads the text as Firekeep does. */
static enum err
check_text(struct bytes text, struct yaml_errors *errors, struct why *why)
{
    struct settings settings;
    struct config_lists lists = {.destinations = {NULL}};
    settings_default(&settings);
    memset(errors, 0, sizeof *errors);
    reader_collect(errors);
    enum err e = settings_yaml(&settings, "new", text, why);
    if (reader_goes_on(e)) {
        enum err more = config_lists_yaml("new", text, &settings, &lists, why);
        e = err_first(e, more);
    }
    if (e == OK)
        e = settings_validate(&settings, lists.destinations.count, lists.sources.count, why);
    if (e == OK) e = config_lists_check(&lists, &settings, why);
    reader_collect(NULL);
    config_lists_free(&lists);
    return e;
}

/* Writes the tree, and cuts what is refused until nothing is. */
static enum err
settle(struct migration *m, struct yaml_piece *root, struct buf *to)
{
    static struct yaml_errors errors; /* too large for the stack */
    for (;;) {
        write_tree(m, root, to);
        if (m->error) return m->error;
        enum err e = check_text(buf_bytes(to), &errors, m->why);
        if (e == OK || e != ERR_INPUT) return e;
        bool any = false;
        uint32_t count = errors.count < YAML_ERRORS_MAX ? errors.count : YAML_ERRORS_MAX;
        for (uint32_t i = 0; i < count; i++)
            any |= (!any || is_unknown_key(&errors.items[i])) && cut_at(m, root, &errors.items[i]);
        if (!any) return e;
        prune(root, true);
    }
}

/* --- all of it -------------------------------------------------------------------------------- */

/* As in Prometheus, the directory is that of a link to the file, not of what it leads to. */
static void
find_dir(struct migration *m)
{
    char whole[PATH_MAX];
    struct stat s;
    const char *path = m->options->file_name;
    if (stat(path, &s) == 0 && !S_ISREG(s.st_mode) && getcwd(m->dir, sizeof m->dir))
        return; /* a pipe */
    if (strcmp(path, "/dev/stdin") == 0 && realpath(path, whole) != NULL) path = whole;
    snprintf(m->dir, sizeof m->dir, "%s", path);
    char *slash = strrchr(m->dir, '/');
    if (slash == NULL)
        snprintf(m->dir, sizeof m->dir, ".");
    else
        *slash = '\0';
    bool is_relative = path[0] != '/' && realpath(m->dir, whole) != NULL;
    if (is_relative) snprintf(m->dir, sizeof m->dir, "%s", whole);
}

static enum err
load(const struct migrate_options *o, yaml_document_t *ret, struct why *why)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return why_set(why, ERR_NOMEM, "not enough memory");
    yaml_parser_set_input_string(&parser, o->text.at, o->text.size);
    enum err e = OK;
    if (!yaml_parser_load(&parser, ret)) {
        e = why_set(why, ERR_INPUT, "%s:%zu:%zu: %s", o->file_name, parser.problem_mark.line + 1,
                    parser.problem_mark.column + 1,
                    parser.problem == NULL ? "not YAML" : parser.problem);
    }
    yaml_parser_delete(&parser);
    return e;
}

enum err
migrate_config(const struct migrate_options *options, struct buf *ret_text,
               struct buf *ret_left_out, struct why *why)
{
    yaml_document_t document;
    enum err e = load(options, &document, why);
    if (e) return e;
    struct migration m = {
        .options = options, .document = &document, .left_out = ret_left_out, .why = why};
    arena_init_secret(&m.arena, options->memory, 0, 0);
    find_dir(&m);
    yaml_node_t *root = yaml_document_get_root_node(&document);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        e = why_set(why, ERR_INPUT, "%s: not a configuration of Prometheus", options->file_name);
    } else {
        struct yaml_piece *to = migrate_root(&m, root);
        e = m.error ? m.error : settle(&m, to, ret_text);
    }
    arena_fini(&m.arena);
    yaml_document_delete(&document);
    if (e == OK && buf_error(ret_left_out)) e = buf_error(ret_left_out);
    return e;
}
