/*
 * sent_head.c - see sent_head.h.
 */
#include "lib/auth/sent_head.h"

#include "net/http_head.h"

static bool
header_at(const void *context, uint32_t index, struct sigv4_header *ret_header)
{
    const struct sent_head *head = context;
    if (index >= head->header_count) return false;
    *ret_header = head->headers[index];
    return true;
}

/* Returns the bytes before `mark`, and moves `*from` beyond it. */
static struct bytes
take(struct bytes *from, char mark)
{
    const uint8_t *at = from->size == 0 ? NULL : memchr(from->at, mark, from->size);
    struct bytes taken = bytes_of(from->at, at == NULL ? from->size : (size_t)(at - from->at));
    size_t used = taken.size + (at != NULL);
    *from = bytes_of(from->at + used, from->size - used);
    return taken;
}

void
sent_head_read(struct sent_head *head, struct bytes text)
{
    struct bytes line = take(&text, '\n');
    head->header_count = 0;
    head->arrival = (struct sigv4_arrival){.header_at = header_at, .context = head};
    head->arrival.method = take(&line, ' ');
    head->arrival.target = line;
    while (text.size > 0 && head->header_count < SENT_HEADERS_MAX) {
        line = take(&text, '\n');
        struct bytes name = take(&line, ':');
        while (line.size > 0 && line.at[0] == ' ')
            line = bytes_of(line.at + 1, line.size - 1);
        while (line.size > 0 && line.at[line.size - 1] == ' ')
            line.size--;
        head->headers[head->header_count++] = (struct sigv4_header){name, line};
    }
}

void
sent_head_route(const struct sent_head *head, struct buf *to)
{
    struct bytes target = head->arrival.target, path = take(&target, '?');
    if (!http_path_clean(path, to)) buf_put_bytes(to, path);
}
