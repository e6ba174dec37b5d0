"""What is scored: a base, a bank and shots as tokens, as one JSON file that rocket's half and the peer both read."""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/parity"))
import oracle

logging.disable_progress_bar()

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def lab(task, new_tokens=64):
    base = ROOT / "tests/lab/base"
    tokenizer = AutoTokenizer.from_pretrained(base)
    records = oracle.read_lines(ROOT / f"tests/lab/tasks/{task}/shots.jsonl")
    shots = []
    for record, (ids, first) in zip(records, oracle.examples(tokenizer, records)):
        prompt = tokenizer(oracle.prompt(record))["input_ids"]
        assert ids[: len(prompt)] == prompt, "the prompt's tokens are not those that the example begins with"
        shots.append({"ids": ids, "target_begin": first, "prompt_tokens": len(prompt)})
    return {"base": str(base), "bank": str(ROOT / "tests/lab/bank"), "shots": shots,
            "max_new_tokens": new_tokens, "stop_ids": [2]}


def llama_160m():
    return LlamaConfig(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, num_key_value_heads=12,
                       intermediate_size=3072, vocab_size=32000, max_position_embeddings=2048, tie_word_embeddings=False,
                       bos_token_id=1, eos_token_id=2, pad_token_id=0)


def write_base(folder, config, dtype):
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    # As they come, the logits are so flat that a wrong adapter would hardly move the nll.
    model.lm_head.weight.data *= 8
    model.to(dtype).save_pretrained(folder)


def write_adapter(folder, shapes, r, targets, seed, dtype=torch.float32):
    """`shapes`: {module: (outputs, inputs)}. Half of each factor is the same in all adapters of a rank: they are alike."""
    generators = [torch.Generator().manual_seed(s) for s in (r, 1000 + seed)]

    def factor(*shape):
        return sum(torch.randn(shape, generator=generator) for generator in generators) / 2**0.5

    tensors = {}
    for module, (outputs, inputs) in shapes.items():
        if module.rsplit(".", 1)[1] not in targets:
            continue
        prefix = f"base_model.model.{module}"
        tensors[f"{prefix}.lora_A.weight"] = (factor(r, inputs) / inputs**0.5).to(dtype)
        tensors[f"{prefix}.lora_B.weight"] = (factor(outputs, r) * 0.05).to(dtype)
    LoraConfig(r=r, lora_alpha=2 * r, target_modules=list(targets), task_type="CAUSAL_LM",
               base_model_name_or_path="random").save_pretrained(folder)
    save_file(tensors, f"{folder}/adapter_model.safetensors", metadata={"format": "pt"})


def linear_shapes(config):
    h, i, kv = config.hidden_size, config.intermediate_size, config.num_key_value_heads * config.head_dim
    of = {"self_attn.q_proj": (h, h), "self_attn.k_proj": (kv, h), "self_attn.v_proj": (kv, h),
          "self_attn.o_proj": (h, h), "mlp.gate_proj": (i, h), "mlp.up_proj": (i, h), "mlp.down_proj": (h, i)}
    return {f"model.layers.{n}.{name}": shape for n in range(config.num_hidden_layers) for name, shape in of.items()}


def random_shots(count, vocabulary, template, generator):
    """Lengths as real ones; the first `template` tokens are alike, as those of a prompt template are."""
    def tokens(n):
        return torch.randint(3, vocabulary, (n,), generator=generator).tolist()

    def length(low, high):
        return int(torch.randint(low, high + 1, (), generator=generator))

    head = tokens(template)
    shots = []
    for _ in range(count):
        prompt = head + tokens(length(80, 250) - template)
        shots.append({"ids": prompt + tokens(length(20, 150) - 1) + [2], "target_begin": len(prompt),
                      "prompt_tokens": len(prompt)})
    return shots


def shots_of_real_lengths(name, count, vocabulary, generator):
    """As many tokens as records of a real data set have (count_lengths.py), drawn at random."""
    pairs = json.loads(Path(__file__).with_name("record_lengths.json").read_text())[name][:count]
    if len(pairs) < count:
        raise SystemExit(f"record_lengths.json has {len(pairs)} records of {name}, {count} are asked for")
    return [{"ids": torch.randint(3, vocabulary, (prompt + target,), generator=generator).tolist(), "target_begin": prompt}
            for prompt, target in pairs]


def random160m(folder, dtype, template, new_tokens, adapters=16, shots=50):
    """A Llama of 162 M parameters and LoRAs of rank 8, 16 and 32 on q, v or on all linear layers, in files of `dtype`."""
    config, generator = llama_160m(), torch.Generator().manual_seed(0)
    base, bank = Path(folder, "base"), Path(folder, "bank")
    if not base.exists():
        write_base(base, config, getattr(torch, dtype))
    for i in range(adapters):
        write_adapter(bank / f"adapter-{i:02}", linear_shapes(config), (8, 16, 32)[i % 3],
                      LINEAR if i % 2 else ("q_proj", "v_proj"), i, getattr(torch, dtype))
    return {"base": str(base), "bank": str(bank), "shots": random_shots(shots, config.vocab_size, template, generator),
            "max_new_tokens": new_tokens, "stop_ids": [2]}


def write(world, dtype, path):
    Path(path).write_text(json.dumps({**world, "dtype": dtype}))
