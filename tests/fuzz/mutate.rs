//! Inputs out of inputs: the small changes that fuzzers make, by a generator whose row is known from its seed.

pub struct Mutator<'a> {
    state: u64,
    seeds: &'a [Vec<u8>],
}

/// Values that sit at the edges of what fields can hold.
const EDGES: [&[u8]; 22] = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x80",
    b"../",
    b"/",
    b"//",
    b"\n",
    b"\"",
    b",",
    b"0",
    b"-1",
    b"77777777777",
    b"9223372036854775808",
    b"null",
    b"{}",
    b"[]",
    b"@sha256:",
    b"$ORIGIN",
];

const LONGEST: usize = 1 << 16;

impl<'a> Mutator<'a> {
    pub fn new(seed: u64, seeds: &'a [Vec<u8>]) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            seeds,
        }
    }

    /// The next number below `end` (xorshift64*).
    pub fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let number = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).unwrap() % end.max(1)
    }

    /// The next input: one of the corpus with one to eight changes. `fix` makes it whole again where a checksum would
    /// give every change away; one in eight stays broken.
    pub fn input(&mut self, fix: fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut input = self.seed().to_vec();
        for _ in 0..=self.below(8) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        if self.below(8) > 0 {
            fix(&mut input);
        }
        input
    }

    fn seed(&mut self) -> &'a [u8] {
        let index = self.below(self.seeds.len());
        &self.seeds[index]
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let length = (1 + self.below(16)).min(input.len() - at);
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = u8::try_from(self.below(256)).unwrap(),
            2 if at < input.len() => input[at] = input[at].wrapping_add(1),
            3 => drop(input.drain(at..at + length)),
            4 => {
                let piece = input[at..at + length].to_vec();
                self.insert(input, &piece);
            }
            5 => {
                let edge = EDGES[self.below(EDGES.len())];
                self.insert(input, edge);
            }
            6 => {
                let edge = EDGES[self.below(EDGES.len())];
                let end = (at + edge.len()).min(input.len());
                input[at..end].copy_from_slice(&edge[..end - at]);
            }
            // A block, for formats that are made of blocks.
            7 => {
                let from = self.seed();
                let start = self.below(from.len() / 512 + 1) * 512;
                let block = &from[start.min(from.len())..from.len().min(start + 512)];
                let at = self.below(input.len() / 512 + 1) * 512;
                let end = (at + block.len()).min(input.len());
                let kept = if self.below(2) == 0 { end } else { at };
                input.splice(at.min(input.len())..kept, block.iter().copied());
            }
            _ => {
                let other = self.seed();
                let cut = self.below(other.len() + 1);
                input.truncate(at);
                input.extend(&other[cut..]);
            }
        }
    }

    fn insert(&mut self, input: &mut Vec<u8>, piece: &[u8]) {
        let at = self.below(input.len() + 1);
        input.splice(at..at, piece.iter().copied());
    }
}

/// Sets the checksum of every header of a tar archive, as far as headers can be followed.
#[allow(
    clippy::ptr_arg,
    reason = "one of the functions that may also change the length"
)]
pub fn fix_tar(archive: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + 512) {
        at += 512;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = block[124..136].iter().filter(|b| b.is_ascii_digit());
        let size = digits.fold(0usize, |size, digit| {
            (size * 8).saturating_add(usize::from(digit - b'0'))
        });
        let kind = block[156];
        if size < archive.len() && !b"123456".contains(&kind) {
            at += size.div_ceil(512) * 512;
        }
    }
}
