"""Tasks in the form of their owners: from the items' own fields to scored choices and cut generations."""
import json
import pathlib
import re
import tempfile
import unittest

from small_world import differences, make_world, rocket

LETTERS = ["A", "B", "C", "D"]


def lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()]


def write_lines(path, objects):
    pathlib.Path(path).write_text("".join(json.dumps(item) + "\n" for item in objects), encoding="utf-8")


def as_arc(record):
    """A record of the lab as ARC's owners would publish it."""
    return {"question": f"{record['instruction']}\n{record['input']}", "choices": {"text": LETTERS, "label": LETTERS},
            "answerKey": record["answer"]}


class TaskForms(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.config = make_world(self.folder, shots=6, items=10, records=300)
        self.records = {name: lines(self.folder / f"{name}.jsonl") for name in ("shots", "items")}
        for name, records in self.records.items():
            write_lines(self.folder / f"{name}.jsonl", map(as_arc, records))
        self.config.write_text(json.dumps(self.settings(use="configs/tasks/arc_easy.yaml")))

    def settings(self, **task):
        config = json.loads(self.config.read_text())
        kept = {name: config["task"][name] for name in ("shots", "evaluation", "k")}
        return {**config, "task": {**kept, **task}}

    def table(self, name, run="run"):
        return json.loads(rocket("inspect", self.folder / run, name, "--format", "json").stdout)

    def test_choices_go_through_the_whole_chain(self):
        rocket("run", self.config)
        items = self.table("items")
        gold = [LETTERS.index(record["answer"]) for record in self.records["items"]]
        for item in items:
            self.assertEqual(list(item), ["system", "item", "correct", "chosen", "gold", "correct_norm", "correct_bytes", "logprobs"])
            self.assertEqual(item["gold"], gold[item["item"]])
            self.assertEqual(item["chosen"], max(range(4), key=lambda i: (item["logprobs"][i], -i)))
            self.assertEqual(item["correct"], item["chosen"] == item["gold"])
            self.assertEqual(item["correct_norm"], item["correct"], "all choices have one letter")
        for row in self.table("evaluation"):
            own = [item["correct"] for item in items if item["system"] == row["system"]]
            self.assertAlmostEqual(row["accuracy"], sum(own) / len(own))
            self.assertAlmostEqual(row["acc_norm"], row["accuracy"])
            self.assertEqual((row["chance"], row["nothing_found"], row["items"]), (0.25, 0, 10))
        shots = self.table("shots")
        for shot in shots:
            right = LETTERS.index(self.records["shots"][shot["shot"]]["answer"])
            self.assertEqual(shot["correct"], shot["chosen"] == right)
            self.assertEqual(shot["target_tokens"], shots[0]["target_tokens"], "a space, a letter, the end")
        self.assertTrue((self.folder / "run/report.html").exists())

    def test_ranks_do_not_matter(self):
        self.config.write_text(json.dumps({**json.loads(self.config.read_text()), "training": {"epochs": 1, "reduction": "deterministic"}}))
        rocket("run", self.config)
        rocket("run", self.config, "--set", f"run={self.folder / 'two'}", ranks=2)
        self.assertEqual(differences(self.folder / "run", self.folder / "two", ("score.h5", "select.h5", "selected.jsonl", "evaluate.h5")), [])

    def test_records_of_the_corpus_that_hold_a_question_are_removed(self):
        def removed(run):
            for job in "embed", "select":
                done = rocket(job, self.config, "--set", f"run={self.folder / run}")
            return int(re.search(r"(\d+) removed as equal", done.stderr).group(1))

        before = removed("before")
        with open(self.folder / "corpus.jsonl", "a", encoding="utf-8") as file:
            for name, place in ("shots", 2), ("items", 4):
                question = as_arc(self.records[name][place])["question"]
                file.write(json.dumps({"instruction": question.upper(), "output": "x"}) + "\n")
        self.assertEqual(removed("after"), before + 2)

    def test_a_generation_ends_at_a_stop_string_and_is_filtered(self):
        use = {"use": "configs/tasks/arc_easy_generate.yaml", "stop": [". "], "fewshot": 1}
        self.config.write_text(json.dumps(self.settings(**use)))
        rocket("run", self.config)
        for item in self.table("items"):
            self.assertNotIn(". ", item["generation"])
            found = re.search(r"(?<![A-Za-z0-9])([A-J1-5])(?![A-Za-z0-9'])", item["generation"])
            self.assertEqual(item["extracted"], found and found.group(1))
            self.assertEqual(item["chosen"], item["extracted"])
            self.assertEqual(item["correct"], item["extracted"] == item["gold"])

    def test_a_bad_item_is_named(self):
        items = lines(self.folder / "items.jsonl")
        items[3]["answerKey"] = "E"
        write_lines(self.folder / "items.jsonl", items)
        done = rocket("check", self.config, check=False)
        self.assertEqual(done.returncode, 65)
        self.assertIn("items.jsonl:4: task.gold: 'E' is none of the labels 'A', 'B', 'C', 'D'", done.stderr)

    def test_a_bad_template_is_named(self):
        done = rocket("check", self.config, "--set", "task.prompt=x {question", check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn("--set task.prompt=x {question: task.prompt: '{' at byte 2 is not closed", done.stderr)

    def test_a_bad_pattern_of_a_task_file_is_named_with_its_line(self):
        for line, expected in (("filter: {pattern: '('}", "task.filter: pattern `(`"),
                               ("gold_filter: {pattern: a, group: 1}", "task.gold_filter: group 1: the pattern `a` has 0 groups"),
                               ("ignore_patterns: ['[']", "task.ignore_patterns: pattern `[`"),
                               ("target: '{}'", "task.target: '{}' at byte 0 names no field"),
                               ("description: 'a}'", "task.description: '}' at byte 1 closes nothing")):
            file = self.folder / "task.yaml"
            file.write_text(f"answer: exact\ngold: answerKey\nprompt: '{{question}}'\n{line}\n")
            done = rocket("check", self.config, "--set", f"task.use={file}", check=False)
            self.assertEqual(done.returncode, 78)
            self.assertIn(f"{file}:4: {expected}", done.stderr)

    def test_the_plan_counts_choices_and_examples(self):
        def flop(*settings):
            plan = rocket("check", self.config, *settings).stdout
            return float(re.search(r"^evaluate .* ([0-9.e+]+) flop", plan, re.M).group(1))

        self.assertGreater(flop("--set", "task.fewshot=2"), 1.5 * flop())
        self.assertEqual(flop("--set", "scoring.max_new_tokens=1"), flop())


if __name__ == "__main__":
    unittest.main()
