"""The whole program on an emulated GPU against the CPU: tasks of the lab, ranks, kills, and what training can be asked for. ROCKET_DEVICE=cuda: on
a real one (tools/gpu-check)."""
import array
import json
import math
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
from small_world import LAB, REPOSITORY, differences, environment, make_world, read_tensors, without_sandbox  # noqa: E402

DEVICE = os.environ.get("ROCKET_DEVICE", "emulated")
CPU = (pathlib.Path(os.environ["ROCKET"]).resolve(), "cpu")  # a program and its device
GPU = (pathlib.Path(os.environ["ROCKET_EMULATED" if DEVICE == "emulated" else "ROCKET"]).resolve(), DEVICE)
TWO_RANKS = DEVICE == "emulated" or int(os.environ.get("ROCKET_GPUS", "1")) > 1  # each needs a GPU of its own
only_emulated = unittest.skipUnless(DEVICE == "emulated", "of the emulated device")
ANSWERS = {"choice_hard": "choice", "choice_easy": "choice", "choice_two": "choice", "boolean": "boolean", "number": "number", "code": "code"}
BANKS = {"choice_hard": ("home", "sells", "color", "color-weak"), "choice_easy": ("job", "tool", "tool-weak", "x-star"),
         "choice_two": ("friend", "home", "home-weak", "x-pet"), "boolean": ("sells", "price", "sells-weak", "x-song"),
         "number": ("tool", "price", "price-b", "x-river"), "code": ("verbone", "verbtwo", "home-verbone", "x-pet")}


