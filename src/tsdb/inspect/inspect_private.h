/*
 * inspect_private.h - private to this folder: remarks, and functions shared by the kinds of files.
 */
#ifndef TSDB_INSPECT_INSPECT_PRIVATE_H
#define TSDB_INSPECT_INSPECT_PRIVATE_H

#include "tsdb/inspect/inspect.h"
#include "tsdb/part/walk.h"
#include "tsdb/store/store.h"

enum { INSPECT_CACHE_BYTES = 16 * 1024 * 1024 };

/* Returns true if the manifest was edited since it was read. */
bool inspect_is_edited(const struct inspect_options *options, const char *dir, uint64_t edit);

/* --- remarks ---------------------------------------------------------------------------------- */

enum remark_kind { REMARK_NOTE, REMARK_DAMAGE };
/* Adds a remark, unless it is damage that is among the last remarks. ERR_NOMEM. */
MUST_CHECK enum err remark(struct inspect_remarks *remarks, struct arena *arena,
                           enum remark_kind kind, const char *format, ...) PRINTF_LIKE(4, 5);
/* Turns ERR_CORRUPT into a remark and OK; returns other errors. */
MUST_CHECK enum err remark_if_damage(struct inspect_remarks *remarks, struct arena *arena,
                                     enum err e, const struct why *why);

/* Returns a copy that ends with a NUL; NULL if memory is refused. */
const char *arena_text(struct arena *arena, const char *text);

/* --- parts ------------------------------------------------------------------------------------ */

void inspect_facts(const struct part_info *info, struct inspect_part_facts *ret_facts);
/* Gets the size of a file. ERR_MISSING. */
MUST_CHECK enum err inspect_file_bytes(struct env *env, const char *dir, const char *name,
                                       uint64_t *ret_bytes);

#endif
