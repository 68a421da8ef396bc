/* step.c - how a writer says what a step came to. */
#include <stdio.h>

#include "backend/writer.h"
#include "base/utf8.h"

enum writer_add
writer_unfit(struct why *why, const char *format, ...)
{
    char text[sizeof why->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    why_set(why, ERR_INPUT, "%s", text);
    return WRITER_UNFIT;
}

void
step_done(struct writer_step *step, enum writer_verdict verdict, const char *reason,
          const char *answer)
{
    step->next = WRITER_DONE;
    step->verdict = verdict;
    snprintf(step->reason, sizeof step->reason, "%s", reason);
    snprintf(step->answer, sizeof step->answer, "%s", answer);
}

void
step_answer(struct writer_step *step, struct bytes text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.size && n < sizeof step->answer - 1; i++) {
        bool blank = text.at[i] <= 0x20 || text.at[i] == 0x7f;
        if (blank && (n == 0 || step->answer[n - 1] == ' ')) continue;
        step->answer[n++] = blank ? ' ' : (char)text.at[i];
    }
    size_t whole = n;
    while (whole + 4 > n && whole > 0 && !utf8_valid(bytes_of(step->answer, whole))) {
        whole--; /* half a character at the end */
    }
    bool valid = utf8_valid(bytes_of(step->answer, whole));
    for (size_t i = 0; i < n && !valid; i++) {
        if ((uint8_t)step->answer[i] >= 0x80) step->answer[i] = '?';
    }
    step->answer[valid ? whole : n] = 0;
}
