"""The first steps: a store, two models, what they share, and one of them as a file again."""

import tempfile
from pathlib import Path

import mgit_store as mgit
import numpy as np

folder = Path(tempfile.mkdtemp())
store = mgit.create(folder / "family.mgit")
rng = np.random.default_rng(0)
weights = rng.standard_normal((1000, 1000)).astype(np.float32)
changed = weights + rng.normal(0, 1e-4, weights.shape).astype(np.float32)
with store.write() as tx:
    base = tx.add("base", {"w": weights}, kind="toy")
    tuned = tx.add("tuned", {"w": changed}, parent="base", how="finetune")

print(f"base:  {base.nbytes:9,} bytes, stored in {base.added_bytes:9,}")
print(f"tuned: {tuned.nbytes:9,} bytes, stored in {tuned.added_bytes:9,}")
model = store["tuned"]
print(model, "is derived from", model.parents())
for layer in store.diff("base", "tuned"):
    change = layer.tensors[0].distance
    assert change is not None
    print(f"{layer.name}: {change.share:.1%} of the elements changed, at most by {change.max:.3g}")

model.export(folder / "tuned.safetensors")
print("exported to", folder / "tuned.safetensors")
