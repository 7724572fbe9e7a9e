//! SHA-256 (FIPS 180-4), for what other programs say of a file.

/// The first 32 bits of the fractions of the roots of the first primes: the square roots of eight,
/// the cube roots of 64.
fn of_roots(count: usize, cube: bool) -> Vec<u32> {
    let is_prime = |n: &u128| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    let root = |prime: u128| {
        // The root of prime * 2^96 or 2^64, whole: its last 32 bits are the fraction's first.
        let (power, whole) = if cube { (3, prime << 96) } else { (2, prime << 64) };
        let (mut low, mut high) = (0u128, 1 << 36);
        while high - low > 1 {
            let middle = (low + high) / 2;
            if middle.pow(power) <= whole { low = middle } else { high = middle }
        }
        low as u32
    };
    (2..).filter(is_prime).take(count).map(root).collect()
}

/// The hash of `bytes`, as hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let (mut state, rounds) = (of_roots(8, false), of_roots(64, true));
    let mut message = bytes.to_vec();
    message.push(0x80);
    message.resize(message.len().next_multiple_of(64), 0);
    if message.len() < bytes.len() + 9 {
        message.resize(message.len() + 64, 0);
    }
    let end = message.len() - 8;
    message[end..].copy_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    for block in message.chunks_exact(64) {
        let mut words: Vec<u32> = block
            .chunks_exact(4)
            .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
            .collect();
        for at in 16..64 {
            let (w, v) = (words[at - 15], words[at - 2]);
            let one = w.rotate_right(7) ^ w.rotate_right(18) ^ (w >> 3);
            let two = v.rotate_right(17) ^ v.rotate_right(19) ^ (v >> 10);
            let sum = words[at - 16].wrapping_add(one).wrapping_add(words[at - 7]);
            words.push(sum.wrapping_add(two));
        }
        let mut s: [u32; 8] = state.clone().try_into().unwrap();
        for (word, round) in words.iter().zip(&rounds) {
            let [a, b, c, d, e, f, g, h] = s;
            let one = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let sum = h.wrapping_add(one).wrapping_add((e & f) ^ (!e & g));
            let sum = sum.wrapping_add(*round).wrapping_add(*word);
            let two = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let next = sum.wrapping_add(two).wrapping_add((a & b) ^ (a & c) ^ (b & c));
            s = [next, a, b, c, d.wrapping_add(sum), e, f, g];
        }
        state.iter_mut().zip(s).for_each(|(sum, part)| *sum = sum.wrapping_add(part));
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}

#[test]
fn hashes_are_those_of_the_standard() {
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sha256(b"abc"), known);
    let known = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
    assert_eq!(sha256(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), known);
}
