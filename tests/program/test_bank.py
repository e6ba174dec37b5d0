"""Banks as they come: large, paged, with several bad adapters, as pickles, made on another base."""

import json
import pathlib
import re
import shutil
import struct
import tempfile
import time
import unittest
import zipfile

from small_world import LAB, make_world, read_tensors, rocket, write_tensors
from test_bad_input import edit_config, edit_json

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


    def copy(self, name, new_name=None, change=lambda name, tensor: (name, tensor), **config):
        """An adapter of the lab; `change` maps (name, (dtype, shape, bytes)) of each tensor (None: drops it), `config` sets keys."""
        folder = self.bank / (new_name or name)
        shutil.copytree(LAB / "bank" / name, folder)
        tensors = read_tensors(folder / "adapter_model.safetensors")
        write_tensors(folder / "adapter_model.safetensors", dict(filter(None, (change(*pair) for pair in tensors.items()))))
        edit_json(folder / "adapter_config.json", **config)
        return folder

    def test_an_adapter_without_effect_is_said_and_is_no_expert(self):
        for name in ("home", "price", "job", "sells"):
            self.copy(name)
        self.copy("color", "untrained", zero_b)
        self.copy("tool", "muted", lora_alpha=0)
        self.copy("home", "home-copy")
        edit_config(self.config, "experts", {"candidates": 7, "count": 3})
        notes = ("adapter 'untrained' has no effect", "adapter 'muted' has no effect", "'home-copy' is a copy of 'home'")
        shown = {"check": rocket("check", self.config).stdout, "score": rocket("score", self.config).stderr,
                 "experts": rocket("experts", self.config).stderr, "inspect": rocket("inspect", self.folder / "run").stdout}
        rocket("report", self.config)
        shown["report"] = (self.folder / "run/report.html").read_text().replace("&#39;", "'")
        for job, text in shown.items():
            for note in notes:
                self.assertEqual(text.count(note), 1, f"{job}: {note}: {text}")
        choice = json.loads((self.folder / "run/experts.json").read_text())
        self.assertFalse({"untrained", "muted"} & set(choice["candidates"]), choice["candidates"])
        self.assertEqual(len(choice["candidates"]), 5)
        named = rocket("experts", self.config, "--fresh", "--set", "experts.names=[untrained, home]")
        self.assertEqual(set(json.loads((self.folder / "run/experts.json").read_text())["experts"]), {"untrained", "home"})
        done = rocket("check", self.config, "--set", "experts.count=6", check=False)
        self.assertEqual(done.returncode, DATA)
        self.assertIn("7 adapters, 2 of them without effect", done.stderr)
        for name, effect in (("untrained", False), ("muted", False), ("home", True)):
            about = json.loads(rocket("inspect", self.bank / name, "--format", "json").stdout)
            self.assertEqual((about["effect"], about["usable"], "note" in about), (effect, True, not effect))

    def test_scores_that_are_no_numbers_stop(self):
        self.copy("home")
        huge = struct.pack("<e", 6e4)
        self.copy("price", "loud", lambda name, t: (name, (t[0], t[1], huge * (len(t[2]) // 2))), lora_alpha=1e36)
        for more in ("base.dtype=float32", "base.dtype=bfloat16", "scoring.similarity=released_code", "scoring.similarity=factors"):
            done = rocket("score", self.config, "--fresh", "--set", "experts.count=1", "--set", more, check=False)
            self.assertEqual(done.returncode, DATA, done.stderr)
            self.assertRegex(done.stderr, r"adapter 'loud': the nll of shot 0 \(\S+shots.jsonl:1\) is -?(nan|inf)")
            self.assertIn("bank.exclude: [loud]", done.stderr)
            self.assertFalse((self.folder / "run/score.h5").exists())

    def test_a_base_with_a_value_that_is_not_finite_stops(self):
        for name in ("home", "price"):
            self.copy(name)
        base = self.folder / "base"
        shutil.copytree(LAB / "base", base)
        tensors = read_tensors(base / "model.safetensors")
        broken = "model.layers.3.mlp.up_proj.weight"
        dtype, shape, data = tensors[broken]
        tensors[broken] = (dtype, shape, data[:-4] + struct.pack("<f", float("nan")))
        write_tensors(base / "model.safetensors", tensors)
        edit_config(self.config, "base.path", str(base))
        for job in ("check", "score"):
            done = rocket(job, self.config, check=False)
            self.assertEqual(done.returncode, DATA, done.stderr)
            self.assertRegex(done.stderr, rf"base/model.safetensors: tensor '{broken}': .*not finite \(nan at \[255, 127\]\)")
        about = json.loads(rocket("inspect", base, "--format", "json").stdout)
        self.assertEqual(about["usable"], False)
        self.assertIn(broken, about["reason"])

    def test_inspect_and_score_agree_on_every_kind(self):
        """What score refuses inspect calls unusable, with the same reason; and the other way round."""
        embedding = read_tensors(LAB / "base/model.safetensors")["model.embed_tokens.weight"]
        other = (embedding[0], embedding[1], embedding[2][:-4] + struct.pack("<f", 3.0))
        norm = read_tensors(LAB / "base/model.safetensors")["model.layers.1.post_attention_layernorm.weight"]
        prefixed = lambda prefix: lambda name, t: (prefix + name, t)
        empty = lambda name, t: (name, ("F32", [0], b""))
        infinite = lambda name, t: (name, (t[0], t[1], struct.pack("<e", float("inf")) + t[2][2:]) if "2.mlp.up" in name else t)
        half_compiled = lambda name, t: (("_orig_mod." if "lora_B" in name else "") + name, t)
        lone = lambda name, t: None if "layers.3.self_attn.q_proj.lora_B" in name else (name, t)
        kinds = {  # name: (folder's changes, what is said, or None where it is used)
            "plain": ({}, None), "loftq-left": ({"loftq_config": {"loftq_bits": 4}}, None),
            "corda-left": ({"corda_config": {"corda_method": "kpm"}}, None), "eva-left": ({"eva_config": {"rho": 1.0}}, None),
            "eva": ({"init_lora_weights": "eva"}, None), "tying": ({"ensure_weight_tying": True}, None),
            "alpha-null": ({"lora_alpha": None}, "key 'lora_alpha': null"), "rank-null": ({"r": None}, "key 'r': null"),
            "pissa": ({"init_lora_weights": "pissa"}, "init_lora_weights"),
            "compiled": ({"change": prefixed("_orig_mod.")}, None), "sharded": ({"change": prefixed("_fsdp_wrapped_module.")}, None),
            "half-compiled": ({"change": half_compiled}, "'_orig_mod.', which torch.compile puts in"),
            "newer": ({"new_switch": False, "new_list": [], "new_text": "", "new_place": None}, None), "newest": ({"new_switch": 1}, "not known"),
            "orthogonal": ({"init_lora_weights": "orthogonal"}, None), "mica": ({"init_lora_weights": "MiCA"}, None),
            "zero3": ({"change": empty}, "it is empty (shape [0])"), "overflow": ({"change": infinite}, "not finite (inf at [0, 0])"),
            "lone": ({"change": lone}, "its lora_B is missing"), "classifier": ({"more": {"score.weight": norm}}, "the head of a classifier"),
            "head": ({"more": {"lm_head.lora_A.weight": ("F32", [16, 128], b"\1" * 8192),
                               "lm_head.lora_B.weight": ("F32", [1600, 16], b"\1" * 102400)}}, "a LoRA of the output layer"),
            "copies": ({"more": {"model.embed_tokens.weight": embedding, "lm_head.base_layer.weight": embedding,
                                 "model.layers.1.post_attention_layernorm.weight": norm}}, None),
            "saved-copies": ({"modules_to_save": ["embed_tokens", "lm_head"], "more": {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding}}, None),
            "saved-head": ({"modules_to_save": ["lm_head"], "more": {"lm_head.weight": other}}, "it replaces the output layer of the base, which is not computed (it differs"),
            "new-embedding": ({"more": {"model.embed_tokens.weight": other}}, "new token embeddings are not computed (it differs"),
            "new-norm": ({"more": {"model.norm.weight": norm}}, "a retrained norm"),
        }
        refused = {}
        for name, (changes, reason) in kinds.items():
            changes = dict(changes)
            more = changes.pop("more", {})
            folder = self.copy("home", name, **changes)
            file = folder / "adapter_model.safetensors"
            write_tensors(file, {**read_tensors(file), **{"base_model.model." + key: t for key, t in more.items()}})
            if reason:
                refused[name] = reason
            about = json.loads(rocket("inspect", folder, "--base", LAB / "base", "--format", "json").stdout)
            self.assertEqual(about["usable"], reason is None, about)
            self.assertIn(reason or "", about["reason"] or "", name)
            alone = json.loads(rocket("inspect", folder, "--format", "json").stdout)
            self.assertEqual(alone["usable"], None if name in ("copies", "saved-copies", "saved-head", "new-embedding", "new-norm") else reason is None, alone)
            text = rocket("inspect", folder, "--base", LAB / "base").stdout
            self.assertRegex(text, r"usable +" + ("no" if reason else "yes"))
            self.assertIn(about["reason"] or "", text)
        done = rocket("score", self.config, check=False)
        self.assertEqual(done.returncode, DATA)
        self.assertIn(f"bank.exclude: [{', '.join(sorted(refused))}]", done.stderr)
        for name, reason in refused.items():
            self.assertRegex(done.stderr, rf"adapter '{name}': .*" + re.escape(reason))
        edit_config(self.config, "bank.exclude", sorted(refused))
        said = rocket("check", self.config, "--job", "score")
        self.assertIn("compiled ('_orig_mod.'), sharded ('_fsdp_wrapped_module.')", said.stdout + said.stderr)

    def test_inspect_alone_knows_what_no_base_can_have(self):
        def narrow(name, tensor):
            dtype, shape, data = tensor
            rows, columns = shape
            if "layers.1.self_attn.q_proj.lora_A" in name:
                tensor = dtype, [rows, columns // 2], data[: len(data) // 2]
            return name, tensor
        unknown = lambda name, tensor: (name.replace("layers.0.self_attn.q_proj", "layers.0.self_attn.query"), tensor)
        for name, change, alone, with_base in (("narrow", narrow, "no base has layers of one kind with two shapes", "expected ["),
                                               ("unknown", unknown, "no base that is read here has a linear layer 'model.layers.0.self_attn.query'",
                                                "the base has no linear layer 'model.layers.0.self_attn.query'")):
            folder = self.copy("home", name, change)
            for more, reason in (((), alone), (("--base", LAB / "base"), with_base)):
                about = json.loads(rocket("inspect", folder, *more, "--format", "json").stdout)
                self.assertEqual(about["usable"], False, about)
                self.assertIn(reason, about["reason"])

    def test_checkpoints_of_two_trainings_are_two_adapters(self):
        for training, name in (("sql", "home"), ("chat", "price")):
            shutil.copytree(LAB / "bank" / name, self.folder / training / "checkpoint-500")
        edit_config(self.config, "bank.adapters", [str(self.folder / t / "checkpoint-500") for t in ("sql", "chat")])
        edit_config(self.config, "experts", {"candidates": 2, "count": 2})
        rocket("score", self.config)
        rocket("experts", self.config)
        choice = json.loads((self.folder / "run/experts.json").read_text())
        self.assertEqual(set(choice["experts"]), {"chat--checkpoint-500", "sql--checkpoint-500"})


def zero_b(name, tensor):
    dtype, shape, data = tensor
    return name, (dtype, shape, bytes(len(data)) if "lora_B" in name else data)


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
