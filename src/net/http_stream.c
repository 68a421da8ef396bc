/*
 * http_stream.c - answers made piece by piece: a ring between a producer, which may wait, and the
 * connection's worker, which must not.
 *
 *      http_stream_write() --copies--> ring --send_some()--> socket
 *      waits while it is full              waits to be woken while it is empty
 *
 * Bytes are sent from the ring, where the producer adds after them. The first bytes written to an
 * empty ring wake the connection at once. While its worker sends them the producer fills the ring,
 * so a fast producer makes large pieces, and the bytes of a slow one are sent without delay.
 *
 * The watch thread cuts a client that takes nothing for send_timeout; its worker then closes the
 * connection, which wakes the producer. A client that goes on taking a little meets the deadline of
 * the answer, and while others wait for the producer's place it has to be quicker: see
 * http_stream_limit().
 *
 * Invariants, beside those of struct http_request:
 *
 * 1. `start` is below `capacity`, and `used` is at most `capacity`.
 * 2. In STREAMING the producer adds to the ring; later it adds nothing. Only the worker consumes.
 * 3. A stream that goes nowhere leaves the ring empty, and is not aborted.
 * 4. Not more is written than was announced.
 * 5. Only an ANSWERED stream is aborted.
 */
#include <assert.h>

#include "net/http_private.h"

enum {
    HURRY_MS = 2000,          /* a client that is waited for this long, while others wait, ... */
    HURRY_BYTES = 128 * 1024, /* ... must have taken this much */
    HURRY_LOOK_MS = 200,
};

enum http_stream_state
http_stream_look(struct http_request *request, struct bytes ret_parts[2])
{
    struct http_stream *stream = &request->stream;
    enum http_stream_state state = HTTP_STREAM_MORE;
    lock_take(request->lock);
    bool has_ended = request->state == HTTP_REQUEST_ANSWERED;
    assert(request->link != HTTP_LINK_DETACHED);
    assert(has_ended || !stream->aborted);         /* invariant 5 */
    assert(stream->used == 0 || !stream->nowhere); /* invariant 3 */
    size_t first = stream->capacity - stream->start;
    if (first > stream->used) first = stream->used;
    ret_parts[0] = bytes_of(stream->ring + stream->start, first);
    ret_parts[1] = bytes_of(stream->ring, stream->used - first);
    if (stream->aborted) {
        state = HTTP_STREAM_ABORTED;
    } else if (stream->used == 0 && has_ended) {
        state = HTTP_STREAM_END;
    } else if (stream->used == 0) {
        state = HTTP_STREAM_LATER;
        http_request_suspend_locked(request);
    }
    lock_drop(request->lock);
    return state;
}

void
http_stream_consume(struct http_request *request, size_t size)
{
    struct http_stream *stream = &request->stream;
    lock_take(request->lock);
    assert(size <= stream->used); /* invariant 1 */
    stream->start = (stream->start + size) % stream->capacity;
    stream->used -= size;
    cond_wake_one(&stream->room);
    lock_drop(request->lock);
}

enum err
http_stream_begin(struct http_request *request, const struct http_answer *answer,
                  uint64_t content_length, struct why *why)
{
    struct budget *budget = request->server->options.budget;
    struct http_stream *stream = &request->stream;
    size_t capacity = request->server->options.stream_buffer_bytes;
    uint8_t *ring = mem_alloc(budget, capacity);
    bool bodiless = answer->status == 204 || answer->status == 304;
    bool nowhere = request->is_head || bodiless;
    struct http_response *response = mem_new(budget, sizeof *response);
    enum http_coding coding = HTTP_CODING_NONE;
    struct http_packer *packer = NULL;
    if (response != NULL) *response = (struct http_response){.budget = budget, .streams = !nowhere};
    if (ring == NULL || response == NULL) goto refused;
    if (content_length == UINT64_MAX && !bodiless && http_is_text(answer->content_type)) {
        coding = http_accepts(request, HTTP_CODING_ZSTD)   ? HTTP_CODING_ZSTD
                 : http_accepts(request, HTTP_CODING_GZIP) ? HTTP_CODING_GZIP
                                                           : HTTP_CODING_POSSIBLE;
        /* The head in answer to HEAD is that of the answer to GET. */
        if (coding != HTTP_CODING_POSSIBLE && !nowhere) {
            packer = http_packer_new(coding, budget);
            if (packer == NULL) coding = HTTP_CODING_POSSIBLE;
        }
    }
    if (!http_response_begin(response, request, answer, coding, content_length)) goto refused;

    assert(capacity > 0);         /* invariant 1 */
    assert(stream->ring == NULL); /* request invariant 6 */
    *stream = (struct http_stream){
        .ring = ring,
        .capacity = capacity,
        .left = content_length,
        .packer = packer,
        .nowhere = nowhere,
    };
    cond_init(&stream->room);
    http_note_status(request, answer->status);
    buf_fini(&request->body);
    http_head_fini(&request->head);
    http_hand_in(request, response, HTTP_REQUEST_STREAMING);
    return OK;

refused:
    http_response_free(response);
    http_packer_free(packer);
    mem_free(budget, ring, capacity);
    return why_set(why, ERR_NOMEM, "not enough memory for the response");
}

