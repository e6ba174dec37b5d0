# shellcheck shell=bash
# What the tests on the private Slurm share. Source it after cluster.sh, then call begin.

# begin : skips the test (77) where Slurm cannot run, else sets `scratch`, a folder that is removed at the end.
begin() {
  local missing
  missing=$(cluster_missing)
  command -v h5diff > /dev/null || missing="no h5diff"
  [ -z "$missing" ] || {
    echo "skipped: $missing"
    exit 77
  }
  scratch=$(mktemp -d /tmp/rocket-slurm.XXXXXX)
  chmod 755 "$scratch"
  trap 'cluster_down; rm -rf "$scratch"' EXIT
  export TEST_LAUNCHER=srun TEST_LOGS=$scratch/logs
  mkdir "$TEST_LOGS"
}

fail() {
  echo "FAILED: $*" >&2
  tail -n 30 "$TEST_LOGS"/*.log >&2 || true
  exit 1
}
# same WHAT EXPECTED FOUND
same() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }
# holds WHAT TEXT PART
holds() { [[ $2 = *"$3"* ]] || fail "$1: no '$3' in: $2"; }

exit_code_of() {
  local code=0
  "$@" > /dev/null 2>&1 || code=$?
  echo "$code"
}

# wait_until COMMAND... : until the command succeeds.
wait_until() {
  local deadline=$((SECONDS + 120))
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited in vain for: $*"
    sleep 0.05
  done
}

field() { scontrol show job -o "$1" | grep -o " $2=[^ ]*" | cut -d = -f 2; }

# wait_for_end ID : its final state.
wait_for_end() {
  local state
  for _ in $(seq 900); do
    state=$(field "$1" JobState)
    case $state in PENDING | RUNNING | COMPLETING | CONFIGURING | REQUEUED | PREEMPTED) sleep 0.2 ;; *) break ;; esac
  done
  echo "$state"
}

# ended ID : state, exit code and restarts, at its end.
ended() { echo "$(wait_for_end "$1") $(field "$1" ExitCode) $(field "$1" Restarts)"; }
