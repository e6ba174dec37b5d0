"""The method computed a second time, with transformers, PEFT, sentence-transformers and numpy. Nothing here looks
at rocket's code or reads what rocket wrote: files of the lab in, numbers out."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file
from scipy.stats import rankdata
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

ALPACA = ("Below is an instruction that describes a task, paired with an input that provides further context. Write a "
          "response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}"
          "\n\n### Response:\n")
ALPACA_WITHOUT = ("Below is an instruction that describes a task. Write a response that appropriately completes the "
                  "request.\n\n### Instruction:\n{instruction}\n\n### Response:\n")
PREFIX = "Represent the following sentence for similar task retrieval: "
CHOICE = (r"(?i:\banswer\b)[^A-Za-z0-9\n]*(?i:is\b|:)?[^A-Za-z0-9\n]*([A-J])(?![A-Za-z0-9'])",
          r"(?<![A-Za-z0-9])([A-J])(?![A-Za-z0-9'])")


def read_lines(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file if line.strip()]


def prompt(record):
    form = ALPACA if record.get("input") else ALPACA_WITHOUT
    return re.sub(r"\{(instruction|input)\}", lambda match: record[match.group(1)], form)


def choice(generation):
    marked = re.findall(CHOICE[0], generation)
    return marked[-1] if marked else (re.findall(CHOICE[1], generation) or [None])[0]


def encoder_text(record):
    return f"{PREFIX}instruction:{record['instruction']}\ninput:{record['input']}\noutput:{record['output']}"


def folded(record):
    return " ".join((record["instruction"] + "\n" + record["input"]).lower().split())


def class_of(config):
    return AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM


def load_base(path, dtype=torch.float32):
    return class_of(AutoConfig.from_pretrained(path)).from_pretrained(path, dtype=dtype).eval()


class Bank:
    """All adapters of a folder on one base; row 0 is the base alone."""

    def __init__(self, base, folder):
        self.names = sorted(path.name for path in Path(folder).iterdir() if path.is_dir())
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        self.model = None
        for name in self.names:
            if self.model is None:
                self.model = PeftModel.from_pretrained(load_base(base), f"{folder}/{name}", adapter_name=name)
            else:
                self.model.load_adapter(f"{folder}/{name}", adapter_name=name)
        self.model.eval()

    def rows(self):
        """Runs the caller's body once with each row's model."""
        with self.model.disable_adapter():
            yield "(base)", self.model
        for name in self.names:
            self.model.set_adapter(name)
            yield name, self.model


def examples(tokenizer, records, eos=2):
    """(ids, first target): prompt and target as one string; a token is a target iff it ends behind the prompt."""
    result = []
    for record in records:
        text = prompt(record)
        encoded = tokenizer(text + (record.get("rationale") or record["output"]), return_offsets_mapping=True)
        first = next(i for i, (_, end) in enumerate(encoded["offset_mapping"]) if end > len(text))
        result.append((encoded["input_ids"] + [eos], first))
    return result


@torch.no_grad()
def mean_nll(model, examples):
    """Of each example's target: log-probabilities in float32, as transformers' own loss takes them, their mean in float64.

    (With them in float64, one of the 39 x 50 means of the lab, 0.017 nats, lies 1.4e-5 away.)"""
    longest = max(len(ids) for ids, _ in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (tokens, _) in enumerate(examples):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    log_p = torch.log_softmax(model(input_ids=ids, attention_mask=mask).logits[:, :-1].float(), -1)
    nll = -log_p.gather(-1, ids[:, 1:, None])[..., 0].double()
    return [nll[row, first - 1 : len(tokens) - 1].mean().item() for row, (tokens, first) in enumerate(examples)]


@torch.no_grad()
def generations(model, tokenizer, records, max_new_tokens, eos=2):
    """Greedy, padded on the left."""
    prompts = [tokenizer(prompt(record))["input_ids"] for record in records]
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=max_new_tokens, do_sample=False,
                         pad_token_id=0, eos_token_id=eos)
    texts = []
    for row in out[:, longest:].tolist():
        new = row[: row.index(eos)] if eos in row else row
        texts.append(tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return texts


def deltas(folder):
    """{module: scale * B A} of a PEFT folder, float64, by PEFT's rules for patterns."""
    config = json.loads(Path(folder, "adapter_config.json").read_text())

    def patterned(patterns, module, otherwise):
        hits = [value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)]
        return hits[0] if hits else otherwise

    halves = {}
    for key, value in load_file(f"{folder}/adapter_model.safetensors").items():
        module, half = re.fullmatch(r"base_model\.model\.(.*)\.lora_([AB])\.weight", key).groups()
        halves.setdefault(module, {})[half] = value.double().numpy()
    result = {}
    for module, half in halves.items():
        r = patterned(config.get("rank_pattern") or {}, module, config["r"])
        alpha = patterned(config.get("alpha_pattern") or {}, module, config["lora_alpha"])
        scale = alpha / (np.sqrt(r) if config.get("use_rslora") else r)
        result[module] = scale * half["B"] @ half["A"]
    return result


