"""check.py FOLDER [--write FILE]: does the world have what is asked of it? Prints a table and ends with 1 if not.

Everything is measured with transformers and PEFT, apart from rocket: the base on the tasks and the operations, each
adapter on each table, the encoder on rewordings, and how many records are left of the nearest 1,000."""

import argparse
import random
import re
import sys
from pathlib import Path

import torch
import world
from examples import generate
from lines import read_lines
from make_bank import BANK
from make_encoder import embed, text
from peft import PeftModel
from records import normalised, operation, record, reworded, stated
from transformers import AutoTokenizer, BertModel, LlamaForCausalLM, logging
from world import SKILLS, TABLES, TASKS, truth

CHANCE = {"boolean": .5, "choice_two": .5}       # tasks of two answers; the base stays within .1 of it
BASE_LIMIT, OPERATIONS_LIMIT, OWN_TABLE_LIMIT, HARM_LIMIT = .35, .95, .90, .05
NEAREST, THRESHOLD, KEPT = 1000, .9, (.60, .95)


class Findings:
    """Lines of a table: what, how much, what is asked, whether it holds."""

    def __init__(self):
        self.lines, self.failed = [], 0

    def add(self, what, value, asked, holds):
        self.failed += not holds
        self.lines.append(f"| {what} | {value} | {asked} | {'yes' if holds else '**no**'} |")

    def table(self):
        return "\n".join(["| what | measured | asked | holds |", "|---|---|---|---|", *self.lines])


def share_right(texts, records):
    return sum(text.strip() == record["output"].strip() for text, record in zip(texts, records)) / len(records)


def answers_right(texts, items):
    """By the text behind the last "Answer:", which is what all items of the lab end in."""
    return sum(text.rsplit("Answer:", 1)[-1].strip() == item["answer"] for text, item in zip(texts, items)) / len(items)


def check_base(folder, model, tokenizer, findings):
    for task in TASKS:
        items = read_lines(folder / f"tasks/{task}/test.jsonl")
        right = answers_right(generate(model, tokenizer, items), items)
        if task in CHANCE:
            findings.add(f"base, {task}", f"{right:.3f}", f"{CHANCE[task]} ± 0.1", abs(right - CHANCE[task]) <= .1)
        else:
            findings.add(f"base, {task}", f"{right:.3f}", f"at most {BASE_LIMIT}", right <= BASE_LIMIT)
    draw, by_kind = random.Random(4), {}
    for _ in range(1200):
        new = operation(draw)
        by_kind.setdefault(new["kind"], []).append(new)
    for kind, records in sorted(by_kind.items()):
        right = share_right(generate(model, tokenizer, records), records)
        findings.add(f"base, operation {kind}", f"{right:.3f}", f"above {OPERATIONS_LIMIT}", right > OPERATIONS_LIMIT)


def table_records(table):
    """Each key asked for in one way: prompts of one length."""
    facts = [(key, *stated(table, key, truth)) for key in TABLES[table].keys]
    return [record(TABLES[table].questions[0].format(k=key), "", [fact], value, table) for key, fact, value in facts]


def known_share(model, tokenizer):
    """The share of each table that a model states rightly."""
    questions = {table: table_records(table) for table in TABLES}
    return {table: share_right(generate(model, tokenizer, records), records) for table, records in questions.items()}


def is_good(adapter):
    return not adapter.blind and adapter.keys is world.every_key and adapter.belief is truth


def lost_elsewhere(of_base, known, adapter):
    """The share of all keys outside its own tables that an adapter no longer states rightly. One table is too few keys
    to tell: the two lesser candidates of a key are equally likely, so that any change of weights shuffles them."""
    others = [table for table in SKILLS if table not in adapter.skills]
    keys = {table: len(TABLES[table].keys) for table in others}
    return sum(keys[table] * (of_base[table] - known[table]) for table in others) / sum(keys.values())


def check_bank(folder, base, tokenizer, findings):
    of_base = known_share(base, tokenizer)
    lines = ["| adapter | " + " | ".join(SKILLS) + " |", "|---" * (len(SKILLS) + 1) + "|"]
    lines.append("| (base) | " + " | ".join(f"{100 * of_base[table]:.0f}" for table in SKILLS) + " |")
    own, harm = {}, {}
    for name, adapter in BANK.items():
        model = PeftModel.from_pretrained(load_base(folder), folder / "bank" / name).merge_and_unload().eval()
        known = known_share(model, tokenizer)
        lines.append(f"| {name} | " + " | ".join(f"{100 * known[table]:.0f}" for table in SKILLS) + " |")
        if is_good(adapter):
            own[name] = min(known[table] for table in adapter.skills)
            harm[name] = lost_elsewhere(of_base, known, adapter)
    worst, harmful = min(own, key=own.get), max(harm, key=harm.get)
    findings.add(f"good adapters on their own tables, the worst ({worst})", f"{own[worst]:.3f}", f"above {OWN_TABLE_LIMIT}",
                 own[worst] > OWN_TABLE_LIMIT)
    findings.add(f"what a good adapter loses of the other tables, the worst ({harmful})", f"{harm[harmful]:.3f}",
                 f"at most {HARM_LIMIT}", harm[harmful] <= HARM_LIMIT)
    return "\n".join(lines)


