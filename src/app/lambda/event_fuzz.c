/*
 * event_fuzz.c - an event from any bytes. What is read can be sent as a request: the target begins
 * with a slash and has printable ASCII, no line of the headers has a control character, and the
 * body is within its limit.
 */
#include <assert.h>
#include <string.h>

#include "app/lambda/lambda.h"
#include "auth/origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_begun;

static void
check(const struct event *event)
{
    assert(event->target[0] == '/');
    for (const char *p = event->target; *p != '\0'; p++)
        assert(*p > ' ' && *p < 0x7f && *p != '#');
    assert(strstr(event->target, "/../") == NULL);
    size_t count = 0;
    for (; event->headers[count] != NULL; count++) {
        for (const char *p = event->headers[count]; *p != '\0'; p++)
            assert((uint8_t)*p >= ' ' || *p == '\t');
        assert(strpbrk(event->headers[count], ":;") != NULL);
    }
    assert(count <= EVENT_HEADERS_MAX);
    assert(event->body.size <= EVENT_BODY_BYTES_MAX);
    assert(event->method[0] != '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget budget;
    struct arena arena;
    struct buf body;
    struct event event;
    struct why why = {""};
    if (!is_begun) is_begun = caller_begin(env_real()) == OK;
    budget_init(&budget, "fuzz", 64 << 20, NULL);
    arena_init(&arena, &budget, 1 << 20, 0);
    buf_init(&body, &budget, EVENT_BODY_BYTES_MAX);
    enum err e = event_read(bytes_of(data, size), &budget, &arena, &body, &event, &why);
    if (e == OK)
        check(&event);
    else
        assert(event.method == NULL);
    arena_fini(&arena);
    buf_fini(&body);
    assert(budget_used(&budget) == 0);
    return 0;
}
