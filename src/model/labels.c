/*
 * labels.c - see labels.h for the byte form.
 *
 * labels_build() runs for every series that the caches do not know. Well-behaved senders leave it
 * nothing to do, which one pass finds out. Otherwise an insertion sort follows; when it had to move
 * much a heap sort (in place, no worse than n log n) takes over, because the order is the sender's
 * choice. For the same reason a set of more than LABELS_CAREFUL_BYTES is measured against the
 * limits before it is sorted and read: in a 2.0 request a few bytes can refer to the same megabyte
 * again and again.
 */
#include "model/labels.h"

#include <assert.h>
#include <string.h>

#include "base/array.h"
#include "base/hash/hash.h"
#include "base/text/quote.h"
#include "wire/escaped_name.h"

enum {
    TAG_LABEL = 0x0a,
    TAG_NAME = 0x0a,
    TAG_VALUE = 0x12,
    LABELS_CAREFUL_BYTES = 64 * 1024,
    INSERTION_MOVES_PER_LABEL = 8
};

bool
labels_valid(struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    const uint8_t *start = c.at;
    struct label label;
    struct bytes before = {NULL, 0};
    while (labels_next(&c, &label)) {
        if (label.value.size == 0) return false;
        if (bytes_compare(before, label.name) >= 0) return false; /* an empty name fails here too */
        /* The encoding of a label with minimal varints is the shortest. */
        if ((size_t)(c.at - start) != labels_put_size(label)) return false;
        before = label.name;
        start = c.at;
    }
    return !c.bad;
}

static size_t
common_prefix(struct bytes a, struct bytes b)
{
    size_t most = a.size < b.size ? a.size : b.size;
    size_t n = 0;
    while (n + 8 <= most) {
        uint64_t difference = load_le64(a.at + n) ^ load_le64(b.at + n);
        if (difference != 0) return n + (size_t)__builtin_ctzll(difference) / 8;
        n += 8;
    }
    while (n < most && a.at[n] == b.at[n])
        n++;
    return n;
}

/* The first byte that differs is in the first label that differs, and up to it both have the same
 * boundaries: so only outer lengths are read until then, and one label of each at the end. */
int
labels_compare(struct bytes a, struct bytes b)
{
    size_t same = common_prefix(a, b);
    if (same == a.size || same == b.size) return (a.size > b.size) - (a.size < b.size);
    struct cursor ca = cursor_of(a);
    const uint8_t *start = a.at;
    for (;;) {
        cursor_u8(&ca);
        cursor_counted(&ca);
        if (ca.bad || (size_t)(ca.at - a.at) > same) break;
        start = ca.at;
    }
    size_t skip = (size_t)(start - a.at);
    ca = cursor_of(bytes_of(start, a.size - skip));
    struct cursor cb = cursor_of(bytes_of(b.at + skip, b.size - skip));
    struct label la = {0}, lb = {0};
    bool more_a = labels_next(&ca, &la), more_b = labels_next(&cb, &lb);
    if (!more_a || !more_b) return (int)more_a - (int)more_b;
    int order = bytes_compare(la.name, lb.name);
    return order != 0 ? order : bytes_compare(la.value, lb.value);
}

uint32_t
labels_count(struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    uint32_t count = 0;
    while (labels_next(&c, &label))
        count++;
    return count;
}

/* Returns the number of bytes inside the label's own length. */
static size_t
inner_size(struct label label)
{
    return 2 + varint_size(label.name.size) + label.name.size + varint_size(label.value.size) +
           label.value.size;
}

size_t
labels_put_size(struct label label)
{
    size_t inner = inner_size(label);
    return 1 + varint_size(inner) + inner;
}

static uint8_t *
put_field(uint8_t *at, uint8_t tag, struct bytes field)
{
    *at++ = tag;
    at += varint_put(at, field.size);
    if (field.size > 0) memcpy(at, field.at, field.size);
    return at + field.size;
}

