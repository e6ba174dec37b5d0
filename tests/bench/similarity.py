"""Rocket's similarity of all pairs of a bank against the double loop that loads both files for each pair."""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
import worlds
from halves import BUILD, machine, run, samples_table, table
from safetensors.torch import load_file


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/similarity")
    parser.add_argument("--adapters", type=int, default=38)
    parser.add_argument("--distinct", type=int, help="make only so many files, the others are hard links to them (default: all)")
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--lora-r", type=int, default=16)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--pairs", type=int, default=40, help="of the double loop, the rest is extrapolated; 0: no peer")
    parser.add_argument("--folder", help="where to make the bank (default: a temporary folder); kept")
    parser.add_argument("--json", help="write all that was measured here")
    return parser.parse_args()


def make_bank(folder, given):
    distinct = given.distinct or given.adapters
    shapes = {f"model.layers.{n}.self_attn.{name}": (given.hidden, given.hidden)
              for n in range(given.layers) for name in ("q_proj", "v_proj")}
    for i in range(given.adapters):
        path = Path(folder, f"adapter-{i:04}")
        if path.exists():
            continue
        if i < distinct:
            worlds.write_adapter(path, shapes, given.lora_r, ("q_proj", "v_proj"), i, getattr(torch, given.dtype))
            continue
        path.mkdir()
        for file in Path(folder, f"adapter-{i % distinct:04}").iterdir():
            os.link(file, path / file.name)
    return sorted(str(path) for path in Path(folder).iterdir())[: given.adapters]


def load_pair(one, other):
    return [load_file(f"{folder}/adapter_model.safetensors") for folder in (one, other)]


def released_code(one, other):
    """As the paper's scripts: the absolute cosines of all A and all B as flat vectors, summed."""
    a, b = load_pair(one, other)
    return sum(F.cosine_similarity(a[key].float().flatten(), b[key].float().flatten(), dim=0).abs().item() for key in a)


def delta_w(one, other):
    """Mean cosine of B A, from r x r products: the matrices [outputs, inputs] are never formed."""
    a, b = load_pair(one, other)

    def product(x, y, module):
        left = x[module + ".lora_A.weight"].float() @ y[module + ".lora_A.weight"].float().T
        right = x[module + ".lora_B.weight"].float().T @ y[module + ".lora_B.weight"].float()
        return (left * right).sum().double()

    modules = [key.removesuffix(".lora_A.weight") for key in a if key.endswith(".lora_A.weight")]
    cosines = [product(a, b, m) / (product(a, a, m) * product(b, b, m)).sqrt() for m in modules]
    return torch.stack(cosines).mean().item()


def delta_w_formed(one, other):
    """The same as it is written down: B A formed for every weight."""
    a, b = load_pair(one, other)
    modules = [key.removesuffix(".lora_A.weight") for key in a if key.endswith(".lora_A.weight")]

    def formed(x, module):
        return x[module + ".lora_B.weight"].float() @ x[module + ".lora_A.weight"].float()

    def cosine(x, y):  # F.cosine_similarity is 0.002 off over so many elements
        return ((x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()).item()

    return statistics.mean(cosine(formed(a, m), formed(b, m)) for m in modules)


PEERS = {"delta_w": delta_w, "delta_w_formed": delta_w_formed, "released_code": released_code}


def rocket_matrix(folder, kind, given, repeats):
    """{seconds, peak_bytes} and the matrix."""
    with tempfile.NamedTemporaryFile() as file:
        answer = json.loads(run([BUILD / "tests/bench/bench_similarity", folder, given.hidden, given.layers, kind,
                                 repeats, file.name], given.threads))
        return answer, torch.tensor(json.loads(Path(file.name).read_text()), dtype=torch.double).view(given.adapters, -1)


def double_loop(bank, kind, given):
    """Seconds of each of a sample of pairs, and their values. Rocket has just read all files: they lie in the page cache."""
    pairs = [(i, j) for i in range(len(bank)) for j in range(len(bank))]
    pairs = random.Random(0).sample(pairs, min(given.pairs, len(pairs)))
    if kind == "delta_w_formed":
        del pairs[2:]  # some seconds each
    PEERS[kind](bank[0], bank[1])
    seconds, values = [], {}
    for i, j in pairs:
        start = time.perf_counter()
        values[i, j] = PEERS[kind](bank[i], bank[j])
        seconds.append(time.perf_counter() - start)
    return seconds, values


def check(matrix, values):
    error = max(abs(matrix[pair].item() - value) / max(1, abs(value)) for pair, value in values.items())
    if error > 1e-4:
        raise SystemExit(f"similarities differ by {error:.2g}: seconds of a wrong answer mean nothing")
    return error


def compare(folder, bank, kind, given):
    ours, matrix = rocket_matrix(folder, kind.removesuffix("_formed"), given, given.repeats)
    result = {"rocket": ours}
    samples_table({f"{kind}: rocket, {given.adapters} adapters": ours["seconds"]})
    print(f"  peak memory {ours['peak_bytes'] / 1e6:.0f} MB, with the pages of mapped files")
    if given.pairs == 0:
        return result
    seconds, values = double_loop(bank, kind, given)
    ordered, once = (n * statistics.mean(seconds) for n in (len(bank) ** 2, len(bank) * (len(bank) - 1) // 2))
    rocket = statistics.median(ours["seconds"])
    result |= {"pair_seconds": seconds, "error": check(matrix, values), "ratio": ordered / rocket,
               "ratio_each_pair_once": once / rocket}
    print(f"  double loop: {statistics.mean(seconds):.4g} s a pair (mean of {len(seconds)}), "
          f"largest difference {result['error']:.1g}")
    table(["double loop, extrapolated from these pairs", "seconds", "rocket is faster by"],
          [[f"all {len(bank) ** 2} ordered pairs", f"{ordered:.4g}", f"{ordered / rocket:.4g} x"],
           ["each pair once", f"{once:.4g}", f"{once / rocket:.4g} x"]])
    return result


def main():
    given = arguments()
    torch.set_num_threads(given.threads)
    about = machine()
    print(f"{about}\n{given.adapters} adapters of {given.layers} layers, q and v of {given.hidden}, rank {given.lora_r}, "
          f"{given.dtype}, {given.threads} thread(s)\n", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or temporary
        bank = make_bank(folder, given)
        results = {kind: compare(folder, bank, kind, given) for kind in given.kinds}
    if given.json:
        Path(given.json).write_text(json.dumps({"machine": about, "arguments": vars(given), **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
