"""Banks as they come: large, paged, with several bad adapters, as pickles, made on another base."""

import json
import pathlib
import shutil
import struct
import tempfile
import time
import unittest
import zipfile

from small_world import LAB, make_world, rocket
from test_bad_input import edit_config

DATA = 65
MODULE = "model.layers.0.self_attn.q_proj"


def add_adapter(folder, lora_r=2, inputs=64, outputs=64, base="somewhere/base", value=0.01):
    """A PEFT folder of one module, written without any library."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": lora_r, "lora_alpha": 4, "target_modules": ["q_proj"], "base_model_name_or_path": base}))
    shapes = {f"base_model.model.{MODULE}.lora_A.weight": [lora_r, inputs],
              f"base_model.model.{MODULE}.lora_B.weight": [outputs, lora_r]}
    header, at = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * shape[0] * shape[1]]}
        at = header[name]["data_offsets"][1]
    text = json.dumps(header).encode()
    (folder / "adapter_model.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + struct.pack("<f", value) * (at // 4))


def base_width():
    return json.loads((LAB / "base/config.json").read_text())["hidden_size"]


class Bank(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = pathlib.Path(self.scratch.name)
        self.config = make_world(self.folder, shots=4, records=40, items=3)
        self.bank = self.folder / "bank"
        self.width = base_width()
        edit_config(self.config, "bank.adapters", [str(self.bank)])

    def add(self, name, **options):
        add_adapter(self.bank / name, **{"inputs": self.width, "outputs": self.width, **options})

    def test_a_thousand_adapters_are_planned_in_seconds(self):
        for i in range(1000):
            self.add(f"adapter-{i:04}")
        edit_config(self.config, "bank.memory", "100 KiB")
        start = time.monotonic()
        done = rocket("check", self.config)
        self.assertLess(time.monotonic() - start, 60)
        one = 4 * 2 * 2 * self.width
        for part in ("bank: 1000 adapters x", f"= {1000 * one / 2**20:.1f} MiB in memory",
                     f"holds {100 * 1024 // one} at once: the bank is paged", "x 3 passes", "only its headers",
                     f"= {3000 * one / 2**20:.1f} MiB to read"):
            self.assertIn(part, done.stdout)

    def test_all_bad_adapters_are_told_and_can_be_left_out(self):
        for name in ("a", "b", "c", "d"):
            self.add(name)
        self.add("bad-nan", value=float("nan"))
        self.add("bad-shape", inputs=self.width + 1)
        shutil.copytree(self.bank / "a", self.bank / "bad-dora")
        config = json.loads((self.bank / "a/adapter_config.json").read_text())
        (self.bank / "bad-dora/adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
        for job in ("check", "score"):
            done = rocket(job, self.config, check=False)
            self.assertEqual(done.returncode, DATA, done.stderr)
            for part in ("adapter 'bad-dora'", "use_dora", "adapter 'bad-nan'", "not finite", "adapter 'bad-shape'",
                         "bank.exclude: [bad-dora, bad-nan, bad-shape]"):
                self.assertEqual(done.stderr.count(part), 1, f"{job}: {part}: {done.stderr}")
        edit_config(self.config, "bank.exclude", ["bad-dora", "bad-nan", "bad-shape"])
        rocket("check", self.config)

    def test_another_base_is_one_note(self):
        for name in ("a", "b", "c", "d"):
            self.add(name, base="hub/other" if name in "ac" else "hub/base")
        note = "2 of 4 adapters name another base than base (all of them: 'hub/other')"
        self.assertEqual(rocket("check", self.config).stdout.count(note), 1)
        self.assertEqual(rocket("score", self.config).stderr.count(note), 1)

    def test_a_paged_bank_of_pickles_gives_the_same_scores(self):
        for name in ("home", "sells", "color", "tool", "x-star", "color-weak"):
            shutil.copytree(LAB / "bank" / name, self.bank / name)
        rocket("score", self.config)
        scores = (self.folder / "run/score.h5").read_bytes()
        for adapter in self.bank.iterdir():
            before = rocket("inspect", adapter).stdout
            pickle_adapter(adapter)
            self.assertEqual(rocket("inspect", adapter).stdout, before)
        shutil.rmtree(self.folder / "run")
        rocket("score", self.config, "--set", "bank.memory=1 KiB")
        self.assertEqual((self.folder / "run/score.h5").read_bytes(), scores)


def pickle_adapter(folder):
    """adapter_model.safetensors as adapter_model.bin, opcode by opcode."""
    file = folder / "adapter_model.safetensors"
    raw = file.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = {k: v for k, v in json.loads(raw[8 : 8 + length]).items() if k != "__metadata__"}
    types = {"F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage"}

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def whole(value):
        return b"J" + struct.pack("<i", value)

    stream, storages = b"\x80\x02}(", []
    for name, about in header.items():
        begin, end = about["data_offsets"]
        rows, columns = about["shape"]
        stream += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage")
        stream += b"ctorch\n" + types[about["dtype"]].encode() + b"\n" + text(str(len(storages))) + text("cpu")
        stream += whole(rows * columns) + b"tQ" + whole(0) + whole(rows) + whole(columns) + b"\x86"
        stream += whole(columns) + whole(1) + b"\x86\x89ccollections\nOrderedDict\n)RtR"
        storages.append(raw[8 + length + begin : 8 + length + end])
    with zipfile.ZipFile(folder / "adapter_model.bin", "w") as archive:
        archive.writestr("model/data.pkl", stream + b"u.")
        for i, storage in enumerate(storages):
            archive.writestr(f"model/data/{i}", storage)
    file.unlink()


if __name__ == "__main__":
    unittest.main()