void
labels_put(struct buf *to, struct label label)
{
    if (!buf_reserve(to, labels_put_size(label))) return; /* varint_put() writes no byte more */
    uint8_t *at = to->at + to->size;
    *at++ = TAG_LABEL;
    at += varint_put(at, inner_size(label));
    at = put_field(at, TAG_NAME, label.name);
    at = put_field(at, TAG_VALUE, label.value);
    to->size = (size_t)(at - to->at);
}

/* --- labels_build ----------------------------------------------------------------------------- */

static int
compare_names(const struct label *a, const struct label *b)
{
    if (a->name.at == b->name.at && a->name.size == b->name.size) return 0;
    return bytes_compare(a->name, b->name);
}

/* Lets the label at `root` sink in the heap of `count` labels, the greatest on top. */
static void
sink(struct label *heap, uint32_t root, uint32_t count)
{
    heap_down(heap, count, root, heap[root], compare_names(a, b) > 0);
}

static void
heap_sort(struct label *labels, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--)
        sink(labels, i - 1, count);
    for (uint32_t left = count; left > 1; left--) {
        struct label greatest = labels[0];
        labels[0] = labels[left - 1];
        labels[left - 1] = greatest;
        sink(labels, 0, left - 1);
    }
}

static void
sort_by_name(struct label *labels, uint32_t count)
{
    uint64_t moves_left = (uint64_t)count * INSERTION_MOVES_PER_LABEL;
    for (uint32_t i = 1; i < count; i++) {
        if (compare_names(&labels[i - 1], &labels[i]) <= 0) continue;
        struct label late = labels[i];
        uint32_t place = i;
        do {
            labels[place] = labels[place - 1];
            place--;
        } while (place > 0 && compare_names(&labels[place - 1], &late) > 0);
        labels[place] = late;
        if (moves_left < i - place) {
            heap_sort(labels, count);
            return;
        }
        moves_left -= i - place;
    }
}

static enum reject
check_limits(const struct label *labels, uint32_t count, const struct labels_limits *limits)
{
    if (count > limits->count_max) return REJECT_LABEL_LIMIT;
    enum reject verdict = REJECT_NONE;
    for (uint32_t i = 0; i < count; i++) {
        if (labels[i].name.size > limits->name_bytes_max) return REJECT_NAME_TOO_LONG;
        if (labels[i].value.size > limits->value_bytes_max) verdict = REJECT_VALUE_TOO_LONG;
    }
    return verdict;
}

/* Labels sorted by name. */
static enum reject
check_text(const struct label *labels, uint32_t count)
{
    if (labels[0].name.size == 0) return REJECT_EMPTY_LABELS;
    for (uint32_t i = 1; i < count; i++)
        if (compare_names(&labels[i - 1], &labels[i]) == 0) return REJECT_DUPLICATE_LABEL;
    for (uint32_t i = 0; i < count; i++)
        if (!utf8_valid(labels[i].name) || !utf8_valid(labels[i].value)) return REJECT_BAD_UTF8;
    return REJECT_NONE;
}

/* Returns the size of all labels if they are canonical and within the limits, else 0. */
static size_t
size_if_plain(const struct label *given, uint32_t count, const struct labels_limits *limits)
{
    if (count > limits->count_max) return 0;
    size_t size_bytes = 0;
    struct bytes before = {NULL, 0};
    for (uint32_t i = 0; i < count; i++) {
        struct bytes name = given[i].name, value = given[i].value;
        if (value.size == 0 || bytes_compare(before, name) >= 0) return 0;
        if (name.size > limits->name_bytes_max || value.size > limits->value_bytes_max) return 0;
        if (!utf8_valid(name) || !utf8_valid(value)) return 0;
        size_bytes += labels_put_size(given[i]);
        before = name;
    }
    return size_bytes;
}

static void
put_all(const struct label *labels, uint32_t count, size_t size_bytes, struct buf *to)
{
    if (!buf_reserve(to, size_bytes)) return;
    for (uint32_t i = 0; i < count; i++)
        labels_put(to, labels[i]);
}

