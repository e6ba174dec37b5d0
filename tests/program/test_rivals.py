"""The systems beside which the expert is evaluated: each of them runs, and is what its name says."""
import json
import math
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

from small_world import LAB, ROCKET, differences, environment, make_world, read_tensors, rocket, write_tensors

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


TUNED = ["best_single_tuned", "task_lora", "merge_tuned", "random_experts_tuned", "random_weights_tuned", "mixlora", "router_only"]
DATA = 65


def floats(tensor):
    """Numbers of a tensor of read_tensors."""
    kind, _, data = tensor
    if kind == "BF16":
        kind, data = "F32", b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
    letter, size = {"F32": ("f", 4), "F16": ("e", 2)}[kind]
    return struct.unpack(f"<{len(data) // size}{letter}", data)


def adapted(experts):
    """{module: {"A": shapes, "B": shapes}} of adapters of the lab's bank."""
    modules = {}
    for expert in experts:
        for name, (_, shape, _) in read_tensors(LAB / "bank" / expert / "adapter_model.safetensors").items():
            module, kind = name.split(".lora_")
            modules.setdefault(module, {"A": [], "B": []})[kind[0]].append(shape)
    return modules


def adapted_layers(experts):
    return sorted({module.split(".")[-1] for module in adapted(experts)})


def task_lora_rank(experts):
    """The rank at which one LoRA has about as many parameters as the mixture of these, its routers included."""
    modules = adapted(experts).values()
    mixture = sum(math.prod(shape) for sizes in modules for kind in "AB" for shape in sizes[kind])
    mixture += sum(len(sizes["A"]) * sizes["A"][0][1] for sizes in modules)  # routers
    return round(mixture / sum(sizes["A"][0][1] + sizes["B"][0][0] for sizes in modules))


