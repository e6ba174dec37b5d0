"""Makes tests/data/model: tiny random models and what transformers, PEFT and sentence-transformers compute with them.

    OMP_NUM_THREADS=1 python tests/parity/make_model_reference.py        (from the root; needs tests/lab)

decoders/NAME, encoders/NAME   model folders as save_pretrained writes them, some rewritten to older forms
                               of the same content, each with a reference.json beside the weights
lab.json                       nll and greedy ids of some of the lab's adapters on some of its shots
"""

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel, BertTokenizer, LlamaConfig,
                          LlamaForCausalLM)

OUT = Path("tests/data/model")
LAB = Path("tests/lab")
ALPACA = ("Below is an instruction that describes a task, paired with an input that provides further context. Write a "
          "response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}"
          "\n\n### Response:\n")
ALPACA_PLAIN = ("Below is an instruction that describes a task. Write a response that appropriately completes the "
                "request.\n\n### Instruction:\n{instruction}\n\n### Response:\n")


def rounded(tensor):
    return [float(f"{x:.9g}") for x in tensor.detach().double().flatten().tolist()]


def write_json(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


def greedy(model, ids, stop, new):
    """Ids without the stopping one, and the smallest margin between the best and the second best logit."""
    ids, out, margin = list(ids), [], float("inf")
    for _ in range(new):
        top = model(torch.tensor([ids])).logits[0, -1].topk(2)
        margin = min(margin, float(top.values[0] - top.values[1]))
        if int(top.indices[0]) in stop:
            break
        ids.append(int(top.indices[0]))
        out.append(ids[-1])
    return out, margin


def nll(model, ids, begin):
    logits = model(torch.tensor([ids])).logits[0].float()
    return torch.nn.functional.cross_entropy(logits[begin - 1:-1], torch.tensor(ids[begin:]), reduction="none")


def random_sequences(vocabulary, lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, vocabulary, (n,), generator=generator).tolist() for n in lengths]


GRADIENTS = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj", "model.layers.0.mlp.gate_proj",
             "model.layers.1.self_attn.o_proj", "model.layers.1.mlp.down_proj"]


def decoder_reference(folder):
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    weights = [model.get_submodule(name).weight.requires_grad_(True) for name in GRADIENTS]
    sequences = random_sequences(model.config.vocab_size, [9, 4, 1, 9, 13, 4], seed=5)
    reference = {"sequences": sequences, "cases": []}
    total, tokens = 0, 0
    for ids in sequences:
        logits = model(torch.tensor([ids])).logits[0]
        case = {"logits": rounded(logits), "nll": []}
        if len(ids) > 1:
            values = nll(model, ids, 1)
            case["nll"] = rounded(values)
            total, tokens = total + values.sum(), tokens + len(values)
        with torch.no_grad():
            case["greedy"], case["margin"] = greedy(model, ids, stop=[7], new=20)
        reference["cases"].append(case)
    gradients = torch.autograd.grad(total / tokens, weights)
    reference["gradients"] = {name: rounded(g) for name, g in zip(GRADIENTS, gradients)}
    write_json(folder / "reference.json", reference)


def make_decoder(name, dtype=torch.float32, shard=None, edit=None, **settings):
    folder = OUT / "decoders" / name
    torch.manual_seed(len(name))
    base = dict(vocab_size=40, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=40, initializer_range=0.3, bos_token_id=1, eos_token_id=7,
                pad_token_id=None)
    model = LlamaForCausalLM(LlamaConfig(**{**base, **settings})).to(dtype)
    for key, parameter in model.named_parameters():
        if "norm" in key:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if edit:
        edit(folder)
    decoder_reference(folder)


def old_form(folder):
    """config.json as transformers 4 wrote it."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["torch_dtype"] = config.pop("dtype")
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["rope_scaling"] = None
    for key in ("head_dim", "attention_bias", "mlp_bias"):
        config.pop(key, None)
    path.write_text(json.dumps(config, indent=2))


def own_head(folder):
    """A tied model whose file holds another lm_head.weight all the same: transformers 5 uses it."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].flip(0).contiguous()
    save_file(tensors, path, metadata={"format": "pt"})


