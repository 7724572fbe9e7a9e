//! The drawing of a graph beside a list of its nodes, as `git log --graph` draws it.
//!
//! Invariants:
//!
//! - A node's edges lead to nodes further down the list; every edge has a lane of its own from
//!   the one to the other, so that lanes of different kinds are never taken for each other.
//! - A node stands in the leftmost of the lanes that lead to it; the others join it in the row
//!   before. Its first edge goes straight down; the others fork to the right in the row after.
//! - The row after a node's is never another node's, so that two nodes with nothing between them
//!   are seen to have nothing to do with each other.

/// How a lane is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// `|`
    Solid,
    /// `:`
    Dotted,
}

impl Stroke {
    fn mark(self) -> char {
        match self {
            Stroke::Solid => '|',
            Stroke::Dotted => ':',
        }
    }
}

/// An edge to a node further down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneEdge {
    /// The node's place in the list.
    pub to: usize,
    /// How the edge is drawn.
    pub stroke: Stroke,
}

/// What a row of the drawing stands beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// The node of this place.
    Node(usize),
    /// The edges of the node of this place.
    Edges(usize),
    /// Nothing.
    Nothing,
}

/// A row of the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The lanes.
    pub lanes: String,
    /// What it stands beside.
    pub beside: Beside,
}

/// The lanes that go on: column by column, where there is one.
type Columns = Vec<Option<LaneEdge>>;

/// The first column from `from` on that is free.
fn free_column(columns: &mut Columns, from: usize) -> usize {
    while columns.len() < from {
        columns.push(None);
    }
    let free = columns.iter().skip(from).position(Option::is_none).map(|at| from + at);
    free.unwrap_or_else(|| {
        columns.push(None);
        columns.len() - 1
    })
}

/// The marks of the columns, with the gaps between them.
fn marks(columns: &Columns) -> Vec<char> {
    let mark = |column: &Option<LaneEdge>| column.map_or(' ', |edge| edge.stroke.mark());
    columns.iter().flat_map(|column| [mark(column), ' ']).collect()
}

fn finish(marks: Vec<char>, beside: Beside) -> Row {
    let lanes: String = marks.into_iter().collect();
    Row { lanes: lanes.trim_end().to_owned(), beside }
}

/// The row that connects column `from` with columns to its right: by `beside` (`\` or `/`) when
/// it is the next one alone, else by a line that ends in `corner`.
fn connect(
    columns: &Columns,
    from: usize,
    others: &[usize],
    [diagonal, corner]: [char; 2],
) -> Vec<char> {
    let mut marks = marks(columns);
    let Some(last) = others.iter().max().copied() else { return marks };
    let mut set = |at: usize, mark: char| {
        if let Some(place) = marks.get_mut(at) {
            *place = mark;
        }
    };
    if last == from + 1 {
        set(2 * from + 1, diagonal);
        set(2 * last, ' ');
        return marks;
    }
    for column in from..last {
        set(2 * column + 1, '-');
        if column > from && columns.get(column).is_none_or(Option::is_none) {
            set(2 * column, '-');
        }
    }
    for column in others {
        set(2 * column, '+');
    }
    set(2 * last, corner);
    marks
}

/// Draws the nodes whose edges are given, from top to bottom. Edges that do not lead down are
/// left out.
pub fn draw(nodes: &[Vec<LaneEdge>]) -> Vec<Row> {
    let mut columns = Columns::new();
    let mut rows = Vec::new();
    for (at, edges) in nodes.iter().enumerate() {
        let leads_here = |column: &Option<LaneEdge>| column.is_some_and(|edge| edge.to == at);
        let here: Vec<usize> = (0..columns.len())
            .filter(|column| columns.get(*column).is_some_and(leads_here))
            .collect();
        let own = match here.split_first() {
            None => free_column(&mut columns, 0),
            Some((own, [])) => *own,
            Some((own, joining)) => {
                let row = connect(&columns, *own, joining, ['/', '\'']);
                rows.push(finish(row, Beside::Nothing));
                clear(&mut columns, joining);
                *own
            }
        };
        let mut row = marks(&columns);
        if let Some(mark) = row.get_mut(2 * own) {
            *mark = '*';
        }
        rows.push(finish(row, Beside::Node(at)));

        let mut down = edges.iter().filter(|edge| edge.to > at && edge.to < nodes.len());
        set(&mut columns, own, down.next().copied());
        let mut forks = Vec::new();
        for edge in down {
            let column = free_column(&mut columns, own + 1);
            set(&mut columns, column, Some(*edge));
            forks.push(column);
        }
        rows.push(finish(connect(&columns, own, &forks, ['\\', '.']), Beside::Edges(at)));
        while columns.last().is_some_and(Option::is_none) {
            columns.pop();
        }
    }
    rows
}

