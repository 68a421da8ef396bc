/* graphite.c - see graphite.h. */
#include "inputs/graphite/graphite.h"

#include <string.h>

#include "base/text/time_text.h"
#include "wire/number.h"

enum { GRAPHITE_LABELS_MAX = 128, GRAPHITE_PARTS_MAX = 128, TEMPLATE_BYTES_MAX = 1 << 20 };

struct template_parts {
    struct bytes items[GRAPHITE_PARTS_MAX];
    uint32_t count;
};

struct graphite_template {
    struct template_parts filter, parts; /* the filter has no parts if it fits all */
    struct label tags[GRAPHITE_LABELS_MAX];
    uint32_t tag_count, literals;
};

struct graphite_templates {
    struct arena arena;
    struct budget *budget;
    struct graphite_template *items;
    uint32_t count;
    struct bytes separator;
};

/* Takes what is before a byte off a text, and the byte. */
static struct bytes
take_until(struct bytes *text, uint8_t end)
{
    const uint8_t *at = text->size == 0 ? NULL : memchr(text->at, end, text->size);
    size_t size = at == NULL ? text->size : (size_t)(at - text->at), step = at != NULL;
    struct bytes piece = bytes_of(text->at, size);
    *text = bytes_of(text->at + size + step, text->size - size - step);
    return piece;
}

/* False: there are too many. */
static bool
split_parts(struct bytes text, struct template_parts *to)
{
    bool goes_on = true;
    to->count = 0;
    while (goes_on) {
        if (to->count == GRAPHITE_PARTS_MAX) return false;
        goes_on = text.size > 0 && memchr(text.at, '.', text.size) != NULL;
        to->items[to->count++] = take_until(&text, '.');
    }
    return true;
}

/* --- templates -------------------------------------------------------------------------------- */

static enum err
read_template(struct bytes text, struct graphite_template *t, struct why *why)
{
    struct bytes words[3];
    uint32_t count = 0;
    struct bytes rest = text, tag;
    while (rest.size > 0 && count < 3) {
        words[count] = take_until(&rest, ' ');
        count += words[count].size > 0;
    }
    bool has_tags = count > 1 && memchr(words[count - 1].at, '=', words[count - 1].size) != NULL;
    uint32_t before = count - has_tags;
    bool is_read = rest.size == 0 && before >= 1 && before <= 2 &&
                   split_parts(words[before - 1], &t->parts) &&
                   (before == 1 || split_parts(words[0], &t->filter));
    while (is_read && has_tags && words[count - 1].size > 0) {
        tag = take_until(&words[count - 1], ',');
        struct bytes name = take_until(&tag, '=');
        is_read = name.size > 0 && tag.size > 0 && t->tag_count < GRAPHITE_LABELS_MAX / 2;
        if (is_read) t->tags[t->tag_count++] = (struct label){name, tag};
    }
    bool has_name = false;
    for (uint32_t i = 0; i < t->parts.count && is_read; i++)
        has_name |= bytes_equal_text(t->parts.items[i], "measurement") ||
                    bytes_equal_text(t->parts.items[i], "measurement*");
    for (uint32_t i = 0; i < t->filter.count; i++)
        t->literals += !bytes_equal_text(t->filter.items[i], "*");
    if (is_read && has_name) return OK;
    return why_set(why, ERR_INPUT,
                   "a template is \"[FILTER] TEMPLATE [TAG=VALUE,...]\", and TEMPLATE has "
                   "'measurement', got \"%.*s\"",
                   (int)(text.size < 100 ? text.size : 100), (const char *)text.at);
}

