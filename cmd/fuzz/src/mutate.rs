//! Changes inputs at random, for a driver without feedback. The same seed gives the same inputs.

use fastrand::Rng;

/// The longest input made.
const LONGEST: usize = 16 << 10;

/// Bytes that parsers stumble over.
const AWKWARD: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\xef\xbf\xbd",
    b"\xf0\x9f\x92\xa9",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[[[[[[[[",
    b"{\"a\":",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"0.1",
    b"\"\"",
    b"\\u0000",
    b"\\ud800",
    b"..",
    b"%2e%2e%2f",
    b"/",
    b"~1",
    b"~0",
    b"$patch",
    b"$setElementOrder",
    b"$retainKeys",
    b"*",
    b"&a",
    b"<<: *a",
    b"!!binary ",
    b"- ",
    b": ",
    b"\n",
    b",",
    b"=",
    b"!=",
    b" in (",
    b" notin (",
    b")",
    b"metadata",
    b"name",
    b"spec",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\xff\xff\xff\xff\x0f",
    b"\xc0\x0c",
    b"k8s\0",
];

/// A changed copy of one of `seeds`, which must not be empty.
pub fn mutated(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..1 << rng.u32(0..5) {
        let at = rng.usize(..=input.len());
        match rng.u8(0..9) {
            0 if at < input.len() => input[at] ^= 1 << rng.u32(0..8),
            1 if at < input.len() => input[at] = rng.u8(..),
            2 => input.insert(at, rng.u8(..)),
            3 => {
                let end = (at + rng.usize(..16)).min(input.len());
                input.drain(at..end);
            }
            4 => input.truncate(at),
            5 => {
                // A piece of itself once more.
                let end = (at + rng.usize(..64)).min(input.len());
                let piece = input[at..end].to_vec();
                let to = rng.usize(..=input.len());
                input.splice(to..to, piece);
            }
            6 => {
                // The rest from another seed.
                let other = &seeds[rng.usize(..seeds.len())];
                input.truncate(at);
                input.extend_from_slice(&other[rng.usize(..=other.len())..]);
            }
            _ => {
                let word = AWKWARD[rng.usize(..AWKWARD.len())];
                let end = if rng.bool() { at } else { (at + word.len()).min(input.len()) };
                input.splice(at..end, word.iter().copied());
            }
        }
        input.truncate(LONGEST);
    }
    input
}
