"""Makes tests/data/adapters/merges.json: three random adapters of two modules, and their merges by PEFT's TIES and by
DARE's definition in NumPy, whose draws are those of philox.py.

    OMP_NUM_THREADS=1 python tests/parity/make_merge_reference.py        (from the root)
"""

import json
from pathlib import Path

import numpy as np
import philox
import torch
from peft.utils.merge_utils import ties

OUT = Path("tests/data/adapters/merges.json")
MODULES = {0: ("model.layers.0.self_attn.q_proj", 6, 8), 1: ("model.layers.0.self_attn.v_proj", 6, 4)}
ADAPTERS = [("one", 2, 2.0, (0, 1)), ("two", 3, 0.5, (0, 1)), ("three", 1, 1.25, (1,))]  # name, rank, scale, modules
SEED, DROP = 11, 0.4
# XXH3_64bits of the streams' names, as in philox.py.
philox.STREAMS.update({
    "dare one model.layers.0.self_attn.q_proj": 0x8d9960d3d4ddac48,
    "dare one model.layers.0.self_attn.v_proj": 0x5fe7df68db210f77,
    "dare two model.layers.0.self_attn.q_proj": 0x41a20caab3243965,
    "dare two model.layers.0.self_attn.v_proj": 0xcda4f2be8ba0c22d,
    "dare three model.layers.0.self_attn.v_proj": 0xa49e6cf6a710ddd,
})


def numbers(tensor):
    return [float(f"{x:.9g}") for x in tensor.flatten().tolist()]


def kept(adapter, module, shape):
    name = f"dare {adapter} {MODULES[module][0]}"
    return torch.from_numpy(philox.uniform(SEED, name, np.arange(shape[0] * shape[1])) >= DROP).view(shape)


def main():
    torch.manual_seed(5)
    adapters, updates = [], {module: [] for module in MODULES}
    for name, rank, scale, modules in ADAPTERS:
        weights = []
        for module in modules:
            _, inputs, outputs = MODULES[module]
            a, b = torch.randn(rank, inputs), torch.randn(outputs, rank)
            weights.append({"module": module, "rank": rank, "scale": scale, "a": numbers(a), "b": numbers(b)})
            updates[module].append((name, (b.double() @ a.double()) * scale))
        adapters.append({"name": name, "weights": weights})
    merges = {}
    for density in (0.2, 0.5, 1.0):
        merges[f"ties {density}"] = {module: numbers(ties([update for _, update in some], torch.ones(len(some)), density))
                                     for module, some in updates.items()}
    merges["dare"] = {module: numbers(sum(update * kept(name, module, update.shape) / (1 - DROP) for name, update in some) / len(ADAPTERS))
                      for module, some in updates.items()}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"adapters": adapters, "seed": SEED, "drop": DROP, "merges": merges}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
