//! The same F32 weights in files of every form, written without holding them.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use mgit::interchange::write_header;
use mgit::{Dtype, Shape};

use super::zip_stream::ZipStream;

/// Bytes that are made at a time.
const PIECE: usize = 1 << 18;

/// Tensors, and what fills them: the place of the tensor, the first byte, the bytes.
pub struct Weights<'f> {
    pub tensors: Vec<(String, Vec<u64>)>,
    pub fill: &'f dyn Fn(usize, u64, &mut [u8]),
}

/// A form of a file of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Safetensors,
    PyTorch,
    Npz,
    Gguf,
    Onnx,
    /// With its data in `data/weights.bin` beside it.
    OnnxData,
}

impl Form {
    pub const ALL: [Form; 6] =
        [Form::Safetensors, Form::PyTorch, Form::Npz, Form::Gguf, Form::Onnx, Form::OnnxData];

    /// The name of a file of this form.
    pub fn file(self) -> &'static str {
        match self {
            Form::Safetensors => "model.safetensors",
            Form::PyTorch => "pytorch_model.bin",
            Form::Npz => "model.npz",
            Form::Gguf => "model.gguf",
            Form::Onnx => "model.onnx",
            Form::OnnxData => "external.onnx",
        }
    }
}

impl Weights<'_> {
    fn len(&self, at: usize) -> u64 {
        self.tensors[at].1.iter().product::<u64>() * 4
    }

    /// Hands the bytes of a tensor to `each`, piece by piece.
    fn pieces(&self, at: usize, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (mut start, len) = (0, self.len(at));
        let mut piece = vec![0; PIECE.min(len as usize)];
        while start < len {
            let part = &mut piece[..PIECE.min((len - start) as usize)];
            (self.fill)(at, start, part);
            each(part)?;
            start += part.len() as u64;
        }
        Ok(())
    }

    fn all(&self, out: &mut dyn Write) -> io::Result<()> {
        (0..self.tensors.len()).try_for_each(|at| self.pieces(at, &mut |part| out.write_all(part)))
    }

    /// Writes a file of this form into `folder`.
    pub fn write(&self, form: Form, folder: &Path) -> io::Result<()> {
        let file = File::create(folder.join(form.file()))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        match form {
            Form::Safetensors => self.safetensors(&mut out)?,
            Form::PyTorch => self.pytorch(&mut out)?,
            Form::Npz => self.npz(&mut out)?,
            Form::Gguf => self.gguf(&mut out)?,
            Form::Onnx => self.onnx(&mut out)?,
            Form::OnnxData => {
                std::fs::create_dir_all(folder.join("data"))?;
                let mut data = BufWriter::new(File::create(folder.join("data/weights.bin"))?);
                self.all(&mut data)?;
                data.flush()?;
                self.onnx_beside(&mut out)?;
            }
        }
        out.flush()
    }

    fn safetensors(&self, out: &mut dyn Write) -> io::Result<()> {
        let shape = |(_, dims): &(String, Vec<u64>)| Shape::new(dims).expect("a shape");
        let shapes: Vec<Shape> = self.tensors.iter().map(shape).collect();
        let entries = self.tensors.iter().zip(&shapes);
        let entries = entries
            .map(|((name, _), shape)| (name.as_str(), &Dtype::F32, shape, shape.elements() * 4));
        let header = write_header(entries, None);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        self.all(out)
    }

    fn pytorch(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut zip = ZipStream::new(out);
        zip.entry("model/data.pkl", &self.pickle(), 64)?;
        for at in 0..self.tensors.len() {
            let name = format!("model/data/{at}");
            zip.pieces(&name, self.len(at), 64, &|each| self.pieces(at, each))?;
        }
        zip.entry("model/version", b"3\n", 64)?;
        zip.finish()
    }

    /// A dictionary of tensors, as torch pickles it.
    fn pickle(&self) -> Vec<u8> {
        const DICT: &[u8] = b"ccollections\nOrderedDict\n)R";
        let text =
            |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
        let number = |number: u64| [&b"J"[..], &(number as u32).to_le_bytes()].concat();
        let mut pickle = [b"\x80\x02", DICT, b"("].concat();
        for (at, (name, dims)) in self.tensors.iter().enumerate() {
            if at > 0 && at % 1000 == 0 {
                pickle.extend(b"u(");
            }
            pickle.extend(text(name));
            pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
            pickle.extend(text("storage"));
            pickle.extend(b"ctorch\nFloatStorage\n");
            pickle.extend([text(&at.to_string()), text("cpu")].concat());
            pickle.extend(number(self.len(at) / 4));
            pickle.extend(b"tQK\0(");
            pickle.extend(dims.iter().flat_map(|dim| number(*dim)));
            pickle.extend(b"t(");
            let stride = |at: usize| dims[at + 1..].iter().product();
            pickle.extend((0..dims.len()).flat_map(|at| number(stride(at))));
            pickle.extend([b"t\x89", DICT, b"tR"].concat());
        }
        pickle.extend(b"u.");
        pickle
    }

    fn npz(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut zip = ZipStream::new(out);
        for (at, (name, dims)) in self.tensors.iter().enumerate() {
            let dims: String = dims.iter().map(|dim| format!("{dim},")).collect();
            let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({dims}), }}");
            let len = (10 + text.len() + 1).next_multiple_of(64) - 10;
            let mut head = b"\x93NUMPY\x01\0".to_vec();
            head.extend((len as u16).to_le_bytes());
            head.extend(format!("{text:len$}").as_bytes());
            *head.last_mut().expect("a header") = b'\n';
            let name = format!("{name}.npy");
            zip.pieces(&name, head.len() as u64 + self.len(at), 1, &|each| {
                each(&head)?;
                self.pieces(at, each)
            })?;
        }
        zip.finish()
    }

    fn gguf(&self, out: &mut dyn Write) -> io::Result<()> {
        let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        let mut head = [&b"GGUF"[..], &3u32.to_le_bytes()].concat();
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend(1u64.to_le_bytes());
        head.extend(
            [text("general.architecture"), 8u32.to_le_bytes().to_vec(), text("bert")].concat(),
        );
        let mut offset = 0u64;
        for (at, (name, dims)) in self.tensors.iter().enumerate() {
            head.extend(text(name));
            head.extend((dims.len() as u32).to_le_bytes());
            head.extend(dims.iter().rev().flat_map(|dim| dim.to_le_bytes()));
            head.extend(0u32.to_le_bytes());
            head.extend(offset.to_le_bytes());
            offset += self.len(at).next_multiple_of(32);
        }
        head.resize(head.len().next_multiple_of(32), 0);
        out.write_all(&head)?;
        for at in 0..self.tensors.len() {
            self.pieces(at, &mut |part| out.write_all(part))?;
            let len = self.len(at);
            out.write_all(&[0; 32][..(len.next_multiple_of(32) - len) as usize])?;
        }
        Ok(())
    }

    /// What an ONNX file says of a tensor but for its bytes: dimensions, type, name.
    fn proto(&self, at: usize) -> Vec<u8> {
        let (name, dims) = &self.tensors[at];
        let mut proto: Vec<u8> = dims.iter().flat_map(|dim| number(1, *dim)).collect();
        proto.extend(number(2, 1));
        proto.extend(message(8, name.as_bytes()));
        proto
    }

    fn onnx(&self, out: &mut dyn Write) -> io::Result<()> {
        let head = |at: usize| {
            let own = [self.proto(at), key(9, 2), varint(self.len(at))].concat();
            let len = varint(own.len() as u64 + self.len(at));
            [key(5, 2), len, own].concat()
        };
        let heads: Vec<Vec<u8>> = (0..self.tensors.len()).map(head).collect();
        let len: u64 = (0..heads.len()).map(|at| heads[at].len() as u64 + self.len(at)).sum();
        out.write_all(&[number(1, 8), key(7, 2), varint(len)].concat())?;
        for (at, head) in heads.iter().enumerate() {
            out.write_all(head)?;
            self.pieces(at, &mut |part| out.write_all(part))?;
        }
        Ok(())
    }

    fn onnx_beside(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut offset = 0;
        let mut graph = Vec::new();
        for at in 0..self.tensors.len() {
            let entry = |key: &str, value: String| {
                let entry = [message(1, key.as_bytes()), message(2, value.as_bytes())].concat();
                message(13, &entry)
            };
            let mut proto = self.proto(at);
            proto.extend(entry("location", "data/weights.bin".to_owned()));
            proto.extend(entry("offset", offset.to_string()));
            proto.extend(entry("length", self.len(at).to_string()));
            proto.extend(number(14, 1));
            graph.extend(message(5, &proto));
            offset += self.len(at);
        }
        out.write_all(&[number(1, 8), message(7, &graph)].concat())
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn key(field: u64, kind: u64) -> Vec<u8> {
    varint(field << 3 | kind)
}

fn message(field: u64, bytes: &[u8]) -> Vec<u8> {
    [key(field, 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [key(field, 0), varint(value)].concat()
}
