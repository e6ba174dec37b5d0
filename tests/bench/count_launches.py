"""Launches a layer of transformers, PEFT, torchtune and the published loop over experts, counted on a random Llama in bfloat16.

An operator that computes or moves counts as one launch, as on the emulated device; views and memory do not count. Run by
.deps/oracle/bin/python (tests/parity/make_environment makes it); `--torchtune`: of that alone, which must
be importable (0.6.1 with torchao 0.10.0, which this PEFT refuses)."""
import collections
import sys
import warnings

import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode

import train_peer

warnings.filterwarnings("ignore")
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MEMORY = {"aten::detach", "aten::empty", "aten::empty_like", "aten::new_empty", "aten::_unsafe_view", "aten::lift_fresh", "aten::alias",
          "aten::empty_strided", "aten::new_empty_strided"}


class Launches(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        schema = function._schema
        views = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
        if not views and schema.name not in MEMORY:
            self.names[schema.name] += 1
        return function(*args, **(kwargs or {}))


def llama(layers):
    config = transformers.LlamaConfig(hidden_size=64, intermediate_size=160, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
                                      vocab_size=256)
    return transformers.LlamaForCausalLM(config).to(torch.bfloat16).requires_grad_(False)


def with_lora(layers, targets):
    from peft import LoraConfig, get_peft_model
    return get_peft_model(llama(layers), LoraConfig(r=8, target_modules=targets, lora_dropout=0.05, init_lora_weights=False))


def torchtune_with_lora(layers, attention, mlp):
    from torchtune.models.llama2 import lora_llama2
    model = lora_llama2(lora_attn_modules=attention, apply_lora_to_mlp=mlp, vocab_size=256, num_layers=layers, num_heads=4, num_kv_heads=2, embed_dim=64,
                        intermediate_dim=160, max_seq_len=64, lora_rank=8, lora_alpha=16, lora_dropout=0.05).to(torch.bfloat16)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return model


def with_experts(layers):
    model = llama(layers)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if name in LINEAR:
                experts = [(torch.randn(8, child.in_features), torch.randn(child.out_features, 8), 1.0) for _ in range(4)]
                setattr(parent, name, train_peer.LoopOverExperts(child, experts, torch.randn(4, child.in_features), 0.05))
    return model


def read(model):
    with torch.no_grad():
        model(torch.ones(2, 16, dtype=torch.long))


def train(model):
    output = model.train()(torch.ones(2, 16, dtype=torch.long))
    (output if torch.is_tensor(output) else output.logits).float().sum().backward()


def of_a_layer(make, do):
    """What one more layer costs."""
    totals = []
    for layers in (2, 4):
        model = make(layers)
        do(model)  # what is made once is made
        model.zero_grad(set_to_none=False)
        with Launches() as launches:
            do(model)
        totals.append(launches.names.total())
    return (totals[1] - totals[0]) / 2


class Step:
    """One step of a generation; the cache stands before it is counted."""

    def __call__(self, model):
        model.eval()
        with torch.no_grad():
            if not hasattr(model, "ours"):
                model.ours = model(torch.ones(2, 16, dtype=torch.long), use_cache=True).past_key_values
            model(torch.ones(2, 1, dtype=torch.long), past_key_values=model.ours, use_cache=True)


def main():
    attention = ["q_proj", "k_proj", "v_proj", "output_proj"]
    rows = [
        ("transformers, reading", llama, lambda m: read(m.eval())),
        ("PEFT, one adapter on q and v, reading", lambda n: with_lora(n, ["q_proj", "v_proj"]), lambda m: read(m.eval())),
        ("PEFT, one adapter on q and v, a step of a generation", lambda n: with_lora(n, ["q_proj", "v_proj"]), Step()),
        ("PEFT, one adapter on all linear layers, training", lambda n: with_lora(n, LINEAR), train),
        ("loop over four experts on all linear layers, training", with_experts, train),
        ("torchtune, one adapter on q and v, reading", lambda n: torchtune_with_lora(n, ["q_proj", "v_proj"], False), lambda m: read(m.eval())),
        ("torchtune, one adapter on all linear layers, training", lambda n: torchtune_with_lora(n, attention, True), train),
    ]
    wanted = "--torchtune" in sys.argv
    rows = [row for row in rows if row[0].startswith("torchtune") == wanted]
    for name, make, do in rows:
        print(f"{name}: {of_a_layer(make, do):.0f} launches a layer", flush=True)


if __name__ == "__main__":
    main()
