"""Makes the files in this folder: what other people's libraries make of the same small models.

Usage: make.py OUT (blake3 1.0.11, bitsandbytes 0.50.2, mergekit 0.1.5, numpy, peft 0.21.2,
safetensors 0.8.0, torch 2.15.0, torchao 0.18.0 from PyPI; nothing is downloaded, no GPU is used).

base, a, b and c are the models. For each case NAME of cases.json: the strategy, models and
parameters to give to ours, and NAME.safetensors, which the library made. int8-base.safetensors
holds rows of floats, int8-LIBRARY.safetensors the integers that the library made of them, and
int8-back.safetensors what bitsandbytes makes of its integers again.
"""
import json
import sys
import tempfile

import bitsandbytes.functional
import mergekit.scripts.merge_raw_pytorch as raw
import peft.utils.merge_utils as peft
import torch
import torchao.quantization.quant_primitives as torchao
from blake3 import blake3
from mergekit.graph import Executor
from mergekit.options import MergeOptions
from safetensors.torch import load_file, save_file

OUT = sys.argv[1]
SEED = 9
MODELS = ["a", "b", "c"]
# Each tensor has a shape of its own: the drawn masks are told apart by it.
SHAPES = {
    "f32": ((12, 20), torch.float32),
    "f64": ((10, 14), torch.float64),
    "bias": ((9,), torch.float32),
    "bf16": ((11, 16), torch.bfloat16),
}


def models():
    torch.manual_seed(11)
    base = {name: torch.randn(shape, dtype=torch.float64) * 0.1 for name, (shape, _) in SHAPES.items()}
    made = {"base": base}
    for model in MODELS:
        made[model] = {
            name: value + torch.randn(value.shape, dtype=torch.float64) * 0.02 for name, value in base.items()
        }
    for name, tensors in made.items():
        tensors = {key: value.to(SHAPES[key][1]) for key, value in tensors.items()}
        save_file(tensors, f"{OUT}/{name}.safetensors")


def load(model):
    return load_file(f"{OUT}/{model}.safetensors")


def mask(model, tensor, density):
    """Which elements DARE keeps: the generator that engine/update/blend/source.rs describes."""
    shape = SHAPES[tensor][0]
    text = b"mgit dare 1\0" + SEED.to_bytes(8, "little") + model.to_bytes(8, "little") + tensor.encode()
    state, kept, full = int.from_bytes(blake3(text).digest()[:8], "little"), [], 2**64 - 1
    for _ in range(torch.Size(shape).numel()):
        state = state + 0x9E3779B97F4A7C15 & full
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & full
        z = (z ^ z >> 27) * 0x94D049BB133111EB & full
        kept.append(float(((z ^ z >> 31) >> 11) < density * 2**53))
    return torch.tensor(kept, dtype=torch.float64).reshape(shape)


class Drawn:
    """In the place of torch.bernoulli: the masks above, in the order of the models."""

    def __init__(self):
        self.calls = {}

    def __call__(self, densities):
        tensor = next(name for name, (shape, _) in SHAPES.items() if shape == tuple(densities.shape))
        model = self.calls.get(tensor, 0)
        self.calls[tensor] = model + 1
        density = float(densities.double().reshape(-1)[0])
        return mask(model, tensor, round(density, 6)).to(densities.dtype)


def with_masks(work):
    drawn = torch.bernoulli
    torch.bernoulli = Drawn()
    try:
        return work()
    finally:
        torch.bernoulli = drawn


def with_mergekit(method, of, base=None, each=None, **parameters):
    each = each or {}
    entries = [
        {"model": f"{OUT}/{name}.safetensors", "parameters": {key: values[at] for key, values in each.items()}}
        for at, name in enumerate(of)
    ]
    config = {"merge_method": method, "models": entries, "parameters": parameters}
    if base:
        config["base_model"] = f"{OUT}/{base}.safetensors"
    with tempfile.TemporaryDirectory() as folder:
        config = raw.RawPyTorchMergeConfig.model_validate(config)
        tasks = raw.plan_flat_merge(config, folder, False, False, MergeOptions())
        with_masks(Executor(tasks, math_device="cpu", storage_device="cpu").execute)
        return load_file(f"{folder}/model.safetensors")


def with_peft(function, of, weights, *arguments):
    base, parts = load("base"), [load(name) for name in of]
    weights = torch.tensor(weights, dtype=torch.float64)
    return with_masks(
        lambda: {
            key: base[key] + function([part[key] - base[key] for part in parts], weights.to(base[key].dtype), *arguments)
            for key in base
        }
    )


CASES = []


