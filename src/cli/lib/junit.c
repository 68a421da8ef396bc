/* junit.c - see junit.h. Writes the same XML as promtool, in one line. */
#include "cli/lib/junit.h"

#include "base/text/time_text.h"
#include "base/text/utf8.h"

enum { JUNIT_BYTES_MAX = 512 << 20 };

void
junit_init(struct junit *j, struct budget *budget)
{
    *j = (struct junit){.tests = 0};
    buf_init(&j->cases, budget, JUNIT_BYTES_MAX);
    buf_init(&j->done, budget, JUNIT_BYTES_MAX);
}

void
junit_fini(struct junit *j)
{
    buf_fini(&j->cases);
    buf_fini(&j->done);
}

/* Puts escaped text; U+FFFD replaces control characters that XML cannot express. */
static void
junit_put_escaped(struct buf *to, struct bytes text)
{
    for (size_t i = 0, size; i < text.size; i += size) {
        uint8_t c = text.at[i];
        size = utf8_step(text.at + i, text.size - i);
        if (c == '\t' || c == '\n' || c == '\r')
            buf_printf(to, "&#x%X;", c);
        else if (c == '"' || c == '\'')
            buf_printf(to, "&#%u;", c);
        else if (c == '&')
            buf_put_text(to, "&amp;");
        else if (c == '<')
            buf_put_text(to, "&lt;");
        else if (c == '>')
            buf_put_text(to, "&gt;");
        else if (size == 0 || c < 0x20)
            buf_put_text(to, UTF8_REPLACEMENT);
        else
            buf_put(to, text.at + i, size);
        if (size == 0) size = 1;
    }
}

static void
put_element(struct buf *to, const char *name, struct bytes text)
{
    buf_printf(to, "<%s>", name);
    junit_put_escaped(to, text);
    buf_printf(to, "</%s>", name);
}

static void
end_case(struct junit *j)
{
    if (j->in_case) buf_put_text(&j->cases, "</testcase>");
    j->in_case = false;
}

void
junit_case(struct junit *j, const char *name)
{
    end_case(j);
    j->tests++;
    j->in_case = true;
    buf_put_text(&j->cases, "<testcase name=\"");
    junit_put_escaped(&j->cases, bytes_of_text(name));
    buf_put_text(&j->cases, "\">");
}

void
junit_failure(struct junit *j, struct bytes text)
{
    j->failures++;
    put_element(&j->cases, "failure", text);
}

void
junit_error(struct junit *j, struct bytes text)
{
    if (!j->in_case) junit_case(j, "unknown");
    j->errors++;
    put_element(&j->cases, "error", text);
}

void
junit_suite(struct junit *j, const char *name, int64_t at_ms)
{
    char moment[TIME_TEXT_BYTES] = "";
    end_case(j);
    if (at_ms != INT64_MIN) time_print(at_ms, moment);
    moment[strcspn(moment, ".Z")] = '\0';
    buf_put_text(&j->done, "<testsuite name=\"");
    junit_put_escaped(&j->done, bytes_of_text(name));
    buf_printf(&j->done,
               "\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"0\" timestamp=\"%s\">",
               j->tests, j->failures, j->errors, moment);
    if (buf_error(&j->cases)) j->done.failed = buf_error(&j->cases);
    buf_put_bytes(&j->done, buf_bytes(&j->cases));
    buf_put_text(&j->done, "</testsuite>");
    buf_clear(&j->cases);
    j->tests = j->failures = j->errors = 0;
}

enum err
junit_put(const struct junit *j, struct buf *to)
{
    buf_put_text(to, "<testsuites>");
    buf_put_bytes(to, buf_bytes(&j->done));
    buf_put_text(to, "</testsuites>");
    return buf_error(&j->done) ? buf_error(&j->done) : buf_error(to);
}
