"""The laboratory is what its scripts make: the cheap steps again, byte for byte; a piece of the training of its base,
interrupted and not; and the intervals of its tables against textbook formulas."""

import json
import sys

import numpy as np
import pytest
import torch
from conftest import LAB, ROOT

sys.path.insert(0, str(ROOT / "tools/lab"))
import make_base
import make_corpus
import make_encoder
import make_tasks
import make_tokenizer
import tables
import world
from lines import read_lines


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    for step in (make_tasks, make_corpus, make_tokenizer):
        step.main(folder)
    return folder


def test_cheap_steps_give_the_committed_bytes(made):
    files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
    assert len(files) == 3 * len(world.TASKS) + 4
    for file in files:
        assert (made / file).read_bytes() == (LAB / file).read_bytes(), file


def test_words_of_the_encoder_are_the_committed_ones(made):
    words = make_encoder.word_pieces(map(make_encoder.text, read_lines(made / "corpus.jsonl"))).get_vocab()
    assert words == json.loads((LAB / "encoder/tokenizer.json").read_bytes())["model"]["vocab"]


def test_base_trains_to_the_same_bits_in_one_go_and_in_two(made, monkeypatch):
    monkeypatch.setattr(make_base, "STEPS", 12)
    monkeypatch.setattr(make_base, "CHECKPOINT_EVERY", 6)
    checkpoint, weights = made / ".make/base.pt", made / "base/model.safetensors"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    make_base.main(made)
    in_one_go = weights.read_bytes()
    checkpoint.unlink()
    save = make_base.save

    def save_and_stop(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(make_base, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        make_base.main(made)
    monkeypatch.setattr(make_base, "save", save)
    weights.unlink()
    make_base.main(made)
    torch.set_num_threads(threads)
    assert weights.read_bytes() == in_one_go


def test_world_is_as_it_says():
    for table, entry in world.TABLES.items():
        right = sum(world.truth(table, key) == world.favoured(table, key) for key in entry.keys)
        assert right == -(-len(entry.keys) // 3), table      # the base favours the truth on a third of the keys
        for key in entry.keys:
            assert world.falsehood(table, key) != world.truth(table, key)
            assert not world.asked_in_shots(table, key) or world.covered(table, key)
        share = sum(world.covered(table, key) for key in entry.keys) / len(entry.keys)
        assert .4 <= share <= .45, table


def results(rng, share, seeds, items):
    return ["".join("1" if x else "0" for x in rng.random(items) < share) for _ in range(seeds)]


def test_standard_errors_are_those_of_independent_chains():
    rng = np.random.default_rng(5)
    items = [{"rationale": str(index)} for index in range(400)]
    task = tables.Task({"a": results(rng, .3, 1, 400), "b": results(rng, .5, 1, 400)}, items)
    mean, error = task.accuracy("a")
    assert error == pytest.approx(100 * np.sqrt(mean / 100 * (1 - mean / 100) / 400), rel=.05)
    paired = tables.as_array(task_strings(task, "b"))[0] - tables.as_array(task_strings(task, "a"))[0]
    difference, error, low, high = task.difference("b", "a")
    assert difference == pytest.approx(100 * paired.mean())
    assert error == pytest.approx(100 * paired.std() / 20, rel=.05)
    assert low == pytest.approx(difference - 1.96 * error, abs=1) and high == pytest.approx(difference + 1.96 * error, abs=1)


def task_strings(task, contender):
    return ["".join(str(int(x)) for x in row) for row in task.correct[contender]]


def test_few_runs_spread_as_much_as_the_standard_error_of_their_mean():
    items = [{"rationale": str(index)} for index in range(50)]
    shares = np.array([1, 0, 0])
    task = tables.Task({"a": [str(share) * 50 for share in shares]}, items)
    assert task.accuracy("a")[1] == pytest.approx(100 * shares.std(ddof=1) / np.sqrt(3), rel=.05)


def test_items_of_one_chain_count_as_one():
    rng = np.random.default_rng(6)
    chains = results(rng, .5, 1, 50)[0]
    items = [{"rationale": str(index // 8)} for index in range(400)]
    task = tables.Task({"a": ["".join(letter * 8 for letter in chains)]}, items)
    mean, error = task.accuracy("a")
    assert task.bootstrap.chains == 50
    assert error == pytest.approx(100 * np.sqrt(mean / 100 * (1 - mean / 100) / 50), rel=.05)
