/* process_metrics.c - reads /proc/self at each scrape, directly: these files are not storage. A
 * metric that cannot be read is left out, not shown as zero. */
#include "app/process_metrics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PROC_FILE_BYTES = 8192, SPARE_FILES = 64 };

/* Written by process_metrics_register() before the collector is known; NAN: not known. */
static double started_at_s = NAN;

/* The words of a line, by turns. */
static struct bytes
take_word(struct bytes *text)
{
    size_t from = 0;
    while (from < text->size && (text->at[from] == ' ' || text->at[from] == '\t')) {
        from++;
    }
    size_t to = from;
    while (to < text->size && text->at[to] != ' ' && text->at[to] != '\t' && text->at[to] != '\n') {
        to++;
    }
    struct bytes word = bytes_of(text->at + from, to - from);
    *text = bytes_of(text->at + to, text->size - to);
    return word;
}

static bool
parse_u64(struct bytes word, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < word.size; i++) {
        if (word.at[i] < '0' || word.at[i] > '9') return false;
        if (__builtin_mul_overflow(number, 10, &number)) return false;
        if (__builtin_add_overflow(number, (uint64_t)(word.at[i] - '0'), &number)) return false;
    }
    if (word.size == 0) return false;
    *ret_number = number;
    return true;
}

bool
process_stat_parse(struct bytes text, struct process_stat *ret_stat)
{
    /* The second field is the program's name in parentheses, and may itself hold any of them. */
    const uint8_t *name_end = text.size == 0 ? NULL : memrchr(text.at, ')', text.size);
    if (name_end == NULL) return false;
    struct process_stat stat = {0};
    const struct {
        int field; /* as proc(5) counts */
        uint64_t *to;
    } wanted[] = {{14, &stat.user_ticks},
                  {15, &stat.system_ticks},
                  {22, &stat.start_ticks},
                  {23, &stat.virtual_bytes},
                  {24, &stat.resident_pages}};
    struct bytes left = bytes_of(name_end + 1, text.size - (size_t)(name_end + 1 - text.at));
    int field = 2;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct bytes word = {0};
        for (; field < wanted[i].field; field++) {
            word = take_word(&left);
        }
        if (!parse_u64(word, wanted[i].to)) return false;
    }
    *ret_stat = stat;
    return true;
}

bool
process_status_bytes(struct bytes text, const char *name, uint64_t *ret_bytes)
{
    size_t size = strlen(name);
    while (text.size > 0) {
        const uint8_t *end = memchr(text.at, '\n', text.size);
        size_t line_size = end == NULL ? text.size : (size_t)(end - text.at);
        if (line_size > size && memcmp(text.at, name, size) == 0 && text.at[size] == ':') {
            struct bytes left = bytes_of(text.at + size + 1, line_size - size - 1);
            uint64_t kib;
            if (!parse_u64(take_word(&left), &kib)) return false;
            return bytes_equal_text(take_word(&left), "kB") &&
                   !__builtin_mul_overflow(kib, (uint64_t)1024, ret_bytes);
        }
        size_t step = end == NULL ? line_size : line_size + 1;
        text = bytes_of(text.at + step, text.size - step);
    }
    return false;
}

