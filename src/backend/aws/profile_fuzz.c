/* profile_fuzz.c - reads any text as a shared file: values lie in it, and have no blanks
 * around them. */
#include <stdlib.h>

#include "backend/aws/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_value(struct bytes value, struct bytes text)
{
    if (value.size == 0) return;
    if (value.at < text.at || value.at + value.size > text.at + text.size) abort();
    uint8_t first = value.at[0], last = value.at[value.size - 1];
    if (first == ' ' || first == '\t' || last == ' ' || last == '\t') abort();
    if (memchr(value.at, '\n', value.size) != NULL) abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"default", "a", "\"", ""};
    struct bytes text = bytes_of(data, size);
    for (unsigned i = 0; i < 8; i++) {
        struct aws_profile profile;
        enum aws_profile_file file = i % 2 == 0 ? AWS_FILE_CONFIG : AWS_FILE_CREDENTIALS;
        if (!aws_profile_find(text, file, bytes_of_text(names[i / 2]), &profile)) continue;
        for (unsigned key = 0; key < AWS_PROFILE_KEY_COUNT; key++)
            check_value(profile.values[key], text);
    }
    return 0;
}
