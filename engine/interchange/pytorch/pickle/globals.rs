//! The globals that tensors need, by name. None is ever imported.

use crate::tensor::Dtype;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Global {
    /// A function that makes a tensor of a storage.
    Rebuild(Rebuild),
    /// A function that gives its first argument, as far as tensors go.
    First,
    /// `_rebuild_from_type_v2(function, type, arguments, state)`.
    FromType,
    /// `_rebuild_sparse_tensor(layout, parts)`.
    Sparse,
    /// A type of dictionary.
    Dict,
    /// A type of storage.
    Storage(Element),
    /// An element type.
    Dtype(Element),
    /// Something that says nothing about tensors.
    Plain,
    /// Something else.
    Unknown,
}

/// A function that makes a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Rebuild {
    /// `(storage, offset, size, stride, ...)`.
    Plain,
    /// The same with a type at place 6.
    Typed,
    /// The same of steps of a scale.
    Quantised,
}

/// How elements are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Element {
    /// Bytes of no type.
    Untyped,
    /// Steps of a scale that stands in the pickle: this many bytes each.
    Quantised(u8),
    /// Numbers.
    Number(Number),
}

/// A type of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Number {
    F64,
    F32,
    F16,
    Bf16,
    F8E4M3,
    F8E5M2,
    F8E4M3Fnuz,
    F8E5M2Fnuz,
    F8E8M0,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    C32,
    C64,
    C128,
}

impl Element {
    /// The type, and the bytes of one. What has no type is bytes.
    pub(in super::super) fn dtype(self) -> (Dtype, u64) {
        use Number as N;
        let Element::Number(number) = self else { return (Dtype::U8, 1) };
        match number {
            N::F64 => (Dtype::F64, 8),
            N::F32 => (Dtype::F32, 4),
            N::F16 => (Dtype::F16, 2),
            N::Bf16 => (Dtype::Bf16, 2),
            N::F8E4M3 => (Dtype::F8E4M3, 1),
            N::F8E5M2 => (Dtype::F8E5M2, 1),
            N::F8E4M3Fnuz => (Dtype::F8E4M3Fnuz, 1),
            N::F8E5M2Fnuz => (Dtype::F8E5M2Fnuz, 1),
            N::F8E8M0 => (Dtype::F8E8M0, 1),
            N::I64 => (Dtype::I64, 8),
            N::I32 => (Dtype::I32, 4),
            N::I16 => (Dtype::I16, 2),
            N::I8 => (Dtype::I8, 1),
            N::U64 => (Dtype::U64, 8),
            N::U32 => (Dtype::U32, 4),
            N::U16 => (Dtype::U16, 2),
            N::U8 => (Dtype::U8, 1),
            N::Bool => (Dtype::Bool, 1),
            N::C32 => (Dtype::Unknown("C32".into()), 4),
            N::C64 => (Dtype::C64, 8),
            N::C128 => (Dtype::Unknown("C128".into()), 16),
        }
    }

    /// The bytes of an element as its storage counts them.
    pub(in super::super) fn storage_bytes(self) -> u64 {
        match self {
            Element::Quantised(bytes) => bytes.into(),
            other => other.dtype().1,
        }
    }
}

/// The storages of torch, `torch.FloatStorage` and so on.
const STORAGES: [(&str, Element); 18] = [
    ("DoubleStorage", Element::Number(Number::F64)),
    ("FloatStorage", Element::Number(Number::F32)),
    ("HalfStorage", Element::Number(Number::F16)),
    ("BFloat16Storage", Element::Number(Number::Bf16)),
    ("LongStorage", Element::Number(Number::I64)),
    ("IntStorage", Element::Number(Number::I32)),
    ("ShortStorage", Element::Number(Number::I16)),
    ("CharStorage", Element::Number(Number::I8)),
    ("ByteStorage", Element::Number(Number::U8)),
    ("BoolStorage", Element::Number(Number::Bool)),
    ("ComplexFloatStorage", Element::Number(Number::C64)),
    ("ComplexDoubleStorage", Element::Number(Number::C128)),
    ("QUInt8Storage", Element::Quantised(1)),
    ("QInt8Storage", Element::Quantised(1)),
    ("QInt32Storage", Element::Quantised(4)),
    ("QUInt4x2Storage", Element::Quantised(1)),
    ("QUInt2x4Storage", Element::Quantised(1)),
    ("UntypedStorage", Element::Untyped),
];

