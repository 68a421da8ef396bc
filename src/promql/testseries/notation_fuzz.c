/* notation_fuzz.c - parses any text as a series: it is refused with a sentence that names a place,
 * or its values can be walked through. A histogram that is written and read again is the same. */
#include <assert.h>

#include "promql/testseries/notation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WALKED_MAX = 10000, ARENA_BYTES_MAX = 64 << 20 };

static void
check_again(const struct fhist *h)
{
    struct arena arena;
    struct buf text, again, error;
    struct notation notation;
    arena_init(&arena, NULL, ARENA_BYTES_MAX, 0);
    buf_init(&text, NULL, 1 << 20);
    buf_init(&again, NULL, 1 << 20);
    buf_init(&error, NULL, 1 << 20);
    buf_put_text(&text, "{} ");
    notation_put_histogram(h, &text);
    bool is_whole = buf_error(&text) == OK && memchr(text.at, '(', text.size) == NULL &&
                    memchr(text.at, '+', text.size) == NULL; /* 1e+07 and +Inf have one */
    if (is_whole && notation_parse(buf_bytes(&text), 1, &arena, &notation, &error) == OK) {
        assert(notation.item_count == 1);
        assert(notation.items[0].count == 1);
        assert(notation.items[0].kind == NOTATION_HISTOGRAM);
        buf_put_text(&again, "{} ");
        notation_put_histogram(notation.items[0].histogram, &again);
        assert(bytes_equal(buf_bytes(&text), buf_bytes(&again)));
    }
    buf_fini(&text);
    buf_fini(&again);
    buf_fini(&error);
    arena_fini(&arena);
}

static void
walk(const struct notation *notation, struct arena *arena)
{
    struct notation_walk w = notation_begin(notation, arena);
    for (int i = 0; i < WALKED_MAX; i++) {
        struct notation_value value;
        bool more;
        enum err e = notation_next(&w, &value, &more);
        assert(e == OK || e == ERR_NOMEM);
        if (e || !more) return;
        assert((value.kind == NOTATION_HISTOGRAM) == (value.histogram != NULL));
        if (value.histogram != NULL && i < 16) check_again(value.histogram);
    }
}

static void
check_metric(const struct notation_metric *metric)
{
    for (uint32_t i = 1; i < metric->count; i++)
        assert(bytes_compare(metric->labels[i - 1].name, metric->labels[i].name) <= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct buf error;
    struct notation notation;
    struct notation_metric metric;
    arena_init(&arena, NULL, ARENA_BYTES_MAX, 0);
    buf_init(&error, NULL, 64 << 20);
    enum err e = notation_parse(bytes_of(data, size), 1, &arena, &notation, &error);
    assert(e == OK || e == ERR_INPUT || e == ERR_NOMEM);
    assert((e == OK) == (error.size == 0));
    if (e == OK) {
        check_metric(&notation.metric);
        walk(&notation, &arena);
    }
    buf_clear(&error);
    e = notation_parse_metric(bytes_of(data, size), &arena, &metric, &error);
    assert(e == OK || e == ERR_INPUT || e == ERR_NOMEM);
    if (e == OK) check_metric(&metric);
    buf_fini(&error);
    arena_fini(&arena);
    return 0;
}
