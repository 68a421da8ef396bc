/* stored_file_fuzz.c - reads any bytes as the file of stored groups of a tenant, with the right
 * header and unchanged: they are refused, or give groups that are in order, lie in the file, and
 * make the same file again. */
#include <assert.h>

#include "base/fields.h"
#include "rules/stored/stored_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_groups(const struct stored_texts *groups, struct bytes file)
{
    for (uint32_t i = 0; i < groups->count; i++) {
        const struct stored_text *g = &groups->items[i];
        assert(stored_name_check(g->namespace, "namespace", NULL) == OK);
        assert(stored_name_check(g->name, "name", NULL) == OK);
        assert(g->namespace.at > file.at);
        assert(g->text.at + g->text.size <= file.at + file.size);
        if (i == 0) continue;
        assert(stored_compare(g[-1].namespace, g[-1].name, g->namespace, g->name) < 0);
    }
}

/* Checks that the groups make the same file, except varints that were longer than needed. */
static void
check_again(const struct stored_texts *groups)
{
    struct stored_texts again = {NULL};
    struct arena arena;
    struct buf file;
    buf_init(&file, NULL, STORED_FILE_BYTES_MAX);
    arena_init(&arena, NULL, 0, 0);
    stored_begin(bytes_of_text("t"), groups->count, &file);
    for (uint32_t i = 0; i < groups->count; i++)
        stored_add(&groups->items[i], &file);
    stored_end(&file);
    assert(buf_error(&file) == OK);
    assert(stored_decode(buf_bytes(&file), bytes_of_text("t"), &arena, &again, NULL) == OK);
    assert(again.count == groups->count);
    for (uint32_t i = 0; i < again.count; i++) {
        assert(bytes_equal(again.items[i].namespace, groups->items[i].namespace));
        assert(bytes_equal(again.items[i].name, groups->items[i].name));
        assert(bytes_equal(again.items[i].text, groups->items[i].text));
    }
    arena_fini(&arena);
    buf_fini(&file);
}

static void
decode(struct bytes file)
{
    struct stored_texts groups = {NULL};
    struct arena arena;
    struct why why = {""};
    arena_init(&arena, NULL, 64 << 20, 0);
    enum err e = stored_decode(file, bytes_of_text("t"), &arena, &groups, &why);
    assert(e == OK || e == ERR_CORRUPT || e == ERR_UNSUPPORTED || e == ERR_NOMEM);
    assert((e == OK) == (why.text[0] == '\0'));
    if (e == OK) {
        check_groups(&groups, file);
        check_again(&groups);
    }
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t magic[8] = {'F', 'K', 'R', 'U', 'L', 'E', 'S', 0};
    struct buf framed;
    decode(bytes_of(data, size));
    buf_init(&framed, NULL, size + FRAMED_HEADER_BYTES + 64);
    framed_begin(&framed);
    buf_put(&framed, data, size);
    framed_end(&framed, magic, 1);
    decode(buf_bytes(&framed));
    buf_fini(&framed);
    return 0;
}
