/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The unit under a real systemd. The program runs twice: first it becomes
 * tests/support/systemd-machine.sh, which boots a systemd in a machine of its
 * own, installs there and starts the program again; that one has the tests, in
 * an order, of one service. Where no machine can be had it says why (SKIP).
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/python.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/traffic.h"
#include "tests/support/workdir.h"

#define CONFIG      "/etc/canaryd/canaryd.json"
#define RUN_DIR     "/run/systemd/system/canaryd.service.d" /* drop-ins until the next boot */
#define NO_MACHINE  77
#define PORT        8000
#define STEP_MS     15000
#define OUTPUT_SIZE 16384

static struct server *service; /* only its port is used: systemd has the process */

/* Runs a shell command; its output, both streams, goes to out. The exit code. */
static int run(const char *command, char out[OUTPUT_SIZE])
{
    char *line = mem_printf("{ %s ; } 2>&1", command);
    FILE *f = popen(line, "re");
    free(line);
    assert_non_null(f);
    size_t n = fread(out, 1, OUTPUT_SIZE - 1, f);
    out[n] = '\0';
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void must(const char *command)
{
    char out[OUTPUT_SIZE];
    int rc = run(command, out);
    if (rc != 0)
        fail_msg("%s: exit %d\n%s", command, rc, out);
}

/* A property of the service, as systemctl show says it. */
static const char *property(const char *name)
{
    static char out[OUTPUT_SIZE];
    char command[128];
    snprintf(command, sizeof command, "systemctl show --value -p %s canaryd.service", name);
    assert_int_equal(run(command, out), 0);
    out[strcspn(out, "\n")] = '\0';
    return out;
}

static void property_is(const char *name, const char *value)
{
    const char *got = property(name);
    if (strcmp(got, value) != 0)
        fail_msg("%s of canaryd.service is \"%s\", not \"%s\"", name, got, value);
}

static pid_t main_pid(void)
{
    return (pid_t)strtol(property("MainPID"), NULL, 10);
}

static bool is_another(struct server *s, void *arg)
{
    (void)s;
    const pid_t *old = arg;
    pid_t now = main_pid();
    return now != 0 && now != *old && strcmp(property("ActiveState"), "active") == 0;
}

static void wait_for_successor(pid_t old)
{
    server_wait_until(service, is_another, &old, "a successor of the main process", STEP_MS);
    server_hang_up(service); /* the kept connection was the old one's */
}

static bool status_has(struct server *s, void *arg)
{
    (void)s;
    return strstr(property("StatusText"), arg) != NULL;
}

static void wait_status(const char *text)
{
    char *wanted = mem_strdup(text);
    server_wait_until(service, status_has, wanted, text, STEP_MS);
    free(wanted);
}

/* --- Tests, in their order --------------------------------------------------*/

static void test_the_units_are_right(void **state)
{
    char out[OUTPUT_SIZE];
    (void)state;
    assert_int_equal(run("systemd-analyze verify canaryd.service canaryd.socket", out), 0);
    assert_string_equal(out, "");
    /* The figure is ten times the exposure level; above 0.5 the command fails. */
    must("systemd-analyze security --offline=yes --threshold=5 --no-pager canaryd.service");
    run("systemd-analyze security --offline=yes --no-pager canaryd.service | tail -n 1", out);
    print_message("%s", out);
}

static void test_enable_now(void **state)
{
    (void)state;
    must("systemctl enable --now canaryd");
    must("systemctl is-active canaryd.service canaryd.socket");
    must("systemctl is-enabled canaryd.service canaryd.socket");
    property_is("NotifyAccess", "main");
    wait_status("stable model_v1@");
    server_predict(service);
    const struct http_answer *a = status_get(service); /* on loopback, admin is open */
    assert_non_null(strstr(a->body, "\"cage\":\"full\""));
    must("test \"$(stat -c %U /proc/$(systemctl show --value -p MainPID canaryd))\" = canaryd");
    must("test \"$(stat -c %U:%a /var/lib/canaryd /run/canaryd | uniq)\" = canaryd:750");
    must("test -s /var/lib/canaryd/journal.jsonl -a -s /run/canaryd/board");
    must("! grep -q NOTIFY_SOCKET /proc/$(pgrep -x canary-worker)/environ");
}

/* Python and its libraries must live with the unit's restrictions. */
static void test_the_exporter_works(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    answer_is(server_post(service, "/admin/deploy-canary", "{\"model_path\":\"model_v2.joblib\"}"),
              200);
    answer_is(server_post(service, "/admin/rollback-canary", NULL), 200);
    status_wait_state(service, "idle");
}

static void test_the_python_worker_works(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    must("mkdir /run/python-models");
    python_make_models("/run/python-models");
    must("install -m 644 /run/python-models/near.joblib /usr/local/share/canaryd/models");
    answer_is(server_post(service, "/admin/deploy-canary", "{\"model_path\":\"near.joblib\"}"),
              200);
    answer_string_is(status_get(service), "canary.runtime", "python");
    must("rm /usr/local/share/canaryd/models/near.joblib");
    answer_is(server_post(service, "/admin/rollback-canary", NULL), 200);
    status_wait_state(service, "idle");
}

static void test_reload_deploys(void **state)
{
    (void)state;
    pid_t pid = main_pid();
    must("sed -i 's|\"canary_model\": \"\"|\"canary_model\": \"model_v2.json\"|' " CONFIG);
    must("systemctl reload canaryd");
    status_wait_state(service, "canary");
    wait_status(", canary model_v2@");
    assert_int_equal(main_pid(), pid);
    property_is("ActiveState", "active");
}

static void test_reload_of_a_broken_file(void **state)
{
    char out[OUTPUT_SIZE];
    (void)state;
    pid_t pid = main_pid();
    must("cp " CONFIG " /run/right && echo '{\"canary_percnt\": 5}' >" CONFIG);
    assert_int_not_equal(run("systemctl reload canaryd", out), 0);
    must("journalctl -u canaryd | grep -q 'did you mean \"canary_percent\"'");
    assert_int_equal(main_pid(), pid);
    property_is("ActiveState", "active");
    answer_string_is(status_get(service), "state", "canary");
    must("cp /run/right " CONFIG);
}

static void test_restart_refuses_nobody(void **state)
{
    (void)state;
    struct traffic *t = traffic_start_knocking(PORT, 8);
    for (int i = 0; i < 3; i++) {
        traffic_wait(t, 100);
        must("systemctl restart canaryd");
    }
    server_hang_up(service);
    traffic_wait(t, 100);
    struct traffic_report r = traffic_stop(&t);
    print_message("%llu connections answered, the slowest after %.0f ms\n",
                  (unsigned long long)r.n_ok, r.longest_ms);
    traffic_expect_clean(&r);
    property_is("NRestarts", "0");
}

static void test_killed(void **state)
{
    pid_t workers[STATUS_MAX_PIDS];
    (void)state;
    pid_t pid = main_pid();
    int n = status_pids(service, workers);
    assert_int_equal(kill(pid, SIGKILL), 0);
    server_hang_up(service);
    server_predict(service); /* waits in the socket for the successor */
    wait_for_successor(pid);
    property_is("NRestarts", "1");
    for (int i = 0; i < n; i++)
        process_wait_gone(workers[i], STEP_MS);
}

static void test_watchdog(void **state)
{
    (void)state;
    must("mkdir -p " RUN_DIR " && printf '[Service]\\nWatchdogSec=1\\n' >" RUN_DIR "/short.conf");
    must("systemctl daemon-reload && systemctl restart canaryd");
    pid_t pid = main_pid();
    workdir_sleep_ms(1500); /* a healthy one stays */
    assert_int_equal(main_pid(), pid);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    wait_for_successor(pid);
    must("journalctl -u canaryd | grep -q 'Watchdog timeout'");
    server_predict(service);
    must("rm " RUN_DIR "/short.conf && systemctl daemon-reload");
}

static void test_wrong_settings(void **state)
{
    char out[OUTPUT_SIZE];
    (void)state;
    must("echo '{\"alpha\": 7}' >" CONFIG);
    assert_int_not_equal(run("systemctl restart canaryd", out), 0);
    property_is("ActiveState", "failed");
    property_is("ExecMainStatus", "78");
    workdir_sleep_ms(300); /* beyond RestartSec */
    property_is("ActiveState", "failed");
    property_is("NRestarts", "0");
    must("cp /run/right " CONFIG " && systemctl start canaryd");
    server_hang_up(service);
    server_predict(service);
}

static void test_the_address_is_the_sockets(void **state)
{
    (void)state;
    must("mkdir -p /run/systemd/system/canaryd.socket.d && printf "
         "'[Socket]\\nListenStream=\\nListenStream=0.0.0.0:8000\\n' "
         ">/run/systemd/system/canaryd.socket.d/all.conf");
    must("systemctl daemon-reload && systemctl stop canaryd.socket canaryd.service && "
         "systemctl start canaryd");
    server_hang_up(service);
    server_predict(service);
    answer_is_problem(server_get(service, "/admin/status"), 403, "admin-closed");
    must("journalctl -u canaryd | grep -q 'listen: 127.0.0.1:8000 is not used'");
    must("rm -r /run/systemd/system/canaryd.socket.d && systemctl daemon-reload");
    must("systemctl stop canaryd.socket canaryd.service && systemctl start canaryd");
}

/* A second socket unit is the admin door; without it the main port is again. */
static void test_the_admin_socket(void **state)
{
    (void)state;
    must("systemctl stop canaryd.socket canaryd.service && "
         "systemctl start canaryd-admin.socket canaryd");
    must("test \"$(stat -c %U:%G:%a /run/canaryd-admin.sock)\" = root:canaryd:660");
    server_hang_up(service);
    server_predict(service);
    answer_is_problem(server_get(service, "/admin/status"), 404, "not-found");
    must("setpriv --reuid=nobody --regid=canaryd --clear-groups "
         "canaryctl --url unix:/run/canaryd-admin.sock status");
    must("systemctl stop canaryd-admin.socket canaryd.socket canaryd.service && "
         "systemctl start canaryd");
    server_hang_up(service);
    server_predict(service);
    answer_is(server_get(service, "/admin/status"), 200);
}

/* canaryd-bind.service beside the same settings and state: its own port, no socket
 * unit, and model paths confined without openat2. */
static void test_its_own_bind(void **state)
{
    char out[OUTPUT_SIZE];
    (void)state;
    must("systemctl start canaryd-bind");
    must("! systemctl is-active canaryd.socket canaryd.service");
    must("systemctl is-active canaryd-bind");
    server_hang_up(service);
    server_predict(service);
    must("grep -q 'Seccomp:\t2' /proc/$(systemctl show --value -p MainPID canaryd-bind)/status");
    answer_is(server_post(service, "/admin/deploy-canary",
                          "{\"model_path\":\"model_v2.json\",\"replace\":true}"),
              200);
    answer_is_problem(server_post(service, "/admin/deploy-canary",
                                  "{\"model_path\":\"../../../etc/passwd\",\"replace\":true}"),
                      400, "path-outside-model-dir");
    assert_non_null(strstr(status_get(service)->body, "\"cage\":\"full\""));
    answer_is(server_post(service, "/admin/rollback-canary", NULL), 200);
    status_wait_state(service, "idle");
    must("systemctl restart canaryd-bind");
    server_hang_up(service);
    server_predict(service);
    assert_int_equal(run("systemd-analyze verify canaryd-bind.service", out), 0);
    assert_string_equal(out, "");
    must("systemctl start canaryd && systemctl is-active canaryd.socket");
    must("! systemctl is-active canaryd-bind");
    server_hang_up(service);
    server_predict(service);
}

static void test_stop(void **state)
{
    (void)state;
    pid_t pid = main_pid();
    must("systemctl stop canaryd.socket canaryd.service");
    property_is("Result", "success");
    property_is("ExecMainStatus", "0");
    property_is("ActiveState", "inactive");
    assert_false(process_lives(pid));
    must("! pgrep canary");
    must("test ! -e /run/canaryd -a -s /var/lib/canaryd/journal.jsonl");
}

static void test_uninstall(void **state)
{
    (void)state;
    must("systemctl disable canaryd");
    must("make -s uninstall && ! find /usr/local -name '*canary*' -not -type d | grep .");
    must("test -e " CONFIG " -a -e /usr/local/share/canaryd/models/model_v1.json");
}

static int setup(void **state)
{
    (void)state;
    service = server_prepare();
    service->port = PORT;
    return 0;
}

static int teardown(void **state)
{
    traffic_abandon();
    server_forget(service);
    return server_teardown(state);
}
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static int run_inside(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_the_units_are_right),
        CASE(test_enable_now),
        CASE(test_the_exporter_works),
        CASE(test_the_python_worker_works),
        CASE(test_reload_deploys),
        CASE(test_reload_of_a_broken_file),
        CASE(test_restart_refuses_nobody),
        CASE(test_killed),
        CASE(test_watchdog),
        CASE(test_wrong_settings),
        CASE(test_the_address_is_the_sockets),
        CASE(test_the_admin_socket),
        CASE(test_its_own_bind),
        CASE(test_stop),
        CASE(test_uninstall),
    };
    int n_failed = cmocka_run_group_tests_name("systemd", tests, NULL, NULL);
    char log[OUTPUT_SIZE];
    if (n_failed > 0 && run("journalctl --no-pager -n 60 -u 'canaryd*'", log) == 0)
        print_message("%s", log);
    return n_failed;
}

/* --- Outside ----------------------------------------------------------------*/

/* Says by cmocka what the machine said by its exit code. */
static void test_the_machine(void **state)
{
    const int *status = *state;
    if (*status == NO_MACHINE)
        skip();
    assert_int_equal(*status, 0);
}

/* The leak checker traces the process at its exit; the unit forbids that. */
#ifdef __SANITIZE_ADDRESS__
#define MACHINE "echo 'SKIP test_systemd: this is a sanitizer build'; exit 77; :"
#else
#define MACHINE "exec tests/support/systemd-machine.sh"
#endif

static int run_outside(void)
{
    const char *build = getenv("CANARYD_BUILD");
    char command[512];
    snprintf(command, sizeof command, "%s '%s'", MACHINE, build != NULL ? build : "build");
    int status = system(command);
    status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_the_machine, &status),
    };
    return cmocka_run_group_tests_name("systemd machine", tests, NULL, NULL);
}

int main(void)
{
    return getenv("CANARYD_IN_MACHINE") != NULL ? run_inside() : run_outside();
}