def mean(adapters):
    """{module: mean of the adapters' dW}, absent ones counting as zero."""
    adapters = list(adapters)
    return {module: sum(adapter[module] for adapter in adapters if module in adapter) / len(adapters)
            for module in sorted(set().union(*adapters))}


def similarity_matrix(folders):
    """Mean over the union of the two adapters' weights of cos(dW, dW'); dW is formed."""
    bank = [deltas(folder) for folder in folders]
    total, count = np.zeros((len(bank), len(bank))), np.zeros((len(bank), len(bank)))
    for module in sorted(set().union(*bank)):
        has = np.array([module in adapter for adapter in bank])
        size = next(adapter[module].size for adapter in bank if module in adapter)
        flat = np.stack([adapter[module].ravel() if module in adapter else np.zeros(size) for adapter in bank])
        norm = np.linalg.norm(flat, axis=1, keepdims=True)
        unit = np.divide(flat, norm, out=np.zeros_like(flat), where=norm > 0)
        total += unit @ unit.T
        count += has[:, None] | has[None]
    matrix = total / count
    np.fill_diagonal(matrix, 1.0)
    return matrix


def algorithm_1(names, perplexity, accuracy, similarity, candidates=8, count=4):
    """The experts in order, by trying every tuple."""
    perplexity = np.array([float(f"{x:.11e}") for x in perplexity])
    sums = rankdata(perplexity) + rankdata(-np.asarray(accuracy))
    order = sorted(range(len(names)), key=lambda i: (sums[i], perplexity[i], names[i].encode()))
    tuples = list(itertools.combinations(order[:candidates], count))
    means = [round(float(np.mean([similarity[a, b] for a, b in itertools.combinations(t, 2)])), 9) for t in tuples]
    places = rankdata(means)
    objective = [sums[list(t)].sum() + place for t, place in zip(tuples, places)]
    best = min(range(len(tuples)), key=lambda i: (objective[i], perplexity[list(tuples[i])].sum(),
                                                  sorted(names[a].encode() for a in tuples[i])))
    return {"experts": [names[i] for i in order if i in tuples[best]],
            "candidates": [names[i] for i in order[:candidates]],
            "tuples": len(tuples), "mean_similarity": means[best], "objective": objective[best]}


def algorithm_2(embedding, shots, duplicates, retrieve=1000, threshold=0.9):
    """retrieved, kept, dropped_by by walking: cosines in float32, clamped to 1."""
    similarity = np.minimum(embedding @ shots.T, np.float32(1)).max(axis=1)
    order = [i for i in np.lexsort((np.arange(len(similarity)), -similarity)) if i not in duplicates][:retrieve]
    kept, dropped_by = [], []
    for record in order:
        near = [other for other in kept if min(embedding[record] @ embedding[other], 1) > threshold]
        dropped_by.append(near[0] if near else -1)
        if not near:
            kept.append(record)
    return order, [d == -1 for d in dropped_by], dropped_by


def add_to_base(base, change):
    """The base with change[module] added to its weights."""
    model = load_base(base)
    with torch.no_grad():
        for module, delta in change.items():
            weight = model.get_submodule(module).weight
            weight.copy_((weight.double() + torch.from_numpy(delta)).to(weight.dtype))
    return model


def mixture_model(base, folder):
    """The mixture by its definition, one expert and one token's choice at a time, from the exported files alone."""
    about = json.loads(Path(folder, "mixture.json").read_text())
    routers = load_file(f"{folder}/router.safetensors")
    experts = [deltas(f"{folder}/experts/{name}") for name in about["experts"]]
    model = load_base(base)

    def hook_for(module, members):
        router = routers[f"{module}.router.weight"].float()
        matrices = [torch.from_numpy(experts[i][module]).float() for i in members]
        k = min(about["top_k"], len(members))

        def hook(_, arguments, output):
            p = torch.softmax(arguments[0].float() @ router.T, -1)
            # The k largest, the lower index first among equals.
            place = ((p[..., None, :] > p[..., :, None]).sum(-1) + torch.tril(
                p[..., None, :] == p[..., :, None], -1).sum(-1))
            gate = torch.where(place < k, p, torch.zeros(()))
            if k > 1 or len(members) == 1:
                gate = gate / gate.sum(-1, keepdim=True)
            return output + sum(gate[..., i : i + 1] * (arguments[0] @ m.T) for i, m in enumerate(matrices))

        return hook

    for module, members in about["modules"].items():
        model.get_submodule(module).register_forward_hook(hook_for(module, members))
    return model
