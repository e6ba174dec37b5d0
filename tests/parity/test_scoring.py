"""Scores of the bank against transformers + PEFT, similarities against numpy on the formed dW."""

import numpy as np
import oracle
import pytest
from conftest import LAB, NEW_TOKENS, TASK


@pytest.fixture(scope="module")
def shots():
    return oracle.read_lines(TASK / "shots.jsonl")


@pytest.fixture(scope="module")
def expected(shots):
    """names, nll and generations of every row, by PEFT."""
    bank = oracle.Bank(LAB / "base", LAB / "bank")
    examples = oracle.examples(bank.tokenizer, shots)
    names, nll, texts = [], [], []
    for name, model in bank.rows():
        names.append(name)
        nll.append(oracle.mean_nll(model, examples))
        texts.append(oracle.generations(model, bank.tokenizer, shots, NEW_TOKENS))
    tokens = [len(ids) - first for ids, first in examples]
    return {"adapter": names, "nll": np.array(nll), "generation": np.array(texts, object), "target_tokens": tokens}


def test_rows_are_the_base_and_the_bank_by_name(score, expected):
    assert list(score["adapter"]) == expected["adapter"]
    assert list(score["shot"]) == list(range(50))
    assert list(score["target_tokens"]) == expected["target_tokens"]


def test_nll_of_every_adapter_and_shot(score, expected, measure):
    relative = np.abs(score["nll"] - expected["nll"]) / expected["nll"]
    assert score["nll"].shape == (39, 50)
    measure("nll of 39 x 50: max relative error", relative.max(), 1e-5)


def test_greedy_generations_are_equal(score, expected, measure):
    different = np.argwhere(score["generation"] != expected["generation"])
    for adapter, shot in different[:5]:
        print(expected["adapter"][adapter], shot, repr(score["generation"][adapter, shot]),
              repr(expected["generation"][adapter, shot]))
    measure("generations of 39 x 50 that differ", len(different), 0)


def test_correct_is_the_extracted_choice(score, shots, measure):
    right = [[oracle.choice(text) == shot["answer"] for text, shot in zip(row, shots)] for row in score["generation"]]
    measure("verdicts on 39 x 50 that differ", int((np.array(right) != score["correct"]).sum()), 0)


def test_similarity_of_all_pairs(score, measure):
    matrix = oracle.similarity_matrix([LAB / "bank" / name for name in score["adapter"][1:]])
    measure("similarity of 38 x 38: max error", np.abs(matrix - score["similarity"]).max(), 1e-6)


def test_the_experts_are_those_of_the_brute_force(score, rocket, run):
    expected = oracle.algorithm_1(list(score["adapter"][1:]), np.exp(score["nll"][1:]).mean(1),
                                  score["correct"][1:].mean(1), score["similarity"])
    found = rocket.table(run, "experts")
    for name in "experts", "candidates", "tuples":
        assert found[name] == expected[name]
    assert found["mean_similarity"] == pytest.approx(expected["mean_similarity"], abs=2e-9)
    assert found["objective"] == pytest.approx(expected["objective"])
