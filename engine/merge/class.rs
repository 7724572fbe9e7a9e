//! The classes of changed layers, by the graph of layers alone.

use std::collections::VecDeque;

/// Which sides have changed a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
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
// Exhaustive on purpose: whoever matches one is to be told when there is another.
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

/// As its name.
impl serde::Serialize for Class {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The most layers of a path that are named; of a longer one these, and the last.
const PATH_MAX: usize = 32;

/// Layers on a path, in the direction of the edges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path {
    /// The first, and those behind it.
    pub(super) first: Vec<usize>,
    /// How many are not named.
    pub(super) left_out: usize,
    /// Those up to the last.
    pub(super) last: Vec<usize>,
}

/// The classes of changed layers, and for possible conflicts the paths that make them so.
#[derive(Debug)]
pub(super) struct Classes {
    /// Searches from what each side has changed: downwards and upwards.
    ours: [Search; 2],
    theirs: [Search; 2],
}

impl Classes {
    /// Of layers that were `touched` so, between which there are these edges. Cost: linear in
    /// layers and edges.
    pub(super) fn of(touched: &[Touched], edges: &[(u32, u32)]) -> Self {
        let below = Adjacent::new(touched.len(), edges.iter().copied());
        let above = Adjacent::new(touched.len(), edges.iter().map(|(from, to)| (*to, *from)));
        let by = |side: Touched| move |it: &Touched| *it == side || *it == Touched::Both;
        let [ours, theirs] = [Touched::Ours, Touched::Theirs].map(|side| {
            let starts: Vec<u32> = (touched.iter().enumerate())
                .filter(|(_, it)| by(side)(it))
                .map(|(at, _)| at as u32)
                .collect();
            // Searched against the edges, so that what is noted of a layer leads down to the side's.
            [Search::new(&starts, &above), Search::new(&starts, &below)]
        });
        Classes { ours, theirs }
    }

    fn search(&self, at: usize, touched: Touched) -> Option<(&Search, bool)> {
        let [down, up] = match touched {
            Touched::Ours => &self.theirs,
            Touched::Theirs => &self.ours,
            _ => return None,
        };
        match (down.steps(at), up.steps(at)) {
            (Some(down_steps), Some(up_steps)) if up_steps < down_steps => Some((up, true)),
            (Some(_), _) => Some((down, false)),
            (None, Some(_)) => Some((up, true)),
            (None, None) => None,
        }
    }

    /// The class of a layer; `None` when it was not changed.
    pub(super) fn class(&self, at: usize, touched: Touched) -> Option<Class> {
        match touched {
            Touched::Neither => None,
            Touched::Alike => Some(Class::None),
            Touched::Both => Some(Class::Conflict),
            _ if self.search(at, touched).is_some() => Some(Class::Possible),
            _ => Some(Class::None),
        }
    }

    /// For a possible conflict a shortest path that makes it one: in the direction of the edges,
    /// with both ends. One downwards comes before one upwards of equal length. Cost: bounded.
    pub(super) fn path(&self, at: usize, touched: Touched) -> Path {
        let Some((search, upwards)) = self.search(at, touched) else { return Path::default() };
        let mut path = search.path(at);
        if upwards {
            std::mem::swap(&mut path.first, &mut path.last);
            path.first.reverse();
            path.last.reverse();
        }
        path
    }
}

/// Neighbours of every layer, one after the other.
struct Adjacent {
    ends: Vec<u32>,
    next: Vec<u32>,
}

impl Adjacent {
    fn new(count: usize, edges: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let inside = |(from, to): &(u32, u32)| (*from.max(to) as usize) < count;
        let edges = edges.filter(inside);
        // First where each one's neighbours begin, and, when they are filled in, where they end.
        let mut ends = vec![0u32; count + 1];
        for (from, _) in edges.clone() {
            ends.get_mut(from as usize + 1).into_iter().for_each(|end| *end += 1);
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut next = vec![0; sum as usize];
        for (from, to) in edges {
            if let Some(end) = ends.get_mut(from as usize) {
                next.get_mut(*end as usize).into_iter().for_each(|next| *next = to);
                *end += 1;
            }
        }
        Adjacent { ends, next }
    }

    fn of(&self, at: u32) -> &[u32] {
        let at = at as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(at).copied().unwrap_or(0) as usize;
        self.next.get(start.unwrap_or(0) as usize..end).unwrap_or_default()
    }
}

/// A search from several layers at once: for each layer it comes to, the next one on the way back,
/// how many steps that is, and where it ends.
#[derive(Debug)]
struct Search(Vec<Reached>);

#[derive(Clone, Copy, Debug)]
struct Reached {
    back: u32,
    steps: u32,
    start: u32,
}

const UNREACHED: Reached = Reached { back: u32::MAX, steps: u32::MAX, start: u32::MAX };

impl Search {
    fn new(starts: &[u32], next: &Adjacent) -> Self {
        let count = next.ends.len().saturating_sub(1);
        let mut reached = vec![UNREACHED; count];
        let mut queue: VecDeque<u32> = starts.iter().copied().collect();
        for start in starts {
            let here = Reached { back: *start, steps: 0, start: *start };
            reached.get_mut(*start as usize).into_iter().for_each(|it| *it = here);
        }
        while let Some(at) = queue.pop_front() {
            let Some(here) = reached.get(at as usize).copied() else { continue };
            for to in next.of(at) {
                if let Some(it) = reached.get_mut(*to as usize)
                    && it.steps == u32::MAX
                {
                    *it = Reached { back: at, steps: here.steps + 1, start: here.start };
                    queue.push_back(*to);
                }
            }
        }
        Search(reached)
    }

    /// How far a layer is from the nearest start, if it was come to.
    fn steps(&self, at: usize) -> Option<u32> {
        self.0.get(at).map(|it| it.steps).filter(|steps| *steps != u32::MAX)
    }

    /// From a layer to the nearest start.
    fn path(&self, from: usize) -> Path {
        let (mut path, mut at) = (Path::default(), from);
        while let Some(here) = self.0.get(at) {
            if path.first.len() == PATH_MAX {
                path.left_out = here.steps as usize;
                path.last = vec![here.start as usize];
                break;
            }
            path.first.push(at);
            if here.steps == 0 {
                break;
            }
            at = here.back as usize;
        }
        path
    }
}
