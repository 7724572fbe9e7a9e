//! The family as a vector picture, in light and dark.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use mgit::catalog::EdgeKind;
use mgit::lineage::Node;

use super::layout::{Layout, Point, Rect, lay_out};
use super::{DIVERGED, DrawnEdge, DrawnNode, MARK, Own, Picture, escaped, shortened};
use crate::text::{size, time};

/// Around everything.
const MARGIN: f64 = 28.0;
/// Of a box.
const BOX_HEIGHT: f64 = 58.0;
/// The narrowest box.
const BOX_WIDTH_MIN: f64 = 150.0;
/// Characters of a name that are shown.
const NAME_MAX: usize = 40;
/// Characters of a tag that are shown.
const TAG_MAX: usize = 18;
/// Tags that are shown; the rest is counted.
const TAGS_MAX: usize = 3;
/// Between the ends of several edges at one box.
const PORT_GAP: f64 = 14.0;
/// The straight end of a line, which its label stands on.
const LABEL_WIDTH: f64 = 62.0;
/// Below the picture, for the legend.
const LEGEND_HEIGHT: f64 = 34.0;

/// Colours that the style has.
const COLOURS: usize = 12;

/// The colours, and how things are drawn with them.
const STYLE: &str = include_str!("picture.css");

/// The width of text in pixels, near enough: letters of other scripts are taken as wide.
fn width_of(text: &str, letter: f64) -> f64 {
    text.chars().map(|character| if character.is_ascii() { letter } else { letter * 1.9 }).sum()
}

/// The number of a colour for each kind, those of most models first; the colours are those of the
/// style's classes `c0`, `c1` and so on. The other kinds have none.
fn colours(picture: &Picture) -> HashMap<&str, usize> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let kinds = picture.nodes.iter().map(|node| node.node.kind());
    kinds.filter(|kind| !kind.is_empty()).for_each(|kind| *counts.entry(kind).or_default() += 1);
    let mut kinds: Vec<(&str, usize)> = counts.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    kinds.into_iter().take(COLOURS).enumerate().map(|(at, (kind, _))| (kind, at)).collect()
}

/// The tags as they are shown.
fn pills(node: &DrawnNode) -> Vec<String> {
    let mut pills: Vec<String> =
        node.tags.iter().take(TAGS_MAX).map(|tag| shortened(tag, TAG_MAX)).collect();
    if node.tags.len() > TAGS_MAX {
        pills.push(format!("+{}", node.tags.len() - TAGS_MAX));
    }
    pills
}

fn pill_width(pill: &str) -> f64 {
    width_of(pill, 5.9) + 14.0
}

fn box_width(node: &DrawnNode) -> f64 {
    let name = width_of(&shortened(&node.name, NAME_MAX), 7.4);
    let summary = width_of(&shortened(&node.summary(), NAME_MAX), 6.1);
    let sizes = width_of(&sizes(node), 6.1);
    let pills: f64 = pills(node).iter().map(|pill| pill_width(pill) + 4.0).sum();
    (name.max(summary).max(sizes).max(pills) + 32.0).max(BOX_WIDTH_MIN)
}

/// Such as `1.89 MiB → 68.77 KiB`.
fn sizes(node: &DrawnNode) -> String {
    let plain = size(node.node.logical_bytes());
    match node.own {
        Own::Bytes(own) => format!("{plain} \u{2192} {}", size(own)),
        Own::Damaged => format!("{plain}, damaged"),
        Own::NotRead => plain,
    }
}

/// A picture laid out and drawn: what goes into `<svg>`, and its size.
pub struct Drawing {
    /// The elements.
    pub elements: String,
    /// In pixels.
    pub width: f64,
    /// In pixels, without the legend.
    pub height: f64,
}

impl Drawing {
    /// Lays out and draws; each model is a link to what `link` says, if it says something.
    pub fn new(picture: &Picture, link: &dyn Fn(&Node) -> Option<String>) -> Self {
        let sizes: Vec<(f64, f64)> =
            picture.nodes.iter().map(|node| (box_width(node), BOX_HEIGHT)).collect();
        let ends: Vec<(usize, usize)> =
            picture.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        let layout = lay_out(&sizes, &ends);
        let (ports, colours) = (ports(picture, &layout), colours(picture));
        let mut elements = String::from("<g class=\"edges\">\n");
        for (at, edge) in picture.edges.iter().enumerate() {
            draw_edge(&mut elements, picture, edge, &layout, &layout.lines[at], ports[at]);
        }
        elements += "</g>\n<g class=\"nodes\">\n";
        for (place, node) in picture.nodes.iter().enumerate() {
            let colour = colours.get(node.node.kind()).copied();
            let link = link(&node.node);
            draw_node(&mut elements, node, place, layout.boxes[place], colour, link.as_deref());
        }
        elements += "</g>\n";
        Drawing { elements, width: layout.width, height: layout.height }
    }
}

