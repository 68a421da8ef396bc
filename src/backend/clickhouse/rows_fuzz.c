/* rows_fuzz.c - reads any bytes as an answer, in pieces whose size is in the first byte: rows of
 * samples are read or refused with a sentence, and so are their labels and histograms. */
#include <stdlib.h>

#include "backend/clickhouse/clickhouse_reader.h"
#include "lib/backend/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_row(struct rows *rows, struct buf *text, struct buf *numbers, struct arena *arena)
{
    struct label labels[FINAL_LABELS_MAX];
    struct why why = {""};
    uint32_t count;
    buf_clear(text);
    if (!buf_reserve(text, 1)) return; /* both may be empty */
    buf_put_bytes(text, rows_text(rows));
    size_t metric = text->size;
    buf_put_bytes(text, rows_text(rows));
    for (int i = 0; i < 4; i++) {
        uint32_t items = rows_numbers(rows, 1000, numbers);
        if (rows->failed == OK && numbers->size != (size_t)items * 8) abort();
    }
    for (uint32_t left = rows_count(rows, 1000); left > 0 && rows->failed == OK; left--)
        (void)rows_text(rows);
    if (rows->failed || buf_error(text)) return;
    arena_reset(arena);
    struct bytes all = buf_bytes(text);
    enum err e =
        label_text_read(bytes_of(all.at, metric), bytes_of(all.at + metric, all.size - metric),
                        arena, labels, &count, &why);
    if (e == OK && count > FINAL_LABELS_MAX) abort();
    if (e != OK && why.text[0] == '\0') abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rows rows;
    struct buf text, numbers;
    struct arena arena;
    if (size == 0) return 0;
    struct pieces pieces = {bytes_of(data + 1, size - 1), (size_t)data[0] + 1};
    arena_init(&arena, NULL, 1 << 24, 0);
    buf_init(&text, NULL, 1 << 26);
    buf_init(&numbers, NULL, 1 << 20);
    rows_init(&rows, NULL);
    rows_begin(&rows, "ttNNNNT", pieces_next, &pieces);
    while (rows_next(&rows))
        read_row(&rows, &text, &numbers, &arena);
    if (rows.failed != OK && rows.why.text[0] == '\0') abort();
    rows_drain(&rows);
    if (rows.tail_size > ROWS_TAIL_BYTES) abort();
    rows_fini(&rows);
    buf_fini(&text);
    buf_fini(&numbers);
    arena_fini(&arena);
    return 0;
}
