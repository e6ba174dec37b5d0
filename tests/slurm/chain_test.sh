#!/usr/bin/env bash
# chain_test.sh ROCKET: whole chains and a sweep of the lab on a private Slurm of two nodes. Exit code 77: skipped.
set -euo pipefail
rocket=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=cluster.sh
source "$here/cluster.sh"

# shellcheck source=checks.sh
source "$here/checks.sh"
begin
export ROCKET=$rocket ROCKET_SITE=$here/site.conf

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

# run_chain NAME LAUNCHER
run_chain() {
  local name=$1 id job
  export TEST_LAUNCHER=$2
  write_config "$name"
  slurm/submit "$scratch/$name.yaml" > "$scratch/$name.jobs" || fail "submit"
  echo "edited: after submitting" >> "$scratch/$name.yaml"  # the jobs read a copy
  same "jobs of the chain" 8 "$(wc -l < "$scratch/$name.jobs")"
  while read -r id job _; do
    same "$name: state of $job" COMPLETED "$(wait_for_end "$id")"
  done < "$scratch/$name.jobs"
}

# The record of each job but report, which has none, names the copy that it read, with its hash.
check_record() {
  local copy="$TEST_LOGS/submitted/$1"
  same "records of $1" 7 "$(grep -cE "^ *\"$copy\.[0-9a-f]{12}\.yaml\": \"[0-9a-f]{32}\"" "$scratch/runs/$1/manifest.json")"
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

# Both points at the same time: they share all but fine-tuning and what follows it.
check_array() {
  local id point
  export TEST_LAUNCHER=srun
  write_config point
  printf 'config: %s\nruns: %s\ngrid: {training.epochs: [0, 1]}\n' "$scratch/point.yaml" "$scratch/points" \
    > "$scratch/sweep.yaml"
  id=$(slurm/submit --sweep "$scratch/sweep.yaml" | cut -d ' ' -f 1)
  echo "edited: after submitting" >> "$scratch/point.yaml"
  for point in 0 1; do same "point $point" COMPLETED "$(wait_for_end "${id}_$point")"; done
  same "files of a point" 2 "$(grep -oE '(point|sweep)\.[0-9a-f]{12}\.yaml": "[0-9a-f]{32}"' "$scratch/points/training.epochs=1/manifest.json" |
    sort -u | wc -l)"
  same "points in the sweep's table" 2 \
    "$("$rocket" sweep "$scratch/sweep.yaml" table --format csv | grep -cE '^training.epochs=[01],[01],[01]\.?[0-9]*,')"
}

# What is typed in a shell of a step of two tasks is one process; the other task has ended.
check_shell() {
  local said
  write_config shell
  said=$(printf '%s\nexit\n' "$rocket score $scratch/shell.yaml" |
    timeout 120 script -qec "srun -n2 --pty bash --norc -i" /dev/null 2>&1) || fail "the shell in a step: $said"
  holds "the shell in a step" "$said" "1 rank on 1 node"
  holds "the shell in a step" "$said" "one of the 2 tasks of its Slurm step"
  holds "the shell in a step" "$said" "score: done in"
}

# A step of which only the first task runs rocket: it says for whom it waits, and a stop ends it.
check_lone_task() {
  local said
  said=$(timeout 60 srun -n2 bash -c "[ \$SLURM_PROCID = 0 ] || exec sleep 14; exec timeout -k 2 13 $rocket score $scratch/shell.yaml" 2>&1) || true
  holds "a lone task" "$said" "MPI still waits for the other tasks: SLURM_STEP_NUM_TASKS says that this is one of 2"
}

cluster_up "$scratch/c"
run_chain srun srun
run_chain mpirun mpirun
check_record srun
check_record mpirun
check_nodes srun
check_nodes mpirun
check_finished
check_array
if command -v script > /dev/null; then check_shell; fi
check_lone_task
echo "passed"
