//! What several targets need.

/// Numbers that depend on the bytes alone, so that a finding is one file and a seed is what it looks like.
pub fn dice(bytes: &[u8]) -> impl FnMut() -> usize {
    let mut dice = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    move || {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize
    }
}

/// The same bytes in pieces of 1 to 16.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut dice = dice(bytes);
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.len().min(1 + dice() % 16));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
