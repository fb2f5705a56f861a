/*
 * The `warpgate` command while memory runs out: linked with main() and with what fails. The
 * environment says which allocations of it do, and the end of the program what came of that.
 *
 *   WARPGATE_OOM_FAIL=FIRST-LAST  these fail; 0-0: none
 *   WARPGATE_OOM_TELL=FILE        gets "COUNTED HIT LEFT" when main() has returned
 *   WARPGATE_OOM_OPENSSL=1        those inside OpenSSL instead of the program's own
 */
#include "failing.h"

#include <stdio.h>
#include <stdlib.h>

static void tell(void) {
  FILE *file = fopen(getenv("WARPGATE_OOM_TELL"), "w");
  if (file == NULL)
    abort();
  oom_end(file);
  if (fclose(file) != 0)
    abort();
}

/* Before main(), and so before anything is allocated. */
__attribute__((constructor)) static void begin(void) {
  const char *numbers = getenv("WARPGATE_OOM_FAIL");
  unsigned long first, last;
  if (numbers == NULL || getenv("WARPGATE_OOM_TELL") == NULL ||
      sscanf(numbers, "%lu-%lu", &first, &last) != 2)
    abort();
  oom_init();
  oom_begin(getenv("WARPGATE_OOM_OPENSSL") != NULL ? OOM_OPENSSL : OOM_OURS, first, last);
  atexit(tell);
}
