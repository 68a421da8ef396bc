/* value.c - see run.h. */
#include "template/run.h"

#include <assert.h>
#include <stdlib.h>

const char *
tmpl_type_name(enum tmpl_type type)
{
    /* not shown: names of types */
    static const char *const names[] = {
        [TMPL_TYPE_NIL] = "<nil>",
        [TMPL_TYPE_BOOL] = "bool",
        [TMPL_TYPE_INT] = "int",
        [TMPL_TYPE_FLOAT] = "float64",
        [TMPL_TYPE_STRING] = "string",
        [TMPL_TYPE_TIME] = "time.Time",
        [TMPL_TYPE_DURATION] = "time.Duration",
        [TMPL_TYPE_LABELS] = "map[string]string",
        [TMPL_TYPE_ARGS] = "map[string]interface {}",
        [TMPL_TYPE_RESULT] = "template.queryResult",
        [TMPL_TYPE_SAMPLE] = "*template.sample",
        [TMPL_TYPE_HISTOGRAM] = "*histogram.FloatHistogram",
        [TMPL_TYPE_DATA] = ("struct { Labels map[string]string; ExternalLabels map[string]string; "
                            "ExternalURL string; Value interface {} }"),
        [TMPL_TYPE_ANY] = "interface {}",
    };
    return names[type];
}

int64_t
tmpl_length(const struct tmpl_value *v)
{
    if (v->type == TMPL_TYPE_STRING) return (int64_t)v->text.size;
    if (v->type == TMPL_TYPE_RESULT) return v->result.count;
    return tmpl_is_map(v->type) ? (int64_t)v->map->count : -1;
}

struct tmpl_value
tmpl_element(const struct tmpl_value *v, int64_t i)
{
    assert(i >= 0);
    assert(i < tmpl_length(v));
    if (v->type == TMPL_TYPE_STRING) return tmpl_of_integer(TMPL_TYPE_INT, v->text.at[i]);
    return tmpl_of_sample(v->result.samples[i]);
}

bool
tmpl_is_true(const struct tmpl_value *v)
{
    int64_t length = tmpl_length(v);
    if (length >= 0) return length > 0;
    if (tmpl_is_integer(v->type)) return v->integer != 0;
    if (v->type == TMPL_TYPE_FLOAT) return v->number != 0;
    if (v->type == TMPL_TYPE_BOOL) return v->truth;
    return v->type != TMPL_TYPE_NIL;
}

static int
compare_entries(const void *a, const void *b)
{
    const struct tmpl_entry *x = a, *y = b;
    return bytes_compare(x->key, y->key);
}

void
tmpl_map_sort(struct tmpl_map *map)
{
    if (map->count > 1) qsort(map->entries, map->count, sizeof *map->entries, compare_entries);
}

struct tmpl_value
tmpl_map_get(const struct tmpl_value *map, struct bytes key)
{
    assert(tmpl_is_map(map->type));
    uint32_t low = 0, high = map->map->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct tmpl_entry *e = &map->map->entries[middle];
        int order = bytes_compare(e->key, key);
        if (order == 0) return e->value;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (map->type == TMPL_TYPE_LABELS) return tmpl_of_text(bytes_of("", 0));
    return (struct tmpl_value){.type = TMPL_TYPE_NIL};
}

bool
tmpl_field_at(const struct tmpl_value *v, unsigned index, const char **ret_name,
              struct tmpl_value *ret)
{
    struct tmpl_field {
        const char *name;
        struct tmpl_value value;
    } fields[5] = {{NULL}};
    if (v->type == TMPL_TYPE_DATA) {
        const struct tmpl_root *root = v->root;
        fields[0] = (struct tmpl_field){"Labels", tmpl_of_labels(&root->labels)};
        fields[1] = (struct tmpl_field){"ExternalLabels", tmpl_of_labels(&root->external_labels)};
        fields[2] = (struct tmpl_field){"ExternalURL", tmpl_of_text(root->external_url)};
        fields[3] = (struct tmpl_field){"Value", root->value};
    } else if (v->type == TMPL_TYPE_SAMPLE) {
        fields[0] = (struct tmpl_field){"Labels", tmpl_of_labels(&v->sample->labels)};
        fields[1] = (struct tmpl_field){"Value", v->sample->value};
    } else if (v->type == TMPL_TYPE_HISTOGRAM) {
        const struct fhist *h = v->histogram;
        fields[0] = (struct tmpl_field){"Count", tmpl_of_float(h->count)};
        fields[1] = (struct tmpl_field){"Sum", tmpl_of_float(h->sum)};
        fields[2] = (struct tmpl_field){"ZeroCount", tmpl_of_float(h->zero_count)};
        fields[3] = (struct tmpl_field){"ZeroThreshold", tmpl_of_float(h->zero_threshold)};
        fields[4] = (struct tmpl_field){"Schema", tmpl_of_integer(TMPL_TYPE_INT, h->schema)};
    }
    if (index >= sizeof fields / sizeof *fields || fields[index].name == NULL) return false;
    *ret_name = fields[index].name;
    *ret = fields[index].value;
    return true;
}

bool
tmpl_field_find(const struct tmpl_value *v, struct bytes name, struct tmpl_value *ret)
{
    const char *field;
    struct tmpl_value value;
    for (unsigned i = 0; tmpl_field_at(v, i, &field, &value); i++) {
        if (!bytes_equal_text(name, field)) continue;
        *ret = value;
        return true;
    }
    return false;
}