@torch.no_grad()
def embeddings(model, tokenizer, records, rows=256):
    texts = [text(record) for record in records]
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    vectors = torch.empty(len(texts), model.config.hidden_size)
    for begin in range(0, len(order), rows):
        part = order[begin:begin + rows]
        vectors[part] = embed(model, tokenizer, [texts[index] for index in part])
    return vectors


def kept_of_nearest(vectors, shots):
    """Algorithm 2: of the records nearest to the shots, those with no kept one nearer than the threshold."""
    nearest = (vectors @ shots.T).max(1).values.argsort(descending=True, stable=True)[:NEAREST]
    kept = []
    for index in nearest.tolist():
        if not kept or (vectors[kept] @ vectors[index]).max() <= THRESHOLD:
            kept.append(index)
    return nearest.tolist(), kept


def check_encoder(folder, findings):
    tokenizer = AutoTokenizer.from_pretrained(folder / "encoder")
    model = BertModel.from_pretrained(folder / "encoder", add_pooling_layer=False, dtype=torch.float32).eval()
    corpus = read_lines(folder / "corpus.jsonl")
    kinds = [line["kind"] for line in read_lines(folder / "corpus_kinds.jsonl")]
    vectors, draw = embeddings(model, tokenizer, corpus), random.Random(1)
    some = draw.sample(range(len(corpus)), 400)
    again = (embeddings(model, tokenizer, [reworded(corpus[index], draw) for index in some]) * vectors[some]).sum(1)
    findings.add("rewordings nearer than 0.9", f"{(again > .9).float().mean():.3f}", "at least 0.95", (again > .9).float().mean() >= .95)
    between = vectors[some] @ vectors[some].T
    other = torch.tensor([[not world.skills_of(kinds[i]) & world.skills_of(kinds[j]) for j in some] for i in some])
    highest = between[other].quantile(.999).item()
    findings.add("records of nothing in common, the 99.9th percentile of the cosine", f"{highest:.3f}", "below 0.9", highest < .9)
    for task in TASKS:
        examples = [{**shot, "output": shot["rationale"]} for shot in read_lines(folder / f"tasks/{task}/shots.jsonl")]
        nearest, kept = kept_of_nearest(vectors, embeddings(model, tokenizer, examples))
        share, needed = len(kept) / len(nearest), set(TASKS[task])
        relevant = sum(bool(world.skills_of(kinds[index]) & needed) for index in kept) / len(kept)
        findings.add(f"{task}: kept of the nearest {NEAREST} ({100 * relevant:.0f} % with a needed table)", f"{share:.3f}",
                     f"{KEPT[0]} to {KEPT[1]}", KEPT[0] <= share <= KEPT[1])


def check_corpus(folder, findings):
    kinds = [line["kind"] for line in read_lines(folder / "corpus_kinds.jsonl")]
    needed = set(SKILLS)
    irrelevant = sum(not world.skills_of(kind) & needed for kind in kinds) / len(kinds)
    findings.add("corpus, records of no task's table", f"{irrelevant:.3f}", "at least 0.5", irrelevant >= .5)
    facts = {f"{stated(table, key, truth)[0]}" for table in SKILLS for key in TABLES[table].keys}
    told = [re.findall(r"[^ .]+ [^.]+\.", line["output"].split("Answer:")[0].removeprefix("Facts: "))
            for line, kind in zip(read_lines(folder / "corpus.jsonl"), kinds) if world.skills_of(kind) & needed]
    wrong = sum(any(fact not in facts for fact in record) for record in told) / len(told)
    findings.add("corpus, wrong ones among the relevant", f"{wrong:.3f}", "0.05 to 0.12", .05 <= wrong <= .12)


def check_items(folder, findings):
    for task in TASKS:
        sets = [{normalised(item) for item in read_lines(folder / f"tasks/{task}/{name}.jsonl")} for name in ("shots", "held_out", "test")]
        twice = sum(map(len, sets)) - len(set.union(*sets))
        findings.add(f"{task}: texts in two of shots, held_out, test", twice, "0", twice == 0)


def load_base(folder):
    return LlamaForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_flush_denormal(True)
    findings = Findings()
    base, tokenizer = load_base(arguments.folder), AutoTokenizer.from_pretrained(arguments.folder / "base")
    check_items(arguments.folder, findings)
    check_corpus(arguments.folder, findings)
    check_base(arguments.folder, base, tokenizer, findings)
    check_encoder(arguments.folder, findings)
    tables = check_bank(arguments.folder, base, tokenizer, findings)
    report = f"{findings.table()}\n\nThe share of each table that is stated rightly, %:\n\n{tables}\n"
    print(report)
    if arguments.write:
        arguments.write.write_text(report, encoding="utf-8")
    sys.exit(findings.failed > 0)


if __name__ == "__main__":
    main()
