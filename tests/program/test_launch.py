"""How jobs start, share cores, and end: launchers, threads, signals, ranks that hang."""
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import tempfile
import time
import unittest

from small_world import LAB, REPOSITORY, ROCKET, environment, make_world, rocket

CORES = len(os.sched_getaffinity(0))
needs_cores = unittest.skipIf(CORES < 2, "one core")


def clean(**more):
    """The environment without what says how many threads or ranks there are."""
    known = ("OMP_NUM_THREADS", "SLURM_", "PMI", "OMPI_COMM")
    return {name: value for name, value in environment(**more).items() if name in more or not name.startswith(known)}


def run(*arguments, launcher=(), timeout=120, **more):
    return subprocess.run([*launcher, str(ROCKET), *map(str, arguments)], cwd=REPOSITORY, env=clean(**more), timeout=timeout,
                          capture_output=True, text=True)


def start(*arguments, launcher=(), **more):
    return subprocess.Popen([*launcher, str(ROCKET), *map(str, arguments)], cwd=REPOSITORY, env=clean(**more),
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)


def descendants(pid):
    """Processes of this program below `pid`, by rank."""
    found = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            stat, variables = (entry / "stat").read_text(), (entry / "environ").read_bytes()
            program = os.readlink(entry / "exe")
        except OSError:
            continue
        rank = re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", variables)
        if rank and program == str(ROCKET) and int(stat.rsplit(")", 1)[1].split()[1]) == pid:
            found[int(rank.group(1))] = int(entry.name)
    return found


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return value