class TunedRivals(unittest.TestCase):
    """Each is what `finetune` or `train-adapter` makes of the same start and the same records."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.config = make_world(cls.folder, training={"epochs": 1, "reduction": "deterministic"})
        config = json.loads(cls.config.read_text())
        config["evaluation"] = {"rivals": TUNED}
        cls.config.write_text(json.dumps(config))
        done = rocket("run", cls.config)
        cls.run_directory = cls.folder / "run"
        cls.log = done.stderr
        cls.experts = json.loads((cls.run_directory / "experts.json").read_text())["experts"]

    def copy(self, name, without=("rivals", "parts/rival-*", "parts/finetune", "checkpoints", "training.h5", "parts/evaluate", "evaluate*.h5")):
        run = self.folder / name
        shutil.copytree(self.run_directory, run)
        for pattern in without:
            for path in run.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (run / "manifest.json").unlink()
        return run

    def finetuned(self, name, *settings, first="experts"):
        """A copy of the run that is computed anew from the job `first` on."""
        run = self.copy(name)
        more = [word for setting in settings for word in ("--set", setting)]
        jobs = ("score", "experts", "finetune")
        for job in jobs[jobs.index(first):]:
            rocket(job, self.config, "--fresh", "--set", f"run={run}", *more)
        return run

    def parameters(self, folder):
        """Name and parameters of the newest checkpoint."""
        newest = sorted(folder.glob("step-*.h5"))[-1]
        with tempfile.NamedTemporaryFile() as file:
            subprocess.run(["h5dump", "-d", "parameters", "-b", "LE", "-o", file.name, str(newest)], stdout=subprocess.DEVNULL, check=True)
            return newest.name, pathlib.Path(file.name).read_bytes()

    def assert_trained_alike(self, rival, folder):
        self.assertEqual(self.parameters(self.run_directory / "rivals" / rival / "checkpoints"), self.parameters(folder), rival)

    def test_all_of_them_answer_and_differ(self):
        rows = json.loads(rocket("inspect", self.run_directory, "evaluation", "--format", "json").stdout)
        self.assertEqual([row["system"].split(" ")[0] for row in rows], TUNED + ["expert"])
        trained = {rival: self.parameters(self.run_directory / "rivals" / rival / "checkpoints")[1] for rival in TUNED}
        self.assertEqual(len(set(trained.values())), len(TUNED))

    def test_router_only_is_finetune_that_trains_routers(self):
        self.assert_trained_alike("router_only", self.finetuned("router", "training.trained=router_only", first="finetune") / "checkpoints")

    def test_best_single_tuned_is_finetune_of_that_adapter(self):
        best = next(line.split("(")[1].split(")")[0] for line in rocket("run", self.config, "--set", f"run={self.copy('best')}", "--set",
                    "evaluation.rivals=[best_single]").stdout.splitlines() if line.startswith("best_single"))
        self.assert_trained_alike("best_single_tuned", self.finetuned("single", f"experts.names=[{best}]", "mixture.top_k=1") / "checkpoints")

    def test_random_experts_tuned_is_finetune_of_the_adapters_that_are_named(self):
        drawn = next(line.split("random experts are ")[1] for line in self.log.splitlines() if "random experts are" in line)
        self.assert_trained_alike("random_experts_tuned", self.finetuned("drawn", f"experts.names=[{drawn}]") / "checkpoints")

    def test_merge_tuned_is_finetune_of_the_mean(self):
        """The mean is made here from the adapters' files."""
        merged, rank = {}, 0
        for expert in self.experts:
            config = json.loads((LAB / "bank" / expert / "adapter_config.json").read_text())
            scale = config["lora_alpha"] / config["r"] / len(self.experts)
            rank += config["r"]
            for name, tensor in read_tensors(LAB / "bank" / expert / "adapter_model.safetensors").items():
                _, (rows, columns), _ = tensor
                values = floats(tensor)
                if "lora_A" in name:
                    merged.setdefault(name, []).append([values[i * columns:(i + 1) * columns] for i in range(rows)])
                else:
                    scaled = struct.unpack(f"<{rows * columns}f", struct.pack(f"<{rows * columns}f", *(v * scale for v in values)))
                    merged.setdefault(name, []).append([scaled[i * columns:(i + 1) * columns] for i in range(rows)])
        folder = self.folder / "bank" / "mean"
        folder.mkdir(parents=True)
        tensors = {}
        for name, parts in merged.items():
            rows = [row for part in parts for row in part] if "lora_A" in name else [sum(rows, ()) for rows in zip(*parts)]
            flat = [v for row in rows for v in row]
            tensors[name] = ("F32", [len(rows), len(rows[0])], struct.pack(f"<{len(flat)}f", *flat))
        write_tensors(folder / "adapter_model.safetensors", tensors)
        config.update(r=rank, lora_alpha=rank)
        (folder / "adapter_config.json").write_text(json.dumps(config))
        run = self.finetuned("mean", f"bank.adapters=[{folder}]", "experts.names=[mean]", "mixture.top_k=1", first="score")
        self.assert_trained_alike("merge_tuned", run / "checkpoints")

    def test_task_lora_is_train_adapter_on_the_same_records(self):
        records = []
        for line in (self.run_directory / "selected.jsonl").read_text().splitlines():
            record = json.loads(line)
            records.append({key: record.get(key, "") for key in ("instruction", "input", "output")})
        for line in (self.folder / "shots.jsonl").read_text().splitlines():
            shot = json.loads(line)
            records.append({"instruction": shot["instruction"], "input": shot.get("input", ""), "output": shot.get("rationale") or shot["output"]})
        file = self.folder / "records.jsonl"
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
        rank, targets = task_lora_rank(self.experts), adapted_layers(self.experts)
        run = self.folder / "adapter"
        rocket("train-adapter", self.config, "--set", f"run={run}", "--set", f"adapter.records=[{file}]", "--set", f"adapter.rank={rank}", "--set",
               f"adapter.alpha={2 * rank}", "--set", f"adapter.targets=[{', '.join(targets)}]")
        self.assert_trained_alike("task_lora", run / "adapter_checkpoints")

    def test_random_weights_and_mixlora_start_from_draws(self):
        """Without a step: B is zero, and norms are those of the experts' weights, beside routers that are the same."""
        run = self.copy("start")
        rivals = "evaluation.rivals=[random_weights_tuned, mixlora]"
        for job in ("rivals", "finetune"):
            rocket(job, self.config, "--set", f"run={run}", "--set", "training.epochs=0", "--set", rivals)
        values = {}
        for name, folder in (("expert", run), ("drawn", run / "rivals/random_weights_tuned"), ("mixlora", run / "rivals/mixlora")):
            step, data = self.parameters(folder / "checkpoints")
            self.assertEqual(step, "step-0000000.h5")
            values[name] = struct.unpack(f"<{len(data) // 4}f", data)
        squares = {name: sum(v * v for v in numbers) for name, numbers in values.items()}
        self.assertAlmostEqual(squares["drawn"] / squares["expert"], 1, places=5)
        self.assertLess(sum(a == b for a, b in zip(values["drawn"], values["expert"])), 0.2 * len(values["drawn"]))  # the routers
        zeros = sum(math.prod(shape) for expert in self.experts for name, (_, shape, _) in
                    read_tensors(LAB / "bank" / expert / "adapter_model.safetensors").items() if "lora_B" in name)
        self.assertEqual(values["mixlora"].count(0.0), zeros)

    def test_ranks_do_not_matter(self):
        run = self.copy("ranks", without=("rivals", "parts/rival-*", "parts/evaluate", "evaluate*.h5"))
        rocket("run", self.config, "--set", f"run={run}", ranks=2)
        self.assertEqual(differences(self.run_directory, run, files=("evaluate.h5",)), [])
        for rival in TUNED:
            self.assertEqual(self.parameters(run / "rivals" / rival / "checkpoints"),
                             self.parameters(self.run_directory / "rivals" / rival / "checkpoints"), rival)

    def test_a_killed_command_goes_on_to_the_same_bits(self):
        run = self.copy("killed", without=("rivals", "parts/rival-*"))
        command = [str(ROCKET), "rivals", str(self.config), "--set", f"run={run}", "--set", "training.checkpoint_every=1"]
        kills = 0
        for seconds in (0.8, 1.2, 1.6, 2.0):
            process = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
            time.sleep(seconds)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
        self.assertGreater(kills, 0)
        rocket(*command[1:])
        for rival in TUNED:
            self.assertEqual(self.parameters(run / "rivals" / rival / "checkpoints"),
                             self.parameters(self.run_directory / "rivals" / rival / "checkpoints"), rival)

    def test_one_more_rival_trains_that_one_only(self):
        run = self.copy("more", without=("rivals/mixlora", "parts/rival-mixlora", "parts/evaluate", "evaluate*.h5"))
        log = rocket("run", self.config, "--set", f"run={run}").stderr
        for rival in TUNED:
            self.assertEqual(f"rival-{rival}: done before" in log, rival != "mixlora", log)

    def test_points_of_a_sweep_share_a_trained_rival(self):
        sweep = self.folder / "sweep.yaml"
        sweep.write_text(json.dumps({"config": str(self.config), "runs": str(self.folder / "points"), "points": [
            {"name": name, "set": {"evaluation.rivals": ["router_only"], "task.limit": limit}} for name, limit in (("a", 3), ("b", 4))]}))
        log = rocket("sweep", sweep, "run").stderr
        self.assertEqual(log.count("rival-router_only: taken over from"), 1, log)
        self.assertEqual(self.parameters(self.folder / "points/b/rivals/router_only/checkpoints"),
                         self.parameters(self.run_directory / "rivals/router_only/checkpoints"))

    def test_evaluate_says_what_is_missing(self):
        run = self.copy("missing", without=("rivals/mixlora", "parts/rival-mixlora", "parts/evaluate", "evaluate*.h5"))
        refused = rocket("evaluate", self.config, "--set", f"run={run}", check=False)
        self.assertEqual(refused.returncode, DATA)
        self.assertIn("evaluate needs the result of rival-mixlora, which has not run: `rocket rivals ", refused.stderr)

    def test_check_says_what_each_costs(self):
        rows = [line.split()[0] for line in rocket("check", self.config).stdout.splitlines() if " steps" in line]
        self.assertEqual(rows, ["finetune"] + [f"rival-{rival}" for rival in TUNED])
        self.assertNotIn("rival-", rocket("check", self.config, "--set", "evaluation.rivals=[base]").stdout)
        self.assertIn("rival-mixlora", rocket("check", self.config, "--job", "rivals").stdout)

    def test_no_rival_to_train_is_said(self):
        done = rocket("rivals", self.config, "--set", f"run={self.folder / 'none'}", "--set", "evaluation.rivals=[base]")
        self.assertIn("evaluation.rivals names none that is trained", done.stderr)


