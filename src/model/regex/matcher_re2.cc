#include "model/regex/matcher_re2.h"

#include <re2/re2.h>

#include <cstdio>
#include <new>
#include <string>

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
program_new(const re2::StringPiece &pattern, int64_t memory_bytes, re2_captures captures,
            re2_program **ret_program, char *why, size_t why_bytes)
{
    re2::RE2::Options options;
    options.set_dot_nl(captures != RE2_SEARCH);
    options.set_max_mem(memory_bytes);
    options.set_log_errors(false);
    options.set_never_capture(captures == RE2_NO_CAPTURES);
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
                enum re2_captures captures, struct re2_program **ret_program, char *why,
                size_t why_bytes)
{
    try {
        return program_new(piece_of(pattern, pattern_bytes), memory_bytes, captures, ret_program,
                           why, why_bytes);
    } catch (...) { /* std::bad_alloc; RE2 throws nothing of its own */
        return RE2_NO_MEMORY;
    }
}

void
re2_program_free(struct re2_program *program)
{
    delete program;
}

uint64_t
re2_program_instructions(const struct re2_program *program)
{
    return static_cast<uint64_t>(program->re.ProgramSize());
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

uint32_t
re2_program_groups(const struct re2_program *program)
{
    int count = program->re.NumberOfCapturingGroups();
    return count < RE2_CAPTURES_MAX ? static_cast<uint32_t>(count) : RE2_CAPTURES_MAX - 1;
}

static uint32_t
group_or_terminate(const re2::RE2 &re, const re2::StringPiece &name) noexcept
{
    const auto &groups = re.NamedCapturingGroups();
    auto found = groups.find(std::string(name.data(), name.size()));
    return found == groups.end() ? 0 : static_cast<uint32_t>(found->second);
}

uint32_t
re2_program_group(const struct re2_program *program, const uint8_t *name, size_t name_bytes)
{
    return group_or_terminate(program->re, piece_of(name, name_bytes));
}

static bool
capture_or_terminate(const re2::RE2 &re, const re2::StringPiece &text, size_t from,
                     re2::RE2::Anchor anchor, re2_capture *ret, int count) noexcept
{
    re2::StringPiece groups[RE2_CAPTURES_MAX];
    if (!re.Match(text, from, text.size(), anchor, groups, count)) return false;
    for (int i = 0; i < count; i++) {
        ret[i].at = reinterpret_cast<const uint8_t *>(groups[i].data());
        ret[i].size = groups[i].size();
    }
    return true;
}

bool
re2_program_capture(const struct re2_program *program, const uint8_t *text, size_t text_bytes,
                    struct re2_capture *ret_captures)
{
    int count = static_cast<int>(re2_program_groups(program)) + 1;
    return capture_or_terminate(program->re, piece_of(text, text_bytes), 0, re2::RE2::ANCHOR_BOTH,
                                ret_captures, count);
}

bool
re2_program_find(const struct re2_program *program, const uint8_t *text, size_t text_bytes,
                 size_t from, struct re2_capture *ret_captures)
{
    int count = static_cast<int>(re2_program_groups(program)) + 1;
    return capture_or_terminate(program->re, piece_of(text, text_bytes), from, re2::RE2::UNANCHORED,
                                ret_captures, count);
}
