"""rocket train-adapter: a folder for a bank, the same on any number of ranks and after a kill; what it refuses."""
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from small_world import LAB, REPOSITORY, ROCKET, environment, rocket


class TrainAdapter(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.config = pathlib.Path(self.folder.name) / "config.yaml"
        self.config.write_text(json.dumps({
            "run": str(pathlib.Path(self.folder.name) / "run"), "base": {"path": str(LAB / "base")},
            "adapter": {"records": [str(LAB / "tasks/number/shots.jsonl")], "name": "sums", "rank": 4, "alpha": 8},
            "training": {"learning_rate": 1.0e-3, "epochs": 12, "global_batch": 10, "micro_batch_tokens": 150,
                         "reduction": "deterministic", "checkpoint_every": 7}}))

    def train(self, name, *more, ranks=0):
        run = pathlib.Path(self.folder.name) / name
        rocket("train-adapter", self.config, "--set", f"run={run}", *more, ranks=ranks)
        return (run / "adapter/sums/adapter_model.safetensors").read_bytes()

    def test_ranks_and_kills_do_not_matter(self):
        alone = self.train("alone")
        self.assertEqual(self.train("two", ranks=2), alone)
        run = pathlib.Path(self.folder.name) / "killed"
        process = subprocess.Popen([str(ROCKET), "train-adapter", str(self.config), "--set", f"run={run}"], cwd=REPOSITORY,
                                   env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not list(run.glob("adapter_checkpoints/*.h5")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertFalse((run / "adapter").exists(), "it ended before it was killed")
        self.assertEqual(self.train("killed"), alone)

    def test_the_folder_joins_a_bank(self):
        self.train("run")
        run = pathlib.Path(self.folder.name) / "run"
        shown = json.loads(rocket("inspect", run / "adapter/sums", "--format", "json").stdout)
        self.assertEqual((shown["lora_r"], shown["scale"], shown["usable"]), (4, 2, True))
        jobs = {row["job"]: row["state"] for row in json.loads(rocket("inspect", run, "jobs", "--format", "json").stdout)}
        self.assertEqual(jobs["train-adapter"], "done")
        self.assertIn("nothing to do", rocket("train-adapter", self.config).stderr)
        changed = rocket("train-adapter", self.config, "--set", "adapter.rank=2", check=False)
        self.assertEqual(changed.returncode, 78)
        self.assertIn("adapter.rank", changed.stderr)

    def test_what_it_refuses(self):
        for setting, code, said in (("adapter.name=a/b", 78, "adapter.name"), ("adapter.targets=[]", 78, "linear layer"),
                                    ("adapter.targets=[]", 78, "adapter.targets"),
                                    ("training.learning_rate=0", 78, "training.learning_rate"),
                                    (f"adapter.name={'n' * 250}", 78, "adapter.name"), ('adapter.name="a\\nb"', 78, "adapter.name"),
                                    ("adapter.fields={output: out, rationale: why}", 65, "adapter.fields"),
                                    ("training.cutoff=8", 65, "every example lost its target"),
                                    ("adapter.records=[none.jsonl]", 78, "none.jsonl does not exist")):
            done = rocket("train-adapter", self.config, "--set", setting, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(said, done.stderr)
        self.assertFalse((pathlib.Path(self.folder.name) / "run/adapter_training.h5").exists(), "refused before the work")

    def test_an_adapter_without_epochs_says_that_it_does_nothing(self):
        done = rocket("train-adapter", self.config, "--set", "training.epochs=0")
        self.assertIn("training.epochs", done.stderr)
        self.assertIn("does nothing", done.stderr)

    def test_settings_of_a_mixture_do_not_matter(self):
        """One configuration serves finetune and train-adapter: an adapter has no routers that could be trained alone."""
        routers = ("--set", "training.trained=router_only", "--set", "training.z_coefficient=0.1", "--set", "training.balance_coefficient=0.1",
                   "--set", "mixture.top_k=1", "--set", "mixture.top_p=0.5")
        short = ("--set", "training.epochs=1")
        self.assertEqual(self.train("routers", *short, *routers), self.train("plain", *short))

    def test_what_was_moved_is_not_new_and_what_is_gone_is_not_done(self):
        short = ("--set", "training.epochs=1")
        first = self.train("run", *short)
        run = pathlib.Path(self.folder.name) / "run"
        records = shutil.copy(LAB / "tasks/number/shots.jsonl", pathlib.Path(self.folder.name) / "moved.jsonl")
        self.assertIn("nothing to do", rocket("train-adapter", self.config, *short, "--set", f"adapter.records=[{records}]").stderr)
        shutil.move(run / "adapter/sums", pathlib.Path(self.folder.name) / "bank-sums")
        self.assertEqual(self.train("run", *short), first, "the adapter that went to a bank is written again")

    def test_a_folder_of_somebody_else_is_not_removed(self):
        theirs = pathlib.Path(self.folder.name) / "run/adapter/sums"
        shutil.copytree(LAB / "bank/home", theirs)
        for more in ((), ("--fresh",)):
            done = rocket("train-adapter", self.config, *more, check=False)
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertIn("adapter.name", done.stderr)
            self.assertEqual((theirs / "adapter_model.safetensors").read_bytes(), (LAB / "bank/home/adapter_model.safetensors").read_bytes())


if __name__ == "__main__":
    unittest.main()
