/* check_storage.c - see check_storage.h. */
#include "cli/inspect/check_storage.h"

#include "cli/lib/target/target.h"
#include "model/storage_layout.h"
#include "relay/state/directory.h"
#include "relay/state/state.h"
#include "rules/schedule/checkpoint.h"
#include "rules/stored/stored_file.h"

#define MEMORY_BYTES_MAX ((uint64_t)1 << 30) /* for the states of destinations and rules */

enum { STATE_BYTES_MAX = 64 << 20 };

struct storage_check {
    struct env *env;
    const char *dir;
    struct budget memory;
    char rules_dir[FILE_PATH_BYTES];
    struct why *why;
};

/* Returns the errors that say something about the version or the machine, and OK for those that
 * say something about one file. */
static enum err
without_damage(enum err e)
{
    return e == ERR_UNSUPPORTED || e == ERR_NOMEM ? e : OK;
}

static enum err
check_samples(struct storage_check *c)
{
    struct target_options options = {.storage = c->dir};
    struct target *target = NULL;
    enum err e = target_open(&options, &target, c->why);
    if (e == OK) target_free(target);
    if (e == ERR_AGAIN)
        return why_set(c->why, e, "a running server or command uses %s; stop it", c->dir);
    return e;
}

static enum err
check_destinations(struct storage_check *c)
{
    char relay_dir[FILE_PATH_BYTES], dir[FILE_PATH_BYTES];
    struct relay_names names = {0};
    struct relay_state state;
    struct buf file;
    enum err e = path_in(relay_dir, sizeof relay_dir, c->dir, STORAGE_RELAY, c->why);
    if (e) return e;
    e = relay_names_read(&names, c->env, relay_dir, &c->memory, c->why);
    buf_init(&file, &c->memory, STATE_BYTES_MAX);
    const struct relay_name *name;
    for (size_t i = 0; e == OK && (name = relay_name_at(&names, i)) != NULL; i++) {
        if (!name->is_dir) continue;
        e = path_in(dir, sizeof dir, relay_dir, name->text, c->why);
        if (e == OK) e = relay_state_read(c->env, dir, &file, &state, c->why);
        e = without_damage(e);
    }
    buf_fini(&file);
    buf_fini(&names.all);
    return e == ERR_MISSING ? OK : e;
}

static enum err
check_stored_rules(void *context, const char *tenant)
{
    struct storage_check *c = context;
    struct stored_texts texts;
    struct arena arena;
    struct buf file;
    arena_init(&arena, &c->memory, 0, 0);
    buf_init(&file, &c->memory, STORED_FILE_BYTES_MAX);
    enum err e = stored_read(c->env, c->rules_dir, tenant, &file, c->why);
    if (e == OK) {
        e = stored_decode(buf_bytes(&file), bytes_of_text(tenant), &arena, &texts, c->why);
        if (e) why_prefix(c->why, e, "%s/%s.groups", c->rules_dir, tenant);
    }
    buf_fini(&file);
    arena_fini(&arena);
    return without_damage(e);
}

static enum err
check_rules(struct storage_check *c)
{
    struct checkpoint_reader state;
    enum err e = checkpoint_read(c->env, c->dir, &c->memory, &state, c->why);
    if (e == OK) checkpoint_fini(&state);
    e = without_damage(e);
    if (e == OK) e = path_in(c->rules_dir, sizeof c->rules_dir, c->dir, STORAGE_RULES, c->why);
    if (e == OK) e = stored_each(c->env, c->rules_dir, check_stored_rules, c, c->why);
    return e == ERR_MISSING ? OK : e;
}

enum err
check_storage(const char *dir, struct why *why)
{
    struct storage_check c = {.env = env_real(), .dir = dir, .why = why};
    budget_init(&c.memory, "check", MEMORY_BYTES_MAX, NULL);
    enum err e = check_samples(&c);
    if (e == OK) e = check_destinations(&c);
    if (e == OK) e = check_rules(&c);
    return e;
}
