/* ends.h - the end of a text that ends in NUL, such as the suffix of a file's name. */
#ifndef BASE_TEXT_ENDS_H
#define BASE_TEXT_ENDS_H

#include <stdbool.h>
#include <string.h>

static inline bool
text_ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

#endif
