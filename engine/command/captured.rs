//! What is kept of a command's output.

use std::collections::VecDeque;

/// What a command wrote to one of its outputs: the beginning and the end, where it was too long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    left_out: u64,
}

impl Captured {
    /// Keeps at most about `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Captured { half: limit.div_ceil(2), ..Captured::default() }
    }

    /// Takes what came next.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.half.saturating_sub(self.head.len()).min(bytes.len());
        let (head, tail) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        // Of one long piece only the end can stay.
        let skipped = tail.len().saturating_sub(self.half);
        self.left_out += skipped as u64;
        self.tail.extend(tail.get(skipped..).unwrap_or_default());
        let over = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..over);
        self.left_out += over as u64;
    }

    /// Bytes between the beginning and the end that were not kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The last bytes of it, at most `limit`: where a program fails, the end says why. What is before
    /// them is counted.
    pub fn end(&self, limit: usize) -> String {
        let kept = (self.head.len() + self.tail.len()) as u64;
        // What stands before a gap does not belong to the end.
        let head = if self.left_out == 0 { self.head.as_slice() } else { &[] };
        let (tail_a, tail_b) = self.tail.as_slices();
        let all = [head, tail_a, tail_b].concat();
        let end = all.get(all.len().saturating_sub(limit)..).unwrap_or_default();
        let text = String::from_utf8_lossy(end);
        match kept + self.left_out - end.len() as u64 {
            0 => text.into_owned(),
            before => format!("[{before} bytes left out]\n{text}"),
        }
    }

    /// The text; bytes that are no UTF-8 are replaced, and what was left out is said.
    pub fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.left_out == 0 {
            return String::from_utf8_lossy(&[self.head.as_slice(), &tail].concat()).into_owned();
        }
        let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&tail));
        format!("{head}\n[{} bytes left out]\n{tail}", self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_with_what_is_before_it() {
        let mut captured = Captured::with_limit(8);
        captured.push(b"abcdef");
        assert_eq!(captured.end(8), "abcdef");
        assert_eq!(captured.end(2), "[4 bytes left out]\nef");
        captured.push(b"ghijklmnopqrstuvwxyz");
        assert_eq!(captured.end(100), "[22 bytes left out]\nwxyz");
        assert_eq!(captured.end(3), "[23 bytes left out]\nxyz");
        assert_eq!(Captured::with_limit(8).end(3), "");
    }

    #[test]
    fn beginning_and_end_are_kept() {
        for piece in [1, 3, 7, 100] {
            let mut captured = Captured::with_limit(8);
            let all: Vec<u8> = (b'a'..=b'z').collect();
            all.chunks(piece).for_each(|piece| captured.push(piece));
            assert_eq!(captured.text(), "abcd\n[18 bytes left out]\nwxyz", "{piece}");
        }
        let mut short = Captured::with_limit(8);
        short.push(b"abcdef");
        assert_eq!((short.text().as_str(), short.left_out()), ("abcdef", 0));
    }
}
