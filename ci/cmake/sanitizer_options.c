/*
 * How a sanitized program of ours reports, wherever it runs: in a namespace of the lab, where the
 * environment of ctest does not reach, or as a child whose exit status nobody reads. A report goes
 * to a file of its own in one folder, which ci/variant wants to find empty; and who has made one
 * dies of SIGABRT, which natsim and the tests of the programs take for the crash that it is.
 */
#define OPTIONS "abort_on_error=1:log_exe_name=1:log_path=" WARPGATE_REPORTS "/report"

const char *__asan_default_options(void);
const char *__asan_default_suppressions(void);
const char *__tsan_default_options(void);
const char *__ubsan_default_options(void);

__attribute__((visibility("default"), used)) const char *__asan_default_options(void) {
  return OPTIONS ":detect_stack_use_after_return=1:strict_string_checks=1";
}

/* miniupnpc hands strtol a buffer without a zero at its end. It stops at the end of a line, which
 * miniupnpc has looked for before: only the strict check objects. */
__attribute__((visibility("default"), used)) const char *__asan_default_suppressions(void) {
  return "interceptor_via_lib:libminiupnpc\n";
}

__attribute__((visibility("default"), used)) const char *__tsan_default_options(void) {
  return OPTIONS ":halt_on_error=1";
}

__attribute__((visibility("default"), used)) const char *__ubsan_default_options(void) {
  return OPTIONS ":print_stacktrace=1";
}
