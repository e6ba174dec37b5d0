"""Bad input: the exit code's class, the file and the place in one message, nothing left behind."""
import json
import pathlib
import shutil
import struct
import tempfile
import unittest

from small_world import LAB, make_world, rocket, without_sandbox

USAGE, DATA, STORAGE, CONFIG = 64, 65, 74, 78


def edit_json(path, **changes):
    """Sets keys of a JSON file; the value `...` removes the key."""
    document = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    for key, value in changes.items():
        if value is ...:
            document.pop(key, None)
        else:
            document[key] = value
    pathlib.Path(path).write_text(json.dumps(document), encoding="utf-8")


def edit_config(path, key, value):
    document = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    section = document
    *parents, leaf = key.split(".")
    for parent in parents:
        section = section.setdefault(parent, {})
    if value is ...:
        section.pop(leaf, None)
    else:
        section[leaf] = value
    pathlib.Path(path).write_text(json.dumps(document, indent=1), encoding="utf-8")


def edit_line(path, number, change):
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
    lines[number - 1] = change(lines[number - 1])
    pathlib.Path(path).write_text("".join(lines), encoding="utf-8")


def edit_record(path, number, **changes):
    def change(line):
        record = json.loads(line)
        for key, value in changes.items():
            if value is ...:
                record.pop(key, None)
            else:
                record[key] = value
        return json.dumps(record) + "\n"
    edit_line(path, number, change)


def edit_safetensors_header(path, change):
    raw = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + length])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length:])


