/* settings.c - see settings.h. */
#include "rules/settings.h"

void
rule_settings_free(struct rule_settings *settings)
{
    if (settings == NULL) return;
    if (settings->arena != NULL) arena_fini(settings->arena);
    mem_free(NULL, settings->arena, settings->arena == NULL ? 0 : sizeof *settings->arena);
    *settings = (struct rule_settings){NULL};
}
