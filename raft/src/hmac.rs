//! HMAC-SHA-256 (RFC 2104, FIPS 180-4), for proofs that a process knows a secret.

use std::hint::black_box;

/// The digest of a message, or its code under a key.
pub(crate) type Digest = [u8; 32];

const BLOCK: usize = 64;

/// The code of a message under a key (RFC 2104).
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Digest {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&sha256(&[key]));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = sha256(&[&block.map(|byte| byte ^ 0x36), message]);
    sha256(&[&block.map(|byte| byte ^ 0x5c), &inner])
}

/// Whether two codes are equal. Takes the same time wherever they differ.
pub(crate) fn is_equal(a: &[u8], b: &[u8]) -> bool {
    let differences = a
        .iter()
        .zip(b)
        .fold(0, |all, (a, b)| black_box(all | a ^ b));
    a.len() == b.len() && differences == 0
}

/// The digest of the parts, joined (FIPS 180-4, 6.2).
fn sha256(parts: &[&[u8]]) -> Digest {
    let mut message = parts.concat();
    let bits = 8 * message.len() as u64;
    message.push(0x80);
    while message.len() % BLOCK != BLOCK - 8 {
        message.push(0);
    }
    message.extend(bits.to_be_bytes());
    let mut state = [
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
        0x5be0cd19,
    ];
    for block in message.chunks_exact(BLOCK) {
        compress(&mut state, block);
    }
    let digest = state.map(u32::to_be_bytes);
    digest.as_flattened().try_into().expect("eight words")
}

/// The sum modulo 2^32.
fn sum<const N: usize>(terms: [u32; N]) -> u32 {
    terms.into_iter().fold(0, u32::wrapping_add)
}

fn compress(state: &mut [u32; 8], block: &[u8]) {
    let mut words = [0_u32; 64];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
    }
    let turned = |word: u32, by: [u32; 3]| {
        let [x, y, z] = by.map(|by| word.rotate_right(by));
        x ^ y ^ z
    };
    for t in 16..64 {
        let (early, late) = (words[t - 15], words[t - 2]);
        let s0 = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
        let s1 = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
        words[t] = sum([words[t - 16], s0, words[t - 7], s1]);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (word, constant) in words.into_iter().zip(CONSTANTS) {
        let choice = (e & f) ^ (!e & g);
        let t1 = sum([h, turned(e, [6, 11, 25]), choice, constant, word]);
        let t2 = turned(a, [2, 13, 22]).wrapping_add((a & b) ^ (a & c) ^ (b & c));
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
    }
    for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(new);
    }
}

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
#[rustfmt::skip]
const CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digest: Digest) -> String {
        digest.map(|byte| format!("{byte:02x}")).concat()
    }

    /// The examples of FIPS 180-4, and a message of every length around the padding's edges.
    #[test]
    fn sha256_matches_published_vectors() {
        for (message, digest) in [
            (
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            assert_eq!(hex(sha256(&[message.as_bytes()])), digest, "{message:?}");
        }
        let million = "a".repeat(1_000_000);
        assert_eq!(
            hex(sha256(&[million.as_bytes()])),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
    }

    /// RFC 4231, test cases 1 to 4, 6 and 7 (5 truncates the code, which this module does not).
    #[test]
    fn hmac_matches_published_vectors() {
        let counting: Vec<u8> = (1..=25).collect();
        let long = [0xaa; 131];
        let cases: [(&[u8], &[u8], &str); 6] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &counting,
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                &long,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &long,
                b"This is a test using a larger than block-size key and a larger than block-size \
                  data. The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (key, message, code) in cases {
            assert_eq!(hex(hmac(key, message)), code);
        }
    }

    #[test]
    fn only_equal_codes_are_equal() {
        assert!(is_equal(&[1, 2, 3], &[1, 2, 3]));
        for other in [&[1, 2, 4][..], &[0, 2, 3], &[1, 2], &[1, 2, 3, 4], &[]] {
            assert!(!is_equal(&[1, 2, 3], other));
        }
    }
}
