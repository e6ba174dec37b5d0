"""Any number of ranks gives the same bits, and every job does its work under mpirun."""
import pathlib
import tempfile
import unittest

from small_world import differences, make_world, rocket

UNIT_JOBS = ("score", "experts", "embed", "select")


class Ranks(unittest.TestCase):
    def test_one_two_and_three_ranks_give_the_same_bits(self):
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder)
            runs = {ranks: pathlib.Path(folder) / f"run-{ranks}" for ranks in (0, 1, 2, 3)}
            rocket("run", config, "--set", f"run={runs[0]}")
            for ranks in (1, 2, 3):
                # The trained parameters differ by rounding between numbers of ranks, so training is taken from one of them.
                for job in UNIT_JOBS:
                    rocket(job, config, "--set", f"run={runs[ranks]}", ranks=ranks)
                rocket("finetune", config, "--set", f"run={runs[ranks]}")
                rocket("evaluate", config, "--set", f"run={runs[ranks]}", ranks=ranks)
                self.assertEqual(differences(runs[0], runs[ranks]), [], f"{ranks} ranks")

    def test_losses_of_one_two_and_three_ranks_agree(self):
        import json
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder)
            run = pathlib.Path(folder) / "run"
            losses = {}
            for job in UNIT_JOBS:
                rocket(job, config)
            for ranks in (1, 2, 3):
                rocket("finetune", config, "--fresh", ranks=ranks)
                table = json.loads(rocket("inspect", run, "training", "--format", "json").stdout)
                losses[ranks] = [row["loss"] for row in table]
            for ranks in (2, 3):
                self.assertEqual(len(losses[1]), len(losses[ranks]))
                for one, several in zip(losses[1], losses[ranks]):
                    self.assertLess(abs(one - several), 1e-5 * max(1.0, abs(one)))


if __name__ == "__main__":
    unittest.main()