def case(name, tensors, library, strategy, parents, parameters, **more):
    save_file({key: tensors[key].contiguous() for key in library}, f"{OUT}/{name}.safetensors")
    CASES.append(dict(name=name, strategy=strategy, parents=parents, parameters=parameters, **more))


models()
# What these make of bf16 is rounded to bf16 at every step; linear and slerp work in singles.
MOST, ALL = ["f32", "f64", "bias"], list(SHAPES)
FROM_BASE = ["base", *MODELS]
W = [1.0, 0.5, 2.0]
for name, each, more in [
    ("linear", {"weight": W}, {}),
    ("linear-sum", {"weight": W}, {"normalize": False}),
]:
    ours = {"weight": W} | ({"normalise": False} if more else {})
    case(name, with_mergekit("linear", MODELS, each=each, **more), ALL, "linear", MODELS, ours)
for t in [0.0, 0.3, 1.0]:
    made = with_mergekit("slerp", ["a", "b"], base="a", t=t)
    case(f"slerp-{t}", made, ALL, "slerp", ["a", "b"], {"t": t})
made = with_mergekit("task_arithmetic", MODELS, base="base", each={"weight": W})
case("task-arithmetic", made, MOST, "task-arithmetic", FROM_BASE, {"weight": W})
made = with_mergekit("task_arithmetic", MODELS, base="base", each={"weight": W}, normalize=True, **{"lambda": 0.7})
ours = {"weight": W, "normalise": True, "scale": 0.7}
case("task-arithmetic-mean", made, MOST, "task-arithmetic", FROM_BASE, ours)
for name, each, more, ours in [
    ("ties", {"weight": [1.0] * 3, "density": [0.3] * 3}, {}, {"density": 0.3}),
    ("ties-weights", {"weight": [1.0, 0.5, -2.0], "density": [0.2, 0.55, 1.0]}, {"lambda": 1.3}, {"scale": 1.3}),
    ("ties-sum", {"weight": W, "density": [0.5] * 3}, {"normalize": False}, {"normalise": False}),
    # The share of one element is less than one element, and one is kept.
    ("ties-one", {"weight": W, "density": [0.001] * 3}, {}, {}),
]:
    case(name, with_mergekit("ties", MODELS, base="base", each=each, **more), MOST, "ties", FROM_BASE, each | ours)
each = {"weight": W, "density": [0.4] * 3}
made = with_mergekit("dare_linear", MODELS, base="base", each=each, rescale=False)
# Not rescaled, where the paper divides by the density: ours is scaled by it.
case("dare-plain", made, MOST, "dare", FROM_BASE, each | {"scale": 0.4}, seed=SEED)
made = with_mergekit("dare_linear", ["a"], base="base", each={"weight": [1.0], "density": [0.4]})
case("dare-norm", made, MOST, "dare", ["base", "a"], {"density": 0.4}, seed=SEED, per_tensor_factor=True)

case("peft-linear", with_peft(peft.task_arithmetic, MODELS, W), MOST, "task-arithmetic", FROM_BASE, {"weight": W})
case("peft-ties", with_peft(peft.ties, MODELS, [1.0] * 3, 0.3), MOST, "ties", FROM_BASE, {"density": 0.3})
made = with_peft(peft.dare_linear, MODELS, W, 0.4)
case("peft-dare", made, MOST, "dare", FROM_BASE, {"weight": W, "density": 0.4}, seed=SEED)

with open(f"{OUT}/cases.json", "w") as file:
    json.dump(CASES, file, indent=1)
    file.write("\n")

torch.manual_seed(12)
rows = torch.randn(64, 48) * torch.rand(64, 1)
int8 = {"f32": rows, "f16": rows.half(), "bf16": rows.bfloat16()}
save_file(int8, f"{OUT}/int8-base.safetensors")
made = {key: bitsandbytes.functional.int8_vectorwise_quant(value)[0] for key, value in int8.items()}
save_file(made, f"{OUT}/int8-bitsandbytes.safetensors")
back = bitsandbytes.functional.int8_vectorwise_dequant(made["f32"], rows.abs().amax(1))
save_file({"f32": back}, f"{OUT}/int8-back.safetensors")
made = {}
for key, value in int8.items():
    block, value = (1, value.shape[1]), value.float()
    scale, zero = torchao.choose_qparams_affine(
        value, torchao.MappingType.SYMMETRIC, block, torch.int8, -127, 127, eps=1e-12
    )
    made[key] = torchao.quantize_affine(value, block, scale, zero, torch.int8, -127, 127)
save_file(made, f"{OUT}/int8-torchao.safetensors")
