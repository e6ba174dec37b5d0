"""The program's manners: tables, resuming, staleness, streams, sweeps, tokens, exports."""
import csv
import io
import itertools
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from small_world import LAB, REPOSITORY, ROCKET, differences, environment, make_world, rocket, without_sandbox


class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.holder.name)
        cls.config = make_world(cls.folder)
        cls.run_directory = cls.folder / "run"
        cls.first = rocket("run", cls.config)

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def table(self, name):
        return json.loads(rocket("inspect", self.run_directory, name, "--format", "json").stdout)

    def test_results_go_to_stdout_and_all_else_to_stderr(self):
        lines = self.first.stdout.splitlines()
        self.assertEqual(lines[0].split(), ["system", "correct", "items", "accuracy", "se", "nothing_found", "chance", "best", "better_than",
                                            "tokens"])
        self.assertEqual(len(lines), 5)
        self.assertIn("score: done", self.first.stderr)
        self.assertEqual(rocket("run", self.config, "--quiet").stderr, "")

    def test_a_finished_job_is_said_to_be_finished(self):
        for job in ("score", "experts", "embed", "select", "finetune", "evaluate", "export"):
            self.assertIn("done before", rocket(job, self.config).stderr)

    def test_a_removed_result_is_gathered_again(self):
        before = (self.run_directory / "score.h5").read_bytes()
        (self.run_directory / "score.h5").unlink()
        self.assertIn("score: done in", rocket("score", self.config).stderr)
        self.assertEqual((self.run_directory / "score.h5").read_bytes(), before)

    def test_every_file_of_a_run_is_there(self):
        for name in ("config.yaml", "manifest.json", "score.h5", "embed.h5", "select.h5", "training.h5", "evaluate.h5", "experts.json",
                     "selected.jsonl", "report.html", "expert/mixture.json", "expert/router.safetensors", "expert/mixture.py",
                     "events/rank-00000.jsonl"):
            self.assertTrue((self.run_directory / name).is_file(), name)
        manifest = json.loads((self.run_directory / "manifest.json").read_text())
        self.assertEqual({j["state"] for j in manifest["jobs"].values()}, {"done"})

    def test_tables_have_their_fields(self):
        fields = {"scores": "adapter perplexity perplexity_se accuracy accuracy_se place_perplexity place_accuracy place candidate expert "
                            "exp_mean_nll",
                  "shots": "adapter shot nll target_tokens correct generation", "selection": "record similarity kept dropped_by",
                  "training": "step epoch loss learning_rate gradient_norm target_tokens seconds",
                  "evaluation": "system correct items accuracy se nothing_found chance best better_than tokens",
                  "comparison": "a b difference low high a_only b_only p p_holm beyond_chance a_best b_best",
                  "items": "system item correct chosen gold generation extracted", "costs": "system item tokens seconds",
                  "jobs": "job state parts_done parts_total seconds"}
        for name, names in fields.items():
            for row in self.table(name):
                self.assertEqual(list(row), names.split(), name)
            text = rocket("inspect", self.run_directory, name, "--format", "csv").stdout
            rows = list(csv.DictReader(io.StringIO(text)))
            self.assertEqual(len(rows), len(self.table(name)), name)
        self.assertEqual(list(self.table("similarity")), ["adapters", "matrix"])
        self.assertEqual(list(self.table("experts")), ["experts", "candidates", "tuples", "mean_similarity", "objective", "notes"])
        self.assertEqual(self.table("scores")[0]["adapter"], "(base)")
        self.assertIsNone(self.table("scores")[0]["place"])

    def test_scores_show_the_exp_of_the_mean_nll_beside_the_mean(self):
        nll = {}
        for row in self.table("shots"):
            nll.setdefault(row["adapter"], []).append(row["nll"])
        for row in self.table("scores"):
            values = nll[row["adapter"]]
            self.assertAlmostEqual(row["exp_mean_nll"], math.exp(sum(values) / len(values)), places=9)
            self.assertAlmostEqual(row["perplexity"], sum(map(math.exp, values)) / len(values), places=9)

    def test_items_hold_every_answer(self):
        rows, items = self.table("items"), [json.loads(line) for line in (self.folder / "items.jsonl").read_text().splitlines()]
        systems = {row["system"]: row for row in self.table("evaluation")}
        self.assertEqual([(row["system"], row["item"]) for row in rows], [(s, i) for s in systems for i in range(len(items))])
        for row in rows:
            self.assertEqual(row["gold"], items[row["item"]]["answer"])
            self.assertEqual(row["correct"], row["extracted"] == row["gold"])
            self.assertTrue(row["extracted"] is None or row["extracted"] in row["generation"])
        for name, system in systems.items():
            own = [row for row in rows if row["system"] == name]
            self.assertEqual(system["correct"], sum(row["correct"] for row in own))
            self.assertEqual(system["nothing_found"], sum(row["extracted"] is None for row in own))
            self.assertEqual(system["chance"], 0.25, "every item offers A to D")
        self.assertIn("generation", rocket("inspect", self.run_directory, "items").stdout.splitlines()[0])

    def test_the_comparison_is_that_of_the_items(self):
        right, systems = {}, {row["system"]: row for row in self.table("evaluation")}
        for row in self.table("items"):
            right.setdefault(row["system"], []).append(row["correct"])
        rows = self.table("comparison")
        self.assertEqual({frozenset((row["a"], row["b"])) for row in rows}, {frozenset(pair) for pair in itertools.combinations(right, 2)})
        self.assertEqual([row["a"] for row in rows[:3]], ["expert"] * 3)
        for row in rows:
            only_a, only_b = (sum(x and not y for x, y in zip(right[one], right[other], strict=True))
                              for one, other in ((row["a"], row["b"]), (row["b"], row["a"])))
            tail = sum(math.comb(only_a + only_b, i) for i in range(min(only_a, only_b) + 1)) / 2**(only_a + only_b)
            self.assertEqual((row["a_only"], row["b_only"]), (only_a, only_b))
            self.assertAlmostEqual(row["difference"], (only_a - only_b) / 8)
            self.assertAlmostEqual(row["p"], min(1, 2 * tail))
            self.assertTrue(row["low"] <= row["difference"] <= row["high"])
            self.assertEqual(row["a_best"], systems[row["a"]]["best"])
            self.assertEqual(row["beyond_chance"], row["b"] in (systems[row["a"]]["better_than"] or "").split(", ")
                             or row["a"] in (systems[row["b"]]["better_than"] or "").split(", "))
        self.assertAlmostEqual(sum(row["best"] for row in systems.values()), 1)

    def test_one_system_alone_is_not_compared(self):
        with tempfile.TemporaryDirectory() as folder:
            run = pathlib.Path(folder) / "run"
            shutil.copytree(self.run_directory, run)
            alone = ("--set", f"run={run}", "--set", "evaluation.rivals=[]")
            rocket("evaluate", self.config, "--fresh", *alone)
            refused = rocket("inspect", run, "comparison", check=False)
            self.assertEqual(refused.returncode, 65)
            self.assertIn("expert alone was evaluated", refused.stderr)
            row, = json.loads(rocket("inspect", run, "evaluation", "--format", "json").stdout)
            self.assertEqual((row["best"], row["better_than"]), (1, None))
            self.assertNotIn("items show", rocket("check", self.config, *alone).stdout)

    def test_check_says_what_the_items_can_show(self):
        self.assertIn("note: evaluate: 8 items show no difference between two of 4 systems; 10 points need ",
                      rocket("check", self.config).stdout)

    def test_notes_on_the_choice_are_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            run = pathlib.Path(folder) / "run"
            shutil.copytree(self.run_directory, run)
            said = rocket("experts", self.config, "--fresh", "--set", f"run={run}", "--set", "experts.candidates=9").stderr
            rocket("report", self.config, "--set", f"run={run}", "--set", "experts.candidates=9")
            note = "experts.candidates is 9, the bank holds 6 adapters: all are candidates"
            self.assertIn(note, said)
            self.assertIn(note, json.loads((run / "experts.json").read_text())["notes"])
            self.assertIn(note, json.loads(rocket("inspect", run, "experts", "--format", "json").stdout)["notes"])
            self.assertIn(note, rocket("inspect", run, "experts").stdout)
            self.assertIn(note, (run / "report.html").read_text())

    def test_limits_give_what_shorter_files_give(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            short = folder / "short.jsonl"
            short.write_text("".join((self.folder / "corpus.jsonl").read_text().splitlines(keepends=True)[:300]))
            limited = rocket("embed", self.config, "--set", f"run={folder}/limited", "--set", "corpus.limit=300").stderr
            self.assertIn("corpus.limit is 300", limited)
            rocket("embed", self.config, "--set", f"run={folder}/short", "--set", f"corpus.records=[{short}]")
            self.assertEqual(differences(folder / "limited", folder / "short", files=("embed.h5",)), [])
            changed = rocket("embed", self.config, "--set", f"run={folder}/limited", "--set", "corpus.limit=301", check=False)
            self.assertEqual(changed.returncode, 78)
            self.assertIn("corpus.limit was 300, is 301", changed.stderr)
            run = folder / "run"
            shutil.copytree(self.run_directory, run)
            stale = rocket("evaluate", self.config, "--set", f"run={run}", "--set", "task.limit=3", check=False)
            self.assertEqual(stale.returncode, 78)
            said = rocket("evaluate", self.config, "--fresh", "--set", f"run={run}", "--set", "task.limit=3").stderr
            self.assertIn("the first 3 items", said)
            rows = json.loads(rocket("inspect", run, "items", "--format", "json").stdout)
            self.assertEqual(rows, [row for row in self.table("items") if row["item"] < 3])

    def test_a_system_costs_what_its_answers_took(self):
        costs = self.table("costs")
        for row in self.table("evaluation"):
            own = [cost for cost in costs if cost["system"] == row["system"]]
            self.assertEqual([cost["item"] for cost in own], list(range(row["items"])))
            self.assertEqual(row["tokens"], sum(cost["tokens"] for cost in own))
            self.assertTrue(all(cost["tokens"] > 0 and cost["seconds"] > 0 for cost in own))

    def test_check_counts_the_prompts_of_evaluate(self):
        def tokens(records):
            prompts = [f"Below is an instruction that describes a task, paired with an input that provides further context. Write a response "
                       f"that appropriately completes the request.\n\n### Instruction:\n{r['instruction']}\n\n### Input:\n{r['input']}\n\n"
                       f"### Response:\n" for r in records]
            done = rocket("tokenize", LAB / "base", input="".join(json.dumps(prompt) + "\n" for prompt in prompts))
            return sum(len(json.loads(line)) for line in done.stdout.splitlines())
        items = [json.loads(line) for line in (self.folder / "items.jsonl").read_text().splitlines()]
        for more, systems, count, words in (((), 4, 8, "4 systems x 8 items "),
                                            (("--set", "task.limit=5"), 4, 5, "4 systems x 5 items (task.limit)"),
                                            (("--set", "evaluation.rivals=[base, each_expert]"), 4, 8, "4 systems x 8 items ")):
            line = next(l for l in rocket("check", self.config, *more).stdout.splitlines() if l.startswith("evaluate"))
            self.assertIn(words, line)
            flops = 2 * 795776 * systems * (tokens(items[:count]) + 40 * count)
            self.assertIn(f"{flops:.2e} flop", line)
        self.assertIn("400 records (corpus.limit)", rocket("check", self.config, "--set", "corpus.limit=400").stdout)

    def test_gold_values_outside_their_pattern_are_counted(self):
        with tempfile.TemporaryDirectory() as folder:
            config, folder = make_world(folder), pathlib.Path(folder)
            lines = [json.loads(line) for line in (folder / "shots.jsonl").read_text().splitlines()]
            lines[0]["answer"] = "Answer: " + lines[0]["answer"]
            (folder / "shots.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            regex = ("--set", "task.answer=regex", "--set", "task.pattern='Answer: ([A-D])'")
            checked = rocket("check", config, *regex).stdout
            self.assertIn("shots.jsonl: task.pattern matches nothing in 5 of 6 answers, which are taken whole", checked)
            self.assertIn("items.jsonl: task.pattern matches nothing in 8 of 8 answers", checked)
            scored = rocket("score", config, *regex, "--set", "scoring.max_new_tokens=64")
            self.assertIn("5 of 6 answers", scored.stderr)
            shots = json.loads(rocket("inspect", folder / "run", "shots", "--format", "json").stdout)
            golds = [line["answer"][-1] for line in lines]
            for row in shots:
                found = re.search("Answer: ([A-D])", row["generation"])
                self.assertEqual(row["correct"], found is not None and found.group(1) == golds[row["shot"]])
            self.assertTrue(any(row["correct"] for row in shots))

    def test_a_shot_that_makes_most_of_a_mean_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            config, folder = make_world(folder), pathlib.Path(folder)
            lines = [json.loads(line) for line in (folder / "shots.jsonl").read_text().splitlines()]
            lines[2]["rationale"] = "zq " * 30 + "Answer: A"
            (folder / "shots.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            said = rocket("score", config).stderr
            self.assertIn(f"warning: score: shot 2 ({folder}/shots.jsonl:3) makes more than half of the mean perplexity of 7 of 7", said)
            rows = json.loads(rocket("inspect", folder / "run", "scores", "--format", "json").stdout)
            self.assertTrue(any(f"the mean {row['perplexity']:.4g}, exp of the mean nll {row['exp_mean_nll']:.4g}" in said for row in rows))
            rocket("experts", config)
            self.assertIn("shot 2 (from 0) of 6", json.loads((folder / "run/experts.json").read_text())["notes"][0])

    def test_the_rows_of_jobs_follow_the_chain(self):
        self.assertEqual([row["job"] for row in self.table("jobs")],
                         ["score", "experts", "embed", "select", "finetune", "evaluate", "export", "train-adapter", "rationalize"])
        self.assertEqual([row["state"] for row in self.table("jobs")], ["done"] * 7 + ["absent"] * 2)

    def test_fresh_makes_what_stands_on_it_stale_only_if_something_changed(self):
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder, records=200, retrieve=20)
            rocket("run", config)
            rocket("select", config, "--fresh", "--set", "selection.retrieve=10")
            done = rocket("finetune", config, "--set", "selection.retrieve=10", check=False)
            self.assertEqual(done.returncode, 65)
            self.assertIn("rocket finetune", done.stderr)
            again = rocket("run", config, "--fresh", "--set", "selection.retrieve=10")
            for job, word in (("score", "done before"), ("embed", "done before"), ("finetune", "done in"), ("evaluate", "done in")):
                self.assertIn(f"{job}: {word}", again.stderr)

    def test_fresh_replaces_a_part_of_another_computation(self):
        with tempfile.TemporaryDirectory() as folder:
            config, part = make_world(folder, records=200, retrieve=20), "parts/score/unit-000000.h5"
            run, other = pathlib.Path(folder) / "run", pathlib.Path(folder) / "other"
            rocket("run", config)
            scores = (run / "score.h5").read_bytes()
            rocket("score", config, "--set", f"run={other}", "--set", "scoring.max_new_tokens=30")
            shutil.copy(other / part, run / part)
            (run / "score.h5").unlink()
            stopped = rocket("run", config, check=False)
            self.assertEqual(stopped.returncode, 65)
            self.assertIn(f"{run / part}: belongs to another computation; `rocket score {config} --fresh` starts anew", stopped.stderr)
            rocket("run", config, "--fresh")
            self.assertEqual((run / "score.h5").read_bytes(), scores)

    def test_untrained_mixture_can_be_exported(self):
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder, records=200, retrieve=20)
            rocket("run", config, "--set", "training.epochs=0")
            table = json.loads(rocket("inspect", pathlib.Path(folder) / "run", "training", "--format", "json").stdout)
            self.assertEqual(table, [])

    def test_policies_and_explicit_experts(self):
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder, records=200, retrieve=20)
            for job in ("score", "embed"):
                rocket(job, config)
            for policy in ("released_code", "similarity_only", "random", "convex", "kde", "repr_filter", "none", "greedy"):
                rocket("select", config, "--fresh", "--set", f"selection.policy={policy}")
            rocket("experts", config, "--fresh", "--set", "experts.names=[color, home, tool]")
            choice = json.loads((pathlib.Path(folder) / "run/experts.json").read_text())
            self.assertEqual(sorted(choice["experts"]), ["color", "home", "tool"])

    def test_exports_in_all_forms(self):
        for form, file in (("experts", None), ("merged_lora", "adapter_config.json"), ("merged_model", "config.json")):
            target = self.folder / f"out-{form}"
            rocket("export", self.config, "--as", form, "--to", target)
            self.assertTrue(any(target.iterdir()))
            if file:
                self.assertTrue((target / file).is_file())
        bank = f"bank.adapters=[{self.folder}/out-experts, {self.folder}/out-merged_lora]"
        other = rocket("score", self.config, "--set", f"run={self.folder}/again", "--set", bank, "--set", "prompt.template=chatml").stderr
        for name in [*(f.name for f in (self.folder / "out-experts").iterdir() if f.is_dir()), "out-merged_lora"]:
            self.assertIn(f"{name} (alpaca)", other)
        same = rocket("score", self.config, "--set", f"run={self.folder}/same", "--set", bank).stderr
        self.assertNotIn("another prompt template", same)
        self.assertTrue(json.loads(rocket("inspect", self.folder / "out-merged_lora", "--format", "json").stdout)["usable"])
        self.assertTrue(json.loads(rocket("inspect", self.folder / "out-merged_model", "--format", "json").stdout)["usable"])

    def test_sweep_computes_what_points_share_once(self):
        sweep = self.folder / "sweep.yaml"
        runs = self.folder / "sweep"
        sweep.write_text(json.dumps({"config": str(self.config), "runs": str(runs), "grid": {"experts.count": [1, 2], "seed": [0, 1]}}))
        self.assertEqual(len(rocket("sweep", sweep, "list").stdout.splitlines()), 5)
        done = rocket("sweep", sweep, "run")
        self.assertEqual(done.stderr.count("score: done in"), 1)
        self.assertEqual(done.stderr.count("score: taken over"), 3)
        rows = json.loads(rocket("sweep", sweep, "table", "--format", "json").stdout)
        self.assertEqual(len(rows), 4)
        for row in rows:
            self.assertEqual(row["seeds"], 2)
            self.assertIsNotNone(row["accuracy"])
        pairs = json.loads(rocket("sweep", sweep, "comparison", "--format", "json").stdout)
        self.assertEqual([(row["experts.count"], row["runs"]) for row in pairs], [("1", 2)] * 6 + [("2", 2)] * 6)
        for row in pairs:
            accuracies = []
            for system in (row["a"], row["b"]):
                points = [runs / f"experts.count={row['experts.count']},seed={seed}" for seed in (0, 1)]
                found = [s["accuracy"] for point in points for s in json.loads(rocket("inspect", point, "evaluation", "--format", "json").stdout)
                         if s["system"] == system]
                accuracies.append(sum(found) / 2)
            self.assertAlmostEqual(row["difference"], accuracies[0] - accuracies[1])
            self.assertTrue(row["low"] <= row["difference"] <= row["high"])
        shutil.rmtree(runs / "experts.count=1,seed=1")
        left = rocket("sweep", sweep, "comparison", "--format", "json")
        self.assertIn("point experts.count=1,seed=1 is not compared: it has not been evaluated", left.stderr)
        self.assertEqual([row["runs"] for row in json.loads(left.stdout)], [1] * 6 + [2] * 6)

    def test_a_sweep_says_how_a_stale_point_is_computed_anew(self):
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder, records=200, retrieve=20)
            sweep = pathlib.Path(folder) / "sweep.yaml"
            train_for = lambda epochs: sweep.write_text(json.dumps(
                {"config": str(config), "runs": f"{folder}/sweep", "points": [{"name": "one", "set": {"training.epochs": epochs}}]}))
            train_for(1)
            rocket("sweep", sweep, "run")
            train_for(2)
            stale = rocket("sweep", sweep, "run", check=False)
            self.assertEqual(stale.returncode, 78)
            advice = re.search("`rocket (.*)` computes it anew", stale.stderr).group(1)
            self.assertEqual(advice, f"sweep {sweep} run --point 0 --fresh")
            again = rocket(*advice.split()).stderr
            for job, word in (("score", "done before"), ("finetune", "done in")):
                self.assertIn(f"{job}: {word}", again)

    def test_tokenize_and_back(self):
        text = json.dumps("Facts: cup costs 9. \u00e9\u4e2d\n") + "\n"
        ids = subprocess.run([ROCKET, "tokenize", LAB / "base"], input=text, capture_output=True, text=True, env=environment(), check=True).stdout
        plain = subprocess.run([ROCKET, "tokenize", LAB / "base", "--plain"], input=text, capture_output=True, text=True, env=environment(), check=True).stdout
        self.assertEqual(json.loads(ids), [1] + json.loads(plain))
        back = subprocess.run([ROCKET, "tokenize", LAB / "base", "--decode"], input=plain, capture_output=True, text=True, env=environment(), check=True).stdout
        self.assertEqual(json.loads(back), json.loads(text))

    def test_inspect_says_what_a_folder_is(self):
        base = json.loads(rocket("inspect", LAB / "base", "--format", "json").stdout)
        self.assertEqual((base["family"], base["parameters"], base["usable"]), ("llama", 795776, True))
        self.assertEqual((base["rope"]["type"], base["window"], base["biases"], base["qk_norm"]), ("default", None, [], False))
        adapter = json.loads(rocket("inspect", LAB / "bank/price", "--format", "json").stdout)
        self.assertEqual((adapter["lora_r"], adapter["usable"], adapter["reason"]), (8, True, None))

    def test_inspect_says_what_sets_a_family_apart(self):
        def inspected(family, case):
            tiny = LAB.parent / "data/families" / family
            config = next(c["config"] for c in json.loads((tiny / "cases.json").read_text())["cases"] if c["name"] == case)
            with tempfile.TemporaryDirectory() as folder:
                for file in tiny.glob("model*"):
                    shutil.copy(file, folder)
                pathlib.Path(folder, "config.json").write_text(json.dumps(config))
                self.assertIn(family, rocket("inspect", folder).stdout)
                return json.loads(rocket("inspect", folder, "--format", "json").stdout)
        mistral, qwen2, qwen3 = inspected("mistral", "window with yarn"), inspected("qwen2", "window from a layer on"), inspected("qwen3", "as it is")
        self.assertEqual((mistral["family"], mistral["window"], mistral["biases"]), ("mistral", 11, []))
        self.assertEqual(mistral["rope"], {"type": "yarn", "theta": 300.0, "factor": 4.0, "original_positions": 16})
        self.assertEqual((qwen2["window"], qwen2["biases"], qwen2["tied_head"]), ([0, 5, 5], ["q", "k", "v"], True))
        self.assertEqual((qwen3["qk_norm"], qwen3["biases"], qwen3["head_dim"]), (True, ["q", "k", "v", "o"], 8))

    def test_help_and_version(self):
        for job in ("run", "check", "score", "experts", "embed", "select", "finetune", "evaluate", "export", "report", "sweep", "inspect", "tokenize"):
            self.assertIn("Usage", rocket(job, "--help").stdout)
        version = rocket("--version").stdout
        for word in ("rocket", "LibTorch 2.11", "CUDA", "NCCL", "MPI", "HDF5"):
            self.assertIn(word, version)
        about = json.loads(rocket("--version", "--json").stdout)
        self.assertEqual(json.loads(rocket("--json", "--version").stdout), about)
        self.assertEqual(version.splitlines()[0], f"rocket {about['version']}")
        for name, found in about["libraries"].items():
            self.assertIn(f"{name} {found}\n", version + "\n")
        self.assertEqual(rocket("--json", check=False).returncode, 64)

    def assert_all_done_before(self, program=ROCKET):
        said = subprocess.run([program, "run", self.config], env=environment(), capture_output=True, text=True, check=True).stderr
        self.assertEqual((said.count("done before"), said.count("done in")), (7, 0), said)

    def test_another_build_does_not_make_a_result_stale(self):
        commit = json.loads(rocket("--version", "--json").stdout)["commit"]
        if commit is None:
            self.skipTest("sources without a commit")
        with tempfile.TemporaryDirectory() as folder:  # the program of another commit
            for file in (ROCKET, *ROCKET.parent.glob("librocket_*.so")):
                shutil.copy(file, folder)
            library = pathlib.Path(folder, "librocket_commit.so")
            library.write_bytes(library.read_bytes().replace(commit.encode(), b"0" * 40))
            program = pathlib.Path(folder, "rocket")
            about = subprocess.run([program, "--version", "--json"], capture_output=True, text=True, check=True).stdout
            self.assertEqual(json.loads(about)["commit"], "0" * 40)
            self.assert_all_done_before(program)

    def test_records_of_the_first_versions_are_read(self):
        records = {path: path.read_text() for path in (self.run_directory / "parts").glob("*/job.json")}
        try:
            for path, text in records.items():
                path.write_text(json.dumps({**json.loads(text), "build": "0.1.0, LibTorch 2.11.0"}))
            self.assert_all_done_before()
        finally:
            for path, text in records.items():
                path.write_text(text)

    def test_check_writes_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder)
            before = sorted(pathlib.Path(folder).rglob("*"))
            rocket("check", config)
            self.assertEqual(sorted(pathlib.Path(folder).rglob("*")), before)

    def test_check_of_one_job_looks_at_what_it_reads(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            config = make_world(folder, shots=4, records=20, items=3)
            text = config.read_text()

            def without(*keys):
                settings = json.loads(text)
                for key in keys:
                    section, name = key.split(".")
                    settings[section][name] = [str(folder / "gone")] if name == "records" else str(folder / "gone")
                config.write_text(json.dumps(settings))

            without("corpus.records", "encoder.path", "task.evaluation")
            plan = rocket("check", config, "--job", "score").stdout
            self.assertIn("score", plan)
            for job in ("embed", "select", "finetune", "evaluate"):
                self.assertNotIn(f"\n{job} ", plan)
            self.assertIn("\nexperts ", rocket("check", config, "--job", "experts").stdout)
            done = rocket("check", config, "--job", "select", check=False)
            self.assertEqual(done.returncode, 78)
            for key in ("corpus.records", "encoder.path", "task.evaluation"):
                self.assertIn(key, done.stderr)
            without("base.path", "bank.adapters", "task.evaluation")
            plan = rocket("check", config, "--job", "embed").stdout
            self.assertIn("20 records", plan)
            self.assertNotIn("base:", plan)
            self.assertEqual(rocket("check", config, "--job", "score", check=False).returncode, 78)
            without("base.path", "bank.adapters")
            self.assertIn("\nselect ", rocket("check", config, "--job", "select").stdout)
            without()
            self.assertIn("(to use them all: --set task.k=4)", rocket("check", config, "--set", "task.k=9", check=False).stderr)
            self.assertIn("\nfinetune ", rocket("check", config, "--job", "export").stdout)
            self.assertIn("\nrationalize ", rocket("check", config, "--job", "rationalize").stdout)

    def test_a_mistyped_word_names_the_nearest(self):
        with tempfile.TemporaryDirectory() as folder:
            config = make_world(folder, shots=2, records=5, items=2)
            for line, meant in ((["scoer", config], "did you mean 'score'"), (["train_adapter", config], "did you mean 'train-adapter'"),
                                (["score", config, "--frseh"], "did you mean '--fresh'"),
                                (["export", config, "--az=experts"], "did you mean '--as'"),
                                (["check", config, "--job", "evalute"], "did you mean 'evaluate'"),
                                (["inspect", self.run_directory, "score"], "did you mean 'scores'")):
                done = rocket(*line, check=False)
                self.assertEqual(done.returncode, 64, done.stderr)
                self.assertIn(meant, done.stderr)
                self.assertEqual(done.stderr.count("rocket: "), 1, done.stderr)

    def test_a_folder_that_is_no_base_is_said(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            config = make_world(folder, shots=2, records=5, items=2)
            snapshot = folder / "hub/models--org--base/snapshots/0a1b"
            shutil.copytree(LAB / "base", snapshot)
            (folder / "base.gguf").write_bytes(b"GGUF")
            (folder / "gguf").mkdir()
            shutil.copy(folder / "base.gguf", folder / "gguf")
            shutil.copytree(LAB / "base", folder / "training/checkpoint-7")
            os.symlink("nowhere", folder / "link")
            for path, code, words in ((folder / "hub/models--org--base", 65, ["Hugging Face cache", str(snapshot)]),
                                      (folder / "training", 65, ["a folder of 1 models (checkpoint-7)"]),
                                      (folder / "base.gguf", 78, ["GGUF"]), (folder / "gguf", 65, ["GGUF files (base.gguf)"]),
                                      (LAB / "bank/home", 65, ["an adapter: name the base"]),
                                      (folder / "link", 78, ["a link to nowhere, which is not there"]),
                                      ("org/base", 78, ["org/base does not exist here", str(snapshot)]),
                                      ("org/other", 78, ["org/other does not exist here", "hf download org/other"])):
                for key, job in (("base.path", "score"), ("encoder.path", "embed")):
                    done = subprocess.run([ROCKET, "check", config, "--job", job, "--set", f"{key}={path}"], text=True, capture_output=True,
                                          cwd=REPOSITORY, env=environment(HF_HOME=str(folder)))
                    self.assertEqual(done.returncode, code, f"{path}: {done.stderr}")
                    for word in words:
                        self.assertIn(word, done.stderr)

    def test_every_lab_configuration_checks(self):
        for config in sorted((REPOSITORY / "configs").glob("lab-*.yaml")):
            with self.subTest(config.name):
                if config.name == "lab-code.yaml" and (reason := without_sandbox()):
                    self.skipTest(reason)
                rocket("check", config)


if __name__ == "__main__":
    unittest.main()
