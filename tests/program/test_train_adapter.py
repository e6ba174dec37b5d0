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
        for table in ("training", "adapter_training"):
            rows = json.loads(rocket("inspect", run, table, "--format", "json").stdout)
            self.assertEqual([row["step"] for row in rows], list(range(1, 61)))
            self.assertGreater(rows[0]["loss"], rows[-1]["loss"])
        self.assertIn("nothing to do", rocket("train-adapter", self.config).stderr)
        changed = rocket("train-adapter", self.config, "--set", "adapter.rank=2", check=False)
        self.assertEqual(changed.returncode, 78)
        self.assertIn("adapter.rank", changed.stderr)

    def test_check_of_a_configuration_without_a_bank_and_a_task(self):
        before = sorted(pathlib.Path(self.folder.name).rglob("*"))
        done = rocket("check", self.config)
        self.assertIn("50 of 50 records, 12 epochs, 60 steps", done.stdout)
        parameters = 4 * 4 * ((128 + 128) + (128 + 64))  # layers x rank x (q_proj, v_proj)
        self.assertIn(f"adapter sums: {parameters} parameters", done.stdout)
        self.assertEqual(sorted(pathlib.Path(self.folder.name).rglob("*")), before)
        for setting, code, said in (("adapter.records=[none.jsonl]", 78, "none.jsonl does not exist"),
                                    ("training.learning_rate=0", 78, "training.learning_rate"), ("adapter.targets=[]", 78, "linear layer"),
                                    ("training.cutoff=8", 65, "every example lost its target"),
                                    ("task.shots=none.jsonl", 78, "bank.adapters: not set")):
            done = rocket("check", self.config, "--set", setting, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(said, done.stderr)

    def write(self, name, lines):
        path = pathlib.Path(self.folder.name) / name
        path.write_text("".join(json.dumps(line) + "\n" if isinstance(line, dict) else line + "\n" for line in lines))
        return path

    def test_turns_of_its_chats_are_chosen_as_said(self):
        """Against records that hold by hand what a chat's turns become."""
        said = [("Add 2 and 3.", "5"), ("Add 4.", "9"), ("Add 1.", "10")]
        chat = {"messages": [{"role": role, "content": text} for pair in said for role, text in zip(("user", "assistant"), pair)]}
        front = ["".join(f"User: {q}\n\nAssistant: {a}\n\n" for q, a in said[:i]) for i in range(3)]
        records = [{"instruction": f"{front[i]}User: {q}" if i else q, "output": a} for i, (q, a) in enumerate(said)]
        chats, short = self.write("chats.jsonl", [chat]), ("--set", "training.epochs=1")
        for turns, chosen, left_out in (("first", records[:1], 2), ("last", records[2:], 2), ("all", records, 0)):
            as_said = ("--set", f"adapter.records=[{chats}]", "--set", f"adapter.turns={turns}")
            if turns != "first":
                by_hand = self.train(f"{turns} by hand", *short, "--set", f"adapter.records=[{self.write('plain.jsonl', chosen)}]")
                self.assertTrue(self.train(turns, *short, *as_said) == by_hand, turns)
            done = rocket("check", self.config, *as_said)
            self.assertIn(f"{len(chosen)} of {len(chosen)} records", done.stdout)
            count = f"adapter.records: {left_out} assistant turns of chats are no outputs (adapter.turns: {turns})"
            self.assertEqual(count in done.stderr, left_out > 0, done.stderr)

    def test_broken_records_stop_it_or_are_left_out_and_counted(self):
        good = {"instruction": "Add.", "output": "4"}
        records = self.write("records.jsonl", [good, "{", good, {"instruction": "Sum.", "output": " "}])
        where = ("--set", f"adapter.records=[{records}]")
        stopped = rocket("check", self.config, *where, check=False)
        self.assertEqual(stopped.returncode, 65)
        self.assertIn(f"{records}:2: no valid JSON", stopped.stderr)
        done = rocket("check", self.config, *where, "--set", "adapter.on_error=skip")
        self.assertIn("2 of 2 records", done.stdout)
        self.assertIn(f"{records}:2: no valid JSON", done.stderr)
        self.assertIn("left out (adapter.on_error)", done.stderr)
        self.assertIn("2 broken records left out", done.stderr)

    def test_records_that_the_cutoff_drops_are_named(self):
        records = pathlib.Path(self.folder.name) / "records.jsonl"
        lines = [{"instruction": "Add.", "output": "4"}, {"instruction": "word " * 300, "output": "5"}, {"instruction": "Sum.", "output": "6"},
                 {"instruction": "more " * 300, "output": "7"}]
        records.write_text("".join(json.dumps(line) + "\n" for line in lines))
        done = rocket("check", self.config, "--set", f"adapter.records=[{records}]", "--set", "training.cutoff=200")
        self.assertIn(f"2 examples had no target left at 200 tokens and were dropped: {records}:2, {records}:4", done.stderr)
        self.assertIn("2 of 4 records", done.stdout)

    def test_score_warns_of_an_adapter_that_was_trained_with_another_template(self):
        folder, short = pathlib.Path(self.folder.name), ("--set", "training.epochs=1")
        self.train("a", *short, "--set", "prompt.template=chatml")
        self.train("b", *short)
        shutil.copytree(LAB / "bank/home", folder / "bank/home")  # of a hub: nothing is known
        shutil.copytree(folder / "a/adapter/sums", folder / "bank/theirs")
        shutil.copytree(folder / "b/adapter/sums", folder / "bank/ours")
        scored = ("--set", f"bank.adapters={folder}/bank", "--set", f"task.shots={LAB}/tasks/number/shots.jsonl", "--set", "task.k=2",
                  "--set", "scoring.max_new_tokens=2", "--set", f"run={folder}/scored")
        said = rocket("score", self.config, *scored).stderr
        self.assertIn("trained with another prompt template than prompt.template, which is alpaca: theirs (chatml).", said)
        self.assertNotIn("ours (", said)
        again = rocket("score", self.config, "--fresh", *scored, "--set", "prompt.template={with_input: '{instruction} {input}', without_input: '{instruction}'}")
        self.assertIn("which is a template of its own: ours (alpaca), theirs (chatml).", again.stderr)

    def test_a_sweep_trains_several_adapters(self):
        folder = pathlib.Path(self.folder.name)
        sweep = folder / "bank.yaml"
        sweep.write_text(json.dumps({"config": str(self.config), "job": "train-adapter", "runs": f"{folder}/bank", "points": [
            {"name": "one", "set": {"adapter.name": "one", "training.epochs": 1}},
            {"name": "two", "set": {"adapter.name": "two", "training.epochs": 1, "adapter.rank": 2}}]}))
        self.assertEqual([row["state"] for row in json.loads(rocket("sweep", sweep, "list", "--format", "json").stdout)], ["absent", "absent"])
        rocket("sweep", sweep, "run")
        self.assertEqual([row["state"] for row in json.loads(rocket("sweep", sweep, "list", "--format", "json").stdout)], ["done", "done"])
        rows = json.loads(rocket("sweep", sweep, "table", "--format", "json").stdout)
        self.assertEqual([row["steps"] for row in rows], [5, 5])
        self.assertEqual([row["folder"] for row in rows], [f"{folder}/bank/one/adapter", f"{folder}/bank/two/adapter"])
        alone = self.train("alone", "--set", "training.epochs=1")
        self.assertEqual((folder / "bank/one/adapter/one/adapter_model.safetensors").read_bytes(), alone)
        self.assertIn("nothing to do", rocket("sweep", sweep, "run", "--point", "1").stderr)
        scored = rocket("score", self.config, "--set", f"bank.adapters=[{folder}/bank/one/adapter, {folder}/bank/two/adapter]",
                        "--set", f"task.shots={LAB}/tasks/number/shots.jsonl", "--set", "task.k=2", "--set", "scoring.max_new_tokens=2",
                        "--set", f"run={folder}/scored")
        self.assertIn("score: done", scored.stderr)

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
