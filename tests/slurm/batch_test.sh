#!/usr/bin/env bash
# batch_test.sh : how jobs of slurm/submit and slurm/rocket.sbatch are asked for, stop and end, on a private Slurm of
# two nodes, with a program that only pretends to be rocket. Exit code 77: skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=cluster.sh
source "$here/cluster.sh"
# shellcheck source=checks.sh
source "$here/checks.sh"
begin
# A space in every path.
mkdir "$scratch/a b"
ln -s "$here/pretend" "$scratch/a b/rocket"
export ROCKET="$scratch/a b/rocket" ROCKET_SITE=$here/site.conf PRETEND_NOTES="$scratch/a b/notes" TEST_LOGS="$scratch/a b/logs"
mkdir "$PRETEND_NOTES" "$TEST_LOGS"

# site NAME [LINE...] : jobs from now on have the tests' site file with these lines behind it.
site() {
  export ROCKET_SITE=$scratch/a\ b/$1.conf
  printf '%s\n' "source '$here/site.conf'" "${@:2}" > "$ROCKET_SITE"
}

# start NAME [OPTION...] -- ARGUMENT... : a job of rocket.sbatch; prints its id.
start() {
  local name=$1 options=()
  shift
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  sbatch --parsable --time=00:10:00 --job-name="$name" --output="$TEST_LOGS/%x.log" "${options[@]}" slurm/rocket.sbatch "${@:2}"
}
two_nodes=(--nodes=2 --ntasks-per-node=1)

log() { cat "$TEST_LOGS/$1.log"; }
notes() { cat "$PRETEND_NOTES/$1"; }
# noted COUNT FILE... : the files have so many lines.
noted() { [ "$(cat "${@:2}" 2> /dev/null | wc -l)" = "$1" ]; }
warn_job() { scancel --batch --signal="${2:-USR1}" "$1"; }

check_usage() {
  site plain
  same "unknown option" 64 "$(exit_code_of slurm/submit --nonsense)"
  same "no configuration" 64 "$(exit_code_of slurm/submit)"
  same "missing configuration" 78 "$(exit_code_of slurm/submit "$scratch/none.yaml")"
  same "missing program" 78 "$(ROCKET=/nowhere exit_code_of slurm/submit configs/lab-number.yaml)"
  same "help" 0 "$(exit_code_of slurm/submit --help)"
}

# The jobs that a dry run names, each with those that it waits for.
check_dry_run() {
  site plain
  local printed copy
  printed=$(slurm/submit configs/lab-number.yaml --set 'task.name=a b' --dry-run)
  same "chain" \
    "score: experts:score embed: select:embed finetune:experts,select rivals:experts,select evaluate:finetune,rivals export:finetune report:evaluate,export" \
    "$(sed -nE 's/^([a-z]+)=\$\(sbatch (.*)$/\1 \2/p' <<< "$printed" |
      sed -E 's/^([a-z]+) .*--dependency=afterok:([^"]*)".*/\1:\2/; s/^([a-z]+) .*/\1:/; s/:\$/,/g; s/,/:/; s/::/:/' | xargs)"
  holds "partition" "$printed" "--partition=test"
  copy=lab-number.$(sha256sum configs/lab-number.yaml | cut -c -12).yaml
  holds "settings" "$printed" "/submitted/$copy --set task.name=a\\ b"
  printed=$(slurm/submit configs/lab-number.yaml --live --dry-run)
  holds "live configuration" "$printed" "rocket.sbatch score configs/lab-number.yaml)"
  same "jobs after a dry run" 0 "$(squeue -h | wc -l)"
  [ ! -e "$TEST_LOGS/submitted" ] || fail "a dry run wrote files"
}

# submit ARGUMENT... : id and name of each job into the file `jobs`; then job_id NAME.
submit() { slurm/submit "$@" > "$scratch/jobs" 2> "$scratch/messages" || fail "submit $*: $(cat "$scratch/messages")"; }
job_id() { awk -v name="$1" '$2 == name { print $1 }' "$scratch/jobs"; }
cancel_submitted() { cut -d ' ' -f 1 "$scratch/jobs" | xargs scancel; }

