"""make_base.py FOLDER: pre-trains the base on endless text of the undecided writer -> base/. Goes on from its last checkpoint."""

import os
import random
import sys
import time
from pathlib import Path

import torch
from examples import batches_of, encode, target_losses
from muon import Muon
from records import base_record
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

STEPS, ROWS, WARM_UP = 8000, 64, 50
POOL = 8                       # batches drawn at once
CHECKPOINT_EVERY = 500
MATRIX_RATE, OTHER_RATE = .02, 3e-3


def new_model(vocabulary):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=-(-vocabulary // 16) * 16, hidden_size=128, intermediate_size=256, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, rope_theta=10000.0,
        tie_word_embeddings=True, pad_token_id=0, bos_token_id=1, eos_token_id=2))


def optimizers(model):
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return Muon(matrices, MATRIX_RATE), torch.optim.AdamW(others, lr=OTHER_RATE, betas=(.9, .98), weight_decay=0.)


def batches(tokenizer, pool):
    """The batches of a pool: a function of its number alone, so that training can go on anywhere."""
    draw = random.Random(f"base/{pool}")
    return batches_of(encode(tokenizer, [base_record(draw) for _ in range(ROWS * POOL)]), ROWS, draw)


def rate(step):
    """The share of the full learning rate: a short rise, half of the steps at full, then a straight line down."""
    return min(1, (step + 1) / WARM_UP, max(.02, 2 * (1 - step / STEPS)))


def save(path, model, optimizers, step):
    torch.save({"step": step, "model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers]}, f"{path}.new")
    os.replace(f"{path}.new", path)


def train(folder, tokenizer):
    model, checkpoint = new_model(len(tokenizer)), folder / ".make/base.pt"
    steppers, first = optimizers(model), 0
    full = [stepper.param_groups[0]["lr"] for stepper in steppers]
    if checkpoint.exists():
        kept = torch.load(checkpoint)
        first = kept["step"]
        model.load_state_dict(kept["model"])
        for stepper, state in zip(steppers, kept["optimizers"]):
            stepper.load_state_dict(state)
    started, total = time.time(), 0.
    for step in range(first, STEPS):
        if step % POOL == 0 or step == first:
            pool = batches(tokenizer, step // POOL)
        for stepper, lr in zip(steppers, full):
            stepper.param_groups[0]["lr"] = lr * rate(step)
        loss = target_losses(model, *pool[step % POOL]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} of {STEPS}, loss {total / 100:.4f}, {time.time() - started:.0f} s", flush=True)
            total = 0.
        if (step + 1) % CHECKPOINT_EVERY == 0:
            save(checkpoint, model, steppers, step + 1)
    return model


def main(folder):
    torch.set_flush_denormal(True)
    (folder / ".make").mkdir(parents=True, exist_ok=True)
    model = train(folder, AutoTokenizer.from_pretrained(folder / "base"))
    print("parameters", sum(p.numel() for p in model.parameters()))
    model.save_pretrained(folder / "base")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
