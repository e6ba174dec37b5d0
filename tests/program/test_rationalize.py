"""rocket rationalize: what is kept, how it is marked, and that ranks and kills do not matter."""
import json
import pathlib
import re
import shutil
import tempfile
import unittest

from small_world import LAB, make_world, rocket

CHOICE = (r"(?i:\banswer\b)[^A-Za-z0-9\n]*(?i:is\b|:)?[^A-Za-z0-9\n]*([A-J])(?![A-Za-z0-9'])",
          r"(?<![A-Za-z0-9])([A-J])(?![A-Za-z0-9'])")


def choice(text):
    marked = re.findall(CHOICE[0], text)
    return marked[-1] if marked else (re.findall(CHOICE[1], text) or [None])[0]


def lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").split("\n") if line]


class Rationalize(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.config = make_world(self.folder.name, shots=30)
        self.shots = lines(pathlib.Path(self.folder.name) / "shots.jsonl")
        stripped = [{k: v for k, v in shot.items() if k != "rationale" or i < 5} for i, shot in enumerate(self.shots)]
        stripped[6].pop("output")  # a shot with an answer alone
        (pathlib.Path(self.folder.name) / "shots.jsonl").write_text("".join(json.dumps(s) + "\n" for s in stripped))

    def run_it(self, name, ranks=0, *more):
        run = pathlib.Path(self.folder.name) / name
        done = rocket("rationalize", self.config, "--set", f"run={run}", "--set", f"rationalize.adapter={LAB / 'bank/sells'}", *more,
                      ranks=ranks)
        return done, run

    def test_rationales_are_kept_if_their_answer_is_right(self):
        done, run = self.run_it("run")
        made = lines(run / "rationalized.jsonl")
        self.assertEqual(len(made), 30)
        counts = {}
        for i, (before, after) in enumerate(zip(self.shots, made)):
            source = after["rationale_source"]
            counts[source] = counts.get(source, 0) + 1
            self.assertEqual(source == "given", i < 5)
            self.assertEqual("rationale" in after, source != "none")
            self.assertEqual((after["instruction"], after["input"], after["answer"]),
                             (before["instruction"], before["input"], before["answer"]))
            if source == "given":
                self.assertEqual(after["rationale"], before["rationale"])
            elif source != "none":
                self.assertEqual(choice(after["rationale"]), choice(before["answer"]) or before["answer"])
                self.assertGreater(len(after["rationale"]), len("Answer: A"))
        self.assertGreater(counts.get("generated", 0), 3)
        for source, count in counts.items():
            self.assertRegex(done.stdout, rf"{source}\s+{count}\b")
        again = rocket("score", self.config, "--set", f"run={run}", "--set", f"task.shots={run / 'rationalized.jsonl'}",
                       "--set", "task.k=5")
        self.assertEqual(again.returncode, 0, "it can be used as task.shots")

    def test_what_was_not_right_at_first_is_tried_with_the_answer(self):
        """Greedy: a hint that is empty but for the answer's place changes the second prompt only."""
        _, plain = self.run_it("plain")
        _, other = self.run_it("other", 0, "--set", "rationalize.hint=Answer {answer}")
        first, second = lines(plain / "rationalized.jsonl"), lines(other / "rationalized.jsonl")
        for a, b in zip(first, second):
            if a["rationale_source"] in ("given", "generated"):
                self.assertEqual(a, b)
            else:
                self.assertIn(b["rationale_source"], ("hinted", "none"))

    def test_ranks_do_not_matter(self):
        _, alone = self.run_it("alone")
        _, two = self.run_it("two", 2)
        self.assertEqual((alone / "rationalized.jsonl").read_bytes(), (two / "rationalized.jsonl").read_bytes())

    def test_a_hint_without_the_answer_is_refused(self):
        run = pathlib.Path(self.folder.name) / "refused"
        done = rocket("rationalize", self.config, "--set", f"run={run}", "--set", "rationalize.hint=think", check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn("{answer}", done.stderr)

    def write_shots(self, shots):
        path = pathlib.Path(self.folder.name) / "other.jsonl"
        path.write_text("".join(json.dumps(shot, ensure_ascii=False) + "\n" for shot in shots), encoding="utf-8")
        return "--set", f"task.shots={path}"

    def assert_usable(self, run, *settings):
        """Under the settings that it was made with, all of its shots."""
        rocket("score", self.config, "--set", f"run={run}", *settings, "--set", f"task.shots={run / 'rationalized.jsonl'}",
               "--set", f"task.k={len(lines(run / 'rationalized.jsonl'))}")

    def test_lines_keep_the_names_and_all_fields_of_the_shots_file(self):
        shots = [{"id": 3.10, "question": shot["instruction"], "context": shot["input"], "short": shot["output"],
                  "gold": shot["answer"], "notes": {"by": "Zo\u00eb \u2028", "steps": shot["rationale"] if i < 2 else None}}
                 for i, shot in enumerate(self.shots[:12])]
        settings = (*self.write_shots(shots), "--set", "task.fields={instruction: question, input: context, output: short, "
                    "answer: gold, rationale: notes.steps}")
        done, run = self.run_it("own_names", 0, *settings)
        made = lines(run / "rationalized.jsonl")
        sources = [line.pop("rationale_source") for line in made]
        self.assertEqual([line["notes"]["steps"] is None for line in made], [source == "none" for source in sources])
        self.assertEqual(sources[:2], ["given", "given"])
        self.assertIn("generated", sources)
        for line in made[2:]:
            line["notes"]["steps"] = None
        self.assertEqual(made, shots)
        self.assertIn('"id":3.1,', (run / "rationalized.jsonl").read_text())
        self.assert_usable(run, *settings)

    def test_a_shot_without_rationale_and_output_gets_its_answer_as_output(self):
        bare = [{key: shot[key] for key in ("instruction", "input", "answer")} for shot in self.shots[:12]]
        settings = self.write_shots(bare)
        done, run = self.run_it("bare", 0, *settings)
        made = lines(run / "rationalized.jsonl")
        none = [line for line in made if line["rationale_source"] == "none"]
        self.assertTrue(0 < len(none) < len(made))
        self.assertEqual([line.get("output") for line in made],
                         [line["answer"] if line["rationale_source"] == "none" else None for line in made])
        self.assertRegex(done.stderr, rf"\b{len(none)} of the shots .*answer")
        self.assert_usable(run, *settings)

    def test_chats_stay_chats(self):
        chats = [{"messages": [{"role": "system", "content": "Be brief."},
                               {"role": "user", "content": f"{shot['instruction']}\n{shot['input']}"}], "answer": shot["answer"]}
                 for shot in self.shots[:8]]
        shared = [{"conversations": [{"from": "human", "value": shot["instruction"]}, {"from": "gpt", "value": ""}],
                   "answer": shot["answer"]} for shot in self.shots[8:12]]
        settings = (*self.write_shots(chats + shared), "--set", "rationalize.adapter=null")
        _, run = self.run_it("chats", 0, *settings)
        for before, after in zip(chats + shared, lines(run / "rationalized.jsonl")):
            key = next(iter(before))
            if after["rationale_source"] == "none":
                said = {"role": "assistant", "content": after["answer"]} if key == "messages" else {"from": "gpt", "value": after["answer"]}
                questions = [turn for turn in before[key] if turn.get("from") != "gpt"]
                self.assertEqual(after[key], questions + [said])
            else:
                self.assertEqual(after[key], before[key])
        self.assert_usable(run, *settings)

    def test_what_the_limit_cuts_off_is_no_rationale(self):
        shots = lines(LAB / "tasks/number/shots.jsonl")
        settings = (*self.write_shots([{key: shot[key] for key in ("instruction", "output", "answer")} for shot in shots]),
                    "--set", "task.answer=number", "--set", f"rationalize.adapter={LAB / 'bank/tool'}")
        limit = 10
        _, run = self.run_it("cut", 0, *settings, "--set", f"scoring.max_new_tokens={limit}")
        kept = [line["rationale"] for line in lines(run / "rationalized.jsonl") if "rationale" in line]
        self.assertGreater(len(kept), 0)
        ids = rocket("tokenize", LAB / "base", "--plain", input="".join(json.dumps(text) + "\n" for text in kept)).stdout
        for text, tokens in zip(kept, ids.splitlines()):
            self.assertLess(len(json.loads(tokens)), limit, text)

    def test_its_own_output_is_not_read_and_removed(self):
        _, run = self.run_it("own")
        made = (run / "rationalized.jsonl").read_bytes()
        for more in ((), ("--fresh",)):
            done = rocket("rationalize", self.config, "--set", f"run={run}", "--set", f"task.shots={run / 'rationalized.jsonl'}", *more,
                          check=False)
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertIn("task.shots", done.stderr)
            self.assertIn("copy", done.stderr)
            self.assertEqual((run / "rationalized.jsonl").read_bytes(), made)

    def test_marks_of_an_earlier_rationalize_stay(self):
        _, run = self.run_it("first", 0, "--set", "rationalize.adapter=null")
        before = lines(run / "rationalized.jsonl")
        shutil.copy(run / "rationalized.jsonl", pathlib.Path(self.folder.name) / "shots.jsonl")
        _, again = self.run_it("again")
        self.assertIn("hinted", [line["rationale_source"] for line in before])
        for a, b in zip(before, lines(again / "rationalized.jsonl")):
            if a["rationale_source"] != "none":
                self.assertEqual(a, b)

    def test_an_adapter_that_is_none_is_named_with_its_setting(self):
        for folder in (LAB, LAB / "base"):
            done = rocket("rationalize", self.config, "--set", f"run={self.folder.name}/none", "--set", f"rationalize.adapter={folder}",
                          check=False)
            self.assertEqual(done.returncode, 65)
            self.assertIn("rationalize.adapter", done.stderr)

    def test_a_hint_that_leaves_no_room_is_said_before_the_work(self):
        run = pathlib.Path(self.folder.name) / "long"
        done = rocket("rationalize", self.config, "--set", f"run={run}", "--set", f"rationalize.hint={'and so on ' * 400}{{answer}}",
                      check=False)
        self.assertEqual(done.returncode, 65, done.stderr)
        self.assertIn("rationalize.hint", done.stderr)
        self.assertIn("shots.jsonl:6", done.stderr)


if __name__ == "__main__":
    unittest.main()
