/*
 * matcher_re2.h - the few things we want of RE2, for C. Private to matchers, relabelling and
 * searches. No exception leaves these functions.
 */
#ifndef MODEL_MATCHER_RE2_H
#define MODEL_MATCHER_RE2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct re2_program;

enum re2_result { RE2_OK, RE2_INVALID, RE2_TOO_LARGE, RE2_NO_MEMORY };

/*
 * Compiles a UTF-8 pattern in which dot matches newline, but in a search; program and cache may use
 * `memory_bytes`. The sentence of RE2_INVALID and RE2_TOO_LARGE goes to `why`, cut off and
 * NUL-terminated.
 */
enum re2_captures { RE2_NO_CAPTURES, RE2_CAPTURES, RE2_SEARCH /* with captures */ };
enum re2_result re2_program_new(const uint8_t *pattern, size_t pattern_bytes, int64_t memory_bytes,
                                enum re2_captures captures, struct re2_program **ret_program,
                                char *why, size_t why_bytes);
void re2_program_free(struct re2_program *program);
/* How large it is. */
uint64_t re2_program_instructions(const struct re2_program *program);

/*
 * Does it match all of the text? From any thread. Terminates the process if RE2 cannot get the
 * memory it needs to answer: a wrong answer may delete the wrong series.
 */
bool re2_program_matches(const struct re2_program *program, const uint8_t *text, size_t text_bytes);

/* For programs with captures. */
struct re2_capture {
    const uint8_t *at; /* NULL: the group took no part */
    size_t size;
};
enum { RE2_CAPTURES_MAX = 64 };
/* Groups, at most RE2_CAPTURES_MAX - 1: further ones are never asked for. */
uint32_t re2_program_groups(const struct re2_program *program);
/* The number of the group of that name; 0: there is none. */
uint32_t re2_program_group(const struct re2_program *program, const uint8_t *name,
                           size_t name_bytes);
/* As re2_program_matches(); ret[0] is all of the text, ret[1] the first group, and so on. */
bool re2_program_capture(const struct re2_program *program, const uint8_t *text, size_t text_bytes,
                         struct re2_capture *ret_captures);
/* For those of RE2_SEARCH: the first match from the byte `from` on, wherever it begins. What stands
 * before it is looked at by \b and ^. */
bool re2_program_find(const struct re2_program *program, const uint8_t *text, size_t text_bytes,
                      size_t from, struct re2_capture *ret_captures);

#ifdef __cplusplus
}
#endif

#endif
