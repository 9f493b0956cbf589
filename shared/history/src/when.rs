//! Times as people write and read them.

use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

const TEXT: StaticFormatDescription =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]Z");

/// A wall-clock time in UTC, `2026-11-22 00:10:03.123Z`, from microseconds since 1970; the bare
/// number if the calendar ends before it.
pub fn utc(us: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(us) * 1_000).ok();
    at.and_then(|at| at.format(TEXT).ok()).unwrap_or_else(|| format!("{us} µs since 1970"))
}

/// A time as people write it, in milliseconds.
///
/// # Errors
/// What it must look like.
pub fn millis(text: &str) -> Result<u64, String> {
    let unit = text.chars().last().and_then(|unit| match unit {
        's' => Some(1_000),
        'm' => Some(60_000),
        'h' => Some(3_600_000),
        'd' => Some(86_400_000),
        _ => None,
    });
    let count =
        text.get(..text.len().saturating_sub(1)).and_then(|count| count.parse::<u64>().ok());
    let ms = unit.zip(count).and_then(|(unit, count)| count.checked_mul(unit));
    ms.filter(|ms| (1_000..=2_592_000_000).contains(ms))
        .ok_or_else(|| "it must be 1s to 30d, with s, m, h or d behind the number".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_calendar_has_it() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_735_689_599, "2024-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(seconds * 1_000_000 + 7_999), format!("{text}.007Z"));
        }
        assert_eq!(utc(u64::MAX), "18446744073709551615 µs since 1970");
    }

    #[test]
    fn a_time_is_a_second_to_30_days() {
        for (text, ms) in
            [("1s", 1_000), ("30m", 1_800_000), ("2h", 7_200_000), ("30d", 2_592_000_000)]
        {
            assert_eq!(millis(text), Ok(ms), "{text}");
        }
        for text in ["", "s", "0s", "31d", "10", "-1s", "1w", "1 h", "99999999999999999999d", "1é"]
        {
            assert!(millis(text).is_err(), "{text}");
        }
    }
}
