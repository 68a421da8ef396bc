/* expansion.c - see expansion.h. */
#include "model/regex/expansion.h"

#include "base/text/ascii.h"

/* Returns the group of a name; a group that does not exist matches nothing. */
static uint32_t
group_of(const struct re2_program *program, uint32_t groups, struct bytes name)
{
    uint64_t number = 0;
    bool is_number = name.at[0] != '0' || name.size == 1;
    for (size_t i = 0; i < name.size && is_number; i++) {
        is_number = ascii_is_digit(name.at[i]) && number < 100000000;
        if (is_number) number = number * 10 + (uint64_t)(name.at[i] - '0');
    }
    if (is_number) return number <= groups ? (uint32_t)number : RE2_CAPTURES_MAX;
    uint32_t group = program == NULL ? 0 : re2_program_group(program, name.at, name.size);
    return group == 0 || group > groups ? RE2_CAPTURES_MAX : group;
}

/* Reads "1", "{1}", "name", "{name}" after a dollar sign; false for anything else. */
static bool
read_reference(struct bytes text, struct bytes *ret_name, size_t *ret_used)
{
    size_t begin = text.size > 0 && text.at[0] == '{', end = begin;
    while (end < text.size && ascii_is_word(text.at[end])) {
        end++;
    }
    if (end == begin) return false;
    if (begin == 1 && (end == text.size || text.at[end] != '}')) return false;
    *ret_name = bytes_of(text.at + begin, end - begin);
    *ret_used = end + begin;
    return true;
}

enum err
expansion_new(struct arena *arena, struct bytes text, const struct re2_program *program,
              uint32_t groups, struct expansion *ret)
{
    struct expansion_piece *pieces = arena_new(arena, (text.size + 1) * sizeof *pieces);
    if (pieces == NULL) return ERR_NOMEM;
    uint32_t count = 0;
    for (size_t i = 0; i < text.size;) {
        struct bytes name;
        size_t used, begin = i;
        if (text.at[i] != '$') {
            while (i < text.size && text.at[i] != '$') {
                i++;
            }
            pieces[count++].text = bytes_of(text.at + begin, i - begin);
        } else if (i + 1 < text.size && text.at[i + 1] == '$') {
            pieces[count++].text = bytes_of(text.at + i, 1);
            i += 2;
        } else if (read_reference(bytes_of(text.at + i + 1, text.size - i - 1), &name, &used)) {
            pieces[count].is_group = true;
            pieces[count++].group = group_of(program, groups, name);
            i += 1 + used;
        } else {
            pieces[count++].text = bytes_of(text.at + i++, 1);
        }
    }
    *ret = (struct expansion){pieces, count};
    return OK;
}

struct bytes
expansion_fill(const struct expansion *t, const struct re2_capture *captures,
               uint32_t capture_count, struct arena *arena, enum err *ret)
{
    size_t size = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct expansion_piece *p = &t->pieces[i];
        if (!p->is_group) size += p->text.size;
        if (p->is_group && p->group < capture_count) size += captures[p->group].size;
    }
    uint8_t *at = arena_alloc(arena, size + 1);
    if (at == NULL) {
        *ret = ERR_NOMEM;
        return bytes_of(NULL, 0);
    }
    uint8_t *end = at;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct expansion_piece *p = &t->pieces[i];
        struct bytes text = p->text;
        if (p->is_group && p->group >= capture_count) continue;
        if (p->is_group) text = bytes_of(captures[p->group].at, captures[p->group].size);
        if (text.size > 0) memcpy(end, text.at, text.size);
        end += text.size;
    }
    return bytes_of(at, size);
}
