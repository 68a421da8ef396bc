/*
 * http_head_fuzz.c - reads any bytes as a client's request: a head, cut anywhere, and a body in
 * chunks. A cleaned path is clean, and begins with one slash; pieces of a body are within the given
 * bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "net/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_location(const struct http_head *head)
{
    struct buf again;
    if (head->location.size == 0) return;
    const char *text = (const char *)head->location.at;
    assert(text[0] == '/' && text[1] != '/' && text[1] != '\\');
    for (const char *at = text; *at != '\0'; at++)
        assert(*at > ' ' && *at < 0x7f);
    buf_init(&again, NULL, 1 << 20);
    assert(!http_path_clean(bytes_of(text, strcspn(text, "?")), &again));
    buf_fini(&again);
}

/* The target is what is between the blanks of the request line. */
static void
check_target(const struct http_head *head, const uint8_t *data, size_t size)
{
    const uint8_t *blank = memchr(data, ' ', size);
    size_t length = strlen(head->target);
    assert(blank != NULL && length < size - (size_t)(blank - data) - 1);
    assert(memcmp(blank + 1, head->target, length) == 0 && blank[1 + length] == ' ');
}

static void
check_texts(const struct http_head *head)
{
    uint32_t at = 0;
    size_t bytes = strlen(head->method) + strlen(head->path) + strlen(head->target);
    const char *name, *value;
    for (uint32_t i = 0; http_head_header_at(head, i, &name, &value); i++)
        bytes += strlen(name) + strlen(value);
    while (http_head_argument(head, "a", &at) != NULL)
        bytes++;
    assert(bytes > 0);
    assert(!http_head_drops(head, "") || head->wrong_query[0] != '\0');
    assert((http_head_header(head, "a") != NULL) == (http_head_header_count(head, "a") > 0));
}

static void
check_chunks(struct bytes body)
{
    struct http_chunks chunks = {.at = HTTP_CHUNK_SIZE};
    const uint8_t *last = body.at;
    while (body.size > 0 && chunks.at != HTTP_CHUNK_DONE) {
        struct bytes piece;
        if (http_chunks_take(&chunks, &body, &piece) != OK) return;
        assert(piece.size == 0 || (piece.at >= last && piece.at + piece.size == body.at));
        last = body.at;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t whole = 0, steps = 0, end = 0;
    size_t expected = http_head_end(bytes_of(data, size), &whole);
    for (size_t given = 0; given < size && end == 0;) {
        given = given + 7 < size ? given + 7 : size;
        end = http_head_end(bytes_of(data, given), &steps);
    }
    assert(end == expected);
    if (end == 0) return 0;
    struct http_head head;
    const char *why = NULL;
    http_head_init(&head, NULL, 1 << 20);
    buf_put(&head.text, data, end);
    unsigned status = http_head_parse(&head, &why);
    if (status == 0) {
        check_target(&head, data, end);
        check_texts(&head);
        check_location(&head);
    } else {
        assert(why != NULL);
    }
    http_head_fini(&head);
    check_chunks(bytes_of(data + end, size - end));
    return 0;
}
