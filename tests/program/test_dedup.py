"""rocket dedup: exact copies and near ones, who stands, forms of files, ranks, mistakes."""
import gzip
import json
import pathlib
import re
import tempfile
import unittest

from small_world import LAB, rocket

ENCODER = LAB / "encoder"


class Dedup(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def dedup(self, *arguments, **options):
        return rocket("dedup", *arguments, "--encoder", ENCODER, **options)

    def dropped(self, *arguments, **options):
        path = self.folder / "dropped.jsonl"
        out = self.dedup(*arguments, "--dropped", path, **options).stdout.splitlines()
        pairs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return out, {pair["record"]: pair["dropped_by"] for pair in pairs}

    def test_any_number_of_ranks_writes_the_same_bytes(self):
        lines = (LAB / "corpus.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:6000]
        corpus = self.write("corpus.jsonl", "".join(lines))
        for keep in ("first", "longest"):
            results = []
            for ranks in (0, 1, 2, 3):
                kept, dropped = self.folder / f"kept-{ranks}", self.folder / f"dropped-{ranks}"
                done = self.dedup(corpus, "--keep", keep, "--output", kept, "--dropped", dropped, ranks=ranks)
                self.assertEqual(done.stdout, "")
                results.append((kept.read_bytes(), dropped.read_bytes()))
                self.assertEqual(sum(part.count(b"\n") for part in results[-1]), 6000)
            for other in results[1:]:
                self.assertTrue(other == results[0], keep)

    def test_lines_are_written_as_they_stand_in_all_forms_of_files(self):
        records = [{"instruction": f"Name the {i}-th letter.", "output": "abcdefgh"[i], "mine": [i, None]} for i in range(8)]
        odd = '{"mine":  1e3, "output":"\\u0061", "instruction" : "Say a."}'
        lines = self.write("a.jsonl", odd + "\r\n\n" + json.dumps(records[0]) + "\n")
        array = self.write("b.json", json.dumps(records[1:4], indent=2))
        packed = self.folder / "c.jsonl.gz"
        packed.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in records[4:]).encode()))
        out, dropped = self.dropped(lines, array, packed, "--threshold", 1)
        self.assertEqual(dropped, {})
        self.assertEqual(out[0], odd)
        self.assertEqual([json.loads(line) for line in out[1:]], records)

    def test_of_equal_records_one_stands(self):
        line = json.dumps({"instruction": "Say it.", "input": "", "output": "It."}) + "\n"
        out, dropped = self.dropped(self.write("equal.jsonl", 5 * line))
        self.assertEqual(out, [line.rstrip()])
        self.assertEqual(dropped, {i: 0 for i in range(1, 5)})
        two, more = self.write("two.jsonl", 2 * line), self.write("more.jsonl", 2 * line)  # over files, too
        self.assertEqual(self.dropped(two, more)[1], {1: 0, 2: 0, 3: 0})
        self.assertEqual(self.dropped(two, two)[1], {1: 0})  # one file, named twice, is read once

    def test_the_longest_stands(self):
        texts = ["Tell me a word.", "Tell me a word. ", "Tell me a word.  ", "Tell me a word. \u00e9"]
        path = self.write("lengths.jsonl", "".join(json.dumps({"instruction": t, "output": "w"}) + "\n" for t in texts))
        out, dropped = self.dropped(path, "--keep", "longest", "--threshold", 0.5)
        self.assertEqual([json.loads(line)["instruction"] for line in out], [texts[2]])  # 17 characters, as the last: the first of them
        self.assertEqual(dropped, {0: 2, 1: 2, 3: 2})
        self.assertEqual(self.dropped(path, "--threshold", 0.5)[1], {1: 0, 2: 0, 3: 0})

    def test_fields_prefix_and_length(self):
        path = self.write("theirs.jsonl", "".join(json.dumps({"q": q, "a": "x"}) + "\n" for q in ("red", "red", "blue")))
        fields = ("--field", "instruction=q", "--field", "output=a")
        self.assertEqual(self.dropped(path, *fields, "--threshold", 0.999)[1], {1: 0})
        # Of a long prefix a short text sees nothing else, and what differs behind it is no copy.
        self.assertEqual(self.dropped(path, *fields, "--threshold", 0.999, "--max-length", 4, "--prefix", 9 * "one two ")[1], {1: 0})

    def test_texts_beyond_the_encoders_length_are_counted_and_dropped_only_if_equal(self):
        rules = " ".join(f"Rule {i}: no price of good {i}." for i in range(40))  # more tokens than the encoder reads

        def chat(question, answer):
            return {"messages": [{"role": "system", "content": rules}, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
        words = "home town good color tool sell buy find make hold".split()
        chats = [chat(f"Where is the {word}?", f"In the {word} town.") for word in words]
        a = self.write("a.jsonl", "".join(json.dumps(c) + "\n" for c in chats + [chats[3]]))
        b = self.write("b.jsonl", "".join(json.dumps(r) + "\n" for r in ({"instruction": "Short.", "output": "Yes."}, chats[5])))
        for way in ("cut", "head_tail", "windows"):
            for ranks in (0, 2):
                kept = self.folder / "kept.jsonl"
                done = self.dedup(a, b, "--long", way, "--output", kept, ranks=ranks)
                self.assertEqual([json.loads(line) for line in kept.read_text().splitlines()], chats + [{"instruction": "Short.", "output": "Yes."}])
                self.assertIn(f"12 of 13 texts are longer than the encoder reads at once (128 tokens): {a} 11 of 11, {b} 1 of 2;", done.stderr)
                self.assertIn(f"(--long: {way})", done.stderr)
        self.assertEqual(self.dropped(a, b)[1], {10: 3, 12: 5})

    def test_the_whole_chat_is_compared_unless_the_question_is_asked_for(self):
        greeting = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
        more = [("Where is the good?", "In a town."), ("Find a tool.", "A hammer."), ("Where is the good?", "In a town.")]
        chats = [{"conversations": greeting + [{"from": "human", "value": q}, {"from": "gpt", "value": a}]} for q, a in more]
        path = self.write("chats.jsonl", "".join(json.dumps(c) + "\n" for c in chats))
        self.assertEqual(self.dropped(path, "--threshold", 0.999)[1], {2: 0})
        self.assertEqual(self.dropped(path, "--threshold", 0.999, "--text", "question")[1], {1: 0, 2: 0})
        records = [{"instruction": "Name a color.", "output": word} for word in ("red", "blue")]
        path = self.write("records.jsonl", "".join(json.dumps(r) + "\n" for r in records))
        self.assertEqual(self.dropped(path, "--threshold", 0.999)[1], {})
        self.assertEqual(self.dropped(path, "--threshold", 0.999, "--text", "question")[1], {1: 0})

    def test_rationales_are_compared_and_nothing_is_dropped_at_a_threshold_of_1(self):
        records = [{"instruction": "Where is the good?", "output": "A", "rationale": why} for why in ("In a town.", "The color is red.", "In a town.")]
        path = self.write("rationales.jsonl", "".join(json.dumps(r) + "\n" for r in records))
        self.assertEqual(self.dropped(path, "--threshold", 0.999)[1], {2: 0})
        self.assertEqual(self.dropped(path, "--threshold", 0.999, "--text", "question")[1], {1: 0, 2: 0})
        long_record = json.dumps({"instruction": "Where is the good? " * 100, "output": "A"}) + "\n"
        path = self.write("long.jsonl", long_record + long_record)
        self.assertEqual(self.dropped(path, "--threshold", 0.999)[1], {1: 0})
        self.assertEqual(self.dropped(path, "--threshold", 1)[1], {})

    def test_rows_of_parquet_keep_all_columns_or_are_refused(self):
        data = LAB.parent / "data/formats/parquet"
        done = self.dedup(data / "plain_zstd.parquet", "--threshold", 1, check=False)
        if "not built into this program" in done.stderr:
            self.skipTest("rocket is built without Parquet")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(rows), 50)
        for i, row in enumerate(rows):
            self.assertEqual(row, {"instruction": f"Frage {i} \u2013 \u00fcber\n\u65e5\u672c", "input": None if i % 3 == 0 else f"in {i}",
                                   "output": f"out {i}" * (i % 5), "rationale": None if i % 2 else f"because {i}", "answer": f"{i}",
                                   "unread": [float(i)] * 8})
        refused = self.dedup(data / "answers.parquet", check=False)
        self.assertEqual(refused.returncode, 65)
        self.assertIn("column 'day': values of type date32", refused.stderr)
        self.assertEqual(refused.stdout, "")

    def test_every_pooling_that_the_help_names_is_taken(self):
        corpus = self.write("a.jsonl", '{"instruction": "one two", "output": "x"}\n')
        words = re.search(r"--pooling\s+(.*?)\(default", rocket("dedup", "--help").stdout, re.DOTALL).group(1)
        words = set(re.findall(r"[a-z_]+", words)) - {"or"}
        self.assertEqual(len(words), 7, words)
        for word in words:
            self.assertEqual(len(self.dedup(corpus, "--pooling", word).stdout.splitlines()), 1, word)

    def test_no_records(self):
        done = self.dedup(self.write("empty.jsonl", ""), ranks=2, check=False)
        self.assertEqual(done.returncode, 65)
        self.assertEqual(done.stdout, "")
        self.assertIn("dedup: the files hold no records", done.stderr)

    def test_mistakes_end_with_their_codes(self):
        good = self.write("good.jsonl", '{"instruction": "a", "output": "b"}\n')
        bad = self.write("bad.jsonl", '{"instruction": "a", "output": "b"}\n{"instruction": []}\n')
        for code, message, arguments in (
                (64, "expected a cosine", (good, "--threshold", 1.5)), (64, "keep", (good, "--keep", "shortest")),
                (65, "bad.jsonl:2", (bad,)), (74, "cannot be written", (good, "--output", self.folder / "no" / "such")),
                (78, "does not exist", (self.folder / "absent.jsonl",)), (78, "expected OURS=THEIRS", (good, "--field", "colour=c"))):
            done = self.dedup(*arguments, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(message, done.stderr)
        self.assertEqual(rocket("dedup", good, "--encoder", self.folder / "absent", check=False).returncode, 78)
        self.assertEqual(rocket("dedup", good, check=False).returncode, 64)
        self.assertEqual(self.dedup(bad, check=False, ranks=2).returncode, 65)
        self.assertEqual([p.name for p in self.folder.iterdir() if ".tmp-" in p.name], [])


if __name__ == "__main__":
    unittest.main()
