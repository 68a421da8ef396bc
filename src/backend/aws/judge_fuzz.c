/* judge_fuzz.c - judges any bytes as the body of an answer: there is a verdict, and
 * printable texts. */
#include <stdlib.h>

#include "backend/aws/aws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text > '~') abort();
}

static void
check(const struct writer_step *step)
{
    if (step->next != WRITER_DONE || step->verdict > VERDICT_BLOCKED) abort();
    check_text(step->reason);
    check_text(step->answer);
    if (step->verdict != VERDICT_DELIVERED && step->answer[0] == '\0') abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned statuses[] = {200, 301, 400, 403, 503};
    struct http_call_answer answer = {.body = bytes_of(data, size), .date_s = 1767225600};
    for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct aws_clock clock;
        struct writer_step step;
        aws_clock_init(&clock, env_real());
        answer.status = statuses[i];
        aws_json_judge(&clock, &answer, &step);
        check(&step);
        aws_xml_judge(&clock, &answer, &step);
        check(&step);
    }
    return 0;
}
