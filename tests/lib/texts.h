/* texts.h - texts that tests make, or read from the source tree. */
#ifndef LIB_TEXTS_H
#define LIB_TEXTS_H

/* Makes `head`, `count` times `item` with its number for each '#', and `tail`. The caller frees it.
 */
char *repeated(const char *head, const char *item, unsigned count, const char *tail);

/* Reads a file of the source tree; tests run in its root. It ends with a NUL, and the caller frees
 * it. */
char *read_source_file(const char *path);

#endif