# What the hints of site.conf say is what sbatch takes, and a job's own options go before the site's.
check_options() {
  local option printed score asked
  for option in --gpus-per-node:2 --gres=gpu:2 --gres=gpu:gpu:2 --gres:gpu:2; do
    site gpus "GPU_OPTION=${option%%:*}" "GPUS_PER_NODE=${option#*:}" 'GPU_JOBS="score evaluate"' \
      "SIZE[score]+=' --partition=low --hold --comment=\"two words\"'" 'SIZE[evaluate]+=" --gres=gpu:1"'
    printed=$(slurm/submit configs/lab-number.yaml --dry-run)
    holds "GPUs of its own" "$(grep ^evaluate= <<< "$printed")" "--gres=gpu:1"
    [[ $(grep ^evaluate= <<< "$printed") != *gpu*:2* ]] || fail "$option and GPUs of its own: $printed"
    holds "partition of the site" "$(grep ^embed= <<< "$printed")" "--partition=test"
    [[ $(grep ^embed= <<< "$printed") != *gpu* ]] || fail "$option: embed has GPUs: $printed"
    eval "$(grep ^score= <<< "$printed")" || fail "$option: refused by sbatch"
    asked=$(scontrol show job -o "$score")
    holds "$option" "$asked" "TresPerNode=gres:gpu:2"
    holds "partition of its own" "$asked" " Partition=low "
    holds "words" "$asked" " Comment=two words "
    scancel "$score"
  done
  ROCKET_SITE=$PWD/slurm/site.conf slurm/submit configs/lab-number.yaml --dry-run > "$scratch/printed" || fail "site.conf"
  holds "site.conf as it is" "$(cat "$scratch/printed")" "--ntasks-per-node=1 --cpus-per-task=1"
  sed 's/^GPUS_PER_NODE=0/GPUS_PER_NODE=4/' slurm/site.conf > "$scratch/four.conf"
  ROCKET_SITE=$scratch/four.conf slurm/submit configs/lab-number.yaml --dry-run > "$scratch/printed" || fail "four GPUs"
  holds "site.conf with GPUs" "$(cat "$scratch/printed")" "--gpus-per-node=4 --nodes=1 --ntasks-per-node=4 --cpus-per-task=8"
}

# A chain is submitted to its end or not at all.
check_refused() {
  site refused 'SIZE[export]+=" --partition=nowhere"'
  same "a job that sbatch refuses" 78 "$(exit_code_of slurm/submit configs/lab-number.yaml)"
  site quote "SIZE[export]+=' --comment=\"two'"
  same "an open quote" 78 "$(exit_code_of slurm/submit configs/lab-number.yaml)"
  site broken 'SIZE[export]=('
  same "a site file that is no bash" 78 "$(exit_code_of slurm/submit configs/lab-number.yaml)"
  same "jobs left of refused chains" "" "$(squeue -h -t PD,R -o %j | grep lab-number || true)"
}

# Jobs read the configuration as it was when they were submitted; with --live as it is.
check_snapshot() {
  local config="$scratch/a b/my task.yaml" live=''
  site snapshot 'SIZE[score]+=" --hold"'
  export PRETEND=config
  for live in "" --live; do
    echo "run: first" > "$config"
    submit "$config" --set 'task.name=a b' $live
    echo "run: second" > "$config"
    scontrol release "$(job_id score)"
    same "state" "COMPLETED 0:0 0" "$(ended "$(job_id score)")"
    same "what the job read ($live)" "run: $([ -n "$live" ] && echo second || echo first)" "$(notes "my task.score.0")"
    rm "$PRETEND_NOTES/my task".*
    cancel_submitted
  done
  holds "the copy is told" "$(cat "$TEST_LOGS/my task.score-"*)" "/submitted/my task.$(echo "run: first" | sha256sum | cut -c -12).yaml"
}

