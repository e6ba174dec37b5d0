"""Predicts seconds of scoring, generation, training and embedding on GPUs from the launches that the emulated device counts.

Each launch takes the longest of three: its arithmetic at a share of the card's peak, its bytes at a share of the
card's bandwidth, and the least time of a kernel. The host starts launches one after another while the device
computes: a phase takes the longer of both. What is assumed stands in Card and in the constants below.
"""
import argparse
import dataclasses
import json
import os
import subprocess


@dataclasses.dataclass
class Card:
    """Figures of NVIDIA's data sheets: dense bfloat16 flops and bytes a second, bytes of memory."""
    name: str
    flops: float
    bandwidth: float
    memory: float


CARDS = [Card("H200", 989.4e12, 4.8e12, 141e9), Card("H100", 989.4e12, 3.35e12, 80e9), Card("A100", 312e12, 2.039e12, 80e9)]
SHARE_OF_PEAK = {"product": 0.75, "_flash_attention_forward": 0.55, "_flash_attention_backward": 0.45}
SHARE_OF_BANDWIDTH = 0.85
LEAST_KERNEL = 2.5e-6  # seconds on the device
HOST_LAUNCH = 4.5e-6   # seconds on the host: LibTorch's dispatcher and the driver. A graph is one launch
TOKENIZER = 1.3e6      # MiniLM's tokens a second and core, measured (README)


def seconds_of(work, card):
    """(seconds on the device, of these bound by arithmetic, by bandwidth, by the least time of a kernel)."""
    bound = {"arithmetic": 0.0, "bandwidth": 0.0, "short kernels": 0.0}
    for launch in work:
        share = SHARE_OF_PEAK.get(launch["operator"], SHARE_OF_PEAK["product"])
        times = {"arithmetic": launch["flops"] / (share * card.flops), "bandwidth": launch["bytes"] / (SHARE_OF_BANDWIDTH * card.bandwidth),
                 "short kernels": LEAST_KERNEL}
        slowest = max(times, key=times.get)
        bound[slowest] += launch["launches"] * times[slowest]
    return sum(bound.values()), bound


def difference(later, earlier):
    """What the steps between two generations cost."""
    before = {(w["operator"], w["bytes"], w["flops"]): w["launches"] for w in earlier["work"]}
    work = []
    for w in later["work"]:
        more = w["launches"] - before.get((w["operator"], w["bytes"], w["flops"]), 0)
        if more:
            work.append({**w, "launches": more})
    return {**later, "tokens": later["tokens"] - earlier["tokens"], "launches": later["launches"] - earlier["launches"], "work": work}


def phases(encoder):
    command = [os.environ["DEVICE_PHASES"], *([encoder] if encoder else [])]
    counted = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    result = []
    for row in counted:
        if row["phase"] == "generation" and result and result[-1]["phase"] == "generation":
            result[-1] = difference(row, result[-1])
        else:
            result.append(row)
    return result


def predict(row, card):
    device, bound = seconds_of(row["work"], card)
    host = row["launches"] * HOST_LAUNCH
    seconds = max(device, host)
    by = "host" if host > device else max(bound, key=bound.get)
    return {"base": row["base"], "phase": row["phase"], "card": card.name, "seconds": seconds, "device_seconds": device, "host_seconds": host,
            "tokens_per_second": row["tokens"] / seconds, "of_peak": row["flops"] / seconds / card.flops, "bound_by": by,
            "launches": row["launches"], "GiB": row["peak_bytes"] / 2**30, "fits": row["peak_bytes"] < 0.95 * card.memory,
            "texts": row.get("texts"), "slots_used": row.get("slots_used"),
            "weights_read": row["weight_bytes"] / (SHARE_OF_BANDWIDTH * card.bandwidth), "steps": row["tokens"] / 64}


def figure(p):
    if p["phase"] == "generation":  # against the time in which the weights can be read
        return f"{p['seconds'] / p['steps'] / p['weights_read']:.2f} x weights"
    if p["phase"] == "answers":
        return f"{p['texts']} texts, {100 * p['slots_used']:.0f} % of slots"
    if p["phase"] == "embedding":
        return f"as {p['tokens_per_second'] / TOKENIZER:.0f} cores tokenise"
    return f"{100 * p['of_peak']:.0f} % of peak"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the predictions as JSON")
    parser.add_argument("--encoder", help="folder of an encoder (all-MiniLM-L6-v2): embedding with it, too")
    arguments = parser.parse_args()
    rows = [predict(row, card) for row in phases(arguments.encoder) for card in CARDS]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print("| base | phase | card | tokens/s | figure | bound by | launches | GiB |\n|---|---|---|---|---|---|---|---|")
    for p in rows:
        print(f"| {p['base']} | {p['phase']} | {p['card']} | {p['tokens_per_second']:,.0f} | {figure(p)} | {p['bound_by']} | {p['launches']} | "
              f"{p['GiB']:.0f}{'' if p['fits'] else ', does not fit'} |")


if __name__ == "__main__":
    main()
