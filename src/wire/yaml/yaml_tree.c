/* yaml_tree.c - walks the tree in the order of the events. */
#include "wire/yaml/yaml_reader.h"

#include <string.h>

#include "base/mem.h"

enum { MERGES_DEEP_MAX = 16, MERGED_BYTES = YAML_MERGED_MAX * sizeof(yaml_node_pair_t) };

/* --- checks of events ------------------------------------------------------------------------- */

struct yaml_form {
    unsigned nested, anchors, documents;
    uint32_t values, values_max;
    bool repeats; /* has an anchor, or a merge key */
};

static bool
is_merge_key(struct bytes key, yaml_scalar_style_t style)
{
    return style == YAML_PLAIN_SCALAR_STYLE && bytes_equal_text(key, "<<");
}

static enum err
count_event(struct config_reader *r, struct yaml_form *form)
{
    const yaml_char_t *anchor = NULL;
    switch (r->event.type) {
    case YAML_DOCUMENT_START_EVENT:
        if (form->documents++ == 0) return OK;
        return reader_complain(r, "a second document begins here; only one is allowed");
    case YAML_SEQUENCE_START_EVENT:
        anchor = r->event.data.sequence_start.anchor;
        form->nested++;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = r->event.data.mapping_start.anchor;
        form->nested++;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        form->nested--;
        return OK;
    case YAML_SCALAR_EVENT:
        anchor = r->event.data.scalar.anchor;
        form->repeats |= is_merge_key(reader_scalar(r), r->event.data.scalar.style);
        break;
    default:
        return OK;
    }
    form->repeats |= anchor != NULL;
    if (form->nested > YAML_NESTED_MAX) return reader_complain(r, "nested too deeply");
    if (anchor != NULL && form->anchors++ == YAML_ANCHORS_MAX)
        return reader_complain(r, "at most %d anchors are allowed", YAML_ANCHORS_MAX);
    if (form->values++ < form->values_max || !form->repeats) return OK;
    return reader_complain(r, "at most %u values are allowed", form->values_max);
}

/* Checks the size before the tree is loaded: libyaml needs memory for each value, and searches all
 * open values for each token, and all anchors for each new one. *ret_repeats is always set. */
static enum err
check_form(const char *file_name, struct bytes text, size_t bytes_max, uint32_t values_max,
           bool *ret_repeats, struct why *why)
{
    struct config_reader r;
    struct yaml_form form = {.values_max = values_max};
    bool ended = false;
    enum err e = reader_init(&r, file_name, text, bytes_max, why);
    if (e) return e;
    while (e == OK && !ended) {
        yaml_event_delete(&r.event);
        e = yaml_parser_parse(&r.parser, &r.event) ? count_event(&r, &form)
                                                   : reader_syntax_error(&r);
        ended = r.event.type == YAML_STREAM_END_EVENT;
    }
    reader_fini(&r);
    *ret_repeats = form.repeats;
    return e;
}

/* --- the tree --------------------------------------------------------------------------------- */

/* A list or a mapping being walked. */
struct open_node {
    const yaml_node_t *node;
    uint32_t next;            /* next item; in a mapping, keys and values count */
    yaml_node_pair_t *merged; /* all pairs of a mapping that has a merge key */
    uint32_t merged_count;
};

struct yaml_tree {
    yaml_document_t document;
    struct open_node open[YAML_NESTED_MAX];
    unsigned depth;
    uint32_t values, values_max;
    bool begun;
};

static const yaml_node_t *
node_at(struct yaml_tree *t, int number)
{
    return yaml_document_get_node(&t->document, number);
}

static struct bytes
scalar_of(const yaml_node_t *node)
{
    return bytes_of(node->data.scalar.value, node->data.scalar.length);
}

static bool
is_merge(const yaml_node_t *key)
{
    return key->type == YAML_SCALAR_NODE && is_merge_key(scalar_of(key), key->data.scalar.style);
}

/* --- merge keys ------------------------------------------------------------------------------- */

static bool
has_merge(struct yaml_tree *t, const yaml_node_t *mapping)
{
    const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
    while (pair < mapping->data.mapping.pairs.top && !is_merge(node_at(t, pair->key)))
        pair++;
    return pair < mapping->data.mapping.pairs.top;
}

