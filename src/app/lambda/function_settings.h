/*
 * function_settings.h - the configuration of the server in a function, from the environment: the
 * names that AWS' connector for Timestream reads, and some more.
 */
#ifndef APP_LAMBDA_FUNCTION_SETTINGS_H
#define APP_LAMBDA_FUNCTION_SETTINGS_H

#include "base/buf.h"

/* Returns the value of a variable, or NULL, as getenv() does. */
typedef char *function_variable(const char *name);

/* Writes the path of a file that the function may write: in $TMPDIR, or in /tmp, which is the only
 * directory that Lambda has for that. ERR_INPUT: it is too long for a socket. */
enum { FUNCTION_PATH_BYTES = 108 };
MUST_CHECK enum err function_path(function_variable *variable, const char *name,
                                  char ret_path[static FUNCTION_PATH_BYTES], struct why *why);
#define FUNCTION_SOCKET  "firekeep.sock"
#define FUNCTION_STORAGE "firekeep"
#define FUNCTION_ARCHIVE "firekeep-archive"

/*
 * Appends the configuration as YAML. ERR_INPUT: a variable is missing or invalid; the sentence
 * names it. ERR_NOMEM, ERR_LIMIT: it does not fit.
 */
MUST_CHECK enum err function_settings_put(function_variable *variable, struct buf *to,
                                          struct why *why);

/* Returns the memory for the server, in bytes: half of the function's, at least 64 MiB. */
uint64_t function_memory_bytes(function_variable *variable);

/* Returns how many invocations run at a time, 1 to 64. */
uint32_t function_concurrency(function_variable *variable);

/* Sets *ret_ms to the time in ms after which the gateway answers for the function, or to 0 if none
 * is set. ERR_INPUT: the variable has no number of ms. */
MUST_CHECK enum err function_gateway_ms(function_variable *variable, uint64_t *ret_ms,
                                        struct why *why);

/* Sets *ret_streams to true if answers of function URLs are streamed. ERR_INPUT: the variable has
 * neither true nor false. */
MUST_CHECK enum err function_streams(function_variable *variable, bool *ret_streams,
                                     struct why *why);

#endif
