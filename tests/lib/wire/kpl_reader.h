/*
 * kpl_reader.h - reads aggregated records as consumers do. For tests.
 */
#ifndef LIB_WIRE_KPL_READER_H
#define LIB_WIRE_KPL_READER_H

#include "base/hash/md5.h"
#include "wire/point/kpl.h"
#include "wire/proto.h"

enum { KPL_READ_KEYS_MAX = 1 << 16 };

struct kpl_reader {
    struct cursor message;
    const struct bytes *keys; /* in the arena */
    uint32_t key_count;
};

/*
 * Begins a record, which is borrowed as long as it is read; the table of keys is in `arena`.
 *
 * ERR_INPUT   it is not an aggregated record, or it is damaged: `why` says how.
 * ERR_LIMIT   it has more than KPL_READ_KEYS_MAX keys, or the arena is full.
 */
MUST_CHECK enum err kpl_reader_init(struct kpl_reader *reader, struct bytes record,
                                    struct arena *arena, struct why *why);

/*
 * Reads the next user record, views of the whole. Returns false at the end, or if the rest is
 * damaged: then reader->message.bad is set.
 */
bool kpl_reader_next(struct kpl_reader *reader, struct bytes *ret_key, struct bytes *ret_data);

#endif
