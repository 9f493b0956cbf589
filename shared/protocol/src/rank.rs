//! Rendezvous hashing: who comes first for a group or another thing that is shared out, without
//! asking anybody.

/// The weight of a process for a thing of this name; the highest comes first. FNV-1a over both
/// names, mixed so that similar ids do not rank alike.
pub fn weight<'a>(name: &str, id: &'a str) -> (u64, &'a str) {
    let bytes = name.bytes().chain([0xff]).chain(id.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed ^ (mixed >> 33), id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;

    #[test]
    fn each_of_three_comes_first_for_about_a_third_of_the_groups() {
        let groups = (0..300).map(|n| format!("group{n}"));
        let ids = ["p1", "p2", "p3"];
        let firsts: Vec<_> =
            groups.filter_map(|g| ids.into_iter().max_by_key(|id| weight(&g, id))).collect();
        for id in ids {
            let share = firsts.iter().filter(|first| **first == id).count();
            assert!((60..=140).contains(&share), "{id} comes first {share} times of 300");
        }
    }
}
