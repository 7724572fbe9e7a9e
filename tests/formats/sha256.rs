//! SHA-256 (FIPS 180-4), as Python's libraries have it: what they have read is held against it.

/// The hash in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let primes: Vec<u64> =
        (2u64..312).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)).collect();
    // The first 32 bits behind the point of a root.
    let fraction = |root: f64| (root.fract() * f64::from(2u32.pow(16)) * 65536.0) as u32;
    let rounds: Vec<u32> = primes.iter().map(|n| fraction((*n as f64).cbrt())).collect();
    let mut state: [u32; 8] = std::array::from_fn(|at| fraction((primes[at] as f64).sqrt()));
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded
        .resize(padded.len().next_multiple_of(64) + if padded.len() % 64 > 56 { 64 } else { 0 }, 0);
    let end = padded.len() - 8;
    padded[end..].copy_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut words = [0u32; 64];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes(bytes.try_into().unwrap());
        }
        for at in 16..64 {
            let (a, b) = (words[at - 15], words[at - 2]);
            let a = a.rotate_right(7) ^ a.rotate_right(18) ^ a >> 3;
            let b = b.rotate_right(17) ^ b.rotate_right(19) ^ b >> 10;
            words[at] = words[at - 16].wrapping_add(a).wrapping_add(words[at - 7]).wrapping_add(b);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for at in 0..64 {
            let mix = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = e & f ^ !e & g;
            let first =
                [mix, choice, rounds[at], words[at]].iter().fold(h, |x, y| x.wrapping_add(*y));
            let mix = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let second = mix.wrapping_add(a & b ^ a & c ^ b & c);
            (h, g, f, e) = (g, f, e, d.wrapping_add(first));
            (d, c, b, a) = (c, b, a, first.wrapping_add(second));
        }
        for (to, from) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *to = to.wrapping_add(from);
        }
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}

#[test]
fn it_is_the_published_function() {
    let long = [b'a'; 119];
    assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(sha256(&long), "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
}
