/* remote_read_client_fuzz.c - reads any bytes as a streamed answer, in two pieces; results must be
 * within the range. */
#include <stdlib.h>

#include "wire/remote/remote_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MIN_MS = 1000, MAX_MS = 1000000 };

static void
check_time(int64_t t_ms)
{
    if (t_ms < MIN_MS || t_ms > MAX_MS) abort();
}

static void
check_chunk(struct rr_decoder *decoder, const struct rr_piece *p)
{
    struct rr_decoded d;
    struct why why = {""};
    enum err e = rr_decode_chunk(decoder, p->type, p->chunk, MIN_MS, MAX_MS, &d, &why);
    if (e != OK && e != ERR_CORRUPT && e != ERR_LIMIT && e != ERR_NOMEM) abort();
    if (e != OK && why.text[0] == '\0') abort();
    for (uint32_t i = 0; e == OK && i < d.count; i++) {
        check_time(d.times_ms[i]);
        if (i > 0 && d.times_ms[i] <= d.times_ms[i - 1]) abort();
    }
}

static enum err
read_pieces(struct rr_client *client, struct rr_decoder *decoder, struct why *why)
{
    for (;;) {
        struct rr_piece piece;
        enum err e = rr_client_next(client, &piece, why);
        if (e || piece.kind == RR_PIECE_NONE) return e;
        if (piece.kind == RR_PIECE_CHUNK) check_chunk(decoder, &piece);
        if (piece.text.size > 0 && piece.text.at == NULL) abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rr_client *client;
    struct rr_decoder *decoder;
    struct why why = {""};
    if (rr_client_new(NULL, &client) != OK || rr_decoder_new(NULL, &decoder) != OK) abort();
    if (size > 1 << 20) size = 1 << 20;
    size_t first = size / 2;
    enum err e = rr_client_give(client, bytes_of(data, first), &why);
    if (e == OK) e = read_pieces(client, decoder, &why);
    if (e == OK) e = rr_client_give(client, bytes_of(data + first, size - first), &why);
    if (e == OK) e = read_pieces(client, decoder, &why);
    if (e == OK) e = rr_client_end(client, &why);
    if (e != OK && why.text[0] == '\0') abort();
    if (e != OK && e != ERR_CORRUPT && e != ERR_LIMIT && e != ERR_UNSUPPORTED && e != ERR_NOMEM)
        abort();
    rr_client_free(client);
    rr_decoder_free(decoder);
    return 0;
}
