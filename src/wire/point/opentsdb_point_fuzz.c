/*
 * opentsdb_point_fuzz.c - reads any bytes as a name that OpenTSDB returns, writes it and reads it
 * again; writes any bytes as a name or value, which come back the same.
 */
#include <stdlib.h>

#include "wire/point/opentsdb_point.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void (*put_text)(struct buf *to, struct bytes text);
typedef enum err (*get_text)(struct buf *to, struct bytes text);

static void
check_written(struct bytes text, put_text put, get_text get)
{
    struct buf written, back;
    buf_init(&written, NULL, 10 * text.size + 16);
    buf_init(&back, NULL, 10 * text.size + 16);
    put(&written, text);
    if (buf_error(&written)) abort();
    for (size_t i = 0; i < written.size; i++) {
        uint8_t c = written.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && (c == 0 || strchr("-_./", c) == NULL)) abort();
    }
    if (get(&back, buf_bytes(&written)) != OK) abort();
    if (!bytes_equal(buf_bytes(&back), text)) abort();
    buf_fini(&written);
    buf_fini(&back);
}

static void
check_both(struct bytes text, put_text put, get_text get)
{
    struct buf read;
    buf_init(&read, NULL, text.size + 1);
    enum err e = get(&read, text);
    if (e == OK)
        check_written(buf_bytes(&read), put, get);
    else if (e != ERR_INPUT || read.size != 0)
        abort();
    check_written(text, put, get);
    buf_fini(&read);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_both(bytes_of(data, size), opentsdb_value_put, opentsdb_value_get);
    check_both(bytes_of(data, size), opentsdb_tag_put, opentsdb_tag_get);
    return 0;
}
