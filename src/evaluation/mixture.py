"""Loads a mixture of LoRA experts that `rocket export --as mixture` wrote, for transformers.

    import sys; sys.path.insert(0, FOLDER)
    import mixture
    model = mixture.load(FOLDER, BASE)

The folder holds mixture.json, router.safetensors and experts/<name>/ (PEFT adapters). Needs torch, transformers,
peft and safetensors.
"""

import json

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText


class MixtureLinear(torch.nn.Module):
    """A frozen linear layer plus its experts, of which a router chooses top_k for every token, and of these the fewest
    whose probabilities reach top_p."""

    def __init__(self, layer, experts, router, top_k, top_p):
        super().__init__()
        self.base_layer = layer.base_layer
        self.lora_A = torch.nn.ModuleList(layer.lora_A[e] for e in experts)
        self.lora_B = torch.nn.ModuleList(layer.lora_B[e] for e in experts)
        self.scaling = [layer.scaling[e] for e in experts]
        self.router = torch.nn.Parameter(router, requires_grad=False)
        self.top_k, self.top_p = min(top_k, len(experts)), top_p

    def gates(self, x):
        """[..., experts]: the weight of each expert, zero where it was not chosen."""
        p = torch.softmax(torch.nn.functional.linear(x.float(), self.router), dim=-1)
        # A stable sort, not topk: of equal experts the first is taken.
        values, chosen = torch.sort(p, dim=-1, descending=True, stable=True)
        values, chosen = values[..., : self.top_k], chosen[..., : self.top_k]
        if self.top_p < 1:
            values = values * (values.cumsum(dim=-1) - values < self.top_p)
        if self.top_k > 1 or p.shape[-1] == 1:  # one of several keeps its unnormalised weight
            values = values / values.sum(dim=-1, keepdim=True)
        return torch.zeros_like(p).scatter(-1, chosen, values)

    def forward(self, x):
        y, g = self.base_layer(x), self.gates(x)
        for i, (a, b) in enumerate(zip(self.lora_A, self.lora_B)):
            delta = b(a(x.to(a.weight.dtype))) * (g[..., i : i + 1] * self.scaling[i])
            y = y + delta.to(y.dtype)
        return y


def load(folder, base_path, dtype=None):
    """The base with the mixture in its linear layers: a transformers model in eval mode.

    dtype: of the base's weights, float32 if None. Experts and routers compute in float32.
    """
    with open(f"{folder}/mixture.json", encoding="utf-8") as file:
        about = json.load(file)
    routers = load_file(f"{folder}/router.safetensors")
    reads_images = hasattr(AutoConfig.from_pretrained(base_path), "vision_config")
    kind = AutoModelForImageTextToText if reads_images else AutoModelForCausalLM
    base = kind.from_pretrained(base_path, dtype=dtype or torch.float32)
    # PEFT's names may hold no dots; adapters' names may.
    names = [f"expert{i}" for i in range(len(about["experts"]))]
    adapted = None
    for name, expert in zip(names, about["experts"]):
        path = f"{folder}/experts/{expert}"
        if adapted is None:
            adapted = PeftModel.from_pretrained(base, path, adapter_name=name)
        else:
            adapted.load_adapter(path, adapter_name=name)
    model = adapted.get_base_model()
    for module, experts in about["modules"].items():
        layer = model.get_submodule(module)
        parent, _, leaf = module.rpartition(".")
        router, rule = routers[f"{module}.router.weight"], (about["top_k"], about.get("top_p", 1.0))
        mixed = MixtureLinear(layer, [names[i] for i in experts], router, *rule)
        setattr(model.get_submodule(parent), leaf, mixed)
    return model.eval()
