//! Redis's patterns.

/// Whether a text fits a pattern of Redis: `*`, `?`, `[ab]`, `[^a-c]`, `\` before a letter.
///
/// Takes at most length times length steps, whatever the pattern.
pub fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        match one(&pattern[p..], text[t]) {
            Some(length) => {
                p += length;
                t += 1;
            }
            None => {
                // The last star takes one more.
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// How long the pattern's first element is, if it fits the byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', rest @ ..] => class(rest, byte).map(|length| length + 1),
        [plain, ..] => (*plain == byte).then_some(1),
    }
}

/// How long the class after its bracket is, if the byte is in it. One that is not closed ends with
/// the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &pattern[at.min(pattern.len())..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                let (from, to) = (from.min(to), from.max(to));
                found |= (from..=to).contains(&&byte);
                at += 3;
            }
            [plain, ..] => {
                found |= *plain == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_redis() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("*", "+switch-master", true),
            ("+sdown", "+sdown", true),
            ("[-+]sdown", "-sdown", true),
            ("[-+]sdown", "+sdown", true),
            ("[-+]sdown", "+odown", false),
            ("switch-master", "+switch-master", false),
            ("-failover-*", "-failover-abort-no-good-slave", true),
            ("+s?own", "+sdown", true),
            ("+s?own", "+sown", false),
            ("[^+]*", "+slave", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("[", "a", false),
            ("[abc", "b", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_stars_costs_no_more_than_its_length() {
        let pattern = b"a*".repeat(500);
        let text = b"a".repeat(60_000);
        assert!(!fits(&[&pattern[..], b"b"].concat(), &text));
    }
}
