/* letters_fuzz.c - reads arbitrary bytes as a dead letter, and as a file of an earlier version,
 * with corrected checksums, which let the content be reached. A letter that is read is the same
 * when it is written and read again; what is converted can be read. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash/crc32c.h"
#include "relay/letters/letters.h"
#include "sys/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_line(struct bytes content)
{
    struct letter_reader *reader, *other;
    struct dead_letter letter, again;
    struct buf line, copy;
    buf_init(&line, NULL, LETTER_LINE_BYTES_MAX);
    buf_init(&copy, NULL, LETTER_LINE_BYTES_MAX);
    enum err e = err_first(letter_reader_new(NULL, &reader), letter_reader_new(NULL, &other));
    assert(e == OK);
    buf_put_bytes(&line, content);
    buf_printf(&line, ",\"crc\":\"%08" PRIx32 "\"}\n", crc32c(0, content));
    if (letter_reader_line(reader, buf_bytes(&line), &letter) == OK) {
        letter_line_put(&copy, &letter);
        e = letter_reader_line(other, buf_bytes(&copy), &again);
        assert(e == OK);
        assert(again.item.kind == letter.item.kind);
        assert(bytes_equal(again.item.labels, letter.item.labels));
        assert(again.item.bits == letter.item.bits);
        assert(again.item.t_ms == letter.item.t_ms);
        assert(bytes_equal(again.reason, letter.reason));
    }
    letter_reader_free(reader);
    letter_reader_free(other);
    buf_fini(&line);
    buf_fini(&copy);
}

static enum err
count(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    (void)line;
    (void)again;
    assert(letter->item.kind < ITEM_KIND_COUNT);
    ++*(uint64_t *)context;
    return OK;
}

/* Writes the bytes as the payloads of entries: each follows its size, one byte. */
static void
try_old(struct bytes content)
{
    struct sim_env *sim;
    struct buf file, list, scratch;
    uint8_t head[20] = "FKLETTER", entry[12];
    uint64_t counted = 0;
    if (sim_env_new(1, &sim) != OK) return;
    struct env *env = sim_env_env(sim);
    buf_init(&file, NULL, 1 << 24);
    buf_init(&list, NULL, 1 << 24);
    buf_init(&scratch, NULL, 1 << 24);
    store_le32(head + 8, 1);
    store_le32(head + 12, 1);
    store_le32(head + 16, crc32c(0, bytes_of(head, 16)));
    buf_put(&file, head, sizeof head);
    while (content.size > 1) {
        size_t left = content.size - 1, size = content.at[0];
        struct bytes payload = bytes_of(content.at + 1, size == 0 || size > left ? left : size);
        store_le32(entry, (uint32_t)payload.size);
        store_le32(entry + 4, 0);
        store_le32(entry + 8, crc32c(crc32c(0, bytes_of(entry, 8)), payload));
        buf_put(&file, entry, sizeof entry);
        buf_put_bytes(&file, payload);
        content = bytes_of(payload.at + payload.size, left - payload.size);
    }
    struct relay_state state = {.cursor.pos = 1 << 20, .letters = bytes_of("\1\1\0", 3)};
    enum err e = env_mkdir(env, "/east", NULL);
    if (e == OK) e = env_mkdir(env, "/east/dead-letters", NULL);
    if (e == OK)
        e = env_write_whole(env, "/east/dead-letters", "00000001.letters", buf_bytes(&file), NULL);
    assert(e == OK);
    e = letters_old_convert(env, "/east", NULL, &state, true, &list, NULL);
    if (e == OK) {
        e = relay_state_write(env, "/east", &scratch, &state, NULL);
        if (e == OK) e = dead_letters_each(env, "/east", NULL, count, &counted, NULL, NULL);
        assert(e == OK);
    }
    buf_fini(&file);
    buf_fini(&list);
    buf_fini(&scratch);
    sim_env_free(sim);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_line(bytes_of(data, size));
    try_old(bytes_of(data, size));
    return 0;
}
