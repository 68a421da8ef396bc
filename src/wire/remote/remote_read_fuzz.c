/* remote_read_fuzz.c - reads any bytes as a ReadRequest; results must lie within them and within
 * the limits. */
#include <stdlib.h>

#include "wire/remote/remote_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct bytes part, struct bytes whole)
{
    if (part.size == 0) return;
    if (part.at < whole.at || part.at + part.size > whole.at + whole.size) abort();
}

static void
check_query(const struct rr_query *query, struct bytes message)
{
    if (query->matcher_count > RR_MATCHERS_MAX) abort();
    check_inside(query->hints.func, message);
    for (uint32_t i = 0; i < query->matcher_count; i++) {
        if (query->matchers[i].type > 3) abort();
        check_inside(query->matchers[i].name, message);
        check_inside(query->matchers[i].value, message);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, NULL, 16 << 20, 0);
    struct bytes message = {data, size};
    struct rr_request request;
    struct why why = {""};
    enum err e = rr_decode(message, &arena, &request, &why);
    if (e == OK) {
        if (request.query_count > RR_QUERIES_MAX) abort();
        for (uint32_t i = 0; i < request.query_count; i++)
            check_query(&request.queries[i], message);
    } else if ((e != ERR_INPUT && e != ERR_LIMIT) || why.text[0] == '\0') {
        abort();
    }
    arena_fini(&arena);
    return 0;
}
