//! `ModelProto` and `GraphProto`: operators and tensors.

use std::collections::BTreeMap;

use super::tensor::{self, Budget, TensorProto};
use super::wire::{Reader, Span, Value, WireError};
use crate::architecture::Operator;
use crate::interchange::ONNX_GRAPH_LEN_MAX;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) operators: Vec<Operator>,
    pub(super) tensors: Vec<TensorProto>,
}

/// Reads a `ModelProto`.
pub(super) fn read(reader: &mut Reader<'_>, file_len: u64) -> Result<Graph, WireError> {
    let mut graph = None;
    let mut at = 0;
    while at < file_len {
        if let (7, Value::Bytes(span)) = reader.field(&mut at, file_len)? {
            graph = Some(span);
        }
    }
    let detail = "no graph: this is no ONNX file";
    let span = graph.ok_or(WireError::Malformed { offset: 0, detail })?;
    let mut budget = Budget(ONNX_GRAPH_LEN_MAX);
    let mut graph = Graph::default();
    let mut at = span.start;
    while at < span.end {
        match reader.field(&mut at, span.end)? {
            (1, Value::Bytes(node)) => read_operator(reader, node, &mut graph, &mut budget)?,
            (5, Value::Bytes(tensor)) => {
                graph.tensors.push(tensor::read(reader, tensor, &mut budget)?);
            }
            _ => {}
        }
    }
    Ok(graph)
}

fn read_operator(
    reader: &mut Reader<'_>,
    span: Span,
    graph: &mut Graph,
    budget: &mut Budget,
) -> Result<(), WireError> {
    budget.take(256, span.start)?;
    let mut operator = Operator::default();
    let mut values = Vec::new();
    let mut at = span.start;
    while at < span.end {
        match reader.field(&mut at, span.end)? {
            (1, Value::Bytes(name)) => operator.inputs.push(budget.text(reader, name)?),
            (2, Value::Bytes(name)) => operator.outputs.push(budget.text(reader, name)?),
            (3, Value::Bytes(name)) => operator.name = budget.text(reader, name)?,
            (4, Value::Bytes(kind)) => operator.kind = budget.text(reader, kind)?,
            (5, Value::Bytes(attribute)) => {
                let (name, value, tensor) = read_attribute(reader, attribute, budget)?;
                values.extend(tensor);
                if !value.is_empty() {
                    operator.attributes.insert(name, value);
                }
            }
            _ => {}
        }
    }
    operator.inputs.retain(|input| !input.is_empty());
    if operator.kind == "Constant"
        && let (Some(output), Some(mut value)) = (operator.outputs.first(), values.pop())
    {
        value.name.clone_from(output);
        // The operator makes what it reads: the value is its tensor, and the edge stays.
        operator.inputs.push(format!("{output}:value"));
        value.name = format!("{output}:value");
        graph.tensors.push(value);
    }
    graph.operators.push(operator);
    Ok(())
}

/// Name, value as text, and the tensor that it is.
type Attribute = (String, String, Option<TensorProto>);

fn read_attribute(
    reader: &mut Reader<'_>,
    span: Span,
    budget: &mut Budget,
) -> Result<Attribute, WireError> {
    let mut parts: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let (mut name, mut tensor) = (String::new(), None);
    let mut at = span.start;
    while at < span.end {
        let offset = at;
        let (number, value) = reader.field(&mut at, span.end)?;
        let text = match (number, value) {
            (1, Value::Bytes(text)) => {
                name = budget.text(reader, text)?;
                continue;
            }
            (5, Value::Bytes(value)) => {
                tensor = Some(tensor::read(reader, value, budget)?);
                continue;
            }
            (2 | 7, Value::Fixed(number)) => f32::from_bits(number as u32).to_string(),
            (3 | 8, Value::Varint(number)) => number.cast_signed().to_string(),
            // Texts of settings may be any bytes.
            (4 | 9, Value::Bytes(text)) => {
                budget.take(2 * text.len(), offset)?;
                String::from_utf8_lossy(&reader.bytes(text)?).into_owned()
            }
            (8, Value::Bytes(numbers)) => {
                let mut at = numbers.start;
                while at < numbers.end {
                    budget.take(64, offset)?;
                    let number = reader.varint(&mut at, numbers.end)?.cast_signed();
                    parts.entry(8).or_default().push(number.to_string());
                }
                continue;
            }
            (7, Value::Bytes(numbers)) => {
                budget.take(16 * numbers.len(), offset)?;
                for float in reader.bytes(numbers)?.chunks_exact(4) {
                    let bytes = float.first_chunk().copied().unwrap_or_default();
                    parts.entry(7).or_default().push(f32::from_le_bytes(bytes).to_string());
                }
                continue;
            }
            _ => continue,
        };
        budget.take(64, offset)?;
        parts.entry(number).or_default().push(text);
    }
    let lists = parts.into_iter().map(|(number, values)| match number {
        7..=9 => format!("[{}]", values.join(", ")),
        _ => values.join(", "),
    });
    Ok((name, lists.collect::<Vec<_>>().join(" "), tensor))
}