# Jobs that are told to stop, or stop by themselves, and go on after a requeue. They wait for it side by side.
start_stops() {
  export PRETEND=stop
  site slow "touch '$scratch/reading'; sleep 1"
  early=$(start early -- score x)
  wait_until test -e "$scratch/reading"
  warn_job "$early" USR2  # in the script's first moments
  # shellcheck disable=SC2016  # for the site file
  site deaf "srun() { trap '' USR1; touch '$scratch/launching'; sleep 1; trap - USR1;" 'exec env srun "$@"; }'
  launching=$(start launching -- score x)
  wait_until test -e "$scratch/launching"
  warn_job "$launching"  # in the launcher's first moments, when it loses signals
  # shellcheck disable=SC2016  # for the site file
  site lost 'srun() { [ "${SLURM_RESTART_COUNT:-0}" = 0 ] || exec env srun "$@"; trap "exit 205" USR1;' \
    "touch '$scratch/losing'; while true; do sleep 0.1; done; }"
  lost=$(start lost -- score x)
  wait_until test -e "$scratch/losing"
  warn_job "$lost"  # the launcher ends of it, with a code of its own
  site plain
  array=$(PRETEND=tasks start array --array=0-2 -- score x)
}

end_stops() {
  same "warned early" "COMPLETED 0:0 1" "$(ended "$early")"
  same "warned early" "attempt 1 finished" "$(notes early.0)"
  same "warned while launching" "COMPLETED 0:0 1" "$(ended "$launching")"
  same "warned while launching" "attempt 0 started attempt 0 stopped attempt 1 finished" "$(notes launching.0 | xargs)"
  same "a launcher that a warning ends" "COMPLETED 0:0 1" "$(ended "$lost")"
  same "a launcher that a warning ends" "attempt 1 finished" "$(notes lost.0)"
  # The last task of an array is requeued alone.
  same "the task that stopped" "COMPLETED 0:0 1" "$(ended "${array}_2")"
  same "the task that runs" RUNNING "$(field "${array}_1" JobState)"
  touch "$PRETEND_NOTES/release"
  same "the task that ran on" "COMPLETED 0:0 0" "$(ended "${array}_1")"
  same "the task that was done" "COMPLETED 0:0 0" "$(ended "${array}_0")"
  rm "$PRETEND_NOTES/release"
  same "attempts of the tasks" "attempt 0 started,attempt 0 finished,attempt 0 started,attempt 0 finished,attempt 0 started,attempt 1 started,attempt 1 finished," \
    "$(cat "$PRETEND_NOTES"/array.[012].0 | tr '\n' ,)"
}

# An urgent job takes both nodes: the ranks get TERM, and under mpirun the launcher loses its daemons.
start_preempted() {
  site plain
  PRETEND=stop TEST_LAUNCHER=mpirun start preempted "${two_nodes[@]}" --partition=low --exclusive -- score x > "$scratch/preempted"
  wait_until noted 2 "$PRETEND_NOTES"/preempted.{0,1}
  sbatch --parsable --partition=urgent "${two_nodes[@]}" --exclusive --output=/dev/null --wrap "sleep 0.2" > /dev/null
  wait_until grep -qs "back into the queue" "$TEST_LOGS/preempted.log"
}
end_preempted() { same "preempted" "COMPLETED 0:0 1" "$(ended "$(cat "$scratch/preempted")")"; }

# Warned on both nodes, by either launcher.
declare -A requeued=()
start_requeue() {
  local launcher signal=USR1
  site plain
  for launcher in srun mpirun; do
    requeued[$launcher]=$(PRETEND=stop TEST_LAUNCHER=$launcher start $launcher "${two_nodes[@]}" -- score x)
    wait_until noted 2 "$PRETEND_NOTES/$launcher".{0,1}
    warn_job "${requeued[$launcher]}" $signal
    signal=HUP
  done
}
end_requeue() {
  local launcher
  for launcher in srun mpirun; do
    same "requeue with $launcher" "COMPLETED 0:0 1" "$(ended "${requeued[$launcher]}")"
    same "notes with $launcher" "attempt 0 started,attempt 0 stopped,attempt 1 finished," "$(notes $launcher.1 | tr '\n' ,)"
  done
}

