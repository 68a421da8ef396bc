/*
 * line_protocol_fuzz.c - reads any bytes as a text that InfluxDB returns; writes them as a label's
 * value and name, which stays one line, and reads it back the same.
 */
#include <stdlib.h>

#include "lib/wire/random_labels.h"
#include "wire/point/line_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads the value of the only tag, without its escapes. */
static void
unescape(struct bytes line, size_t skip, struct buf *to)
{
    for (size_t i = skip; i < line.size && line.at[i] != ' '; i++) {
        bool escape = line.at[i] == '\\' && i + 1 < line.size &&
                      (line.at[i + 1] == ',' || line.at[i + 1] == '=' || line.at[i + 1] == ' ');
        buf_put_u8(to, line.at[escape ? ++i : i]);
    }
}

static void
check_value(struct bytes value)
{
    struct buf labels, line, text, back;
    size_t room = 8 * value.size + 256;
    struct why why = {""};
    buf_init(&labels, NULL, room);
    buf_init(&line, NULL, room);
    buf_init(&text, NULL, room);
    buf_init(&back, NULL, room);
    test_put_label(&labels, bytes_of_text("a"), value);
    struct labelled_sample point = {.labels = buf_bytes(&labels)};
    enum err e = line_protocol_put(&line, &point, &why);
    if (e == OK) {
        if (memchr(line.at, '\n', line.size) != line.at + line.size - 1) abort();
        unescape(buf_bytes(&line), strlen("~%,a="), &text);
        if (line_text_decode(&back, buf_bytes(&text)) != OK) abort();
        if (!bytes_equal(buf_bytes(&back), value)) abort();
    } else if (e != ERR_INPUT || why.text[0] == '\0' || line.size != 0) {
        abort();
    }
    buf_fini(&labels);
    buf_fini(&line);
    buf_fini(&text);
    buf_fini(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text;
    if (size == 0) return 0;
    buf_init(&text, NULL, size + 1);
    enum err e = line_text_decode(&text, bytes_of(data, size));
    if (e != OK && (e != ERR_INPUT || text.size != 0)) abort();
    if (e == OK && text.size > 0) check_value(buf_bytes(&text));
    check_value(bytes_of(data, size));
    buf_fini(&text);
    return 0;
}
