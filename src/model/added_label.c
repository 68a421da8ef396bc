/* added_label.c - see added_label.h. */
#include "model/added_label.h"

#include <string.h>

/* Adds a label to labels without its name. */
static enum err
insert_label(struct bytes labels, struct label added, struct arena *arena, struct bytes *ret_labels)
{
    size_t size = labels_put_size(added);
    uint8_t *to = arena_alloc(arena, labels.size + size);
    if (to == NULL) return ERR_NOMEM;
    struct cursor c = cursor_of(labels);
    const uint8_t *place = c.at;
    struct label label;
    while (labels_next(&c, &label) && bytes_compare(label.name, added.name) < 0) {
        place = c.at;
    }
    size_t before = labels.size == 0 ? 0 : (size_t)(place - labels.at);
    struct buf piece = {.at = to + before, .capacity = size, .limit = size};
    if (before > 0) memcpy(to, labels.at, before);
    labels_put(&piece, added);
    if (labels.size > before) memcpy(to + before + size, place, labels.size - before);
    *ret_labels = bytes_of(to, labels.size + size);
    return OK;
}

enum err
labels_complete(struct bytes labels, struct label added, struct arena *arena,
                struct bytes *ret_labels)
{
    *ret_labels = labels;
    if (added.value.size == 0 || labels_get(labels, added.name).size > 0) return OK;
    return insert_label(labels, added, arena, ret_labels);
}

/* Removes the label of this name, if there is one. */
static enum err
take_label(struct bytes labels, struct bytes name, struct arena *arena, struct bytes *ret_value,
           struct bytes *ret_labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    const uint8_t *from = c.at;
    *ret_value = bytes_of(NULL, 0);
    *ret_labels = labels;
    while (labels_next(&c, &label)) {
        if (!bytes_equal(label.name, name)) {
            from = c.at;
            continue;
        }
        size_t before = (size_t)(from - labels.at), after = (size_t)(c.end - c.at);
        uint8_t *to = arena_alloc(arena, before + after + 1);
        if (to == NULL) return ERR_NOMEM;
        if (before > 0) memcpy(to, labels.at, before);
        if (after > 0) memcpy(to + before, c.at, after);
        *ret_value = label.value;
        *ret_labels = bytes_of(to, before + after);
        return OK;
    }
    return OK;
}

/* Puts "exported_" before a name until no label has it. */
static enum err
exported_name(struct bytes labels, struct bytes name, struct arena *arena, struct bytes *ret_name)
{
    static const char PREFIX[] = "exported_";
    do {
        size_t size = sizeof PREFIX - 1 + name.size;
        uint8_t *longer = arena_alloc(arena, size);
        if (longer == NULL) return ERR_NOMEM;
        memcpy(longer, PREFIX, sizeof PREFIX - 1);
        memcpy(longer + sizeof PREFIX - 1, name.at, name.size);
        name = bytes_of(longer, size);
    } while (labels_get(labels, name).size > 0);
    *ret_name = name;
    return OK;
}

enum err
labels_impose(struct bytes labels, struct label added, struct arena *arena,
              struct bytes *ret_labels)
{
    struct label moved;
    enum err e = take_label(labels, added.name, arena, &moved.value, &labels);
    if (e == OK && moved.value.size > 0) {
        e = exported_name(labels, added.name, arena, &moved.name);
        if (e == OK) e = insert_label(labels, moved, arena, &labels);
    }
    return e ? e : insert_label(labels, added, arena, ret_labels);
}
