"""Rocket's scores of a bank against transformers + PEFT: same weights, same tokens, same threads, by turns."""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import flops
import numpy as np
import worlds
import yaml
from halves import BUILD, ROOT, machine, peer_half, rocket_half, run, samples_table, table

BATCHES = (8, 16, 25, 50)
NLL_TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2}


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/score_bank")
    parser.add_argument("parts", nargs="*", default=[], metavar="lab|random160m|ranks", help="what to measure (default: all)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", nargs="+", choices=NLL_TOLERANCE, help="default: lab float32, random160m both")
    parser.add_argument("--task", default="choice_hard", help="of the lab")
    parser.add_argument("--rows", type=int, default=10**6, help="only the base and the first adapters, this many together")
    parser.add_argument("--shots", type=int, default=50)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--template", type=int, default=36, help="random160m: tokens that all prompts begin with")
    parser.add_argument("--only", choices=["nll", "generate"], help="one of the two passes")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="of the peer, the best is taken")
    parser.add_argument("--unit", type=int, nargs=2, default=(2, 50), help="rows and shots that rocket's job scores at once")
    parser.add_argument("--folder", help="where to make the random base (default: a temporary folder)")
    parser.add_argument("--json", help="write all that was measured here")
    given = parser.parse_args()
    given.parts = given.parts or ["lab", "random160m", "ranks"]
    return given


def best_batch(peer, what, given):
    """Tried on the base and one adapter, in rounds of some seconds together after one to warm up; the fastest of each counts."""
    def seconds(size):
        return peer.ask(do=what, rows=min(2, given.rows), batch=size)["seconds"]

    seconds(given.batches[0])
    best = {size: seconds(size) for size in given.batches}
    for _ in range(min(5, int(5 / sum(best.values())))):
        best = {size: min(best[size], seconds(size)) for size in best}
    print(f"  peer, {what}, 2 rows, seconds by batch size: " +
          ", ".join(f"{size}: {value:.3g}" for size, value in best.items()), flush=True)
    return min(best, key=best.get)


def take_turns(rocket, peer, rocket_command, peer_command, repeats):
    """Last answers, all seconds of both, and the ratio of the medians of processor time, which a busy machine moves less."""
    answers = [(rocket.ask(**rocket_command), peer.ask(**peer_command)) for _ in range(repeats)]
    seconds, cpu = ({who: [pair[i][what] for pair in answers] for i, who in enumerate(("rocket", "peer"))}
                    for what in ("seconds", "cpu"))
    return *answers[-1], seconds, statistics.median(cpu["peer"]) / statistics.median(cpu["rocket"])


def compare_nll(ours, theirs, dtype):
    ours, theirs = np.array(ours["nll"]), np.array(theirs["nll"])
    error = float((abs(ours - theirs) / theirs).max())
    if not error <= NLL_TOLERANCE[dtype]:
        sys.exit(f"nll differs by {error:.2g} relatively, allowed {NLL_TOLERANCE[dtype]}: seconds of a wrong answer mean nothing")
    moved = float(np.median(abs(ours[1:] - ours[0]) / ours[0]))
    return error, moved


def compare_generated(ours, theirs, dtype):
    pairs = [(a, b) for row, other in zip(ours["generated"], theirs["generated"]) for a, b in zip(row, other)]
    share = sum(a == b for a, b in pairs) / len(pairs)
    if dtype == "float32" and share < 0.999:
        sys.exit(f"only {share:.4f} of the generations are equal: seconds of a wrong answer mean nothing")
    return share


def measured_peak(world, dtype, threads):
    """The best of the matrix library as it comes and with the settings under which rocket runs it."""
    spec = json.dumps({"base": world["base"], "dtype": dtype, "threads": threads})
    command = [sys.executable, Path(__file__).with_name("flops.py"), spec]
    return max(json.loads(run(command, threads, **changes)) for changes in ({}, {"MKL_CBWR": "AVX512,STRICT"}))


