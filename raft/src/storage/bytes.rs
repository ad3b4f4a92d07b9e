//! Numbers in files, which are little-endian.

/// The number at `offset`.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let number = bytes[offset..offset + 4].try_into();
    u32::from_le_bytes(number.expect("four bytes"))
}

/// The number at `offset`.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let number = bytes[offset..offset + 8].try_into();
    u64::from_le_bytes(number.expect("eight bytes"))
}

/// Writes bytes at `offset`.
pub(super) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}
