/*
 * kpl_fuzz.c - reads any bytes as an aggregated record, and as the message of one, with a right
 * checksum. The records read are written again, if they fit, and read back the same.
 */
#include <stdlib.h>

#include "base/hash/md5.h"
#include "lib/wire/kpl_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(struct kpl_reader reader, struct arena *arena)
{
    struct kpl_writer *w;
    struct kpl_reader again, back;
    struct bytes key, data, key_back, data_back;
    struct buf to;
    struct why why;
    uint32_t count = 0;
    if (kpl_writer_new(KPL_BYTES_MAX, KPL_RECORDS_MAX, NULL, &w) != OK) abort();
    buf_init(&to, NULL, KPL_BYTES_MAX);
    again = reader;
    while (count < KPL_RECORDS_MAX && kpl_reader_next(&again, &key, &data)) {
        enum err e = kpl_writer_add(w, key, data);
        if (e == ERR_INPUT && (key.size == 0 || key.size > KPL_KEY_BYTES_MAX)) break;
        if (e != OK) abort();
        count++;
    }
    if (kpl_writer_end(w, &to) != OK || to.size != kpl_writer_bytes(w)) abort();
    kpl_seal(to.at, &to.size, 1);
    if (kpl_reader_init(&back, buf_bytes(&to), arena, &why) != OK) abort();
    for (uint32_t i = 0; i < count; i++) {
        if (!kpl_reader_next(&reader, &key, &data)) abort();
        if (!kpl_reader_next(&back, &key_back, &data_back)) abort();
        if (!bytes_equal(key, key_back) || !bytes_equal(data, data_back)) abort();
    }
    if (kpl_reader_next(&back, &key_back, &data_back) || back.message.bad) abort();
    kpl_writer_free(w);
    buf_fini(&to);
}

static void
check_record(struct bytes record)
{
    struct kpl_reader reader;
    struct arena arena;
    struct why why = {""};
    arena_init(&arena, NULL, 8 << 20, 0);
    enum err e = kpl_reader_init(&reader, record, &arena, &why);
    if (e == OK)
        check_again(reader, &arena);
    else if (why.text[0] == '\0' || (e != ERR_INPUT && e != ERR_LIMIT))
        abort();
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t digest[MD5_BYTES];
    struct buf record;
    check_record(bytes_of(data, size));
    buf_init(&record, NULL, size + 20);
    buf_put(&record, "\xf3\x89\x9a\xc2", 4);
    buf_put(&record, data, size);
    md5(bytes_of(data, size), digest);
    buf_put(&record, digest, sizeof digest);
    check_record(buf_bytes(&record));
    buf_fini(&record);
    return 0;
}
