//! An ONNX file.

use std::io::Write;

use mgit::NewModel;
use mgit::interchange::OnnxFile;

/// Bytes that are read at a time.
const PIECE_LEN: u64 = 1 << 20;
/// The most bytes that are read: tensors may lie over each other.
const READ_MAX: u64 = 16 << 20;

/// The bytes are an ONNX file, alone in its folder.
///
/// Invariants checked:
///
/// - Opening gives an error or a file. It does not panic, hang, or allocate out of proportion: no
///   tensor has more bytes than the file can hold numbers of.
/// - Every byte of a tensor can be read, and what lies behind a tensor cannot.
/// - Its layers are an error or a graph; with a graph, the file can be made a model of.
pub fn onnx(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(data).expect("room for the file");
    let Ok(file) = OnnxFile::open(&path) else { return };
    let (mut piece, mut left) = (Vec::new(), READ_MAX);
    for (at, tensor) in file.tensors().iter().enumerate() {
        // A number takes a byte at least, and becomes sixteen at most.
        assert!(tensor.byte_len <= 16 * data.len() as u64, "{} bytes", tensor.byte_len);
        let mut offset = 0;
        while offset < tensor.byte_len && left > 0 {
            piece.resize(PIECE_LEN.min(tensor.byte_len - offset) as usize, 0);
            file.read_tensor_at(at, offset, &mut piece).expect("a tensor that is there");
            offset += piece.len() as u64;
            left = left.saturating_sub(piece.len() as u64);
        }
        assert!(file.read_tensor_at(at, tensor.byte_len, &mut [0]).is_err());
    }
    let layers = file.architecture();
    let model = NewModel::new("fuzzed").onnx(&file);
    assert_eq!(layers.is_ok(), model.is_ok());
    if let Ok(layers) = layers {
        let count = layers.layers().len();
        assert!(layers.edges().iter().all(|(from, to)| *from < count && *to < count));
    }
}
