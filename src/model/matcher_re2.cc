#include "model/matcher_re2.h"

#include <re2/re2.h>

#include <cstdio>
#include <new>

struct re2_program {
    re2_program(const re2::StringPiece &pattern, const re2::RE2::Options &options)
        : re(pattern, options)
    {
    }
    re2::RE2 re;
};

static re2::StringPiece
piece_of(const uint8_t *at, size_t size)
{
    return re2::StringPiece(size == 0 ? "" : reinterpret_cast<const char *>(at), size);
}

static re2_result
program_new(const re2::StringPiece &pattern, int64_t memory_bytes, re2_program **ret_program,
            char *why, size_t why_bytes)
{
    re2::RE2::Options options;
    options.set_dot_nl(true);
    options.set_max_mem(memory_bytes);
    options.set_log_errors(false);
    options.set_never_capture(true);
    re2_program *program = new re2_program(pattern, options);
    if (program->re.ok()) {
        *ret_program = program;
        return RE2_OK;
    }
    std::snprintf(why, why_bytes, "%s", program->re.error().c_str());
    bool large = program->re.error_code() == re2::RE2::ErrorPatternTooLarge;
    delete program;
    return large ? RE2_TOO_LARGE : RE2_INVALID;
}

re2_result
re2_program_new(const uint8_t *pattern, size_t pattern_bytes, int64_t memory_bytes,
                struct re2_program **ret_program, char *why, size_t why_bytes)
{
    try {
        return program_new(piece_of(pattern, pattern_bytes), memory_bytes, ret_program, why,
                           why_bytes);
    } catch (...) { /* std::bad_alloc; RE2 throws nothing of its own */
        return RE2_NO_MEMORY;
    }
}

void
re2_program_free(struct re2_program *program)
{
    delete program;
}

/* noexcept: see the header for why an exception here ends the process. */
static bool
matches_or_terminate(const re2::RE2 &re, const re2::StringPiece &text) noexcept
{
    return re.Match(text, 0, text.size(), re2::RE2::ANCHOR_BOTH, nullptr, 0);
}

bool
re2_program_matches(const struct re2_program *program, const uint8_t *text, size_t text_bytes)
{
    return matches_or_terminate(program->re, piece_of(text, text_bytes));
}