enum err
graphite_templates_new(const char *const *texts, uint32_t count, const char *separator,
                       struct budget *budget, struct graphite_templates **ret, struct why *why)
{
    struct graphite_templates *all = mem_new(budget, sizeof *all);
    if (all == NULL) return why_set(why, ERR_NOMEM, "not enough memory for templates");
    all->budget = budget;
    arena_init(&all->arena, budget, 64 << 20, 0);
    all->separator = arena_copy(&all->arena, bytes_of_text(separator));
    all->items = arena_new(&all->arena, (count + 1) * sizeof *all->items);
    enum err e = all->items == NULL ? ERR_NOMEM : OK;
    for (uint32_t i = 0; i < count && e == OK; i++) {
        struct bytes text = arena_copy(&all->arena, bytes_of_text(texts[i]));
        e = text.at == NULL ? ERR_NOMEM : read_template(text, &all->items[all->count++], why);
    }
    if (e) {
        graphite_templates_free(all);
        return e == ERR_INPUT ? e : why_set(why, e, "not enough memory for templates");
    }
    *ret = all;
    return OK;
}

void
graphite_templates_free(struct graphite_templates *all)
{
    if (all == NULL) return;
    struct budget *budget = all->budget;
    arena_fini(&all->arena);
    mem_free(budget, all, sizeof *all);
}

/* Says whether a part fits a pattern with "*". */
static bool
fits_part(struct bytes pattern, struct bytes part)
{
    size_t p = 0, i = 0, star = SIZE_MAX, from = 0;
    while (i < part.size) {
        if (p < pattern.size && pattern.at[p] == '*') {
            star = p++;
            from = i;
        } else if (p < pattern.size && pattern.at[p] == part.at[i]) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            i = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.at[p] == '*')
        p++;
    return p == pattern.size;
}

static bool
fits_filter(const struct template_parts *filter, const struct template_parts *path)
{
    if (filter->count > path->count) return false;
    for (uint32_t i = 0; i < filter->count; i++)
        if (!fits_part(filter->items[i], path->items[i])) return false;
    return true;
}

static const struct graphite_template *
find_template(const struct graphite_templates *all, const struct template_parts *path)
{
    const struct graphite_template *best = NULL;
    for (uint32_t i = 0; all != NULL && i < all->count; i++) {
        const struct graphite_template *t = &all->items[i];
        if (!fits_filter(&t->filter, path)) continue;
        if (best == NULL || t->filter.count > best->filter.count ||
            (t->filter.count == best->filter.count && t->literals > best->literals))
            best = t;
    }
    return best;
}

/* --- lines ------------------------------------------------------------------------------------ */

struct graphite_series {
    struct rw_request *to;
    struct bytes separator;
    struct label labels[GRAPHITE_LABELS_MAX + 2]; /* the first two are the measurement and field */
    uint32_t count;
};

/* Joins a part to a text, if that is not empty. */
static enum err
join_part(struct graphite_series *s, struct bytes *text, struct bytes part)
{
    struct bytes before = *text, between = s->separator;
    if (before.size == 0) {
        *text = part;
        return OK;
    }
    uint8_t *at = rw_fill_alloc(s->to, before.size + between.size + part.size);
    if (at == NULL) return rw_fill_error(s->to);
    memcpy(at, before.at, before.size);
    memcpy(at + before.size, between.at, between.size);
    if (part.size > 0) memcpy(at + before.size + between.size, part.at, part.size);
    *text = bytes_of(at, before.size + between.size + part.size);
    return OK;
}

/* Finds or adds a label. NULL: there are too many. */
static struct label *
label_named(struct graphite_series *s, struct bytes name)
{
    for (uint32_t i = 2; i < s->count; i++)
        if (bytes_equal(s->labels[i].name, name)) return &s->labels[i];
    if (s->count == GRAPHITE_LABELS_MAX) return NULL;
    s->labels[s->count] = (struct label){name, bytes_of_text("")};
    return &s->labels[s->count++];
}