def run(where, job, config, folder, *settings, ranks=0, check=True, **variables):
    program, device = where
    launcher = ["mpirun", "-np", str(ranks)] if ranks else []
    sets = [word for setting in (f"run={folder}", f"device={device}", *settings) for word in ("--set", setting)]
    done = subprocess.run([*launcher, str(program), job, str(config), *sets], cwd=REPOSITORY, env=environment(**variables), timeout=300,
                          capture_output=True, text=True)
    if check and done.returncode != 0:
        raise AssertionError(f"{program.name} {job} {sets} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def table(folder, name):
    done = subprocess.run([str(CPU[0]), "inspect", str(folder), name, "--format", "json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def loads(folder):
    """Of each step the shares of choices that the experts of each module got, as HDF5's own tool prints them."""
    def dumped(*words):
        return subprocess.run(["h5dump", *words, str(folder / "training.h5")], capture_output=True, text=True, check=True).stdout

    steps = len(table(folder, "training"))
    text = dumped("-d", "/expert_load", "-y", "-w", "0", "-m", "%.7f").partition("DATA {")[2]
    values = [word for word in re.split(r"[\s,{}]+", text) if word]
    each = len(values) // steps
    return [values[i * each:(i + 1) * each] for i in range(steps)]


class Chain(unittest.TestCase):
    def world(self, folder, task, **more):
        return make_world(folder, adapters=BANKS[task], task=task, records=300, retrieve=40, shots=5, items=6,
                          training={"reduction": "deterministic", "micro_batch_tokens": 200, "global_batch": 8, **more})

    def config_of(self, folder, task, **more):
        path = self.world(folder, task, **more)
        config = json.loads(path.read_text())
        config["task"]["answer"] = ANSWERS[task]
        config["scoring"]["max_new_tokens"] = 64
        path.write_text(json.dumps(config))
        return path

    def assert_same_curve(self, expected, found, bound, name=""):
        """Steps with a near tie are named: there rounding gave a token to another expert, which the counts of choices show."""
        a, b = ([row["loss"] for row in table(folder, "training")] for folder in (expected, found))
        self.assertEqual(len(a), len(b), name)
        off = [abs(x - y) / abs(x) for x, y in zip(a, b)]
        ties = [step for step, (x, y) in enumerate(zip(loads(expected), loads(found), strict=True)) if x != y]
        rest = [value for step, value in enumerate(off) if step not in ties]
        print(f"{name}: {len(a)} steps, worst relative difference of the loss {max(rest, default=0):.1e}"
              + "".join(f"; with a near tie in step {step + 1}: {off[step]:.1e}" for step in ties))
        if bound < 1e-3:  # in bfloat16 ties are everywhere
            if "top_p" not in name:  # there a sum of probabilities decides how many experts a token gets
                self.assertLessEqual(len(ties), len(a) // 3, name)
            self.assertLess(max(rest, default=0), bound, name)
        self.assertLess(max(off), max(bound, 1e-2), name)

    def assert_same_scores(self, expected, found, name):
        a, b = table(expected, "shots"), table(found, "shots")
        self.assertEqual(len(a), len(b))
        # Relative where it is large: float32 has seven digits.
        worst = max(abs(x["nll"] - y["nll"]) / max(1, abs(x["nll"])) for x, y in zip(a, b))
        print(f"{name}: worst difference of an nll {worst:.1e}")
        self.assertLess(worst, 1e-5)
        self.assertEqual([(x["adapter"], x["shot"], x["generation"]) for x in a], [(y["adapter"], y["shot"], y["generation"]) for y in b])

    def assert_same_exports(self, expected, found):
        files = sorted(path.relative_to(expected) for path in (expected / "expert").rglob("*.safetensors"))
        self.assertTrue(files)
        for file in files:
            a, b = read_tensors(expected / file), read_tensors(found / file)
            self.assertEqual(a.keys(), b.keys())
            for name, (dtype, shape, data) in a.items():
                self.assertEqual((dtype, shape), b[name][:2])
                x, y = array.array("f", data), array.array("f", b[name][2])
                # Of single values AdamW makes much of little: its steps have the size of the rate, whatever the gradient's.
                self.assertLess(math.dist(x, y), 3e-2 * math.hypot(*x), f"{file}: {name}")

    def test_tasks_of_the_lab_on_one_and_two_ranks(self):
        for task in ANSWERS:
            if task == "code" and without_sandbox():
                continue
            with self.subTest(task), tempfile.TemporaryDirectory() as folder:
                config = self.config_of(folder, task)
                cpu, one, two = (pathlib.Path(folder) / name for name in ("cpu", "one", "two"))
                run(CPU, "run", config, cpu)
                run(GPU, "run", config, one)
                if TWO_RANKS:
                    run(GPU, "run", config, two, ranks=2, ROCKET_EMULATED_DEVICES="2")
                self.assert_same_scores(cpu, one, task)
                self.assertEqual(table(cpu, "experts")["experts"], table(one, "experts")["experts"])
                kept = [[(row["record"], row["kept"]) for row in table(at, "selection")] for at in (cpu, one)]
                self.assertEqual(*kept)
                self.assert_same_curve(cpu, one, 1e-4, task)
                a, b = table(cpu, "items"), table(one, "items")
                other = [(x["system"], x["item"], x["generation"], y["generation"]) for x, y in zip(a, b, strict=True)
                         if x["generation"] != y["generation"]]
                self.assertEqual(other, [])
                if TWO_RANKS:
                    self.assertEqual(differences(one, two), [], "two ranks have other bits than one")
                self.assert_same_exports(cpu, one)

    def test_killed_and_typed_again_has_the_same_bits(self):
        draw = random.Random(3)
        with tempfile.TemporaryDirectory() as folder:
            config = self.config_of(folder, "choice_hard")
            whole, resumed = pathlib.Path(folder) / "whole", pathlib.Path(folder) / "resumed"
            start = time.monotonic()
            run(GPU, "run", config, whole)
            seconds = time.monotonic() - start
            for _ in range(3):
                process = subprocess.Popen([str(GPU[0]), "run", str(config), "--set", f"run={resumed}", "--set", f"device={DEVICE}"],
                                           cwd=REPOSITORY, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                           start_new_session=True)
                time.sleep(draw.uniform(0.2, 0.5) * seconds)
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            run(GPU, "run", config, resumed)
            self.assertEqual(differences(whole, resumed), [])

    def test_a_lost_part_comes_back_with_its_group(self):
        """In bfloat16, where a step is a graph, and an answer may depend on the texts beside it."""
        with tempfile.TemporaryDirectory() as folder:
            path = self.config_of(folder, "choice_hard", epochs=1)
            config = json.loads(path.read_text())
            config["task"]["limit"] = 180
            config["task"]["evaluation"] = str(LAB / "tasks" / "choice_hard" / "test.jsonl")
            config["base"]["dtype"] = "bfloat16"
            path.write_text(json.dumps(config))
            whole, again, counts = (pathlib.Path(folder) / name for name in ("whole", "again", "counts.json"))
            run(GPU, "run", path, whole, **({"ROCKET_DEVICE_COUNTS": str(counts)} if DEVICE == "emulated" else {}))
            parts = sorted((whole / "parts/evaluate").glob("unit-*.h5"))
            self.assertEqual(len(parts), 12, "of 16 items under all four systems")
            shutil.copytree(whole, again)
            (again / "parts/evaluate" / parts[1].name).unlink()
            (again / "evaluate.h5").unlink()
            run(GPU, "run", path, again)
            self.assertEqual(differences(whole, again), [])
            made_again = [part.name for part in parts if part.stat().st_mtime_ns != (again / "parts/evaluate" / part.name).stat().st_mtime_ns]
            self.assertEqual(made_again, [part.name for part in parts[:3]], "the units of its group")
            if DEVICE == "emulated":
                graphs = {row["job"]: row["launched"]["graph"] for row in json.loads(counts.read_text()) if "graph" in row["launched"]}
                self.assertEqual(set(graphs), {"score", "evaluate"})

    def test_training_follows_the_cpu_whatever_it_is_asked_for(self):
        with tempfile.TemporaryDirectory() as folder:
            config = self.config_of(folder, "choice_hard", epochs=1)
            prepared = pathlib.Path(folder) / "prepared"
            for job in ("score", "experts", "embed", "select"):
                run(CPU, job, config, prepared)
            cases = {"recompute": ["training.recompute=layer"], "top_p": ["mixture.top_p=0.7", "mixture.top_k=2"],
                     "balance": ["training.balance_coefficient=0.1"], "z": ["training.z_coefficient=0.01"],
                     "dropout": ["training.lora_dropout=0.1"],
                     "all": ["training.recompute=layer", "mixture.top_p=0.7", "training.balance_coefficient=0.1",
                             "training.z_coefficient=0.01", "training.lora_dropout=0.1"],
                     "bfloat16": ["base.dtype=bfloat16", "training.lora_dropout=0.1"],
                     "summed over two ranks as they come": ["training.reduction=fast"]}
            if not TWO_RANKS:
                del cases["summed over two ranks as they come"]
            for name, settings in cases.items():
                with self.subTest(name):
                    cpu, found = (pathlib.Path(folder) / f"{name} {where}" for where in ("cpu", "emulated"))
                    start = prepared
                    if name == "bfloat16":
                        start = pathlib.Path(folder) / "prepared in bfloat16"
                        for job in ("score", "experts", "embed", "select"):
                            run(CPU, job, config, start, *settings)
                    shutil.copytree(start, cpu)
                    shutil.copytree(start, found)
                    run(CPU, "finetune", config, cpu, *settings)
                    ranks = 2 if "ranks" in name else 0
                    run(GPU, "finetune", config, found, *settings, ranks=ranks, ROCKET_EMULATED_DEVICES="2")
                    self.assert_same_curve(cpu, found, 0.05 if name == "bfloat16" else 1e-4, name)

    @only_emulated
    def test_counts_are_written_by_job_phase_and_layer(self):
        with tempfile.TemporaryDirectory() as folder:
            config = self.config_of(folder, "choice_hard", epochs=1)
            counts = pathlib.Path(folder) / "counts.json"
            run(GPU, "run", config, pathlib.Path(folder) / "run", ROCKET_DEVICE_COUNTS=str(counts))
            rows = json.loads(counts.read_text())
            places = {(row["job"], row["phase"], row["layer"]) for row in rows}
            for place in (("score", "read", 0), ("score", "step", 3), ("embed", "embed", 1), ("finetune", "forward", 2),
                          ("finetune", "backward", 2), ("finetune", "update", -1), ("evaluate", "step", 0)):
                self.assertIn(place, places)
            for row in rows:
                if row["layer"] >= 0:
                    self.assertGreater(row["launches"], 0)
                    self.assertGreater(row["passes"] or row["phase"] == "backward", 0)
            ends = [json.loads(line) for file in (pathlib.Path(folder) / "run/events").rglob("*") if file.is_file()
                    for line in file.read_text().splitlines() if '"end"' in line]
            on_gpu = {event["job"] for event in ends if event["device_memory_bytes"] > 0}
            self.assertEqual(on_gpu, {"score", "embed", "finetune", "evaluate"}, ends)
            run(GPU, "score", config, pathlib.Path(folder) / "two", ranks=2, ROCKET_DEVICE_COUNTS=str(counts))
            for rank in (0, 1):
                self.assertTrue(json.loads((counts.parent / f"counts.json.rank-{rank}").read_text()))

    @only_emulated
    def test_check_names_the_device_and_the_program_itself_knows_no_emulated_one(self):
        with tempfile.TemporaryDirectory() as folder:
            config = self.config_of(folder, "choice_hard", epochs=1)
            done = run(GPU, "check", config, pathlib.Path(folder) / "none")
            self.assertIn("emulated", done.stdout + done.stderr)
            refused = run((CPU[0], "emulated"), "check", config, pathlib.Path(folder) / "none", check=False)
            self.assertEqual(refused.returncode, 78)
            self.assertIn("auto, cpu", refused.stderr)

    @only_emulated
    def test_no_memory_is_said(self):
        with tempfile.TemporaryDirectory() as folder:
            config = self.config_of(folder, "choice_hard", epochs=1)
            done = run(GPU, "score", config, pathlib.Path(folder) / "run", check=False, ROCKET_EMULATED_BYTES="2000000")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("out of memory", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