# What a job ends with, and what its log says.
check_ends() {
  site plain
  local code
  declare -A id
  for code in 65 70 75; do id[$code]=$(PRETEND="exit" start code$code --no-requeue -- score $code); done
  id[kill]=$(PRETEND="kill" start killed -- score x)
  id[cancel]=$(PRETEND=stop start cancelled -- score x)
  id[term]=$(PRETEND=stop start term -- score x)
  id[program]=$(ROCKET=/nowhere start program -- score x)
  id[nosite]=$(ROCKET_SITE=/nowhere start nosite -- score x)
  site few MAX_REQUEUES=0
  id[few]=$(PRETEND="exit" start few -- score 75)
  wait_until noted 1 "$PRETEND_NOTES/cancelled.0"
  wait_until noted 1 "$PRETEND_NOTES/term.0"
  scancel "${id[cancel]}"
  warn_job "${id[term]}" TERM
  same "broken input" "FAILED 65:0 0" "$(ended "${id[65]}")"
  same "a fault" "FAILED 70:0 0" "$(ended "${id[70]}")"
  same "stopped with --no-requeue" "FAILED 75:0 0" "$(ended "${id[75]}")"
  holds "--no-requeue" "$(log code75)" "submit it again"
  same "a rank is killed" "FAILED 137:0 0" "$(ended "${id[kill]}")"
  same "no program" "FAILED 78:0 0" "$(ended "${id[program]}")"
  same "no site file" "FAILED 78:0 0" "$(ended "${id[nosite]}")"
  same "too many requeues" "FAILED 75:0 0" "$(ended "${id[few]}")"
  holds "too many requeues" "$(log few)" "stopped after 0 requeues"
  same "TERM" "FAILED 75:0 0" "$(ended "${id[term]}")"
  same "TERM" "attempt 0 started attempt 0 stopped" "$(notes term.0 | xargs)"
  same "cancelled" CANCELLED "$(wait_for_end "${id[cancel]}")"
  same "cancelled, and not requeued" 0 "$(field "${id[cancel]}" Restarts)"
}

check_modules() {
  local loads fails none job
  export PRETEND=environment
  # shellcheck disable=SC2016  # for the site file
  site modules 'SITE_PLACE=$NOT_SET' 'module() { [ "$ALSO_NOT_SET" != x ] && export SITE_MODULES="$*" OMP_NUM_THREADS=1; }' 'MODULES="gcc/12 mpi"'
  loads=$(start loads -- score x)
  site fails 'module() { return 1; }' MODULES=gcc/12
  fails=$(start fails -- score x)
  site none MODULES=gcc/12
  none=$(start none -- score x)
  same "modules" "COMPLETED 0:0 0" "$(ended "$loads")"
  same "modules" "attempt 0 SITE_MODULES=load gcc/12 mpi" "$(notes loads.0)"
  same "a module that is not there" "FAILED 78:0 0" "$(ended "$fails")"
  holds "a module that is not there" "$(log fails)" "'module load gcc/12' failed"
  same "no command module" "FAILED 78:0 0" "$(ended "$none")"
  holds "no command module" "$(log none)" "no command 'module'"
  # submit needs them too, for rocket, which lists the points of a sweep.
  for job in modules fails none; do
    ROCKET_SITE=$scratch/a\ b/$job.conf slurm/submit --sweep configs/sweeps/lab-k.yaml --dry-run > "$scratch/$job" 2>&1 || true
  done
  holds "modules for submit" "$(cat "$scratch/modules")" "sweep3="
  holds "a module that is not there for submit" "$(cat "$scratch/fails")" "'module load gcc/12' failed"
  holds "no command module for submit" "$(cat "$scratch/none")" "no command 'module'"
}

