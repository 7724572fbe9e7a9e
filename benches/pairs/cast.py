"""Casts the floats of a safetensors file to those of eight bits.

Usage: cast.py IN OUT e4m3|e5m2 [--scaled] (torch, safetensors). With --scaled, matrices get a scale
for each, their largest magnitude as the type's largest number, kept beside them as NAME_scale; what
is no matrix stays as it is.
"""
import sys

import torch
from safetensors.torch import load_file, save_file

TYPES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
source, target, name = sys.argv[1:4]
dtype, out = TYPES[name], {}
for key, tensor in load_file(source).items():
    if not tensor.is_floating_point():
        out[key] = tensor
    elif "--scaled" not in sys.argv:
        out[key] = tensor.to(dtype)
    elif tensor.dim() < 2:
        out[key] = tensor
    else:
        scale = tensor.abs().max().float() / torch.finfo(dtype).max
        out[key] = (tensor.float() / scale).to(dtype)
        out[f"{key}_scale"] = scale
save_file(out, target)