class Comparison:
    """One world in one dtype: both halves loaded side by side, measured by turns."""

    def __init__(self, world, dtype, folder, given):
        self.world, self.dtype, self.given = world, dtype, given
        path = f"{folder}/world.json"
        worlds.write(world, dtype, path)
        self.rows = min(given.rows, 1 + sum(1 for _ in Path(world["bank"]).iterdir()))
        self.halves = {"rocket": rocket_half(path, given.threads), "peer": peer_half(path, given.threads)}
        self.rocket, self.peer = self.halves.values()
        self.memory, self.result = {}, {"dtype": dtype, "threads": given.threads, "rows": self.rows}

    def run(self):
        self.load()
        if self.given.only != "generate":
            self.nll()
        if self.given.only != "nll":
            self.generate()
        self.show_memory()
        for half in self.halves.values():
            half.close()
        return self.result

    def load(self):
        for name, half in self.halves.items():
            half.ask(do="wait")
            self.memory[name] = {"start": half.resident()}
        self.memory["rocket"] |= self.rocket.ask(do="load")
        self.memory["peer"] |= self.peer.ask(do="load")
        self.result["memory"] = self.memory

    def keep_peak(self, what):
        for name, half in self.halves.items():
            self.memory[name][what] = half.resident("VmHWM")
            half.forget_peak()

    def turns(self, what, ours, theirs):
        self.rocket.ask(**{**ours, "rows": min(2, self.rows)})
        for half in self.halves.values():
            half.forget_peak()
        answers = take_turns(self.rocket, self.peer, ours, theirs, self.given.repeats)
        self.keep_peak(what)
        return answers

    def nll(self):
        peak = measured_peak(self.world, self.dtype, self.given.threads)
        size = best_batch(self.peer, "nll", self.given)
        command = {"do": "nll", "rows": self.rows}
        ours, theirs, seconds, by_cpu = self.turns("nll", command, {**command, "batch": size})
        peak = max(peak, measured_peak(self.world, self.dtype, self.given.threads))
        error, moved = compare_nll(ours, theirs, self.dtype)
        samples_table({"nll: rocket": seconds["rocket"], f"nll: PEFT, batches of {size}": seconds["peer"]})
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        work = {name: flops.nll_flops(self.world, self.rows, name == "template_once") for name in ("each_alone", "template_once")}
        self.result["nll"] = {"seconds": seconds, "batch": size, "ratio": medians["peer"] / medians["rocket"],
                              "ratio_of_cpu": by_cpu, "error": error, "moved": moved,
                              "flops": work, "peak_flops_per_second": peak,
                              "share_of_peak": {who: {name: value / medians[who] / peak for name, value in work.items()}
                                                for who in medians}}
        self.show_nll(self.result["nll"])

    def show_nll(self, result):
        print(f"  nll: {result['ratio']:.2f} x as fast as PEFT ({result['ratio_of_cpu']:.2f} x by processor time)")
        print(f"  largest relative difference {result['error']:.1g}; adapters move the nll by {result['moved']:.1g} (median)")
        print(f"  matmul peak {result['peak_flops_per_second'] / 1e9:.0f} Gflop/s; share of it that the pass reaches:")
        table(["work", "Tflop", "rocket", "PEFT"],
              [[name, f"{work / 1e12:.4g}", *(f"{result['share_of_peak'][who][name]:.1%}" for who in ("rocket", "peer"))]
               for name, work in result["flops"].items()])

    def generate(self):
        size = best_batch(self.peer, "generate", self.given)
        ours, theirs, seconds, by_cpu = self.turns("generate", {"do": "score", "rows": self.rows, "unit": list(self.given.unit)},
                                           {"do": "generate", "rows": self.rows, "batch": size})
        alone = [self.rocket.ask(do="generate", rows=self.rows) for _ in range(self.given.repeats)]
        equal = min(compare_generated(answer, theirs, self.dtype) for answer in (ours, alone[-1]))
        seconds["generate"], cpu = [a["seconds"] for a in alone], statistics.median(a["cpu"] for a in alone)
        samples_table({"generation alone: rocket": seconds["generate"], "nll + generation: rocket": seconds["rocket"],
                       f"generation alone: PEFT, batches of {size}": seconds["peer"]})
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        self.result["generate"] = {"seconds": seconds, "batch": size, "equal": equal, "cpu_of_generation_alone": cpu,
                                   "ratio_of_generations": medians["peer"] / medians["generate"],
                                   "ratio_to_generation_alone": medians["peer"] / medians["rocket"], "ratio_of_cpu": by_cpu}
        print(f"  exact match, generation alone on both sides: {medians['peer'] / medians['generate']:.2f} x")
        print(f"  rocket's nll and generation against PEFT's generation alone: {medians['peer'] / medians['rocket']:.2f} x "
              f"({by_cpu:.2f} x by processor time)")
        if "nll" in self.result:
            self.show_both(medians)
        print(f"  generations that are equal: {equal:.2%}\n", flush=True)

    def show_both(self, medians):
        nll = {name: statistics.median(values) for name, values in self.result["nll"]["seconds"].items()}
        both = (medians["peer"] + nll["peer"]) / medians["rocket"]
        self.result["generate"]["ratio_to_nll_and_generation"] = both
        print(f"  both passes: {both:.2f} x (against PEFT's nll and generation)")

    def show_memory(self):
        def mb(value):
            return f"{value / 1e6:.0f}"

        base = self.memory["peer"]["base_bytes"]
        rows = []
        for name, m in self.memory.items():
            for what in ("nll", "generate"):
                if what in m:
                    above = m[what] - m["start"] - base
                    rows.append([name, what, mb(base), mb(m["adapter_bytes"]), mb(m["start"]), mb(m[what]), mb(above),
                                 mb(above - m["adapter_bytes"])])
        print("  memory, MB: `above` = peak - program - base weights")
        table(["", "pass", "base", "adapters", "program", "peak", "above", "above, without adapters"], rows)


