"""Makes tests/data/adapters/similarity.json: how alike the adapters of the lab's bank are, from delta W itself.

    OMP_NUM_THREADS=1 python tests/parity/make_adapter_reference.py        (from the root; needs tests/lab)
"""

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

BANK = Path("tests/lab/bank")
OUT = Path("tests/data/adapters/similarity.json")
ALIKE = ["friend", "home", "home-b", "job", "sells", "wrong-home-job"]  # one rank, one set of targets


def read(name):
    config = json.loads((BANK / name / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / (math.sqrt(config["r"]) if config["use_rslora"] else config["r"])
    factors = {}
    for key, value in load_file(BANK / name / "adapter_model.safetensors").items():
        module, factor = key.removesuffix(".weight").rsplit(".", 1)
        factors.setdefault(module, {})[factor] = value.astype(np.float64)
    return scale, factors


def cosine(a, b):
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float((a * b).sum() / norms) if norms > 0 else 0.0


def delta_w(names, adapters):
    total = np.zeros((len(names), len(names)))
    for module in sorted({m for _, factors in adapters.values() for m in factors}):
        deltas = [scale * factors[module]["lora_B"] @ factors[module]["lora_A"] if module in factors else None
                  for scale, factors in (adapters[n] for n in names)]
        for i, a in enumerate(deltas):
            for j, b in enumerate(deltas):
                if a is not None and b is not None:
                    total[i, j] += cosine(a, b)
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            total[i, j] = 1 if i == j else total[i, j] / len(adapters[a][1].keys() | adapters[b][1].keys())
    return total


def by_factors(names, adapters, released):
    result = np.zeros((len(names), len(names)))
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            cosines = [cosine(adapters[a][1][m][f], adapters[b][1][m][f])
                       for m in adapters[a][1] for f in ("lora_A", "lora_B")]
            result[i, j] = sum(map(abs, cosines)) if released else sum(cosines) / len(cosines)
    return result


def main():
    names = sorted(p.name for p in BANK.iterdir() if p.is_dir())
    adapters = {name: read(name) for name in names}
    table = lambda matrix: [[float(f"{x:.12g}") for x in row] for row in matrix]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"names": names, "delta_w": table(delta_w(names, adapters)), "alike": ALIKE,
                               "factors": table(by_factors(ALIKE, adapters, False)),
                               "released_code": table(by_factors(ALIKE, adapters, True))},
                              separators=(",", ":")) + "\n")


main()