static enum err
use_template(struct graphite_series *s, const struct graphite_template *t,
             const struct template_parts *path, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0, k = 0; i < path->count && k < t->parts.count && e == OK; i++) {
        struct bytes name = t->parts.items[k];
        bool is_many = name.size > 1 && name.at[name.size - 1] == '*';
        if (is_many) name.size--;
        if (!is_many) k++;
        bool is_name = bytes_equal_text(name, "measurement");
        bool is_field = bytes_equal_text(name, "field");
        if (name.size == 0) continue;
        struct label *label = is_name    ? &s->labels[0]
                              : is_field ? &s->labels[1]
                                         : label_named(s, name);
        if (label == NULL) return why_set(why, ERR_INPUT, "more than 128 labels");
        e = join_part(s, &label->value, path->items[i]);
    }
    for (uint32_t i = 0; i < t->tag_count && e == OK; i++) {
        struct label *label = label_named(s, t->tags[i].name);
        if (label == NULL) return why_set(why, ERR_INPUT, "more than 128 labels");
        label->value = t->tags[i].value;
    }
    if (e == OK && s->labels[1].value.size > 0)
        e = join_part(s, &s->labels[0].value, s->labels[1].value);
    return e;
}

/* Reads "PATH;TAG=VALUE;...". */
static enum err
read_path(struct graphite_series *s, const struct graphite_templates *templates, struct bytes text,
          struct why *why)
{
    struct bytes path = take_until(&text, ';');
    struct template_parts parts;
    const struct graphite_template *t = NULL;
    if (path.size == 0) return why_set(why, ERR_INPUT, "the path is empty");
    if (templates != NULL && split_parts(path, &parts)) t = find_template(templates, &parts);
    s->labels[0].value = t == NULL ? path : bytes_of_text("");
    enum err e = t == NULL ? OK : use_template(s, t, &parts, why);
    while (e == OK && text.size > 0) {
        struct bytes tag = take_until(&text, ';'), name = take_until(&tag, '=');
        struct label *label = name.size == 0 || tag.size == 0 ? NULL : label_named(s, name);
        if (label == NULL) return why_set(why, ERR_INPUT, "a tag is not NAME=VALUE");
        label->value = tag;
    }
    if (e == OK && s->labels[0].value.size == 0)
        e = why_set(why, ERR_INPUT, "its template leaves no name");
    return e;
}

enum err
graphite_line_fill(const struct graphite_templates *templates, int64_t now_ms,
                   struct rw_request *to, struct bytes line, struct why *why)
{
    struct graphite_series s = {.to = to, .count = 2};
    struct bytes words[3] = {{NULL, 0}}, word;
    uint32_t count = 0;
    uint64_t bits;
    int64_t t_ms = now_ms;
    if (templates != NULL) s.separator = templates->separator;
    for (size_t i = 0; i < line.size; i++)
        if (line.at[i] < ' ' && line.at[i] != '\t') return why_set(why, ERR_INPUT, "it is binary");
    while ((word = input_word(&line)).size > 0) {
        if (count == 3) return why_set(why, ERR_INPUT, "more than a path, a value and a time");
        words[count++] = word;
    }
    if (count < 2) return why_set(why, ERR_INPUT, "expected a path, a value and a time");
    if (!number_parse((const char *)words[1].at, words[1].size, &bits))
        return why_set(why, ERR_INPUT, "the value is not a number");
    bool has_time = count == 3 && !bytes_equal_text(words[2], "-1");
    if (has_time && !time_parse_seconds(words[2], &t_ms))
        return why_set(why, ERR_INPUT, "the time is not in Unix seconds");
    s.labels[0].name = bytes_of_text("__name__");
    enum err e = read_path(&s, templates, words[0], why);
    if (e) return e;
    s.labels[1] = (struct label){bytes_of_text("__field__"), bytes_of_text("")}; /* is dropped */
    if (!input_sort_labels(s.labels, &s.count))
        return why_set(why, ERR_INPUT, "a tag has the name __name__");
    e = rw_fill_series(to, s.labels, s.count);
    return e ? e : rw_fill_float(to, t_ms, bits, 0);
}
