/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See hello.h.
 */
#include "supervisor/hello.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/modelref.h"

static void print_deploy(const char *address)
{
    printf("  deploy:   curl -X POST http://%s/admin/deploy-canary \\\n"
           "                 -H 'Content-Type: application/json' \\\n"
           "                 -d '{\"model_path\": \"models/model_v2.joblib\"}'\n",
           address);
}

void hello_print(const struct modelref *stable, const char *address, const char *admin,
                 const char *canaryctl)
{
    bool is_path = admin != NULL && strncmp(admin, "unix:", 5) == 0;
    log_info("serving %s (sha256 %.12s...) on http://%s", stable->name, stable->sha256, address);
    if (admin != NULL)
        log_info("the admin endpoints are on %s", admin);
    if (getenv("JOURNAL_STREAM") != NULL)
        return;
    printf("\n"
           "canaryd serves %s on http://%s\n"
           "\n"
           "  predict:  curl -X POST http://%s/predict -H 'Content-Type: application/json' \\\n"
           "                 -d '{\"features\": [0.5, 1.2, 0.8, 0.3, 1.1]}'\n",
           stable->name, address, address);
    if (!is_path)
        print_deploy(admin != NULL ? admin : address);
    printf("  look:     %s --url %s%s status\n"
           "  stop:     Ctrl-C\n\n",
           canaryctl, is_path ? "" : "http://", admin != NULL ? admin : address);
    fflush(stdout);
}
