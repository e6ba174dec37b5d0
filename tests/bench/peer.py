"""The peer of tests/bench/score_bank: transformers + PEFT, one adapter after another. peer.py WORLD.json

All adapters stay loaded, shots are sorted by length and padded, nothing is computed twice. Commands as in score_bank.cpp."""

import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def padded(sequences, left):
    longest = max(map(len, sequences))
    ids, mask = torch.zeros(2, len(sequences), longest, dtype=torch.long)
    for row, tokens in enumerate(sequences):
        place = slice(longest - len(tokens), None) if left else slice(len(tokens))
        ids[row, place], mask[row, place] = torch.tensor(tokens), 1
    return ids, mask


class Peer:
    def __init__(self, world):
        self.world = world
        self.dtype = getattr(torch, world["dtype"])
        self.shots = [(s["ids"], s["target_begin"], s["ids"][: s["prompt_tokens"]]) for s in world["shots"]]

    def load(self, _):
        self.names = sorted(path.name for path in Path(self.world["bank"]).iterdir())
        self.model = AutoModelForCausalLM.from_pretrained(self.world["base"], dtype=self.dtype)
        base_bytes = sum(p.nbytes for p in self.model.parameters())
        for i, name in enumerate(self.names):
            options = {"adapter_name": name, "autocast_adapter_dtype": False}
            folder = f"{self.world['bank']}/{name}"
            if i == 0:
                self.model = PeftModel.from_pretrained(self.model, folder, **options)
            else:
                self.model.load_adapter(folder, **options)
        self.model = self.model.to(self.dtype).eval()
        adapter_bytes = sum(p.nbytes for p in self.model.parameters()) - base_bytes
        return {"base_bytes": base_bytes, "adapter_bytes": adapter_bytes}

    def rows(self, count):
        """The caller's body with each row's model: the base alone, then the bank."""
        with self.model.disable_adapter():
            yield
        for name in self.names[: count - 1]:
            self.model.set_adapter(name)
            yield

    def batches(self, size, length):
        order = sorted(range(len(self.shots)), key=length)
        return [order[i : i + size] for i in range(0, len(order), size)]

    def batch_nll(self, batch):
        """[(shot, mean nll)]"""
        ids, mask = padded([self.shots[s][0] for s in batch], left=False)
        logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        counts = [len(self.shots[s][0]) - self.shots[s][1] for s in batch]
        rows = torch.tensor([row for row, n in enumerate(counts) for _ in range(n)])
        places = torch.tensor([i for s in batch for i in range(self.shots[s][1], len(self.shots[s][0]))])
        nll = F.cross_entropy(logits[rows, places - 1].float(), ids[rows, places], reduction="none").double()
        return [(s, part.mean().item()) for s, part in zip(batch, nll.split(counts))]

    def nll(self, command):
        result = []
        batches = self.batches(command["batch"], lambda s: len(self.shots[s][0]))
        for _ in self.rows(command["rows"]):
            values = dict(pair for batch in batches for pair in self.batch_nll(batch))
            result.append([values[s] for s in range(len(self.shots))])
        return {"nll": result}

    def batch_generate(self, batch):
        """[(shot, new ids)]"""
        ids, mask = padded([self.shots[s][2] for s in batch], left=True)
        stop = self.world["stop_ids"]
        out = self.model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=self.world["max_new_tokens"],
                                  do_sample=False, use_cache=True, pad_token_id=0, eos_token_id=stop)
        new = out[:, ids.shape[1] :].tolist()
        ends = [next((i for i, token in enumerate(row) if token in stop), len(row)) for row in new]
        return [(s, row[:end]) for s, row, end in zip(batch, new, ends)]

    def generate(self, command):
        result = []
        batches = self.batches(command["batch"], lambda s: len(self.shots[s][2]))
        for _ in self.rows(command["rows"]):
            values = dict(pair for batch in batches for pair in self.batch_generate(batch))
            result.append([values[s] for s in range(len(self.shots))])
        return {"generated": result}


@torch.inference_mode()
def serve(peer):
    for line in sys.stdin:
        command = json.loads(line)
        start, cpu_start = time.perf_counter(), time.process_time()
        answer = {} if command["do"] == "wait" else getattr(peer, command["do"])(command)
        print(json.dumps({**answer, "cpu": time.process_time() - cpu_start, "seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    serve(Peer(json.loads(Path(sys.argv[1]).read_text())))
