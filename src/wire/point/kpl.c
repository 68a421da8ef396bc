/*
 * kpl.c - the key table and the records grow in separate buffers, which are joined at the end. A
 * hash table finds keys again. It has twice as many slots as a record can have keys, and at most
 * one key per record: chosen keys can at worst cause comparisons of 500 keys, so the hash needs no
 * secret.
 */
#include "wire/point/kpl.h"

#include "base/hash/hash.h"
#include "base/hash/md5.h"
#include "wire/proto.h"

enum {
    MAGIC_BYTES = 4,
    TAG_KEY = PROTO_TAG(1, PROTO_BYTES),
    TAG_RECORD = PROTO_TAG(3, PROTO_BYTES),
    TAG_RECORD_KEY = PROTO_TAG(1, PROTO_VARINT),
    TAG_RECORD_DATA = PROTO_TAG(3, PROTO_BYTES),
    SLOTS = 1024,
};

_Static_assert(SLOTS >= 2 * KPL_RECORDS_MAX, "a search for a key always meets an empty slot");

static const uint8_t magic[MAGIC_BYTES] = {0xf3, 0x89, 0x9a, 0xc2};

struct kpl_slot {
    uint32_t at; /* offset of the key's field in `keys` */
    uint16_t size;
    uint16_t number; /* number of the key, from 1; 0: the slot is empty */
};

struct kpl_writer {
    struct budget *budget;
    size_t bytes_max;
    uint32_t records_max;
    uint32_t count;
    uint32_t key_count;
    struct buf keys;
    struct buf records;
    struct kpl_slot slots[SLOTS];
};

enum err
kpl_writer_new(size_t bytes_max, uint32_t records_max, struct budget *budget,
               struct kpl_writer **ret_writer)
{
    struct kpl_writer *w = mem_new(budget, sizeof *w);
    if (w == NULL) return ERR_NOMEM;
    w->budget = budget;
    w->bytes_max = bytes_max < KPL_BYTES_MAX ? bytes_max : KPL_BYTES_MAX;
    w->records_max = records_max < KPL_RECORDS_MAX ? records_max : KPL_RECORDS_MAX;
    /* kpl_writer_add() checks the sum of both; a varint reserves more than it takes. */
    buf_init(&w->keys, budget, KPL_BYTES_MAX + VARINT_SIZE_MAX);
    buf_init(&w->records, budget, KPL_BYTES_MAX + VARINT_SIZE_MAX);
    *ret_writer = w;
    return OK;
}

void
kpl_writer_free(struct kpl_writer *w)
{
    if (w == NULL) return;
    buf_fini(&w->keys);
    buf_fini(&w->records);
    mem_free(w->budget, w, sizeof *w);
}

void
kpl_writer_clear(struct kpl_writer *w)
{
    buf_clear(&w->keys);
    buf_clear(&w->records);
    memset(w->slots, 0, sizeof w->slots);
    w->count = w->key_count = 0;
}

uint32_t
kpl_writer_count(const struct kpl_writer *w)
{
    return w->count;
}

size_t
kpl_writer_bytes(const struct kpl_writer *w)
{
    return MAGIC_BYTES + w->keys.size + w->records.size + MD5_BYTES;
}

enum err
kpl_writer_add(struct kpl_writer *w, struct bytes key, struct bytes data)
{
    if (key.size == 0 || key.size > KPL_KEY_BYTES_MAX) return ERR_INPUT;
    if (w->count == w->records_max || data.size > w->bytes_max) return ERR_LIMIT;
    uint64_t at = hash_bytes(key, 0);
    struct kpl_slot *slot = &w->slots[at % SLOTS];
    while (slot->number != 0 && !bytes_equal(bytes_of(w->keys.at + slot->at, slot->size), key))
        slot = &w->slots[++at % SLOTS];
    bool known = slot->number != 0;
    uint32_t index = known ? slot->number - 1u : w->key_count;
    size_t key_bytes = known ? 0 : 1 + varint_size(key.size) + key.size;
    size_t inner = 1 + varint_size(index) + 1 + varint_size(data.size) + data.size;
    size_t outer = 1 + varint_size(inner) + inner;
    if (kpl_writer_bytes(w) + key_bytes + outer > w->bytes_max) return ERR_LIMIT;
    if (!buf_reserve(&w->keys, key_bytes + VARINT_SIZE_MAX) ||
        !buf_reserve(&w->records, outer + VARINT_SIZE_MAX)) {
        enum err e = err_first(buf_error(&w->keys), buf_error(&w->records));
        w->keys.failed = w->records.failed = OK; /* no bytes were lost */
        return e;
    }
    if (!known) {
        buf_put_u8(&w->keys, TAG_KEY);
        buf_put_counted(&w->keys, key);
        *slot = (struct kpl_slot){(uint32_t)(w->keys.size - key.size), (uint16_t)key.size,
                                  (uint16_t)++w->key_count};
    }
    buf_put_u8(&w->records, TAG_RECORD);
    buf_put_varint(&w->records, inner);
    buf_put_u8(&w->records, TAG_RECORD_KEY);
    buf_put_varint(&w->records, index);
    buf_put_u8(&w->records, TAG_RECORD_DATA);
    buf_put_counted(&w->records, data);
    w->count++;
    return OK;
}

enum err
kpl_writer_end(struct kpl_writer *w, struct buf *to)
{
    if (!buf_reserve(to, kpl_writer_bytes(w))) return buf_error(to);
    buf_put(to, magic, sizeof magic);
    buf_put_bytes(to, buf_bytes(&w->keys));
    buf_put_bytes(to, buf_bytes(&w->records));
    memset(to->at + to->size, 0, MD5_BYTES);
    to->size += MD5_BYTES;
    return OK;
}

void
kpl_seal(uint8_t *records, const size_t *sizes, size_t count)
{
    struct bytes messages[KPL_SEALED_MAX] = {{NULL, 0}}; /* silences a warning of gcc */
    uint8_t digests[KPL_SEALED_MAX][MD5_BYTES];
    for (size_t i = 0, at = 0; i < count; at += sizes[i++])
        messages[i] = bytes_of(records + at + MAGIC_BYTES, sizes[i] - MAGIC_BYTES - MD5_BYTES);
    md5_many(messages, count, digests);
    for (size_t i = 0, end = 0; i < count; i++) {
        end += sizes[i];
        memcpy(records + end - MD5_BYTES, digests[i], MD5_BYTES);
    }
}
