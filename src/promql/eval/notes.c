/* notes.c - see notes.h. There are few: each new one is compared with all. */
#include "promql/eval/notes.h"

#include <stdio.h>

#include "base/array.h"
#include "base/quote.h"

enum { NOTE_BYTES_MAX = 64 * 1024 };

void
notes_init(struct notes *notes, struct budget *budget, struct bytes query)
{
    *notes = (struct notes){.budget = budget, .query = query};
    arena_init(&notes->arena, budget, 0, 0);
}

void
notes_fini(struct notes *notes)
{
    array_free(notes->budget, notes->items, notes->capacity);
    arena_fini(&notes->arena);
}

static void
add(struct notes *notes, enum note_kind kind, struct span at, struct buf *text)
{
    buf_put_text(text, " (");
    tree_put_position(notes->query, at.begin, text);
    buf_put_u8(text, ')');
    if (buf_error(text)) {
        notes->failed = buf_error(text);
        return;
    }
    for (uint32_t i = 0; i < notes->count; i++) {
        if (bytes_equal(notes->items[i].text, buf_bytes(text))) return;
    }
    struct bytes copy = arena_copy(&notes->arena, buf_bytes(text));
    if (copy.at == NULL ||
        !array_reserve(notes->budget, &notes->items, &notes->capacity, notes->count + 1)) {
        notes->failed = ERR_NOMEM;
        return;
    }
    notes->items[notes->count++] = (struct note){kind, copy};
}

static void
begin(struct notes *notes, enum note_kind kind, struct buf *text)
{
    buf_init(text, notes->budget, NOTE_BYTES_MAX);
    buf_put_text(text, kind == NOTE_WARNING ? "PromQL warning: " : "PromQL info: ");
}

void
notes_add(struct notes *notes, enum note_kind kind, struct span at, const char *format, ...)
{
    struct buf text;
    char words[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    begin(notes, kind, &text);
    buf_put_text(&text, words);
    add(notes, kind, at, &text);
    buf_fini(&text);
}

void
notes_add_quoted(struct notes *notes, enum note_kind kind, struct span at, const char *words,
                 struct bytes quoted)
{
    struct buf text;
    begin(notes, kind, &text);
    buf_put_text(&text, words);
    quote_text(&text, quoted);
    add(notes, kind, at, &text);
    buf_fini(&text);
}
