//! A small seeded generator, so that one seed always makes the same people, ids and edits on every machine.

/// SplitMix64: one word of state, good enough to spread test data, and never used for secrets that protect anything.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed }
    }

    /// A generator for one named part of the data, so that adding draws to one part leaves the others as they were.
    pub fn fork(seed: u64, part: &str) -> Rng {
        let mixed = part.bytes().fold(seed ^ 0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        let mut rng = Rng::new(mixed);
        rng.next_u64();
        rng
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number from 0 up to, but not including, `bound`; 0 for an empty range.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            return 0;
        }
        // The bias of the remainder is far below what test data could show.
        usize::try_from(self.next_u64() % bound as u64).unwrap_or(0)
    }

    /// True in `percent` of 100 draws.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of the items.
    ///
    /// # Panics
    /// On an empty slice, which is a mistake in the table of data that it was called with.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A word of `length` hexadecimal digits, in the shape of the tokens and keys that CRMs hand out.
    pub fn hex(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            text.push_str(&format!("{:016x}", self.next_u64()));
        }
        text.truncate(length);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_sequence_and_parts_differ() {
        let (mut one, mut same) = (Rng::new(7), Rng::new(7));
        assert_eq!((one.next_u64(), one.hex(5)), (same.next_u64(), same.hex(5)));
        assert_ne!(Rng::fork(7, "names").next_u64(), Rng::fork(7, "phones").next_u64());
        assert_eq!(Rng::new(1).below(0), 0);
        assert!((0..1_000).all(|_| one.below(3) < 3));
    }
}
