"""`rocket extract`: what is found in outputs, by which rule; programs are run, GSM8K's verdicts are compared."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

from small_world import REPOSITORY, ROCKET, environment

ANSWERS = REPOSITORY / "tests/data/answers"
# What four models wrote for 800 questions of GSM8K, with the verdicts of the data set's authors (MIT; not part of the repository).
GSM8K = pathlib.Path(os.environ.get("ROCKET_GSM8K", REPOSITORY.parent / "shared/data/gsm8k/example_model_solutions.jsonl"))


def run(lines, *flags):
    return subprocess.run([ROCKET, "extract", *flags], input="".join(line + "\n" for line in lines), capture_output=True, text=True,
                          env=environment(), timeout=120)


def extract(texts, *flags):
    done = run([json.dumps(text) for text in texts], *flags)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Extract(unittest.TestCase):
    def test_one_line_each(self):
        self.assertEqual(extract(["The answer is 14. I used 3 steps.", "", "12 or 13\n#### 7"], "--answer", "number"),
                         [{"found": "14", "rule": "answer"}, {"found": None, "rule": "nothing"}, {"found": "7", "rule": "hash_mark"}])

    def test_patterns(self):
        self.assertEqual(extract(["x=a, y=b", "none"], "--answer", "regex", "--pattern", r"=(\w+)"),
                         [{"found": "a", "rule": "first_match"}, {"found": None, "rule": "nothing"}])
        self.assertEqual(extract(["x=a, y=b"], "--answer", "regex", "--pattern", r"=(\w+)", "--take", "last"),
                         [{"found": "b", "rule": "last_match"}])
        self.assertEqual(extract([" New \n York "], "--answer", "exact"), [{"found": "New York", "rule": "whole"}])

    def test_words(self):
        self.assertEqual(extract(["Jep"], "--answer", "boolean", "--yes-word", "jep")[0]["found"], "yes")
        self.assertEqual(extract(["Jep"], "--answer", "boolean")[0]["found"], None)

    def test_bad_lines_and_flags(self):
        for line in ("no JSON", "7", "", '"open', '["a"]'):
            done = run(['"The answer is 7"', line], "--answer", "number")
            self.assertEqual(done.returncode, 65, line)
            self.assertIn("stdin:2: expected a JSON string", done.stderr)
            self.assertEqual(done.stdout, '{"found":"7","rule":"answer"}\n')
        for flags, code, words in ((("--answer", "regex"), 64, "--pattern"), (("--answer", "number", "--pattern", "(x)"), 64, "--pattern"),
                                   (("--answer", "regex", "--pattern", "(x"), 78, "(x"), (("--answer", "nmber"), 64, "--answer"),
                                   ((), 64, "--answer"), (("--answer", "number", "--yes-word", "x"), 64, "boolean")):
            done = run(['"x"'], *flags)
            self.assertEqual(done.returncode, code, (flags, done.stderr))
            self.assertIn(words, done.stderr)

    def test_programs_run(self):
        """Each text holds a function f with f(1) == 2, however it is wrapped."""
        cases = json.loads((ANSWERS / "programs.json").read_text(encoding="utf-8"))
        for (name, _), reading in zip(cases, extract([text for _, text in cases], "--answer", "code")):
            done = subprocess.run([sys.executable, "-c", reading["found"] + "\nassert f(1) == 2"], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, (name, reading, done.stderr))

    def test_verdicts_on_gsm8k(self):
        """Of 3,200 solutions none is judged otherwise, not even those that are cut off in a sum."""
        if not GSM8K.exists():
            self.skipTest(f"{GSM8K} is not there; ROCKET_GSM8K names another place")
        rows = [json.loads(line) for line in GSM8K.read_text(encoding="utf-8").splitlines()]
        written = [(row["ground_truth"], model) for row in rows for model in row.values() if isinstance(model, dict)]
        self.assertEqual(len(written), 3200)
        golds = extract([gold for gold, _ in written], "--answer", "number")
        found = extract([model["solution"] for _, model in written], "--answer", "number")
        others = [(gold[-40:], model["solution"][-80:]) for (gold, model), g, f in zip(written, golds, found)
                  if (f["found"] is not None and f["found"] == g["found"]) != model["is_correct"]]
        self.assertEqual(others, [])


if __name__ == "__main__":
    unittest.main()
