/*
 * target_groups.c - collects a group in an arena, because its labels may follow its targets, and
 * makes targets of it at its end. Collected texts are views of the input, or copies in the arena if
 * they had escapes.
 */
#include "notify/discovery/discovery.h"

#include <assert.h>

#include "wire/json/json_scan.h"
#include "wire/yaml/yaml_reader.h"

/* Lists of targets, see discovery.h. */

void
targets_init(struct targets *t, struct budget *memory)
{
    *t = (struct targets){.count = 0};
    arena_init(&t->arena, memory, TARGETS_BYTES_MAX, 0);
}

void
targets_fini(struct targets *t)
{
    arena_fini(&t->arena);
    t->items = NULL;
    t->count = 0;
}

enum err
targets_add(struct targets *t, struct label *labels, uint32_t count, struct why *why)
{
    static const struct labels_limits limits = {TARGETS_LABELS_MAX, UINT32_MAX, UINT32_MAX};
    struct buf text;
    assert(t->count <= TARGETS_MAX);
    if (t->count == TARGETS_MAX)
        return why_set(why, ERR_LIMIT, "more than %d targets", TARGETS_MAX);
    buf_init(&text, t->arena.budget, TARGETS_BYTES_MAX);
    enum reject reject = labels_build(labels, count, &limits, &text);
    enum err e = buf_error(&text);
    if (e == OK && reject != REJECT_NONE)
        e = why_set(why, ERR_INPUT, "a target has invalid labels: %s", reject_word(reject));
    struct bytes *items = e ? NULL : arena_push(&t->arena, t->items, t->count, sizeof *items);
    struct bytes copy = items == NULL ? bytes_of(NULL, 0) : arena_copy(&t->arena, buf_bytes(&text));
    buf_fini(&text);
    if (items != NULL) t->items = items;
    if (e == ERR_INPUT) return e;
    if (copy.at == NULL) {
        return why_set(why, ERR_NOMEM, "not enough memory for targets, or more than %d MiB of them",
                       TARGETS_BYTES_MAX >> 20);
    }
    items[t->count++] = copy;
    return OK;
}

enum { GROUP_BYTES_MAX = 16 << 20 };

struct groups {
    struct targets *to;
    struct label meta;
    struct arena arena; /* for the current group */
    struct bytes *targets;
    uint32_t target_count;
    struct label labels[TARGETS_LABELS_MAX];
    uint32_t label_count;
    bool has_targets, has_labels;
    struct config_reader yaml;
    struct why *why;
};

/* The keys of a group. */
enum { KEY_TARGETS, KEY_LABELS, KEY_COUNT };
static const struct bytes keys[KEY_COUNT] = {SCAN_NAME("targets"), SCAN_NAME("labels")};

static void
groups_init(struct groups *g, struct label meta, struct targets *to, struct why *why)
{
    *g = (struct groups){.to = to, .meta = meta, .why = why};
    arena_init(&g->arena, to->arena.budget, GROUP_BYTES_MAX, 0);
}

static void
begin_group(struct groups *g)
{
    arena_reset(&g->arena);
    g->targets = NULL;
    g->target_count = 0;
    g->label_count = 0;
    g->has_targets = g->has_labels = false;
}

static enum err
add_target(struct groups *g, struct bytes target)
{
    if (g->target_count == TARGETS_MAX)
        return why_set(g->why, ERR_LIMIT, "more than %d targets", TARGETS_MAX);
    struct bytes *more = arena_push(&g->arena, g->targets, g->target_count, sizeof *more);
    if (more == NULL) return why_set(g->why, ERR_NOMEM, "not enough memory for targets");
    g->targets = more;
    g->targets[g->target_count++] = target;
    return OK;
}

static enum err
group_add_label(struct groups *g, struct bytes name, struct bytes value)
{
    if (g->label_count == TARGETS_LABELS_MAX)
        return why_set(g->why, ERR_LIMIT, "more than %d labels", TARGETS_LABELS_MAX);
    g->labels[g->label_count++] = (struct label){name, value};
    return OK;
}

