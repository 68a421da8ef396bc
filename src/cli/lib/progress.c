/* progress.c - see progress.h. */
#include "cli/lib/progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "sys/env.h"

enum { EVERY_MS = 250 };

void
progress_begin(struct progress *p, const char *unit)
{
    *p = (struct progress){.on_terminal = isatty(STDERR_FILENO) == 1, .unit = unit};
    p->began_ns = p->last_ns = env_monotonic_ns(env_real());
    lock_init(&p->lock, LOCK_RANK_LEAF);
}

double
progress_seconds(const struct progress *p)
{
    return (double)(env_monotonic_ns(env_real()) - p->began_ns) / (double)NS_PER_S;
}

static void
show_locked(struct progress *p, int64_t now, uint64_t units, uint64_t done, uint64_t all)
{
    p->last_ns = now;
    double seconds = (double)(now - p->began_ns) / (double)NS_PER_S;
    fprintf(stderr, "\r\033[K%" PRIu64 " %s, %.0f/s", units, p->unit, (double)units / seconds);
    if (all > 0 && done <= all) {
        double part = (double)done / (double)all;
        fprintf(stderr, ", %.1f %%", part * 100);
        if (part > 0.001) {
            uint64_t left = (uint64_t)(seconds / part * (1 - part)) + 1;
            fprintf(stderr, ", %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " left", left / 3600,
                    left / 60 % 60, left % 60);
        }
    }
    fflush(stderr);
    p->shown = true;
}

void
progress_show(struct progress *p, uint64_t units, uint64_t done, uint64_t all)
{
    int64_t now = env_monotonic_ns(env_real());
    if (!p->on_terminal) return;
    lock_take(&p->lock);
    if (now - p->last_ns >= EVERY_MS * NS_PER_MS) show_locked(p, now, units, done, all);
    lock_drop(&p->lock);
}

static void
clear_locked(struct progress *p)
{
    if (p->shown) fputs("\r\033[K", stderr);
    p->shown = false;
}

void
progress_clear(struct progress *p)
{
    lock_take(&p->lock);
    clear_locked(p);
    lock_drop(&p->lock);
}

void
progress_say(struct progress *p, const char *format, ...)
{
    va_list args;
    lock_take(&p->lock);
    clear_locked(p);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    lock_drop(&p->lock);
}

static atomic_bool interrupted; /* relaxed: orders nothing */

static void
note_signal(int number)
{
    atomic_store_explicit(&interrupted, true, memory_order_relaxed);
    signal(number, SIG_DFL);
}

const atomic_bool *
interrupt_watch(void)
{
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return &interrupted;
}
