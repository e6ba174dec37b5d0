"""Exports in transformers and PEFT, and the evaluated generations, against the mixture by its definition."""

import importlib.util
import json

import numpy as np
import oracle
import pytest
import torch
from conftest import ITEMS, LAB, NEW_TOKENS, TASK
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


@pytest.fixture(scope="module")
def items():
    return oracle.read_lines(TASK / "test.jsonl")[:ITEMS]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(LAB / "base")


@pytest.fixture(scope="module")
def exported(run):
    """What the exported mixture.py loads."""
    spec = importlib.util.spec_from_file_location("mixture", run / "expert" / "mixture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(str(run / "expert"), str(LAB / "base"))


@pytest.fixture(scope="module")
def mean_delta(run):
    experts = json.loads((run / "expert" / "mixture.json").read_text())["experts"]
    return oracle.mean([oracle.deltas(run / "expert" / "experts" / name) for name in experts])


@torch.no_grad()
def logits(model, tokenizer, items):
    return [model(input_ids=torch.tensor([tokenizer(oracle.prompt(item))["input_ids"]])).logits[0] for item in items]


def max_error(first, second):
    return max((a - b).abs().max().item() for a, b in zip(first, second))


def test_mixture_json_names_the_experts_in_order(run, rocket):
    about = json.loads((run / "expert" / "mixture.json").read_text())
    assert about["experts"] == rocket.table(run, "experts")["experts"]
    assert about["top_k"] == 2


def test_mixture_py_computes_the_definition(run, exported, tokenizer, items, measure):
    assert not exported.training
    expected = oracle.mixture_model(LAB / "base", run / "expert")
    error = max_error(logits(exported, tokenizer, items), logits(expected, tokenizer, items))
    measure("mixture.py: max error of the logits", error, 1e-3)


def test_the_expert_generates_what_the_mixture_generates(exported, tokenizer, items, evaluate, measure):
    row = list(evaluate["system"]).index("expert")
    expected = oracle.generations(exported, tokenizer, items, NEW_TOKENS)
    measure(f"generations of the expert on {ITEMS} items that differ", int((evaluate["generation"][row] != expected).sum()), 0)


def best_on_the_shots(score):
    perplexity, accuracy = np.exp(score["nll"][1:]).mean(1), score["correct"][1:].mean(1)
    return score["adapter"][1:][np.lexsort((perplexity, -accuracy))[0]]


def test_the_rivals_generate_what_transformers_generates(evaluate, score, tokenizer, items, measure, run, rocket):
    bank = {name: oracle.deltas(LAB / "bank" / name) for name in rocket.table(run, "experts")["experts"]}
    rivals = {"base": {},
              "best_single": oracle.deltas(LAB / "bank" / best_on_the_shots(score)),
              "uniform_merge": oracle.mean(bank.values())}
    assert set(evaluate["system"]) == {"expert", *rivals}
    assert list(evaluate["item"]) == list(range(ITEMS))
    for name, change in rivals.items():
        model = oracle.add_to_base(LAB / "base", change)
        expected = oracle.generations(model, tokenizer, items, NEW_TOKENS)
        found = evaluate["generation"][list(evaluate["system"]).index(name)]
        measure(f"generations of {name} on {ITEMS} items that differ", int((found != expected).sum()), 0)


def test_correct_is_the_extracted_choice(evaluate, items):
    right = [[oracle.choice(text) == item["answer"] for text, item in zip(row, items)] for row in evaluate["generation"]]
    assert np.array_equal(np.array(right), evaluate["correct"] == 1)


def test_exported_experts_are_peft_folders(run, tokenizer, items, measure):
    names = json.loads((run / "expert" / "mixture.json").read_text())["experts"]
    worst = 0
    for name in names:
        folder = run / "expert" / "experts" / name
        adapted = PeftModel.from_pretrained(oracle.load_base(LAB / "base"), folder).eval()
        by_hand = oracle.add_to_base(LAB / "base", oracle.deltas(folder))
        worst = max(worst, max_error(logits(adapted, tokenizer, items[:5]), logits(by_hand, tokenizer, items[:5])))
    measure("experts as PEFT folders: max error of the logits", worst, 1e-3)


def test_merged_lora_is_the_mean_of_the_experts(run, tokenizer, items, mean_delta, measure):
    merged = PeftModel.from_pretrained(oracle.load_base(LAB / "base"), run / "expert" / "merged_lora").eval()
    found = oracle.deltas(run / "expert" / "merged_lora")
    assert sorted(found) == sorted(mean_delta)
    measure("merged_lora: max error of dW", max(np.abs(found[m] - mean_delta[m]).max() for m in found), 1e-6)
    by_hand = oracle.add_to_base(LAB / "base", mean_delta)
    measure("merged_lora: max error of the logits", max_error(logits(merged, tokenizer, items), logits(by_hand, tokenizer, items)),
            1e-3)


def test_merged_model_is_the_base_plus_the_mean(run, items, mean_delta, measure):
    folder = run / "expert" / "merged_model"
    merged = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    by_hand = oracle.add_to_base(LAB / "base", mean_delta)
    measure("merged_model: max error of the logits", max_error(logits(merged, tokenizer, items), logits(by_hand, tokenizer, items)),
            1e-3)