void
http_stream_limit(struct http_request *request, int64_t deadline_ns,
                  const _Atomic uint32_t *others_waiting)
{
    request->stream.deadline_ns = deadline_ns;
    request->stream.others_waiting = others_waiting;
}

/* Waits for room. False: the client is too slow, for the answer's deadline or for the requests that
 * wait for the producer's place. */
static bool
wait_for_room(struct http_request *request)
{
    struct http_stream *stream = &request->stream;
    if (stream->others_waiting == NULL) {
        cond_wait(&stream->room, request->lock);
        return true;
    }
    struct env *env = request->server->options.env;
    int64_t began = env_monotonic_ns(env), until = began + HURRY_LOOK_MS * NS_PER_MS;
    if (stream->taken_slowly >= HURRY_BYTES) stream->waited_ns = stream->taken_slowly = 0;
    bool others = atomic_load_explicit(stream->others_waiting, memory_order_relaxed) > 0;
    if (others && stream->waited_ns > HURRY_MS * NS_PER_MS) return false;
    if (began >= stream->deadline_ns) return false;
    if (until > stream->deadline_ns) until = stream->deadline_ns;
    (void)cond_wait_until(&stream->room, request->lock, until);
    stream->waited_ns += (uint64_t)(env_monotonic_ns(env) - began);
    return true;
}

static enum err
put_in_ring(struct http_request *request, struct bytes piece, struct why *why)
{
    struct http_stream *stream = &request->stream;
    enum err e = OK;
    lock_take(request->lock);
    assert(request->state == HTTP_REQUEST_STREAMING); /* invariant 2 */
    if (stream->left != UINT64_MAX) {
        assert(piece.size <= stream->left); /* invariant 4 */
        stream->left -= piece.size;
    }
    while (piece.size > 0 && !stream->nowhere) {
        if (request->link == HTTP_LINK_DETACHED) {
            e = ERR_CANCELED;
            break;
        }
        size_t room = stream->capacity - stream->used;
        if (room == 0) {
            if (wait_for_room(request)) continue;
            e = ERR_CANCELED;
            break;
        }
        if (room > piece.size) room = piece.size;
        size_t end = (stream->start + stream->used) % stream->capacity;
        size_t first = stream->capacity - end < room ? stream->capacity - end : room;
        assert(stream->start < stream->capacity); /* invariant 1 */
        memcpy(stream->ring + end, piece.at, first);
        memcpy(stream->ring, piece.at + first, room - first);
        stream->used += room;
        assert(stream->used <= stream->capacity); /* invariant 1 */
        stream->taken_slowly += room;
        piece.at += room;
        piece.size -= room;
        http_request_resume_locked(request);
    }
    lock_drop(request->lock);
    return e == OK ? OK : why_set(why, e, "the client disconnected or reads too slowly");
}

enum err
http_stream_write(struct http_request *request, struct bytes piece, struct why *why)
{
    struct http_packer *packer = request->stream.packer;
    if (packer == NULL) return put_in_ring(request, piece, why);
    return http_packer_put(packer, piece, false, put_in_ring, request, why);
}

void
http_stream_end(struct http_request *request, bool complete)
{
    struct http_server *server = request->server;
    struct http_stream *stream = &request->stream;
    if (complete && stream->packer != NULL) {
        complete = http_packer_put(stream->packer, bytes_of("", 0), true, put_in_ring, request,
                                   NULL) == OK;
    }
    lock_take(request->lock);
    assert(request->state == HTTP_REQUEST_STREAMING); /* invariant 2 */
    bool whole = complete && (stream->left == 0 || stream->left == UINT64_MAX);
    stream->aborted = !whole && !stream->nowhere;
    request->state = HTTP_REQUEST_ANSWERED;
    bool attached = request->link != HTTP_LINK_DETACHED;
    if (attached) http_request_resume_locked(request);
    lock_drop(request->lock);
    if (!attached) http_request_free(request);
    unsigned before = atomic_fetch_sub_explicit(&server->held, 1, memory_order_seq_cst);
    assert(before > 0);
}
