//! The records of the benches: the same keys, values and orders for every peer (bench/README.md).

pub const POOL: usize = 1 << 20;

pub struct SplitMix(pub u64);

impl SplitMix {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        b ^ (b >> 31)
    }
}

pub struct Records {
    pool: Vec<u8>,
    pub count: u64,
    pub value_len: usize,
}

impl Records {
    pub fn new(count: u64, value_len: usize) -> Self {
        let mut random = SplitMix(42);
        let pool = (0..POOL / 8).flat_map(|_| random.draw().to_le_bytes()).collect();
        Records { pool, count, value_len }
    }

    pub fn value(&self, i: u64) -> &[u8] {
        let at = (i * 131 % (POOL - self.value_len) as u64) as usize;
        &self.pool[at..at + self.value_len]
    }

    /// A bijection on [0, count): multiply and shift inside the next power of two, until the result is below count.
    pub fn shuffled(&self, i: u64) -> u64 {
        let room = self.count.next_power_of_two();
        let (mask, shift) = (room - 1, (room.trailing_zeros() / 2).max(1));
        let mut x = i;
        loop {
            x = (x.wrapping_mul(0x9E37_79B1) ^ 0x5BD1_E995) & mask;
            x ^= x >> shift;
            x = x.wrapping_mul(0x85EB_CA6B) & mask;
            if x < self.count {
                return x;
            }
        }
    }
}

/// Sixteen decimal digits.
pub fn key(i: u64) -> [u8; 16] {
    let mut digits = [b'0'; 16];
    let mut rest = i;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    digits
}
