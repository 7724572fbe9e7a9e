//! Formulas.

use mgit::Dtype;
use mgit::codec::formula::Formula;
use mgit::format::FormulaBlock;

/// The longest span of a base that is looked at here.
const SPAN_MAX: u64 = 1 << 20;

/// The input's first byte is the content's element type, the next two the length that every base
/// has; the rest is the formula of a record.
///
/// Invariants checked:
///
/// - Arbitrary bytes are an error, or a formula that is written as the same bytes.
/// - A range of what it makes is the same whether it is made in one piece or in two.
/// - Nothing is read but the bases, and nothing panics, however short they are.
pub fn formula(data: &[u8]) {
    let Some((&[own, low, high], block)) = data.split_first_chunk() else { return };
    let Ok(block) = FormulaBlock::decode(block) else { return };
    assert_eq!(Ok(&block), FormulaBlock::decode(&block.encode()).as_ref());
    let Some(own) = Dtype::from_code(own) else { return };
    let bases: Vec<Dtype> =
        block.bases.iter().filter_map(|base| Dtype::from_code(base.dtype_code)).collect();
    let Ok(formula) = Formula::parse(block.code, &own, &bases, &block.parameters) else { return };
    assert_eq!((formula.code(), formula.parameters()), (block.code, block.parameters.clone()));

    let base_len = u64::from(u16::from_le_bytes([low, high]));
    let contents: Vec<Vec<u8>> = (0..bases.len())
        .map(|base| (0..base_len).map(|at| (at * 31 + base as u64 * 7) as u8).collect())
        .collect();
    let make = |range: std::ops::Range<u64>| -> Option<Vec<u8>> {
        let needs = formula.needs(&range);
        assert_eq!(needs.len(), bases.len());
        let parts = needs.iter().zip(&contents).map(|(need, content)| {
            assert!(need.start <= need.end);
            let (start, end) = (need.start.min(base_len), need.end.min(base_len));
            (end - start <= SPAN_MAX).then(|| &content[start as usize..end as usize])
        });
        let parts: Vec<&[u8]> = parts.collect::<Option<_>>()?;
        let mut out = vec![0xaa; (range.end - range.start) as usize];
        formula.predict(&range, &parts, &mut out);
        Some(out)
    };
    let (cut, end) = (64 * 8, 200 * 8);
    if let (Some(whole), Some(first), Some(second)) = (make(0..end), make(0..cut), make(cut..end)) {
        assert!(whole == [first, second].concat(), "{formula:?}");
    }
}
