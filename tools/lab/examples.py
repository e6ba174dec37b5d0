"""Records as tokens, batches and losses: what the base and the bank are trained and checked with."""

import torch
import torch.nn.functional as F
from records import prompt

PADDING, END = 0, 2


def encode(tokenizer, records):
    """(ids, first target token) of each record: prompt and target as one string, split at the character boundary, then the
    end token. The target is the rationale where there is one."""
    prompts = [prompt(record) for record in records]
    texts = [text + (record.get("rationale") or record["output"]) for text, record in zip(prompts, records)]
    encoded = tokenizer(texts, return_offsets_mapping=True)
    firsts = (next(i for i, (_, end) in enumerate(offsets) if end > len(text))
              for text, offsets in zip(prompts, encoded["offset_mapping"]))
    return [(ids + [END], first) for ids, first in zip(encoded["input_ids"], firsts)]


def collate(examples):
    """ids [B, T] and which of them are targets [B, T]."""
    length = max(len(ids) for ids, _ in examples)
    batch = torch.full((len(examples), length), PADDING)
    target = torch.zeros(len(examples), length, dtype=torch.bool)
    for row, (ids, first) in enumerate(examples):
        batch[row, :len(ids)] = torch.tensor(ids)
        target[row, first:len(ids)] = True
    return batch, target


def batches_of(examples, rows, draw):
    """Batches of examples of like length, so that little is padded, in random order."""
    ordered = sorted(examples, key=lambda example: len(example[0]))
    batches = [ordered[begin:begin + rows] for begin in range(0, len(ordered), rows)]
    draw.shuffle(batches)
    return [collate(batch) for batch in batches]


def target_losses(model, ids, target):
    """The negative log-likelihood of each target token, in row order."""
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    return F.cross_entropy(model.lm_head(hidden[target[:, 1:]]).float(), ids[:, 1:][target[:, 1:]], reduction="none")


@torch.no_grad()
def generate(model, tokenizer, records, new_tokens=64):
    """Greedy continuations; prompts of one length go together, so that none is padded."""
    prompts = [tokenizer(prompt(record))["input_ids"] for record in records]
    lengths = {}
    for index, ids in enumerate(prompts):
        lengths.setdefault(len(ids), []).append(index)
    texts = [None] * len(records)
    for indices in lengths.values():
        ids = torch.tensor([prompts[index] for index in indices])
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False,
                             pad_token_id=PADDING, eos_token_id=END)
        for index, row in zip(indices, out[:, ids.shape[1]:].tolist()):
            texts[index] = tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return texts
