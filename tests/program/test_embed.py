"""Embedding: what a changed corpus computes again, float16, and corpora of odd shapes."""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

from small_world import LAB, differences, make_world, rocket

CORPUS = LAB.joinpath("corpus.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)


class World:
    def __init__(self, folder, records):
        self.folder = pathlib.Path(folder)
        self.config = make_world(folder)
        self.write(records)

    def write(self, records):
        self.folder.joinpath("corpus.jsonl").write_text("".join(records), encoding="utf-8")

    def embed(self, *arguments, run="run", **options):
        return rocket("embed", self.config, "--set", f"run={self.folder / run}", *arguments, **options)

    def taken(self, *arguments, **options):
        """How many blocks of how many were taken over."""
        found = re.search(r"(\d+) of (\d+) blocks of records taken over", self.embed(*arguments, **options).stderr)
        return found and tuple(map(int, found.groups()))

    def differs_from_scratch(self, *arguments):
        """The same corpus embedded in a run directory of its own."""
        name = f"scratch-{len(list(self.folder.glob('scratch-*')))}"
        self.embed(*arguments, run=name)
        return differences(self.folder / "run", self.folder / name, ["embed.h5"])


class Embed(unittest.TestCase):
    def test_a_longer_corpus_computes_what_is_new(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:2560])
            self.assertIsNone(world.taken())
            world.write(CORPUS[:2700])
            self.assertEqual(world.embed(check=False).returncode, 65)
            self.assertEqual(world.taken("--fresh"), (10, 11))
            self.assertEqual(world.differs_from_scratch(), [])
            self.assertFalse((world.folder / "run/parts/embed/before").exists())
            world.write(CORPUS[:2900])
            self.assertEqual(world.taken("--fresh", ranks=2), (10, 12))
            self.assertEqual(world.differs_from_scratch(), [])

    def test_a_changed_record_costs_its_block(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:1000])
            world.embed()
            changed = json.dumps({"instruction": "a new one", "output": "x"}) + "\n"
            world.write(CORPUS[:300] + [changed] + CORPUS[301:1000])
            self.assertEqual(world.taken("--fresh"), (3, 4))
            self.assertEqual(world.differs_from_scratch(), [])

    def test_nothing_is_taken_over_where_nothing_changed_or_the_encoder_did(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:300])
            world.embed()
            self.assertIsNone(world.taken("--fresh"))
            self.assertIsNone(world.taken("--fresh", "--set", "encoder.max_length=20"))
            self.assertIsNone(world.taken("--fresh", "--set", "encoder.max_length=20", "--set", "encoder.prefix='query: '"))
            # Shots are no part of a record's vector.
            self.assertEqual(world.taken("--fresh", "--set", "encoder.max_length=20", "--set", "encoder.prefix='query: '", "--set", "task.k=3"),
                             (2, 2))

    def test_runs_share_the_embeddings_of_one_corpus(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:600])
            world.embed()
            other = make_world(world.folder / "other", task="choice_easy", records=0)
            world.folder.joinpath("other/corpus.jsonl").write_text("".join(CORPUS[:700]), encoding="utf-8")
            shared = ("--set", f"embed.from={world.folder / 'run'}")
            self.assertIn(f"2 of 3 blocks of records taken over from {world.folder / 'run'}", rocket("embed", other, *shared, ranks=2).stderr)
            rocket("embed", other, "--set", f"run={world.folder / 'alone'}")
            self.assertEqual(differences(world.folder / "other/run", world.folder / "alone", ["embed.h5"]), [])
            self.assertIn("done before", rocket("embed", other).stderr)  # where vectors come from does not change them
            for change, word in (("encoder.max_length=20", "encoder.max_length was 1024 there and is 20 here"),
                                 ("encoder.prefix='query: '", "encoder.prefix was"), ("encoder.long=windows", "encoder.long was"),
                                 (f"encoder.path={LAB.parent / 'data/encoders/bert_dense'}", "its encoder has another"),
                                 (f"embed.from={world.folder}", "`rocket embed` has not run in this directory")):
                refused = rocket("embed", other, "--fresh", *shared, "--set", change, check=False)
                self.assertEqual(refused.returncode, 78, refused.stderr)
                self.assertIn(word, refused.stderr)

    def test_damaged_vectors_are_not_taken_over(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:300])
            world.embed()
            part = world.folder / "run/parts/embed/unit-000000.h5"
            data = bytearray(part.read_bytes())
            data[len(data) // 2] ^= 1
            part.write_bytes(bytes(data))
            done = world.embed("--set", f"embed.from={world.folder / 'run'}", run="other", check=False)
            self.assertEqual(done.returncode, 65, done.stderr)
            self.assertIn(str(part), done.stderr)
            self.assertIn("delete it, and its blocks are computed again", done.stderr)
            part.unlink()
            world.embed("--set", f"embed.from={world.folder / 'run'}", run="other")
            world.embed("--fresh")
            self.assertEqual(differences(world.folder / "run", world.folder / "other", ["embed.h5"]), [])

    def test_a_damaged_part_of_the_shared_run_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:600])
            world.embed()
            part = world.folder / "run/parts/embed/unit-000000.h5"
            other = make_world(world.folder / "other", records=600)
            shared = ("--set", f"embed.from={world.folder / 'run'}")
            whole = part.read_bytes()
            middle = len(whole) // 2
            part.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:])
            done = rocket("embed", other, *shared, check=False)
            self.assertEqual(done.returncode, 65, done.stderr)
            self.assertIn(f"{part}", done.stderr)
            self.assertIn("delete it, and its blocks are computed again", done.stderr)
            part.write_bytes(whole[:-100])  # as a copy that was broken off: nothing of it can be read
            done = rocket("embed", other, *shared)
            self.assertIn("0 of 3 blocks of records taken over", done.stderr)
            self.assertIn(f"{part}", done.stderr)
            rocket("embed", other, "--set", f"run={world.folder / 'alone'}")
            self.assertEqual(differences(world.folder / "other/run", world.folder / "alone", ["embed.h5"]), [])

    def assert_similarities_within(self, bound, world, other):
        done = subprocess.run(["h5diff", f"--delta={bound}", str(world.folder / "run/embed.h5"), str(world.folder / other / "embed.h5"), "/similarity"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_float16_is_stored_and_selected_from(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:600])
            world.embed("--set", "encoder.store=float16")
            header = subprocess.run(["h5dump", "-H", "-d", "embedding", str(world.folder / "run/embed.h5")], capture_output=True, text=True)
            self.assertIn("16-bit little-endian floating-point", header.stdout)
            rocket("select", world.config, "--set", "encoder.store=float16")
            world.embed(run="wide")
            self.assert_similarities_within(0.0005, world, "wide")

    def test_bfloat16_computes_nearly_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:100])
            world.embed()
            world.embed("--set", "encoder.dtype=bfloat16", run="bf16")
            self.assert_similarities_within(0.01, world, "bf16")

    def test_long_texts_are_counted_and_stay_unless_equal(self):
        rules = " ".join(f"Rule {i}: no price of good {i}." for i in range(40))  # more tokens than the encoder reads
        words = "home town good color tool sell".split()
        chats = [json.dumps({"messages": [{"role": "system", "content": rules}, {"role": "user", "content": f"Where is the {word}?"},
                                          {"role": "assistant", "content": f"In the {word} town."}]}) + "\n" for word in words]
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:10] + chats + chats[2:3])
            corpus, count = world.folder / "corpus.jsonl", "7 of 17 texts are longer than the encoder reads at once (128 tokens)"
            checked = rocket("check", world.config)
            self.assertIn("7 of 23 texts are longer than the encoder reads at once (128 tokens)", checked.stdout)  # with the 6 shots
            for way, lost in (("cut", "their ends are not read"), ("head_tail", "their middles are not read"), ("windows", "windows")):
                embedded = world.embed("--fresh", "--set", f"encoder.long={way}")
                self.assertIn(f"{count}: {corpus} 7 of 17; ", embedded.stderr)
                self.assertIn(lost, embedded.stderr)
                self.assertEqual("warning: embed: " in embedded.stderr, way != "windows")
                said = rocket("select", world.config, "--fresh", "--set", f"encoder.long={way}", "--set", "selection.decontaminate=exact").stderr
                self.assertIn(f"7 of the 17 records looked at are longer than the encoder reads at once ({corpus} 7 of 17)", said)
                selected = [json.loads(line) for line in (world.folder / "run/selected.jsonl").read_text(encoding="utf-8").splitlines()]
                self.assertEqual(sorted(s["record"] for s in selected if s["record"] >= 10), [10, 11, 12, 13, 14, 15])
            self.assertEqual(world.differs_from_scratch("--set", "encoder.long=windows"), [])

    def test_known_blocks_keep_their_counts(self):
        long_record = json.dumps({"instruction": "good " * 300, "output": "x"}) + "\n"
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:255] + [long_record])
            self.assertIn("1 of 256 texts are longer", world.embed().stderr)
            world.write(CORPUS[:255] + [long_record] + CORPUS[300:310])
            again = world.embed("--fresh").stderr
            self.assertIn("1 of 2 blocks of records taken over", again)
            self.assertIn("1 of 266 texts are longer", again)
            self.assertEqual(world.differs_from_scratch(), [])

    def test_one_record_and_empty_and_endless_texts(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:1])
            world.embed()
            odd = [{"instruction": "", "input": "", "output": "x"}, {"instruction": "word " * 50000, "output": "x"},
                   {"instruction": "東京 \u0000 \U0001f600", "output": "ß"}]
            world.write([json.dumps(record) + "\n" for record in odd])
            world.embed("--fresh")
            world.embed(run="ranks", ranks=2)
            self.assertEqual(differences(world.folder / "run", world.folder / "ranks", ["embed.h5"]), [])


if __name__ == "__main__":
    unittest.main()
