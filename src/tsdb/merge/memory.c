/* memory.c - estimates the memory of a merge, an upper bound for each structure that parts.c and
 * part/write*.c hold, from properties of the inputs. parts_test.c compares the sum with the memory
 * that merges use. Growing buffers have up to half of their contents to spare. */
#include "tsdb/merge/parts_private.h"

enum {
    KIB = 1024,
    BASE_BYTES = 3 * 1024 * KIB, /* scratch of codecs, batches, caches of times, what is written */
    BLOCKS_BYTES = 768,          /* one block of a series, wherever it is held at once */
    INPUT_BYTES = 128 * KIB,     /* a reader of rows, label names */
    INPUT_PAGES = 10,            /* held, or unpacked further */
    ROLLUP_BYTES = 160,          /* one of a block that is decoded, and what it makes */
    HISTOGRAM_ROLLUP_BYTES = 16 * KIB,
    SLOT_SAMPLE_BYTES = 24,            /* a sample of a block being merged with others */
    HISTOGRAMS_BYTES = 5 * 1024 * KIB, /* blocks of them are unpacked: read and written */
    TENANT_BYTES = 480,
    INDEX_SHARE = 16, /* directories, as a part of what they point at */
    DATA_SHARE = 256,
};

uint64_t
part_merge_memory_base(size_t writer_bytes)
{
    /* Rows, with what a buffer has to spare; a pass over pairs; columns of times. */
    uint64_t writer = writer_bytes < PART_WRITER_MEMORY_MIN ? PART_WRITER_MEMORY_MIN : writer_bytes;
    writer = writer / 4 * 3 + writer / 2 + writer / 4;
    return writer + BASE_BYTES + (uint64_t)BLOCKS_BYTES * PART_MERGE_BLOCKS_MAX;
}

uint64_t
part_merge_memory(const struct part *part)
{
    const struct part_info *i = part_info(part);
    uint64_t page = i->level >= PART_LEVEL_LAST ? PAGE_BYTES_LAST : PAGE_BYTES_SOON;
    uint64_t samples = 0, pairs = 0, rows = 0, tenants = 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        samples += i->sample_count[k];
    }
    for (uint32_t t = 0; t < part_tenant_count(part); t++) {
        const struct part_tenant *tenant = part_tenant_at(part, t);
        /* While lists of one tenant are made, the pairs of the next are numbered. */
        if (tenant->pair_count > pairs) pairs = tenant->pair_count;
        if (tenant->series_count > rows) rows = tenant->series_count;
        tenants += TENANT_BYTES + 3 * tenant->name.size;
    }
    if (samples > CODEC_SAMPLES_MAX) samples = CODEC_SAMPLES_MAX;
    uint64_t need = INPUT_BYTES + INPUT_PAGES * page + SLOT_SAMPLE_BYTES * samples;
    /* Rollups are decoded a block at a time. */
    uint64_t histograms = i->histogram_rollup_rows * HISTOGRAM_ROLLUP_BYTES;
    if (i->sample_count[LEDGER_HISTOGRAM] > 0 || histograms > HISTOGRAMS_BYTES)
        histograms = HISTOGRAMS_BYTES;
    need += histograms;
    uint64_t rollups = i->rollup_rows < BLOCK_ROLLUPS_MAX ? i->rollup_rows : BLOCK_ROLLUPS_MAX;
    need += 2 * ROLLUP_BYTES * rollups; /* two neighbouring blocks */
    need += (i->file_bytes - i->data_bytes) / INDEX_SHARE + i->data_bytes / DATA_SHARE;
    /* Four bytes for a pair's number in the output, and a bit. (Of one input alone two bits are
     * enough.) */
    need += 4 * pairs + pairs / 4;
    /* A bit where some rows go, a byte in a pass of the writer, and up to two thirds of one in the
     * longest list of series: for its numbers, their packed form, and spare room of buffers. */
    return need + 3 * rows + rows / 2 + tenants;
}
