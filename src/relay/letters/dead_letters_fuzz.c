/* dead_letters_fuzz.c - reads arbitrary bytes as a file of dead letters and as a request, unchanged
 * and with corrected checksums, which let the content be reached. Letters that are read can be
 * replayed or dropped, and are the same after a restart. */
#include <assert.h>
#include <stdlib.h>

#include "base/hash/crc32c.h"
#include "relay/letters/letter_request.h"
#include "relay/operate/dead_letters_command.h"
#include "relay/state/directory.h"
#include "sys/sim.h"

enum { REPLAYS_MAX = 500, MEMORY_BYTES = 64 << 20 };

static const char DIR[] = "/east/" RELAY_LETTERS_NAME;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
note_letter(void *context, const struct dead_letter *letter, enum dead_letter_state state)
{
    uint64_t *count = context;
    assert(letter->item.kind < ITEM_KIND_COUNT);
    assert(state == DEAD_LETTER_KEPT || state == DEAD_LETTER_REPLAYING);
    ++*count;
    return OK;
}

static uint64_t
count_alive(const struct dead_letters *letters)
{
    struct dead_letters_counts counts;
    uint64_t sum = 0;
    dead_letters_counts(letters, &counts);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        sum += counts.letters[kind] + counts.replaying[kind];
    }
    return sum;
}

/* Replays some letters, half of which are refused again. */
static void
decide(struct env *env, struct dead_letters *letters)
{
    struct dead_letters_moved moved = {{0}};
    uint64_t count;
    struct bytes none = {NULL, 0};
    enum err e =
        dead_letters_request(env, "/east", NULL, DEAD_LETTERS_REPLAY, NULL, &count, NULL, NULL);
    assert(e == OK);
    e = dead_letters_tend(letters, 1000, &moved, NULL);
    assert(e == OK);
    for (unsigned i = 0; i < REPLAYS_MAX; i++) {
        struct dead_letter letter;
        if (dead_letters_next_replay(letters, &letter, NULL) != OK) break;
        uint64_t pos = letter.pos;
        uint32_t index = letter.index;
        e = dead_letters_load(letters, pos, index, &letter, NULL);
        assert(e == OK);
        e = dead_letters_settle(letters, pos, index, i % 2 == 0, none, none, 1000, NULL);
        assert(e == OK || e == ERR_LIMIT);
    }
    e = dead_letters_tend(letters, 1000, &moved, NULL);
    assert(e == OK);
}

static void
try_letters(struct env *env, struct bytes content)
{
    struct budget memory;
    struct dead_letters *letters;
    struct why why = {""};
    uint64_t seen = 0;
    budget_init(&memory, "fuzz", MEMORY_BYTES, NULL);
    struct dead_letters_options options = {
        .env = env, .dir = "/east", .memory = &memory, .max_bytes = 1 << 20};
    if (env_write_whole(env, DIR, "00000001.letters", content, NULL) != OK) return;
    enum err e = dead_letters_open(&options, &letters, &why);
    assert(e == OK || e == ERR_UNSUPPORTED || e == ERR_NOMEM);
    assert(e == OK || why.text[0] != '\0');
    if (e) return;
    e = dead_letters_each(env, "/east", &memory, note_letter, &seen, NULL, &why);
    assert(e == OK);
    assert(seen == count_alive(letters));
    decide(env, letters);
    uint64_t alive = count_alive(letters);
    dead_letters_free(letters);
    e = dead_letters_open(&options, &letters, &why);
    assert(e == OK);
    assert(count_alive(letters) == alive);
    dead_letters_free(letters);
    assert(budget_used(&memory) == 0);
}

static void
try_request(struct env *env, struct bytes content)
{
    struct letter_requests requests;
    static const char name[] = "00000000000000010000000000000002.request";
    if (env_write_whole(env, DIR, name, content, NULL) != OK) return;
    enum err e = letter_requests_read(&requests, env, DIR, NULL, NULL);
    assert(e == OK);
    assert(requests.count <= 1);
    if (requests.count == 1) {
        const struct letter_request *r = &requests.items[0];
        assert(r->damaged || r->wish <= DEAD_LETTERS_DROP);
        assert(r->damaged || memchr(r->reason, 0, sizeof r->reason) != NULL);
        e = letter_request_remove(env, DIR, r, NULL);
        assert(e == OK);
    }
    letter_requests_fini(&requests);
}

/* Corrects the checks of every entry, each from the end of the one before. */
static void
mend_letters(uint8_t *content, size_t size)
{
    struct buf header;
    buf_init(&header, NULL, LETTER_FILE_HEADER_BYTES);
    letter_header_put(&header);
    if (header.size == LETTER_FILE_HEADER_BYTES) memcpy(content, header.at, header.size);
    buf_fini(&header);
    size_t at = LETTER_FILE_HEADER_BYTES;
    while (size - at > LETTER_ENTRY_HEADER_BYTES) {
        size_t left = size - at - LETTER_ENTRY_HEADER_BYTES;
        uint8_t *entry = content + at;
        uint32_t holds = load_le32(entry);
        if (holds == 0 || holds > left) holds = (uint32_t)left;
        store_le32(entry, holds);
        if (load_le32(entry + 4) > at) store_le32(entry + 4, (uint32_t)at);
        uint32_t crc = crc32c(0, bytes_of(entry, 8));
        crc = crc32c(crc, bytes_of(entry + LETTER_ENTRY_HEADER_BYTES, holds));
        store_le32(entry + 8, crc);
        at += LETTER_ENTRY_HEADER_BYTES + holds;
    }
}

static void
mend_request(uint8_t *content, size_t size)
{
    memcpy(content, "FKLETREQ", 8);
    store_le32(content + 12, 1);
    store_le32(content + 16, (uint32_t)(size - 24));
    uint32_t crc = crc32c(0, bytes_of(content, 20));
    store_le32(content + 20, crc32c(crc, bytes_of(content + 24, size - 24)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim_env *sim;
    if (sim_env_new(1, &sim) != OK) return 0;
    struct env *env = sim_env_env(sim);
    uint8_t *copy = malloc(size + 1);
    assert(copy != NULL);
    if (size > 0) memcpy(copy, data, size);
    enum err e = env_mkdir(env, "/east", NULL);
    if (e == OK) e = env_mkdir(env, DIR, NULL);
    assert(e == OK);
    try_request(env, bytes_of(copy, size));
    if (size >= 24) {
        mend_request(copy, size);
        try_request(env, bytes_of(copy, size));
        memcpy(copy, data, size);
    }
    try_letters(env, bytes_of(copy, size));
    if (size >= LETTER_FILE_HEADER_BYTES) {
        e = env_remove_tree(env, DIR, NULL);
        if (e == OK) e = env_mkdir(env, DIR, NULL);
        assert(e == OK);
        mend_letters(copy, size);
        try_letters(env, bytes_of(copy, size));
    }
    free(copy);
    sim_env_free(sim);
    return 0;
}
