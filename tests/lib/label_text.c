/* label_text.c - see label_text.h. */
#include "lib/label_text.h"

#include <string.h>

#include "model/labels.h"

struct bytes
labels_of_text(const char *text, struct arena *arena)
{
    struct buf to;
    buf_init(&to, NULL, 1 << 20);
    while (*text != '\0') {
        size_t name = strcspn(text, "="), value = strcspn(text + name + 1, " ");
        labels_put(&to, (struct label){bytes_of(text, name), bytes_of(text + name + 1, value)});
        text += name + 1 + value;
        text += strspn(text, " ");
    }
    struct bytes labels = arena_copy(arena, buf_bytes(&to));
    buf_fini(&to);
    return labels;
}
