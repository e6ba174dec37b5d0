"""The peers of tests/bench/train: plain PyTorch loops over transformers. train_peer.py WORLD.json

peft       one LoRA, by PEFT
published  the mixture as its authors' code has it: each adapted layer loops over the experts, gathers the tokens of each and adds
           what comes out by index
Batches are padded to their longest record, logits computed whole, the optimizer torch.optim.AdamW."""

import gc
import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class LoopOverExperts(nn.Module):
    def __init__(self, base, experts, router, dropout):
        super().__init__()
        self.base, self.dropout = base, nn.Dropout(dropout)
        self.a = nn.ParameterList([nn.Parameter(a.float()) for a, _, _ in experts])
        self.b = nn.ParameterList([nn.Parameter(b.float()) for _, b, _ in experts])
        self.scales = [scale for _, _, scale in experts]
        self.router = nn.Parameter(router)

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        p = F.softmax(F.linear(rows.float(), self.router), dim=-1)
        weights, chosen = torch.topk(p, 2, dim=-1)
        weights = weights / weights.sum(-1, keepdim=True)
        y = self.base(rows)
        for i, (a, b) in enumerate(zip(self.a, self.b)):
            row, place = torch.where(chosen == i)
            if row.numel() == 0:
                continue
            seen = self.dropout(rows[row]).to(a.dtype)
            delta = F.linear(F.linear(seen, a), b) * (self.scales[i] * weights[row, place].unsqueeze(1))
            y = y.index_add(0, row, delta.to(y.dtype))
        return y.reshape(*x.shape[:-1], -1)


def read_adapter(folder):
    config = json.loads(Path(folder, "adapter_config.json").read_text())
    tensors = load_file(f"{folder}/adapter_model.safetensors")
    prefix, suffix = "base_model.model.", ".lora_A.weight"
    modules = [key[len(prefix) : -len(suffix)] for key in tensors if key.endswith(suffix)]
    return {m: (tensors[f"{prefix}{m}.lora_A.weight"], tensors[f"{prefix}{m}.lora_B.weight"], config["lora_alpha"] / config["r"])
            for m in modules}


class Peer:
    def __init__(self, world):
        self.world = world
        self.examples = [(e["ids"], e["target_begin"]) for e in world["examples"]]

    def wait(self, _):
        return {}

    def load(self, command):
        self.command = command
        return {}

    def model(self, kind, dropout):
        base = AutoModelForCausalLM.from_pretrained(self.world["base"], dtype=getattr(torch, self.world["dtype"]))
        base.requires_grad_(False)
        if kind == "peft":
            model = PeftModel.from_pretrained(base, self.world["adapters"][0], is_trainable=True)
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = dropout
                if hasattr(module, "lora_dropout"):
                    module.lora_dropout["default"] = nn.Dropout(dropout)
            return model.train()
        adapters = [read_adapter(folder) for folder in self.world["adapters"]]
        for name, values in self.command["routers"].items():
            parent, leaf = name.rsplit(".", 1)
            linear = base.get_submodule(name)
            router = torch.tensor(values).view(-1, linear.in_features)
            layer = LoopOverExperts(linear, [a[name] for a in adapters], router, dropout)
            setattr(base.get_submodule(parent), leaf, layer)
        return base.train()

    def batch(self, chosen):
        longest = max(len(self.examples[i][0]) for i in chosen)
        ids, mask = torch.zeros(2, len(chosen), longest, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for row, i in enumerate(chosen):
            tokens, begin = self.examples[i]
            ids[row, : len(tokens)], mask[row, : len(tokens)] = torch.tensor(tokens), 1
            labels[row, begin : len(tokens)] = torch.tensor(tokens[begin:])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    def targets(self, chosen):
        return sum(len(self.examples[i][0]) - self.examples[i][1] for i in chosen)

    def train(self, command):
        gc.collect()  # what an earlier model left would count in this one's memory
        torch.manual_seed(0)
        model = self.model(command["kind"], command["dropout"])
        routers = [p for n, p in model.named_parameters() if p.requires_grad and n.endswith("router")]
        factors = [p for n, p in model.named_parameters() if p.requires_grad and not n.endswith("router")]
        groups = [{"params": factors, "weight_decay": 1e-4}, {"params": routers, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=1e-3, fused=True)
        answer, cpu = {"loss": [], "seconds": []}, time.process_time()
        for chosen in self.command["batches"]:
            start, loss = time.perf_counter(), 0.0
            for begin in range(0, len(chosen), command["micro_batch"]):
                part = chosen[begin : begin + command["micro_batch"]]
                share = self.targets(part) / self.targets(chosen)
                part_loss = model(**self.batch(part), use_cache=False).loss * share
                part_loss.backward()
                loss += part_loss.item()
            nn.utils.clip_grad_norm_(factors + routers, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            answer["seconds"].append(time.perf_counter() - start)
            answer["loss"].append(loss)
        return {**answer, "cpu": time.process_time() - cpu}


def serve(peer):
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(getattr(peer, command["do"])(command)), flush=True)


if __name__ == "__main__":
    serve(Peer(json.loads(Path(sys.argv[1]).read_text())))
