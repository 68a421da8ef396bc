/* settings.c - see settings.h. */
#include "notify/settings.h"

void
alerting_free(struct alerting *alerting)
{
    if (alerting == NULL) return;
    if (alerting->arena != NULL) arena_fini(alerting->arena);
    mem_free(NULL, alerting->arena, alerting->arena == NULL ? 0 : sizeof *alerting->arena);
    *alerting = (struct alerting){NULL};
}
