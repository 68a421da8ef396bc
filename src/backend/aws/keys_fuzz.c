/* keys_fuzz.c - reads any bytes as an answer with keys, in each form. Accepted keys are valid
 * in a request. */
#include <stdlib.h>

#include "backend/aws/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(enum err e, struct aws_keys *keys, const struct why *why)
{
    if ((e == OK) != aws_keys_given(keys)) abort();
    if (e != OK && (why->text[0] == '\0' || (e != ERR_INPUT && e != ERR_LIMIT))) abort();
    if (!aws_is_header_text(keys->views.access_key)) abort();
    if (!aws_is_header_text(keys->views.session_token)) abort();
    aws_keys_wipe(keys);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes answer = bytes_of(data, size);
    for (unsigned i = 0; i < 3; i++) {
        struct aws_keys keys = {0};
        struct why why = {""};
        enum aws_keys_form form = i == 0 ? AWS_KEYS_OF_SERVICE : AWS_KEYS_OF_PROCESS;
        enum err e = i < 2 ? aws_keys_from_json(&keys, NULL, answer, form, &why)
                           : aws_keys_from_xml(&keys, NULL, answer, &why);
        check(e, &keys, &why);
    }
    return 0;
}
