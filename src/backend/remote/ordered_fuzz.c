/* ordered_fuzz.c - reads any bytes as the frames of a streamed answer, whose lengths and checksums
 * are corrected: a byte that says how to read it, then for each frame two bytes of length and its
 * content. */
#include "backend/remote/remote_private.h"

#include <stdlib.h>

#include "base/hash/crc32c.h"
#include "lib/backend/fuzzed_series.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct frames {
    struct rr_client *client;
    struct bytes left;
    bool over;
};

static enum err
give_frame(struct frames *s, struct why *why)
{
    uint8_t head[VARINT_SIZE_MAX + 4];
    size_t size = s->left.size < 2 ? 0 : load_le16(s->left.at);
    size_t used = s->left.size < 2 ? s->left.size : 2;
    if (size > s->left.size - used) size = s->left.size - used;
    struct bytes payload = bytes_of(s->left.at + used, size);
    s->left = bytes_of(s->left.at + used + size, s->left.size - used - size);
    size_t head_size = varint_put(head, size);
    uint32_t sum = crc32c(0, payload);
    for (int shift = 24; shift >= 0; shift -= 8)
        head[head_size++] = (uint8_t)(sum >> shift);
    enum err e = rr_client_give(s->client, bytes_of(head, head_size), why);
    return e ? e : rr_client_give(s->client, payload, why);
}

static enum err
pull(void *context, struct rr_piece *ret_piece, struct why *why)
{
    struct frames *s = context;
    for (;;) {
        enum err e = rr_client_next(s->client, ret_piece, why);
        if (e || ret_piece->kind == RR_PIECE_SERIES || ret_piece->kind == RR_PIECE_CHUNK) return e;
        if (ret_piece->kind == RR_PIECE_NOTICE) continue;
        if (s->over) return OK;
        s->over = s->left.size == 0;
        e = s->over ? rr_client_end(s->client, why) : give_frame(s, why);
        if (e) return e;
    }
}

/* Reads at most `batches` batches of each series. */
static enum err
read_all(struct ordered *ordered, unsigned batches, struct why *why)
{
    struct bytes labels;
    struct sample_batch b;
    struct buf before;
    bool any = false;
    enum err e;
    buf_init(&before, NULL, 1 << 24);
    while ((e = ordered_next(ordered, &labels, why)) == OK && labels.at != NULL) {
        int64_t last_ms = INT64_MIN;
        check_fuzzed_labels(labels, &before, &any);
        for (unsigned i = 0; i < batches && e == OK; i++) {
            e = ordered_batch(ordered, &b, why);
            if (e || b.count == 0) break;
            check_fuzzed_batch(&b, &last_ms);
        }
        if (e) break;
    }
    buf_fini(&before);
    return e;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct named_text added[] = {{"dc", "one"}};
    static const struct named_texts texts = {added, 1};
    if (size == 0) return 0;
    if (size > 1 << 16) size = 1 << 16;
    struct frames source = {.left = bytes_of(data + 1, size - 1)};
    struct ordered *ordered;
    struct why why = {""};
    struct ordered_options options = {.window_bytes = (data[0] & 1) != 0 ? 1 : 1 << 20,
                                      .min_ms = FUZZED_MIN_MS,
                                      .max_ms = FUZZED_MAX_MS,
                                      .external = {&texts},
                                      .pull = pull,
                                      .context = &source};
    if (rr_client_new(NULL, &source.client) != OK || ordered_new(&options, &ordered) != OK) abort();
    check_fuzzed_end(read_all(ordered, (data[0] & 2) != 0 ? 1 : UINT32_MAX, &why), &why);
    ordered_free(ordered);
    rr_client_free(source.client);
    return 0;
}
