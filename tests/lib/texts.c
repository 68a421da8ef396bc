/* texts.c - see texts.h. */
#include "lib/texts.h"

#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20 };

char *
repeated(const char *head, const char *item, unsigned count, const char *tail)
{
    size_t room = strlen(head) + strlen(tail) + count * (strlen(item) + 12) + 1;
    char *text = malloc(room);
    assert_non_null(text);
    size_t used = (size_t)snprintf(text, room, "%s", head);
    for (unsigned i = 0; i < count; i++) {
        for (const char *p = item; *p != 0; p++) {
            if (*p == '#') used += (size_t)snprintf(text + used, room - used, "%u", i);
            if (*p != '#') text[used++] = *p;
        }
    }
    snprintf(text + used, room - used, "%s", tail);
    return text;
}

char *
read_source_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("%s is missing: run the tests in the root of the source tree", path);
    char *text = calloc(1, FILE_BYTES_MAX);
    assert_non_null(text);
    size_t got = fread(text, 1, FILE_BYTES_MAX - 1, f);
    assert_in_range(got, 1, FILE_BYTES_MAX - 2);
    fclose(f);
    return text;
}

void
write_text_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}
