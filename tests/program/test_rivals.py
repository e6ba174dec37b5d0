"""The systems beside which the expert is evaluated: each of them runs, and is what its name says."""
import json
import pathlib
import shutil
import tempfile
import unittest

from small_world import differences, make_world, rocket

RIVALS = ["base", "in_context", "best_single", "best_single_in_context", "each_expert", "uniform_merge", "ties", "dare", "random_experts",
          "random_weights", "untrained", "arrow"]


class Rivals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.config = make_world(cls.folder)
        config = json.loads(cls.config.read_text())
        # Little training: the untrained mixture and the expert then differ, and nothing else takes long.
        config["evaluation"] = {"rivals": RIVALS, "in_context": 2, "ties_density": 0.5, "dare_drop": 0.3}
        config["training"]["epochs"] = 1
        cls.config.write_text(json.dumps(config))
        rocket("run", cls.config)
        cls.run_directory = cls.folder / "run"
        cls.items = cls.answers(cls.run_directory)

    @staticmethod
    def answers(run):
        """{system: what it says of each item}"""
        systems = {}
        for item in json.loads(rocket("inspect", run, "items", "--format", "json").stdout):
            systems.setdefault(item["system"], []).append(item["generation"])
        return systems

    def evaluated(self, *settings, ranks=0):
        """A copy of the run, evaluated anew."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        run = pathlib.Path(folder.name) / "run"
        shutil.copytree(self.run_directory, run)
        more = [word for setting in settings for word in ("--set", setting)]
        rocket("evaluate", self.config, "--fresh", "--set", f"run={run}", *more, ranks=ranks)
        return run

    def test_all_of_them_answer(self):
        experts = json.loads((self.run_directory / "experts.json").read_text())["experts"]
        expected = [name for rival in RIVALS for name in ([f"expert:{e}" for e in experts] if rival == "each_expert" else [rival])]
        rows = json.loads(rocket("inspect", self.run_directory, "evaluation", "--format", "json").stdout)
        self.assertEqual([row["system"].split(" ")[0] for row in rows], expected + ["expert"])
        self.assertTrue(all(row["items"] == 8 for row in rows))
        # Answers are short, so a few systems may agree on all eight items.
        self.assertGreaterEqual(len({tuple(answers) for answers in self.items.values()}), 8)

    def test_ranks_do_not_matter(self):
        self.assertEqual(differences(self.run_directory, self.evaluated(ranks=2), files=("evaluate.h5",)), [])

    def test_in_context_is_the_system_behind_examples(self):
        behind = self.answers(self.evaluated("task.fewshot=2", "evaluation.rivals=[base, best_single]"))
        self.assertEqual(self.items["in_context"], behind["base"])
        self.assertEqual(self.items["best_single_in_context"], behind["best_single"])
        self.assertNotEqual(self.items["in_context"], self.items["base"])

    def test_ties_and_dare_of_everything(self):
        """All that is kept: DARE is the mean. Of one expert TIES is that expert."""
        whole = self.answers(self.evaluated("evaluation.dare_drop=0", "evaluation.rivals=[dare, uniform_merge]"))
        self.assertEqual(whole["dare"], whole["uniform_merge"])
        self.assertEqual(whole["uniform_merge"], self.items["uniform_merge"])

    def test_draws_depend_on_the_seed_alone(self):
        again = self.answers(self.evaluated("evaluation.rivals=[random_weights, dare, random_experts]"))
        for name, answers in again.items():
            if name != "expert":
                self.assertEqual(answers, self.items[name], name)

    def test_examples_beyond_the_shots_are_refused(self):
        refused = rocket("check", self.config, "--set", "evaluation.in_context=7", check=False)
        self.assertEqual(refused.returncode, 78)
        self.assertIn("evaluation.in_context: 7 examples, but only 6 shots are used (task.k)", refused.stderr)
        self.assertEqual(rocket("check", self.config, "--set", "evaluation.in_context=7", "--set", "evaluation.rivals=[base]").returncode, 0)

    def test_check_counts_the_examples(self):
        def flops(rivals):
            done = rocket("check", self.config, "--set", f"evaluation.rivals=[{rivals}]")
            line = next(line for line in done.stdout.splitlines() if line.startswith("evaluate"))
            return float(line.split()[-2])
        self.assertGreater(flops("in_context"), 1.5 * flops("base"))


if __name__ == "__main__":
    unittest.main()
