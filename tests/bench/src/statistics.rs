//! Distributions, never means.

use serde::Serialize;

/// How some values are spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distribution {
    /// How many there are.
    pub count: usize,
    /// The smallest.
    pub min: f64,
    /// Half of them are at most this.
    pub p50: f64,
    /// Nine tenths of them are at most this.
    pub p90: f64,
    /// So many of a hundred are at most this. Of less than a hundred values it is the largest.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Distribution {
    /// That of these values; none of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            count: sorted.len(),
            min: *sorted.first()?,
            p50: rank(&sorted, 50)?,
            p90: rank(&sorted, 90)?,
            p99: rank(&sorted, 99)?,
            max: *sorted.last()?,
        })
    }
}

/// The smallest value that so many percent of the values do not exceed. It is one of them, and
/// nothing between two.
fn rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_so_many_do_not_exceed() {
        let spread = Distribution::of((1..=200).rev().map(f64::from)).unwrap();
        let wanted =
            Distribution { count: 200, min: 1.0, p50: 100.0, p90: 180.0, p99: 198.0, max: 200.0 };
        assert_eq!(spread, wanted);
        let three = Distribution::of([7.0, 1.0, 3.0]).unwrap();
        assert_eq!((three.p50, three.p90, three.p99), (3.0, 7.0, 7.0));
    }

    #[test]
    fn one_value_is_all_of_them_and_no_value_is_no_distribution() {
        let one = Distribution::of([-2.5]).unwrap();
        assert_eq!((one.count, one.min, one.p50, one.p99, one.max), (1, -2.5, -2.5, -2.5, -2.5));
        assert_eq!(Distribution::of([]), None);
    }
}
