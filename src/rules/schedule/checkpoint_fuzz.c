/* checkpoint_fuzz.c - reads any bytes as a checkpoint of rules, with the right header and
 * unchanged: they are refused, or give as many records as were counted, which make the same
 * checkpoint again. Memory of exactly the file's size exposes views that leave it. */
#include <assert.h>
#include <stdlib.h>

#include "base/fields.h"
#include "lib/checkpoint_copy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the records of an open reader again, for the caller to free. */
static struct buf
again(struct checkpoint_reader *reader)
{
    struct buf to;
    buf_init(&to, NULL, CHECKPOINT_BYTES_MAX);
    assert(checkpoint_copy(reader, &to) == OK);
    return to;
}

static void
decode(struct bytes file)
{
    struct checkpoint_reader reader, second;
    struct checkpoint_record record;
    struct why why = {""};
    enum err e = checkpoint_open(&reader, file, &why);
    assert(e == OK || e == ERR_CORRUPT || e == ERR_UNSUPPORTED);
    assert((e == OK) == (why.text[0] == '\0'));
    if (e) {
        assert(!checkpoint_next(&reader, &record));
        return;
    }
    struct buf first = again(&reader);
    /* Varints may become shorter; groups of version 1 get one field more. */
    assert(first.size <= file.size + reader.counts[CHECKPOINT_GROUP]);
    assert(checkpoint_open(&second, buf_bytes(&first), NULL) == OK);
    assert(memcmp(second.counts, reader.counts, sizeof reader.counts) == 0);
    struct buf same = again(&second);
    assert(bytes_equal(buf_bytes(&first), buf_bytes(&same)));
    buf_fini(&first);
    buf_fini(&same);
}

static void
decode_piece(struct bytes piece, uint32_t version)
{
    static const uint8_t magic[8] = {'F', 'K', 'R', 'S', 'T', 'A', 'T', 'E'};
    struct buf framed;
    buf_init(&framed, NULL, piece.size + FRAMED_HEADER_BYTES + 64);
    framed_begin(&framed);
    buf_put_bytes(&framed, piece);
    framed_end(&framed, magic, version);
    uint8_t *exact = malloc(framed.size);
    assert(exact != NULL);
    memcpy(exact, framed.at, framed.size);
    decode(bytes_of(exact, framed.size));
    free(exact);
    buf_fini(&framed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(bytes_of(data, size));
    decode_piece(bytes_of(data, size), 1);
    decode_piece(bytes_of(data, size), 2);
    return 0;
}
