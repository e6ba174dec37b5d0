"""One LoRA trained by rocket against PEFT and a plain PyTorch loop: padded batches, whole logits, torch.optim.AdamW."""

import math

import oracle
import pytest
import torch
import yaml
from conftest import LAB, TASK, read_h5
from peft import PeftModel

STEPS, RATE, WARMUP, DECAY, CLIP = 20, 3e-3, 0.1, 0.05, 0.03


def rate(step):
    w = math.ceil(WARMUP * STEPS)
    return RATE * step / w if step <= w else RATE / 2 * (1 + math.cos(math.pi * (step - 1 - w) / (STEPS - w)))


@pytest.fixture(scope="module")
def folders(rocket, tmp_path_factory):
    """{epochs: run directory}: the adapter as it starts, and after STEPS updates on all shots at once."""
    folder = tmp_path_factory.mktemp("adapter")
    runs = {}
    for epochs in (0, STEPS):
        config = folder / f"{epochs}.yaml"
        config.write_text(yaml.safe_dump({
            "run": str(folder / f"run-{epochs}"), "device": "cpu", "seed": 5, "base": {"path": str(LAB / "base")},
            "adapter": {"records": [str(TASK / "shots.jsonl")], "name": "one", "rank": 6, "alpha": 9, "scaling": "rslora",
                        "targets": ["q_proj", "v_proj", "down_proj"]},
            "training": {"learning_rate": RATE, "epochs": epochs, "global_batch": 50, "micro_batch_tokens": 700, "warmup": WARMUP,
                         "weight_decay": DECAY, "clip": CLIP, "lora_dropout": 0.0}}))
        rocket("train-adapter", config, "--quiet")
        runs[epochs] = folder / f"run-{epochs}"
    return runs


@pytest.fixture(scope="module")
def batch():
    tokenizer = oracle.AutoTokenizer.from_pretrained(LAB / "base")
    examples = oracle.examples(tokenizer, oracle.read_lines(TASK / "shots.jsonl"))
    longest = max(len(ids) for ids, _ in examples)
    ids, mask = torch.zeros(2, len(examples), longest, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, (tokens, first) in enumerate(examples):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = torch.tensor(tokens), 1
        labels[row, first : len(tokens)] = torch.tensor(tokens[first:])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@pytest.fixture(scope="module")
def peer(folders, batch):
    """The model after the same updates, and the curve on the way."""
    model = PeftModel.from_pretrained(oracle.load_base(LAB / "base"), folders[0] / "adapter/one", is_trainable=True)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY)
    losses, norms = [], []
    for step in range(1, STEPS + 1):
        loss = model(**batch, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, CLIP)))
        losses.append(loss.item())
        optimizer.param_groups[0]["lr"] = rate(step)
        optimizer.step()
    return model, losses, norms


def test_the_curve_is_that_of_peft(folders, peer, measure):
    log = read_h5(folders[STEPS] / "adapter_training.h5")
    _, losses, norms = peer
    assert losses[-1] < 0.9 * losses[0]
    for name, expected, bound in (("loss", losses, 1e-4), ("gradient_norm", norms, 1e-3)):
        worst = max(abs(a - b) / b for a, b in zip(log[name], expected, strict=True))
        measure(f"train-adapter, {STEPS} steps: relative error of {name}", worst, bound)


def test_the_folder_has_learned_what_peft_has(folders, peer, batch, measure):
    ours = PeftModel.from_pretrained(oracle.load_base(LAB / "base"), folders[STEPS] / "adapter/one").eval()
    with torch.no_grad():
        a, b = (model(**batch, use_cache=False).loss.item() for model in (ours, peer[0]))
    assert b < 0.9 * peer[1][0]
    measure("train-adapter: relative difference of the final loss to PEFT's", abs(a - b) / b, 1e-4)


def test_a_fresh_adapter_is_what_peft_starts_with(folders):
    model = PeftModel.from_pretrained(oracle.load_base(LAB / "base"), folders[0] / "adapter/one")
    factors = {name: p.detach() for name, p in model.named_parameters() if ".lora_" in name}
    assert len(factors) == 2 * 3 * 4
    for name, values in factors.items():
        if ".lora_B." in name:
            assert not values.any()
            continue
        bound = 1 / math.sqrt(values.shape[1])
        assert values.abs().max() <= bound and values.abs().max() > 0.98 * bound and abs(values.mean()) < 0.05 * bound
        assert abs(values.std() / (bound / math.sqrt(3)) - 1) < 0.05