/// Where each edge enters its box, from the box's middle: in the order of what they come from.
fn ports(picture: &Picture, layout: &Layout) -> Vec<f64> {
    let mut of_box: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
    for (at, edge) in picture.edges.iter().enumerate() {
        of_box[edge.to].push(at);
    }
    let mut ports = vec![0.0; picture.edges.len()];
    for edges in &mut of_box {
        let from = |at: &usize| match layout.lines[*at].last() {
            Some(point) => point.y,
            None => layout.boxes[picture.edges[*at].from].middle(),
        };
        edges.sort_by(|a, b| from(a).total_cmp(&from(b)));
        let middle = (edges.len().saturating_sub(1)) as f64 / 2.0;
        let gap = PORT_GAP.min((BOX_HEIGHT - 16.0) / edges.len().max(1) as f64);
        for (place, at) in edges.iter().enumerate() {
            ports[*at] = (place as f64 - middle) * gap;
        }
    }
    ports
}

fn draw_edge(
    out: &mut String,
    picture: &Picture,
    edge: &DrawnEdge,
    layout: &Layout,
    line: &[Point],
    port: f64,
) {
    let (from, to) = (layout.boxes[edge.from], layout.boxes[edge.to]);
    let leave = if edge.kind == EdgeKind::Version { 7.0 } else { 0.0 };
    let mut at = Point { x: from.x + from.width, y: from.middle() + leave };
    let end = Point { x: to.x - 11.0, y: to.middle() + port };
    // The last piece is straight: its label stands on it.
    let bent = Point { x: end.x - LABEL_WIDTH, y: end.y };
    let mut path = format!("M{:.1} {:.1}", at.x, at.y);
    let mut curve = |path: &mut String, next: Point| {
        let bend = ((next.x - at.x) / 2.0).max(12.0);
        let _ = write!(
            path,
            " C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
            at.x + bend,
            at.y,
            next.x - bend,
            next.y,
            next.x,
            next.y
        );
        at = next;
    };
    for pair in line.chunks_exact(2) {
        curve(&mut path, pair[0]);
        curve(&mut path, pair[1]);
    }
    match bent.x > at_before(line, from) {
        true => curve(&mut path, bent),
        false => curve(&mut path, end),
    }
    let _ = write!(path, " L{:.1} {:.1}", end.x, end.y);
    let (class, told) = match edge.kind {
        EdgeKind::Provenance => ("provenance", format!("{} of", edge.how)),
        EdgeKind::Version => ("version", "next version of".to_owned()),
    };
    let ends = [edge.to, edge.from].map(|place| escaped(&picture.nodes[place].name));
    let _ = write!(
        out,
        "<g class=\"edge {class}\" data-from=\"{}\" data-to=\"{}\"><title>{}: {} {}</title>\
         <path d=\"{path}\"/>",
        edge.from,
        edge.to,
        ends[0],
        escaped(&told),
        ends[1]
    );
    if edge.kind == EdgeKind::Provenance && port.abs() <= 3.0 * PORT_GAP {
        let (x, y) = (end.x - 6.0, end.y - 4.0);
        let how = escaped(edge.how);
        let _ = write!(out, "<text class=\"how\" x=\"{x:.1}\" y=\"{y:.1}\">{how}</text>");
    }
    *out += "</g>\n";
}

/// Where the last bend of a line begins.
fn at_before(line: &[Point], from: Rect) -> f64 {
    line.last().map_or(from.x + from.width, |point| point.x)
}