class LoraHub(unittest.TestCase):
    """The weights' objective against `score` of adapters that are merged here."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.config = make_world(cls.folder, training={"epochs": 1})
        config = json.loads(cls.config.read_text())
        config["evaluation"] = {"rivals": ["lorahub"]}
        cls.config.write_text(json.dumps(config))
        rocket("run", cls.config)
        cls.run_directory = cls.folder / "run"
        cls.experts = json.loads((cls.run_directory / "experts.json").read_text())["experts"]

    @staticmethod
    def numbers(run, name):
        with tempfile.NamedTemporaryFile() as file:
            subprocess.run(["h5dump", "-d", name, "-b", "LE", "-o", file.name, str(run / "rivals/lorahub/weights.h5")],
                           stdout=subprocess.DEVNULL, check=True)
            data = pathlib.Path(file.name).read_bytes()
            return struct.unpack(f"<{len(data) // 8}d", data)

    def nll_of(self, run, adapter):
        rows = json.loads(rocket("inspect", run, "shots", "--format", "json").stdout)
        nll = [row["nll"] for row in rows if row["adapter"] == adapter]
        return sum(nll) / len(nll)

    def merged(self, weights):
        """The merge as a PEFT folder: alpha is the rank, so its scale is 1."""
        sums, rank = {}, 0
        for weight, expert in zip(weights, self.experts):
            config = json.loads((LAB / "bank" / expert / "adapter_config.json").read_text())
            scale = config["lora_alpha"] / config["r"]
            rank = max(rank, config["r"])
            for name, tensor in read_tensors(LAB / "bank" / expert / "adapter_model.safetensors").items():
                _, (rows, columns), _ = tensor
                factor = weight if "lora_A" in name else weight * scale
                values = floats(tensor)
                table = sums.setdefault(name, {})
                for i in range(rows):
                    for j in range(columns):
                        table[i, j] = table.get((i, j), 0.0) + factor * values[i * columns + j]
        folder = self.folder / "merged" / "hub"
        folder.mkdir(parents=True)
        tensors = {}
        for name, table in sums.items():
            rows, columns = (1 + max(place[axis] for place in table) for axis in (0, 1))
            rows, columns = (rank, columns) if "lora_A" in name else (rows, rank)
            flat = [table.get((i, j), 0.0) for i in range(rows) for j in range(columns)]
            tensors[name] = ("F32", [rows, columns], struct.pack(f"<{len(flat)}f", *flat))
        write_tensors(folder / "adapter_model.safetensors", tensors)
        config.update(r=rank, lora_alpha=rank, use_rslora=False)
        (folder / "adapter_config.json").write_text(json.dumps(config))
        return folder

    def test_the_objective_is_the_nll_of_the_shots_and_a_penalty(self):
        objective, weights = self.numbers(self.run_directory, "objective"), self.numbers(self.run_directory, "weight")
        self.assertEqual(len(objective), 40)
        count = len(self.experts)
        self.assertEqual(weights[:count], (0.0,) * count)
        self.assertAlmostEqual(objective[0], self.nll_of(self.run_directory, "(base)"), places=5)
        self.assertTrue(all(abs(w) <= 1.5 for w in weights))
        best = objective.index(min(objective))
        self.assertLess(objective[best], objective[0])
        chosen = weights[best * count:(best + 1) * count]
        scored = self.folder / "scored"
        rocket("score", self.config, "--set", f"run={scored}", "--set", f"bank.adapters=[{self.merged(chosen)}]", "--set", "experts.count=1",
               "--set", "experts.candidates=1")
        self.assertAlmostEqual(objective[best], self.nll_of(scored, "hub") + 0.05 * sum(map(abs, chosen)) / count, places=5)

    def test_kills_and_ranks_do_not_matter(self):
        expected = self.numbers(self.run_directory, "weight")
        for name, ranks in (("two", 2), ("killed", 0)):
            run = self.folder / name
            shutil.copytree(self.run_directory, run)
            for path in ("rivals", "parts/rival-lorahub"):
                shutil.rmtree(run / path)
            (run / "manifest.json").unlink()
            if name == "killed":
                process = subprocess.Popen([str(ROCKET), "rivals", str(self.config), "--set", f"run={run}"], env=environment(), stderr=subprocess.DEVNULL)
                deadline = time.monotonic() + 60
                while not (run / "rivals/lorahub/weights.h5").exists() and time.monotonic() < deadline:
                    time.sleep(0.01)
                process.kill()
                process.wait()
                self.assertLess(len(self.numbers(run, "objective")), 40)
            rocket("rivals", self.config, "--set", f"run={run}", ranks=ranks)
            self.assertEqual(self.numbers(run, "weight"), expected, name)


class Rates(unittest.TestCase):
    """evaluation.tune: the same search for all that is trained."""

    TUNE = "evaluation.tune=[1.0e-5, 3.0e-3]"

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.config = make_world(cls.folder, training={"epochs": 1, "reduction": "deterministic"})
        config = json.loads(cls.config.read_text())
        config["evaluation"] = {"rivals": ["task_lora"]}
        cls.config.write_text(json.dumps(config))
        cls.run_directory = cls.folder / "run"
        for job in ("score", "experts", "embed", "select"):
            rocket(job, cls.config)
        shutil.copytree(cls.run_directory, cls.folder / "prepared")
        for job in ("finetune", "rivals"):
            rocket(job, cls.config, "--set", cls.TUNE)

    def copy(self, name):
        return shutil.copytree(self.folder / "prepared", self.folder / name)

    def rates(self, run):
        return json.loads(rocket("inspect", run, "rates", "--format", "json").stdout)

    def test_the_lower_nll_wins_and_nothing_is_left_over(self):
        rows = self.rates(self.run_directory)
        self.assertEqual([(row["job"], row["learning_rate"]) for row in rows],
                         [(job, rate) for job in ("finetune", "rival-task_lora") for rate in (1e-5, 3e-3)])
        for pair in (rows[:2], rows[2:]):
            self.assertEqual([row["chosen"] for row in pair], [pair[0]["nll"] <= pair[1]["nll"], pair[0]["nll"] > pair[1]["nll"]])
        self.assertEqual([str(path) for path in self.run_directory.rglob("rates")], [])

    def test_the_result_is_that_of_the_chosen_rate(self):
        chosen = {row["job"]: row["learning_rate"] for row in self.rates(self.run_directory) if row["chosen"]}
        run = self.copy("chosen")
        rocket("finetune", self.config, "--set", f"run={run}", "--set", f"training.learning_rate={chosen['finetune']}")
        self.assertEqual(differences(self.run_directory, run, files=("training.h5",)), [])

    def test_the_nll_is_that_of_shots_which_were_not_trained_on(self):
        """Trained by hand without the last two of six shots; their nll as the report of `score` has it of an exported LoRA."""
        run = self.copy("by hand")
        lines = (self.folder / "shots.jsonl").read_text().splitlines(keepends=True)
        (self.folder / "fitted.jsonl").write_text("".join(lines[:4]))
        (self.folder / "held.jsonl").write_text("".join(lines[4:]))
        # The records of `select` depend on the shots, so they are kept and the four shots are trained on as records.
        records = []
        for line in (run / "selected.jsonl").read_text().splitlines():
            record = json.loads(line)
            records.append({key: record.get(key, "") for key in ("instruction", "input", "output")})
        for line in lines[:4]:
            shot = json.loads(line)
            records.append({"instruction": shot["instruction"], "input": shot.get("input", ""), "output": shot.get("rationale") or shot["output"]})
        (self.folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        # task_lora has the rank of rival-task_lora's file.
        trained = self.run_directory / "rivals/task_lora/checkpoints"
        newest = sorted(trained.glob("step-*.h5"))[-1]
        shapes = subprocess.run(["h5dump", "-H", str(newest)], capture_output=True, text=True, check=True).stdout
        self.assertIn("parameters", shapes)
        bank = self.folder / "hand-bank"
        adapter = self.folder / "hand"
        experts = json.loads((run / "experts.json").read_text())["experts"]
        rank = task_lora_rank(experts)
        rocket("train-adapter", self.config, "--set", f"run={adapter}", "--set", f"adapter.records=[{self.folder / 'records.jsonl'}]", "--set",
               f"adapter.rank={rank}", "--set", f"adapter.alpha={2 * rank}", "--set", f"adapter.targets=[{', '.join(adapted_layers(experts))}]", "--set",
               "training.learning_rate=3.0e-3")
        bank.mkdir()
        shutil.copytree(next((adapter / "adapter").glob("*/adapter_config.json")).parent, bank / "hand")
        scored = self.folder / "scored"
        rocket("score", self.config, "--set", f"run={scored}", "--set", f"bank.adapters={bank}", "--set", f"task.shots={self.folder / 'held.jsonl'}",
               "--set", "task.k=2", "--set", "experts.count=1", "--set", "experts.candidates=1")
        shots = [row["nll"] for row in json.loads(rocket("inspect", scored, "shots", "--format", "json").stdout) if row["adapter"] == "hand"]
        self.assertEqual(len(shots), 2)
        found = next(row["nll"] for row in self.rates(self.run_directory) if row["job"] == "rival-task_lora" and row["learning_rate"] == 3e-3)
        self.assertAlmostEqual(found, sum(shots) / 2, places=5)

    def test_a_killed_search_goes_on_to_the_same_bits(self):
        run = self.copy("killed")
        command = [str(ROCKET), "finetune", str(self.config), "--set", f"run={run}", "--set", self.TUNE, "--set", "training.checkpoint_every=1"]
        for seconds in (0.6, 0.9, 1.2):
            process = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
            time.sleep(seconds)
            process.kill()
            process.wait()
        rocket(*command[1:])
        self.assertEqual(differences(self.run_directory, run, files=("training.h5", "rates.h5")), [])

    def test_rates_that_are_none_are_refused(self):
        for value, why in (("3", "expected a list"), ("[0]", "evaluation.tune"), ("[1.0e-4, 1.0e-4]", "stands in the list twice"), ("[x]", "a number")):
            refused = rocket("check", self.config, "--set", f"evaluation.tune={value}", check=False)
            self.assertEqual(refused.returncode, 78, value)
            self.assertIn(why, refused.stderr)

    def test_what_was_computed_without_rates_stays_valid(self):
        run = self.copy("plain")
        rocket("finetune", self.config, "--set", f"run={run}")
        self.assertIn("done before", rocket("finetune", self.config, "--set", f"run={run}", "--set", "evaluation.tune=[]").stderr)
        refused = rocket("finetune", self.config, "--set", f"run={run}", "--set", self.TUNE, check=False)
        self.assertEqual(refused.returncode, 78)
        self.assertIn("evaluation.tune was absent, is [1e-05,0.003]", refused.stderr)


if __name__ == "__main__":
    unittest.main()