static bool
is_given(struct yaml_tree *t, const struct open_node *o, const yaml_node_t *key)
{
    for (uint32_t i = 0; i < o->merged_count; i++) {
        const yaml_node_t *other = node_at(t, o->merged[i].key);
        if (other->type == YAML_SCALAR_NODE && key->type == YAML_SCALAR_NODE &&
            bytes_equal(scalar_of(other), scalar_of(key)))
            return true;
    }
    return false;
}

static enum err add_pairs(struct config_reader *r, struct open_node *o, const yaml_node_t *mapping,
                          unsigned deep);

/* Adds the pairs of a merge key's value: a mapping, or several, of which the first one wins. */
static enum err
merge(struct config_reader *r, struct open_node *o, const yaml_node_t *value, unsigned deep)
{
    static const char expected[] = "<<: expected a mapping or a list of mappings";
    if (deep > MERGES_DEEP_MAX)
        return reader_complain_at(r, value->start_mark, "<<: nested too deeply");
    if (value->type == YAML_MAPPING_NODE) return add_pairs(r, o, value, deep);
    if (value->type != YAML_SEQUENCE_NODE)
        return reader_complain_at(r, value->start_mark, "%s", expected);
    const yaml_node_item_t *item = value->data.sequence.items.start;
    enum err e = OK;
    for (; e == OK && item < value->data.sequence.items.top; item++) {
        const yaml_node_t *one = node_at(r->tree, *item);
        e = one->type == YAML_MAPPING_NODE ? add_pairs(r, o, one, deep)
                                           : reader_complain_at(r, one->start_mark, "%s", expected);
    }
    return e;
}

/* Adds the pairs of a mapping, those of the mapping being walked before merged ones; duplicate keys
 * in that mapping are both kept, for the reader to report. */
static enum err
add_pairs(struct config_reader *r, struct open_node *o, const yaml_node_t *mapping, unsigned deep)
{
    const yaml_node_pair_t *first = mapping->data.mapping.pairs.start;
    const yaml_node_pair_t *end = mapping->data.mapping.pairs.top;
    for (const yaml_node_pair_t *pair = first; pair < end; pair++) {
        const yaml_node_t *key = node_at(r->tree, pair->key);
        if (is_merge(key) || (deep > 0 && is_given(r->tree, o, key))) continue;
        if (o->merged_count == YAML_MERGED_MAX) {
            return reader_complain_at(r, key->start_mark, "<<: at most %d keys are allowed",
                                      YAML_MERGED_MAX);
        }
        o->merged[o->merged_count++] = *pair;
    }
    enum err e = OK;
    for (const yaml_node_pair_t *pair = first; e == OK && pair < end; pair++) {
        if (!is_merge(node_at(r->tree, pair->key))) continue;
        e = merge(r, o, node_at(r->tree, pair->value), deep + 1);
    }
    return e;
}

/* --- events ----------------------------------------------------------------------------------- */

static enum err
open_node(struct config_reader *r, const yaml_node_t *node)
{
    struct yaml_tree *t = r->tree;
    if (t->depth == YAML_NESTED_MAX) /* for example a value that contains itself */
        return reader_complain_at(r, node->start_mark, "nested too deeply");
    struct open_node *o = &t->open[t->depth++];
    *o = (struct open_node){.node = node};
    if (node->type == YAML_SEQUENCE_NODE || !has_merge(t, node)) return OK;
    o->merged = mem_alloc(NULL, MERGED_BYTES);
    if (o->merged == NULL) return reader_no_memory(r);
    return add_pairs(r, o, node, 0);
}

static void
close_node(struct yaml_tree *t)
{
    struct open_node *o = &t->open[--t->depth];
    if (o->merged != NULL) mem_free(NULL, o->merged, MERGED_BYTES);
}

