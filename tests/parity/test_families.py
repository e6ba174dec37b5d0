"""Every family of decoders through the program, on fresh random models that transformers makes of its own configuration classes:
scores of a bank, the first step of a mixture, and the exports."""

import importlib.util
import json
import shutil

import numpy as np
import oracle
import pytest
import torch
import yaml
from conftest import LAB, TASK, read_h5
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from test_mixture import LoopOverPeft
from transformers import AutoConfig

SHOTS, NEW_TOKENS = 6, 8
NAMES = ["one", "two"]
FAMILIES = {
    "granite": dict(embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.22, logits_scaling=1.7),
    "smollm3": dict(no_rope_layer_interval=2, use_sliding_window=True, sliding_window=40),
    "olmo2": {},
    "phi3": dict(sliding_window=60, partial_rotary_factor=0.75),
    "gemma2": dict(head_dim=16, sliding_window=50, attn_logit_softcapping=3.0, final_logit_softcapping=5.0),
    "gemma3_text": dict(head_dim=16, sliding_window=50, sliding_window_pattern=2, query_pre_attn_scalar=9),
    "gpt_neox": {},
    "gemma3": dict(text=dict(model_type="gemma3_text", head_dim=16, sliding_window=50, sliding_window_pattern=2, query_pre_attn_scalar=9),
                   vision=dict(model_type="siglip_vision_model", hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                               intermediate_size=16, image_size=8, patch_size=4), mm_tokens_per_image=4),
    "qwen2_5_vl": dict(text=dict(rope_parameters={"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}),
                       vision=dict(depth=1, hidden_size=16, num_heads=2, intermediate_size=16, out_hidden_size=64, patch_size=2,
                                   window_size=8, fullatt_block_indexes=[0])),
}


def make_base(family, settings, folder):
    usual = dict(vocab_size=1600, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.1, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    if "vision" in settings:
        parts = {f"{part}_config": settings[part] for part in ("text", "vision")}
        settings = {key: value for key, value in settings.items() if key not in ("text", "vision")} | parts
        usual = {"text_config": usual | settings.pop("text_config")}
    config = AutoConfig.for_model(family, **usual | settings)
    torch.manual_seed(3)
    model = oracle.class_of(config).from_config(config)
    for key, parameter in model.named_parameters():
        if "norm" in key:
            torch.nn.init.uniform_(parameter, *((-0.5, 0.5) if family.startswith("gemma") else (0.5, 1.5)))
    model.save_pretrained(folder)
    for file in LAB.glob("base/tokenizer*"):
        shutil.copy(file, folder)


def make_bank(base, folder):
    for seed, name in enumerate(NAMES):
        torch.manual_seed(seed)
        model = oracle.load_base(base)
        targets = r"model\.language_model\..*_proj" if hasattr(model.config, "vision_config") else "all-linear"
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=3 + seed, lora_alpha=8, target_modules=targets))
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter, std=0.1)
        model.save_pretrained(folder / name)


@pytest.fixture(scope="module", params=list(FAMILIES))
def world(request, rocket, tmp_path_factory):
    """{"base", "bank": folders, 0 and 1: run directories by epochs, "shots"}."""
    folder = tmp_path_factory.mktemp(request.param)
    base, bank, shots = folder / "base", folder / "bank", folder / "shots.jsonl"
    make_base(request.param, FAMILIES[request.param], base)
    make_bank(base, bank)
    shots.write_text("".join(open(TASK / "shots.jsonl", encoding="utf-8").readlines()[:SHOTS]))
    found = {"name": request.param, "base": base, "bank": bank, "shots": oracle.read_lines(shots)}
    for epochs in (0, 1):
        config = folder / f"{epochs}.yaml"
        config.write_text(yaml.safe_dump({
            "run": str(folder / f"run-{epochs}"), "device": "cpu", "seed": 3, "base": {"path": str(base)},
            "bank": {"adapters": str(bank)},
            "task": {"shots": str(shots), "evaluation": str(shots), "answer": "choice", "k": SHOTS},
            "corpus": {"records": [str(shots)]}, "encoder": {"path": str(LAB / "encoder")},
            "scoring": {"max_new_tokens": NEW_TOKENS}, "experts": {"names": NAMES}, "selection": {"policy": "none"},
            "training": {"epochs": epochs, "global_batch": SHOTS, "lora_dropout": 0.0}}))
        for job in ("score", "experts", "embed", "select", "finetune"):
            rocket(job, config, "--quiet")
        found[epochs] = folder / f"run-{epochs}"
    for form in "mixture", "merged_model":
        rocket("export", folder / "0.yaml", "--as", form, "--quiet")
    return found


