/* replacer.c - see replacer.h. */
#include "model/regex/replacer.h"

#include "model/regex/expansion.h"
#include "model/regex/literals.h"
#include "model/regex/regex.h"

struct replacer {
    struct budget *budget;
    struct arena arena;
    struct literals set; /* replaces the regex if it is a set of literals */
    struct regex regex;
    uint32_t groups;
    struct expansion replacement;
};

enum err
replacer_new(struct bytes regex, struct bytes replacement, struct budget *budget,
             struct replacer **ret_replacer)
{
    char sentence[REGEX_WHY_BYTES];
    struct replacer *r = mem_new(budget, sizeof *r);
    if (r == NULL) return ERR_NOMEM;
    r->budget = budget;
    arena_init(&r->arena, budget, 0, 0);
    enum err e = literals_read(&r->set, regex, &r->arena, budget);
    r->groups = r->set.groups;
    if (e == OK && r->set.count == 0) {
        e = regex_init(&r->regex, regex, RE2_CAPTURES, budget, sentence);
        if (e == OK) r->groups = re2_program_groups(r->regex.program);
    }
    struct bytes copy = arena_copy(&r->arena, replacement);
    if (e == ERR_LIMIT) e = ERR_INPUT;
    if (e == OK && copy.at == NULL && replacement.size > 0) e = ERR_NOMEM;
    if (e == OK) e = expansion_new(&r->arena, copy, r->regex.program, r->groups, &r->replacement);
    if (e) {
        replacer_free(r);
        return e;
    }
    *ret_replacer = r;
    return OK;
}

void
replacer_free(struct replacer *r)
{
    if (r == NULL) return;
    regex_fini(&r->regex);
    arena_fini(&r->arena);
    mem_free(r->budget, r, sizeof *r);
}

uint64_t
replacer_work(const struct replacer *r, size_t size_bytes)
{
    return r->set.count > 0 ? literals_work(&r->set) : regex_work(&r->regex, size_bytes);
}

bool
replacer_apply(const struct replacer *r, struct bytes text, struct buf *to)
{
    struct re2_capture captures[RE2_CAPTURES_MAX];
    bool matches = r->set.count > 0
                       ? literals_capture(&r->set, text, captures)
                       : re2_program_capture(r->regex.program, text.at, text.size, captures);
    if (!matches) return false;
    for (uint32_t i = 0; i < r->replacement.count; i++) {
        const struct expansion_piece *p = &r->replacement.pieces[i];
        if (!p->is_group)
            buf_put_bytes(to, p->text);
        else if (p->group <= r->groups && captures[p->group].size > 0)
            buf_put(to, captures[p->group].at, captures[p->group].size);
    }
    return buf_error(to) == OK;
}
