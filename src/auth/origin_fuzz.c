/*
 * origin_fuzz.c - reads any texts as Origin and Host: a page at the host that a request names is
 * not foreign, and one with another name is.
 */
#include "auth/origin.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *origin = malloc(size + 16), *other = malloc(size + 16);
    assert(text != NULL && origin != NULL && other != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    snprintf(origin, size + 16, "https://%s", text);
    snprintf(other, size + 16, "x%s", text);
    bool is_place = strchr(text, '/') == NULL && !origin_is_foreign(origin, text, "");
    bool is_known = origin_host_is_own(text, text, "");
    assert(!is_place || origin_is_foreign(origin, other, ""));
    assert(!is_place || !origin_is_foreign(origin, "", origin));
    assert(!is_place || origin_host_is_own(text, "", origin));
    assert(is_known || strpbrk(text, ":,[].") != NULL || text[0] == '\0');
    (void)origin_is_foreign(text, "localhost", text);
    (void)origin_type_is_form(text);
    free(text);
    free(origin);
    free(other);
    return 0;
}
