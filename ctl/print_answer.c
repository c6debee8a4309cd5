/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Short answers; see print_answer.h.
 */
#include "ctl/print_answer.h"

#include <string.h>

#include "ctl/member.h"

static void print_member(const struct printer *p, const cJSON *item)
{
    char name[64];
    snprintf(name, sizeof name, "%s", item->string);
    for (char *c = name; (c = strchr(c, '_')) != NULL;)
        *c = ' ';
    if (cJSON_IsString(item))
        print_field(p, name, "%s", item->valuestring);
    else if (cJSON_IsNumber(item))
        print_field(p, name, "%.10g", item->valuedouble);
    else if (cJSON_IsBool(item))
        print_field(p, name, "%s", cJSON_IsTrue(item) ? "yes" : "no");
}

void print_answer(const struct printer *p, const cJSON *answer)
{
    const cJSON *item;
    print_text(p, STYLE_GOOD, "%s\n", member_text(answer, "message", "Done."));
    if (strcmp(member_text(answer, "rolled_back_by", "operator"), "operator") != 0)
        print_text(p, STYLE_PLAIN, "It had already been rolled back automatically.\n");
    if (!cJSON_IsObject(answer))
        return;
    cJSON_ArrayForEach(item, answer) {
        if (strcmp(item->string, "message") != 0 && strcmp(item->string, "status") != 0)
            print_member(p, item);
    }
}
