/*
 * notifyrun.c - a notifier by itself, for tests that send alerts to real Alertmanagers.
 *
 *     notifyrun [OPTION...] < COMMANDS
 *
 * Options of an Alertmanager are those of the last --alertmanager; there is one from the beginning.
 * Values of secrets may have ${NAME}; times are milliseconds.
 *
 *     --alertmanager               options that follow are another one's
 *     --target=HOST:PORT           of static_configs
 *     --target-label=NAME=VALUE    of all of those
 *     --file=PATTERN --list=URL    of file_sd_configs, http_sd_configs
 *     --dns=TYPE:NAME:PORT         of dns_sd_configs; TYPE: SRV, A, AAAA
 *     --refresh=MS                 of all of these
 *     --prefix=PATH --scheme=WORD --timeout=MS
 *     --username=NAME --password=SECRET --bearer=SECRET --header=NAME=SECRET --ca-file=PATH
 *     --relabel=SPEC               of targets; SPEC: ACTION;SOURCE,...;REGEX;TARGET;REPLACEMENT
 *     --alert-relabel=SPEC
 *
 *     --relabel-all=SPEC           of alerts to any Alertmanager
 *     --external=NAME=VALUE --external-url=URL --queue=N --batch=N
 *
 * Each command is a line; the answer is lines, the last of which is a dot:
 *
 *     alert NAME=VALUE,... STARTS_MS ENDS_MS [EXPRESSION]   sends an alert; times from now on
 *     many COUNT ENDS_MS NAME=VALUE,...   sends COUNT alerts that began a minute ago, labelled n
 *     idle SECONDS                        waits until nothing is queued: "yes" or "no"
 *     members                             prints JSON, as the API does
 *     metrics                             prints them as /metrics does
 *     end                                 ends it, as does the end of the input
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/metric.h"
#include "notify/notify.h"

enum { LIST_MAX = 16, LABELS_MAX = 32, LINE_BYTES_MAX = 1 << 16, MEMBERS_MAX = 4 };
enum { STEP_MS = 500 };

/* Lists that settings point to. */
struct lists {
    const char *targets[LIST_MAX];
    struct named_text target_labels[LIST_MAX];
    struct static_members static_members;
    const char *patterns[LIST_MAX];
    struct file_members file_members;
    const char *names[LIST_MAX];
    struct dns_members dns_members;
    struct http_members http_members;
    struct named_secret headers[LIST_MAX];
    struct relabel_spec relabel[LIST_MAX];
    struct relabel_spec alert_relabel[LIST_MAX];
};

struct run {
    struct alertmanager_settings items[MEMBERS_MAX];
    struct lists lists[MEMBERS_MAX];
    struct alerting alerting;
    struct relabel_spec relabel_all[LIST_MAX];
    struct named_text external[LIST_MAX];
    struct named_texts external_labels;
    struct notifier_options options;
    struct notifier_limits limits;
    struct budget memory;
    struct notifier *notifier;
    atomic_bool is_over;
};

static _Noreturn void
give_up(const char *what)
{
    (void)fprintf(stderr, "notifyrun: %s\n", what);
    exit(2);
}

/* --- options ---------------------------------------------------------------------------------- */

/* Reads NAME=VALUE; cuts the text. */
static struct named_text
pair_of(char *text)
{
    char *equals = strchr(text, '=');
    if (equals == NULL) give_up("expected NAME=VALUE");
    *equals = '\0';
    return (struct named_text){text, equals + 1};
}

static void
check_room(uint32_t count)
{
    if (count == LIST_MAX) give_up("too many of one option");
}

static struct relabel_spec
spec_of(char *text)
{
    char *parts[5];
    for (unsigned i = 0; i < 5; i++) {
        parts[i] = text;
        size_t size = strcspn(text, ";");
        if ((text[size] == ';') != (i < 4)) give_up("expected five parts of a relabel rule");
        text[size] = '\0';
        text += size + 1;
    }
    struct bytes *sources = calloc(LIST_MAX, sizeof *sources);
    struct relabel_spec spec = {.source_labels = sources};
    spec.action = relabel_action_of(bytes_of_text(parts[0][0] == '\0' ? "replace" : parts[0]));
    for (char *at = strtok(parts[1], ","); at != NULL; at = strtok(NULL, ",")) {
        check_room(spec.source_label_count);
        sources[spec.source_label_count++] = bytes_of_text(at);
    }
    if (parts[2][0] != '\0') spec.regex = bytes_of_text(parts[2]);
    if (parts[3][0] != '\0') spec.target_label = bytes_of_text(parts[3]);
    if (parts[4][0] != '\0') spec.replacement = bytes_of_text(parts[4]);
    return spec;
}

