/*
 * lines_fuzz.c - reads any bytes as the text of an object, whole and in pieces, and twice: the
 * second time, with known labels, the result is the same, and a reader without a memory has it,
 * too.
 */
#include <stdlib.h>

#include "lib/backend/noted_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_text(struct archive_lines *l, struct bytes text, size_t piece, bool forgets)
{
    struct why why;
    archive_lines_begin(l);
    for (size_t at = 0; at < text.size; at += piece) {
        size_t more = text.size - at < piece ? text.size - at : piece;
        if (forgets) archive_lines_forget(l);
        if (archive_lines_give(l, bytes_of(text.at + at, more), &why) != OK) abort();
    }
    if (archive_lines_end(l, &why) != OK) abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct noted_lines a, b;
    struct archive_lines *l, *m;
    struct bytes text = bytes_of(data, size);
    noted_lines_init(&a);
    noted_lines_init(&b);
    struct archive_line_sink to_a = noted_lines_sink(&a), to_b = noted_lines_sink(&b);
    if (archive_lines_new(NULL, 7, &to_a, &l) != OK) abort();
    if (archive_lines_new(NULL, 7, &to_b, &m) != OK) abort();
    read_text(l, text, size + 1, false);
    read_text(l, text, size + 1, false);
    read_text(m, text, 1, true);
    read_text(m, text, 3, true);
    if (!bytes_equal(buf_bytes(&a.text), buf_bytes(&b.text)) || a.junk != b.junk) abort();
    archive_lines_free(l);
    archive_lines_free(m);
    noted_lines_fini(&a);
    noted_lines_fini(&b);
    return 0;
}
