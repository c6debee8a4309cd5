/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See hello.h.
 */
#include "supervisor/hello.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "supervisor/modelref.h"

void hello_print(const struct modelref *stable, const char *address, const char *canaryctl)
{
    log_info("serving %s (sha256 %.12s...) on http://%s", stable->name, stable->sha256, address);
    if (getenv("JOURNAL_STREAM") != NULL)
        return;
    printf("\n"
           "canaryd serves %s on http://%s\n"
           "\n"
           "  predict:  curl -X POST http://%s/predict -H 'Content-Type: application/json' \\\n"
           "                 -d '{\"features\": [0.5, 1.2, 0.8, 0.3, 1.1]}'\n"
           "  deploy:   curl -X POST http://%s/admin/deploy-canary \\\n"
           "                 -H 'Content-Type: application/json' \\\n"
           "                 -d '{\"model_path\": \"models/model_v2.joblib\"}'\n"
           "  look:     %s --url http://%s status\n"
           "  stop:     Ctrl-C\n\n",
           stable->name, address, address, address, canaryctl, address);
    fflush(stdout);
}