/* `dir`/`name` into `to`; empty if it cannot be read. */
static struct bytes
read_proc(const char *dir, const char *name, uint8_t to[PROC_FILE_BYTES])
{
    char path[256];
    int length = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (length < 0 || (size_t)length >= sizeof path) return bytes_of(NULL, 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return bytes_of(NULL, 0);
    size_t size = 0;
    while (size < PROC_FILE_BYTES) {
        ssize_t got = read(fd, to + size, PROC_FILE_BYTES - size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        size += (size_t)got;
    }
    close(fd);
    return bytes_of(to, size);
}

/* Names in `dir`/fd, less the one we open to look. */
static bool
count_fds(const char *dir, uint64_t *ret_count)
{
    char path[256];
    int length = snprintf(path, sizeof path, "%s/fd", dir);
    if (length < 0 || (size_t)length >= sizeof path) return false;
    DIR *d = opendir(path);
    if (d == NULL) return false;
    uint64_t count = 0;
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;) {
        if (entry->d_name[0] != '.') count++;
    }
    closedir(d);
    if (count > 0) count--;
    *ret_count = count;
    return true;
}

enum err
process_check_files(uint32_t more, struct why *why)
{
    struct rlimit limit;
    uint64_t open;
    bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && count_fds("/proc/self", &open);
    if (!known || limit.rlim_cur >= open + more + SPARE_FILES) return OK;
    return why_set(why, ERR_LIMIT,
                   "the limit of open files is %" PRIu64 ", and at least %" PRIu64
                   " are needed: raise it (ulimit -Hn, LimitNOFILE= of systemd)",
                   (uint64_t)limit.rlim_cur, open + more + SPARE_FILES);
}

static void
put(struct metric_sink *sink, const char *name, enum metric_kind kind, const char *help,
    double value)
{
    struct metric_family family = {name, help, kind};
    metric_put_double(sink, &family, NULL, 0, value);
}

void
process_metrics_collect(struct metric_sink *sink, void *dir)
{
    uint8_t text[PROC_FILE_BYTES];
    struct process_stat stat;
    if (process_stat_parse(read_proc(dir, "stat", text), &stat)) {
        double ticks = (double)(stat.user_ticks + stat.system_ticks);
        put(sink, "process_cpu_seconds_total", METRIC_KIND_COUNTER,
            "Total user and system CPU time spent, in seconds.",
            ticks / (double)sysconf(_SC_CLK_TCK));
        put(sink, "process_virtual_memory_bytes", METRIC_KIND_GAUGE,
            "Virtual memory size, in bytes.", (double)stat.virtual_bytes);
        put(sink, "process_resident_memory_bytes", METRIC_KIND_GAUGE,
            "Resident memory size, in bytes.",
            (double)(stat.resident_pages * (uint64_t)sysconf(_SC_PAGESIZE)));
    }
    uint64_t value;
    if (process_status_bytes(read_proc(dir, "status", text), "VmHWM", &value)) {
        put(sink, "process_resident_memory_max_bytes", METRIC_KIND_GAUGE,
            "Maximum resident memory size since startup, in bytes.", (double)value);
    }
    if (count_fds(dir, &value)) {
        put(sink, "process_open_fds", METRIC_KIND_GAUGE, "Number of open file descriptors.",
            (double)value);
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        bool endless = limit.rlim_cur == RLIM_INFINITY;
        put(sink, "process_max_fds", METRIC_KIND_GAUGE, "Maximum number of open file descriptors.",
            endless ? INFINITY : (double)limit.rlim_cur);
    }
    if (!isnan(started_at_s)) {
        put(sink, "process_start_time_seconds", METRIC_KIND_GAUGE,
            "Start time of the process, in seconds since the Unix epoch.", started_at_s);
    }
}

static double
seconds_of(struct timespec t)
{
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Returns the Unix time at which the process started, in seconds; NAN if it is unknown. The kernel
 * reports the start in ticks since boot. The time of the boot, which is the Unix time less the time
 * since boot, moves when the clock is slewed: computed at each scrape, it would make
 * changes(process_start_time_seconds) count restarts that did not happen. */
static double
find_start(const char *dir)
{
    uint8_t text[PROC_FILE_BYTES];
    struct process_stat stat;
    struct timespec now, since_boot;
    if (!process_stat_parse(read_proc(dir, "stat", text), &stat)) return NAN;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return NAN;
    if (clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0) return NAN;
    double start = seconds_of(now) - seconds_of(since_boot) +
                   (double)stat.start_ticks / (double)sysconf(_SC_CLK_TCK);
    return round(start * 100) / 100; /* the kernel's ticks are no finer */
}

void
process_metrics_register(void)
{
    static char dir[] = "/proc/self";
    static struct metric_collector collector = {.collect = process_metrics_collect, .context = dir};
    if (isnan(started_at_s)) started_at_s = find_start(dir);
    metric_register_collector(&collector);
}
