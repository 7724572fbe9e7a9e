"""Makes the small adapters in this folder, and what PEFT's own merges give.

Usage: make.py OUT (torch 2.15.0, peft 0.21.2, transformers, safetensors from PyPI; nothing is
downloaded). For each case NAME: NAME.safetensors and NAME.json as PEFT saves them, and
NAME-merged.safetensors, the state of the model after merge_and_unload. base.safetensors is the base.
"""
import json
import os
import shutil
import sys
import tempfile

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers.pytorch_utils import Conv1D

OUT = sys.argv[1]


class Base(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = torch.nn.Embedding(5, 4)
        self.q = torch.nn.Linear(6, 4)
        self.v = torch.nn.Linear(4, 4, bias=False)
        self.wide = Conv1D(6, 4)
        self.square = Conv1D(4, 4)
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.point = torch.nn.Conv2d(3, 4, 1)
        self.head = torch.nn.Linear(4, 2)


def base():
    torch.manual_seed(7)
    model = Base()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return model


CASES = {
    "plain": dict(target_modules=["q", "v"]),
    "rslora": dict(target_modules=["q", "v"], use_rslora=True),
    "patterns": dict(target_modules=["q", "v"], alpha_pattern={"^v": 7}, rank_pattern={"q": 3}),
    "bias": dict(target_modules=["q"], lora_bias=True),
    "biases": dict(target_modules=["q"], bias="all"),
    "dora": dict(target_modules=["q", "v"], use_dora=True),
    "dora-conv": dict(target_modules=["conv"], use_dora=True),
    "dora-fan": dict(target_modules=["wide"], use_dora=True, fan_in_fan_out=True),
    "fan": dict(target_modules=["wide", "square"], fan_in_fan_out=True),
    "embedding": dict(target_modules=["emb"]),
    "convolution": dict(target_modules=["conv", "point"], lora_bias=True),
    "saved": dict(target_modules=["q"], modules_to_save=["head"]),
}
save_file(base().state_dict(), f"{OUT}/base.safetensors", {"format": "pt"})
for name, arguments in CASES.items():
    arguments = {"r": 2, "lora_alpha": 3, **arguments}
    model = get_peft_model(base(), LoraConfig(init_lora_weights=True, **arguments))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.requires_grad and "magnitude" not in key:
                parameter.add_(torch.randn_like(parameter) * 0.3)
            elif "magnitude" in key:
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        shutil.copy(f"{folder}/adapter_model.safetensors", f"{OUT}/{name}.safetensors")
        config = json.load(open(f"{folder}/adapter_config.json"))
    with open(f"{OUT}/{name}.json", "w") as file:
        json.dump(config, file, indent=1, sort_keys=True)
        file.write("\n")
    merged = model.merge_and_unload().state_dict()
    before = base().state_dict()
    assert merged.keys() == before.keys()
    changed = {key: value for key, value in merged.items() if not torch.equal(value, before[key])}
    save_file({key: value.contiguous() for key, value in changed.items()}, f"{OUT}/{name}-merged.safetensors")
    assert os.path.getsize(f"{OUT}/{name}.safetensors") < 4096
