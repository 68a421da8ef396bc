/* discovery_test.c - members that files, servers and name servers list: they are added and removed,
 * and stay when a look-up fails. */
#include "lib/notify/notify_script.h"
#include "lib/test.h"

#define FILE_A   "mkdir d | put d/a.yml - targets: [a:1]\n"
#define READ_A   "am | files d/a.yml | start | run 0 => 0s members a:1\n"
#define OF_JSON  "type application/json | list_is "
#define SHOWN    "{'activeAlertmanagers':["
#define SHOWN_0  "],'droppedAlertmanagers':[]}"
#define INVALID  "warn 'targets ignored, invalid address: expected HOST:PORT' targets="
#define TOO_MANY "warn 'too many records of a name, ignoring the rest' name=am.example records=1000"
#define NO_NAME \
    "warn 'cannot look up name, keeping the previous targets' name=am.example error='it failed'"
#define UNREAD   "warn 'cannot read targets from file, keeping the previous targets' "
#define NOT_STAT "path=d/x/a.yml error='cannot stat d/x/a.yml: Not a directory'"
#define EMPTY    "warn 'Alertmanager has no members, alerts are not sent to it' line=2 alerts="
#define BACK     "info 'Alertmanager has members again' line=2 members="

UNIT_TEST(test_members_beyond_their_number_are_left_out_and_logged_once)
{
    script_play("mkdir d");
    for (int f = 0; f < 3; f++) {
        char path[16], *text = malloc(64 << 10);
        size_t size = (size_t)sprintf(text, "- targets: [");
        for (int i = 0; i < 400; i++)
            size += (size_t)sprintf(text + size, "%sh%d:%d", i > 0 ? ", " : "", f, i);
        sprintf(text + size, "]\n");
        snprintf(path, sizeof path, "d/%d.yml", f);
        notify_put_file(path, text);
        free(text);
    }
    script_play(
        "log too many | am | files d/*.yml | start | run 0 => 0s warn 'too many "
        "members of an Alertmanager, ignoring the rest' members=1000 left_out=200; members 1000");
    script_play("run 120"); /* the files are read again */
}

