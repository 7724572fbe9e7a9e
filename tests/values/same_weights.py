"""The same weights in five forms: same.py WEIGHTS.safetensors FOLDER, with the libraries' own writers (torch, numpy, gguf, onnx)."""
import os, sys
import gguf, numpy as np, onnx, torch
from onnx import helper, numpy_helper
from safetensors.torch import load_file, save_file

source, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
at = lambda name: os.path.join(folder, name)
tensors = {name: tensor for name, tensor in load_file(source).items() if tensor.dtype == torch.float32}
arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
save_file(tensors, at("model.safetensors"), metadata={"format": "pt"})
torch.save(tensors, at("pytorch_model.bin"))
np.savez(at("model.npz"), **arrays)
writer = gguf.GGUFWriter(at("model.gguf"), "bert")
for name, array in arrays.items():
    writer.add_tensor(name, array)
writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
value = helper.make_tensor_value_info
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value("x", 1, [1])], [value("y", 1, [1])], initializers)
onnx.save(helper.make_model(graph), at("model.onnx"))
onnx.save(helper.make_model(graph), at("external.onnx"), save_as_external_data=True, location="external.data", size_threshold=0)