# Threads are the cores that Slurm gave, whatever the shell that submitted says.
check_threads() {
  local launcher
  export PRETEND=threads OMP_NUM_THREADS=1 SRUN_CPUS_PER_TASK=1
  declare -A id
  for launcher in srun mpirun; do
    site plain
    id[asked.$launcher]=$(TEST_LAUNCHER=$launcher start asked.$launcher --cpus-per-task=2 -- score x)
    id[part.$launcher]=$(TEST_LAUNCHER=$launcher start part.$launcher --exclusive --cpus-per-task=1 -- score x)
    id[uneven.$launcher]=$(TEST_LAUNCHER=$launcher start uneven.$launcher --nodes=2 --ntasks=3 --exclusive -- score x)
    id[whole.$launcher]=$(TEST_LAUNCHER=$launcher start whole.$launcher --nodes=2 --exclusive -- score x)
    id[listed.$launcher]=$(TEST_LAUNCHER=$launcher start listed.$launcher --cpus-per-task=2 \
      --export=PATH,HOME,ROCKET,ROCKET_SITE,PRETEND,PRETEND_NOTES,TEST_LAUNCHER,TEST_LOGS -- score x)
    site threads "export OMP_NUM_THREADS=3"
    id[site.$launcher]=$(TEST_LAUNCHER=$launcher start site.$launcher -- score x)
  done
  for launcher in srun mpirun; do
    same "asked for, $launcher" "COMPLETED 0:0 0" "$(ended "${id[asked.$launcher]}")"
    holds "asked for, $launcher" "$(notes asked.$launcher.0)" "threads 2, cores 2"
    same "a part of a node, $launcher" "COMPLETED 0:0 0" "$(ended "${id[part.$launcher]}")"
    holds "a part of a node, $launcher" "$(notes part.$launcher.0)" "threads 1"
    same "two ranks here and one there, $launcher" "COMPLETED 0:0 0" "$(ended "${id[uneven.$launcher]}")"
    holds "two ranks here and one there, $launcher" "$(notes uneven.$launcher.2)" "threads 1"
    same "whole nodes, $launcher" "COMPLETED 0:0 0" "$(ended "${id[whole.$launcher]}")"
    holds "whole nodes, $launcher" "$(notes whole.$launcher.1)" "threads 2"
    holds "whole nodes, $launcher" "$(notes whole.$launcher.1)" "rank 1 of 2"
    same "a list of variables, $launcher" "COMPLETED 0:0 0" "$(ended "${id[listed.$launcher]}")"
    holds "a list of variables, $launcher" "$(notes listed.$launcher.0)" "threads 2"
    same "said by the site, $launcher" "COMPLETED 0:0 0" "$(ended "${id[site.$launcher]}")"
    holds "said by the site, $launcher" "$(notes site.$launcher.0)" "threads 3"
  done
  unset OMP_NUM_THREADS SRUN_CPUS_PER_TASK
  # Else mpirun's daemon on another node, and the ranks that it starts, are bound to the cores of one rank.
  holds "mpirun's daemons" "$(notes asked.mpirun.0)" "daemons' all"
}

# Called in a job of an array, as in an interactive one, submit keeps that job's variables from the new jobs.
check_foreign() {
  site plain
  rm -f "$PRETEND_NOTES"/lab-number.*  # a job of a refused chain may have started
  PRETEND=environment SLURM_JOB_ID=1 SLURM_ARRAY_JOB_ID=1 SLURM_ARRAY_TASK_ID=7 OMPI_COMM_WORLD_OF_ANOTHER=1 submit configs/lab-number.yaml
  same "in a job" "COMPLETED 0:0 0" "$(ended "$(job_id score)")"
  same "in a job" "attempt 0 " "$(notes lab-number.score.0)"
  cancel_submitted
}

# Seven points where an array holds three.
check_split() {
  site plain
  local job printed
  printed=$(slurm/submit --sweep configs/sweeps/lab-k.yaml --dry-run)
  # shellcheck disable=SC2016  # what is printed is for a shell to run
  holds "one array after another" "$(grep ^sweep3= <<< "$printed")" '"--dependency=afterany:$sweep2"'
  PRETEND=words submit --sweep configs/sweeps/lab-k.yaml
  same "arrays" "sweep: points 0 to 2,sweep2: points 3 to 5 (after sweep),sweep3: points 6 to 6 (after sweep2)," \
    "$(cut -d ' ' -f 2- "$scratch/jobs" | tr '\n' ,)"
  for job in sweep sweep2 sweep3; do wait_until array_ended "$(job_id $job:)"; done
  same "points" "--point 3 4 5 6" "$(cat "$PRETEND_NOTES"/lab-k.sweep.* | grep -xE -e '--point|[3-6]' | sort -u | xargs)"
  same "tasks" 7 "$(cat "$PRETEND_NOTES"/lab-k.sweep.* | grep -cx run)"
}
array_ended() { ! scontrol show job -o "$1" | grep -qvE 'JobState=COMPLETED '; }

step() {
  "$@"
  echo "${SECONDS} s: $*"
}
step cluster_up "$scratch/c"
step check_usage
step check_dry_run
step start_stops
step start_requeue
step check_options
step check_refused
step end_stops
step end_requeue
step start_preempted
step check_ends
step check_snapshot
step check_modules
step check_threads
step check_foreign
step check_split
step end_preempted
echo "passed"
