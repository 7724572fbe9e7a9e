"""Trains a small transformer and keeps Adam's moments of some of its steps, for `measure.py`.

Usage: moments.py FOLDER [--bf16] (torch, safetensors). The text is the sources of Python's standard
library, in words: 8,192 of them, most of which a batch does not hold. FOLDER/step-N.safetensors has
the weights under their names, and beside each NAME.exp_avg and NAME.exp_avg_sq. Seeds are fixed.
"""
import pathlib
import re
import sys
import sysconfig

import torch
from safetensors.torch import save_file
from torch import nn

VOCABULARY, WIDTH, LAYERS, HEADS, LENGTH, BATCH = 8192, 128, 2, 4, 64, 12
KEPT = {1000: [200, 201, 210, 220, 300], 0: [100, 101, 110, 120, 200]}


def words():
    library = pathlib.Path(sysconfig.get_paths()["stdlib"])
    text = "\n".join(path.read_text(errors="replace") for path in sorted(library.glob("*.py")))
    found = re.findall(r"\w+|[^\w\s]", text)
    counts = {}
    for word in found:
        counts[word] = counts.get(word, 0) + 1
    common = sorted(counts, key=lambda word: (-counts[word], word))[: VOCABULARY - 1]
    places = {word: place for place, word in enumerate(common, 1)}
    return torch.tensor([places.get(word, 0) for word in found])


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, 0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, tokens):
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH, dtype=self.head.weight.dtype)
        hidden = self.tokens(tokens) + self.places.weight
        return self.head(self.layers(hidden, mask=mask, is_causal=True))


def main():
    folder, half = pathlib.Path(sys.argv[1]), "--bf16" in sys.argv
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    torch.set_num_threads(1)
    text, model = words(), Model()
    model = model.to(torch.bfloat16) if half else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    kept = KEPT[0] if half else KEPT[1000]
    for step in range(1, kept[-1] + 1):
        starts = torch.randint(len(text) - LENGTH - 1, (BATCH,))
        batch = torch.stack([text[start : start + LENGTH + 1] for start in starts])
        output = model(batch[:, :-1])
        loss = nn.functional.cross_entropy(output.flatten(0, 1).float(), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in kept:
            print(step, loss.item(), flush=True)
            tensors = {}
            for name, weights in model.named_parameters():
                tensors[name] = weights.detach()
                for moment in ["exp_avg", "exp_avg_sq"]:
                    tensors[f"{name}.{moment}"] = optimizer.state[weights][moment]
            save_file(tensors, folder / f"step-{step}.safetensors")


main()
