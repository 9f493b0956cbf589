//! FNV-1a, 64 bits, over bytes: every process comes to the same number. It names and ranks, and
//! protects nothing.

/// The hash of these bytes, mixed so that similar ones come out far apart.
pub fn mixed(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let hash = bytes.into_iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// The same, with its lower half mixed too.
pub fn spread(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let mixed = mixed(bytes);
    mixed ^ (mixed >> 33)
}
