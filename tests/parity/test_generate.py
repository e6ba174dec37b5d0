"""`rocket generate` against a loop over transformers and PEFT, one token after the other: greedy answers, log-probabilities, and
tokens drawn by an independent reading of docs/method.md with NumPy's own Philox (philox.py)."""

import json

import numpy as np
import oracle
import philox
import pytest
import torch
from conftest import LAB, TASK
from peft import PeftModel
from transformers import AutoTokenizer

ADAPTER, NEW_TOKENS, PROMPTS, SEED = "sells-color", 20, 12, 11
NEAR = 1e-4  # of a running sum from the bar, or between two logits: either token is right within float32


@pytest.fixture(scope="module")
def records():
    return oracle.read_lines(TASK / "test.jsonl")[:PROMPTS]


@pytest.fixture(scope="module")
def systems():
    base = oracle.load_base(LAB / "base")
    adapted = PeftModel.from_pretrained(oracle.load_base(LAB / "base"), LAB / "bank" / ADAPTER).eval()
    return {"base": base, ADAPTER: adapted}


def answers(rocket, folder, records, system, *flags):
    config = folder / "config.yaml"
    config.write_text(json.dumps({"run": str(folder / "run"), "device": "cpu", "base": {"path": str(LAB / "base")},
                                  "bank": {"adapters": str(LAB / "bank")}, "scoring": {"max_new_tokens": NEW_TOKENS}}))
    (folder / "prompts.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    rocket("generate", config, "--input", folder / "prompts.jsonl", "--output", folder / "out.jsonl", "--system", system, "--logprobs",
           "--seed", SEED, "--quiet", *flags)
    return oracle.read_lines(folder / "out.jsonl")


def drawn(logits, temperature, top_p, text, position):
    """The token, and how near the bar is to another one."""
    p = np.exp((logits - logits.max()) / temperature)
    p /= p.sum()
    order = np.lexsort((np.arange(len(p)), -p))
    reached = np.cumsum(p[order])
    count = int(np.searchsorted(reached, top_p)) + 1 if top_p < 1 else len(p)
    kept = np.zeros(len(p), bool)
    kept[order[:count]] = True
    running = np.cumsum(np.where(kept, p, 0.0))
    bar = philox.uniform(SEED, "generate", np.array([text * 2**24 + position], np.uint64))[0] * running[-1]
    token = int(np.argmax(running > bar))
    edge = min(abs(running - bar).min(), abs(reached[:count] - top_p).min() if top_p < 1 else 1.0)
    return token, edge


@pytest.mark.parametrize("system", ["base", ADAPTER])
@pytest.mark.parametrize("temperature, top_p", [(0, 1.0), (0.7, 1.0), (1.3, 0.9), (1.0, 0.3)])
def test_tokens_and_their_logprobs(rocket, records, systems, system, temperature, top_p, tmp_path, measure):
    made = answers(rocket, tmp_path, records, system, "--temperature", temperature, "--top-p", top_p)
    tokenizer, model = AutoTokenizer.from_pretrained(LAB / "base"), systems[system]
    stops = {tokenizer.eos_token_id}
    worst, different, near = 0.0, 0, 0
    for text, (record, answer) in enumerate(zip(records, made)):
        ids, new, logprobs, edges = tokenizer(oracle.prompt(record))["input_ids"], [], [], []
        while len(new) < NEW_TOKENS:
            with torch.no_grad():
                logits = model(torch.tensor([ids + new])).logits[0, -1].double()
            if temperature:
                token, edge = drawn(logits.numpy(), temperature, top_p, text, len(new))
            else:
                best = torch.topk(logits, 2)
                token, edge = int(best.indices[0]), float(best.values[0] - best.values[1])
            edges.append(edge)
            if token in stops:
                break
            new.append(token)
            logprobs.append(float(torch.log_softmax(logits, -1)[token]))
        if answer["generation"] != tokenizer.decode(new, skip_special_tokens=True):
            near += min(edges) < NEAR
            different += min(edges) >= NEAR
            continue
        assert len(answer["logprobs"]) == len(logprobs)
        worst = max([worst, *np.abs(np.subtract(answer["logprobs"], logprobs))])
    what = f"generate, {system}, temperature {temperature}, top_p {top_p}"
    measure(f"{what}: {len(made)} answers that differ", different, 0)
    measure(f"{what}: near edges", near, 2)
    measure(f"{what}: largest difference of a log-probability", worst, 2e-5)
