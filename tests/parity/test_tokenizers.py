"""`rocket tokenize` gives the ids and the texts of the `tokenizers` library: 10^5 strings for one tokenizer of every kind, and
20,000 for the others."""

from pathlib import Path

import pytest
from compare_tokenizers import as_lines, differences
from conftest import LAB, ROOT
from tokenizer_strings import Maker, texts_of

KINDS = ["llama3_like", "qwen2_like", "llama2_like", "bert_like", "xlmr_like"]
FOLDERS = sorted(file.parent for root in ("tests/data/tokenizers", LAB) for file in Path(ROOT, root).glob("*/tokenizer.json"))


@pytest.fixture(scope="session")
def texts():
    made = Maker(2).make(98_000) + texts_of(LAB / "corpus.jsonl")[:4_000]
    return made, as_lines(made)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_ids_and_texts(rocket, texts, folder):
    assert len(texts[0]) >= 100_000 and set(KINDS) <= {f.name for f in FOLDERS}
    some = slice(None) if folder.name in KINDS else slice(-20_000, None)
    found = differences(rocket.path, str(folder), texts[0][some], texts[1][some])
    assert not found, found[:3]
