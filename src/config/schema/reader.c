/* reader.c - see reader.h. */
#include "config/schema/reader.h"

#include "sys/paths.h"

static enum err
expect_value(struct config_reader *r, const struct setting *shape, const char *name)
{
    char expected[200];
    if (r->event.type == YAML_SCALAR_EVENT && !reader_is_null(r)) return OK;
    setting_expected(shape, expected, sizeof expected);
    return reader_expected(r, name, expected);
}

enum err
reader_number(struct config_reader *r, const struct setting *shape, const char *name,
              uint64_t *ret_number)
{
    enum err e = expect_value(r, shape, name);
    return e ? e
             : reader_wrong(r, name,
                            setting_parse_number(shape, reader_scalar(r), ret_number, r->why));
}

enum err
reader_set(struct config_reader *r, const struct setting *shape, const char *name,
           uint64_t *ret_bits)
{
    uint64_t all = 0, one;
    for (;;) {
        enum err e = reader_next(r);
        if (e) return e;
        if (r->event.type == YAML_SEQUENCE_END_EVENT) break;
        e = reader_number(r, shape, name, &one);
        if (e) return e;
        if ((all & one) != 0) {
            return reader_complain(r, "%s: %s is there twice", name,
                                   shown_of(reader_scalar(r)).text);
        }
        all |= one;
    }
    *ret_bits = all;
    return OK;
}

/* Reads a list of texts as one text, which must not contain commas. */
static enum err
reader_list(struct config_reader *r, const struct setting *setting, const char *name,
            struct settings *to)
{
    struct buf all;
    enum err e;
    buf_init(&all, NULL, CONFIG_BYTES_MAX);
    for (;;) {
        e = reader_next(r);
        if (e || r->event.type == YAML_SEQUENCE_END_EVENT) break;
        e = expect_value(r, setting, name);
        if (e) break;
        struct bytes text = reader_scalar(r);
        if (text.size == 0 || memchr(text.at, ',', text.size) != NULL) {
            e = reader_complain(r,
                                "%s: expected a list without empty texts and without commas in "
                                "them, got %s",
                                name, shown_of(text).text);
            break;
        }
        if (all.size > 0) buf_put_u8(&all, ',');
        buf_put_bytes(&all, text);
    }
    if (e == OK && buf_error(&all)) e = why_set(r->why, buf_error(&all), "not enough memory");
    if (e == OK) e = reader_wrong(r, name, setting_parse(setting, buf_bytes(&all), to, r->why));
    buf_fini(&all);
    return e;
}

/* Makes the path that a setting has one from the directory of the file, as Prometheus does. */
static enum err
resolve_path(struct config_reader *r, const struct setting *setting, struct settings *to)
{
    struct arena arena;
    enum err e = OK;
    if (setting_text(setting, to)[0] == '\0') return OK;
    arena_init(&arena, NULL, 0, 0);
    const char *path = path_from(&arena, r->file_name, setting_text(setting, to));
    if (path == NULL)
        e = why_set(r->why, ERR_NOMEM, "not enough memory");
    else
        e = setting_parse(setting, bytes_of_text(path), to, r->why);
    arena_fini(&arena);
    return e;
}

enum err
reader_setting(struct config_reader *r, const struct setting *setting, const char *name,
               struct settings *to)
{
    if (setting->type == SETTING_SET && r->event.type == YAML_SEQUENCE_START_EVENT) {
        uint64_t bits;
        enum err e = reader_set(r, setting, name, &bits);
        if (e == OK) memcpy((uint8_t *)to + setting->offset, &bits, setting->size);
        return e;
    }
    if (setting->is_list && r->event.type == YAML_SEQUENCE_START_EVENT) {
        return reader_list(r, setting, name, to);
    }
    enum err e = expect_value(r, setting, name);
    if (e) return e;
    e = setting_parse(setting, reader_scalar(r), to, r->why);
    if (e == OK && setting->is_path) e = resolve_path(r, setting, to);
    return reader_wrong(r, name, e);
}
