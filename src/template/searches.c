/*
 * searches.c - regexes of a run: see run.h. Compiling takes from 10 us to 100 ms, which count as
 * steps; the last few are kept, since a loop needs the same one again.
 */
#include <assert.h>

#include "model/regex/searcher.h"
#include "template/run.h"

enum {
    INSTRUCTIONS_BYTES = 100,
    COMPILE_NS = 20000,
    COMPILE_NS_OF_BYTE = 5000,
    COMPILE_NS_OF_REPETITION = 1000000
};

/* Repetitions and Unicode classes are short in the text and make large programs. */
static uint64_t
compile_ns(struct bytes pattern)
{
    uint64_t ns = COMPILE_NS + pattern.size * COMPILE_NS_OF_BYTE;
    for (size_t i = 0; i < pattern.size; i++) {
        uint8_t c = pattern.at[i];
        if (c == '{' || c == 'p' || c == 'P') {
            bool escaped = i > 0 && pattern.at[i - 1] == '\\';
            if (escaped == (c != '{')) ns += COMPILE_NS_OF_REPETITION;
        }
    }
    return ns;
}

static bool
searches_compile(struct tmpl_run *run, struct bytes pattern, struct searcher **ret)
{
    struct why why = {.text = ""};
    if (!run_spend_ns(run, compile_ns(pattern))) return false;
    enum err e = searcher_new(pattern, run->options->budget, ret, &why);
    /* The work for a short text shows how large the program is, and how long compiling took. */
    if (e == OK && run_spend_ns(run, searcher_work(*ret, INSTRUCTIONS_BYTES))) return true;
    if (e == OK) {
        searcher_free(*ret);
        return false;
    }
    if (e == ERR_INPUT) return run_fail(run, "%s", why.text);
    run->failed = e;
    return false;
}

bool
run_searcher(struct tmpl_run *run, struct bytes pattern, const struct searcher **ret)
{
    for (unsigned i = 0; i < RUN_SEARCHERS; i++) {
        const struct run_searcher *s = &run->searchers[i];
        if (s->searcher == NULL || !bytes_equal(s->pattern, pattern)) continue;
        *ret = s->searcher;
        return run_spend(run, pattern.size);
    }
    assert(run->searcher_next < RUN_SEARCHERS);
    struct run_searcher *s = &run->searchers[run->searcher_next];
    struct searcher *made;
    if (!searches_compile(run, pattern, &made)) return false;
    searcher_free(s->searcher);
    *s = (struct run_searcher){pattern, made}; /* the pattern lies in the arena or in the text */
    run->searcher_next = (run->searcher_next + 1) % RUN_SEARCHERS;
    *ret = made;
    return true;
}

void
run_searchers_fini(struct tmpl_run *run)
{
    for (unsigned i = 0; i < RUN_SEARCHERS; i++) {
        searcher_free(run->searchers[i].searcher);
    }
}
