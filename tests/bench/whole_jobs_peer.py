"""The peers of tests/bench/whole_jobs: whole_jobs_peer.py JOB TOLD.json. Each reads files, computes with the usual libraries and writes files,
then prints its seconds after the imports and how far its answer agrees with rocket's, which was computed before."""

import json
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/parity"))
LAB, PREFIX = ROOT / "tests/lab", "Represent the following sentence for similar task retrieval: "


def read(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def near_walk(vectors, threshold, block=2048):
    """The rows that are kept, in order: a block against those kept before, then within itself."""
    kept = np.empty_like(vectors)
    count, result = 0, []
    for first in range(0, len(vectors), block):
        rows = vectors[first : first + block]
        stands = np.ones(len(rows), bool)
        for begin in range(0, count, block):
            stands &= (rows @ kept[begin : min(begin + block, count)].T).max(1) <= threshold
        near = np.tril(rows @ rows.T > threshold, -1)
        for i in np.flatnonzero(stands & near.any(1)):
            stands[i] = not (near[i, :i] & stands[:i]).any()
        result.append(first + np.flatnonzero(stands))
        kept[count : count + stands.sum()] = rows[stands]
        count += int(stands.sum())
    return np.concatenate(result)


def score(told):
    import h5py
    import torch
    import worlds
    from peer import Peer

    start = time.perf_counter()
    with torch.inference_mode():
        peer = Peer({**worlds.lab("choice_hard"), "dtype": "float32"})
        peer.load(None)
        rows = len(peer.names) + 1
        nll = np.array(peer.nll({"rows": rows, "batch": 25})["nll"])
        generated = peer.generate({"rows": rows, "batch": 25})["generated"]
        Path(told["score"]).write_text(json.dumps({"nll": nll.tolist(), "generated": generated}))
    seconds = time.perf_counter() - start
    with h5py.File(told["run"] + "/score.h5") as file:
        return seconds, f"nll within {np.abs(file['nll'][()] - nll).max():.1g}"


def embed(told):
    import oracle
    from sentence_transformers import SentenceTransformer

    start = time.perf_counter()
    model = SentenceTransformer(told["encoder"], device="cpu")
    records, shots = read(told["corpus"]), read(LAB / "tasks/choice_hard/shots.jsonl")
    vectors = model.encode([oracle.encoder_text(r) for r in records + shots], normalize_embeddings=True, show_progress_bar=False)
    np.savez(told["embed"], corpus=vectors[: len(records)], shots=vectors[len(records) :],
             similarity=(vectors[: len(records)] @ vectors[len(records) :].T).max(1))
    seconds = time.perf_counter() - start
    import h5py

    with h5py.File(str(Path(told["corpus"]).with_name("small") / "embed.h5")) as file:
        return seconds, f"cosines above {(file['embedding'][()] * vectors[: len(records)]).sum(1).min():.6f}"


def select(told):
    import h5py

    start = time.perf_counter()
    with h5py.File(told["wide"] + "/embed.h5") as file:
        vectors, shots = file["embedding"][()], file["shot_embedding"][()]
    protected = {" ".join((r["instruction"] + "\n" + r.get("input", "")).lower().split())
                 for path in (LAB / "tasks/choice_hard/shots.jsonl", told["items"]) for r in read(path)}
    records = read(told["all"])
    allowed = np.array([" ".join((r["instruction"] + "\n" + r["input"]).lower().split()) not in protected for r in records])
    similarity = np.minimum(vectors @ shots.T, 1).max(1)
    order = np.lexsort((np.arange(len(vectors)), -similarity))
    order = order[allowed[order]]
    kept = order[near_walk(vectors[order], np.float32(told["threshold"]))]
    with open(told["select"], "w", encoding="utf-8") as out:
        out.writelines(json.dumps({"record": int(i), "similarity": float(similarity[i]), **records[i]}) + "\n" for i in kept)
    seconds = time.perf_counter() - start
    with h5py.File(told["wide"] + "/select.h5") as file:
        return seconds, f"{len(kept)} kept, rocket {int(file['kept'][()].sum())}"


def finetune(told):
    import h5py
    import oracle
    import torch
    from train_peer import Peer, read_adapter
    from transformers import AutoConfig, AutoTokenizer

    start = time.perf_counter()
    records = read(told["run"] + "/selected.jsonl") + read(LAB / "tasks/choice_hard/shots.jsonl")
    examples = [{"ids": ids, "target_begin": first} for ids, first in oracle.examples(AutoTokenizer.from_pretrained(LAB / "base"), records)]
    folders = [str(LAB / "bank" / name) for name in json.loads(Path(told["run"], "experts.json").read_text())["experts"]]
    width = AutoConfig.from_pretrained(LAB / "base").hidden_size
    modules = set.intersection(*(set(read_adapter(folder)) for folder in folders))
    generator = np.random.default_rng(0)
    routers = {name: ((2 * generator.random((len(folders), width)) - 1) / width**0.5).ravel().tolist() for name in modules}
    orders = [generator.permutation(len(examples)) for _ in range(3)]
    batches = [order[i : i + 32].tolist() for order in orders for i in range(0, len(order), 32)]
    peer = Peer({"base": str(LAB / "base"), "dtype": "float32", "adapters": folders, "examples": examples})
    peer.load({"routers": routers, "batches": batches})
    loss = peer.train({"kind": "published", "dropout": 0.05, "micro_batch": 32})["loss"]
    torch.save(loss, told["finetune"])
    seconds = time.perf_counter() - start
    with h5py.File(told["run"] + "/training.h5") as file:
        ours = file["loss"][()]
    return seconds, f"{len(loss)} and {len(ours)} steps, last losses {np.mean(loss[-5:]):.3f} and {ours[-5:].mean():.3f}"


def evaluate(told):
    import oracle
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer

    run = Path(told["run"])
    sys.path.insert(0, str(run / "expert"))
    import h5py
    import mixture

    with h5py.File(run / "evaluate.h5") as file:
        ours = file["correct"][()].sum(1)
    choice = json.loads(Path(run, "experts.json").read_text())
    standings = [s for s in choice["standings"] if s["adapter"] != "(base)"]
    best = min(standings, key=lambda s: (-s["accuracy"], s["perplexity"], s["adapter"]))["adapter"]
    start = time.perf_counter()
    tokenizer, items = AutoTokenizer.from_pretrained(LAB / "base"), read(told["items"])

    def adapted(*names):
        """The base with the mean of the adapters' updates: their ranks side by side, as PEFT's `cat` does."""
        model = PeftModel.from_pretrained(oracle.load_base(LAB / "base"), LAB / "bank" / names[0], adapter_name=names[0])
        for name in names[1:]:
            model.load_adapter(LAB / "bank" / name, adapter_name=name)
        if len(names) > 1:
            model.add_weighted_adapter(list(names), [1 / len(names)] * len(names), "mean", combination_type="cat")
            model.set_adapter("mean")
        return model

    models = [lambda: oracle.load_base(LAB / "base"), lambda: adapted(best), lambda: adapted(*choice["experts"]),
              lambda: mixture.load(str(run / "expert"), str(LAB / "base"))]
    correct = []
    for load in models:
        model, texts = load().eval(), []
        for first in range(0, len(items), 50):
            texts += oracle.generations(model, tokenizer, items[first : first + 50], 64)
        correct.append(sum(oracle.choice(text) == oracle.choice(item["answer"]) for text, item in zip(texts, items)))
    Path(told["evaluate"]).write_text(json.dumps(correct))
    return time.perf_counter() - start, f"{correct} right, rocket {ours.tolist()}"


def dedup(told):
    from sentence_transformers import SentenceTransformer

    start = time.perf_counter()
    text = Path(told["corpus"]).read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in text]
    model = SentenceTransformer(told["encoder"], device="cpu")
    bare = ["\n".join(filter(None, (r["instruction"], r["input"], r["output"]))) for r in records]
    kept = near_walk(model.encode(bare, normalize_embeddings=True, show_progress_bar=False), np.float32(0.9))
    Path(told["dedup"]).write_text("".join(text[i] + "\n" for i in kept), encoding="utf-8")
    seconds = time.perf_counter() - start
    ours = len(Path(told["corpus"]).with_name("kept.jsonl").read_text(encoding="utf-8").splitlines())
    return seconds, f"{len(kept)} kept, rocket {ours}"


if __name__ == "__main__":
    job, told = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    if job not in ("select",):
        import torch

        torch.set_num_threads(told["threads"])
    seconds, agrees = globals()[job](told)
    print(json.dumps({"seconds": seconds, "agrees": agrees}))
