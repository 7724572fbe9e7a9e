"""Makes the GGUF and ONNX files of this folder with the packages gguf and onnx of PyPI, and `gguf_onnx.json`: what these
packages read from them. Names, types, shapes, and the SHA-256 of the values in row-major order; of Q8_0 also that of the
numbers that they stand for. Run in this folder. Made with gguf 0.19, onnx 1.23, numpy 2."""
import hashlib, json, os
import gguf, numpy as np, onnx
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Q, GGUFValueType as V
from onnx import TensorProto as T, helper as H, numpy_helper as N

rng = np.random.default_rng(17)
sha = lambda b: hashlib.sha256(b).hexdigest()
bytes_of = lambda n: rng.integers(0, 256, n, dtype=np.uint8)

# Every type that the package knows, and a key of every type of value.
w = gguf.GGUFWriter('types.gguf', 'llama')
w.add_name('types'); w.add_custom_alignment(64); w.add_license('mit')
w.add_string('general.base_model.0.name', 'a base'); w.add_string('general.description', 'word ' * 300)
for at, (kind, value) in enumerate([(V.UINT8, 200), (V.INT8, -2), (V.UINT16, 60000), (V.INT16, -3), (V.UINT32, 4 << 29), (V.INT32, -4),
    (V.UINT64, 1 << 63), (V.INT64, -5), (V.FLOAT32, 0.1), (V.FLOAT64, 0.2), (V.BOOL, True)]):
    w.add_key_value(f'general.value.{at}', value, kind)
    w.add_key_value(f'test.list.{at}', [value, value], V.ARRAY, sub_type=kind)
w.add_token_list([f'token {i}' * (i % 5) for i in range(200)])
# Q8_1 is no type of files: the package and ggml.h disagree on its size.
for kind in Q:
    if kind == Q.Q8_1: continue
    elements, size = GGML_QUANT_SIZES[kind]
    shape = (2, elements if elements > 1 else 3)
    plain = {Q.F32: np.float32, Q.F16: np.float16, Q.F64: np.float64, Q.I8: np.int8, Q.I16: np.int16, Q.I32: np.int32, Q.I64: np.int64}
    if kind in plain: w.add_tensor(f'{kind.name}.weight', (rng.normal(size=shape) * 50).astype(plain[kind]))
    else: w.add_tensor(f'{kind.name}.weight', bytes_of(shape[0] * shape[1] // elements * size).reshape(2, -1), raw_dtype=kind)
w.add_tensor('q.weight', gguf.quantize(rng.normal(size=(3, 4, 64)).astype(np.float32), Q.Q8_0), raw_dtype=Q.Q8_0)
w.add_tensor('scalar', np.array(3.5, np.float32))
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()

# Graphs in graphs: names that stand twice, a function, numbers in every field.
info = lambda n, s: H.make_tensor_value_info(n, T.FLOAT, s)
weight = lambda name, *shape: N.from_array(rng.normal(size=shape).astype(np.float32), name)
def branch(name, inner=()): return H.make_graph([*inner, H.make_node('Mul', ['x', 'w'], [name + '_y'], name + '_mul')], name, [], [info(name + '_y', [4])], [weight('w', 4)])
inner = H.make_node('If', ['c'], ['deep'], 'inner', then_branch=branch('a'), else_branch=branch('b'))
choice = H.make_node('If', ['c'], ['y'], 'choice', then_branch=branch('yes', [inner]), else_branch=branch('no'))
constant = H.make_node('Constant', [], ['k'], value=weight('', 2, 2))
body = [H.make_node('Constant', [], ['bias'], value=weight('', 3)), H.make_node('Add', ['v', 'bias'], ['out'])]
function = H.make_function('local', 'Shift', ['v'], ['out'], body, [H.make_opsetid('', 21)])
sparse = H.make_sparse_tensor(weight('s', 2), H.make_tensor('', T.INT64, [2], np.array([1, 5]).tobytes(), raw=True), [8])
typed = [H.make_tensor('floats', T.FLOAT, [3], [1., 2., 3.]), H.make_tensor('doubles', T.DOUBLE, [2], [1., 2.]), H.make_tensor('complex', T.COMPLEX64, [2], [1 + 2j, 3 - 4j]),
    H.make_tensor('longs', T.INT64, [2], [1, -1]), H.make_tensor('halves', T.FLOAT16, [2], [1., -1.]), H.make_tensor('words', T.STRING, [2], [b'a', b'bc']),
    H.make_tensor('bf16', T.BFLOAT16, [2], b'\x80\x3f\x80\xbf', raw=True), H.make_tensor('int4', T.INT4, [3], b'\x21\x03', raw=True), H.make_tensor('none', T.FLOAT, [0, 3], []), weight('w', 4)]
g = H.make_graph([constant, H.make_node('Shift', ['x'], ['x1'], 'shift', domain='local'), choice], 'g', [info('x', [4]), H.make_tensor_value_info('c', T.BOOL, [])], [info('y', [4])], typed, sparse_initializer=[sparse])
onnx.save(H.make_model(g, functions=[function], opset_imports=[H.make_opsetid('', 21), H.make_opsetid('local', 1)]), 'graphs.onnx')

out = {}
array = lambda a: {'dtype': str(a.dtype), 'shape': list(a.shape), 'sha256': sha(np.ascontiguousarray(a).tobytes())}
for name in sorted(f for f in os.listdir('.') if f.endswith('.gguf')):
    reader = out.setdefault(name, {})
    for t in gguf.GGUFReader(name).tensors:
        reader[t.name] = {'dtype': t.tensor_type.name, 'shape': [int(d) for d in t.shape][::-1], 'sha256': sha(np.ascontiguousarray(t.data).tobytes())}
        if t.tensor_type == Q.Q8_0: reader[t.name]['f32'] = sha(gguf.dequantize(t.data, t.tensor_type).astype('<f4').tobytes())
def graphs(nodes, initializers, path=''):
    # In the order of the format: of a name that stands twice the later one is known by its place.
    yield path, nodes, initializers
    for at, n in enumerate(nodes):
        for a in n.attribute:
            if a.HasField('g'): yield from graphs(a.g.node, a.g.initializer, f'{path}/{n.name}/{a.name}'.strip('/'))
for name in ['plain.onnx', 'branches.onnx', 'external/m.onnx', 'graphs.onnx']:
    m = onnx.load(name); found = out.setdefault(name, {})
    for path, nodes, initializers in [*graphs(m.graph.node, m.graph.initializer), *(('Shift', f.node, []) for f in m.functions)]:
        tensors = [(i.name, i) for i in initializers] + [(n.output[0] + ':' + a.name, a.t) for n in nodes for a in n.attribute if a.HasField('t')]
        for key, t in tensors:
            if t.data_type == T.STRING or t.int32_data or t.int64_data: continue
            if t.data_type == T.BFLOAT16: entry = {'dtype': 'bfloat16', 'shape': list(t.dims), 'sha256': sha(t.raw_data)}
            elif t.data_type == T.INT4: entry = {'dtype': 'int4', 'shape': list(t.dims), 'sha256': sha(t.raw_data)}
            else: entry = array(N.to_array(t))
            found[key if key not in found else f'{path}/{key}'] = entry
    for s in m.graph.sparse_initializer:
        found[f'{s.values.name}:values'] = array(N.to_array(s.values)); found[f'{s.values.name}:indices'] = array(N.to_array(s.indices))
json.dump(out, open('gguf_onnx.json', 'w'), indent=1, sort_keys=True)
