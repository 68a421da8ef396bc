/* discovery_static.c - members that the configuration names. */
#include "notify/discovery/discovery.h"

struct static_discovery {
    struct discovery base;
    struct targets targets;
};

static void
static_free(struct discovery *discovery)
{
    struct static_discovery *s = (struct static_discovery *)discovery;
    targets_fini(&s->targets);
    mem_free(s->base.options.memory, s, sizeof *s);
}

static void
static_each(const struct discovery *discovery,
            void (*take)(void *context, const struct targets *targets), void *context)
{
    take(context, &((const struct static_discovery *)discovery)->targets);
}

static enum err
add_target(struct targets *to, const char *address, const struct named_texts *own, struct why *why)
{
    struct label labels[TARGETS_LABELS_MAX + 1];
    uint32_t count = 0;
    labels[count++] = (struct label){bytes_of_text("__address__"), bytes_of_text(address)};
    for (uint32_t i = 0; i < own->count && count <= TARGETS_LABELS_MAX; i++) {
        if (strcmp(own->items[i].name, "__address__") == 0) continue; /* the target's wins */
        labels[count++] =
            (struct label){bytes_of_text(own->items[i].name), bytes_of_text(own->items[i].value)};
    }
    return targets_add(to, labels, count, why);
}

enum err
discovery_static_new(const struct outside_context *options, const struct static_members *settings,
                     struct discovery **ret_discovery, struct why *why)
{
    static const struct discovery_class class = {.free = static_free, .each = static_each};
    struct static_discovery *s = mem_new(options->memory, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory for the targets");
    s->base = (struct discovery){
        .class = &class, .options = *options, .has_changed = true, .due_ns = INT64_MAX};
    targets_init(&s->targets, options->memory);
    enum err e = OK;
    for (uint32_t i = 0; i < settings->targets.count && e == OK; i++) {
        e = add_target(&s->targets, settings->targets.items[i], &settings->labels, why);
    }
    if (e)
        static_free(&s->base);
    else
        *ret_discovery = &s->base;
    return e;
}
