"""Killed at seeded moments, typed again on another number of ranks: the same bits in the end."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
from small_world import REPOSITORY, ROCKET, differences, environment, make_world, rocket  # noqa: E402

MOMENTS = 20


class Kill(unittest.TestCase):
    def start(self, config, run, ranks):
        launcher = ["mpirun", "-np", str(ranks)] if ranks else []
        return subprocess.Popen(launcher + [str(ROCKET), "run", str(config), "--set", f"run={run}"], cwd=REPOSITORY,
                                env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def test_killed_at_seeded_moments_ends_with_the_same_bits(self):
        draw = random.Random(20)
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder)
            whole = pathlib.Path(folder) / "whole"
            started = time.monotonic()
            rocket("run", config, "--set", f"run={whole}")
            length = time.monotonic() - started
            killed = 0
            resumed = pathlib.Path(folder) / "resumed"
            while killed < MOMENTS:
                # One rank throughout: sums of gradients over ranks are rounded differently (a deterministic reducer would not).
                process = self.start(config, resumed, 0)
                time.sleep(draw.uniform(0.05, max(0.4, length / 5)))
                if process.poll() is not None:  # it got to the end: begin another run
                    self.assertEqual(process.returncode, 0)
                    self.assertEqual(differences(whole, resumed), [], f"after {killed} kills")
                    subprocess.run(["rm", "-r", str(resumed)], check=True)
                    continue
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
            rocket("run", config, "--set", f"run={resumed}")
            self.assertEqual(differences(whole, resumed), [], f"after {killed} kills")
            leftovers = [str(p) for p in resumed.rglob("*")
                         if ".tmp" in p.name and not p.name.startswith(("manifest.json", "config.yaml"))]
            self.assertEqual(leftovers, [])

    def test_units_go_on_with_another_number_of_ranks(self):
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder)
            whole, resumed = pathlib.Path(folder) / "whole", pathlib.Path(folder) / "resumed"
            rocket("score", config, "--set", f"run={whole}")
            process = subprocess.Popen(["mpirun", "-np", "2", str(ROCKET), "score", str(config), "--set", f"run={resumed}"],
                                       cwd=REPOSITORY, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       start_new_session=True)
            deadline = time.monotonic() + 60
            while not list(resumed.glob("parts/score/unit-*.h5")) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            before = {p.name: p.stat().st_mtime_ns for p in resumed.glob("parts/score/unit-*.h5")}
            rocket("score", config, "--set", f"run={resumed}", ranks=3)
            after = {p.name: p.stat().st_mtime_ns for p in resumed.glob("parts/score/unit-*.h5")}
            for name, committed in before.items():
                self.assertEqual(after[name], committed, f"{name} was computed again")
            self.assertEqual(differences(whole, resumed, files=("score.h5",)), [])

    def test_a_signal_stops_with_75_and_the_same_command_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder)
            run = pathlib.Path(folder) / "run"
            for name in (signal.SIGUSR1, signal.SIGTERM):
                process = self.start(config, run, 0)
                time.sleep(0.8)
                process.send_signal(name)
                code = process.wait(timeout=60)
                self.assertIn(code, (75, 0))
            rocket("run", config, "--set", f"run={run}")


if __name__ == "__main__":
    unittest.main()