static const struct CMUnitTest tests[] = {
    /* Files. */
    SCRIPT("files that match a pattern list members",
           FILE_A "put d/b.yml - targets: [b:1] | put d/c.json [{\"targets\": [\"c:1\"]}]\n"
                  "am | files d/*.yml | start | run 0 => 0s members a:1 b:1\n"
                  "put d/d.yml - targets: [a:1, d:1] | run 5 => 5s members a:1 b:1 d:1\n"
                  "rm d/b.yml | run 5 => 10s members a:1 d:1"),
    SCRIPT("a file that changes is read within five seconds",
           "mkdir d | put d/a.json [{\"targets\": [\"a:1\"]}]\n"
           "am | files d/a.json | start | run 0.1 => 0s members a:1\n"
           "put d/a.json [{\"targets\": [\"b:1\"]}] | run 5 => 5s members b:1"),
    SCRIPT(
        "a broken file keeps its last members and is logged once", FILE_A READ_A
        "log d/a.yml | put d/a.yml - targets: [b:1 | run 180 => 5s " UNREAD
        "path=d/a.yml error='d/a.yml:2:1: while parsing a flow sequence did not find expected ',' "
        "or ']''\n"
        "put d/a.yml - target: [b:1] | run 5 => 185s " UNREAD
        "path=d/a.yml error='d/a.yml:1:3: unknown key 'target', expected 'targets' or 'labels''\n"
        "put d/a.yml - targets: [b:1] | run 5 => 190s members b:1"),
    SCRIPT("a file that is missing has no members, and may come",
           "mkdir d | am | files d/a.yml | start | run 0\n"
           "put d/a.yml - targets: [a:1] | run 5 => 5s members a:1\n"
           "rm d/a.yml | run 5 => 10s members"),
    SCRIPT("a file for which there was no memory is read at the next look",
           FILE_A READ_A "put d/a.yml - targets: [b:1] | memory full | run 5\n"
                         "memory free | run 5 => 10s members b:1"),
    SCRIPT("a directory is not a file of targets",
           FILE_A "mkdir d/x.yml | am | files d/*.yml | start | run 0 => 0s members a:1"),
    SCRIPT("an unreadable directory keeps its last members and is logged once",
           "mkdir d | mkdir d/x | put d/x/a.yml - targets: [a:1]\n"
           "am | files d/x/*.yml | start | run 0 => 0s members a:1\n"
           "log warn | mv d/x d/y | put d/x | run 60 => 5s warn 'cannot list files of targets, "
           "keeping the previous targets' error='cannot list directory d/x/: Not a directory'\n"
           "rm d/x | run 5 => 65s members"),
    SCRIPT("a file that cannot be looked at keeps its targets, and is logged once",
           "mkdir d | mkdir d/x | put d/x/a.yml - targets: [a:1]\n"
           "am | files d/x/a.yml | start | run 0 => 0s members a:1\n"
           "log warn | mv d/x d/y | put d/x | run 60 => 5s " UNREAD NOT_STAT "\n"
           "rm d/x | mv d/y d/x | run 5\n"
           "mv d/x d/y | put d/x | run 60 => 70s " UNREAD NOT_STAT "\n"
           "rm d/x | mv d/y d/x | run 5\n"
           "rm d/x/a.yml | run 5 => 135s members"),
    SCRIPT("a target knows its file",
           "mkdir d | put d/a.yml - {targets: [a:1], labels: {__scheme__: https}}\n"
           "am | files d/a.yml | relabel targets replace __meta_filepath d/(.).yml __alerts_path__ "
           "/$1\n"
           "start | run 0 => 0s members https://a:1/a"),

    /* Servers. */
    SCRIPT("a server lists members",
           "type application/json; charset=utf-8 | list_is [{\"targets\": [\"a:1\"]}]\n"
           "am | list | start | run 0 => 0s http://list/; members a:1\n"
           "headers => GET; Accept: application/json; X-Prometheus-Refresh-Interval-Seconds: 20\n"
           "list_is [{\"targets\": [\"b:1\"]}] | run 20 => 20s http://list/; members b:1\n"
           "list_is [] | run 20 => 40s http://list/; members"),
    SCRIPT(
        "an invalid answer of a server changes nothing and is logged once",
        "type Application/JSON | list_is [{\"targets\": [\"a:1\"]}] | log list\n"
        "am | list | start | run 0 => 0s http://list/; members a:1\n"
        "type application/json | list_is [{\"targets\": [\"b:1\"]}] | answer http://list/ 500\n"
        "run 20 => 20s http://list/; warn 'cannot get targets from "
        "server, keeping the previous targets' url=http://list/ error='expected HTTP status 200, "
        "got "
        "500'\n"
        "answer http://list/ 204 | run 20 => 40s http://list/\n"
        "answer http://list/ 200 | type text/plain | run 20 => 60s http://list/\n"
        "type application/jsonp | run 20 => 80s http://list/\n"
        "type application/json; charset=latin1 | run 20 => 100s http://list/\n"
        "type application/json | list_is [{\"targets\": [\"b:1\"]} | run 20 => 120s http://list/\n"
        "list_is <html> | run 20 => 140s http://list/\n"
        "list_is [{\"targets\": [\"b:1\"]}] | run 20 => 160s http://list/; info 'got targets from "
        "server again' url=http://list/; members b:1"),
    SCRIPT("a server that does not answer delays nothing",
           "am a | list | answer http://list/ 0 -1 | start | run 0 => 0s http://list/; members a\n"
           "fire Down:1 | run 0 => 0s a Down:1"),
    SCRIPT("a refused token is fetched again once for each look", OF_JSON
           "[{\"targets\": [\"a:1\"]}] | am | list | list_token | start | run 0"
           " => 0s http://tokens/; http://list/; members a:1\n"
           "headers => GET; Accept: application/json; X-Prometheus-Refresh-Interval-Seconds: "
           "20; Authorization: Bearer token1\n"
           "answer http://list/ 401 | run 20 => 20s http://list/; http://tokens/; "
           "http://list/\n"
           "run 20 => 40s http://tokens/; http://list/; http://tokens/; http://list/"),
    SCRIPT("a target with a NUL is not a member",
           OF_JSON "[{\"targets\": [\"a:1\\u0000b\", \"c:1\"]}] | am | list | start | run 0"
                   " => 0s http://list/; members c:1"),
    SCRIPT("a target knows its server",
           OF_JSON "[{\"targets\": [\"a:1\"], \"labels\": {\"__meta_url\": \"x\"}}] | am | list\n"
                   "relabel targets replace __meta_url http:/(.*) __alerts_path__ $1\n"
                   "start | run 0 => 0s http://list/; members http://a:1/list/"),

    /* Names. */
    SCRIPT("addresses of a name are members",
           "zone 10.0.0.1 fd00::1 | am | names | start | run 0 => 0s members 10.0.0.1:9093 "
           "[fd00::1]:9093\n"
           "zone 10.0.0.1 | run 30 => 30s members 10.0.0.1:9093"),
    SCRIPT("services have ports and labels of their own, and may be absent",
           "am | services | relabel targets replace __meta_dns_srv_record_target (.*) "
           "__alerts_path__ /$1\n"
           "am | services | relabel targets replace __meta_dns_srv_record_port (.*) "
           "__alerts_path__ /$1\n"
           "am | services | relabel targets replace __meta_dns_name (.*) __alerts_path__ /$1\n"
           "zone a.example:1234 :0 | start | run 0 => 0s members http://a.example:1234/a.example. "
           "http://a.example:1234/1234 http://a.example:1234/am.example"),
    SCRIPT("that a name has too many records is logged once",
           "log too many | zone cut 10.0.0.1 | am | names | start | run 300"
           " => 0s " TOO_MANY "; members 10.0.0.1:9093\n"
           "zone 10.0.0.1 | run 60\n"
           "zone cut 10.0.0.1 | run 60 => 390s " TOO_MANY),
    SCRIPT("a look-up that fails keeps members, and an empty answer does not",
           "zone 10.0.0.1 | am | names | start | run 0 => 0s members 10.0.0.1:9093\n"
           "zone fails | run 90\n"
           "zone | run 30 => 120s members"),
    SCRIPT("that a name cannot be looked up is logged once, and its end",
           "log am.example | zone 10.0.0.1 | am | names | start | run 0"
           " => 0s members 10.0.0.1:9093\n"
           "zone fails | run 90 => 30s " NO_NAME "\n"
           "zone 10.0.0.2 | run 30 => 120s info 'name servers answer again' name=am.example "
           "targets=1; members 10.0.0.2:9093\n"
           "zone fails | run 90 => 150s " NO_NAME),
    SCRIPT("a name is looked up once at a time, and given up in the end",
           "zone slow -1 | am | names | start | run 300 | look_ups | under_way => 1; 1\n"
           "start | run 0.001 | under_way => 0"),

    /* Addresses. */
    SCRIPT("targets that are dropped are shown one by one, whatever they contain", OF_JSON
           "[{\"targets\": [\"a\\u0000b:1\", \"c:1\"]}] | am | list\n"
           "relabel targets drop __scheme__ http | start | run 0 | members => 0s http://list/; "
           "{'activeAlertmanagers':[],'droppedAlertmanagers':[{'url':'http://a'},"
           "{'url':'c:1'}]}"),
    SCRIPT("an address with a user or query is refused without its password", OF_JSON
           "[{\"targets\": [\"us:pw@a:1\", \"b:1?x\", \"c:1#x\", \"d:1\\\\x\", \"e:1\\nx\", "
           "\"f:1\"]}]\n"
           "log ignored | am | list | start | run 0 => 0s http://list/; " INVALID
           "5 address=a:1; members f:1"),
    SCRIPT("the password of an address that is dropped is not shown", OF_JSON
           "[{\"targets\": [\"us:pw@a:1\"]}] | am | list\n"
           "relabel targets drop __scheme__ http | start | run 0 | members => 0s http://list/; "
           "{'activeAlertmanagers':[],'droppedAlertmanagers':[{'url':'a:1'}]}"),
    SCRIPT("targets without a valid address are logged when they change",
           "log ignored | am | services | zone a/b:1 a/c:2 | start | run 300 => 0s " INVALID
           "2 address=a/b:1\n"
           "zone a/c:2 a/b:1 | run 300\n"
           "zone a/c:2 | run 300 => 630s " INVALID "1 address=a/c:2\n"
           "zone a/d:2 | run 300 => 930s " INVALID "1 address=a/d:2"),

    /* Members that come and go. */
    SCRIPT(
        "members that stay keep their queues, and those that go give them up",
        "mkdir d | put d/a.yml - targets: [a:1, b:1]\n"
        "am | files d/a.yml | start | run 0 => 0s members a:1 b:1\n"
        "answer a:1 500 | answer b:1 500 7 | fire Down:1 | run 0.1 => 0s a:1 Down:1; b:1 Down:1\n"
        "put d/a.yml - targets: [c:1, a:1] | run 5"
        " => 1s a:1 Down:1; 3s a:1 Down:1; 5s members c:1 a:1\n"
        "under_way | metrics dropped => 0; dropped_total{alertmanager='c:1'} 0; "
        "dropped_total{alertmanager='a:1'} 0; dropped_total 1\n"
        "answer a:1 200 | run 30 => 7s a:1 Down:1\n"
        "metrics sent => sent_total{alertmanager='c:1'} 0; sent_total{alertmanager='a:1'} 1"),
    SCRIPT("an Alertmanager without members is logged once, and its end once", FILE_A
           "log members | am | files d/a.yml | am other | start | run 0 => 0s members a:1 other\n"
           "put d/a.yml [] | run 60 => 5s members other\n" /* no alert has been lost */
           "metrics alertmanagers_w => alertmanagers_without_members 1\n"
           "fire Down:1 Up:1 | run 10 => 60s other Down:1 Up:1; 70s " EMPTY
           "2 dropped_targets=0 members_of_others=1\n"
           "fire Down:1 | run 60 => 70s other Down:1\n"
           "put d/a.yml - targets: [b:1, c:1] | run 60 => 135s " BACK "2; members b:1 c:1 other\n"
           "metrics alertmanagers_w => alertmanagers_without_members 0\n"
           "put d/a.yml [] | run 60 => 195s members other\n"
           "fire Down:1 | run 60 => 250s other Down:1; 260s " EMPTY
           "1 dropped_targets=0 members_of_others=1\n"
           "put d/a.yml - targets: [b:1, c:1] | run 60 => 315s " BACK "2; members b:1 c:1 other"),
    SCRIPT("relabelling that drops all targets is logged with their number",
           "mkdir d | put d/a.yml - targets: [a:1, b:1] | log members\n"
           "am | files d/a.yml | relabel targets drop __address__ .* | start\n"
           "fire Down:1 | run 60 => 10s " EMPTY "1 dropped_targets=2 members_of_others=0"),
    SCRIPT("members that are found a moment later are not missed",
           "log members | zone slow 5 10.0.0.1 | am | names | start | fire Down:1 | run 60"
           " => 5s members 10.0.0.1:9093"),
    SCRIPT("a reload without changes keeps the targets that were found",
           "zone 10.0.0.1 | am | names | start | run 0 => 0s members 10.0.0.1:9093\n"
           "zone slow -1 | am | names | start | run 0"),
    TEST(test_members_beyond_their_number_are_left_out_and_logged_once),
};

int
main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