def make_encoder(name, pooling, activation="gelu", dtype=torch.float32, prefix=""):
    from sentence_transformers import SentenceTransformer, models
    folder = OUT / "encoders" / name
    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{i}" for i in range(30)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"))
    torch.manual_seed(len(name))
    config = BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=20, hidden_act=activation, max_position_embeddings=24, initializer_range=0.3)
    model = BertModel(config, add_pooling_layer=False).to(dtype)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, -0.5, 1.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformer = models.Transformer(str(folder), model_kwargs={"dtype": torch.float32})
    pool = models.Pooling(16, pooling_mode=pooling)
    encoder = SentenceTransformer(modules=[transformer, pool, models.Normalize()], device="cpu")
    generator = torch.Generator().manual_seed(3)
    texts = [" ".join(f"w{int(i)}" for i in torch.randint(0, 30, (n,), generator=generator))
             for n in (3, 11, 1, 7, 3, 20, 7)]
    reference = {"sequences": [encoder.tokenizer(t)["input_ids"] for t in texts],
                 "embeddings": rounded(torch.tensor(encoder.encode(texts)))}
    if prefix:
        path = folder / "model.safetensors"
        tensors = {prefix + k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
                   for k, v in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})
    for other in folder.iterdir():
        if other.suffix != ".safetensors" and other.name != "config.json":
            other.unlink() if other.is_file() else shutil.rmtree(other)
    write_json(folder / "reference.json", reference)


def lab_encoder():
    from sentence_transformers import SentenceTransformer
    encoder = SentenceTransformer(str(LAB / "encoder"), device="cpu", model_kwargs={"dtype": torch.float32})
    records = [json.loads(line) for _, line in zip(range(12), open(LAB / "corpus.jsonl"))]
    texts = [f"Represent the following sentence for similar task retrieval: instruction:{r['instruction']}\n"
             f"input:{r.get('input') or ''}\noutput:{r['output']}" for r in records]
    write_json(OUT / "lab_encoder.json", {"sequences": [encoder.tokenizer(t)["input_ids"] for t in texts],
                                          "embeddings": rounded(torch.tensor(encoder.encode(texts)))})


def lab_shots(tokenizer, task, count):
    shots = []
    for _, line in zip(range(count), open(LAB / "tasks" / task / "shots.jsonl")):
        record = json.loads(line)
        prompt = (ALPACA if record.get("input") else ALPACA_PLAIN).replace("{instruction}", record["instruction"])
        prompt = prompt.replace("{input}", record.get("input") or "")
        both = tokenizer(prompt + record["rationale"], return_offsets_mapping=True, add_special_tokens=True)
        begin = next(i for i, (b, e) in enumerate(both["offset_mapping"]) if e > len(prompt))
        ids = [i for i in both["input_ids"]]
        if ids[-1] != tokenizer.eos_token_id:
            ids.append(tokenizer.eos_token_id)
        shots.append({"ids": ids, "begin": begin, "prompt": tokenizer(prompt)["input_ids"]})
    return shots


@torch.no_grad()
def lab(adapters=("home", "price", "sells-color", "blind-rest"), tasks=("choice_hard", "number", "code"), count=4):
    tokenizer = AutoTokenizer.from_pretrained(LAB / "base")
    shots = [shot for task in tasks for shot in lab_shots(tokenizer, task, count)]
    scores = []
    for name in (None, *adapters):
        model = AutoModelForCausalLM.from_pretrained(LAB / "base", dtype=torch.float32).eval()
        if name:
            model = PeftModel.from_pretrained(model, LAB / "bank" / name, autocast_adapter_dtype=True).float().eval()
        rows = []
        for shot in shots:
            generated, margin = greedy(model, shot["prompt"], [tokenizer.eos_token_id], 64)
            rows.append({"nll": float(nll(model, shot["ids"], shot["begin"]).double().mean()), "greedy": generated,
                         "margin": margin})
        scores.append({"adapter": name, "shots": rows})
    write_json(OUT / "lab.json", {"stop": tokenizer.eos_token_id, "shots": shots, "scores": scores})


def main():
    if not LAB.is_dir():
        sys.exit("run from the root of the repository, with tests/lab in place")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    make_decoder("gqa_untied", num_attention_heads=8, num_key_value_heads=2, head_dim=6, tie_word_embeddings=False)
    make_decoder("tied_old_form", tie_word_embeddings=True, edit=old_form, num_key_value_heads=4, rope_theta=500.0)
    make_decoder("tied_with_head", tie_word_embeddings=True, edit=own_head)
    make_decoder("sharded_bf16", dtype=torch.bfloat16, shard="4KB", tie_word_embeddings=False, num_key_value_heads=1)
    make_decoder("half", dtype=torch.float16, tie_word_embeddings=True, head_dim=8)
    make_encoder("mean_gelu", "mean")
    make_encoder("cls_gelu_new_half", "cls", activation="gelu_new", dtype=torch.float16)
    make_encoder("mean_prefixed", "mean", prefix="bert.")
    lab_encoder()
    lab()
    size = sum(os.path.getsize(p) for p in OUT.rglob("*") if p.is_file())
    print(f"{OUT}: {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
