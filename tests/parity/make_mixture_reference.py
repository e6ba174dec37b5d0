"""Makes tests/data/moe: mixtures of experts as a plain loop over experts computes them, by autograd.

    OMP_NUM_THREADS=1 python tests/parity/make_mixture_reference.py        (from the root; needs tests/lab)

layer.json   layers with experts of unequal rank, scale and targets: outputs and all gradients; a table of gates; `more_cases`, in
             float64: other rules of routing, lone experts, weights without experts, router losses in the objective
model.json   the lab's base with four of its adapters: loss, gradients, a training curve of torch.optim.AdamW
"""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import LlamaForCausalLM

OUT = Path("tests/data/moe")
LAB = Path("tests/lab")
EXPERTS = ["home", "price", "tool-weak", "color"]  # unequal ranks, scales (one rsLoRA) and targets
MODULES = [f"model.layers.{i}.{m}" for i in range(4)
           for m in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
                     "mlp.up_proj", "mlp.down_proj")]


def fewest(order, values, top_p):
    """The first of `order` whose values together reach top_p; all of them where they do not, or where top_p is 1."""
    for count in range(1, len(order)):
        if top_p < 1 and sum(values[i] for i in order[:count]) >= top_p:
            return order[:count]
    return order


def gates(logits, top_k, top_p=1.0):
    """Row by row in plain Python: docs/method.md section 7. Also which experts were chosen: a gate may underflow to zero."""
    p = torch.softmax(logits, -1)
    rows, chosen = [], []
    for row in p:
        values = row.tolist()
        order = fewest(sorted(range(len(row)), key=lambda i: (-values[i], i))[:top_k], values, top_p)
        total = sum(row[i] for i in order) if min(top_k, len(row)) > 1 or len(row) == 1 else 1.0
        rows.append(torch.stack([row[i] / total if i in order else row[i] * 0 for i in range(len(row))]))
        chosen.append([float(i in order) for i in range(len(row))])
    return torch.stack(rows), torch.tensor(chosen, dtype=logits.dtype)


class MixtureLinear(nn.Module):
    def __init__(self, base, experts, router, top_k, top_p=1.0):
        super().__init__()
        self.base, self.top_k, self.top_p = base, top_k, top_p
        self.a = nn.ParameterList([nn.Parameter(a.clone()) for a, _, _ in experts])
        self.b = nn.ParameterList([nn.Parameter(b.clone()) for _, b, _ in experts])
        self.scales = [s for _, _, s in experts]
        self.router = nn.Parameter(router.clone())
        self.logits, self.chosen = [], []

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        logits = rows @ self.router.T
        g, chosen = gates(logits, self.top_k, self.top_p)
        self.logits.append(logits)
        self.chosen.append(chosen)
        y = self.base(rows)
        for i, (a, b, scale) in enumerate(zip(self.a, self.b, self.scales)):
            y = y + g[:, i:i + 1] * scale * ((rows @ a.T) @ b.T)
        return y.reshape(*x.shape[:-1], -1)

    def balance(self):
        logits, chosen = torch.cat(self.logits), torch.cat(self.chosen)
        share = chosen.sum(0) / chosen.sum()
        return logits.shape[1] * (share * torch.softmax(logits, -1).mean(0)).sum()

    def z(self):
        """0 without a choice: a lone expert's router has no say."""
        if len(self.scales) == 1:
            return torch.zeros((), dtype=self.logits[0].dtype)
        return torch.logsumexp(torch.cat(self.logits), -1).square().mean()


def numbers(tensor, digits=9):
    return [float(f"{x:.{digits}g}") for x in tensor.detach().double().flatten().tolist()]


