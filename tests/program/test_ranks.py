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
            # The fast reduction rounds sums of gradients as ranks share them.
            whole = ("--set", "training.reduction=deterministic", "--set", "training.micro_batch_tokens=90")
            runs = {ranks: pathlib.Path(folder) / f"run-{ranks}" for ranks in (0, 1, 2, 3)}
            for ranks, run in runs.items():
                rocket("run", config, *whole, "--set", f"run={run}", ranks=ranks)
                self.assertEqual(differences(runs[0], run), [], f"{ranks} ranks")

    def test_losses_of_one_two_and_four_ranks_agree(self):
        """With the fast reduction. At ten times this learning rate float32 itself moves single steps by 1e-5."""
        import json
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder, training={"learning_rate": 1.0e-4})
            run = pathlib.Path(folder) / "run"
            losses = {}
            for job in UNIT_JOBS:
                rocket(job, config)
            for ranks in (1, 2, 4):
                rocket("finetune", config, "--fresh", ranks=ranks)
                table = json.loads(rocket("inspect", run, "training", "--format", "json").stdout)
                losses[ranks] = [row["loss"] for row in table]
            for ranks in (2, 4):
                self.assertEqual(len(losses[1]), len(losses[ranks]))
                for one, several in zip(losses[1], losses[ranks]):
                    self.assertLess(abs(one - several), 1e-6)


if __name__ == "__main__":
    unittest.main()
