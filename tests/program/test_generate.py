"""rocket generate: any system over files of prompts, in order, the same bytes however it was computed."""
import gzip
import json
import pathlib
import random
import signal
import subprocess
import tempfile
import time
import unittest

from small_world import LAB, ROCKET, environment, make_world, rocket

ALPACA = ("Below is an instruction that describes a task, paired with an input that provides further context. Write a response that "
          "appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n")


def lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").split("\n") if line]


def write(path, objects):
    path.write_text("".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects), encoding="utf-8")
    return path


class Generate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.config = make_world(cls.folder)
        config = json.loads(cls.config.read_text())
        config["evaluation"] = {"rivals": ["base", "best_single", "uniform_merge", "untrained", "task_lora"], "in_context": 2}
        config["training"]["epochs"] = 1
        cls.config.write_text(json.dumps(config))
        rocket("run", cls.config)
        cls.items = lines(cls.folder / "items.jsonl")
        questions = [json.loads(line) for line in (LAB / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:300]]
        cls.many = write(cls.folder / "many.jsonl", [{"id": i, "instruction": q["instruction"], "input": q.get("input", "")}
                                                     for i, q in enumerate(questions)])

    def setUp(self):
        self.own = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        self.out = self.own / "answers.jsonl"

    def generate(self, source, *more, out=None, ranks=0, check=True):
        done = rocket("generate", self.config, "--input", source, "--output", out or self.out, *more, ranks=ranks, check=check)
        return (lines(out or self.out) if done.returncode == 0 else None), done

    def refused(self, code, *texts, source=None, more=()):
        _, done = self.generate(source or self.folder / "items.jsonl", *more, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)
        return done

    def test_every_system_answers_as_in_evaluate(self):
        expected = {}
        for item in json.loads(rocket("inspect", self.folder / "run", "items", "--format", "json").stdout):
            expected.setdefault(item["system"].split(" ")[0], []).append(item["generation"])
        self.assertGreater(len({tuple(texts) for texts in expected.values()}), 3)
        for system, texts in expected.items():
            made, _ = self.generate(self.folder / "items.jsonl", "--system", system, out=self.own / f"{system}.jsonl")
            self.assertEqual([line.pop("generation") for line in made], texts, system)
            self.assertEqual(made, self.items, "all other fields are kept, in order")

    def test_an_adapter_of_the_bank_is_a_system(self):
        """One of them is the best single adapter."""
        as_rival, _ = self.generate(self.folder / "items.jsonl", "--system", "best_single")
        by_name = [self.generate(self.folder / "items.jsonl", "--system", name, out=self.own / f"{name}.jsonl")[0]
                   for name in ("home", "sells", "color", "tool")]
        self.assertIn(as_rival, by_name)
        self.assertGreater(len({str(answers) for answers in by_name}), 2)

    def test_in_context_puts_examples_in_front(self):
        shots = lines(self.folder / "shots.jsonl")[:2]
        plain, _ = self.generate(self.folder / "items.jsonl", "--system", "base")
        behind, _ = self.generate(self.folder / "items.jsonl", "--system", "in_context", out=self.own / "b.jsonl")
        form = lambda r: ALPACA.format(**r)  # noqa: E731
        examples = "".join(form(s) + (s.get("rationale") or s["output"]) + "\n\n" for s in shots)
        self.assertTrue(all(item["input"] for item in self.items + shots))
        bare = write(self.own / "bare.jsonl", [{"prompt": examples + form(item)} for item in self.items])
        by_hand, _ = self.generate(bare, "--system", "base", out=self.own / "c.jsonl")
        self.assertEqual([a["generation"] for a in behind], [a["generation"] for a in by_hand])
        self.assertNotEqual([a["generation"] for a in behind], [a["generation"] for a in plain])

    def test_a_bare_prompt_is_taken_as_it_is(self):
        bare = write(self.own / "bare.jsonl", [{"n": 1.50, "prompt": ALPACA.format(**item)} for item in self.items])
        as_records, _ = self.generate(self.folder / "items.jsonl")
        made, _ = self.generate(bare, out=self.own / "b.jsonl")
        self.assertEqual([a["generation"] for a in made], [a["generation"] for a in as_records])
        self.assertIn('"n":1.5,', (self.own / "b.jsonl").read_text())

    def test_of_a_chat_the_last_question_is_asked(self):
        first, second = self.items[0]["instruction"], self.items[1]["instruction"]
        chats = [{"messages": [{"role": "user", "content": first}]},
                 {"messages": [{"role": "user", "content": first}, {"role": "assistant", "content": "never read"}]},
                 {"messages": [{"role": "user", "content": second}, {"role": "assistant", "content": "yes"},
                               {"role": "user", "content": first}]}]
        made, _ = self.generate(write(self.own / "chats.jsonl", chats))
        history = f"User: {second}\n\nAssistant: yes\n\nUser: {first}"
        records, _ = self.generate(write(self.own / "records.jsonl", [{"instruction": first}, {"instruction": first},
                                                                       {"instruction": history}]), out=self.own / "b.jsonl")
        self.assertEqual([a["generation"] for a in made], [a["generation"] for a in records])
        self.assertEqual([a["messages"] for a in made], [c["messages"] for c in chats])

    def test_ranks_packing_and_files_do_not_matter(self):
        flags = ("--temperature", 0.9, "--top-p", 0.95, "--logprobs", "--max-new-tokens", 12)
        alone, _ = self.generate(self.many, *flags)
        self.assertEqual([a["id"] for a in alone], list(range(300)))
        self.generate(self.many, *flags, out=self.own / "two.jsonl", ranks=2)
        self.assertEqual((self.own / "two.jsonl").read_bytes(), self.out.read_bytes())
        text = self.many.read_text(encoding="utf-8").splitlines(keepends=True)
        with gzip.open(self.own / "a.jsonl.gz", "wt", encoding="utf-8") as packed:
            packed.write("".join(text[:130]))
        (self.own / "b.jsonl").write_text("".join(text[130:]), encoding="utf-8")
        rocket("generate", self.config, "--input", self.own / "a.jsonl.gz", self.own / "b.jsonl", "--output", self.own / "three.jsonl", *flags)
        self.assertEqual((self.own / "three.jsonl").read_bytes(), self.out.read_bytes())

    def test_draws_are_a_function_of_seed_prompt_and_position(self):
        flags = ("--temperature", 1.2, "--max-new-tokens", 12)
        drawn, _ = self.generate(self.many, *flags)
        other, _ = self.generate(self.many, *flags, "--seed", 7, out=self.own / "b.jsonl")
        greedy, _ = self.generate(self.many, "--max-new-tokens", 12, out=self.own / "c.jsonl")
        text = [[a["generation"] for a in answers] for answers in (drawn, other, greedy)]
        for x, y in ((0, 1), (0, 2), (1, 2)):
            self.assertGreater(sum(a != b for a, b in zip(text[x], text[y])), 30)
        few, _ = self.generate(write(self.own / "few.jsonl", lines(self.many)[:5]), *flags, out=self.own / "d.jsonl")
        self.assertEqual([a["generation"] for a in few], text[0][:5], "the company of a prompt does not matter")
        same = write(self.own / "same.jsonl", [lines(self.many)[0]] * 40)
        answers, _ = self.generate(same, *flags, out=self.own / "e.jsonl")
        self.assertGreater(len({a["generation"] for a in answers}), 3, "equal prompts get draws of their own")

    def test_logprobs_are_of_each_token_and_change_nothing(self):
        plain, _ = self.generate(self.many)
        made, _ = self.generate(self.many, "--logprobs", out=self.own / "b.jsonl")
        for a, b in zip(plain, made):
            logprobs = b.pop("logprobs")
            self.assertEqual(a, b)
            self.assertTrue(all(-30 < value <= 0 for value in logprobs))
            self.assertEqual(len(logprobs) == 0, a["generation"] == "")

    def test_stop_strings_end_an_answer(self):
        plain, _ = self.generate(self.folder / "items.jsonl")
        stop = next(a["generation"] for a in plain if len(a["generation"]) > 4)[2:4]
        cut, _ = self.generate(self.folder / "items.jsonl", "--stop", stop, "--stop", "###", out=self.own / "b.jsonl")
        for a, b in zip(plain, cut):
            self.assertEqual(b["generation"], a["generation"].split(stop)[0])

    def test_killed_at_random_it_leaves_the_same_bytes(self):
        flags = ("--temperature", 0.8, "--max-new-tokens", 30, "--system", "uniform_merge")
        begin = time.monotonic()
        self.generate(self.many, *flags)
        whole = time.monotonic() - begin
        killed, out, draw = 0, self.own / "killed.jsonl", random.Random(5)
        command = [str(ROCKET), "generate", str(self.config), "--input", str(self.many), "--output", str(out), *map(str, flags)]
        for attempt in range(40):
            ranks = attempt % 3
            process = subprocess.Popen((["mpirun", "-np", str(ranks)] if ranks else []) + command, env=environment(), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, start_new_session=True)
            how = (signal.SIGKILL, signal.SIGTERM)[attempt % 2]
            try:
                process.wait(timeout=whole * draw.uniform(0.2, 0.5) * (1 + attempt / 10))
                break
            except subprocess.TimeoutExpired:
                killed += 1
                subprocess.run(["pkill", f"-{how.name[3:]}", "-s", str(process.pid)])
                process.send_signal(how)
                process.wait(timeout=60)
                subprocess.run(["pkill", "-KILL", "-s", str(process.pid)])
        self.assertGreater(killed, 0)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(out.read_bytes(), self.out.read_bytes())

    def test_names_of_fields_are_those_of_generate(self):
        source = write(self.own / "in.jsonl", [{"q": item["instruction"], "context": item["input"]} for item in self.items])
        made, _ = self.generate(source, "--set", "generate.fields={instruction: q, input: context}")
        plain, _ = self.generate(self.folder / "items.jsonl", out=self.own / "b.jsonl")
        self.assertEqual([a["generation"] for a in made], [a["generation"] for a in plain])

    def test_the_same_command_again_does_nothing_and_outputs_do_not_meet(self):
        self.generate(self.folder / "items.jsonl")
        before = self.out.stat().st_mtime_ns
        _, done = self.generate(self.folder / "items.jsonl")
        self.assertIn("done before", done.stderr)
        self.assertEqual(self.out.stat().st_mtime_ns, before)
        other, _ = self.generate(self.folder / "items.jsonl", "--system", "base", out=self.own / "b.jsonl")
        _, done = self.generate(self.folder / "items.jsonl")
        self.assertIn("done before", done.stderr, "another output is another job")
        self.refused(78, "generate.temperature was 0", "is 0.5", "--fresh", more=("--temperature", 0.5))
        _, done = self.generate(self.folder / "items.jsonl", "--temperature", 0.5, "--fresh")
        self.assertNotIn("done before", done.stderr)
        self.out.unlink()
        made, done = self.generate(self.folder / "items.jsonl", "--temperature", 0.5)
        self.assertIn("is gone", done.stderr)
        self.assertEqual(len(made), 8)
        self.assertFalse(list((self.folder / "run/parts/generate").glob("*/*.h5")), "parts go when the output is there")

    def test_the_output_follows_its_inputs(self):
        own = write(self.own / "in.jsonl", self.items[:3])
        self.generate(own)
        write(own, self.items[:4])
        self.refused(65, "generate.input/0", "has changed", source=own)

    def test_what_cannot_be_asked(self):
        long = {"instruction": "word " * 3000}
        source = write(self.own / "in.jsonl", [self.items[0], long, {"prompt": "word " * 3000}, self.items[1]])
        self.refused(65, f"{source}:2", "positions", "generate.on_error: skip", source=source)
        made, done = self.generate(source, "--set", "generate.on_error=skip")
        self.assertIn("2 prompts have no answer", done.stderr)
        self.assertEqual([a["generation"] is None for a in made], [False, True, True, False])
        self.assertIn("positions", made[1]["error"])
        self.assertIn(f"{source}:3", made[2]["error"])
        self.assertNotIn("error", made[0])

    def test_settings_that_make_a_system_decide_its_answers(self):
        for system, setting in (("in_context", "evaluation.in_context=1"), ("ties", "evaluation.ties_density=0.9"),
                                ("dare", "evaluation.dare_drop=0.2"), ("untrained", "mixture.top_k=1")):
            out = self.own / f"{system}.jsonl"
            self.generate(self.folder / "items.jsonl", "--system", system, out=out)
            _, done = self.generate(self.folder / "items.jsonl", "--system", system, "--set", setting, out=out, check=False)
            self.assertEqual(done.returncode, 78, f"{setting}: {done.stderr}")
            self.assertIn(setting.split("=")[0] + " was", done.stderr)

    def test_prompts_that_an_earlier_call_skipped_are_refused_where_none_may_be(self):
        source = write(self.own / "in.jsonl", [self.items[0], {"instruction": "word " * 3000}] * 1000)
        process = subprocess.Popen([str(ROCKET), "generate", str(self.config), "--input", str(source), "--output", str(self.out), "--set",
                                    "generate.on_error=skip"], env=environment(), stderr=subprocess.DEVNULL)
        while not list((self.folder / "run/parts/generate").glob("*/unit-000000.h5")) and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        process.wait()
        self.assertFalse(self.out.exists(), "it was stopped in between")
        self.refused(65, f"{source}:", "positions", source=source)
        self.assertFalse(self.out.exists())
        made, done = self.generate(source, "--set", "generate.on_error=skip")
        self.assertIn("1000 prompts have no answer", done.stderr)
        self.assertEqual([line["generation"] is None for line in made], [False, True] * 1000)

    def test_a_field_generation_is_replaced_and_that_is_said(self):
        source = write(self.own / "in.jsonl", [{**self.items[0], "generation": "old"}])
        made, done = self.generate(source)
        self.assertIn("1 prompts had a field 'generation'", done.stderr)
        _, other = self.generate(write(self.own / "b.jsonl", [{**self.items[0], "logprobs": "mine"}]), "--logprobs", out=self.own / "c.jsonl")
        self.assertIn("1 prompts had a field 'logprobs'", other.stderr)
        self.assertNotEqual(made[0]["generation"], "old")
        self.assertEqual(list(made[0]), list(self.items[0]) + ["generation"])

    def test_bad_input(self):
        bad = self.own / "in.jsonl"
        bad.write_text(json.dumps(self.items[0]) + '\n{"instruction": \n')
        self.refused(65, f"{bad}:2", source=bad)
        self.refused(65, f"{bad}:1", "nothing to ask", "prompt", source=write(bad, [{"text": "hello"}]))
        self.refused(65, "no prompts", source=write(bad, []))
        self.refused(78, "generate.input", "does not exist", source=self.own / "absent.jsonl")
        self.refused(78, "'bset_single'", "did you mean 'best_single'", more=("--system", "bset_single"))
        self.refused(78, "each_expert is several systems", more=("--system", "each_expert"))
        self.refused(65, "rival-mixlora", "has not run", "rivals", more=("--system", "mixlora"))
        self.refused(65, "bare prompt", "in_context", source=write(bad, [{"prompt": "x"}]), more=("--system", "in_context"))
        self.refused(78, "generate.top_p", more=("--top-p", 0))
        self.refused(64, "--temperature", more=("--temperature", "hot"))
        self.out.write_text("mine")
        self.refused(78, "is there already")
        self.assertEqual(self.out.read_text(), "mine")
        self.out.unlink()
        self.out.mkdir()
        self.refused(78, "is a folder")
        done = rocket("generate", self.config, "--input", self.many, check=False)
        self.assertEqual((done.returncode, "generate.output" in done.stderr), (78, True), done.stderr)
        _, done = self.generate(self.folder / "items.jsonl", out=pathlib.Path("/proc/none/a.jsonl"), check=False)
        self.assertEqual(done.returncode, 74, done.stderr)
        done = rocket("generate", self.config, "--input", bad, "--output", bad, check=False)
        self.assertEqual(done.returncode, 78)

    def test_a_run_is_not_needed_for_the_base(self):
        config = json.loads(self.config.read_text())
        alone = {"run": str(self.own / "new"), "base": config["base"], "scoring": config["scoring"]}
        path = self.own / "base.yaml"
        path.write_text(json.dumps(alone))
        rocket("generate", path, "--input", self.folder / "items.jsonl", "--output", self.out, "--system", "base")
        again, _ = self.generate(self.folder / "items.jsonl", "--system", "base", out=self.own / "b.jsonl")
        self.assertEqual(lines(self.out), again)

    def test_check_counts_the_prompts(self):
        done = rocket("check", self.config, "--job", "generate", "--set", f"generate.input=[{self.many}]", "--set",
                      f"generate.output={self.out}")
        self.assertRegex(done.stdout, r"generate\s+300 prompts by expert")
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main()
