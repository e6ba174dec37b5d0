"""Training: rocket's mixture against one LoRA in rocket, against the published loop over experts, and rocket's one LoRA against PEFT.

README.md beside this file says what is compared with what."""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig, AutoTokenizer

import flops
import worlds
from halves import BUILD, Half, machine, samples_table, table

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {"qv": ("q_proj", "v_proj"), "all": worlds.LINEAR}
COMPARED = 5                                  # steps
BOUND = {"float32": 1e-4, "bfloat16": 1e-2}  # on the relative difference of losses


def lab_examples(count):
    """Records of the lab's corpus as the lab trains on them, with answers and reasons of their real lengths."""
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "tests/lab/base")
    lines = worlds.oracle.read_lines(ROOT / "tests/lab/corpus.jsonl")
    records = [lines[i] for i in torch.randperm(len(lines), generator=torch.Generator().manual_seed(0))[:count]]
    return [{"ids": ids, "target_begin": first} for ids, first in worlds.oracle.examples(tokenizer, records)]


def make_world(part, dtype, form, folder, given):
    r, targets = (16, TARGETS["qv"]) if form == "qv" else (8, TARGETS["all"])
    batch = 32 if part == "lab" else given.batch
    count = batch * (given.steps + 1)
    if part == "lab":
        base, examples = ROOT / "tests/lab/base", lab_examples(count)
    else:
        base = Path(given.folder or folder, f"base-{dtype}")
        if not base.exists():
            worlds.write_base(base, worlds.llama_160m(), getattr(torch, dtype))
        generator, (_, _, lengths) = torch.Generator().manual_seed(0), part.partition(":")
        examples = (worlds.shots_of_real_lengths(lengths, count, 32000, generator) if lengths
                    else worlds.random_shots(count, 32000, 36, generator))
    adapters = [Path(folder, f"{part.replace(':', '-')}-{dtype}-{form}", f"adapter-{i}") for i in range(4)]
    for i, adapter in enumerate(adapters):
        worlds.write_adapter(adapter, worlds.linear_shapes(AutoConfig.from_pretrained(base)), r, targets, i)
    return {"base": str(base), "dtype": dtype, "adapters": list(map(str, adapters)), "examples": examples,
            "global_batch": batch, "micro_batch_tokens": given.micro_batch_tokens}