static void
begin_alertmanager(struct run *run)
{
    if (run->alerting.count == MEMBERS_MAX) give_up("too many Alertmanagers");
    struct alertmanager_settings *a = &run->items[run->alerting.count];
    struct lists *lists = &run->lists[run->alerting.count++];
    *a = (struct alertmanager_settings){
        .scheme = "http",
        .timeout_ms = 10000,
        .api_version = "v2",
        .static_configs = &lists->static_members,
        .file_configs = &lists->file_members,
        .dns_configs = &lists->dns_members,
        .http_configs = &lists->http_members,
        .relabel = lists->relabel,
        .alert_relabel = lists->alert_relabel,
        .hash = run->alerting.count,
    };
    a->http.headers.items = lists->headers;
    lists->static_members.targets.items = lists->targets;
    lists->static_members.labels.items = lists->target_labels;
    lists->file_members.files.items = lists->patterns;
    lists->dns_members.names.items = lists->names;
}

/* Reads TYPE:NAME:PORT; cuts the text. */
static void
read_dns(struct lists *lists, char *text)
{
    struct dns_members *dns = &lists->dns_members;
    char *name = strchr(text, ':'), *port = strrchr(text, ':');
    if (name == port) give_up("expected TYPE:NAME:PORT");
    *name++ = *port++ = '\0';
    dns->type = strcmp(text, "SRV") == 0 ? DNS_SRV : strcmp(text, "A") == 0 ? DNS_A : DNS_AAAA;
    dns->port = (uint32_t)atoi(port);
    check_room(dns->names.count);
    lists->names[dns->names.count++] = name;
}

/* Returns false if it is not an option of a discovery. */
static bool
read_discovery(struct lists *lists, const char *name, char *text)
{
    if (strcmp(name, "--file") == 0) {
        check_room(lists->file_members.files.count);
        lists->patterns[lists->file_members.files.count++] = text;
    } else if (strcmp(name, "--list") == 0) {
        lists->http_members.url = text;
    } else if (strcmp(name, "--dns") == 0) {
        read_dns(lists, text);
    } else if (strcmp(name, "--refresh") == 0) {
        lists->file_members.refresh_ms = lists->dns_members.refresh_ms =
            lists->http_members.refresh_ms = atoll(text);
    } else {
        return false;
    }
    return true;
}

/* Returns false if it is not an option of an Alertmanager. */
static bool
read_own_option(struct alertmanager_settings *a, struct lists *lists, const char *name, char *text)
{
    struct static_members *members = &lists->static_members;
    if (strcmp(name, "--target") == 0) {
        check_room(members->targets.count);
        lists->targets[members->targets.count++] = text;
    } else if (strcmp(name, "--target-label") == 0) {
        check_room(members->labels.count);
        lists->target_labels[members->labels.count++] = pair_of(text);
    } else if (strcmp(name, "--prefix") == 0) {
        a->path_prefix = text;
    } else if (strcmp(name, "--scheme") == 0) {
        a->scheme = text;
    } else if (strcmp(name, "--timeout") == 0) {
        a->timeout_ms = atoll(text);
    } else if (strcmp(name, "--username") == 0) {
        a->basic_auth.username = text;
    } else if (strcmp(name, "--password") == 0) {
        a->basic_auth.password.text = text;
    } else if (strcmp(name, "--bearer") == 0) {
        a->authorization.credentials.text = text;
    } else if (strcmp(name, "--ca-file") == 0) {
        a->http.tls.ca_file = text;
    } else if (strcmp(name, "--header") == 0) {
        struct named_text pair = pair_of(text);
        check_room(a->http.headers.count);
        lists->headers[a->http.headers.count++] =
            (struct named_secret){pair.name, {.text = pair.value}};
    } else if (strcmp(name, "--relabel") == 0) {
        check_room(a->relabel_count);
        lists->relabel[a->relabel_count++] = spec_of(text);
    } else if (strcmp(name, "--alert-relabel") == 0) {
        check_room(a->alert_relabel_count);
        lists->alert_relabel[a->alert_relabel_count++] = spec_of(text);
    } else {
        return false;
    }
    return true;
}