def holds_or_handles(pid, name):
    """Whether the process has come so far that the signal no longer kills it."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return any(int(re.search(rf"{mask}:\s*(\w+)", status).group(1), 16) >> (name - 1) & 1 for mask in ("SigBlk", "SigCgt"))


class World(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.config = make_world(cls.folder.name, adapters=("home", "sells"), shots=2, records=100)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_folder(self, name):
        return pathlib.Path(self.folder.name) / name


class Threads(World):
    def first_line(self, done, job):
        self.assertEqual(done.returncode, 0, done.stderr)
        return next(line for line in done.stderr.splitlines() if line.startswith(f"{job}: "))

    def test_the_first_line_says_ranks_threads_device_and_memory(self):
        line = self.first_line(run("score", self.config, "--set", f"run={self.run_folder('first')}"), "score")
        self.assertRegex(line, rf"^score: 1 rank on 1 node, {CORES} threads? \(.*\), .+, \d+\.\d GiB of memory$")
        line = self.first_line(run("score", self.config, "--set", f"run={self.run_folder('four')}", launcher=("mpirun", "-np", "4")), "score")
        self.assertRegex(line, r"^score: 4 ranks on 1 node, 1 thread each \(a share of the cores\), ")

    @needs_cores
    def test_a_binding_that_leaves_cores_idle_is_said_once_with_the_way_out(self):
        bound = run("score", self.config, "--set", f"run={self.run_folder('bound')}", launcher=("mpirun", "--bind-to", "core", "-np", "1"))
        self.assertIn("1 rank on 1 node, 1 thread (", bound.stderr)
        self.assertEqual(bound.stderr.count("mpirun --bind-to none"), 1)
        self.assertIn(f"{CORES - 1} of {CORES} cores", bound.stderr)
        for name, launcher in (("free", ("mpirun", "--bind-to", "none", "-np", "1")), ("set", ("taskset", "-c", "0"))):
            free = run("score", self.config, "--set", f"run={self.run_folder(name)}", launcher=launcher)
            self.assertEqual(free.returncode, 0, free.stderr)
            self.assertNotIn("idle", free.stderr)
            self.assertIn(f"{CORES if name == 'free' else 1} thread", free.stderr)

    @needs_cores
    def test_openmp_variables(self):
        few = run("score", self.config, "--set", f"run={self.run_folder('omp')}", OMP_NUM_THREADS="1")
        self.assertIn("1 thread (OMP_NUM_THREADS)", few.stderr)
        self.assertIn(f"{CORES - 1} of {CORES} cores", few.stderr)
        self.assertIn("Unset it", few.stderr)
        # OpenMP then binds the thread that loads it to one core, which must not be taken for all that there is.
        proc_bind = run("score", self.config, "--set", f"run={self.run_folder('proc-bind')}", OMP_PROC_BIND="true")
        self.assertIn(f"{CORES} threads (", proc_bind.stderr)

    def test_a_batch_job_uses_the_cores_that_it_was_given(self):
        done = run("score", self.config, "--set", f"run={self.run_folder('slurm')}", SLURM_CPUS_ON_NODE="1")
        self.assertRegex(done.stderr, r"1 thread \((SLURM_CPUS_ON_NODE|the cores it may use)\)")


class Launchers(World):
    def test_a_shell_in_a_step_of_one_task_is_one_rank(self):
        done = run("score", self.config, SLURM_STEP_NUM_TASKS="1", SLURM_NTASKS="4", PMIX_RANK="0", PMIX_NAMESPACE="slurm.pmix.1.0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 rank on 1 node", done.stderr)

    def test_what_is_typed_in_a_shell_of_a_step_of_several_tasks_is_one_rank(self):
        """`srun -n4 --pty bash`: the shell leads its session on a terminal, and gives each command a process group of its own."""
        step = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PTY_PORT": "40123", "PMIX_RANK": "0", "PMIX_NAMESPACE": "slurm.pmix.1.0"}
        for typed, code, said in ((True, 0, "1 rank on 1 node"), (False, 78, "SLURM_STEP_NUM_TASKS")):
            reading, writing = os.pipe()
            shell, terminal = pty.fork()
            if shell == 0:
                done = subprocess.run([str(ROCKET), "score", str(self.config), "--set", f"run={self.run_folder(f'typed-{typed}')}"], cwd=REPOSITORY,
                                      env=clean(**step), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writing, timeout=60,
                                      preexec_fn=os.setpgrp if typed else None)
                os._exit(done.returncode)
            os.close(writing)
            with os.fdopen(reading) as pipe:
                error = pipe.read()
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(shell, 0)[1]), code, error)
            os.close(terminal)
            self.assertIn(said, error)
            self.assertEqual("one of the 4 tasks of its Slurm step" in error, typed)

    def test_tasks_that_do_not_find_each_other_are_refused(self):
        for variables in ({"PMI_SIZE": "3", "PMI_RANK": "1"}, {"SLURM_STEP_NUM_TASKS": "2"}, {"MPI_LOCALNRANKS": "3", "MPI_LOCALRANKID": "0"}):
            with self.subTest(variables):
                folder = self.run_folder("scattered")
                done = run("score", self.config, "--set", f"run={folder}", **variables)
                self.assertEqual(done.returncode, 78, done.stderr)
                self.assertIn(next(iter(variables)), done.stderr)
                self.assertIn("mpirun", done.stderr)
                self.assertFalse(folder.exists())


class Signals(World):
    def test_a_signal_at_any_moment_of_the_start_never_kills(self):
        folder = self.run_folder("early")
        jobs = (("score", self.config, "--set", f"run={folder}"), ("dedup", LAB / "corpus.jsonl", "--encoder", LAB / "encoder", "--output", self.run_folder("kept.jsonl")))
        for job, moments in zip(jobs, ((0, 0.02, 0.1, 0.25), (0, 0.1))):
            for moment in moments:
                process = start(*job)
                self.assertTrue(wait_until(lambda: holds_or_handles(process.pid, signal.SIGUSR1)))
                time.sleep(moment)
                process.send_signal(signal.SIGUSR1)
                error = process.communicate(timeout=60)[1]
                self.assertIn(process.returncode, (0, 75), f"{job[0]} after {moment} s: {error}")

    def test_the_program_itself_loads_nothing_that_takes_long(self):
        """Until main() begins, any signal kills."""
        libraries = subprocess.run(["ldd", ROCKET], capture_output=True, text=True, check=True).stdout
        for heavy in ("libmpi", "libhdf5", "libtorch", "librocket"):
            self.assertNotIn(heavy, libraries)

    def test_dedup_stops_without_output(self):
        output = self.run_folder("dedup.jsonl")
        for launcher in ((), ("mpirun", "-np", "2")):
            process = start("dedup", LAB / "corpus.jsonl", "--encoder", LAB / "encoder", "--output", output, launcher=launcher)
            for line in process.stderr:
                if line.startswith("dedup: "):
                    break
            process.send_signal(signal.SIGUSR1)
            error = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, 75, error)
            self.assertIn("no output is written", error)
            self.assertEqual(list(output.parent.glob("dedup.jsonl*")), [])

    def prepare_training(self):
        config = make_world(self.run_folder("training"), training={"epochs": 400, "checkpoint_every": 100000})
        for job in ("score", "experts", "embed", "select"):
            rocket(job, config)
        return config, self.run_folder("training") / "run"

    def trained_steps(self, run_folder):
        row = next(r for r in json.loads(rocket("inspect", run_folder, "jobs", "--format", "json").stdout) if r["job"] == "finetune")
        return row["parts_done"]

    def test_several_signals_still_commit_what_was_done(self):
        config, folder = self.prepare_training()
        done = 0
        for launcher, signals in (((), (signal.SIGUSR1, signal.SIGUSR1, signal.SIGUSR1)), ((), (signal.SIGHUP, signal.SIGUSR2)),
                                  ((), (signal.SIGTERM, signal.SIGUSR1)), (("mpirun", "-np", "2"), (signal.SIGUSR1, signal.SIGUSR1))):
            with self.subTest(signals=signals, launcher=launcher):
                process = start("finetune", config, "--verbose", launcher=launcher)
                steps = 0
                for line in process.stderr:
                    steps += " step " in line
                    if steps == 8:
                        break
                ranks = list(descendants(process.pid).values()) if launcher else []
                for name in signals:
                    for pid in [process.pid, *ranks]:
                        os.kill(pid, name)
                error = process.communicate(timeout=60)[1]
                self.assertEqual(process.returncode, 75, error)
                self.assertGreaterEqual(self.trained_steps(folder), done + 8)
                done = self.trained_steps(folder)

    def test_nohup_still_ignores_a_hang_up(self):
        process = start("score", self.config, "--set", f"run={self.run_folder('nohup')}", launcher=("nohup",))
        time.sleep(0.4)
        process.send_signal(signal.SIGHUP)
        error = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 0, error)


class Hanging(World):
    def hang(self, job, rank, ranks, config, folder, when):
        process = start(job, config, "--set", f"run={folder}", "--set", "training.hang_limit=2", launcher=("mpirun", "-np", str(ranks)))
        self.assertTrue(wait_until(lambda: when() and len(descendants(process.pid)) == ranks), "it did not come so far")
        os.kill(descendants(process.pid)[rank], signal.SIGSTOP)
        error = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 70, error)
        self.assertRegex(error, rf"rocket: rank {rank} on \S+ has given no sign of life for 2 s")
        return error

    def test_a_rank_that_hangs_in_score_is_named_and_the_others_commit(self):
        config = make_world(self.run_folder("long"), shots=50)
        for rank in (1, 0):
            folder = self.run_folder(f"hang-{rank}")
            parts = lambda: list(folder.glob("parts/score/unit-*.h5"))
            self.hang("score", rank, 2, config, folder, parts)
            before = {p.name: p.stat().st_mtime_ns for p in parts()}
            rocket("score", config, "--set", f"run={folder}")
            after = {p.name: p.stat().st_mtime_ns for p in parts()}
            self.assertEqual({name: after[name] for name in before}, before)


if __name__ == "__main__":
    unittest.main()
