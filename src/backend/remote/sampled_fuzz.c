/* sampled_fuzz.c - reads any bytes as an answer in samples, as they are and as its
 * uncompressed content. */
#include "backend/remote/remote_private.h"

#include <stdlib.h>

#include "lib/backend/fuzzed_series.h"
#include "wire/snappy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
read_all(struct sampled *sampled, struct why *why)
{
    struct bytes labels;
    struct sample_batch b;
    struct buf before;
    bool any = false;
    enum err e;
    buf_init(&before, NULL, 1 << 24);
    while ((e = series_blocks_next(sampled->blocks, &labels, why)) == OK && labels.at != NULL) {
        int64_t last_ms = INT64_MIN;
        check_fuzzed_labels(labels, &before, &any);
        while ((e = series_blocks_batch(sampled->blocks, &b, why)) == OK && b.count > 0)
            check_fuzzed_batch(&b, &last_ms);
        if (e) break;
    }
    buf_fini(&before);
    return e;
}

static void
read_answer(struct bytes answer)
{
    static struct named_text added[] = {{"dc", "one"}};
    static const struct named_texts texts = {added, 1};
    const struct sampled_options options = {NULL, FUZZED_MIN_MS, FUZZED_MAX_MS, {&texts}};
    struct sampled *sampled = NULL;
    struct why why = {""};
    enum err e = sampled_new(&options, answer, &sampled, &why);
    if (e == OK) e = read_all(sampled, &why);
    check_fuzzed_end(e, &why);
    sampled_free(sampled);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf packed;
    if (size > 1 << 16) size = 1 << 16;
    buf_init(&packed, NULL, 1 << 20);
    read_answer(bytes_of(data, size));
    if (snappy_pack(bytes_of(data, size), &packed) != OK) abort();
    read_answer(buf_bytes(&packed));
    buf_fini(&packed);
    return 0;
}
