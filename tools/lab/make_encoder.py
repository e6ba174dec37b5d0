"""make_encoder.py FOLDER: a small BERT, taught how alike records are -> encoder/ (sentence-transformers form).

The cosine of two records: a rewording 1; the same fact asked for in another way .68; the same kind .55; a table in
common .42; else .05. Records are shown as rocket shows them to an encoder."""

import json
import random
import shutil
import sys
from collections import defaultdict
from pathlib import Path

import torch
import torch.nn.functional as F
import world
from lines import read_lines
from records import CHATTER, reworded
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

PREFIX = "Represent the following sentence for similar task retrieval: "
REWORDED, SAME_FACT, SAME_KIND, SHARED_TABLE, OTHER = 1., .68, .55, .42, .05
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
STEPS, ROWS, RATE, WIDTH = 1000, 64, 3e-3, 64


def text(record):
    return f"{PREFIX}instruction:{record['instruction']}\ninput:{record['input']}\noutput:{record['output']}"


def word_pieces(texts):
    """All words of the corpus, and characters for others. (The trainer of WordPiece breaks ties by chance.)"""
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = sorted({word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))})
    characters = sorted(set("".join(words)))
    entries = dict.fromkeys([*SPECIAL, *characters, *(f"##{character}" for character in characters), *words])
    pieces = Tokenizer(models.WordPiece({entry: number for number, entry in enumerate(entries)}, unk_token="[UNK]"))
    pieces.normalizer, pieces.pre_tokenizer, pieces.decoder = normalizer, splitter, decoders.WordPiece()
    pieces.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_max_length=128, model_input_names=["input_ids", "token_type_ids", "attention_mask"])


def embed(model, tokenizer, texts):
    """Means over the tokens of the last layer, of length 1 [texts, WIDTH]."""
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None].float()
    return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


class Corpus:
    """The corpus with what its records have in common."""

    def __init__(self, folder):
        self.records = read_lines(folder / "corpus.jsonl")
        kinds = [line["kind"] for line in read_lines(folder / "corpus_kinds.jsonl")]
        tables = [*world.TABLES, *CHATTER]
        self.tables = torch.tensor([[table in world.skills_of(kind) for table in tables] for kind in kinds]).float()
        self.by_kind, self.by_fact = defaultdict(list), defaultdict(list)
        for index, (kind, record) in enumerate(zip(kinds, self.records)):
            self.by_kind[kind].append(index)
            if kind not in CHATTER:
                self.by_fact[record["output"]].append(index)
        number = {kind: i for i, kind in enumerate(sorted(self.by_kind))}
        self.kinds = torch.tensor([number[kind] for kind in kinds])
        fact_number = {fact: i for i, fact in enumerate(self.by_fact)}
        self.facts = torch.tensor([fact_number.get(record["output"], -1 - i) for i, record in enumerate(self.records)])
        self.often_asked = [indices for indices in self.by_fact.values() if len(indices) > 5]

    def drawn(self, draw):
        """Half of them of two kinds or two facts, so that there is something in common."""
        indices = [draw.choice(self.by_kind[kind]) for kind in draw.sample(sorted(self.by_kind), 2) for _ in range(6)]
        indices += [index for _ in range(2) for index in draw.sample(draw.choice(self.often_asked), 6)]
        return indices + [draw.randrange(len(self.records)) for _ in range(ROWS - len(indices))]

    def likeness(self, indices):
        """The wanted cosines and the weight of each [n, n]."""
        kinds, facts, tables = self.kinds[indices], self.facts[indices], self.tables[indices]
        wanted = torch.full((len(indices), len(indices)), OTHER)
        wanted[tables @ tables.T > 0] = SHARED_TABLE
        wanted[kinds[:, None] == kinds] = SAME_KIND
        same_fact = facts[:, None] == facts
        wanted[same_fact] = SAME_FACT
        return wanted, 1 + 3 * (wanted > OTHER).float() + 12 * same_fact.float()


def shown(record, draw):
    """As it is, or with the bare answer for an output, as the shots of a task may be."""
    return record if draw.random() < .5 else {**record, "output": record["output"].split("Answer: ")[1]}


def step_loss(model, tokenizer, corpus, draw):
    indices = corpus.drawn(draw)
    records = [shown(corpus.records[index], draw) for index in indices]
    again = ROWS // 2                                     # so many once more, reworded
    records += [reworded(record, draw) for record in records[:again]]
    wanted, weight = corpus.likeness(torch.tensor(indices + indices[:again]))
    first, second = torch.arange(again), torch.arange(again) + ROWS
    for a, b in ((first, second), (second, first)):
        wanted[a, b], weight[a, b] = REWORDED, 40.
    weight.fill_diagonal_(0)
    vectors = embed(model, tokenizer, [text(record) for record in records])
    return (weight * (vectors @ vectors.T - wanted) ** 2).sum() / weight.sum()


def train(corpus, tokenizer):
    torch.manual_seed(0)
    model = BertModel(BertConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, intermediate_size=2 * WIDTH,
        max_position_embeddings=160, hidden_dropout_prob=0., attention_probs_dropout_prob=0.), add_pooling_layer=False)
    optimizer, draw, mean = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-3), random.Random(0), 0.
    model.train()
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 30, (1 - step / STEPS) / .6)
        loss = step_loss(model, tokenizer, corpus, draw)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        optimizer.step()
        optimizer.zero_grad()
        mean = .98 * mean + .02 * loss.item()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} of {STEPS}, loss {mean:.4f}", flush=True)
    return model.eval()


def write(model, tokenizer, folder):
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    model.half().save_pretrained(new)
    tokenizer.save_pretrained(new)
    (new / "1_Pooling").mkdir()
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    files = {
        "1_Pooling/config.json": {"word_embedding_dimension": WIDTH, **{f"pooling_mode_{mode}": mode == "mean_tokens" for mode in modes}},
        "sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": False},
        "modules.json": [{"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
                         for index, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")])],
    }
    for name, content in files.items():
        (new / name).write_text(json.dumps(content, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def main(folder):
    torch.set_flush_denormal(True)
    corpus = Corpus(folder)
    tokenizer = word_pieces(text(record) for record in corpus.records)
    model = train(corpus, tokenizer)
    print("parameters", sum(p.numel() for p in model.parameters()), "vocabulary", len(tokenizer))
    write(model, tokenizer, folder / "encoder")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