@pytest.fixture(scope="module")
def batch(world):
    return oracle.examples(oracle.AutoTokenizer.from_pretrained(LAB / "base"), world["shots"])


def test_scores_of_the_bank(world, batch, measure):
    bank = oracle.Bank(world["base"], world["bank"])
    nll, texts = [], []
    for _, model in bank.rows():
        nll.append(oracle.mean_nll(model, batch))
        made = oracle.generations(model, bank.tokenizer, world["shots"], NEW_TOKENS)
        texts.append([text.replace("\0", "\ufffd") for text in made])  # as HDF5 can hold it
    score = read_h5(world[0] / "score.h5")
    measure(f"{world['name']}: nll of base and bank, relative error", np.abs(score["nll"] / np.array(nll) - 1).max(), 1e-5)
    measure(f"{world['name']}: generations that differ", int((score["generation"] != np.array(texts, object)).sum()), 0)


@pytest.fixture(scope="module")
def peer(world):
    """In float64: the base with the bank's adapters in PEFT's layers, these in loops."""
    about = json.loads((world[0] / "expert/mixture.json").read_text())
    routers = load_file(world[0] / "expert/router.safetensors")
    model = PeftModel.from_pretrained(oracle.load_base(world["base"]), world["bank"] / about["experts"][0],
                                      adapter_name=about["experts"][0], is_trainable=True)
    for name in about["experts"][1:]:
        model.load_adapter(world["bank"] / name, adapter_name=name, is_trainable=True)
    lm = model.double().eval().get_base_model()
    layers = {name: layer for name, layer in lm.named_modules() if isinstance(layer, LoraLayer)}
    assert set(layers) == set(about["modules"])
    for name, layer in layers.items():
        parent, leaf = name.rsplit(".", 1)
        loop = LoopOverPeft(layer, about["experts"], routers[f"{name}.router.weight"].double(), (about["top_k"], 1.0))
        setattr(lm.get_submodule(parent), leaf, loop)
    for name, parameter in lm.named_parameters():
        parameter.requires_grad_(".lora_" in name or name.endswith(".router"))
    return lm


def test_the_first_step_is_that_of_the_loop_over_peft(world, peer, batch, measure):
    loss, targets = 0.0, sum(len(ids) - first for ids, first in batch)
    for ids, first in batch:
        logits = peer(input_ids=torch.tensor([ids]), use_cache=False).logits[0, first - 1 : -1]
        loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor(ids[first:]), reduction="sum") / targets
    gradients = torch.autograd.grad(loss, [p for p in peer.parameters() if p.requires_grad], allow_unused=True)
    norm = torch.stack([g.norm() for g in gradients if g is not None]).norm().item()
    log = read_h5(world[1] / "training.h5")
    measure(f"{world['name']}: loss of the first step, relative error", abs(log["loss"][0] / loss.item() - 1), 1e-5)
    measure(f"{world['name']}: norm of its gradient, relative error", abs(log["gradient_norm"][0] / norm - 1), 1e-4)


def largest_error(first, second, batch):
    with torch.no_grad():
        pairs = [[model(input_ids=torch.tensor([ids])).logits[0].double() for model in (first, second)] for ids, _ in batch]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def test_the_exports_compute_the_same(world, peer, batch, measure):
    spec = importlib.util.spec_from_file_location("mixture", world[0] / "expert/mixture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    mixture = module.load(str(world[0] / "expert"), str(world["base"]))
    measure(f"{world['name']}: logits of the exported mixture", largest_error(mixture, peer, batch), 1e-4)
    merged = oracle.load_base(world[0] / "expert/merged_model")
    by_hand = oracle.add_to_base(world["base"], oracle.mean(oracle.deltas(world["bank"] / name) for name in NAMES))
    measure(f"{world['name']}: logits of the merged model", largest_error(merged, by_hand, batch), 1e-4)