static void
read_option(struct run *run, char *option)
{
    char *equals = strchr(option, '=');
    char *text = equals == NULL ? option + strlen(option) : equals + 1;
    if (equals != NULL) *equals = '\0';
    uint32_t last = run->alerting.count - 1;
    if (read_own_option(&run->items[last], &run->lists[last], option, text)) return;
    if (read_discovery(&run->lists[last], option, text)) return;
    if (strcmp(option, "--alertmanager") == 0) {
        begin_alertmanager(run);
    } else if (strcmp(option, "--relabel-all") == 0) {
        check_room(run->alerting.alert_relabel_count);
        run->relabel_all[run->alerting.alert_relabel_count++] = spec_of(text);
    } else if (strcmp(option, "--external") == 0) {
        check_room(run->external_labels.count);
        run->external[run->external_labels.count++] = pair_of(text);
    } else if (strcmp(option, "--external-url") == 0) {
        run->options.external_url = text;
    } else if (strcmp(option, "--queue") == 0) {
        run->limits.queue_capacity = (uint32_t)atoi(text);
    } else if (strcmp(option, "--batch") == 0) {
        run->limits.batch_size = (uint32_t)atoi(text);
    } else {
        give_up("unknown option; the comment in its source lists them");
    }
}

/* --- commands --------------------------------------------------------------------------------- */

/* Writes the canonical labels of NAME=VALUE,... and, if it is not NULL, a number. */
static void
put_labels(char *text, const char *number, struct buf *to)
{
    static const struct labels_limits limits = {LABELS_MAX, 1 << 16, 1 << 16};
    struct label labels[LABELS_MAX];
    uint32_t count = 0;
    for (char *at = strtok(text, ","); at != NULL; at = strtok(NULL, ",")) {
        if (count == LABELS_MAX - 1) give_up("too many labels");
        struct named_text pair = pair_of(at);
        labels[count++] = (struct label){bytes_of_text(pair.name), bytes_of_text(pair.value)};
    }
    if (number != NULL) labels[count++] = (struct label){bytes_of_text("n"), bytes_of_text(number)};
    if (labels_build(labels, count, &limits, to) != REJECT_NONE) give_up("bad labels");
}

static void
send_one(struct run *run, struct bytes labels, int64_t starts_ms, int64_t ends_ms,
         const char *expression)
{
    static const struct label summary = {{(const uint8_t *)"summary", 7},
                                         {(const uint8_t *)"a \"summary\"", 11}};
    int64_t now_ms = env_realtime_ms(env_real());
    const struct alert_notice notice = {
        .labels = labels,
        .annotations = &summary,
        .annotation_count = 1,
        .expression = bytes_of_text(expression),
        .starts_ns = (now_ms + starts_ms) * NS_PER_MS,
        .ends_ns = (now_ms + ends_ms) * NS_PER_MS,
    };
    notifier_send(run->notifier, &notice, 1);
}

static void
command_alert(struct run *run, char *line)
{
    char labels_text[LINE_BYTES_MAX], expression[LINE_BYTES_MAX] = "";
    long long starts_ms, ends_ms;
    struct buf labels;
    int got = sscanf(line, "%s %lld %lld %[^\n]", labels_text, &starts_ms, &ends_ms, expression);
    if (got < 3) give_up("expected LABELS STARTS_MS ENDS_MS [EXPRESSION]");
    buf_init(&labels, NULL, LINE_BYTES_MAX);
    put_labels(labels_text, NULL, &labels);
    send_one(run, buf_bytes(&labels), starts_ms, ends_ms, expression);
    buf_fini(&labels);
}

static void
command_many(struct run *run, char *line)
{
    char labels_text[LINE_BYTES_MAX], copy[LINE_BYTES_MAX], number[32];
    long long ends_ms;
    unsigned count;
    struct buf labels;
    if (sscanf(line, "%u %lld %s", &count, &ends_ms, labels_text) != 3)
        give_up("expected COUNT ENDS_MS LABELS");
    buf_init(&labels, NULL, LINE_BYTES_MAX);
    for (unsigned i = 0; i < count; i++) {
        snprintf(number, sizeof number, "%u", i);
        snprintf(copy, sizeof copy, "%s", labels_text);
        buf_clear(&labels);
        put_labels(copy, number, &labels);
        send_one(run, buf_bytes(&labels), -60000, ends_ms, "up == 0");
    }
    buf_fini(&labels);
}

