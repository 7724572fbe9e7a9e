"""Makes the small files of PyTorch and NumPy that tests/formats/{pytorch,numpy}.rs read, and what these libraries read from
them: make_torch.py, in this folder. Needs torch and numpy from PyPI (made with 2.15.0 and 2.4.6)."""
import hashlib, io, json, os, zipfile
import numpy as np, torch

os.chdir(os.path.dirname(os.path.abspath(__file__)))
torch.manual_seed(7)
rng = np.random.default_rng(7)
expected = {}

def of_torch(v):
    v = v.detach().resolve_conj()
    if v.numel() == 0:
        data = b''
    else:
        data = v.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return {'dtype': str(v.dtype).replace('torch.', ''), 'shape': list(v.shape), 'sha256': hashlib.sha256(data).hexdigest()}

def of_numpy(a):
    return {'dtype': str(a.dtype), 'shape': list(a.shape), 'sha256': hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()}

def walk(o, p=''):
    if torch.is_tensor(o): yield p, o
    elif isinstance(o, dict):
        for k, v in o.items(): yield from walk(v, f'{p}.{k}' if p else str(k))
    elif isinstance(o, (list, tuple)):
        for i, v in enumerate(o): yield from walk(v, f'{p}.{i}' if p else str(i))

def save(name, value, **kw):
    torch.save(value, name, **kw)
    expected[name] = {k or 'tensor': of_torch(v) for k, v in walk(torch.load(name, weights_only=False))}

t = torch.randn(6, 5)
odd = {'a': t, 'tied': t, 'view': t[::2, 1:], 'transposed': t.t(), 'half': t.half(), 'bf16': t.bfloat16(), 'double': t.double(),
       'bool': t > 0, 'scalar': torch.tensor(1.5), 'empty': torch.empty(0, 3), 'expanded': torch.randn(3, 1).expand(3, 4),
       'part': torch.randn(10)[2:6], 'parameter': torch.nn.Parameter(torch.randn(3)), 'nchw': torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)}
for kind in ('int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64'): odd[kind] = torch.arange(5).to(getattr(torch, kind))
for kind in ('float8_e4m3fn', 'float8_e5m2', 'float8_e4m3fnuz', 'float8_e5m2fnuz', 'float8_e8m0fnu'): odd[kind] = torch.rand(4).to(getattr(torch, kind))
for kind in ('complex64', 'complex128'): odd[kind] = torch.randn(3, dtype=getattr(torch, kind))
save('torch-odd.pth', odd)
m = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.BatchNorm1d(3))
opt = torch.optim.AdamW(m.parameters(), lr=1e-3)
m(torch.randn(8, 4)).sum().backward(); opt.step()
save('torch-nested.ckpt', {'state_dict': m.state_dict(), 'epoch': 3, 'optimizer': opt.state_dict(), 'note': 'x', 'list': [torch.ones(2), (torch.zeros(1), 'y')], 5: torch.ones(3), None: torch.ones(1), True: torch.ones(2)})
save('torch-tensor.pt', torch.arange(6.).reshape(2, 3))
for protocol in (3, 4, 5): save(f'torch-protocol{protocol}.pt', m.state_dict(), pickle_protocol=protocol)
# The whole object: its class is never imported, its names are those of its state_dict.
torch.save(m, 'torch-module.pt'); expected['torch-module.pt'] = {k: of_torch(v) for k, v in m.state_dict().items()}
i = torch.tensor([[0, 1, 1], [2, 0, 2]]); sparse = torch.sparse_coo_tensor(i, torch.tensor([3., 4., 5.]), (2, 3))
torch.save({'s': sparse, 'd': torch.ones(2)}, 'torch-sparse.pt')
expected['torch-sparse.pt'] = {'s.0': of_torch(sparse._indices()), 's.1': of_torch(sparse._values()), 'd': of_torch(torch.ones(2))}
q = torch.quantize_per_tensor(torch.randn(4), 0.1, 3, torch.qint8)
torch.save({'q': q, 'd': torch.ones(2)}, 'torch-quantised.pt'); expected['torch-quantised.pt'] = {'data/0': of_torch(q.int_repr().view(torch.uint8)), 'd': of_torch(torch.ones(2))}
class Scripted(torch.nn.Module):
    def __init__(self):
        super().__init__(); self.inner = torch.nn.Linear(3, 2); self.register_buffer('scale', torch.ones(2)); self.extra = [torch.arange(3.), torch.arange(2.)]
    def forward(self, x): return self.inner(x) * self.scale + self.extra[1]
s = torch.jit.script(Scripted()); torch.jit.save(s, 'torch-script.pt')
expected['torch-script.pt'] = {**{k: of_torch(v) for k, v in s.state_dict().items()}, 'extra.0': of_torch(s.extra[0]), 'extra.1': of_torch(s.extra[1])}
const = torch.randn(2, 2)
traced = torch.jit.trace(lambda x: x @ const, torch.randn(1, 2)); torch.jit.save(traced, 'torch-traced.pt')
expected['torch-traced.pt'] = {'constants.0': of_torch(const)}
torch.save(m.state_dict(), 'torch-legacy.bin', _use_new_zipfile_serialization=False)
torch.save(opt, 'torch-object.bin')
expected['torch-object.bin'] = None  # names depend on the class; only the storages are counted on

f = np.asfortranarray(rng.normal(size=(3, 4, 2)))
arrays = {'a/b': rng.normal(size=(4, 3)).astype(np.float32), 'fortran': f, 'column': np.asfortranarray(np.ones((5, 1))), 'half': rng.normal(size=5).astype(np.float16), 'scalar': np.float64(3.5),
          'bool': np.array([True, False]), 'u16': np.arange(3, dtype=np.uint16), 'c8': np.array([1 + 2j], np.complex64), 'c16': np.array([1 + 2j]), 'none': np.zeros((0, 3))}
unseen = {'big': np.arange(3, dtype='>f4'), 'text': np.array(['x', 'yz']), 'time': np.array(['2020-01-01'], 'M8[D]'), 'record': np.zeros(2, [('x', '<f4'), ('y', '<i8', (2, 2))]), 'object': np.array([{}, 1], object)}
np.savez('numpy.npz', **arrays, **unseen)
with np.load('numpy.npz') as z: expected['numpy.npz'] = {k: of_numpy(z[k]) for k in arrays}
np.savez_compressed('numpy-compressed.npz', a=np.zeros(9)); expected['numpy-compressed.npz'] = {}
np.savez('numpy-empty.npz'); expected['numpy-empty.npz'] = {}
np.save('numpy.npy', arrays['a/b']); expected['numpy.npy'] = {'array': of_numpy(np.load('numpy.npy'))}
np.save('numpy-fortran.npy', f); expected['numpy-fortran.npy'] = {'array': of_numpy(np.load('numpy-fortran.npy'))}
for version in ((2, 0), (3, 0)):
    name = f'numpy-v{version[0]}.npy'
    with open(name, 'wb') as o: np.lib.format.write_array(o, arrays['u16'], version)
    expected[name] = {'array': of_numpy(np.load(name))}
with open('numpy-two.npy', 'wb') as o: np.save(o, arrays['half']); np.save(o, arrays['u16'])
expected['numpy-two.npy'] = {'array': of_numpy(arrays['half'])}
for name in ('object', 'record'): np.save(f'numpy-{name}.npy', unseen[name]); expected[f'numpy-{name}.npy'] = {}
json.dump(expected, open('expected-torch.json', 'w'), indent=1, sort_keys=True)