class World:
    """A fresh copy of a small world whose base, one adapter and encoder may be broken."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.config = make_world(folder, adapters=("home", "sells", "color", "tool"), shots=4, records=40, items=3)
        for name, source in (("base", LAB / "base"), ("encoder", LAB / "encoder"), ("bank/home", LAB / "bank/home")):
            shutil.copytree(source, self.folder / name)
        edit_config(self.config, "base.path", str(self.folder / "base"))
        edit_config(self.config, "encoder.path", str(self.folder / "encoder"))
        edit_config(self.config, "bank.adapters", [str(self.folder / "bank/home")] +
                    [str(LAB / "bank" / n) for n in ("sells", "color", "tool")])
        self.run = self.folder / "run"
        self.base, self.encoder, self.home = self.folder / "base", self.folder / "encoder", self.folder / "bank/home"
        self.shots, self.items, self.corpus = self.folder / "shots.jsonl", self.folder / "items.jsonl", self.folder / "corpus.jsonl"


def first_tensor(suffix):
    def change_of(edit):
        def change(header):
            name = next(n for n in header if n.endswith(suffix))
            edit(header, name)
        return change
    return change_of


def lose_first(suffix):
    return first_tensor(suffix)(lambda header, name: header.__setitem__(name.replace("layers.0", "layers.99"), header.pop(name)))


def reshape(header, name):
    header[name]["shape"] = list(reversed(header[name]["shape"]))


def rename(old, new):
    def change(header):
        header[new] = header.pop(old)
    return change


def write(path, text):
    pathlib.Path(path).write_text(text, encoding="utf-8")


def truncate(path, length):
    raw = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(raw[:length])


# name, job, what breaks the world, exit code, what the message must say
CASES = [
    # the configuration
    ("unknown key", "check", lambda w: edit_config(w.config, "scoring.max_new_token", 3), CONFIG, ["config.yaml:", "max_new_token", "max_new_tokens"]),
    ("unknown section", "check", lambda w: edit_config(w.config, "scorings.x", 3), CONFIG, ["scorings", "scoring"]),
    ("wrong type", "check", lambda w: edit_config(w.config, "task.k", "many"), CONFIG, ["task.k", "config.yaml:"]),
    ("k is zero", "check", lambda w: edit_config(w.config, "task.k", 0), CONFIG, ["task.k"]),
    ("fractional count", "check", lambda w: edit_config(w.config, "experts.count", 1.5), CONFIG, ["experts.count"]),
    ("tau too large", "check", lambda w: edit_config(w.config, "selection.threshold", 1.5), CONFIG, ["selection.threshold"]),
    ("tau at -1", "check", lambda w: edit_config(w.config, "selection.threshold", -1), CONFIG, ["selection.threshold"]),
    ("unknown policy", "check", lambda w: edit_config(w.config, "selection.policy", "greedi"), CONFIG, ["selection.policy", "greedy"]),
    ("unknown answer", "check", lambda w: edit_config(w.config, "task.answer", "letter"), CONFIG, ["task.answer", "choice"]),
    ("unknown signal", "check", lambda w: edit_config(w.config, "experts.signals", ["perplexity", "luck"]), CONFIG, ["experts.signals", "luck"]),
    ("unknown rival", "check", lambda w: edit_config(w.config, "evaluation.rivals", ["bas"]), CONFIG, ["evaluation.rivals", "base"]),
    ("N above M", "check", lambda w: edit_config(w.config, "experts.count", 5), CONFIG, ["experts.count"]),
    ("N is zero", "check", lambda w: edit_config(w.config, "experts.count", 0), CONFIG, ["experts.count"]),
    ("negative rate", "check", lambda w: edit_config(w.config, "training.learning_rate", -1.0), CONFIG, ["training.learning_rate"]),
    ("dropout of one", "check", lambda w: edit_config(w.config, "training.lora_dropout", 1.0), CONFIG, ["training.lora_dropout"]),
    ("bad size", "check", lambda w: edit_config(w.config, "bank.memory", "4 elephants"), CONFIG, ["bank.memory"]),
    ("bad device", "check", lambda w: edit_config(w.config, "device", "gpu"), CONFIG, ["device", "cuda"]),
    ("no run", "score", lambda w: edit_config(w.config, "run", ...), CONFIG, ["run"]),
    ("no base path", "score", lambda w: edit_config(w.config, "base.path", ...), CONFIG, ["base.path"]),
    ("base is missing", "score", lambda w: edit_config(w.config, "base.path", "/nowhere/base"), CONFIG, ["base.path", "/nowhere/base"]),
    ("shots are missing", "score", lambda w: edit_config(w.config, "task.shots", "nowhere.jsonl"), CONFIG, ["task.shots", "nowhere.jsonl"]),
    ("glob without a match", "embed", lambda w: edit_config(w.config, "corpus.records", [str(w.folder / "no*.jsonl")]), CONFIG, ["no*.jsonl"]),
    ("unset variable", "check", lambda w: edit_config(w.config, "base.path", "${ROCKET_NOT_SET}/x"), CONFIG, ["ROCKET_NOT_SET"]),
    ("unknown template", "check", lambda w: edit_config(w.config, "prompt.template", "alpacca"), CONFIG, ["prompt.template", "alpaca"]),
    ("template without instruction", "check", lambda w: edit_config(w.config, "prompt.template", {"with_input": "{input}", "without_input": "{instruction}"}), CONFIG, ["with_input", "{instruction}"]),
    ("regex without a group", "check", lambda w: (edit_config(w.config, "task.answer", "regex"), edit_config(w.config, "task.pattern", "[A-D]")), CONFIG, ["pattern", "group"]),
    ("regex that does not compile", "check", lambda w: (edit_config(w.config, "task.answer", "regex"), edit_config(w.config, "task.pattern", "([A-D")), CONFIG, ["pattern"]),
    ("no YAML", "check", lambda w: write(w.config, "run: [a\n"), CONFIG, ["config.yaml"]),
    ("a list", "check", lambda w: write(w.config, "- a\n- b\n"), CONFIG, ["config.yaml"]),
    ("empty", "check", lambda w: write(w.config, ""), CONFIG, ["config.yaml"]),
    ("excluded name that is not there", "score", lambda w: edit_config(w.config, "bank.exclude", ["hom"]), CONFIG, ["hom"]),
    ("pooling unknown", "embed", lambda w: shutil.rmtree(w.encoder / "1_Pooling"), CONFIG, ["say cls, lasttoken, mean"]),
    # the model
    ("other family", "score", lambda w: edit_json(w.base / "config.json", model_type="gpt2", architectures=["GPT2LMHeadModel"]), DATA, ["config.json", "gpt2", "llama"]),
    ("a base that is a mixture itself", "score", lambda w: edit_json(w.base / "config.json", model_type="mixtral", architectures=["MixtralForCausalLM"]), DATA, ["config.json", "mixtral", "mixtures of experts themselves"]),
    ("a base that is a mixture itself, looked at first", "check", lambda w: edit_json(w.base / "config.json", model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"]), DATA, ["config.json", "qwen3_moe", "mixtures of experts themselves"]),
    ("heads do not divide", "score", lambda w: edit_json(w.base / "config.json", num_key_value_heads=3), DATA, ["config.json", "num_key_value_heads"]),
    ("hidden size is text", "score", lambda w: edit_json(w.base / "config.json", hidden_size="128"), DATA, ["config.json", "hidden_size"]),
    ("no hidden size", "score", lambda w: edit_json(w.base / "config.json", hidden_size=1 << 60), DATA, ["config.json", "hidden_size"]),
    ("rope unknown", "score", lambda w: edit_json(w.base / "config.json", rope_parameters={"rope_type": "spiral", "rope_theta": 1e4}), DATA, ["config.json", "spiral"]),
    ("quantised", "score", lambda w: edit_json(w.base / "config.json", quantization_config={"bits": 4}), DATA, ["quantization_config"]),
    ("attention bias", "score", lambda w: edit_json(w.base / "config.json", attention_bias=True), DATA, ["q_proj.bias"]),
    ("config is no JSON", "score", lambda w: write(w.base / "config.json", "{"), DATA, ["config.json"]),
    ("no weights", "score", lambda w: (w.base / "model.safetensors").unlink(), DATA, ["base", "safetensors"]),
    ("weights cut short", "score", lambda w: truncate(w.base / "model.safetensors", 100_000), DATA, ["model.safetensors"]),
    ("weights cut in the header", "score", lambda w: truncate(w.base / "model.safetensors", 40), DATA, ["model.safetensors"]),
    ("a tensor is missing", "score", lambda w: edit_safetensors_header(w.base / "model.safetensors", rename("model.norm.weight", "model.norm.weigh")), DATA, ["model.norm.weight"]),
    ("a tensor is misshapen", "score", lambda w: edit_safetensors_header(w.base / "model.safetensors", lambda h: reshape(h, "model.layers.1.mlp.down_proj.weight")), DATA, ["model.layers.1.mlp.down_proj.weight", "[128, 256]"]),
    ("tokenizer with an unknown part", "score", lambda w: edit_json(w.base / "tokenizer.json", normalizer={"type": "Sparkle"}), DATA, ["tokenizer.json", "Sparkle"]),
    ("tokenizer is no JSON", "score", lambda w: write(w.base / "tokenizer.json", "[]"), DATA, ["tokenizer.json"]),
    ("no end of sequence", "score", lambda w: (edit_json(w.base / "tokenizer_config.json", eos_token=...), edit_json(w.base / "config.json", eos_token_id=None)), DATA, ["eos_token"]),
    ("encoder of another family", "embed", lambda w: edit_json(w.encoder / "config.json", model_type="t5", architectures=["T5EncoderModel"]), DATA, ["t5", "bert"]),
    ("other pooling", "embed", lambda w: edit_json(w.encoder / "1_Pooling/config.json", pooling_mode_max_tokens=True), DATA, ["1_Pooling"]),
    # adapters
    ("no LoRA", "score", lambda w: edit_json(w.home / "adapter_config.json", peft_type="IA3"), DATA, ["home", "adapter_config.json", "IA3"]),
    ("DoRA", "score", lambda w: edit_json(w.home / "adapter_config.json", use_dora=True), DATA, ["home", "use_dora"]),
    ("unknown key of PEFT", "score", lambda w: edit_json(w.home / "adapter_config.json", use_magic=3), DATA, ["home", "use_magic"]),
    ("bias of a kind that PEFT does not know", "score", lambda w: edit_json(w.home / "adapter_config.json", bias="some"), DATA, ["home", "bias"]),
    ("base changed by initialisation", "score", lambda w: edit_json(w.home / "adapter_config.json", init_lora_weights="pissa"), DATA, ["home", "init_lora_weights", "pissa"]),
    ("rank disagrees", "score", lambda w: edit_json(w.home / "adapter_config.json", r=8), DATA, ["home", "lora_A", "[8, 128]", "[16, 128]"]),
    ("rank is zero", "score", lambda w: edit_json(w.home / "adapter_config.json", r=0), DATA, ["home", "adapter_config.json", "r"]),
    ("a lone A", "score", lambda w: edit_safetensors_header(w.home / "adapter_model.safetensors", lose_first("lora_B.weight")), DATA, ["home", "lora_"]),
    ("no tensors", "score", lambda w: (w.home / "adapter_model.safetensors").unlink(), DATA, ["home", "adapter_model.safetensors"]),
    ("tensors cut short", "score", lambda w: truncate(w.home / "adapter_model.safetensors", 5000), DATA, ["home", "adapter_model.safetensors"]),
    ("a folder that is no adapter", "score", lambda w: (w.home / "adapter_config.json").unlink(), DATA, ["home", "adapter_config.json"]),
    ("one adapter twice", "score", lambda w: edit_config(w.config, "bank.adapters", [str(w.home), str(w.home) + "/"]), DATA, ["home", "twice"]),
    # records
    ("shot without answer", "score", lambda w: edit_record(w.shots, 2, answer=...), DATA, ["shots.jsonl:2", "answer"]),
    ("answer that cannot be read", "score", lambda w: edit_record(w.shots, 3, answer="none of these"), DATA, ["shots.jsonl:3"]),
    ("shot that is no JSON", "score", lambda w: edit_line(w.shots, 2, lambda line: "{not json}\n"), DATA, ["shots.jsonl:2"]),
    ("shot without instruction", "score", lambda w: edit_record(w.shots, 1, instruction=...), DATA, ["shots.jsonl:1", "instruction"]),
    ("instruction is a boolean", "score", lambda w: edit_record(w.shots, 1, instruction=True), DATA, ["shots.jsonl:1", "instruction"]),
    ("instruction is no number", "score", lambda w: edit_record(w.shots, 1, instruction=float("nan")), DATA, ["shots.jsonl:1", "instruction", "NaN is no value"]),
    ("fewer shots than k", "score", lambda w: edit_config(w.config, "task.k", 9), DATA, ["shots.jsonl", "9", "4"]),
    ("shot longer than the model", "score", lambda w: edit_record(w.shots, 4, rationale="cup " * 400 + "Answer: A"), DATA, ["shots.jsonl:4", "256"]),
    ("empty shots file", "score", lambda w: write(w.shots, ""), DATA, ["shots.jsonl"]),
    ("corpus line is a list", "embed", lambda w: edit_line(w.corpus, 7, lambda line: "[1]\n"), DATA, ["corpus.jsonl:7"]),
    ("corpus record without output", "embed", lambda w: edit_record(w.corpus, 5, output=...), DATA, ["corpus.jsonl:5", "output"]),
    ("corpus is not UTF-8", "embed", lambda w: w.corpus.write_bytes(w.corpus.read_bytes() + b'{"instruction": "\xff", "output": "x"}\n'), DATA, ["corpus.jsonl:41"]),
    ("corpus is damaged gzip", "embed", lambda w: (w.folder.joinpath("c.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00junk"), edit_config(w.config, "corpus.records", [str(w.folder / "c.jsonl.gz")])), DATA, ["c.jsonl.gz"]),
    ("corpus is empty", "check", lambda w: write(w.corpus, ""), DATA, ["corpus"]),
    ("code task without tests", "score", lambda w: edit_config(w.config, "task.answer", "code"), DATA, ["shots.jsonl:1", "tests"]),
    # the run directory
    ("experts before score", "experts", lambda w: None, DATA, ["score", "rocket score"]),
    ("select before embed", "select", lambda w: None, DATA, ["embed", "rocket embed"]),
    ("finetune before all", "finetune", lambda w: None, DATA, ["rocket"]),
    ("evaluate before finetune", "evaluate", lambda w: None, DATA, ["rocket"]),
    ("export before finetune", "export", lambda w: None, DATA, ["rocket"]),
    ("run directory is a file", "score", lambda w: write(w.run, "x"), STORAGE, ["run"]),
]

# Wrong settings that only the job itself can see: what failed is then written down in the manifest.
FOUND_BY_THE_JOB = {"pooling unknown"}


class BadInput(unittest.TestCase):
    def judge(self, done, code, parts, name):
        self.assertEqual(done.returncode, code, f"{name}: {done.stderr}")
        for part in parts:
            self.assertIn(part, done.stderr, name)
        for word in ("terminate called", "std::exception", "Traceback", "frame #", "Exception raised from"):
            self.assertNotIn(word, done.stderr, name)
        self.assertEqual(done.stdout, "", name)

    def test_every_case(self):
        self.assertGreaterEqual(len(CASES), 60)
        for name, job, break_it, code, parts in CASES:
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                if name.startswith("code task") and (reason := without_sandbox()):
                    self.skipTest(reason)
                world = World(folder)
                break_it(world)
                done = rocket(job, world.config, check=False)
                self.judge(done, code, parts, name)
                if world.run.is_dir():
                    self.assertEqual([p.name for p in world.run.iterdir() if p.suffix == ".h5"], [], name)
                    self.assertEqual([p.name for p in world.run.rglob("*tmp*")], [], name)
                    self.assertTrue(code != CONFIG or name in FOUND_BY_THE_JOB, f"{name}: a run directory was made")

    def test_all_problems_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            edit_config(world.config, "task.k", -1)
            edit_config(world.config, "selection.policy", "best")
            edit_config(world.config, "trainings", {})
            done = rocket("check", world.config, check=False)
            self.judge(done, CONFIG, ["task.k", "selection.policy", "trainings"], "three at once")

    def test_the_command_line(self):
        with tempfile.TemporaryDirectory() as folder:
            config = World(folder).config
            for arguments, code in ((["scoer", config], USAGE), (["score"], USAGE), (["score", config, "--fast"], USAGE), ([], USAGE),
                                    (["score", config, "--set", "task.k"], CONFIG), (["score", config, "--set", "task.kk=3"], CONFIG),
                                    (["score", folder + "/nothing.yaml"], CONFIG), (["inspect", folder + "/nothing"], CONFIG),
                                    (["export", config, "--as", "onnx"], USAGE), (["inspect", LAB / "bank/home", "scores"], USAGE)):
                done = rocket(*arguments, check=False)
                self.assertEqual(done.returncode, code, f"{arguments}: {done.stderr}")
                self.assertNotEqual(done.stderr, "", arguments)

    def test_what_has_changed_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            rocket("score", world.config)
            self.judge(rocket("score", world.config, "--set", "scoring.max_new_tokens=7", check=False), CONFIG,
                       ["scoring.max_new_tokens", "40", "7", "--fresh"], "changed setting")
            self.judge(rocket("experts", world.config, "--set", "scoring.max_new_tokens=7", check=False), CONFIG,
                       ["scoring.max_new_tokens", "rocket score"], "changed setting of an input job")
            edit_record(world.shots, 1, instruction="Another question.")
            self.judge(rocket("score", world.config, check=False), DATA, ["task.shots", "--fresh"], "changed shots")

    def test_errors_under_mpirun_come_out_once_with_their_code(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            edit_record(world.shots, 2, answer=...)
            done = rocket("score", world.config, ranks=2, check=False)
            self.assertEqual(done.returncode, DATA, done.stderr)
            self.assertEqual(done.stderr.count("shots.jsonl:2"), 1, done.stderr)


if __name__ == "__main__":
    unittest.main()