fn set(columns: &mut Columns, at: usize, edge: Option<LaneEdge>) {
    if let Some(column) = columns.get_mut(at) {
        *column = edge;
    }
}

fn clear(columns: &mut Columns, which: &[usize]) {
    for at in which {
        set(columns, *at, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws nodes given by their edges: `n` a solid edge to node `n`, `-n` a dotted one.
    fn lanes(nodes: &[&[i32]]) -> Vec<String> {
        let edge = |to: &i32| LaneEdge {
            to: to.unsigned_abs() as usize,
            stroke: if *to < 0 { Stroke::Dotted } else { Stroke::Solid },
        };
        let nodes: Vec<Vec<LaneEdge>> =
            nodes.iter().map(|edges| edges.iter().map(edge).collect()).collect();
        draw(&nodes).into_iter().map(|row| row.lanes).collect()
    }

    #[test]
    fn a_chain_goes_straight_down() {
        assert_eq!(lanes(&[&[-1], &[2], &[]]), ["*", ":", "*", "|", "*", ""]);
    }

    #[test]
    fn roots_are_kept_apart() {
        assert_eq!(lanes(&[&[], &[], &[]]), ["*", "", "*", "", "*", ""]);
        // The first ends while another lane goes on beside it.
        assert_eq!(lanes(&[&[2], &[], &[]]), ["*", "|", "| *", "|", "*", ""]);
    }

    #[test]
    fn a_diamond_forks_and_joins() {
        let rows = lanes(&[&[1, 2], &[3], &[3], &[]]);
        assert_eq!(rows, ["*", "|\\", "* |", "| |", "| *", "| |", "|/", "*", ""]);
    }

    #[test]
    fn strokes_stay_with_their_lanes() {
        // Node 0 is the next version of 2, and derived from 1.
        let rows = lanes(&[&[-2, 1], &[3], &[3], &[]]);
        assert_eq!(rows, ["*", ":\\", ": *", ": |", "* |", "| |", "|/", "*", ""]);
    }

    #[test]
    fn several_parents_fork_in_one_row() {
        let rows = lanes(&[&[1, 2, 3], &[], &[], &[]]);
        assert_eq!(rows, ["*", "|-+-.", "* | |", "  | |", "  * |", "    |", "    *", ""]);
    }

    #[test]
    fn lines_pass_the_lanes_between() {
        // Column 1 leads to node 4 while columns 0 and 2 meet in node 3.
        let rows = lanes(&[&[3, 4], &[3], &[4], &[], &[]]);
        let expected =
            "*\n|\\\n| | *\n| | |\n| | | *\n| | | |\n|-|-' |\n* |   |\n  |   |\n  |---'\n  *\n";
        assert_eq!(rows, expected.split('\n').collect::<Vec<_>>());
    }

    #[test]
    fn free_columns_are_taken_again() {
        let rows = lanes(&[&[3], &[], &[3], &[]]);
        assert_eq!(rows, ["*", "|", "| *", "|", "| *", "| |", "|/", "*", ""]);
    }

    #[test]
    fn edges_that_do_not_lead_down_are_left_out() {
        assert_eq!(lanes(&[&[7], &[0]]), ["*", "", "*", ""]);
    }

    /// Follows every lane of random graphs from row to row: each edge arrives where it must.
    #[test]
    fn every_node_is_drawn_once_with_its_edges() {
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            (seed >> 33) as usize % below
        };
        for _ in 0..200 {
            let count = 1 + random(12);
            let mut nodes: Vec<Vec<LaneEdge>> = vec![Vec::new(); count];
            for (at, edges) in nodes.iter_mut().enumerate() {
                for to in at + 1..count {
                    if random(3) == 0 {
                        edges.push(LaneEdge { to, stroke: Stroke::Solid });
                    }
                }
            }
            let rows = draw(&nodes);
            let drawn: Vec<usize> = rows
                .iter()
                .filter_map(|row| match row.beside {
                    Beside::Node(at) => Some(at),
                    _ => None,
                })
                .collect();
            assert_eq!(drawn, (0..count).collect::<Vec<_>>());
            for row in rows.iter().filter(|row| matches!(row.beside, Beside::Node(_))) {
                assert_eq!(row.lanes.matches('*').count(), 1, "{row:?}");
                let Beside::Node(at) = row.beside else { continue };
                // As many lanes pass a node as edges begin above and end below it.
                let passing = nodes[..at].iter().flatten().filter(|edge| edge.to > at).count();
                assert_eq!(row.lanes.matches('|').count(), passing, "{row:?}");
            }
        }
    }
}
