"""Embeddings against sentence-transformers, Algorithm 2 against a plain walk over the stored embeddings."""

import json

import numpy as np
import oracle
import pytest
import torch
from conftest import ITEMS, LAB, TASK
from sentence_transformers import SentenceTransformer


@pytest.fixture(scope="module")
def corpus():
    return oracle.read_lines(LAB / "corpus.jsonl")


@pytest.fixture(scope="module")
def shots():
    return oracle.read_lines(TASK / "shots.jsonl")


@pytest.fixture(scope="module")
def duplicates(corpus, shots):
    known = {oracle.folded(record) for record in shots + oracle.read_lines(TASK / "test.jsonl")[:ITEMS]}
    return [i for i, record in enumerate(corpus) if oracle.folded(record) in known]


def test_embeddings_of_records_and_shots(embed, corpus, shots, measure):
    encoder = SentenceTransformer(str(LAB / "encoder"), device="cpu", model_kwargs={"dtype": torch.float32})

    def cosine(records, found):
        expected = encoder.encode([oracle.encoder_text(r) for r in records], normalize_embeddings=True)
        return (expected * found).sum(1) / np.linalg.norm(found, axis=1)

    some = list(range(0, len(corpus), len(corpus) // 500))[:500]
    assert embed["embedding"].shape == (len(corpus), 64)
    measure("embedding of 500 records: 1 - min cosine", 1 - cosine([corpus[i] for i in some], embed["embedding"][some]).min(),
            1e-5)
    measure("embedding of 50 shots: 1 - min cosine", 1 - cosine(shots, embed["shot_embedding"]).min(), 1e-5)
    measure("embeddings: max |norm - 1|", np.abs(np.linalg.norm(embed["embedding"], axis=1) - 1).max(), 1e-5)


def test_similarity_is_the_max_over_the_shots(embed, measure):
    expected = np.minimum(embed["embedding"] @ embed["shot_embedding"].T, 1).max(1)
    measure("similarity to the shots: max error", np.abs(expected - embed["similarity"]).max(), 1e-6)


def test_decontamination(select, duplicates):
    assert list(select["decontaminated"]) == duplicates


def test_algorithm_2(embed, select, duplicates, measure):
    retrieved, kept, dropped_by = oracle.algorithm_2(embed["embedding"], embed["shot_embedding"], set(duplicates))
    measure("retrieved records that differ", int((select["retrieved"] != retrieved).sum()), 0)
    measure("kept records that differ", int((select["kept"] != kept).sum()), 0)
    measure("dropped_by that differ", int((select["dropped_by"] != dropped_by).sum()), 0)


def test_selected_jsonl_holds_the_kept_records(run, select, corpus):
    lines = [json.loads(line) for line in (run / "selected.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["record"] for line in lines] == list(select["retrieved"][select["kept"] == 1])
    for line in lines:
        assert {name: line[name] for name in ("instruction", "input", "output")} == corpus[line["record"]]


@pytest.mark.parametrize("keep, threshold", [("first", 0.9), ("longest", 0.8)])
def test_dedup_of_the_whole_corpus(rocket, embed, corpus, tmp_path, keep, threshold, measure):
    """Every record's fate is checked against all pairs; a cosine within 1e-6 of the threshold may go either way."""
    lines = rocket("dedup", LAB / "corpus.jsonl", "--encoder", LAB / "encoder", "--keep", keep, "--threshold", threshold,
                   "--dropped", tmp_path / "dropped.jsonl", "--device", "cpu", "--text", "labelled", "--prefix", oracle.PREFIX).splitlines()
    dropped_by = np.full(len(corpus), -1)
    for line in oracle.read_lines(tmp_path / "dropped.jsonl"):
        dropped_by[line["record"]] = line["dropped_by"]
        assert line["file"] == str(LAB / "corpus.jsonl") and line["line"] == line["record"] + 1
    kept = np.flatnonzero(dropped_by < 0)
    written = (LAB / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines == [written[i] for i in kept]

    length = [len(r["instruction"] + r["input"] + r["output"]) for r in corpus]
    order = np.argsort([-n for n in length], kind="stable") if keep == "longest" else np.arange(len(corpus))
    place = np.argsort(order)
    standing = kept[np.argsort(place[kept])]
    unsure = wrong = 0
    for first in range(0, len(order), 1000):
        walked = order[first:first + 1000]
        cosine = embed["embedding"][walked] @ embed["embedding"][standing].T
        earlier = place[standing][None, :] < place[walked][:, None]
        surely, maybe = earlier & (cosine > threshold + 1e-6), earlier & (cosine > threshold - 1e-6)
        unsure += int((surely != maybe).sum())
        for record, sure, possible in zip(walked, surely, maybe):
            if dropped_by[record] < 0:
                wrong += sure.any()
            else:
                by = np.flatnonzero(standing == dropped_by[record])
                wrong += len(by) == 0 or not possible[by[0]] or sure[:by[0]].any()
    assert 1000 < len(kept) < len(corpus) - 1000
    measure(f"dedup, {keep}, {threshold}: records with a wrong fate ({unsure} of all pairs too near the threshold)", int(wrong), 0)
