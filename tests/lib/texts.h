/* texts.h - texts that tests make, write to files, or read from the source tree. */
#ifndef LIB_TEXTS_H
#define LIB_TEXTS_H

/* A struct text_list of these texts, as an initializer. */
#define TEXTS(...)                                                       \
    {                                                                    \
        (const char *[]){__VA_ARGS__},                                   \
            sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *) \
    }

/* Makes `head`, `count` times `item` with its number for each '#', and `tail`. The caller frees it.
 */
char *repeated(const char *head, const char *item, unsigned count, const char *tail);

/* Reads a file of the source tree; tests run in its root. It ends with a NUL, and the caller frees
 * it. */
char *read_source_file(const char *path);

/* Writes a file that has this text only. */
void write_text_file(const char *path, const char *text);

#endif