fn draw_node(
    out: &mut String,
    node: &DrawnNode,
    place: usize,
    rect: Rect,
    colour: Option<usize>,
    link: Option<&str>,
) {
    let row = &node.node;
    let Rect { x, y, width, height } = rect;
    let damaged = if node.own == Own::Damaged { " damaged" } else { "" };
    let diverged = if node.diverged { " end" } else { "" };
    let colour = colour.map(|colour| format!(" c{colour}")).unwrap_or_default();
    let (element, link) = match link {
        None => ("g", String::new()),
        Some(link) => ("a", format!(" href=\"{}\"", escaped(link))),
    };
    let _ = writeln!(
        out,
        "<{element} class=\"node{damaged}{diverged}{colour}\"{link} data-node=\"{place}\" \
         transform=\"translate({x:.1} {y:.1})\">"
    );
    let title =
        format!("{}: {}; {}; {}", node.name, node.summary(), node.sizes(), time(row.created_ms()));
    let _ = writeln!(out, "<title>{} UTC</title>", escaped(&title));
    let _ =
        writeln!(out, "<rect class=\"box\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"7\"/>");
    let _ =
        writeln!(out, "<path class=\"kind\" d=\"M0 7a7 7 0 0 1 7-7v{height:.1}a7 7 0 0 1-7-7z\"/>");
    let name = escaped(&shortened(&node.name, NAME_MAX));
    let summary = escaped(&shortened(&node.summary(), NAME_MAX));
    let _ = writeln!(out, "<text class=\"name\" x=\"17\" y=\"21\">{name}</text>");
    let _ = writeln!(out, "<text class=\"fact\" x=\"17\" y=\"36\">{summary}</text>");
    let _ =
        writeln!(out, "<text class=\"fact\" x=\"17\" y=\"50\">{}</text>", escaped(&sizes(node)));
    let mut right = width - 8.0;
    for pill in pills(node).iter().rev() {
        let pill_width = pill_width(pill);
        right -= pill_width;
        let class = if node.diverged && pill == DIVERGED { "tag end" } else { "tag" };
        let _ = writeln!(
            out,
            "<g class=\"{class}\" transform=\"translate({right:.1} -9)\">\
             <rect width=\"{pill_width:.1}\" height=\"17\" rx=\"8.5\"/>\
             <text x=\"{:.1}\" y=\"12\">{}</text></g>",
            pill_width / 2.0,
            escaped(pill)
        );
        right -= 4.0;
    }
    let _ = writeln!(out, "</{element}>");
}

/// The arrow heads, which the lines of [`Drawing`] end in.
pub const MARKERS: &str = "<defs>\
<marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"1\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
orient=\"auto\"><path class=\"tip\" d=\"M0 0.5L8 4L0 7.5z\"/></marker>\
<marker id=\"tip-version\" viewBox=\"0 0 8 8\" refX=\"1\" refY=\"4\" markerWidth=\"7\" \
markerHeight=\"7\" orient=\"auto\"><path class=\"tip-version\" d=\"M0 0.5L8 4L0 7.5z\"/></marker>\
</defs>\n";

fn legend(picture: &Picture, y: f64) -> (String, f64) {
    let models = crate::text::count(picture.nodes.len() as u64, "model");
    let plain = picture.nodes.iter().map(|node| node.node.logical_bytes()).sum();
    let own = |node: &DrawnNode| if let Own::Bytes(own) = node.own { own } else { 0 };
    let stored = picture.nodes.iter().map(own).sum();
    let told =
        format!("{models}: {} as plain files, tensors stored in {}", size(plain), size(stored));
    let told_x = 250.0;
    let text = format!(
        "<g class=\"legend\" transform=\"translate(0 {y:.1})\">\
         <g class=\"edge provenance\"><path d=\"M0 0H26\"/></g>\
         <text x=\"42\" y=\"4\">derived from</text>\
         <g class=\"edge version\"><path d=\"M128 0H154\"/></g>\
         <text x=\"170\" y=\"4\">version</text>\
         <text x=\"{told_x}\" y=\"4\">{}</text></g>\n",
        escaped(&told)
    );
    (text, told_x + width_of(&told, 6.1))
}

/// The picture as one SVG file.
pub fn svg(picture: &Picture) -> String {
    let drawing = Drawing::new(picture, &|_| None);
    // Tags stand a little above their boxes.
    let top = 10.0;
    let (legend, legend_width) = legend(picture, drawing.height + top + LEGEND_HEIGHT - 8.0);
    let width = drawing.width.max(legend_width) + 2.0 * MARGIN;
    let height = drawing.height + top + LEGEND_HEIGHT + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"picture\" width=\"{width:.0}\" \
         height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n"
    );
    let _ = writeln!(out, "<desc>{MARK}</desc>");
    let _ = writeln!(out, "<title>{}</title>", escaped(&picture.title));
    let _ = writeln!(out, "<style>\n{STYLE}</style>");
    out += MARKERS;
    out += "<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n";
    let _ = writeln!(out, "<g transform=\"translate({MARGIN} {MARGIN})\">");
    let _ = writeln!(out, "<g transform=\"translate(0 {top})\">");
    out += &drawing.elements;
    out += "</g>\n";
    out += &legend;
    out += "</g>\n</svg>\n";
    out
}
