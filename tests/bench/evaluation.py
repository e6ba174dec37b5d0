"""Evaluation of several systems as a user types it, beside lm-evaluation-harness, which is run once for each adapter.

choices: ARC-Easy by log-likelihood. generation: GSM8K with five examples. The base is SmolLM2-135M-Instruct, adapters are random.
rocket evaluates the base, each adapter and a mixture of them; the harness has no mixture and evaluates the base once more."""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from halves import BUILD, ROOT, lines, machine, run, table, timed
from transformers import AutoConfig
from worlds import linear_shapes, write_adapter

MODEL = ROOT / ".deps/smollm2"
DATA = ROOT.parent / "shared/data"
LAB = ROOT / "tests/lab"
# name: items, shots, rocket's task, and the task as lm-evaluation-harness's own files have it
TASKS = {
    "choices": ("forms/arc_easy.test.jsonl", "forms/arc_easy.train.jsonl", {"use": str(ROOT / "configs/tasks/arc_easy.yaml"), "fewshot": 0},
                {"output_type": "multiple_choice", "doc_to_text": "Question: {{question}}\nAnswer:", "num_fewshot": 0,
                 "doc_to_target": "{{choices.label.index(answerKey)}}", "doc_to_choice": "{{choices.text}}",
                 "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}]}),
    "generation": ("gsm8k/test.jsonl", "gsm8k/train.jsonl", {"use": str(ROOT / "configs/tasks/gsm8k.yaml"), "fewshot": 5},
                   {"output_type": "generate_until", "doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_target": "{{answer}}",
                    "num_fewshot": 5, "generation_kwargs": {"until": ["Question:", "</s>", "<|im_end|>"], "do_sample": False},
                    "metric_list": [{"metric": "exact_match"}],
                    "filter_list": [{"name": "strict", "filter": [{"function": "regex", "regex_pattern": "#### (\\-?[0-9\\.\\,]+)"},
                                                                  {"function": "take_first"}]}]}),
}


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/evaluation")
    parser.add_argument("--task", choices=TASKS, default="choices")
    parser.add_argument("--adapters", type=int, default=7, help="beside the base and the mixture: nine systems")
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--new-tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16, help="of the harness")
    parser.add_argument("--json", help="write all that was measured here")
    return parser.parse_args()


def prepare(folder, given):
    """Adapters, the chain that `rocket evaluate` stands on, the harness's task; rocket's command and the harness's, one a system."""
    shapes = linear_shapes(AutoConfig.from_pretrained(MODEL))
    adapters = [folder / f"bank/adapter-{i}" for i in range(given.adapters)]
    for i, adapter in enumerate(adapters):
        write_adapter(adapter, shapes, 8, ("q_proj", "v_proj"), i)
    items, shots, task, definition = TASKS[given.task]
    items, shots = lines(DATA / items, given.items, folder / "items.jsonl"), lines(DATA / shots, 5, folder / "shots.jsonl")
    config = folder / "config.yaml"
    config.write_text(json.dumps({  # JSON is YAML
        "run": str(folder / "run"), "device": "cpu", "base": {"path": str(MODEL)}, "bank": {"adapters": str(folder / "bank")},
        "task": {**task, "evaluation": items, "shots": shots, "k": 5},
        "corpus": {"records": [str(LAB / "corpus.jsonl")], "limit": 5}, "encoder": {"path": str(LAB / "encoder")},
        "experts": {"names": [adapter.name for adapter in adapters]}, "mixture": {"top_k": 2}, "selection": {"policy": "none"},
        "scoring": {"max_new_tokens": given.new_tokens}, "training": {"epochs": 0}, "evaluation": {"rivals": ["base", "each_expert"]}}))
    rocket = BUILD / "rocket"
    for job in "score", "experts", "embed", "select", "finetune":
        run([rocket, job, config, "--quiet"], given.threads)
    files = {"train": shots, "test": items}
    if given.task == "generation":
        definition["generation_kwargs"]["max_gen_toks"] = given.new_tokens
    (folder / "task.json").write_text(json.dumps({"task": "compared", "dataset_path": "json", "dataset_kwargs": {"data_files": files},
                                                  "fewshot_split": "train", "test_split": "test",
                                                  "fewshot_config": {"sampler": "first_n"}, **definition}))
    harness = [sys.executable, "-W", "ignore", Path(__file__).with_name("evaluation_peer.py"), MODEL, folder / "task.json", str(given.batch)]
    return [rocket, "evaluate", config, "--fresh", "--quiet"], [[*harness, *system] for system in ([], *([a] for a in adapters), [])]


def main():
    given = arguments()
    about = machine()
    print(f"{about}\n{given.threads} thread(s)\n", flush=True)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    os.environ.update(PYTHONPATH=str(ROOT / ".deps/harness"), HF_DATASETS_OFFLINE="1", HF_EVALUATE_OFFLINE="1")
    results = {"rocket": [], "lm-evaluation-harness": []}
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["HF_HOME"] = temporary
        ours, theirs = prepare(Path(temporary), given)
        for _ in range(given.repeats):
            results["rocket"].append(timed(ours, given.threads)[0])
            results["lm-evaluation-harness"].append(sum(timed(command, given.threads)[0] for command in theirs))
    rocket, harness = (statistics.median(results[name]) for name in results)
    table(["task", "systems", "items", "rocket", "lm-evaluation-harness", "ratio"],
          [[given.task, given.adapters + 2, given.items, f"{rocket:.3g} s", f"{harness:.3g} s", f"{harness / rocket:.2f}"]])
    if given.json:
        Path(given.json).write_text(json.dumps({"machine": about, "arguments": vars(given), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
