//! The classes of changed layers, by the graph of layers alone.

use std::collections::VecDeque;

/// Which sides have changed a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Touched {
    /// Neither.
    #[default]
    Neither,
    /// Only ours.
    Ours,
    /// Only theirs.
    Theirs,
    /// Both, alike.
    Alike,
    /// Both, each otherwise.
    Both,
}

/// What a change of a layer means for the merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Both sides have changed the layer, each otherwise.
    Conflict,
    /// One side has changed it, and a path joins it to a layer that the other side has changed.
    Possible,
    /// Nothing of the other side meets it.
    None,
}

impl Class {
    /// A word.
    pub fn name(self) -> &'static str {
        match self {
            Class::Conflict => "conflict",
            Class::Possible => "possible-conflict",
            Class::None => "no-conflict",
        }
    }
}

/// For every layer that was changed its class and, for a possible conflict, a shortest path that
/// makes it one: in the direction of the edges, with both ends. The path downwards comes before one
/// upwards of equal length. Cost: linear in layers and edges, but for the paths' own lengths.
pub fn classify(touched: &[Touched], edges: &[(usize, usize)]) -> Vec<Option<(Class, Vec<usize>)>> {
    let mut below = vec![Vec::new(); touched.len()];
    let mut above = vec![Vec::new(); touched.len()];
    for (from, to) in edges {
        if let (Some(below), true) = (below.get_mut(*from), *to < touched.len()) {
            below.push(*to);
        }
        if let (Some(above), true) = (above.get_mut(*to), *from < touched.len()) {
            above.push(*from);
        }
    }
    let by = |side: Touched| move |touched: &Touched| *touched == side || *touched == Touched::Both;
    let [ours, theirs] = [Touched::Ours, Touched::Theirs].map(|side| {
        let starts: Vec<usize> =
            touched.iter().enumerate().filter(|(_, it)| by(side)(it)).map(|(at, _)| at).collect();
        // Searched against the edges, so that what is noted of a layer leads down to the side's.
        [Search::new(&starts, &above), Search::new(&starts, &below)]
    });
    let of = |(at, touched): (usize, &Touched)| {
        let [down, up] = match touched {
            Touched::Neither => return None,
            Touched::Alike => return Some((Class::None, Vec::new())),
            Touched::Both => return Some((Class::Conflict, Vec::new())),
            Touched::Ours => &theirs,
            Touched::Theirs => &ours,
        };
        let (down, mut up) = (down.path(at), up.path(at));
        up.reverse();
        let path = match (down.is_empty(), up.is_empty()) {
            (true, _) => up,
            (_, true) => down,
            _ if up.len() < down.len() => up,
            _ => down,
        };
        Some((if path.is_empty() { Class::None } else { Class::Possible }, path))
    };
    touched.iter().enumerate().map(of).collect()
}

/// A search from several layers at once: for each layer it comes to, the next one on the way back.
struct Search(Vec<Option<usize>>);

impl Search {
    fn new(starts: &[usize], next: &[Vec<usize>]) -> Self {
        let mut back: Vec<Option<usize>> = vec![None; next.len()];
        let mut queue: VecDeque<usize> = starts.iter().copied().collect();
        for start in starts {
            if let Some(back) = back.get_mut(*start) {
                *back = Some(*start);
            }
        }
        while let Some(at) = queue.pop_front() {
            for to in next.get(at).into_iter().flatten() {
                if let Some(back @ None) = back.get_mut(*to) {
                    *back = Some(at);
                    queue.push_back(*to);
                }
            }
        }
        Search(back)
    }

    /// From a layer to the nearest start; empty when there is no way.
    fn path(&self, from: usize) -> Vec<usize> {
        let mut path = Vec::new();
        let mut at = from;
        while let Some(Some(next)) = self.0.get(at) {
            path.push(at);
            if *next == at {
                return path;
            }
            at = *next;
        }
        Vec::new()
    }
}
