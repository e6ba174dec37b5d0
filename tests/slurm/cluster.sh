# shellcheck shell=bash
# A private Slurm of two nodes on this host, for tests: own configuration, key, ports and state in one folder; nothing
# outside it is touched. Each slurmd has its own host name and /dev/shm, so that MPI takes the nodes for two machines.
# Source it, then: cluster_missing (says what is missing, if anything), cluster_up, cluster_down.

cluster_nodes=2
cluster_cpus=2

cluster_missing() {
  local command
  [ "$(id -u)" = 0 ] || {
    echo "not root"
    return
  }
  for command in munged slurmctld slurmd sbatch srun squeue scontrol scancel mpirun unshare; do
    command -v "$command" > /dev/null || {
      echo "no $command"
      return
    }
  done
  unshare -m -u true 2> /dev/null || echo "no permission to make namespaces"
}

cluster_configuration() {
  local node host port=$1
  host=$(hostname)
  cat << EOF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until its old credential has expired: 120 s if this is not said, 5 s at least.
AuthInfo=socket=$cluster/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool.%n
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.%n.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/slurmd.%n.log
# The PMIx plugin keeps its files here; two slurmd on one host must not share them.
TmpFS=$cluster/tmp.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
SchedulerType=sched/backfill
SlurmdTimeout=30
KillWait=3
# Finished jobs stay visible to the test.
MinJobAge=3600
JobRequeue=1
SlurmdParameters=config_overrides
# A sweep of four points already needs two arrays.
MaxArraySize=3
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=test Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 State=UP
# Jobs of urgent take the nodes from jobs of low, which are warned 20 s before.
PartitionName=low Nodes=ALL MaxTime=60 DefaultTime=10 State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=ALL MaxTime=60 DefaultTime=10 State=UP PriorityTier=10
EOF
  for node in $(seq "$cluster_nodes"); do
    echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + node)) CPUs=$cluster_cpus RealMemory=4000 Gres=gpu:2"
  done
}

# Runs a command as on node $1.
cluster_on_node() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare -m -u --propagation private bash -c '
    hostname "$0"
    mount -t tmpfs -o size=1g tmpfs /dev/shm
    mount --bind "$1/hosts" /etc/hosts
    shift
    exec "$@"' "n$1" "$cluster" "${@:2}"
}

cluster_fail() {
  echo "private Slurm: $1" >&2
  tail -n 5 "$cluster"/*.log >&2 || true
  return 1
}

# Starts the cluster in the folder $1 (a short path: sockets live in it) and waits until its nodes are idle.
cluster_up() {
  cluster=$1
  export SLURM_CONF=$cluster/slurm.conf
  local node
  mkdir -p "$cluster/state"
  chmod 755 "$cluster"  # munge refuses a socket in a folder that others cannot enter
  cluster_configuration $((20000 + $$ % 1000 * 10)) > "$SLURM_CONF"
  touch "$cluster"/gpu{0,1}
  echo "Name=gpu File=$cluster/gpu[0-1]" > "$cluster/gres.conf"  # files that Slurm counts as GPUs
  echo "CgroupPlugin=cgroup/v1" > "$cluster/cgroup.conf"  # none is used; detection fails where none is mounted
  { echo "127.0.0.1 localhost $(hostname)"; for node in $(seq "$cluster_nodes"); do echo "127.0.0.1 n$node"; done; } > "$cluster/hosts"
  (umask 077; head -c 128 /dev/urandom > "$cluster/munge.key")
  munged --key-file="$cluster/munge.key" --socket="$cluster/munge.sock" --pid-file="$cluster/munged.pid" \
    --log-file="$cluster/munged.log" --seed-file="$cluster/munge.seed" --num-threads=2 || cluster_fail "munged" || return
  slurmctld -i || cluster_fail "slurmctld" || return
  for node in $(seq "$cluster_nodes"); do
    mkdir -p "$cluster/spool.n$node" "$cluster/tmp.n$node"
    cluster_on_node "$node" slurmd -N "n$node" || cluster_fail "slurmd n$node" || return
  done
  for _ in $(seq 100); do
    [ "$(timeout 3 sinfo -h -N -p test -o %t 2> /dev/null | grep -c '^idle$')" = "$cluster_nodes" ] && return 0
    sleep 0.2
  done
  cluster_fail "the nodes do not become idle"
}

# Ends all jobs and daemons of this cluster, and none of another.
cluster_down() {
  local file pid pids=()
  [ -n "${cluster:-}" ] || return 0
  if [ -e "$cluster/slurmctld.pid" ]; then
    timeout 10 scancel -f -u root 2> /dev/null || true
    for _ in $(seq 40); do
      [ -n "$(timeout 5 squeue -h -t R,CG 2> /dev/null)" ] || break
      sleep 0.1
    done
  fi
  for file in "$cluster"/*.pid; do
    pid=$(cat "$file" 2> /dev/null) || continue
    grep -qaE 'slurmd|slurmctld|munged' "/proc/$pid/cmdline" 2> /dev/null && pids+=("$pid")
  done
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2> /dev/null || true
  for _ in $(seq 50); do
    kill -0 "${pids[@]}" 2> /dev/null || break
    sleep 0.1
  done
  for pid in "${pids[@]}"; do kill -9 "$pid" 2> /dev/null || true; done
  for pid in $(pgrep -x slurmstepd || true); do
    if tr '\0' '\n' < "/proc/$pid/environ" 2> /dev/null | grep -qx "SLURM_CONF=$SLURM_CONF"; then kill -9 "$pid"; fi
  done
  cluster=
}
