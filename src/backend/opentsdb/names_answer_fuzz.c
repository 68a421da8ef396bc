/* names_answer_fuzz.c - reads any bytes as an answer with names, and as a refusal; both are read or
 * refused, and names can be looked up. */
#include <stdlib.h>

#include "backend/opentsdb/opentsdb_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
take_name(void *context, struct bytes name, struct why *why)
{
    struct bytes forms[STORED_FORMS_MAX];
    struct buf text, room;
    unsigned count;
    bool is_there = false;
    (void)context, (void)why;
    buf_init(&text, NULL, 1 << 22);
    buf_init(&room, NULL, 1 << 22);
    if (stored_tag_get(&text, name) != OK) abort();
    buf_clear(&text);
    if (stored_value_get(&text, name) != OK) abort();
    if (text.size > name.size) abort();
    if (stored_value_forms(buf_bytes(&text), &room, forms, &count) != OK) abort();
    for (unsigned i = 0; i < count; i++)
        is_there |= bytes_equal(forms[i], name);
    if (!is_there) abort();
    buf_fini(&text);
    buf_fini(&room);
    return OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of(data, size), name;
    struct arena scratch;
    struct why why = {""};
    arena_init(&scratch, NULL, 1 << 24, 0);
    enum err e = opentsdb_read_names(text, &scratch, take_name, NULL, &why);
    if (e && why.text[0] == '\0') abort();
    arena_reset(&scratch);
    enum opentsdb_refusal refusal = opentsdb_refusal_of(400, text, &scratch, &name);
    if (refusal == REFUSED_OTHERWISE && name.size > 0) abort();
    if (refusal == REFUSED_TOO_MUCH && name.size > 0) abort();
    arena_fini(&scratch);
    return 0;
}
