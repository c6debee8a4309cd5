/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See memory.h.
 */
#include "supervisor/memory.h"

#include <stdlib.h>

#include <cjson/cJSON.h>
#include <event2/event.h>

#include "common/mem.h"

void memory_check_libraries(void)
{
    cJSON_Hooks hooks = {.malloc_fn = mem_malloc, .free_fn = free};
    cJSON_InitHooks(&hooks);
    event_set_mem_functions(mem_malloc, mem_realloc, free);
}
