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

    def differs_from_scratch(self):
        """The same corpus embedded in a run directory of its own."""
        name = f"scratch-{len(list(self.folder.glob('scratch-*')))}"
        self.embed(run=name)
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

    def test_one_record_and_empty_and_endless_texts(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder, CORPUS[:1])
            world.embed()
            odd = [{"instruction": "", "input": "", "output": ""}, {"instruction": "word " * 50000, "output": "x"},
                   {"instruction": "東京 \u0000 \U0001f600", "output": "ß"}]
            world.write([json.dumps(record) + "\n" for record in odd])
            world.embed("--fresh")
            world.embed(run="ranks", ranks=2)
            self.assertEqual(differences(world.folder / "run", world.folder / "ranks", ["embed.h5"]), [])


if __name__ == "__main__":
    unittest.main()
