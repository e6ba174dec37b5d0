"""The nll pass in flops, and the machine's matmul peak in the shapes of the pass; flops.py SPEC prints the latter."""

import json
import sys
import time
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoConfig

ROWS = 2048


def lora_parameters(folder):
    """r x (inputs + outputs) over the adapter's weights."""
    with safe_open(f"{folder}/adapter_model.safetensors", "pt") as file:
        return sum(torch.Size(file.get_slice(key).get_shape()).numel() for key in file.keys())


def token_products(config):
    """[(inputs, outputs)] that every token meets in one layer."""
    h, i, q = config.hidden_size, config.intermediate_size, config.num_attention_heads * config.head_dim
    kv = config.num_key_value_heads * config.head_dim
    return [(h, q), (h, kv), (h, kv), (q, h), (h, i), (h, i), (i, h)]


def distinct_positions(sequences):
    """How many different (prefix, token) there are, and the sum of their depths: each needs to be computed once an adapter."""
    nodes = {tuple(ids[:n]) for ids in sequences for n in range(1, len(ids) + 1)}
    return len(nodes), sum(map(len, nodes))


def nll_flops(world, rows, shared):
    """Matrix products of `rows` adapters (the first: the base alone) on the shots, causal halves and target positions only.

    shared: what shots have in common in front (the template) counted once an adapter."""
    config = AutoConfig.from_pretrained(world["base"])
    sequences = [shot["ids"] for shot in world["shots"]]
    tokens, pairs = sum(map(len, sequences)), sum(len(s) * (len(s) + 1) // 2 for s in sequences)
    if shared:
        tokens, pairs = distinct_positions(sequences)
    layers = config.num_hidden_layers
    linear = layers * sum(2 * i * o for i, o in token_products(config)) * tokens
    attention = layers * 4 * config.num_attention_heads * config.head_dim * pairs
    targets = sum(len(shot["ids"]) - shot["target_begin"] for shot in world["shots"])
    head = 2 * config.hidden_size * config.vocab_size * targets
    folders = sorted(Path(world["bank"]).iterdir())[: rows - 1]
    lora = sum(2 * lora_parameters(folder) for folder in folders) * tokens
    return rows * (linear + attention + head) + lora


def seconds_of_product(inputs, outputs, dtype, repeats):
    x, weight = torch.randn(ROWS, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
    samples = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(x, weight.t())
        samples.append(time.perf_counter() - start)
    return min(samples)


def peak(base, dtype, repeats=6):
    """Flops a second of the fastest torch.mm over the layer's products and the head's, weighted by their flops in a token."""
    config = AutoConfig.from_pretrained(base)
    products = token_products(config) * config.num_hidden_layers + [(config.hidden_size, config.vocab_size)]
    seconds = {p: seconds_of_product(*p, getattr(torch, dtype), repeats) for p in set(products)}
    return sum(2 * ROWS * i * o for i, o in products) / sum(seconds[p] for p in products)


if __name__ == "__main__":
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec["threads"])
    print(json.dumps(peak(spec["base"], spec["dtype"])))