/// The element types of torch. The packed ones are bytes.
const DTYPES: [(&str, Number); 29] = [
    ("float64", Number::F64),
    ("double", Number::F64),
    ("float32", Number::F32),
    ("float", Number::F32),
    ("float16", Number::F16),
    ("half", Number::F16),
    ("bfloat16", Number::Bf16),
    ("float8_e4m3fn", Number::F8E4M3),
    ("float8_e5m2", Number::F8E5M2),
    ("float8_e4m3fnuz", Number::F8E4M3Fnuz),
    ("float8_e5m2fnuz", Number::F8E5M2Fnuz),
    ("float8_e8m0fnu", Number::F8E8M0),
    ("float4_e2m1fn_x2", Number::U8),
    ("int64", Number::I64),
    ("long", Number::I64),
    ("int32", Number::I32),
    ("int", Number::I32),
    ("int16", Number::I16),
    ("short", Number::I16),
    ("int8", Number::I8),
    ("uint64", Number::U64),
    ("uint32", Number::U32),
    ("uint16", Number::U16),
    ("uint8", Number::U8),
    ("bool", Number::Bool),
    ("complex32", Number::C32),
    ("complex64", Number::C64),
    ("cfloat", Number::C64),
    ("complex128", Number::C128),
];

/// Names that say nothing about tensors, beside those of scripted classes.
const PLAIN: [(&str, &str); 20] = [
    ("torch", "Size"),
    ("torch", "Tensor"),
    ("torch", "device"),
    ("torch", "per_tensor_affine"),
    ("torch", "per_channel_affine"),
    ("torch", "per_channel_affine_float_qparams"),
    ("torch.nn.parameter", "Parameter"),
    ("torch.nn.parameter", "Buffer"),
    ("torch.serialization", "_get_layout"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"),
    ("_codecs", "encode"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "list"),
    ("builtins", "tuple"),
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "slice"),
    ("builtins", "object"),
    ("builtins", "int"),
];

impl Global {
    /// The element type that it is.
    pub(in super::super) fn element(self) -> Option<Element> {
        match self {
            Global::Dtype(element) => Some(element),
            _ => None,
        }
    }

    /// What `module.name` stands for.
    pub(in super::super) fn of(module: &str, name: &str) -> Self {
        let module = if module == "__builtin__" { "builtins" } else { module };
        match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => {
                Global::Rebuild(Rebuild::Plain)
            }
            ("torch._utils", "_rebuild_tensor_v3") => Global::Rebuild(Rebuild::Typed),
            ("torch._utils", "_rebuild_qtensor") => Global::Rebuild(Rebuild::Quantised),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | (
                "torch.jit._pickle",
                "build_intlist" | "build_tensorlist" | "build_doublelist" | "build_boollist"
                | "restore_type_tag",
            ) => Global::First,
            ("torch._tensor", "_rebuild_from_type_v2") => Global::FromType,
            ("torch._utils", "_rebuild_sparse_tensor") => Global::Sparse,
            ("collections", "OrderedDict" | "Counter" | "defaultdict") | ("builtins", "dict") => {
                Global::Dict
            }
            ("torch" | "torch.cuda" | "torch.storage", name) if name.ends_with("Storage") => {
                let found = STORAGES.iter().find(|(known, _)| *known == name);
                found.map_or(Global::Unknown, |(_, element)| Global::Storage(*element))
            }
            _ if PLAIN.contains(&(module, name))
                || module.split('.').next() == Some("__torch__") =>
            {
                Global::Plain
            }
            ("torch", name) => {
                let found = DTYPES.iter().find(|(known, _)| *known == name);
                found.map_or(Global::Unknown, |(_, number)| Global::Dtype(Element::Number(*number)))
            }
            _ => Global::Unknown,
        }
    }
}
