"""The mixture and its training against a loop over PEFT's own layers: each expert's delta is what PEFT's LoraLayer adds for the adapter
of the bank, and only the routers come from what rocket exported."""

import importlib.util
import json

import oracle
import pytest
import torch
import yaml
from conftest import LAB, TASK, read_h5
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

EXPERTS = ["home", "price", "tool-weak", "color"]  # unequal ranks, scales (one rsLoRA) and targets
SHOTS = 50


@pytest.fixture(scope="module", params=[(2, 1.0), (1, 1.0), (4, 0.6)], ids=lambda rule: "top_k {}, top_p {}".format(*rule))
def runs(request, rocket, tmp_path_factory):
    """{epochs: run directory}: the mixture as it starts, with its export, and after one update on all shots at once; the rule."""
    folder, found = tmp_path_factory.mktemp("mixture"), {}
    for epochs in (0, 1):
        run, config = folder / f"run-{epochs}", folder / f"{epochs}.yaml"
        config.write_text(yaml.safe_dump({
            "run": str(run), "device": "cpu", "seed": 3, "base": {"path": str(LAB / "base")},
            "bank": {"adapters": [str(LAB / "bank" / name) for name in EXPERTS]},
            "task": {"shots": str(TASK / "shots.jsonl"), "evaluation": str(TASK / "test.jsonl"), "answer": "choice"},
            "corpus": {"records": [str(TASK / "test.jsonl")]}, "encoder": {"path": str(LAB / "encoder")},
            "scoring": {"max_new_tokens": 1}, "experts": {"names": EXPERTS}, "selection": {"policy": "none"},
            "mixture": dict(zip(("top_k", "top_p"), request.param)),
            "training": {"epochs": epochs, "global_batch": SHOTS, "lora_dropout": 0.0}}))
        for job in ("score", "experts", "embed", "select", "finetune"):
            rocket(job, config, "--quiet")
        found[epochs] = run
    rocket("export", folder / "0.yaml", "--quiet")
    return {**found, "rule": request.param}


@pytest.fixture(scope="module")
def about(runs):
    return json.loads((runs[0] / "expert/mixture.json").read_text())


class LoopOverPeft(torch.nn.Module):
    """x W + the sum over experts of gate * (what PEFT's layer gives with this adapter - what it gives without)."""

    def __init__(self, layer, names, router, rule):
        super().__init__()
        self.layer, self.names, (self.top_k, self.top_p) = layer, names, rule
        self.router = torch.nn.Parameter(router)

    def forward(self, x):
        p = torch.softmax(x @ self.router.T, -1)
        weights, chosen = torch.topk(p, min(self.top_k, len(self.names)), dim=-1)
        if self.top_p < 1:
            weights = weights * (weights.cumsum(-1) - weights < self.top_p)
        if self.top_k > 1 or len(self.names) == 1:
            weights = weights / weights.sum(-1, keepdim=True)
        plain = self.layer.base_layer(x)
        y = plain
        for i, name in enumerate(self.names):
            self.layer._active_adapter = [name]  # set_adapter() would also freeze the other adapters
            gate = torch.where(chosen == i, weights, 0.0).sum(-1, keepdim=True)
            y = y + gate * (self.layer(x) - plain)
        return y


@pytest.fixture(scope="module")
def peer(runs, about):
    """In float64: the base with the bank's adapters in PEFT's layers, these in loops."""
    experts = about["experts"]
    assert sorted(experts) == sorted(EXPERTS)
    model = None
    for name in experts:
        folder = LAB / "bank" / name
        if model is None:
            model = PeftModel.from_pretrained(oracle.load_base(LAB / "base"), folder, adapter_name=name, is_trainable=True)
        else:
            model.load_adapter(folder, adapter_name=name, is_trainable=True)
    model = model.double().eval()
    routers = load_file(runs[0] / "expert/router.safetensors")
    lm = model.get_base_model()
    layers = {name: layer for name, layer in lm.named_modules() if isinstance(layer, LoraLayer)}
    assert set(layers) == set(about["modules"])
    for name, layer in layers.items():
        mine = [expert for expert in experts if expert in layer.lora_A]
        assert mine == [experts[i] for i in about["modules"][name]]
        parent, leaf = name.rsplit(".", 1)
        loop = LoopOverPeft(layer, mine, routers[f"{name}.router.weight"].double(), runs["rule"])
        setattr(lm.get_submodule(parent), leaf, loop)
    for name, parameter in lm.named_parameters():
        parameter.requires_grad_(".lora_" in name or name.endswith(".router"))
    return lm


@pytest.fixture(scope="module")
def batch():
    tokenizer = oracle.AutoTokenizer.from_pretrained(LAB / "base")
    return oracle.examples(tokenizer, oracle.read_lines(TASK / "shots.jsonl"))


@torch.no_grad()
def test_mixture_py_computes_what_the_loop_over_peft_does(runs, peer, batch, measure, request):
    spec = importlib.util.spec_from_file_location("mixture", runs[0] / "expert/mixture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    exported = module.load(str(runs[0] / "expert"), str(LAB / "base"), dtype=torch.float64)
    worst = 0
    for ids, _ in batch[:10]:
        a, b = (model(input_ids=torch.tensor([ids])).logits[0].double() for model in (exported, peer))
        worst = max(worst, ((a - b).abs().max() / b.abs().max()).item())
    measure(f"mixture.py against PEFT's layers: relative error of the logits, {request.node.callspec.id}", worst, 1e-5)


def test_the_first_step_is_that_of_the_loop_over_peft(runs, peer, batch, measure, request):
    loss, targets = 0.0, sum(len(ids) - first for ids, first in batch)
    for ids, first in batch:
        logits = peer(input_ids=torch.tensor([ids]), use_cache=False).logits[0, first - 1 : -1]
        loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor(ids[first:]), reduction="sum") / targets
    parameters = [p for p in peer.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    norm = torch.stack([g.norm() for g in gradients if g is not None]).norm().item()
    log = read_h5(runs[1] / "training.h5")
    assert len(log["loss"]) == 1
    case = request.node.callspec.id
    measure(f"first step against PEFT's layers: relative error of the loss, {case}", abs(log["loss"][0] / loss.item() - 1), 1e-5)
    measure(f"first step against PEFT's layers: relative error of the gradient's norm, {case}", abs(log["gradient_norm"][0] / norm - 1), 1e-4)