static enum err
yaml_tree_give(struct config_reader *r, const yaml_node_t *node)
{
    struct yaml_tree *t = r->tree;
    int made;
    const char *usual = node->type == YAML_SCALAR_NODE     ? YAML_DEFAULT_SCALAR_TAG
                        : node->type == YAML_SEQUENCE_NODE ? YAML_DEFAULT_SEQUENCE_TAG
                                                           : YAML_DEFAULT_MAPPING_TAG;
    if (strcmp((const char *)node->tag, usual) != 0)
        return reader_complain_at(r, node->start_mark, "tags (!name) are not supported here");
    if (t->values++ == t->values_max) {
        return reader_complain_at(r, node->start_mark, "at most %u values are allowed",
                                  t->values_max);
    }
    if (node->type == YAML_SCALAR_NODE) {
        made = yaml_scalar_event_initialize(&r->event, NULL, NULL, node->data.scalar.value,
                                            (int)node->data.scalar.length, 1, 1,
                                            node->data.scalar.style);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        made = yaml_sequence_start_event_initialize(&r->event, NULL, NULL, 1,
                                                    node->data.sequence.style);
    } else {
        made =
            yaml_mapping_start_event_initialize(&r->event, NULL, NULL, 1, node->data.mapping.style);
    }
    if (!made) return reader_no_memory(r);
    r->event.start_mark = node->start_mark;
    r->event.end_mark = node->end_mark;
    return node->type == YAML_SCALAR_NODE ? OK : open_node(r, node);
}

/* Returns the next node of the current list or mapping; NULL at its end. */
static const yaml_node_t *
next_of(struct yaml_tree *t, struct open_node *o)
{
    if (o->node->type == YAML_SEQUENCE_NODE) {
        const yaml_node_item_t *item = o->node->data.sequence.items.start + o->next;
        if (item == o->node->data.sequence.items.top) return NULL;
        o->next++;
        return node_at(t, *item);
    }
    const yaml_node_pair_t *first = o->node->data.mapping.pairs.start;
    const yaml_node_pair_t *end = o->node->data.mapping.pairs.top;
    if (o->merged != NULL) {
        first = o->merged;
        end = first + o->merged_count;
    }
    const yaml_node_pair_t *pair = first + o->next / 2;
    if (pair == end) return NULL;
    return node_at(t, o->next++ % 2 == 0 ? pair->key : pair->value);
}

enum err
yaml_tree_next(struct config_reader *r)
{
    struct yaml_tree *t = r->tree;
    const yaml_node_t *node;
    if (!t->begun) {
        t->begun = true;
        return yaml_tree_give(r, yaml_document_get_root_node(&t->document));
    }
    struct open_node *o = &t->open[t->depth - 1];
    node = next_of(t, o);
    if (node != NULL) return yaml_tree_give(r, node);
    bool is_list = o->node->type == YAML_SEQUENCE_NODE;
    int made = is_list ? yaml_sequence_end_event_initialize(&r->event)
                       : yaml_mapping_end_event_initialize(&r->event);
    if (!made) return reader_no_memory(r);
    r->event.start_mark = r->event.end_mark = o->node->end_mark;
    close_node(t);
    return OK;
}

/* --- reading a document ----------------------------------------------------------------------- */

static enum err
read_tree(struct config_reader *r, uint32_t values_max,
          enum err (*root)(struct config_reader *r, void *context), void *context)
{
    struct yaml_tree t = {.values_max = values_max};
    if (!yaml_parser_load(&r->parser, &t.document)) return reader_syntax_error(r);
    r->tree = &t;
    enum err e = reader_next(r);
    if (e == OK) e = root(r, context);
    while (t.depth > 0)
        close_node(&t);
    r->tree = NULL;
    yaml_document_delete(&t.document);
    return e;
}

enum err
reader_document_expanded(struct config_reader *r, size_t bytes_max, uint32_t values_max,
                         enum err (*root)(struct config_reader *r, void *context), void *context)
{
    bool repeats = false;
    r->has_aliases = true;
    r->errors = NULL; /* its reader continues after errors itself */
    struct bytes text = r->text;
    if (text.size > 0 &&
        (memchr(text.at, '&', text.size) != NULL || memmem(text.at, text.size, "<<", 2) != NULL)) {
        struct why why;
        enum err e = check_form(r->file_name, r->text, bytes_max, values_max, &repeats, &why);
        /* Errors of other documents are found again, in order, by the reading below. */
        bool is_final = e == ERR_NOMEM || (e && repeats);
        if (is_final && r->why != NULL) *r->why = why;
        if (is_final) return e;
    }
    return repeats ? read_tree(r, values_max, root, context) : reader_document(r, root, context);
}