enum reject
labels_build(struct label *given, uint32_t count, const struct labels_limits *limits,
             struct buf *to)
{
    assert(limits->count_max > 0);
    size_t size_bytes = size_if_plain(given, count, limits);
    if (size_bytes > 0) {
        put_all(given, count, size_bytes, to);
        return REJECT_NONE;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (given[i].value.size == 0) continue;
        if (kept != i) given[kept] = given[i];
        kept++;
    }
    count = kept;
    if (count == 0) return REJECT_EMPTY_LABELS;

    for (uint32_t i = 0; i < count; i++)
        size_bytes += labels_put_size(given[i]);
    enum reject verdict = REJECT_NONE;
    if (size_bytes > LABELS_CAREFUL_BYTES) verdict = check_limits(given, count, limits);
    if (verdict != REJECT_NONE) return verdict;

    sort_by_name(given, count);
    verdict = check_text(given, count);
    if (verdict == REJECT_NONE) verdict = check_limits(given, count, limits);
    if (verdict == REJECT_NONE) put_all(given, count, size_bytes, to);
    return verdict;
}

/* --- hashes ----------------------------------------------------------------------------------- */

static void
put_length(struct buf *to, size_t size)
{
    if (size < 255) {
        buf_put_u8(to, (uint8_t)size);
        return;
    }
    buf_put_u8(to, 255);
    for (int i = 0; i < 3; i++)
        buf_put_u8(to, (uint8_t)(size >> 8 * i));
}

enum err
labels_prometheus_hash(struct bytes labels, struct buf *scratch, uint64_t *ret_hash)
{
    struct cursor c = cursor_of(labels);
    buf_clear(scratch);
    for (struct label label; labels_next(&c, &label);) {
        put_length(scratch, label.name.size);
        buf_put_bytes(scratch, label.name);
        put_length(scratch, label.value.size);
        buf_put_bytes(scratch, label.value);
    }
    *ret_hash = XXH64(scratch->at, scratch->size, 0);
    return buf_error(scratch);
}

/* --- for people ------------------------------------------------------------------------------- */

void
label_print(struct buf *to, const struct label *label, const char *operator)
{
    if (name_is_plain(label->name, false))
        buf_put_bytes(to, label->name);
    else
        quote_text(to, label->name);
    buf_put_text(to, operator);
    quote_text(to, label->value);
}

void
labels_print(struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    bool first = true;
    buf_put_u8(to, '{');
    while (labels_next(&c, &label)) {
        if (!first) buf_put_text(to, ", ");
        first = false;
        label_print(to, &label, "=");
    }
    buf_put_u8(to, '}');
}

void
labels_print_selector(struct buf *to, struct bytes labels)
{
    const struct bytes name_of_name = bytes_of_text("__name__");
    struct bytes name = labels_get(labels, name_of_name);
    struct cursor c = cursor_of(labels);
    struct label label;
    bool plain = name.size > 0 && name_is_plain(name, true), quoted = name.size > 0 && !plain;
    bool open = !plain, comma = quoted;
    if (plain) buf_put_bytes(to, name);
    if (open) buf_put_u8(to, '{');
    if (quoted) quote_text(to, name);
    while (labels_next(&c, &label)) {
        if (bytes_equal(label.name, name_of_name)) continue;
        if (!open) buf_put_u8(to, '{');
        if (comma) buf_put_text(to, ", ");
        open = comma = true;
        label_print(to, &label, "=");
    }
    if (open) buf_put_u8(to, '}');
}

void
labels_put_json(struct json *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    json_object_open(to);
    for (struct label label; labels_next(&c, &label);) {
        json_key_bytes(to, label.name);
        json_put_bytes(to, label.value);
    }
    json_object_close(to);
}

/* --- canonical labels with one more ----------------------------------------------------------- */

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
    while (labels_next(&c, &label) && bytes_compare(label.name, added.name) < 0)
        place = c.at;
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