static void
command_idle(struct run *run, const char *line)
{
    int64_t until_ns = env_monotonic_ns(env_real()) + atoll(line) * NS_PER_S;
    bool is_idle = false;
    while (!(is_idle = notifier_is_idle(run->notifier)) &&
           env_monotonic_ns(env_real()) < until_ns) {
        struct timespec pause = {.tv_nsec = 5 * NS_PER_MS};
        nanosleep(&pause, NULL);
    }
    (void)puts(is_idle ? "yes" : "no");
}

static void
print_buf(struct buf *text)
{
    if (buf_error(text)) give_up("cannot print");
    if (text->size > 0) (void)fwrite(text->at, 1, text->size, stdout);
    buf_fini(text);
}

static void
command_members(struct run *run)
{
    struct buf text;
    struct json json;
    buf_init(&text, NULL, 1 << 20);
    json_init(&json, &text);
    json_object_open(&json);
    notifier_print(run->notifier, &json);
    json_object_close(&json);
    buf_put_u8(&text, '\n');
    print_buf(&text);
}

static void
command_metrics(void)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 24);
    metric_collect(&text);
    print_buf(&text);
}

static void
run_command(struct run *run, char *line)
{
    size_t size = strcspn(line, " \n");
    char *rest = line + size + (line[size] == ' ');
    line[strcspn(line, "\n")] = '\0';
    bool is_bare = line[size] == '\0';
    line[size] = '\0';
    if (strcmp(line, "alert") == 0)
        command_alert(run, rest);
    else if (strcmp(line, "many") == 0)
        command_many(run, rest);
    else if (strcmp(line, "idle") == 0)
        command_idle(run, rest);
    else if (strcmp(line, "members") == 0 && is_bare)
        command_members(run);
    else if (strcmp(line, "metrics") == 0 && is_bare)
        command_metrics();
    else if (strcmp(line, "end") == 0)
        run->is_over = true;
    else
        give_up("unknown command; the comment in its source lists them");
    (void)puts(".");
    (void)fflush(stdout);
}

/* --- the whole -------------------------------------------------------------------------------- */

static void
step(void *context)
{
    struct run *run = context;
    while (!run->is_over)
        notifier_step(run->notifier, STEP_MS);
}

static void
start(struct run *run)
{
    struct why why = {""};
    struct notifier_change *change;
    for (uint32_t i = 0; i < run->alerting.count; i++) { /* settings from the options */
        struct alertmanager_settings *a = &run->items[i];
        const struct lists *lists = &run->lists[i];
        a->static_count = lists->static_members.targets.count > 0;
        a->file_count = lists->file_members.files.count > 0;
        a->dns_count = lists->dns_members.names.count > 0;
        a->http_count = lists->http_members.url != NULL;
    }
    run->alerting.items = run->items;
    run->alerting.alert_relabel = run->relabel_all;
    run->external_labels.items = run->external;
    if (notifier_new(&run->options, &run->notifier, &why)) give_up(why.text);
    if (notifier_prepare(run->notifier, &run->alerting, &run->external_labels, &run->limits,
                         &change, &why))
        give_up(why.text);
    notifier_commit(change);
}

int
main(int argc, char **argv)
{
    static struct run run;
    static char line[LINE_BYTES_MAX];
    struct env_thread *thread;
    budget_init(&run.memory, "notify", 0, NULL);
    run.options = (struct notifier_options){env_real(), &run.memory, "", NULL};
    run.limits = (struct notifier_limits){10000, 256};
    begin_alertmanager(&run);
    for (int i = 1; i < argc; i++)
        read_option(&run, argv[i]);
    start(&run);
    struct metric_collector collector = {.collect = notifier_collect, .context = run.notifier};
    metric_register_collector(&collector);
    if (env_thread_start(env_real(), "notify", step, &run, &thread)) give_up("no thread");
    while (!run.is_over && fgets(line, sizeof line, stdin) != NULL)
        run_command(&run, line);
    run.is_over = true;
    notifier_wake(run.notifier);
    env_thread_join(env_real(), thread);
    metric_unregister(&collector.link);
    notifier_free(run.notifier);
    return budget_used(&run.memory) == 0 ? 0 : 1;
}
