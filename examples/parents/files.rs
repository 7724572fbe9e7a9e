//! A family as files: a safetensors file for each member that is given away, and `lineage.json`.

use std::path::Path;

use mgit::half::{bf16, f16};
use serde_json::json;

use super::families::{Family, Made, Written};

/// Writes the files into `folder`, which is made.
pub fn write(family: &Family, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let mut members = Vec::new();
    for member in family.members.iter() {
        let file = format!("{}.safetensors", member.name);
        if !member.withheld {
            std::fs::write(folder.join(&file), bytes(member))?;
        }
        let parents: Vec<&str> =
            member.parents.iter().map(|at| family.members[*at].name.as_str()).collect();
        members.push(json!({
            "name": member.name,
            "file": file,
            "parent": parents.first(),
            "parents": parents,
            "how": member.how,
        }));
    }
    let lineage = json!({ "kind": family.kind, "seed": family.seed, "members": members });
    std::fs::write(folder.join("lineage.json"), serde_json::to_vec_pretty(&lineage)?)?;
    Ok(())
}

/// A member as a safetensors file.
pub fn bytes(member: &Made) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (at, values) in member.network.values.iter().enumerate() {
        let (columns, rows) = (member.network.sizes[at / 2], member.network.sizes[at / 2 + 1]);
        let (part, shape, row) = match at % 2 {
            0 => ("weight", vec![rows, columns], columns),
            _ => ("bias", vec![rows], rows),
        };
        let begin = data.len();
        let dtype = append(&mut data, values, member.written, row);
        let name = format!("layer{}.{part}", at / 2);
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()] });
        header.insert(name, entry);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes(), &header[..], &data[..]].concat()
}

fn append(data: &mut Vec<u8>, values: &[f32], written: Written, row: usize) -> &'static str {
    match written {
        Written::F32 => {
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            "F32"
        }
        Written::F16 => {
            data.extend(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()));
            "F16"
        }
        Written::Bf16 => {
            data.extend(values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()));
            "BF16"
        }
        Written::Int8 => {
            for row in values.chunks(row) {
                let largest = row.iter().fold(0.0f32, |max, value| max.max(value.abs()));
                let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                data.extend(row.iter().map(|value| (value * scale).round_ties_even() as i8 as u8));
            }
            "I8"
        }
    }
}