def step_flops(world, batch, experts):
    """Products of one step over the records numbered in `batch`: the frozen base forward and for its inputs' gradients, adapters
    and routers with their own gradients as well, all experts counted; the head forward, and for the gradient, on target rows."""
    config = AutoConfig.from_pretrained(world["base"])
    batch = [world["examples"][i] for i in batch]
    tokens, targets = sum(len(e["ids"]) - 1 for e in batch), sum(len(e["ids"]) - e["target_begin"] for e in batch)
    pairs = sum(len(e["ids"]) * (len(e["ids"]) - 1) // 2 for e in batch)
    base = config.num_hidden_layers * sum(i * o for i, o in flops.token_products(config))
    lora = sum(flops.lora_parameters(folder) for folder in world["adapters"][:experts])
    attention = config.num_hidden_layers * config.num_attention_heads * config.head_dim * pairs
    return (4 * base + 6 * lora) * tokens + 14 * attention + 4 * config.hidden_size * config.vocab_size * targets


class Pair:
    """Rocket and a peer as new processes: what an earlier comparison left in memory would count in a later one."""

    def __init__(self, path, threads):
        self.halves = {"rocket": Half([BUILD / "tests/bench/bench_train", path], threads),
                       "peer": Half([sys.executable, Path(__file__).with_name("train_peer.py"), path], threads)}
        for half in self.halves.values():
            half.ask(do="wait")  # until all is imported
        self.programs = self.residents()
        start = self.halves["rocket"].ask(do="load")
        self.batches = start["batches"]
        self.halves["peer"].ask(**{**start, "do": "load"})

    def train(self, experts, kind, peer_micro_batch, dropout):
        """Some updates by each, from the start: {half: answer}."""
        commands = {"rocket": {"experts": experts}, "peer": {"kind": kind, "micro_batch": peer_micro_batch}}
        return {name: half.ask(do="train", dropout=dropout, **commands[name]) for name, half in self.halves.items()}

    def residents(self, what="VmRSS"):
        return {name: half.resident(what) for name, half in self.halves.items()}

    def forget_peaks(self):
        for half in self.halves.values():
            half.forget_peak()

    def close(self):
        for half in self.halves.values():
            half.close()


class Training:
    def __init__(self, world, folder, given):
        self.world, self.given = world, given
        self.peer_micro_batch = given.peer_micro_batch or world["global_batch"]
        self.path = Path(folder, "world.json")
        self.path.write_text(json.dumps(world))

    def compare_losses(self, pair, kind, experts):
        ours, theirs = (answer["loss"] for answer in pair.train(experts, kind, self.peer_micro_batch, dropout=0.0).values())
        # Later ones go apart by themselves: an update multiplies what rounding has left.
        worst = max(abs(a - b) / b for a, b in list(zip(ours, theirs, strict=True))[:COMPARED])
        if not worst <= BOUND[self.world["dtype"]]:
            raise SystemExit(f"{kind}: the losses differ by {worst:.2g}: {ours} {theirs}")
        return worst

    def against(self, kind, experts):
        """Runs of both sides by turns; what counts is the mean step of a run, the first left out: the steps are unlike."""
        pair = Pair(self.path, self.given.threads)
        worst = self.compare_losses(pair, kind, experts)
        pair.forget_peaks()
        seconds, cpu = ({"rocket": [], "peer": []} for _ in range(2))
        for _ in range(self.given.repeats):
            for name, answer in pair.train(experts, kind, self.peer_micro_batch, dropout=0.05).items():
                seconds[name].append(statistics.mean(answer["seconds"][1:]))
                cpu[name].append(answer["cpu"])
        peaks = pair.residents("VmHWM")
        pair.close()
        result = {"seconds": seconds, "cpu": cpu, "batches": pair.batches[1:], "losses_differ": worst, "programs": pair.programs, "peaks": peaks,
                  "ratio": statistics.median(seconds["peer"]) / statistics.median(seconds["rocket"]),
                  "ratio_of_cpu": statistics.median(cpu["peer"]) / statistics.median(cpu["rocket"])}
        self.show_against(kind, experts, result)
        return result

    def show_against(self, kind, experts, result):
        steps = [[self.world["examples"][i] for i in batch] for batch in result["batches"]]
        rows = [[len(e["ids"]) - 1 for e in step] for step in steps]
        together = [step[i : i + self.peer_micro_batch] for step in rows for i in range(0, len(step), self.peer_micro_batch)]
        padding = sum(len(part) * max(part) for part in together) / sum(map(sum, together))
        count = {"tokens": statistics.mean(map(sum, rows)),
                 "target tokens": statistics.mean(sum(len(e["ids"]) - e["target_begin"] for e in step) for step in steps)}
        names = {"rocket": f"rocket, {experts} expert(s)", "peer": kind}
        samples_table({f"{names[half]}: seconds a step": values for half, values in result["seconds"].items()})
        print(f"  {names['rocket']} against {kind}: {result['ratio']:.2f} x as fast ({result['ratio_of_cpu']:.2f} x by processor time); "
              f"losses differ by {result['losses_differ']:.1g}; padded batches have {padding:.2f} x the rows")
        lines = []
        for half, name in names.items():
            peak, program = result["peaks"][half], result["programs"][half]
            lines.append([name, *(f"{n / statistics.median(result['seconds'][half]):.0f}" for n in count.values()),
                         *(f"{value / 1e6:.0f}" for value in (program, peak, peak - program))])
        table(["", *(f"{what}/s" for what in count), "program, MB", "peak, MB", "above, MB"], lines)

    def ratio(self):
        """A mixture of four over one LoRA, by turns; the pass alone, and whole steps."""
        rocket = Half([BUILD / "tests/bench/bench_train", self.path], self.given.threads)
        first_batch = rocket.ask(do="load")["batches"][0]        # that of the passes
        seconds = {f"{what}, {n}": [] for what in ("pass", "step") for n in (4, 1)}
        for _ in range(self.given.repeats):
            for n in (4, 1):
                seconds[f"pass, {n}"] += rocket.ask(do="pass", experts=n, dropout=0.05, repeats=4)["seconds"][1:]
                seconds[f"step, {n}"] += rocket.ask(do="train", experts=n, dropout=0.05)["seconds"][1:]
        rocket.close()
        samples_table(seconds)
        medians = {what: statistics.median(values) for what, values in seconds.items()}
        ratios = {what: medians[f"{what}, 4"] / medians[f"{what}, 1"] for what in ("pass", "step")}
        work = {n: step_flops(self.world, first_batch, n) for n in (4, 1)}
        peak = flops.peak(self.world["base"], self.world["dtype"]) * self.given.threads
        print(f"  four experts over one LoRA: forward and backward {ratios['pass']:.2f}, whole step {ratios['step']:.2f}, "
              f"in flops {work[4] / work[1]:.2f}")
        table(["", "Gflop a step", "Gflop/s of the pass", "of torch.mm's, times threads"],
              [[f"{n} expert(s)", work[n] / 1e9, work[n] / 1e9 / medians[f"pass, {n}"], f"{work[n] / medians[f'pass, {n}'] / peak:.0%}"]
               for n in (4, 1)])
        return {"seconds": seconds, "ratios": ratios, "flops": work, "peak": peak}


    def recompute(self):
        """Steps of four experts whose layers are computed again in the backward pass, over those whose activations are kept, by turns."""
        halves = {name: Half([BUILD / "tests/bench/bench_train", self.path], self.given.threads) for name in ("kept", "again")}
        programs, seconds = {}, {name: [] for name in halves}
        for name, half in halves.items():
            half.ask(do="load")
            programs[name] = half.resident("VmRSS")
        for half in halves.values():
            half.forget_peak()
        for _ in range(self.given.repeats):
            for name, half in halves.items():
                seconds[name] += half.ask(do="train", experts=4, dropout=0.05, recompute=name == "again")["seconds"][1:]
        peaks = {name: half.resident("VmHWM") for name, half in halves.items()}
        for half in halves.values():
            half.close()
        samples_table({f"activations {name}: seconds a step": values for name, values in seconds.items()})
        ratio = statistics.median(seconds["again"]) / statistics.median(seconds["kept"])
        print(f"  recompute: layer takes {ratio:.2f} x as long; above the loaded model: "
              + ", ".join(f"{name} {(peaks[name] - programs[name]) / 1e6:.0f} MB" for name in halves))
        return {"seconds": seconds, "ratio": ratio, "programs": programs, "peaks": peaks}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["ratio", "recompute", "peft", "published"],
                        help="ratio, recompute, peft, published (default: all)")
    parser.add_argument("--world", nargs="+", default=["lab", "random160m"],
                        help="lab, random160m (80 to 250 + 20 to 150 tokens), random160m:dolly, random160m:gsm8k (lengths of real records)")
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--form", nargs="+", default=["qv"], help="qv: rank 16 on q and v; all: rank 8 on all linear layers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="steps a sample, beside one that is not counted")
    parser.add_argument("--batch", type=int, default=8, help="records of a step of the random model (lab: 32)")
    parser.add_argument("--peer-micro-batch", type=int, help="records that the peer pads and computes together (default: the step's)")
    parser.add_argument("--micro-batch-tokens", type=int, default=4096)
    parser.add_argument("--folder", help="where to keep the random base")
    parser.add_argument("--json", help="write all results there")
    return parser.parse_args()


def main():
    given = arguments()
    torch.set_num_threads(1)
    results = {"machine": machine(), "arguments": vars(given)}
    print(f"{results['machine']}\n", flush=True)
    for part in given.world:
        for dtype in given.dtype:
            for form in given.form:
                with tempfile.TemporaryDirectory() as folder:
                    world = make_world(part, dtype, form, folder, given)
                    print(f"{part}, {dtype}, {form}, {given.threads} thread(s), {world['global_batch']} records a step", flush=True)
                    training, result = Training(world, folder, given), {}
                    if "ratio" in given.parts:
                        result["ratio"] = training.ratio()
                    if "recompute" in given.parts:
                        result["recompute"] = training.recompute()
                    if "peft" in given.parts:
                        result["peft"] = training.against("peft", 1)
                    if "published" in given.parts:
                        result["published"] = training.against("published", 4)
                    results[f"{part}-{dtype}-{form}"] = result
    if given.json:
        Path(given.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
