"""sentence-transformers' half of tests/bench/embed: embed_peer.py ENCODER TEXTS, commands as for bench_embed."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer


def padded(encoder, texts, batch):
    """As the paper's script: every text padded to the longest length of the encoder."""
    vectors = []
    for i in range(0, len(texts), batch):
        rows = encoder.tokenizer(texts[i : i + batch], padding="max_length", truncation=True,
                                 max_length=encoder.max_seq_length, return_tensors="pt")
        vectors.append(encoder(dict(rows))["sentence_embedding"].numpy())
    return np.concatenate(vectors)


@torch.inference_mode()
def serve(folder, file):
    encoder = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.float32})
    texts = json.loads(Path(file).read_text())
    for line in sys.stdin:
        command = json.loads(line)
        some, batch = texts[: command.get("texts")], command["batch"]
        start = time.perf_counter()
        if command["do"] == "padded":
            vectors = padded(encoder, some, batch)
        else:
            vectors = encoder.encode(some, batch_size=batch, show_progress_bar=False)
        seconds = time.perf_counter() - start
        if "out" in command:
            vectors.astype(np.float32).tofile(command["out"])
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
