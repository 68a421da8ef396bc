/* letter_list.c - see letter_list.h. Format: docs/format/relay.md. */
#include "relay/state/letter_list.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/array.h"
#include "base/fields.h"
#include "base/text/hex.h"

/* Earlier versions began with 0 or 1. */
enum { LIST_VERSION = 2, FILES_MAX = 1 << 20 };

bool
letter_list_is_old(struct bytes from)
{
    return from.size == 0 || from.at[0] < LIST_VERSION;
}

static void
list_fields(const struct fields *f, struct letter_list *list)
{
    uint8_t version = LIST_VERSION;
    field_u8(f, &version);
    fields_check(f, version == LIST_VERSION);
    field_u32(f, &list->number);
    field_u32(f, &list->replay_to);
    field_varint(f, &list->replay_at);
    field_u32(f, &list->count);
    fields_check(f, list->count <= FILES_MAX);
}

static void
file_fields(const struct fields *f, struct letter_file *file)
{
    field_u32(f, &file->number);
    field_varints(f, file->lines, ITEM_KIND_COUNT);
    field_varint(f, &file->bytes);
    field_zigzag(f, &file->first_ms);
    field_zigzag(f, &file->last_ms);
}

enum err
letter_list_get(struct letter_list *list, struct bytes from)
{
    struct cursor c = cursor_of(from);
    const struct fields fields = {.from = &c};
    struct letter_list head = {.number = 1};
    if (!letter_list_is_old(from)) list_fields(&fields, &head);
    if (c.bad) return ERR_CORRUPT;
    uint32_t count = head.count;
    head.memory = list->memory;
    head.count = 0;
    *list = head;
    for (uint32_t i = 0; i < count; i++) {
        if (!array_reserve(list->memory, &list->files, &list->capacity, i + 1)) return ERR_NOMEM;
        struct letter_file *file = &list->files[i];
        file_fields(&fields, file);
        uint32_t before = i == 0 ? 0 : file[-1].number;
        if (c.bad || file->number <= before || file->number > list->number) return ERR_CORRUPT;
        list->count++;
    }
    return OK;
}

void
letter_list_put(const struct letter_list *list, struct buf *to)
{
    const struct fields fields = {.to = to};
    struct letter_list head = *list;
    list_fields(&fields, &head);
    for (uint32_t i = 0; i < list->count; i++) {
        file_fields(&fields, &list->files[i]);
    }
}

void
letter_list_fini(struct letter_list *list)
{
    array_free(list->memory, list->files, list->capacity);
    *list = (struct letter_list){.memory = list->memory};
}

struct letter_file *
letter_list_find(const struct letter_list *list, uint32_t number)
{
    for (uint32_t i = list->count; i-- > 0;) {
        if (list->files[i].number == number) return &list->files[i];
    }
    return NULL;
}

struct letter_file *
letter_list_current(struct letter_list *list)
{
    struct letter_file *file = letter_list_find(list, list->number);
    if (file != NULL) return file;
    if (!array_reserve(list->memory, &list->files, &list->capacity, list->count + 1)) return NULL;
    file = &list->files[list->count++];
    *file = (struct letter_file){list->number, {0}, 0, INT64_MAX, INT64_MIN};
    return file;
}

void
letter_file_count(struct letter_file *file, enum item_kind kind, int64_t failed_ms)
{
    file->lines[kind]++;
    if (failed_ms < file->first_ms) file->first_ms = failed_ms;
    if (failed_ms > file->last_ms) file->last_ms = failed_ms;
}

uint64_t
letter_list_length(const struct letter_list *list)
{
    const struct letter_file *file = letter_list_find(list, list->number);
    return file == NULL ? 0 : file->bytes;
}

void
letter_list_close(struct letter_list *list)
{
    list->number += letter_list_length(list) > 0;
}

void
letter_list_remove(struct letter_list *list, uint32_t at)
{
    assert(at < list->count);
    if (list->files[at].number == list->number) letter_list_close(list);
    memmove(&list->files[at], &list->files[at + 1], (list->count - at - 1) * sizeof list->files[0]);
    list->count--;
    if (at == 0) list->replay_at = 0;
}

void
letter_list_lines(const struct letter_list *list, uint64_t counts[ITEM_KIND_COUNT])
{
    for (uint32_t i = 0; i < list->count; i++) {
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            counts[kind] += list->files[i].lines[kind];
        }
    }
}

bool
letter_list_replays(const struct letter_list *list, uint32_t at)
{
    return at < list->count && list->files[at].number <= list->replay_to;
}

uint64_t
letter_list_replaying(const struct letter_list *list)
{
    uint64_t lines = 0;
    for (uint32_t i = 0; letter_list_replays(list, i); i++) {
        lines += kinds_sum(list->files[i].lines);
    }
    return lines;
}

uint64_t
letter_list_replay(struct letter_list *list)
{
    uint64_t before = letter_list_replaying(list);
    letter_list_close(list);
    list->replay_to = list->number - 1;
    return letter_list_replaying(list) - before;
}

void
letter_name(uint32_t number, bool packed, char to[LETTER_NAME_BYTES])
{
    snprintf(to, LETTER_NAME_BYTES, "%08" PRIx32 ".ndjson%s", number, packed ? ".gz" : "");
}

bool
letter_name_number(const char *name, uint32_t *ret_number, bool *ret_packed)
{
    uint64_t number;
    const char *rest = hex_name_number(name, 8, &number);
    if (rest == NULL || number == 0) return false;
    *ret_number = (uint32_t)number;
    *ret_packed = strcmp(rest, ".ndjson.gz") == 0;
    return *ret_packed || strcmp(rest, ".ndjson") == 0;
}
