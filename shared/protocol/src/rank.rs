//! Rendezvous hashing: who comes first for a group or another thing that is shared out, without
//! asking anybody.

use crate::hash::spread;

/// The weight of a process for a thing of this name; the highest comes first.
pub fn weight<'a>(name: &str, id: &'a str) -> (u64, &'a str) {
    (spread(name.bytes().chain([0xff]).chain(id.bytes())), id)
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
