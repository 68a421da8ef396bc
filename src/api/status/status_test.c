/* status_test.c - readiness with its reasons, and facts of the process. */
#include "lib/test.h"

#include <unistd.h>

#include "lib/api/api_asked.h"

/* Checks that the server is ready, or is not for this reason. */
static void
check_ready(struct api_rig *rig, const char *reason)
{
    char text[128] = "Firekeep is ready.\n", members[128];
    struct http_request r;
    if (reason != NULL) snprintf(text, sizeof text, "Firekeep is not ready: %s.\n", reason);
    api_rig_ask(rig, &r, HTTP_GET, "/-/ready", NULL, bytes_of("", 0));
    assert_string_equal(http_double_text(&r), text);
    assert_int_equal(r.status, reason == NULL ? 200 : 503);
    buf_fini(&r.text);
    snprintf(members, sizeof members, "\"ready\":%s,\"notReadyReason\":\"%s\",",
             reason == NULL ? "true" : "false", reason == NULL ? "" : reason);
    api_ask(rig, &(struct asked){"the process", HTTP_GET, "/api/v1/status/runtimeinfo", NULL, NULL,
                                 0, 200, JSON_TYPE, members});
}

/* Makes a rig whose log has more than one segment. */
static struct api_rig *
rig_with_segments(void)
{
    enum { REQUESTS = 2, SAMPLES = 20000 };
    struct api_rig *rig = api_rig_new();
    for (unsigned request = 0; request < REQUESTS; request++) {
        struct rq rq;
        rq_init(&rq, RW_V1);
        rq_series(&rq, "__name__=up");
        for (unsigned i = 0; i < SAMPLES; i++)
            rq_float(&rq, SIM_BEGIN + request * SAMPLES + i, sim_env_random(rig->m.sim) >> 4, 0);
        must(machine_send(&rig->m, "anonymous", &rq));
        machine_commit(&rig->m);
        rq_fini(&rq);
    }
    return api_rig_start(rig);
}

UNIT_TEST(test_a_store_that_refuses_writes_is_not_ready_and_says_why)
{
    struct api_rig *rig = rig_with_segments();
    struct machine *m = &rig->m;
    check_ready(rig, NULL);
    m->limits.wal_budget_bytes = 1;
    tsdb_set_limits(m->db, &m->limits);
    check_ready(rig, "the write-ahead log has reached wal.budget");
    m->limits.wal_budget_bytes = 64 << 20;
    tsdb_set_limits(m->db, &m->limits);
    check_ready(rig, NULL);
    fault_env_set_free(m->fe, 1000);
    must(tsdb_maintain(m->db, &m->why));
    check_ready(rig, "the disk is nearly full");
    fault_env_set_free(m->fe, UINT64_MAX);
    must(tsdb_maintain(m->db, &m->why));
    check_ready(rig, NULL);
    fault_env_arm(m->fe, (struct fault){FAULT_SYNC, 1, false});
    api_ask(rig, &(struct asked){"a write", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_V1, 503,
                                 TEXT, "\n"});
    check_ready(rig, "cannot write to the write-ahead log");
    api_rig_free(rig);
}

UNIT_TEST(test_facts_of_the_process_are_those_of_the_system)
{
    char directory[4096], host[256], members[8192];
    struct api_rig *rig = api_rig_start(api_rig_new());
    assert_non_null(getcwd(directory, sizeof directory));
    assert_int_equal(gethostname(host, sizeof host), 0);
    snprintf(members, sizeof members,
             "{\"startTime\":\"2026-01-01T00:00:00Z\",\"CWD\":\"%s\",\"hostname\":\"%s\","
             "\"serverTime\":\"2026-01-01T00:00:00Z\",",
             directory, host);
    api_ask(rig, &(struct asked){"the process", HTTP_GET, "/api/v1/status/runtimeinfo", NULL, NULL,
                                 0, 200, JSON_TYPE, members});
    snprintf(members, sizeof members,
             "\"goroutineCount\":0,\"GOMAXPROCS\":%ld,\"GOMEMLIMIT\":0,\"GOGC\":\"\","
             "\"GODEBUG\":\"\",\"storageRetention\":",
             sysconf(_SC_NPROCESSORS_ONLN));
    api_ask(rig, &(struct asked){"names of Go", HTTP_GET, "/api/v1/status/runtimeinfo", NULL, NULL,
                                 0, 200, JSON_TYPE, members});
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_store_that_refuses_writes_is_not_ready_and_says_why),
        cmocka_unit_test(test_facts_of_the_process_are_those_of_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
