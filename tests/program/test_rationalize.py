"""rocket rationalize: what is kept, how it is marked, and that ranks and kills do not matter."""
import json
import pathlib
import re
import tempfile
import unittest

from small_world import LAB, make_world, rocket

CHOICE = (r"(?i:\banswer\b)[^A-Za-z0-9\n]*(?i:is\b|:)?[^A-Za-z0-9\n]*([A-J])(?![A-Za-z0-9'])",
          r"(?<![A-Za-z0-9])([A-J])(?![A-Za-z0-9'])")


def choice(text):
    marked = re.findall(CHOICE[0], text)
    return marked[-1] if marked else (re.findall(CHOICE[1], text) or [None])[0]


def lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()]


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


if __name__ == "__main__":
    unittest.main()
