/* api_list_fuzz.c - reads any bytes as an answer to look-ups: the result is well-formed, or the
 * answer is refused. */
#include <stdlib.h>

#include "backend/remote/remote_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
each_text(void *context, struct bytes text)
{
    (void)context;
    if (text.size == 0) abort();
    return OK;
}

static enum err
each_series(void *context, struct bytes labels)
{
    (void)context;
    if (labels.at == NULL || !labels_valid(labels)) abort();
    if (!bytes_equal_text(labels_get(labels, bytes_of_text("dc")), "one")) abort();
    return OK;
}

static enum err
each_warning(void *context, const char *sentence)
{
    (void)context;
    for (; *sentence != '\0'; sentence++)
        if ((unsigned char)*sentence < ' ') abort();
    return OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct named_text added[] = {{"dc", "one"}};
    static const struct named_texts texts = {added, 1};
    static const struct external_labels external = {&texts};
    const struct text_sink sinks[] = {{each_text, NULL, each_warning},
                                      {each_series, NULL, each_warning}};
    for (int list = API_TEXTS; list <= API_SERIES; list++) {
        struct why why = {""};
        enum err e = api_list_read(bytes_of(data, size), (enum api_list)list, &external, NULL,
                                   &sinks[list], &why);
        if (e != OK && e != ERR_CORRUPT && e != ERR_LIMIT) abort();
        if (e != OK && why.text[0] == '\0') abort();
    }
    return 0;
}
