#!/usr/bin/env bash
# chain_test.sh ROCKET: slurm/submit and slurm/rocket.sbatch on a private Slurm of two nodes. Exit code 77: skipped.
set -euo pipefail
rocket=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=/dev/null
source "$here/cluster.sh"

missing=$(cluster_missing)
command -v h5diff > /dev/null || missing="no h5diff"
[ -z "$missing" ] || {
  echo "skipped: $missing"
  exit 77
}

scratch=$(mktemp -d /tmp/rocket-slurm.XXXXXX)
chmod 755 "$scratch"
trap 'cluster_down; rm -rf "$scratch"' EXIT
export ROCKET=$rocket ROCKET_SITE=$here/site.conf TEST_LAUNCHER=srun TEST_LOGS=$scratch/logs
mkdir "$TEST_LOGS"

fail() {
  echo "FAILED: $*" >&2
  tail -n 30 "$TEST_LOGS"/*.log >&2 || true
  exit 1
}
same() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }

exit_code_of() {
  local code=0
  "$@" > /dev/null 2>&1 || code=$?
  echo "$code"
}

field() { scontrol show job -o "$1" | grep -o " $2=[^ ]*" | cut -d = -f 2; }

# wait_for_end ID : its final state.
wait_for_end() {
  local state
  for _ in $(seq 600); do
    state=$(field "$1" JobState)
    case $state in PENDING | RUNNING | COMPLETING | CONFIGURING | REQUEUED) sleep 0.2 ;; *) break ;; esac
  done
  echo "$state"
}

# A small cut of the lab: seconds a job.
write_config() {
  head -n 24 tests/lab/tasks/number/test.jsonl > "$scratch/test.jsonl"
  head -n 300 tests/lab/corpus.jsonl > "$scratch/corpus.jsonl"
  cat > "$scratch/$1.yaml" << EOF
run: $scratch/runs/$1
base: {path: tests/lab/base}
bank:
  adapters: [tests/lab/bank/tool, tests/lab/bank/price, tests/lab/bank/home, tests/lab/bank/x-pet]
task: {name: number, shots: tests/lab/tasks/number/shots.jsonl, evaluation: $scratch/test.jsonl, k: 6, answer: number}
corpus: {records: [$scratch/corpus.jsonl]}
encoder: {path: tests/lab/encoder}
scoring: {max_new_tokens: 40}
experts: {candidates: 4, count: 2}
selection: {retrieve: 40}
training: {learning_rate: 3.0e-3, epochs: 1}
evaluation: {rivals: [base]}
EOF
}

check_usage() {
  same "unknown option" 64 "$(exit_code_of slurm/submit --nonsense)"
  same "no configuration" 64 "$(exit_code_of slurm/submit)"
  same "missing configuration" 78 "$(exit_code_of slurm/submit "$scratch/none.yaml")"
  same "help" 0 "$(exit_code_of slurm/submit --help)"
}

# The jobs that a dry run names, each with those that it waits for.
check_dry_run() {
  local printed
  printed=$(slurm/submit configs/lab-number.yaml --set 'task.name=a b' --dry-run)
  same "chain" "score: embed: experts:score select:embed finetune:experts,select evaluate:finetune export:evaluate report:export" \
    "$(sed -nE 's/^([a-z]+)=\$\(sbatch (.*)$/\1 \2/p' <<< "$printed" |
      sed -E 's/^([a-z]+) .*--dependency=afterok:([^"]*)".*/\1:\2/; s/^([a-z]+) .*/\1:/; s/:\$/,/g; s/,/:/; s/::/:/' | xargs)"
  [[ $printed = *"--partition=test"* ]] || fail "the dry run has no partition"
  [[ $printed = *"rocket.sbatch score configs/lab-number.yaml --set task.name=a\\ b"* ]] || fail "the dry run lost --set"
  printed=$(slurm/submit --sweep configs/sweeps/lab-k.yaml --dry-run)
  [[ $printed = *"--array=0-11%2"*"rocket.sbatch sweep configs/sweeps/lab-k.yaml run)" ]] || fail "sweep: $printed"
  same "jobs after a dry run" 0 "$(squeue -h | wc -l)"
}

# run_chain NAME LAUNCHER
run_chain() {
  local name=$1 id job
  export TEST_LAUNCHER=$2
  write_config "$name"
  slurm/submit "$scratch/$name.yaml" > "$scratch/$name.jobs" || fail "submit"
  same "jobs of the chain" 8 "$(wc -l < "$scratch/$name.jobs")"
  while read -r id job _; do
    same "$name: state of $job" COMPLETED "$(wait_for_end "$id")"
  done < "$scratch/$name.jobs"
}

check_nodes() {
  local log
  log=$(echo "$TEST_LOGS/$1".score-*.log)
  grep -q "on n\[1-2\]" "$log" || fail "$1: score did not run on two nodes"
}

same_results() {
  local file
  for file in score embed select; do
    h5diff -v "$scratch/runs/$1/$file.h5" "$scratch/runs/$2/$file.h5" > "$scratch/differences" ||
      fail "$file.h5 of $1 and $2 differ: $(cat "$scratch/differences")"
  done
  cmp "$scratch/runs/$1/experts.json" "$scratch/runs/$2/experts.json" || fail "experts.json of $1 and $2 differ"
}

check_finished() {
  write_config alone
  "$rocket" run --quiet "$scratch/alone.yaml" > /dev/null || fail "the run on one rank"
  same_results alone srun
  same_results alone mpirun
}

# check_requeue LAUNCHER : warned on both ranks, back into the queue, then done.
check_requeue() {
  local id notes=$scratch/notes.$1
  mkdir "$notes"
  id=$(TEST_LAUNCHER=$1 ROCKET=$here/stop_once sbatch --parsable --nodes=2 --ntasks-per-node=1 --time=00:10:00 \
    --job-name="requeue.$1" --output="$TEST_LOGS/%x.log" slurm/rocket.sbatch score "$notes")
  for _ in $(seq 150); do
    [ "$(cat "$notes"/rank* 2> /dev/null | grep -c started)" != 2 ] || break
    sleep 0.1
  done
  scancel --batch --signal=USR1 "$id"
  same "requeue with $1" COMPLETED "$(wait_for_end "$id")"
  same "restarts with $1" 1 "$(field "$id" Restarts)"
  same "notes with $1" "attempt 0 started,attempt 0 warned,attempt 1 finished," "$(tr '\n' , < "$notes/rank1")"
}

# Both points at the same time: they share all but fine-tuning and what follows it.
check_array() {
  local id point
  export TEST_LAUNCHER=srun
  write_config point
  printf 'config: %s\nruns: %s\ngrid: {training.epochs: [0, 1]}\n' "$scratch/point.yaml" "$scratch/points" \
    > "$scratch/sweep.yaml"
  id=$(slurm/submit --sweep "$scratch/sweep.yaml" | cut -d ' ' -f 1)
  for point in 0 1; do same "point $point" COMPLETED "$(wait_for_end "${id}_$point")"; done
  same "points in the sweep's table" 2 \
    "$("$rocket" sweep "$scratch/sweep.yaml" table --format csv | grep -cE '^training.epochs=[01],[01],[01]\.?[0-9]*,')"
}

cluster_up "$scratch/c"
check_usage
check_dry_run
check_requeue srun
check_requeue mpirun
run_chain srun srun
run_chain mpirun mpirun
check_nodes srun
check_nodes mpirun
check_finished
check_array
echo "passed"
