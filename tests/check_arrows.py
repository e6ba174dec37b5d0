#!/usr/bin/env python3
"""Arrows between the modules of src/ go down only.

Reads the modules and what they DEPEND on from src/CMakeLists.txt and every #include of src/, and reports each
include of a module that is not below, and each library included by a module that may not know it. Also reports
who, of those that compute through a Backend, asks for a tensor's device or type to choose how.
"""
import re
import sys
from pathlib import Path

SRC = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "src")

# Whoever may include a header that matches; ATen is for the modules marked TORCH.
OWNERS = [
    (re.compile(r"(mpi|nccl)\.h$"), {"comm"}),
    (re.compile(r"hdf5.*\.h$|H5\w+\.h$"), {"store"}),
    (re.compile(r"yaml-cpp/"), {"config"}),
    (re.compile(r"(arrow|parquet)/"), {"formats"}),
]
# Whoever computes through a Backend does not choose by device or type; model/device.* finds the device.
THROUGH_BACKEND = {"model", "adapters", "moe", "scoring", "training"}
ASKS = re.compile(r"is_cpu\(|is_cuda\(|holds_floats|kernels\(\)|scalar_type\(\) *[!=]=|[!=]= *at::k(Float|BFloat16|CUDA|CPU)")
TORCH_HEADER = re.compile(r"(ATen|c10|torch)/")


def read_modules(cmake):
    """Name -> (names in DEPENDS, whether TORCH), in the order of the file."""
    modules = {}
    text = re.sub(r"#[^\n]*", "", cmake.read_text())
    for name, rest in re.findall(r"rocket_module\(\s*(\w+)([^)]*)\)", text):
        words = rest.split()
        depends = [word.removeprefix("rocket_") for word in words if word.startswith("rocket_")]
        modules[name] = ([other for other in depends if (SRC / other).is_dir()], "TORCH" in words)
    return modules


def below(modules, name):
    """The module itself and all that it stands on."""
    found = {name}
    for other in modules[name][0]:
        found |= below(modules, other) if other in modules and other != name else {other}
    return found


def check_order(modules):
    seen = set()
    for name, (depends, _) in modules.items():
        for other in depends:
            if other not in seen:
                yield f"src/CMakeLists.txt: {name} depends on {other}, which does not stand above it"
        seen.add(name)
    for folder in sorted(path.name for path in SRC.iterdir() if path.is_dir()):
        if folder not in modules:
            yield f"src/{folder}: no module of src/CMakeLists.txt"


def check_include(header, module, modules, allowed):
    first = header.split("/")[0]
    if "/" in header and first in modules:
        return None if first in allowed else f"{module} may not use {first}"
    for pattern, owners in OWNERS:
        if pattern.match(header) and module not in owners:
            return f"only {', '.join(sorted(owners))} may include it"
    if TORCH_HEADER.match(header) and not modules[module][1]:
        return f"{module} is not marked TORCH"
    return None


def check_includes(modules):
    for name in modules:
        allowed = below(modules, name)
        for path in sorted((SRC / name).rglob("*")):
            if path.suffix not in {".h", ".cpp", ".cu", ".cuh"}:
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                include = re.match(r'\s*#\s*include\s*[<"]([^>"]+)', line)
                if include is None:
                    continue
                problem = check_include(include[1], name, modules, allowed)
                if problem:
                    yield f"src/{path.relative_to(SRC)}:{number}: {include[1]}: {problem}"


def check_questions():
    for name in sorted(THROUGH_BACKEND):
        for path in sorted((SRC / name).rglob("*.*")):
            if path.stem == "device":
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if ASKS.search(line):
                    yield f"src/{path.relative_to(SRC)}:{number}: asks for a device or type: that is the Backend's: {line.strip()}"


def main():
    modules = read_modules(SRC / "CMakeLists.txt")
    if len(modules) < 2:
        sys.exit(f"{SRC / 'CMakeLists.txt'}: no modules found")
    order = list(check_order(modules))
    problems = order or [*check_includes(modules), *check_questions()]
    print(f"{len(modules)} modules, {len(problems)} problems")
    sys.exit("\n".join(problems) or 0)


main()
