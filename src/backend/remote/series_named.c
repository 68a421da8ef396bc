/* series_named.c - see series_named.h. Compares hashes of the text between the braces, and of the
 * name before them. */
#include "backend/remote/series_named.h"

#include <ctype.h>

#include "base/hash/hash.h"
#include "model/labels.h"

enum { NAME_BYTES_MAX = 1024 };

/* Hashes the text from a brace to its closing brace, without blanks between labels. Returns the
 * position after it; 0 if it is not closed. */
static size_t
hash_braces(struct bytes text, size_t from, uint64_t seed, uint64_t *ret_hash)
{
    uint64_t hash = seed;
    bool quoted = false;
    for (size_t i = from; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (c == ' ' && !quoted) continue;
        bool escaped = quoted && c == '\\' && i + 1 < text.size;
        hash = hash_mix(hash, c);
        if (escaped) hash = hash_mix(hash, text.at[++i]);
        if (c == '"') quoted = !quoted;
        if (c != '}' || quoted) continue;
        *ret_hash = hash;
        return i + 1;
    }
    return 0;
}

void
series_named_read(struct series_named *named, struct bytes text)
{
    named->count = 0;
    for (size_t i = 0; i < text.size && named->count < SERIES_NAMED_MAX;) {
        const uint8_t *brace = memchr(text.at + i, '{', text.size - i);
        if (brace == NULL) return;
        size_t at = (size_t)(brace - text.at);
        size_t from = at; /* start of the name before the brace */
        while (
            from > 0 && at - from < NAME_BYTES_MAX &&
            (isalnum(text.at[from - 1]) || text.at[from - 1] == '_' || text.at[from - 1] == ':')) {
            from--;
        }
        uint64_t seed = hash_bytes(bytes_of(text.at + from, at - from), 0);
        i = hash_braces(text, at, seed, &named->hashes[named->count]);
        if (i == 0) return;
        named->count++;
    }
}

static bool
has(const struct series_named *named, struct bytes name, struct bytes printed)
{
    uint64_t hash;
    if (hash_braces(printed, 0, hash_bytes(name, 0), &hash) == 0) return false;
    for (uint32_t i = 0; i < named->count; i++) {
        if (named->hashes[i] == hash) return true;
    }
    return false;
}

bool
series_named_has(const struct series_named *named, struct bytes labels, struct buf *scratch)
{
    static const struct bytes none = {(const uint8_t *)"", 0};
    if (named->count == 0) return false;
    buf_clear(scratch);
    labels_print(scratch, labels);
    if (buf_error(scratch) != OK) return false;
    if (has(named, none, buf_bytes(scratch))) return true;

    buf_clear(scratch);
    struct cursor c = cursor_of(labels);
    for (struct label label; labels_next(&c, &label);) {
        if (!bytes_equal_text(label.name, "__name__")) labels_put(scratch, label);
    }
    size_t size = scratch->size;
    struct buf printed;
    buf_init(&printed, scratch->budget, scratch->limit);
    labels_print(&printed, bytes_of(scratch->at, size));
    bool found = buf_error(scratch) == OK && buf_error(&printed) == OK &&
                 has(named, labels_get(labels, bytes_of_text("__name__")), buf_bytes(&printed));
    buf_fini(&printed);
    return found;
}