def lab_config(folder, given):
    task = ROOT / "tests/lab/tasks" / given.task
    kinds = {"boolean": "boolean", "number": "number", "code": "code"}
    return {"run": str(folder), "device": "cpu", "base": {"path": str(ROOT / "tests/lab/base")},
            "bank": {"adapters": str(ROOT / "tests/lab/bank")},
            "task": {"name": given.task, "shots": str(task / "shots.jsonl"), "evaluation": str(task / "test.jsonl"),
                     "answer": kinds.get(given.task, "choice")},
            "corpus": {"records": [str(ROOT / "tests/lab/corpus.jsonl")]}, "encoder": {"path": str(ROOT / "tests/lab/encoder")},
            "scoring": {"max_new_tokens": given.new_tokens}}


def seconds_of_job(folder, name, ranks, given):
    """`rocket score` into a new run directory: the job's own seconds."""
    config = Path(folder, f"{name}.yaml")
    config.write_text(yaml.safe_dump(lab_config(Path(folder, name), given)))
    launcher = ["mpirun", "-np", ranks] if ranks > 1 else []
    run([*launcher, BUILD / "rocket", "score", config, "--quiet"])
    jobs = json.loads(run([BUILD / "rocket", "inspect", Path(folder, name), "jobs", "--format", "json"]))
    return next(job["seconds"] for job in jobs if job["job"] == "score")


def ranks(folder, given):
    print(f"ranks: {given.task}, the whole job (nll, generation, similarity)")
    seconds = {1: [], 2: []}
    for i in range(-1, given.repeats):
        for n, values in seconds.items():
            value = seconds_of_job(folder, f"run-{i}-{n}", n, given)
            if i >= 0:
                values.append(value)
    samples_table({f"rocket score, {n} rank{'s' * (n > 1)} of one thread": values for n, values in seconds.items()})
    ratio = statistics.median(seconds[1]) / statistics.median(seconds[2])
    print(f"  two ranks: {ratio:.3f} x as fast as one\n", flush=True)
    return {"seconds": seconds, "ratio": ratio}


def make_world(part, dtype, folder, given):
    if part == "lab":
        world = worlds.lab(given.task, given.new_tokens)
    else:
        world = worlds.random160m(Path(given.folder or folder, dtype), dtype, given.template, given.new_tokens)
    return {**world, "shots": world["shots"][: given.shots]}


def compare(part, dtype, folder, given):
    world = make_world(part, dtype, folder, given)
    comparison = Comparison(world, dtype, folder, given)
    print(f"{part}, {dtype}, {given.threads} thread(s): {comparison.rows} rows x {len(world['shots'])} shots, "
          f"{sum(len(shot['ids']) for shot in world['shots'])} tokens a row", flush=True)
    return comparison.run()


def main():
    given = arguments()
    results = {"machine": machine(), "arguments": vars(given)}
    print(f"{results['machine']}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for part in given.parts:
            if part == "ranks":
                results[part] = ranks(folder, given)
                continue
            for dtype in given.dtype or (["float32"] if part == "lab" else ["float32", "bfloat16"]):
                results[f"{part}-{dtype}"] = compare(part, dtype, folder, given)
    if given.json:
        Path(given.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
