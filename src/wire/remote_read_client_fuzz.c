/* Takes any bytes as a streamed answer, in two pieces; what it gives must be within the range. */
#include <stdlib.h>

#include "wire/remote_read_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MIN_MS = 1000, MAX_MS = 1000000 };

static void
check_time(int64_t t_ms)
{
    if (t_ms < MIN_MS || t_ms > MAX_MS) abort();
}

static void
check_piece(const struct rr_piece *p)
{
    bool samples = p->kind == RR_PIECE_FLOATS || p->kind == RR_PIECE_HISTOGRAMS;
    if (samples && p->count == 0) abort();
    if (p->kind == RR_PIECE_HISTOGRAMS && p->histograms == NULL) abort();
    for (uint32_t i = 0; i < p->count; i++) {
        check_time(p->times_ms[i]);
    }
    if (p->text.size > 0 && p->text.at == NULL) abort();
}

static enum err
read_pieces(struct rr_client *client, struct why *why)
{
    for (;;) {
        struct rr_piece piece;
        enum err e = rr_client_next(client, &piece, why);
        if (e || piece.kind == RR_PIECE_NONE) return e;
        check_piece(&piece);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_client *client;
    struct why why = {""};
    if (rr_client_new(MIN_MS, MAX_MS, NULL, &client) != OK) abort();
    if (size > 1 << 20) size = 1 << 20;
    size_t first = size / 2;
    enum err e = rr_client_give(client, bytes_of(data, first), &why);
    if (e == OK) e = read_pieces(client, &why);
    if (e == OK) e = rr_client_give(client, bytes_of(data + first, size - first), &why);
    if (e == OK) e = read_pieces(client, &why);
    if (e == OK) e = rr_client_end(client, &why);
    if (e != OK && why.text[0] == '\0') abort();
    if (e != OK && e != ERR_CORRUPT && e != ERR_LIMIT && e != ERR_UNSUPPORTED && e != ERR_NOMEM) {
        abort();
    }
    rr_client_free(client);
    return 0;
}
