/* matcher_re2.h - RE2 for C, as far as matchers, relabelling and searches need it; private to them.
 * No exception leaves these functions. */
#ifndef MODEL_REGEX_MATCHER_RE2_H
#define MODEL_REGEX_MATCHER_RE2_H

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
/* Returns the size of the program. */
uint64_t re2_program_instructions(const struct re2_program *program);

/* True if it matches all of the text. Any thread. Ends the process if RE2 cannot get memory: a
 * wrong answer may delete the wrong series. */
bool re2_program_matches(const struct re2_program *program, const uint8_t *text, size_t text_bytes);

/* A capture, of programs with captures. */
struct re2_capture {
    const uint8_t *at; /* NULL if the group took no part */
    size_t size;
};
enum { RE2_CAPTURES_MAX = 64 };
/* Returns the number of groups, at most RE2_CAPTURES_MAX - 1: others are not captured. */
uint32_t re2_program_groups(const struct re2_program *program);
/* Returns the number of the group of that name; 0 if there is none. */
uint32_t re2_program_group(const struct re2_program *program, const uint8_t *name,
                           size_t name_bytes);
/* Does the same as re2_program_matches(); ret[0] is all of the text, ret[1] the first group, and so
 * on. */
bool re2_program_capture(const struct re2_program *program, const uint8_t *text, size_t text_bytes,
                         struct re2_capture *ret_captures);
/* For programs of RE2_SEARCH: finds the first match that begins at byte `from` or later. \b and ^
 * take the bytes before it into account. */
bool re2_program_find(const struct re2_program *program, const uint8_t *text, size_t text_bytes,
                      size_t from, struct re2_capture *ret_captures);

#ifdef __cplusplus
}
#endif

#endif