def write_json(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


def layer_case(top_k):
    torch.manual_seed(5)
    inputs, tokens = 12, 9
    outputs, members = [10, 8, 6], [[0, 1, 2], [0, 2], [1]]
    ranks, scales = [2, 5, 3], [2.0, 0.25, 1 / math.sqrt(3)]
    x = torch.randn(tokens, inputs, requires_grad=True)
    case = {"top_k": top_k, "inputs": inputs, "x": numbers(x), "scales": scales, "ranks": ranks, "modules": []}
    layers, total = [], 0.0
    for out, member in zip(outputs, members):
        base = nn.Linear(inputs, out, bias=False)
        experts = [(torch.randn(ranks[i], inputs) / 3, torch.randn(out, ranks[i]) / 3, scales[i]) for i in member]
        layer = MixtureLinear(base, experts, torch.randn(len(member), inputs) / 2, top_k)
        weight = torch.randn(tokens, out)
        y = layer(x)
        total = total + (y * weight).sum()
        layers.append((layer, base, member, weight, y))
    total.backward()
    for layer, base, member, weight, y in layers:
        case["modules"].append({
            "outputs": y.shape[1], "experts": member, "base": numbers(base.weight), "weight": numbers(weight),
            "a": [numbers(a) for a in layer.a], "b": [numbers(b) for b in layer.b], "router": numbers(layer.router),
            "y": numbers(y), "balance": layer.balance().item(), "z": layer.z().item(),
            "choices": layer.chosen[0].sum(0).tolist(), "a_grad": [numbers(a.grad) for a in layer.a],
            "b_grad": [numbers(b.grad) for b in layer.b], "router_grad": numbers(layer.router.grad)})
    case["x_grad"] = numbers(x.grad)
    return case


MORE_CASES = [
    {"name": "dense", "members": [[0, 1, 2, 3], [0, 2]], "top_k": 4},
    {"name": "one of several", "members": [[0, 1, 2], [1, 3]], "top_k": 1},
    {"name": "the fewest that reach top_p", "members": [[0, 1, 2, 3], [1, 2]], "top_k": 3, "top_p": 0.6},
    {"name": "top_p that some rows never reach", "members": [[0, 1, 2, 3]], "top_k": 2, "top_p": 0.9},
    {"name": "one expert only", "members": [[2]], "top_k": 2},
    {"name": "a weight without an expert", "members": [[0, 1, 3], [], [1, 2]], "top_k": 2},
    {"name": "balance loss", "members": [[0, 1, 2, 3], [1, 3]], "top_k": 2, "balance_coefficient": 0.7},
    {"name": "z loss", "members": [[0, 1, 2, 3], [1, 3]], "top_k": 2, "z_coefficient": 0.2},
    {"name": "both losses, one of several", "members": [[0, 1, 2]], "top_k": 1, "balance_coefficient": 0.7, "z_coefficient": 0.2},
    {"name": "both losses, top_p", "members": [[0, 1, 2, 3], [2]], "top_k": 3, "top_p": 0.6, "balance_coefficient": 0.7,
     "z_coefficient": 0.2},
]


def exact(generator, *shape):
    """Normal numbers; float32 and nine digits hold them, and a quarter of them, exactly."""
    return (torch.randn(shape, generator=generator, dtype=torch.float64) * 64).round() / 64


def one_of_more_cases(name, members, top_k, top_p=1.0, balance_coefficient=0.0, z_coefficient=0.0):
    """In float64. The objective is sum(weight * y) + the coefficients times balance and z, summed over the adapted weights."""
    generator = torch.Generator().manual_seed(6)
    inputs, tokens, outputs = 12, 9, [10, 8, 6]
    ranks, scales = [2, 5, 3, 1], [2.0, 0.25, 1 / math.sqrt(3), 1.0]
    x = exact(generator, tokens, inputs).requires_grad_()
    case = {"name": name, "top_k": top_k, "top_p": top_p, "balance_coefficient": balance_coefficient, "z_coefficient": z_coefficient,
            "inputs": inputs, "x": numbers(x), "scales": scales, "ranks": ranks, "modules": []}
    built, objective = [], 0.0
    for out, member in zip(outputs, members):
        base = nn.Linear(inputs, out, bias=False, dtype=torch.float64)
        base.weight.data = exact(generator, out, inputs)
        experts = [(exact(generator, ranks[i], inputs) / 4, exact(generator, out, ranks[i]) / 4, scales[i]) for i in member]
        layer = MixtureLinear(base, experts, exact(generator, len(member), inputs) / 2, top_k, top_p) if member else base
        weight = exact(generator, tokens, out)
        y = layer(x)
        objective = objective + (y * weight).sum()
        if member:
            objective = objective + balance_coefficient * layer.balance() + z_coefficient * layer.z()
        built.append((layer, base, member, weight, y))
    objective.backward()
    for layer, base, member, weight, y in built:
        module = {"outputs": y.shape[1], "experts": member, "base": numbers(base.weight), "weight": numbers(weight), "y": numbers(y, 14)}
        if member:
            module |= {"a": [numbers(a) for a in layer.a], "b": [numbers(b) for b in layer.b], "router": numbers(layer.router),
                       "balance": layer.balance().item(), "z": layer.z().item(), "choices": layer.chosen[0].sum(0).tolist(),
                       "a_grad": [numbers(a.grad, 14) for a in layer.a], "b_grad": [numbers(b.grad, 14) for b in layer.b],
                       "router_grad": numbers(layer.router.grad, 14)}
        case["modules"].append(module)
    case["x_grad"] = numbers(x.grad, 14)
    return case


def gate_table():
    table = []
    for logits in [[[1.0, 1.0, 1.0, 1.0]], [[0.5, 2.0, 2.0, -1.0]], [[-3.0, -3.0, 7.0, 7.0]], [[80.0, -80.0, 0.0]], [[4.0]],
                   [[0.25, 0.5]], [[1e4, 1e4, 0.0]]]:
        for k in (1, 2, 3, 8):
            table.append({"logits": logits, "top_k": k, "gates": gates(torch.tensor(logits), k)[0].tolist()})
    return table


def read_expert(name):
    folder = LAB / "bank" / name
    config = json.loads((folder / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / (math.sqrt(config["r"]) if config["use_rslora"] else config["r"])
    tensors = load_file(folder / "adapter_model.safetensors")
    get = lambda m, f: tensors.get(f"base_model.model.{m}.{f}.weight")
    return {m: (get(m, "lora_A").float(), get(m, "lora_B").float(), scale) for m in MODULES if get(m, "lora_A") is not None}


def router_of(place, experts, inputs):
    """Numbers that the test computes again: multiplicative hashing, all values exact in float32."""
    index = torch.arange(experts * inputs, dtype=torch.int64) + place * 1000003
    return ((((index * 2654435761) % 2**32) >> 16).float() / 32768 - 1).reshape(experts, inputs) / 4


class Model:
    def __init__(self, top_k):
        self.lm = LlamaForCausalLM.from_pretrained(LAB / "base", dtype=torch.float32)
        self.lm.requires_grad_(False)
        experts = [read_expert(name) for name in EXPERTS]
        self.layers = {}
        for name in MODULES:
            parent, leaf = name.rsplit(".", 1)
            base = self.lm.get_submodule(name)
            mine = [e[name] for e in experts if name in e]
            router = router_of(len(self.layers), len(mine), base.in_features)
            self.layers[name] = MixtureLinear(base, mine, router, top_k)
            self.layers[name].members = [i for i, e in enumerate(experts) if name in e]
            setattr(self.lm.get_submodule(parent), leaf, self.layers[name])

    def objective(self, examples, balance, z):
        for layer in self.layers.values():
            layer.logits, layer.chosen = [], []
        nll, targets = 0.0, 0
        for ids, begin in examples:
            logits = self.lm(torch.tensor([ids[:-1]]), use_cache=False).logits[0, begin - 1:]
            nll = nll + nn.functional.cross_entropy(logits, torch.tensor(ids[begin:]), reduction="sum")
            targets += len(ids) - begin
        loss = nll / targets
        extra = sum(balance * l.balance() + z * l.z() for l in self.layers.values()) / len(self.layers)
        return loss, loss + extra

    def groups(self, decay):
        routers = [l.router for l in self.layers.values()]
        factors = [p for l in self.layers.values() for p in [*l.a, *l.b]]
        return [{"params": factors, "weight_decay": decay}, {"params": routers, "weight_decay": 0.0}]

    def parameters(self):
        return [p for g in self.groups(0) for p in g["params"]]


def gradients(model):
    result = {}
    for name, layer in model.layers.items():
        result[name] = {"a_norm": [float(a.grad.norm()) for a in layer.a], "b_norm": [float(b.grad.norm()) for b in layer.b],
                        "a_head": [numbers(a.grad[0, :3]) for a in layer.a],
                        "b_head": [numbers(b.grad[0, :3]) for b in layer.b],
                        "router": [numbers(r[:4]) for r in layer.router.grad]}
    return result


def load_of(model):
    rows = []
    for layer in model.layers.values():
        counts = torch.zeros(len(EXPERTS))
        counts[layer.members] = torch.cat(layer.chosen).sum(0)
        rows += numbers(counts / counts.sum())
    return rows


def rate(step, steps, top, warmup):
    w = math.ceil(warmup * steps)
    return top * step / w if step <= w else top / 2 * (1 + math.cos(math.pi * (step - 1 - w) / (steps - w)))


def curve(examples, options):
    model = Model(options["top_k"])
    optimizer = torch.optim.AdamW(model.groups(options["weight_decay"]), lr=1.0, betas=(0.9, 0.999), eps=1e-8)
    losses, norms, load, first = [], [], None, None
    for step in range(1, options["steps"] + 1):
        loss, objective = model.objective(examples, options["balance"], options["z"])
        optimizer.zero_grad()
        objective.backward()
        if step == 1:
            load, first = load_of(model), gradients(model)
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), options["clip"])))
        losses.append(loss.item())
        for group in optimizer.param_groups:
            group["lr"] = rate(step, options["steps"], options["learning_rate"], options["warmup"])
        optimizer.step()
    return {"options": options, "loss": losses, "gradient_norm": norms, "expert_load": load, "gradients": first}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    write_json(OUT / "layer.json", {"cases": [layer_case(1), layer_case(2)], "gates": gate_table(),
                                    "more_cases": [one_of_more_cases(**case) for case in MORE_CASES]})
    shots = json.loads(Path("tests/data/model/lab.json").read_text())["shots"]
    examples = [(s["ids"], s["begin"]) for s in shots][::2]
    common = {"learning_rate": 1e-3, "warmup": 0.1, "weight_decay": 0.05, "clip": 0.03}
    plain = curve(examples, {**common, "steps": 20, "top_k": 2, "balance": 0.0, "z": 0.0})
    balanced = curve(examples, {**common, "steps": 4, "top_k": 1, "balance": 0.3, "z": 0.02})
    balanced.pop("gradients")
    write_json(OUT / "model.json", {"experts": EXPERTS, "modules": MODULES,
                                    "examples": [{"ids": i, "begin": b} for i, b in examples], "curves": [plain, balanced]})


main()
