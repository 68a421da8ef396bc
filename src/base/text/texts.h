/* texts.h - lists of texts, as settings have them, and of warnings. Texts are NUL-terminated; their
 * owner says how long they live. */
#ifndef BASE_TEXT_TEXTS_H
#define BASE_TEXT_TEXTS_H

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct text_list {
    const char **items;
    uint32_t count;
};

struct named_text {
    const char *name;
    const char *value;
};
struct named_texts {
    struct named_text *items;
    uint32_t count;
};

/* Copy a text or a list, which live as long as the arena then; NULL is copied as NULL. False: the
 * arena is full. */
bool text_copy(struct arena *arena, const char *from, const char **ret);
bool text_list_copy(struct arena *arena, const struct text_list *from, struct text_list *ret);
bool named_texts_copy(struct arena *arena, const struct named_texts *from, struct named_texts *ret);
void named_texts_sort(struct named_texts *texts); /* by name */

/* Cuts *from after the first `mark`, and returns what is before it. Without a mark that is all, and
 * *from is empty, with `at` NULL. */
struct bytes text_cut(struct bytes *from, char mark);
/* Returns the text without blanks and tabs at its ends. */
struct bytes text_trim(struct bytes text);

/* True if a text ends so, such as the name of a file in its suffix. */
static inline bool
text_ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* --- warnings --------------------------------------------------------------------------------- */

/* Sentences about data that an answer lacks because it is damaged, each once. */
enum { WARNINGS_MAX = 16 }; /* kept; a last sentence says that there are more */

struct warnings {
    struct budget *budget;
    struct why *items; /* WARNINGS_MAX, allocated for the first one */
    uint32_t count;
    bool more;
};

static inline void
warnings_init(struct warnings *warnings, struct budget *budget)
{
    *warnings = (struct warnings){.budget = budget};
}
void warnings_fini(struct warnings *warnings);
/* ERR_NOMEM: the warning is lost, so the answer must fail. */
MUST_CHECK enum err warnings_add(struct warnings *warnings, const struct why *why);
/* Returns a warning, valid until warnings_fini(); NULL after the last one. */
const char *warnings_at(const struct warnings *warnings, uint32_t index);

#endif
