"""Ranks and their devices: a GPU that LibTorch cannot use, ranks that differ, ranks that share a GPU."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
from small_world import REPOSITORY, environment, make_world  # noqa: E402

CPU, EMULATED = (str(pathlib.Path(os.environ[name]).resolve()) for name in ("ROCKET", "ROCKET_EMULATED"))
DRIVER = os.environ["PRETENDED_DRIVER"]  # the folder of a libcuda.so.1


def run(command, **variables):
    return subprocess.run([str(word) for word in command], cwd=REPOSITORY, env=environment(**variables), timeout=300, capture_output=True,
                          text=True)


class Agreement(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.config = make_world(folder.name)

    def test_auto_stops_where_there_is_a_gpu_that_libtorch_cannot_use(self):
        for job in ("check", "score", "finetune"):
            done = run([CPU, job, self.config], LD_LIBRARY_PATH=DRIVER)
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertRegex(done.stderr, r"device: auto: there is a GPU here \(Pretended GPU\), and LibTorch cannot use it: .+")
            self.assertIn("tools/lib/libtorch-cuda.txt", done.stderr)
            self.assertIn("say device: cpu", done.stderr)
        done = run([CPU, "score", self.config, "--set", "device=cpu"], LD_LIBRARY_PATH=DRIVER)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_rank_that_cannot_use_its_gpu_ends_the_job_for_all(self):
        rank = ["-np", "1"]
        done = run(["mpirun", *rank, CPU, "score", self.config, ":", *rank, "-x", f"LD_LIBRARY_PATH={DRIVER}", CPU, "score", self.config])
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn("rank 1: ", done.stderr)
        self.assertIn("there is a GPU here", done.stderr)

    def test_ranks_with_and_without_a_gpu_are_named(self):
        rank = ["-np", "1"]
        command = [EMULATED, "score", self.config]
        done = run(["mpirun", *rank, *command, "--set", "device=emulated", ":", *rank, *command, "--set", "device=cpu"])
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertRegex(done.stderr, r"rank 0 on \S+ would compute on emulated, and rank 1 on \S+ on cpu")

    def test_ranks_that_share_a_gpu_are_told_and_sums_of_gradients_refuse_them(self):
        ranks = ["mpirun", "-np", "3", EMULATED]
        more = [self.config, "--set", "device=emulated"]
        done = run([*ranks, "finetune", *more], ROCKET_EMULATED_DEVICES="2")
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertRegex(done.stderr, r"3 ranks of \S+ share 2 GPUs; start one rank for each GPU: gradients are summed over GPUs")
        done = run([*ranks, "score", *more], ROCKET_EMULATED_DEVICES="2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"3 ranks of \S+ share 2 GPUs; start one rank for each GPU")


if __name__ == "__main__":
    unittest.main(verbosity=2)