static enum err
end_group(struct groups *g)
{
    static const struct bytes address = SCAN_NAME("__address__");
    enum err e = OK;
    for (uint32_t i = 0; i < g->target_count && e == OK; i++) {
        struct label labels[TARGETS_LABELS_MAX + 2];
        uint32_t count = 0;
        labels[count++] = (struct label){address, g->targets[i]};
        labels[count++] = g->meta;
        for (uint32_t k = 0; k < g->label_count; k++) {
            struct bytes name = g->labels[k].name;
            bool is_own = bytes_equal(name, address) || bytes_equal(name, g->meta.name);
            if (!is_own) labels[count++] = g->labels[k];
        }
        assert(count <= sizeof labels / sizeof *labels);
        e = targets_add(g->to, labels, count, g->why);
    }
    return e;
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* Reads a text, or null, which is an empty text. */
static struct bytes
scan_text_or_null(struct scan *s)
{
    if (scan_peek(s) == '"') return scan_text(s);
    scan_null(s);
    return bytes_of("", 0);
}

static enum err
scan_targets(struct groups *g, struct scan *s)
{
    enum err e = OK;
    g->target_count = 0; /* the last of duplicate keys counts */
    if (scan_peek(s) != '[') {
        scan_null(s);
        return OK;
    }
    scan_expect(s, '[');
    while (e == OK && scan_item(s)) {
        struct bytes target = scan_text_or_null(s);
        if (s->bad == NULL) e = add_target(g, target);
    }
    return e;
}

static enum err
scan_labels(struct groups *g, struct scan *s)
{
    enum err e = OK;
    g->label_count = 0;
    if (scan_peek(s) != '{') {
        scan_null(s);
        return OK;
    }
    scan_expect(s, '{');
    for (struct bytes name; e == OK && scan_key(s, &name);) {
        struct bytes value = scan_text_or_null(s);
        if (s->bad == NULL) e = group_add_label(g, name, value);
    }
    return e;
}

static enum err
scan_group(struct groups *g, struct scan *s)
{
    enum err e = OK;
    begin_group(g);
    scan_expect(s, '{');
    for (struct bytes key; e == OK && scan_key(s, &key);)
        if (bytes_equal(key, keys[KEY_TARGETS]))
            e = scan_targets(g, s);
        else if (bytes_equal(key, keys[KEY_LABELS]))
            e = scan_labels(g, s);
        else
            scan_fail(s, "unknown key, expected 'targets' or 'labels'");
    return e || s->bad != NULL ? e : end_group(g);
}

static enum err
check_size(const char *name, struct bytes text, struct why *why)
{
    if (text.size <= TARGETS_TEXT_BYTES_MAX) return OK;
    return why_set(why, ERR_LIMIT, "%s: must be at most %d MiB", name,
                   TARGETS_TEXT_BYTES_MAX >> 20);
}

enum err
target_groups_json(const char *name, struct bytes text, struct label meta, struct targets *to,
                   struct why *why)
{
    struct groups g;
    enum err e = check_size(name, text, why);
    if (e) return e;
    groups_init(&g, meta, to, why);
    struct scan s = scan_of(text, &g.arena);
    if (scan_peek(&s) == '[') {
        scan_expect(&s, '[');
        while (e == OK && scan_item(&s))
            e = scan_group(&g, &s);
    } else {
        scan_null(&s);
    }
    if (e == OK) scan_end(&s);
    if (e == OK && s.bad != NULL)
        e = why_set(why, s.error, "at byte %zu: %s", (size_t)(s.at - s.start) + 1, s.bad);
    arena_fini(&g.arena);
    return e ? why_prefix(why, e, "%s", name) : OK;
}

/* --- YAML ------------------------------------------------------------------------------------- */

/* Copies the current scalar, whose event ends with the next one. */
static enum err
copy_scalar(struct groups *g, const char *what, struct bytes *ret)
{
    struct config_reader *r = &g->yaml;
    if (r->event.type != YAML_SCALAR_EVENT) return reader_expected(r, what, "text");
    struct bytes text = reader_is_null(r) ? bytes_of("", 0) : reader_scalar(r);
    *ret = arena_copy(&g->arena, text);
    if (ret->at != NULL || text.size == 0) return OK;
    return why_set(g->why, ERR_NOMEM, "not enough memory for targets");
}

static enum err
read_targets(struct groups *g)
{
    struct config_reader *r = &g->yaml;
    if (reader_is_null(r)) return OK;
    if (r->event.type != YAML_SEQUENCE_START_EVENT) return reader_expected(r, "targets", "a list");
    for (;;) {
        struct bytes target;
        enum err e = reader_next(r);
        if (e || r->event.type == YAML_SEQUENCE_END_EVENT) return e;
        e = copy_scalar(g, "targets", &target);
        if (e == OK) e = add_target(g, target);
        if (e) return e;
    }
}

static enum err
group_read_label(struct config_reader *r, void *context)
{
    struct groups *g = context;
    struct bytes name, value;
    enum err e = copy_scalar(g, "labels", &name);
    for (uint32_t i = 0; i < g->label_count && e == OK; i++)
        if (bytes_equal(g->labels[i].name, name))
            return reader_complain(r, "labels: duplicate key %s", shown_of(name).text);
    if (e == OK) e = reader_next(r);
    if (e == OK) e = copy_scalar(g, "labels", &value);
    return e ? e : group_add_label(g, name, value);
}

static enum err
group_read_key(struct config_reader *r, void *context)
{
    struct groups *g = context;
    bool is_targets = bytes_equal(reader_scalar(r), keys[KEY_TARGETS]);
    if (!is_targets && !bytes_equal(reader_scalar(r), keys[KEY_LABELS])) {
        return reader_complain(r, "unknown key %s, expected 'targets' or 'labels'",
                               shown_of(reader_scalar(r)).text);
    }
    bool *is_there = is_targets ? &g->has_targets : &g->has_labels;
    if (*is_there) return reader_complain(r, "duplicate key %s", shown_of(reader_scalar(r)).text);
    *is_there = true;
    enum err e = reader_next(r);
    if (e) return e;
    if (is_targets) return read_targets(g);
    if (reader_is_null(r)) return OK;
    if (r->event.type != YAML_MAPPING_START_EVENT) return reader_expected(r, "labels", "a mapping");
    return reader_mapping(r, group_read_label, g);
}

static enum err
read_groups(struct config_reader *r, void *context)
{
    struct groups *g = context;
    if (reader_is_null(r)) return OK;
    if (r->event.type != YAML_SEQUENCE_START_EVENT)
        return reader_complain(r, "expected a list of groups, got %s", reader_found(r).text);
    for (;;) {
        enum err e = reader_next(r);
        if (e || r->event.type == YAML_SEQUENCE_END_EVENT) return e;
        if (r->event.type != YAML_MAPPING_START_EVENT) {
            return reader_complain(r, "expected a group with 'targets:', got %s",
                                   reader_found(r).text);
        }
        begin_group(g);
        e = reader_mapping(r, group_read_key, g);
        if (e == OK) e = reader_wrong(r, "group", end_group(g));
        if (e) return e;
    }
}

enum err
target_groups_yaml(const char *name, struct bytes text, struct label meta, struct targets *to,
                   struct why *why)
{
    struct groups g;
    enum err e = check_size(name, text, why);
    if (e) return e;
    groups_init(&g, meta, to, why);
    e = reader_init(&g.yaml, name, text, TARGETS_TEXT_BYTES_MAX, why);
    if (e == OK) {
        e = reader_document(&g.yaml, read_groups, &g);
        reader_fini(&g.yaml);
    }
    arena_fini(&g.arena);
    return e;
}
