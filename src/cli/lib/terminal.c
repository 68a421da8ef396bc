/*
 * terminal.c - see terminal.h. A signal that ends or stops the process while a secret is typed must
 * not leave a terminal that shows nothing: handlers without SA_RESTART interrupt the read, the
 * terminal is restored, and then the signal is raised again for the handler that was there before.
 */
#include "cli/lib/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "sys/env.h"

/* --- a password or token ---------------------------------------------------------------------- */

static const int caught_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGALRM};
enum { CAUGHT_COUNT = sizeof caught_signals / sizeof *caught_signals };

static volatile sig_atomic_t caught; /* the last signal; 0: none came */

static void
catch_signal(int number)
{
    caught = number;
}

static void
catch_signals(struct sigaction old[CAUGHT_COUNT])
{
    struct sigaction action = {.sa_handler = catch_signal};
    sigemptyset(&action.sa_mask);
    caught = 0;
    for (int i = 0; i < CAUGHT_COUNT; i++)
        sigaction(caught_signals[i], &action, &old[i]);
}

static void
restore_signals(const struct sigaction old[CAUGHT_COUNT])
{
    for (int i = 0; i < CAUGHT_COUNT; i++)
        sigaction(caught_signals[i], &old[i], NULL);
    if (caught != 0) raise(caught);
}

/* Appends the rest of a line, without its end, read byte by byte: what follows is not taken. */
static enum err
read_line(int fd, struct buf *to, struct why *why)
{
    char c = '\0';
    ssize_t got = 1;
    size_t before = to->size;
    while (caught == 0 && c != '\n' && to->size - before <= SECRET_LINE_BYTES_MAX) {
        got = read(fd, &c, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        if (c != '\n') buf_put_u8(to, (uint8_t)c);
    }
    if (caught != 0) return why_set(why, ERR_CANCELED, "stopped");
    if (got < 0) return why_set(why, ERR_IO, "cannot read from the terminal: %s", strerror(errno));
    if (got == 0) return why_set(why, ERR_CANCELED, "nothing was entered");
    if (buf_error(to)) return why_set(why, buf_error(to), "not enough memory for a password");
    if (c == '\n') return OK;
    return why_set(why, ERR_LIMIT, "the line is longer than %d bytes", SECRET_LINE_BYTES_MAX);
}

enum err
ask_secret(const char *prompt, struct buf *to, struct why *why)
{
    struct sigaction old[CAUGHT_COUNT];
    struct termios shown, hidden;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || tcgetattr(fd, &shown) != 0) {
        if (fd >= 0) close(fd);
        return why_set(why, ERR_UNSUPPORTED, "there is no terminal to ask for it");
    }
    hidden = shown;
    hidden.c_lflag = (hidden.c_lflag & ~(tcflag_t)(ECHO | ECHOE | ECHOK)) | ECHONL | ICANON | ISIG;
    catch_signals(old);
    enum err e = OK;
    if (tcsetattr(fd, TCSAFLUSH, &hidden) != 0 || dprintf(fd, "%s", prompt) < 0)
        e = why_set(why, ERR_IO, "cannot prepare the terminal: %s", strerror(errno));
    if (e == OK) e = read_line(fd, to, why);
    /* Again after a signal: a terminal that shows nothing is worse than a wait. */
    while (tcsetattr(fd, TCSAFLUSH, &shown) != 0 && errno == EINTR) {
    }
    if (e == ERR_CANCELED) dprintf(fd, "\n");
    close(fd);
    restore_signals(old);
    return e;
}

enum err
secret_from_stdin(struct buf *to, struct why *why)
{
    uint8_t piece[256];
    size_t begin = to->size;
    ssize_t got = 1;
    while (got != 0 && to->size - begin <= SECRET_LINE_BYTES_MAX + 1) {
        got = read(STDIN_FILENO, piece, sizeof piece);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) break;
        buf_put(to, piece, (size_t)got);
    }
    explicit_bzero(piece, sizeof piece);
    if (got < 0) return why_set(why, ERR_IO, "cannot read standard input: %s", strerror(errno));
    if (buf_error(to)) return why_set(why, buf_error(to), "not enough memory for standard input");
    if (to->size > begin && to->at[to->size - 1] == '\n') to->size--;
    if (to->size > begin && to->at[to->size - 1] == '\r') to->size--;
    if (to->size - begin > SECRET_LINE_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "the line is longer than %d bytes", SECRET_LINE_BYTES_MAX);
    bool one = to->size == begin || memchr(to->at + begin, '\n', to->size - begin) == NULL;
    return one ? OK : why_set(why, ERR_INPUT, "standard input has more than one line");
}

/* --- progress --------------------------------------------------------------------------------- */

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
