//! The tensors of a model, in parts of a table, and those whose names contain a text.

use std::fmt::Write as _;

use mgit::{Model, Tensor};

use crate::kept::Kept;
use crate::pages::frame::cut;
use crate::pages::{Site, links};
use crate::picture::escaped;
use crate::text::{count, size};

/// Tensors of a part.
const PART: usize = 2000;
/// Characters of a text to find that are kept.
const FIND_MAX: usize = 200;

/// The section; `query` says which part, and what to find.
pub fn tensors(model: &Model, site: &Site, query: &str) -> String {
    let find: String =
        links::asked(query, "find").unwrap_or_default().chars().take(FIND_MAX).collect();
    let part = links::asked(query, "tensors").and_then(|part| part.parse::<usize>().ok());
    let words: Vec<String> = find.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let is_found = |tensor: &Tensor| {
        let name = tensor.name().to_lowercase();
        words.iter().all(|word| name.contains(word.as_str()))
    };
    let found = model.tensors().filter(is_found).count();
    let parts = found.div_ceil(PART).max(1);
    let part = part.unwrap_or(1).clamp(1, parts);
    let first = (part - 1) * PART;
    let mut out = format!(
        "<section id=\"tensors\">\n<h3>Tensors</h3>\n\
         <form action=\"{}#tensors\"><input type=\"search\" name=\"find\" value=\"{}\" \
         placeholder=\"Name of a tensor\" aria-label=\"Find tensors\" data-filter=\"all-tensors\" \
         maxlength=\"{FIND_MAX}\"> <button>Find</button>\
         <output class=\"told\">{}</output></form>\n",
        escaped(&links::node(site, model.node())),
        escaped(&find),
        told(model, found, first, &find),
    );
    out += &parts_line(model, site, (part, parts), &find);
    out += "<table id=\"all-tensors\" class=\"sorted\">\n<thead><tr><th>Tensor</th><th>Type</th>\
            <th>Shape</th><th class=\"number\">Bytes</th><th class=\"number\">Stored</th>\
            <th>As</th></tr></thead>\n<tbody>\n";
    for tensor in model.tensors().filter(is_found).skip(first).take(PART) {
        row(&mut out, &tensor);
    }
    out += "</tbody>\n</table>\n</section>\n";
    out
}

/// Which of how many are shown.
fn told(model: &Model, found: usize, first: usize, find: &str) -> String {
    let all = count(model.tensors().len() as u64, "tensor");
    let last = (first + PART).min(found);
    let whose = match find {
        "" => String::new(),
        find => format!(" whose names contain {}", escaped(find)),
    };
    match (found > PART, find) {
        (false, "") => all,
        (false, _) => format!("{found} of {all}{whose}"),
        (true, _) => format!("{} to {last} of {found}{whose}", first + 1),
    }
}

/// Links to the other parts.
fn parts_line(model: &Model, site: &Site, (part, parts): (usize, usize), find: &str) -> String {
    if parts == 1 {
        return String::new();
    }
    let link = |to: usize, text: &str| {
        let find = links::encoded(find);
        let href = format!("{}?tensors={to}&find={find}#tensors", links::node(site, model.node()));
        format!("<a href=\"{}\">{text}</a> ", escaped(&href))
    };
    let mut out = format!("<p class=\"parts\">Part {part} of {parts}: ");
    let mut ways = vec![(1, "first"), (part - 1, "previous"), (part + 1, "next"), (parts, "last")];
    ways.retain(|(to, _)| (1..=parts).contains(to) && *to != part);
    ways.into_iter().for_each(|(to, text)| out += &link(to, text));
    out + "</p>\n"
}

fn row(out: &mut String, tensor: &Tensor) {
    let (stored, told, encoding) = match Kept::of(tensor) {
        Ok(kept) => {
            let stored = kept.stored();
            let depth = stored.map_or(0, |stored| stored.depth);
            let depth = if depth == 0 { String::new() } else { format!(", depth {depth}") };
            let len = stored.map_or(0, |stored| stored.stored_len);
            let told = stored.map(|_| size(len)).unwrap_or_default();
            (len, told, format!("{}{depth}", kept.encoding()))
        }
        Err(failure) => (0, String::new(), failure.to_string()),
    };
    let _ = writeln!(
        out,
        "<tr><td class=\"name\">{}</td><td>{}</td><td>{}</td>\
         <td class=\"number\" data-value=\"{}\">{}</td>\
         <td class=\"number\" data-value=\"{stored}\">{told}</td><td>{}</td></tr>",
        escaped(tensor.name()),
        escaped(&tensor.dtype().to_string()),
        escaped(&tensor.shape().to_string()),
        tensor.byte_len(),
        size(tensor.byte_len()),
        cut(&encoding, 300),
    );
}
