/* kpl_reader.c - see kpl_reader.h. */
#include "lib/wire/kpl_reader.h"

/* Counts the keys or, if there is an array, fills it. Returns false if the message is bad. */
static bool
kpl_read_keys(struct bytes message, struct bytes *keys, uint64_t *ret_count)
{
    struct cursor c = cursor_of(message);
    uint64_t count = 0;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(1, PROTO_BYTES): {
            struct bytes key = proto_bytes(&c);
            if (keys != NULL) keys[count] = key;
            count++;
            break;
        }
        case PROTO_TAG(2, PROTO_BYTES): /* hash keys: they served the sending */
        case PROTO_TAG(3, PROTO_BYTES):
            (void)proto_bytes(&c);
            break;
        default:
            proto_skip(&c, tag, 0xe);
        }
    }
    *ret_count = count;
    return !c.bad;
}

enum err
kpl_reader_init(struct kpl_reader *reader, struct bytes record, struct arena *arena,
                struct why *why)
{
    static const uint8_t magic[] = {0xf3, 0x89, 0x9a, 0xc2};
    uint8_t digest[MD5_BYTES];
    uint64_t count;
    if (record.size < sizeof magic + MD5_BYTES || memcmp(record.at, magic, sizeof magic) != 0)
        return why_set(why, ERR_INPUT, "it does not begin like an aggregated record");
    struct bytes message = {record.at + sizeof magic, record.size - sizeof magic - MD5_BYTES};
    md5(message, digest);
    if (memcmp(digest, message.at + message.size, MD5_BYTES) != 0)
        return why_set(why, ERR_INPUT, "the checksum of an aggregated record is wrong");
    if (!kpl_read_keys(message, NULL, &count))
        return why_set(why, ERR_INPUT, "an aggregated record is malformed");
    if (count > KPL_READ_KEYS_MAX) {
        return why_set(why, ERR_LIMIT, "an aggregated record has more than %d keys",
                       KPL_READ_KEYS_MAX);
    }
    struct bytes *keys = arena_alloc(arena, (size_t)(count + 1) * sizeof *keys);
    if (keys == NULL) return why_set(why, ERR_LIMIT, "no memory for the keys of a record");
    (void)kpl_read_keys(message, keys, &count);
    *reader = (struct kpl_reader){cursor_of(message), keys, (uint32_t)count};
    return OK;
}

static bool
kpl_read_record(struct kpl_reader *reader, struct bytes message, struct bytes *ret_key,
                struct bytes *ret_data)
{
    struct cursor c = cursor_of(message);
    uint64_t index = UINT64_MAX;
    struct bytes data = {NULL, 0};
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(1, PROTO_VARINT):
            index = cursor_varint(&c);
            break;
        case PROTO_TAG(2, PROTO_VARINT):
            (void)cursor_varint(&c);
            break;
        case PROTO_TAG(3, PROTO_BYTES):
            data = proto_bytes(&c);
            break;
        case PROTO_TAG(4, PROTO_BYTES):
            (void)proto_bytes(&c);
            break;
        default:
            proto_skip(&c, tag, 0x1e);
        }
    }
    if (c.bad || index >= reader->key_count) return false;
    *ret_key = reader->keys[index];
    *ret_data = data;
    return true;
}

bool
kpl_reader_next(struct kpl_reader *reader, struct bytes *ret_key, struct bytes *ret_data)
{
    struct cursor *c = &reader->message;
    for (uint32_t tag; (tag = proto_tag(c)) != 0;) {
        if (tag != PROTO_TAG(3, PROTO_BYTES)) {
            proto_skip(c, tag, 0);
            continue;
        }
        if (kpl_read_record(reader, proto_bytes(c), ret_key, ret_data)) return true;
        cursor_fail(c);
    }
    return false;
}
