/* closed_destinations.c - see closed_destinations.h. */
#include "app/destinations/closed_destinations.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/storage_layout.h"

enum { PATH_BYTES = 256 };
#define LETTER_BYTES_MAX ((uint64_t)256 << 20)

struct configured {
    char name[DESTINATION_NAME_BYTES_MAX + 1];
    bool open;
};

struct closed_destinations_printing {
    struct backlog_options options;
    struct configured configured[DESTINATIONS_MAX];
    uint32_t count;
    uint64_t letter_bytes_left;
    struct json *to;
};

static void
note_configured(void *context, const struct relays_view *view)
{
    struct closed_destinations_printing *x = context;
    assert(x->count < DESTINATIONS_MAX); /* the configuration has at most so many */
    struct configured *c = &x->configured[x->count++];
    snprintf(c->name, sizeof c->name, "%s", view->settings->name);
    c->open = view->opened;
}

static const struct configured *
find_configured(const struct closed_destinations_printing *x, const char *name)
{
    for (uint32_t i = 0; i < x->count; i++) {
        if (strcmp(x->configured[i].name, name) == 0) return &x->configured[i];
    }
    return NULL;
}

static bool
is_not_open(void *context, const char *name)
{
    const struct configured *c = find_configured(context, name);
    return c == NULL || !c->open;
}

static enum err
print_one(void *context, const char *name, const struct relay_backlog *found)
{
    struct closed_destinations_printing *x = context;
    struct relay_backlog b = *found;
    if (!relay_backlog_is_blocked(&b)) {
        relay_backlog_count_letters(&x->options, name, &x->letter_bytes_left, &b);
    }
    json_object_open(x->to);
    json_member_text(x->to, "name", name);
    json_member_bool(x->to, "configured", find_configured(x, name) != NULL);
    relay_backlog_print(&b, x->to);
    json_object_close(x->to);
    return buf_error(x->to->to);
}

enum err
closed_destinations_print(const struct closed_destinations_options *options, struct json *to,
                          struct why *why)
{
    char dir[PATH_BYTES], log_dir[PATH_BYTES];
    struct closed_destinations_printing x = {.letter_bytes_left = LETTER_BYTES_MAX, .to = to};
    x.options = (struct backlog_options){
        .env = options->env,
        .dir = dir,
        .log_dir = log_dir,
        .memory = options->memory,
        .wanted = is_not_open,
        .files = true,
        .each = print_one,
        .context = &x,
    };
    enum err e = path_in(dir, sizeof dir, options->storage_path, STORAGE_RELAY, why);
    if (e == OK) e = path_in(log_dir, sizeof log_dir, options->storage_path, STORAGE_LOG, why);
    if (e) return e;
    relays_each(options->relays, note_configured, &x);
    json_array_open(to);
    e = relay_backlogs(&x.options, why);
    json_array_close(to);
    return e == ERR_INPUT ? ERR_IO : e; /* the request is valid */
}
