"""What a run directory says is what its files prove: jobs that meet in one directory, and results that are gone, cut off or changed."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
from small_world import LAB, REPOSITORY, ROCKET, differences, environment, make_world, rocket  # noqa: E402

DATA, STORAGE, STOPPED, CONFIG = 65, 74, 75, 78
CHAIN = ("score", "experts", "embed", "select", "finetune", "evaluate", "export")


def wait_until(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about")
        time.sleep(0.002)


def flip(path, keep_time):
    """Changes one bit in the middle; with `keep_time` as a disk does it, else as a program does."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


class State(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.config = make_world(cls.folder, records=2500, training={"epochs": 3, "checkpoint_every": 4})
        cls.whole = cls.folder / "whole"
        rocket("run", cls.config, "--set", f"run={cls.whole}")
        for record in cls.whole.glob("parts/*/job.json"):  # a result of the same tick of the clock would be checked in any case
            os.utime(record, ns=(record.stat().st_atime_ns, record.stat().st_mtime_ns + 20_000_000))
        cls.started = []
        cls.suspend_one()

    def tearDown(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.started.clear()

    def copy(self, name):
        run = self.folder / self.id().split(".")[-1] / name
        shutil.copytree(self.whole, run)
        return run

    def new(self, name):
        return self.folder / self.id().split(".")[-1] / name

    def rocket(self, job, run, *more, check=False):
        return rocket(job, self.config, "--set", f"run={run}", *more, check=check)

    def start(self, job, run, *more, config=None):
        """A command that goes on while the test does; its stderr can be read at any time."""
        log = tempfile.TemporaryFile("w+")
        self.addCleanup(log.close)
        where = ["--set", f"run={run}"] if run else []
        process = subprocess.Popen([str(ROCKET), job, str(config or self.config), *where, *map(str, more)], cwd=REPOSITORY, env=environment(),
                                   stdout=subprocess.DEVNULL, stderr=log, text=True)
        process.said = lambda: (log.seek(0), log.read())[1]
        self.started.append(process)
        return process

    def start_and_hold(self, job, run, *more):
        """Starts a job and stops it, alive, while it holds its claim."""
        process = self.start(job, run, *more)
        wait_until(lambda: list(run.glob(f".claims/{job}.*")) and (run / f"parts/{job}/job.json").exists())
        process.send_signal(signal.SIGSTOP)
        return process

    def jobs(self, run):
        return {row["job"]: row for row in json.loads(rocket("inspect", run, "jobs", "--format", "json").stdout)}

    @classmethod
    def suspend_one(cls):
        """A process that holds a run and stands still while other tests go on: only after 15 s it looks at its claim again."""
        cls.left = cls.folder / "left"
        log = tempfile.TemporaryFile("w+")
        cls.addClassCleanup(log.close)
        cls.suspended = subprocess.Popen([str(ROCKET), "score", str(cls.config), "--set", f"run={cls.left}"], cwd=REPOSITORY, env=environment(),
                                         stdout=subprocess.DEVNULL, stderr=log, text=True)
        cls.addClassCleanup(cls.suspended.kill)
        cls.suspended.said = lambda: (log.seek(0), log.read())[1]
        wait_until(lambda: list(cls.left.glob(".claims/score.*")) and (cls.left / "parts/score/job.json").exists())
        cls.suspended.send_signal(signal.SIGSTOP)
        cls.suspended_since = time.monotonic()

    # Two at once.

    def test_two_different_runs_in_one_directory_do_not_mix(self):
        for job, other in (("score", "scoring.max_new_tokens=8"), ("embed", "encoder.max_length=20")):
            alone, both = self.new(f"{job} alone"), self.new(f"{job} both")
            self.rocket(job, alone, "--set", other, check=True)
            first = self.start_and_hold(job, both)
            second = self.start(job, both, "--fresh", "--set", other)
            wait_until(lambda: "waits" in second.said())
            self.assertRegex(second.said(), rf"{job}: waits for .*pid {first.pid} on \S+, since 20")
            first.send_signal(signal.SIGCONT)
            self.assertEqual((first.wait(300), second.wait(300)), (0, 0), first.said() + second.said())
            self.assertEqual(differences(alone, both, files=(f"{job}.h5",)), [])

    def test_without_fresh_the_second_of_two_different_runs_is_refused(self):
        run = self.new("run")
        first = self.start_and_hold("score", run)
        second = self.start("score", run, "--set", "scoring.max_new_tokens=8")
        wait_until(lambda: "waits" in second.said())
        first.send_signal(signal.SIGCONT)
        self.assertEqual((first.wait(300), second.wait(300)), (0, CONFIG), second.said())
        self.assertIn("scoring.max_new_tokens was 40, is 8", second.said())
        self.assertEqual(differences(self.whole, run, files=("score.h5",)), [])

    def test_two_equal_runs_do_the_work_once(self):
        run = self.new("run")
        both = [self.start("run", run) for _ in range(2)]
        self.assertEqual([process.wait(600) for process in both], [0, 0], "".join(p.said() for p in both))
        said = "".join(process.said() for process in both)
        for job in CHAIN:
            self.assertEqual(said.count(f"{job}: done in"), 1, f"{job}: {said}")
        self.assertEqual(differences(self.whole, run), [])
        self.assertFalse((run / ".claims").exists())

    def settings_of(self, job):
        """Of a job outside the chain: what it needs, another setting, and what it leaves."""
        if job == "rationalize":
            return ("--set", f"rationalize.adapter={LAB / 'bank/sells'}"), "scoring.max_new_tokens=8", "rationalized.jsonl"
        return (("--set", f"adapter.records=[{LAB / 'tasks/number/shots.jsonl'}]", "--set", "adapter.name=sums"), "adapter.rank=2",
                "adapter/sums/adapter_model.safetensors")

    def test_two_equal_runs_of_other_jobs_do_the_work_once(self):
        for job in ("rationalize", "train-adapter"):
            more, _, left = self.settings_of(job)
            alone, both = self.new(f"{job} alone"), self.new(f"{job} both")
            self.rocket(job, alone, *more, check=True)
            first = self.start_and_hold(job, both, *more)
            second = self.start(job, both, *more)
            wait_until(lambda: "waits" in second.said())
            first.send_signal(signal.SIGCONT)
            self.assertEqual((first.wait(300), second.wait(300)), (0, 0), first.said() + second.said())
            self.assertEqual((first.said() + second.said()).count(f"{job}: done in"), 1)
            self.assertEqual((both / left).read_bytes(), (alone / left).read_bytes())

    def test_two_different_runs_of_other_jobs_do_not_mix(self):
        for job in ("rationalize", "train-adapter"):
            more, other, left = self.settings_of(job)
            alone, both = self.new(f"{job} alone"), self.new(f"{job} both")
            self.rocket(job, alone, *more, "--set", other, check=True)
            first = self.start_and_hold(job, both, *more)
            refused = self.start(job, both, *more, "--set", other)
            second = self.start(job, both, *more, "--fresh", "--set", other)
            wait_until(lambda: "waits" in second.said() and "waits" in refused.said())
            refused.send_signal(signal.SIGTERM)
            self.assertEqual(refused.wait(120), STOPPED, refused.said())
            first.send_signal(signal.SIGCONT)
            self.assertEqual((first.wait(300), second.wait(300)), (0, 0), first.said() + second.said())
            self.assertEqual((both / left).read_bytes(), (alone / left).read_bytes())
            done = self.rocket(job, both, *more)
            self.assertEqual(done.returncode, CONFIG, done.stderr)
            self.assertIn(other.partition("=")[0], done.stderr)

    def test_a_stop_inside_select_leaves_nothing_of_it(self):
        run = self.copy("run")
        for name in (signal.SIGUSR1, signal.SIGTERM):
            process = self.start_and_hold("select", run, "--fresh")
            process.send_signal(name)
            process.send_signal(signal.SIGCONT)
            self.assertEqual(process.wait(120), STOPPED, process.said())
            self.assertIn("nothing is written. The same command starts anew", process.said())
            self.assertFalse((run / "select.h5").exists() or (run / "selected.jsonl").exists() or (run / ".claims").exists())
            self.assertEqual(self.jobs(run)["select"]["state"], "partial")
        self.rocket("select", run, check=True)
        self.assertEqual(differences(self.whole, run, files=("select.h5", "selected.jsonl")), [])

    def test_a_job_that_died_holds_nobody_up(self):
        run = self.new("run")
        dead = self.start_and_hold("score", run)
        dead.kill()
        dead.wait()
        self.assertTrue(list(run.glob(".claims/score.*")))
        done = self.rocket("score", run, check=True)
        self.assertNotIn("waits", done.stderr)
        self.assertFalse((run / ".claims").exists())

    def test_what_waits_obeys_a_stop(self):
        run = self.new("run")
        self.start_and_hold("score", run)
        for name in (signal.SIGUSR1, signal.SIGTERM):
            second = self.start("score", run)
            wait_until(lambda: "waits" in second.said())
            second.send_signal(name)
            self.assertEqual(second.wait(120), STOPPED, second.said())

    def test_what_is_read_is_not_discarded_meanwhile(self):
        run = self.copy("run")
        reader = self.start_and_hold("finetune", run, "--fresh")
        for job, *more in (("score", "--fresh"), ("experts", "--fresh"), ("evaluate", "--fresh"), ("export", "--as", "experts")):
            other = self.start(job, run, *more)
            wait_until(lambda: "waits" in other.said())
            self.assertIn("finetune (", other.said())
            other.send_signal(signal.SIGTERM)
            self.assertEqual(other.wait(120), STOPPED)
        self.assertEqual(differences(self.whole, run, files=("score.h5",)), [])
        self.rocket("rationalize", run, check=True)  # nobody's business
        reader.send_signal(signal.SIGCONT)
        self.assertEqual(reader.wait(300), 0)

    def test_ranks_wait_together(self):
        run = self.new("run")
        first = self.start_and_hold("score", run)
        ranks = subprocess.Popen(["mpirun", "-np", "2", str(ROCKET), "score", str(self.config), "--set", f"run={run}"], cwd=REPOSITORY,
                                 env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.started.append(ranks)
        said = ""
        while "waits" not in said:  # warnings of the launch may stand before it
            line = ranks.stderr.readline()
            self.assertTrue(line, said)
            said += line
        first.send_signal(signal.SIGCONT)
        self.assertEqual((first.wait(300), ranks.wait(300)), (0, 0))
        self.assertIn("score: done before", ranks.stderr.read())

    def test_points_of_a_sweep_that_start_together_share_the_work(self):
        folder = self.new("sweep")
        folder.mkdir(parents=True)
        sweep = folder / "sweep.yaml"
        sweep.write_text(json.dumps({"config": str(self.config), "runs": str(folder / "runs"), "grid": {"experts.count": [1, 2]}}))
        points = [self.start("sweep", None, "run", "--point", point, config=sweep) for point in (0, 1)]
        self.assertEqual([process.wait(600) for process in points], [0, 0], "".join(p.said() for p in points))
        said = "".join(process.said() for process in points)
        for job, computed, taken in (("score", 1, 1), ("embed", 1, 1), ("select", 1, 1), ("finetune", 2, 0)):
            self.assertEqual((said.count(f"{job}: done in"), said.count(f"{job}: taken over from")), (computed, taken), f"{job}: {said}")

    def test_a_point_goes_on_where_the_one_that_computes_dies(self):
        folder = self.new("sweep")
        folder.mkdir(parents=True)
        sweep = folder / "sweep.yaml"
        sweep.write_text(json.dumps({"config": str(self.config), "runs": str(folder / "runs"), "grid": {"experts.count": [1, 2]}}))
        first = self.start("sweep", None, "run", "--point", 0, config=sweep)
        wait_until(lambda: list(folder.glob("runs/*/parts/score/job.json")))
        first.send_signal(signal.SIGSTOP)
        second = self.start("sweep", None, "run", "--point", 1, config=sweep)
        wait_until(lambda: "waits" in second.said())
        first.kill()
        self.assertEqual(second.wait(600), 0, second.said())
        self.assertIn("score: done in", second.said())

    def test_who_was_taken_for_dead_writes_no_more(self):
        """As on another host, where nobody can ask whether a process lives: its claim is removed, and another one computes."""
        for claim in self.left.glob(".claims/score.*"):
            claim.unlink()
        self.rocket("score", self.left, check=True)
        record = (self.left / "parts/score/job.json").read_bytes()
        time.sleep(max(0, self.suspended_since + 15.5 - time.monotonic()))
        self.suspended.send_signal(signal.SIGCONT)
        self.assertEqual(self.suspended.wait(120), STOPPED, self.suspended.said())
        self.assertIn("another one may have taken over; stopped", self.suspended.said())
        self.assertEqual((self.left / "parts/score/job.json").read_bytes(), record)
        self.assertEqual(differences(self.whole, self.left, files=("score.h5",)), [])

    def test_a_damaged_result_of_another_point_is_not_taken_over(self):
        folder = self.new("sweep")
        sweep, theirs = folder / "sweep.yaml", folder / "runs/two"
        shutil.copytree(self.whole, theirs)
        flip(theirs / "score.h5", keep_time=False)
        points = [{"name": name, "set": {"experts.count": count, "training.epochs": 0}} for name, count in (("one", 1), ("two", 2))]
        sweep.write_text(json.dumps({"config": str(self.config), "runs": str(folder / "runs"), "points": points}))
        said = rocket("sweep", sweep, "run", "--point", 0).stderr
        self.assertIn("score: done in", said)
        self.assertIn("select: taken over from", said)
        self.assertEqual(differences(self.whole, folder / "runs/one", files=("score.h5", "select.h5")), [])

    # What files prove.

    def test_a_result_of_another_run_is_not_taken_for_this_one(self):
        run, other = self.copy("run"), self.new("other")
        self.rocket("score", other, "--set", "scoring.max_new_tokens=8", check=True)
        before = (run / "score.h5").stat()
        shutil.copyfile(other / "score.h5", run / "score.h5")
        os.utime(run / "score.h5", ns=(before.st_atime_ns, before.st_mtime_ns))
        shown = rocket("inspect", run, "shots", check=False)
        self.assertEqual(shown.returncode, DATA)
        self.assertIn("score.h5' is not the one that score wrote", shown.stderr)
        done = self.rocket("experts", run, "--fresh")
        self.assertEqual(done.returncode, DATA)
        self.assertIn("score.h5 is cut off, or not the one that was written", done.stderr)
        self.rocket("score", run, check=True)
        self.assertEqual(differences(self.whole, run, files=("score.h5",)), [])

    def test_a_half_trained_mixture_is_not_finished(self):
        run = self.copy("run")
        before, newest = sorted((run / "checkpoints").glob("*.h5"))
        newest.write_bytes(newest.read_bytes()[:-1000])
        for removed in (False, True):
            if removed:
                newest.unlink()
            commands = [("evaluate", "--fresh"), ("report",)]
            commands += [("export", "--fresh"), ("export", "--as", "merged_lora", "--to", self.new("out"))] if removed else []
            for job, *more in commands:
                done = self.rocket(job, run, *more)
                self.assertEqual(done.returncode, DATA, f"{job}: {done.stderr}")
                self.assertIn(f"checkpoints/{newest.name} is ", done.stderr)
                self.assertIn(f"`rocket finetune {self.config} --set run={run}` first", done.stderr)
            row = self.jobs(run)["finetune"]
            self.assertEqual(row["state"], "partial")
            if removed:
                self.assertEqual(row["parts_done"], int(before.stem.split("-")[1]))
        self.rocket("run", run, check=True)
        self.assertEqual(differences(self.whole, run), [])
        jobs = self.jobs(run)
        self.assertEqual({jobs[job]["state"] for job in CHAIN}, {"done"})

    def test_a_part_that_is_missing_cut_or_changed_is_computed_again(self):
        damages = {"missing": pathlib.Path.unlink, "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
                   "changed": lambda path: flip(path, keep_time=False)}
        for name, damage in damages.items():
            run = self.copy(name)
            damage(run / "parts/embed/unit-000000.h5")
            other = (run / "parts/embed/unit-000001.h5").stat().st_mtime_ns
            done = self.rocket("select", run, "--fresh")
            self.assertEqual(done.returncode, DATA, f"{name}: {done.stderr}")
            self.assertIn("parts/embed/unit-000000.h5", done.stderr)
            self.assertIn(f"`rocket embed {self.config} --set run={run}` first", done.stderr)
            self.assertIn("embed: done in", self.rocket("embed", run, check=True).stderr)
            self.assertEqual((run / "parts/embed/unit-000001.h5").stat().st_mtime_ns, other, f"{name}: the other part was computed, too")
            self.rocket("select", run, "--fresh", check=True)
            self.assertEqual(differences(self.whole, run, files=("embed.h5", "select.h5", "selected.jsonl")), [])

    def test_parts_of_units_are_checked_before_they_are_put_together(self):
        for job, result in (("score", "score.h5"), ("evaluate", "evaluate.h5")):
            run = self.copy(job)
            flip(run / f"parts/{job}/unit-000000.h5", keep_time=True)
            (run / result).unlink()
            done = self.rocket(job, run, check=True)
            self.assertIn("is damaged: its checksum does not fit: it is computed again", done.stderr)
            self.assertEqual(differences(self.whole, run, files=(result,)), [])

    def test_a_part_of_an_earlier_attempt_is_not_taken(self):
        run = self.copy("run")
        early = (run / "parts/score/unit-000001.h5").read_bytes()
        self.rocket("score", run, "--fresh", check=True)
        (run / "parts/score/unit-000001.h5").write_bytes(early)
        (run / "score.h5").unlink()
        self.assertIn("belongs to another attempt: it is computed again", self.rocket("score", run, check=True).stderr)

    def test_a_changed_byte_is_noticed_where_it_is_read(self):
        readers = {"score.h5": ("score", ("inspect", "scores"), ("experts", "--fresh")),
                   "experts.json": ("experts", ("inspect", "experts"), ("finetune", "--fresh")),
                   "embed.h5": ("embed", ("select", "--fresh")),
                   "parts/embed/unit-000001.h5": ("embed", ("report",), ("select", "--fresh")),
                   "select.h5": ("select", ("inspect", "selection")),
                   "selected.jsonl": ("select", ("finetune", "--fresh")),
                   "training.h5": ("finetune", ("inspect", "training"), ("evaluate", "--fresh")),
                   "evaluate.h5": ("evaluate", ("inspect", "evaluation"), ("run",)),
                   "evaluate_seconds.h5": ("evaluate", ("inspect", "costs"))}
        for name, (job, *commands) in readers.items():
            run = self.copy(name.replace("/", " "))
            if name == "score.h5":  # else the standings come from experts.json
                (run / "experts.json").rename(run / "experts.aside")
            flip(run / name, keep_time=True)  # as a disk that forgets
            for command, *more in commands:
                if command == "experts":
                    (run / "experts.aside").rename(run / "experts.json")
                done = rocket("inspect", run, *more, check=False) if command == "inspect" else self.rocket(command, run, *more)
                self.assertEqual(done.returncode, DATA, f"{name} read by {command}: {done.stdout}{done.stderr}")
                self.assertIn(name, done.stderr)
                # A job whose record is of the same tick of the clock as its result is found undone before it is read.
                self.assertRegex(done.stderr, f"Delete it, and `rocket {job} CONFIG` makes it again|`rocket {job} {self.config} .*` first")
            flip(run / name, keep_time=True)
            flip(run / name, keep_time=False)  # as somebody who edits it
            self.assertRegex(self.rocket(job, run, check=True).stderr, f"{job}: its record says done, but {name} .*not finished")
            self.assertEqual(differences(self.whole, run, files=(name.split("/")[0].replace("parts", "embed.h5").replace("evaluate_seconds", "evaluate"),)), [], name)

    def test_an_export_without_one_of_its_files_is_written_again(self):
        run = self.copy("run")
        weights = next((run / "expert/experts").glob("*/adapter_model.safetensors"))
        before = weights.read_bytes()
        weights.unlink()
        self.assertIn("export: done in", self.rocket("export", run, check=True).stderr)
        self.assertEqual(weights.read_bytes(), before)

    def test_records_that_are_gone_are_made_again(self):
        run = self.copy("run")
        records = [run / f"parts/{job}/job.json" for job in CHAIN]
        before = [json.loads(record.read_text()) for record in records]
        (run / "manifest.json").unlink()
        self.rocket("report", run, check=True)
        self.assertIn("score: done before", self.rocket("score", run, check=True).stderr)
        self.assertEqual(set(json.loads((run / "manifest.json").read_text())["jobs"]), set(CHAIN))
        for record in records:
            record.unlink()
        jobs = self.jobs(run)
        self.assertEqual({jobs[job]["state"] for job in CHAIN}, {"done"})
        said = self.rocket("run", run, check=True).stderr
        self.assertEqual(said.count("done before"), len(CHAIN), said)
        self.assertEqual([json.loads(record.read_text()) for record in records], before)

    def test_records_that_are_gone_for_good_cost_the_work_and_no_more(self):
        run = self.copy("run")
        (run / "manifest.json").write_text("{")
        (run / "parts/experts/job.json").write_text("{")
        done = self.rocket("experts", run)
        self.assertEqual(done.returncode, DATA)
        self.assertIn("`rocket experts CONFIG --fresh` computes the job anew", done.stderr)
        self.rocket("experts", run, "--fresh", check=True)
        self.assertIn("finetune: done before", self.rocket("run", run, check=True).stderr)

    # What cannot be written.

    def test_a_result_that_stdout_does_not_take_is_an_error(self):
        sweep = self.folder / "list.yaml"
        sweep.write_text(json.dumps({"config": str(self.config), "runs": str(self.folder / "runs"), "grid": {"seed": [0]}}))
        commands = [["inspect", self.whole, *more] for more in ([], ["shots", "--format", "json"], ["jobs", "--format", "csv"])]
        commands += [["inspect", LAB / "base"], ["sweep", sweep, "list"], ["sweep", sweep, "table"], ["sweep", sweep, "snapshot", "--to", self.folder / "copies"], ["check", self.config], ["--help"], ["score", "--help"], ["--version"],
                     ["run", self.config, "--set", f"run={self.whole}"], ["tokenize", LAB / "base"],
                     ["dedup", self.folder / "shots.jsonl", "--encoder", LAB / "encoder"]]
        for command in commands:
            with open("/dev/full", "w") as full:
                done = subprocess.run([str(ROCKET), *map(str, command)], cwd=REPOSITORY, env=environment(), input='"a"\n', stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, STORAGE, f"{command}: {done.stderr}")
            self.assertIn("stdout", done.stderr)

    def test_check_refuses_a_run_directory_that_cannot_be_written(self):
        in_the_way = self.folder / "a file"
        in_the_way.write_text("")
        places = [in_the_way, in_the_way / "run", pathlib.Path("/proc/no/run")]
        if os.geteuid() != 0:
            (self.folder / "closed").mkdir(mode=0o555)
            places.append(self.folder / "closed/run")
        for place in places:
            self.assertEqual(self.rocket("score", place).returncode, STORAGE, place)
            done = self.rocket("check", place)
            self.assertEqual(done.returncode, STORAGE, place)
            self.assertIn(str(place), done.stderr)


if __name__ == "__main__":
    unittest.main()
