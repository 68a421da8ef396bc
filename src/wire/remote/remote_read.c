/* remote_read.c - decodes the request; lists grow in the arena. */
#include "wire/remote/remote_read.h"

#include "wire/proto.h"

/* ReadRequest */
enum { REQUEST_QUERIES = 1, REQUEST_ACCEPTED = 2 };
/* Query */
enum { QUERY_START = 1, QUERY_END = 2, QUERY_MATCHERS = 3, QUERY_HINTS = 4 };
/* LabelMatcher */
enum { MATCHER_KIND = 1, MATCHER_NAME = 2, MATCHER_VALUE = 3, MATCHER_KINDS = 4 };
/* ReadHints; grouping (5) and by (6) are not used */
enum { HINT_STEP = 1, HINT_FUNC = 2, HINT_START = 3, HINT_END = 4, HINT_RANGE = 7 };

static enum err
read_malformed(const char *what, struct why *why)
{
    return why_set(why, ERR_INPUT, "remote read: malformed %s", what);
}

static enum err
decode_matcher(struct bytes message, struct rr_matcher *ret, struct why *why)
{
    const uint64_t known =
        PROTO_KNOWN(MATCHER_KIND) | PROTO_KNOWN(MATCHER_NAME) | PROTO_KNOWN(MATCHER_VALUE);
    struct cursor c = cursor_of(message);
    struct rr_matcher m = {0};
    uint32_t kind = 0;
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(MATCHER_KIND, PROTO_VARINT):
            kind = proto_uint32(&c);
            break;
        case PROTO_TAG(MATCHER_NAME, PROTO_BYTES):
            m.name = proto_bytes(&c);
            break;
        case PROTO_TAG(MATCHER_VALUE, PROTO_BYTES):
            m.value = proto_bytes(&c);
            break;
        default:
            proto_skip(&c, tag, known);
        }
    }
    if (c.bad) return read_malformed("LabelMatcher", why);
    if (kind >= MATCHER_KINDS)
        return why_set(why, ERR_INPUT, "remote read: unknown matcher type %u", kind);
    m.type = (uint8_t)kind;
    *ret = m;
    return OK;
}

static bool
decode_hints(struct bytes message, struct rr_query *query)
{
    const uint64_t known = PROTO_KNOWN(HINT_STEP) | PROTO_KNOWN(HINT_FUNC) |
                           PROTO_KNOWN(HINT_START) | PROTO_KNOWN(HINT_END) |
                           PROTO_KNOWN(HINT_RANGE);
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(HINT_STEP, PROTO_VARINT):
            query->hints.step_ms = proto_int64(&c);
            break;
        case PROTO_TAG(HINT_FUNC, PROTO_BYTES):
            query->hints.func = proto_bytes(&c);
            break;
        case PROTO_TAG(HINT_START, PROTO_VARINT):
            query->hints.min_ms = proto_int64(&c);
            break;
        case PROTO_TAG(HINT_END, PROTO_VARINT):
            query->hints.max_ms = proto_int64(&c);
            break;
        case PROTO_TAG(HINT_RANGE, PROTO_VARINT):
            query->hints.range_ms = proto_int64(&c);
            break;
        default:
            proto_skip(&c, tag, known);
        }
    }
    return !c.bad;
}

static enum err
decode_query(struct bytes message, struct arena *arena, struct rr_query *ret, struct why *why)
{
    const uint64_t known = PROTO_KNOWN(QUERY_START) | PROTO_KNOWN(QUERY_END) |
                           PROTO_KNOWN(QUERY_MATCHERS) | PROTO_KNOWN(QUERY_HINTS);
    struct cursor c = cursor_of(message);
    struct rr_query query = {0};
    enum err e = OK;
    for (uint32_t tag; e == OK && (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(QUERY_START, PROTO_VARINT):
            query.min_ms = proto_int64(&c);
            break;
        case PROTO_TAG(QUERY_END, PROTO_VARINT):
            query.max_ms = proto_int64(&c);
            break;
        case PROTO_TAG(QUERY_MATCHERS, PROTO_BYTES):
            if (query.matcher_count == RR_MATCHERS_MAX) {
                return why_set(why, ERR_LIMIT, "remote read: query has more than %d matchers",
                               RR_MATCHERS_MAX);
            }
            query.matchers =
                arena_push(arena, query.matchers, query.matcher_count, sizeof *query.matchers);
            if (query.matchers == NULL) return ERR_NOMEM;
            e = decode_matcher(proto_bytes(&c), &query.matchers[query.matcher_count++], why);
            break;
        case PROTO_TAG(QUERY_HINTS, PROTO_BYTES):
            if (!decode_hints(proto_bytes(&c), &query)) return read_malformed("ReadHints", why);
            break;
        default:
            proto_skip(&c, tag, known);
        }
    }
    if (c.bad) return read_malformed("Query", why);
    *ret = query;
    return e;
}

/* The list of answer types that a client accepts: the first known one is used. */
struct accepted {
    bool listed;
    bool found;
    enum rr_answer answer;
};

static void
accept_answer(struct accepted *a, uint64_t type)
{
    a->listed = true;
    if (a->found || (type != RR_SAMPLES && type != RR_STREAMED_XOR_CHUNKS)) return;
    a->found = true;
    a->answer = (enum rr_answer)type;
}

enum err
rr_decode(struct bytes message, struct arena *arena, struct rr_request *ret_request,
          struct why *why)
{
    const uint64_t known = PROTO_KNOWN(REQUEST_QUERIES) | PROTO_KNOWN(REQUEST_ACCEPTED);
    struct rr_request request = {0};
    struct accepted accepted = {.answer = RR_SAMPLES}; /* its types may be packed or not */
    struct cursor c = cursor_of(message);
    enum err e = OK;
    for (uint32_t tag; e == OK && (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(REQUEST_QUERIES, PROTO_BYTES):
            if (request.query_count == RR_QUERIES_MAX) {
                return why_set(why, ERR_LIMIT, "remote read: request has more than %d queries",
                               RR_QUERIES_MAX);
            }
            request.queries =
                arena_push(arena, request.queries, request.query_count, sizeof *request.queries);
            if (request.queries == NULL) return ERR_NOMEM;
            e = decode_query(proto_bytes(&c), arena, &request.queries[request.query_count++], why);
            break;
        case PROTO_TAG(REQUEST_ACCEPTED, PROTO_VARINT):
            accept_answer(&accepted, cursor_varint(&c));
            break;
        case PROTO_TAG(REQUEST_ACCEPTED, PROTO_BYTES): {
            struct cursor packed = cursor_of(proto_bytes(&c));
            while (cursor_left(&packed) > 0) {
                uint64_t type = cursor_varint(&packed);
                if (!packed.bad) accept_answer(&accepted, type);
            }
            if (packed.bad) cursor_fail(&c);
            break;
        }
        default:
            proto_skip(&c, tag, known);
        }
    }
    if (c.bad) return read_malformed("ReadRequest", why);
    if (e) return e;
    if (accepted.listed && !accepted.found) {
        return why_set(why, ERR_INPUT,
                       "remote read: none of the accepted response types is supported");
    }
    request.answer = accepted.answer;
    *ret_request = request;
    return OK;
}
