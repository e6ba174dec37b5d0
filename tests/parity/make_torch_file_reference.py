"""Makes tests/data/formats/torch: files of torch.save and what torch.load reads from them.

    OMP_NUM_THREADS=1 python tests/parity/make_torch_file_reference.py        (from the root)
"""

import json
from pathlib import Path

import torch

OUT = Path("tests/data/formats/torch")


def tensors():
    torch.manual_seed(7)
    shared = torch.randn(4, 6)
    return {"f64": torch.randn(2, dtype=torch.float64), "f32": torch.randn(2, 3), "f16": torch.randn(3).half(),
            "bf16": torch.randn(2, 2).bfloat16(), "i64": torch.tensor([-(2**40), 5]), "i32": torch.tensor([-7]).int(),
            "i16": torch.tensor([-300]).short(), "i8": torch.tensor([-3, 4]).char(), "u8": torch.tensor([255]).byte(),
            "boolean": torch.tensor([True, False]), "scalar": torch.tensor(2.5), "empty": torch.empty(0, 3),
            "parameter": torch.nn.Parameter(torch.randn(2)), "grad": torch.randn(2, requires_grad=True),
            "shared": shared, "transposed": shared.t(), "rows": shared[1:3], "strided": shared[1::2, ::3],
            "cube": torch.arange(24, dtype=torch.int16).reshape(2, 3, 4).permute(2, 0, 1),
            "expanded": torch.tensor([1.0, 2.0]).expand(3, 2), "half columns": shared.half()[:, 2:4]}


def described(path):
    loaded = torch.load(path, weights_only=False)  # made above; the strict reader lacks protocol 4
    return {name: {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape),
                   "bytes": t.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex()
                   if t.numel() else ""} for name, t in loaded.items()}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    torch.save(tensors(), OUT / "all_types.bin")
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)).state_dict(), OUT / "state_dict.bin")
    torch.save({k: tensors()[k] for k in ("f32", "bf16")}, OUT / "protocol_4.bin", pickle_protocol=4)
    torch.save({"f8": torch.ones(2).to(torch.float8_e4m3fn)}, OUT / "float8.bin")
    torch.save({"layer": torch.nn.Linear(1, 1)}, OUT / "object.bin")
    good = ("all_types", "state_dict", "protocol_4")
    (OUT / "expected.json").write_text(json.dumps({n: described(OUT / f"{n}.bin") for n in good}, indent=1) + "\n")


main()
