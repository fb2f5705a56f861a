# shellcheck shell=bash
# Sourced by the scripts of ci/: where things lie and how steps speak. Changes to the project's root.

# Where the script was called: what the caller names is meant from there.
# shellcheck disable=SC2034
CALLER=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
TOOL=ci/$(basename "$0")
LOGS=build/logs

say() { printf '%s: %s\n' "$TOOL" "$*"; }

die() {
  printf '%s: %s\n' "$TOOL" "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Servers and some tools lie in sbin, which an ordinary user's PATH may lack.
PATH=$PATH:/usr/sbin:/sbin

# A tree that was built by root before is not writable for others: say so at once, not by a
# compiler's error.
need_writable() {
  local folder
  for folder in "$@"; do
    mkdir -p "$folder" 2>/dev/null || true
    [ -w "$folder" ] || die "cannot write to $folder/: remove it or give it to $(id -un 2>/dev/null || id -u)"
  done
}

# quiet NAME COMMAND...: its output goes to a log.
quiet() {
  mkdir -p "$LOGS"
  "${@:2}" >"$LOGS/$1.log" 2>&1
}

# step NAME COMMAND...: the same for what must succeed: the end of the log is shown if it does not.
# A function given as the command has to pass failures on by itself: `set -e` is off in it.
step() {
  if ! quiet "$@"; then
    tail -n 40 "$LOGS/$1.log" >&2
    die "$1 failed (whole output: $LOGS/$1.log)"
  fi
}

# configure FOLDER OPTION...: Ninja where there is one; a folder made before keeps its generator.
configure() {
  local folder=$1 generator=()
  shift
  need_writable "$folder"
  if [ ! -f "$folder/CMakeCache.txt" ] && have ninja; then
    generator=(-G Ninja)
  fi
  cmake -S . -B "$folder" "${generator[@]}" "$@"
}

# compile FOLDER [TARGET]
compile() { cmake --build "$1" --parallel "$(nproc)" --target "${2:-all}"; }

# run_ctest FOLDER OPTION...: all cores; what a failed test printed is shown.
run_ctest() {
  local folder=$1 fixed=()
  shift
  # The sanitizers of older compilers cannot place their shadow memory where the kernel randomises
  # addresses with 32 bits.
  if [ "$folder" != build ] && setarch -R true 2>/dev/null; then
    fixed=(setarch -R)
  fi
  "${fixed[@]}" ctest --test-dir "$folder" --output-on-failure --no-tests=error --parallel "$(nproc)" \
    --output-junit "$PWD/$folder/ctest.xml" "$@"
}

# Of 400 entries that share two cores, with real kernels, clocks and guessed ports, one is now and
# then late or unlucky. So many may try again, each alone, and are named at the end. More at once are
# no bad luck; and what works on data or in virtual time has no such excuse.
SECOND_TRIES_MAX=2
SECOND_TRIES=

# second_try FOLDER: after a run_ctest that failed. False when what failed may not try again, or
# failed again.
second_try() {
  local folder=$1 failed may name
  mapfile -t failed < <(sed 's/^[0-9]*://' "$folder/Testing/Temporary/LastTestsFailed.log")
  [ ${#failed[@]} -gt 0 ] && [ ${#failed[@]} -le $SECOND_TRIES_MAX ] || return 1
  may=$(ctest --test-dir "$folder" -N --label-regex '^(nat|fault|cli|example|netns|bench)$' |
    sed -n 's/^ *Test *#[0-9]*: //p')
  for name in "${failed[@]}"; do
    grep -qxF "$name" <<<"$may" || return 1
  done
  say "a second try, alone: ${failed[*]}"
  ctest --test-dir "$folder" --rerun-failed --output-on-failure --parallel 1 || return 1
  SECOND_TRIES=${failed[*]}
}

# How many tests the last run_ctest of a folder ran; and which it could not run.
count_tests() { grep '<testcase ' "$1/ctest.xml" | grep -vc 'status="notrun"' || true; }
not_run() { sed -n 's/.*<testcase name="\([^"]*\)".*status="notrun".*/\1/p' "$1/ctest.xml" | tr '\n' ' '; }

# no_reports FOLDER: what sanitizers or valgrind wrote there of programs that the tests ran, also of
# those whose end no test looked at. False, after showing each, if there is any.
no_reports() {
  local folder=$1 report found=0
  for report in "$folder"/*; do
    [ -s "$report" ] || continue
    found=$((found + 1))
    printf -- '---- %s\n' "$report" >&2
    head -n 60 "$report" >&2
  done
  [ $found -eq 0 ]
}
