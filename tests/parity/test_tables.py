"""The JSON of `rocket inspect` has the documented fields, and `rocket tokenize` speaks as transformers does."""

import json

import numpy as np
import pytest
from conftest import LAB
from transformers import AutoTokenizer

ROWS = {
    "scores": ["adapter", "perplexity", "perplexity_se", "accuracy", "accuracy_se", "place_perplexity", "place_accuracy",
               "place", "candidate", "expert", "exp_mean_nll"],
    "shots": ["adapter", "shot", "nll", "target_tokens", "correct", "generation"],
    "selection": ["record", "similarity", "kept", "dropped_by"],
    "training": ["step", "epoch", "loss", "learning_rate", "gradient_norm", "target_tokens", "seconds"],
    "evaluation": ["system", "correct", "items", "accuracy", "se", "nothing_found", "chance", "best", "better_than", "tokens"],
    "comparison": ["a", "b", "difference", "low", "high", "a_only", "b_only", "p", "p_holm", "beyond_chance", "a_best", "b_best"],
    "items": ["system", "item", "correct", "chosen", "gold", "generation", "extracted"],
    "costs": ["system", "item", "tokens", "seconds"],
    "jobs": ["job", "state", "parts_done", "parts_total", "seconds"],
}
OBJECTS = {
    "similarity": ["adapters", "matrix"],
    "experts": ["experts", "candidates", "tuples", "mean_similarity", "objective", "notes"],
}


@pytest.mark.parametrize("name", ROWS)
def test_tables_are_lists_of_objects(rocket, run, name):
    table = rocket.table(run, name)
    assert table and all(list(row) == ROWS[name] for row in table)


@pytest.mark.parametrize("name", OBJECTS)
def test_tables_are_one_object(rocket, run, name):
    assert list(rocket.table(run, name)) == OBJECTS[name]


def test_scores_agree_with_score_h5(rocket, run, score):
    rows = rocket.table(run, "scores")
    assert [row["adapter"] for row in rows] == list(score["adapter"])
    perplexity = np.exp(score["nll"])
    for i, row in enumerate(rows):
        assert row["perplexity"] == pytest.approx(perplexity[i].mean(), rel=1e-9)
        assert row["exp_mean_nll"] == pytest.approx(np.exp(score["nll"][i].mean()), rel=1e-9)
        assert row["perplexity_se"] == pytest.approx(perplexity[i].std(ddof=1) / 50**0.5, rel=1e-9)
        p = score["correct"][i].mean()
        assert row["accuracy"] == pytest.approx(p)
        assert row["accuracy_se"] == pytest.approx((p * (1 - p) / 50) ** 0.5)
    assert rows[0]["place"] is None
    assert sum(row["expert"] for row in rows) == 4 and sum(row["candidate"] for row in rows) == 8


def test_shots_count_from_0(rocket, run, score):
    rows = rocket.table(run, "shots")
    assert [(row["adapter"], row["shot"]) for row in rows] == [(name, i) for name in score["adapter"] for i in range(50)]
    assert [row["generation"] for row in rows] == list(score["generation"].ravel())


@pytest.mark.parametrize("folder", ["base", "encoder"])
def test_tokenize(rocket, folder):
    tokenizer = AutoTokenizer.from_pretrained(LAB / folder)
    texts = ["", " ", "Where does Kezok live?", "a\n\n### Input:\nb", "ünïcödé 日本 🙂\u2028x", "<s> </s> [SEP]", "x  y\t\tz"]
    texts += [json.loads(line)["instruction"] for line in open(LAB / "corpus.jsonl", encoding="utf-8")][:2000]
    stdin = "".join(json.dumps(text) + "\n" for text in texts)
    found = [json.loads(line) for line in rocket("tokenize", LAB / folder, stdin=stdin).split("\n") if line]
    assert found == [tokenizer(text)["input_ids"] for text in texts]
    stdin = "".join(json.dumps(ids) + "\n" for ids in found)
    back = [json.loads(line) for line in rocket("tokenize", LAB / folder, "--decode", stdin=stdin).split("\n") if line]
    assert back == [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in found]
