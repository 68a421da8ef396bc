/* label_edit.c - see label_edit.h. */
#include "promql/eval/label_edit.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/text/utf8.h"

static int
label_edit_compare_names(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

struct name_list
name_list_of(struct bytes *names, uint32_t count)
{
    uint32_t kept = 0;
    if (count > 1) qsort(names, count, sizeof *names, label_edit_compare_names);
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || !bytes_equal(names[kept - 1], names[i])) names[kept++] = names[i];
    }
    return (struct name_list){names, kept};
}

bool
name_list_has(const struct name_list *list, struct bytes name)
{
    uint32_t i = search_first(n, 0u, list->count, bytes_compare(list->names[n], name) >= 0);
    return i < list->count && bytes_equal(list->names[i], name);
}

bool
label_name_is_valid(struct bytes name)
{
    for (size_t i = 0, step; i < name.size; i += step) {
        step = utf8_step(name.at + i, name.size - i);
        if (step == 0) return false;
    }
    return name.size > 0;
}

static bool
label_edit_is_name(const struct label *label)
{
    return bytes_equal_text(label->name, "__name__");
}

void
labels_without_metadata(struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    for (struct label label; labels_next(&c, &label);) {
        bool describes = label_edit_is_name(&label) || bytes_equal_text(label.name, "__type__") ||
                         bytes_equal_text(label.name, "__unit__");
        if (!describes) labels_put(to, label);
    }
}

/* Labels and names are both in the order of names. */
void
labels_keep(struct buf *to, struct bytes labels, const struct name_list *names)
{
    enum { SHORT = 32 };
    struct cursor c = cursor_of(labels);
    uint32_t i = 0;
    if (names->count > SHORT) { /* a query may have many names that no series has */
        for (struct label label; labels_next(&c, &label);) {
            if (name_list_has(names, label.name)) labels_put(to, label);
        }
        return;
    }
    for (struct label label; i < names->count && labels_next(&c, &label);) {
        int order = bytes_compare(names->names[i], label.name);
        while (order < 0 && ++i < names->count) {
            order = bytes_compare(names->names[i], label.name);
        }
        if (order != 0) continue;
        labels_put(to, label);
        i++;
    }
}

void
labels_drop(struct buf *to, struct bytes labels, const struct name_list *names, bool name_too)
{
    struct cursor c = cursor_of(labels);
    for (struct label label; labels_next(&c, &label);) {
        if (name_too && label_edit_is_name(&label)) continue;
        if (!name_list_has(names, label.name)) labels_put(to, label);
    }
}

void
labels_with(struct buf *to, struct bytes labels, struct label wanted)
{
    struct cursor c = cursor_of(labels);
    bool done = wanted.value.size == 0;
    for (struct label label; labels_next(&c, &label);) {
        int order = bytes_compare(label.name, wanted.name);
        if (order >= 0 && !done) {
            labels_put(to, wanted);
            done = true;
        }
        if (order != 0) labels_put(to, label);
    }
    if (!done) labels_put(to, wanted);
}

bool
labels_set(struct buf *labels, struct buf *scratch, struct label label)
{
    if (buf_error(labels)) return false;
    buf_clear(scratch);
    labels_with(scratch, buf_bytes(labels), label);
    struct buf with = *scratch;
    *scratch = *labels;
    *labels = with;
    return buf_error(labels) == OK;
}
