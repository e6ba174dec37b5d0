"""`rocket tokenize` gives the ids and the texts of the `tokenizers` library, on 10^5 strings a tokenizer."""

from pathlib import Path

import pytest
from compare_tokenizers import differences
from conftest import LAB
from tokenizer_strings import Maker, texts_of

FOLDERS = sorted(str(file.parent) for root in (Path("tests/data/tokenizers"), LAB)
                 for file in (Path(__file__).resolve().parents[2] / root).glob("*/tokenizer.json"))


@pytest.fixture(scope="session")
def texts():
    made = Maker(2).make(98_000)
    return made + texts_of(LAB / "corpus.jsonl")[:4_000]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: Path(folder).name)
def test_ids_and_texts(rocket, texts, folder):
    assert len(texts) >= 100_000
    found = differences(rocket.path, folder, texts)
    assert not found, found[:3]
