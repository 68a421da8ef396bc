/* answer_file_fuzz.c - reads any bytes as the records of a cached answer: they are refused, or give
 * series in label order with samples in time order, within the requested times. */
#include <stdlib.h>
#include <zstd.h>

#include "base/hash/hash.h"
#include "model/labels.h"
#include "sys/sim.h"
#include "views/answer_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATH "/answer"
enum { MIN_MS = -1000, MAX_MS = 100000 };

static const struct answer_about about = {{(const uint8_t *)"q", 1}, MIN_MS, MAX_MS, 200000};

static void
check(bool holds)
{
    if (!holds) abort();
}

static void
read_samples(struct series_set *set, enum err *e)
{
    int64_t last_ms = MIN_MS - 1;
    struct sample_batch b;
    do {
        *e = series_set_batch(set, &b, NULL);
        for (uint32_t i = 0; *e == OK && i < b.count; i++) {
            check(b.times_ms[i] > last_ms && b.times_ms[i] <= MAX_MS);
            last_ms = b.times_ms[i];
            if (b.kind != SAMPLE_FLOAT) check(histogram_check(&b.histograms[i], NULL) == OK);
        }
    } while (*e == OK && b.count > 0);
}

static void
read_file(struct env *env)
{
    struct file file;
    struct series_set *set;
    struct bytes labels;
    struct buf last;
    check(file_open(env, PATH, FILE_READ, &file, NULL) == OK);
    if (answer_file_open(&file, &about, MIN_MS, MAX_MS, NULL, &set, NULL) != OK) return;
    buf_init(&last, NULL, 32 << 20);
    for (unsigned i = 0;; i++) {
        enum err e = series_set_next(set, &labels, NULL);
        if (e || labels.at == NULL) break;
        check(labels_valid(labels));
        check(i == 0 || labels_compare(labels, buf_bytes(&last)) > 0);
        buf_clear(&last);
        buf_put_bytes(&last, labels);
        if (i % 3 < 2) read_samples(set, &e);
        if (e) break;
    }
    buf_fini(&last);
    series_set_free(set);
}

static void
put_block(struct buf *to, struct bytes payload, uint64_t number, uint32_t unpacked)
{
    buf_put_le32(to, (uint32_t)payload.size);
    buf_put_le32(to, unpacked);
    buf_put_le64(to, hash_bytes(payload, number << 32 | unpacked));
    buf_put_bytes(to, payload);
}

/* Writes the records as a valid file, in two blocks if `cut` is within them. */
static void
put_file(struct buf *to, struct bytes records, size_t cut)
{
    static const uint8_t end[16] = {0};
    struct buf packed;
    uint64_t number = 0;
    size_t sizes[2] = {cut < records.size ? cut : records.size, 0};
    sizes[1] = records.size - sizes[0];
    buf_init(&packed, NULL, 32 << 20);
    buf_put_text(&packed, "FKANSWER");
    buf_put_le32(&packed, 1);
    buf_put_le32(&packed, 1);
    buf_put_le64(&packed, (uint64_t)about.min_ms);
    buf_put_le64(&packed, (uint64_t)about.max_ms);
    buf_put_le64(&packed, (uint64_t)about.as_of_ms);
    buf_put_bytes(&packed, about.question);
    put_block(to, buf_bytes(&packed), number++, 0);
    for (unsigned i = 0; i < 2; i++) {
        if (sizes[i] == 0) continue;
        size_t bound = ZSTD_compressBound(sizes[i]);
        buf_clear(&packed);
        check(buf_reserve(&packed, bound));
        packed.size =
            ZSTD_compress(packed.at, bound, records.at + (i == 0 ? 0 : sizes[0]), sizes[i], 1);
        put_block(to, buf_bytes(&packed), number++, (uint32_t)sizes[i]);
    }
    put_block(to, bytes_of(end, sizeof end), number, 0);
    buf_fini(&packed);
}

static void
try_file(struct env *env, struct bytes content)
{
    struct file file;
    check(file_open(env, PATH, FILE_REPLACE, &file, NULL) == OK);
    check(file_write_at(&file, content, 0, NULL) == OK);
    check(file_close(&file) == OK);
    read_file(env);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim_env *sim;
    struct buf file;
    if (size < 1 || size > 1 << 20) return 0;
    check(sim_env_new(1, &sim) == OK);
    buf_init(&file, NULL, 64 << 20);
    put_file(&file, bytes_of(data + 1, size - 1), data[0]);
    try_file(sim_env_env(sim), buf_bytes(&file));
    try_file(sim_env_env(sim), bytes_of(data, size));
    buf_fini(&file);
    sim_env_free(sim);
    return 0;
}
