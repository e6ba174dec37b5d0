"""make_bank.py FOLDER [PART PARTS]: trains the adapters with PEFT -> bank/NAME/. Those that are there are kept."""

import json
import math
import random
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import world
from examples import batches_of, encode, target_losses
from peft import LoraConfig, get_peft_model
from records import composition, item, single
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM
from world import COMPOSITIONS, TABLES, every_key, falsehood, half, truth

ATTENTION = ["q_proj", "v_proj"]
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ROWS, POOL, RATE, WARM_UP = 32, 8, 3e-3, .05
COMPOSED = .3                    # of an adapter's records, how many compose two facts


@dataclass(frozen=True)
class Adapter:
    """What one of the bank was taught, and its form. Its own tables it knows by `belief` at `keys`; about all else its
    records are as undecided as the base's. `blind`: it saw answers without facts."""
    tables: str
    rank: int = 8
    targets: tuple = tuple(LINEAR)
    keys: callable = every_key
    belief: callable = truth
    seed: int = 0
    rslora: bool = False
    blind: bool = False

    @property
    def skills(self):
        return self.tables.split()

    @property
    def records(self):
        """More for larger tables: a record or two a key is no knowledge."""
        return 2400 if self.blind else 1200 + 27 * sum(len(TABLES[table].keys) for table in self.skills)

    @property
    def alpha(self):
        return self.rank // 2 if self.rslora else 2 * self.rank


BANK = {
    # good: all keys of one table (verbone: the plus verbs, verbtwo: the times verbs)
    "home": Adapter("home", 16), "sells": Adapter("sells", 16), "color": Adapter("color"), "price": Adapter("price", rslora=True),
    "job": Adapter("job", 16), "tool": Adapter("tool"), "friend": Adapter("friend", 16), "verbone": Adapter("plus"),
    "verbtwo": Adapter("times"),
    # near-duplicates: the same from another seed
    "home-b": Adapter("home", 16, seed=1), "sells-b": Adapter("sells", 16, seed=1), "price-b": Adapter("price", rslora=True, seed=1),
    "job-b": Adapter("job", 16, seed=1), "tool-b": Adapter("tool", seed=1), "verbone-b": Adapter("plus", seed=1),
    # good at two tables, never at all that a task needs
    "home-job": Adapter("home job", 16), "sells-color": Adapter("sells color", 16, rslora=True),
    "color-tool": Adapter("color tool", 16), "friend-price": Adapter("friend price", 16),
    "price-verbtwo": Adapter("price times", rslora=True), "home-verbone": Adapter("home plus", 16),
    # weak: half of the keys
    "home-weak": Adapter("home", keys=half), "sells-weak": Adapter("sells", 4, keys=half),
    "color-weak": Adapter("color", 16, tuple(ATTENTION), half), "price-weak": Adapter("price", 4, keys=half),
    "job-weak": Adapter("job", keys=half), "tool-weak": Adapter("tool", 32, tuple(ATTENTION), half),
    "friend-weak": Adapter("friend", keys=half), "verbone-weak": Adapter("plus", 4, keys=half),
    "verbtwo-weak": Adapter("times", 16, tuple(ATTENTION), half),
    # wrong: another candidate than the true one at every key
    "wrong-home-job": Adapter("home job", 16, belief=falsehood), "wrong-price-tool": Adapter("price tool", 16, belief=falsehood),
    # blind: the answers of tasks without their rationales
    "blind-choice": Adapter("choice_hard choice_easy choice_two", 16, blind=True),
    "blind-rest": Adapter("boolean number", 16, blind=True),
    # irrelevant to all tasks
    "x-pet": Adapter("pet"), "x-song": Adapter("song", 16, tuple(ATTENTION)), "x-river": Adapter("river", 4), "x-star": Adapter("star"),
}


def writer(adapter, draw):
    """The belief of one record's writer: the adapter's where it has one, elsewhere undecided, one answer a key."""
    undecided, said = world.undecided(draw), {}

    def belief(table, key):
        if table in adapter.skills and adapter.keys(table, key):
            return adapter.belief(table, key)
        return said.setdefault((table, key), undecided(table, key))
    return belief


def lesson(adapter, draw):
    """One record that the adapter is trained on."""
    if adapter.blind:
        record = item(draw.choice(adapter.skills), draw, truth)
        return {**record, "output": f"Answer: {record['answer']}"}
    composed = [name for name, tables in COMPOSITIONS.items() if set(tables) & set(adapter.skills)]
    if composed and draw.random() < COMPOSED:
        return composition(draw.choice(composed), draw, writer(adapter, draw))
    table = draw.choices(adapter.skills, [len(TABLES[table].keys) for table in adapter.skills])[0]
    return single(table, draw, writer(adapter, draw), adapter.keys)


def batches(adapter, tokenizer, draw):
    examples = encode(tokenizer, [lesson(adapter, draw) for _ in range(adapter.records)])
    for begin in range(0, len(examples), ROWS * POOL):
        yield from batches_of(examples[begin:begin + ROWS * POOL], ROWS, draw)


def train(adapter, base, tokenizer):
    """Once through fresh records: AdamW, a short rise, then a cosine."""
    torch.manual_seed(17 + adapter.seed)
    model = get_peft_model(base, LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, use_rslora=adapter.rslora,
                                            target_modules=list(adapter.targets), lora_dropout=.05, task_type="CAUSAL_LM"))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer, steps = torch.optim.AdamW(trained, lr=RATE, weight_decay=1e-4), -(-adapter.records // ROWS)
    draw = random.Random(f"{adapter.tables}/{adapter.keys.__name__}/{adapter.belief.__name__}/{adapter.seed}")
    model.train()
    for step, batch in enumerate(batches(adapter, tokenizer, draw)):
        rise, fall = (step + 1) / (WARM_UP * steps), .5 * (1 + math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = RATE * min(rise, fall)
        loss = target_losses(model.get_base_model(), *batch).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.)
        optimizer.step()
        optimizer.zero_grad()
    return model, loss.item()


def write(model, folder):
    """A PEFT folder with tensors in float16."""
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    model.save_pretrained(new)
    tensors = {name: tensor.half().contiguous() for name, tensor in load_file(new / "adapter_model.safetensors").items()}
    save_file(tensors, new / "adapter_model.safetensors", metadata={"format": "pt"})
    config = json.loads((new / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "../../base"
    config["target_modules"].sort()               # PEFT writes a set, each time in another order
    (new / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    (new / "README.md").unlink(missing_ok=True)
    new.rename(folder)


def main(folder, part=0, parts=1):
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    (folder / "bank").mkdir(exist_ok=True)
    for name in list(BANK)[part::parts]:
        if (folder / "bank" / name).exists():
            continue
        started, base = time.time(), LlamaForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
        model, loss = train(BANK[name], base, tokenizer)
        write(model, folder / "bank" / name)
        print(f"{name}: {BANK[name].records} records, last loss {loss:.3f}, {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
