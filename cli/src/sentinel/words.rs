//! A line's words, by Redis' rules of quoting.
//!
//! ```text
//!  plain   "double: \n \r \t \b \a \x41 \" \\"   'single: \''
//! ```

use std::iter::Peekable;
use std::slice::Iter;

/// Quotes that are opened and not closed, or closed within a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unbalanced;

/// Splits a line. The words are bytes: `\x` may write any.
///
/// # Errors
/// [`Unbalanced`] quotes.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
    let mut rest = line.iter().peekable();
    let mut words = Vec::new();
    loop {
        while rest.next_if(|byte| is_space(**byte)).is_some() {}
        if rest.peek().is_none() {
            return Ok(words);
        }
        words.push(word(&mut rest)?);
    }
}

fn word(rest: &mut Peekable<Iter<'_, u8>>) -> Result<Vec<u8>, Unbalanced> {
    let mut word = Vec::new();
    while let Some(byte) = rest.next_if(|byte| !is_space(**byte)) {
        match byte {
            // A quote may begin within a word; its end is the word's.
            b'"' => {
                double(rest, &mut word)?;
                return ended(rest, word);
            }
            b'\'' => {
                single(rest, &mut word)?;
                return ended(rest, word);
            }
            0 => return Ok(word),
            plain => word.push(*plain),
        }
    }
    Ok(word)
}

fn ended(rest: &mut Peekable<Iter<'_, u8>>, word: Vec<u8>) -> Result<Vec<u8>, Unbalanced> {
    match rest.peek() {
        Some(next) if !is_space(**next) => Err(Unbalanced),
        Some(_) | None => Ok(word),
    }
}

fn double(rest: &mut Peekable<Iter<'_, u8>>, word: &mut Vec<u8>) -> Result<(), Unbalanced> {
    loop {
        match rest.next().ok_or(Unbalanced)? {
            b'"' => return Ok(()),
            b'\\' => escape(rest, word)?,
            plain => word.push(*plain),
        }
    }
}

fn escape(rest: &mut Peekable<Iter<'_, u8>>, word: &mut Vec<u8>) -> Result<(), Unbalanced> {
    let escaped = *rest.next().ok_or(Unbalanced)?;
    let mut ahead = rest.clone();
    let digits = (ahead.next().and_then(hex), ahead.next().and_then(hex));
    if let (b'x', (Some(high), Some(low))) = (escaped, digits) {
        *rest = ahead;
        word.push(high << 4 | low);
        return Ok(());
    }
    word.push(match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    });
    Ok(())
}

fn single(rest: &mut Peekable<Iter<'_, u8>>, word: &mut Vec<u8>) -> Result<(), Unbalanced> {
    loop {
        match rest.next().ok_or(Unbalanced)? {
            b'\'' => return Ok(()),
            b'\\' if rest.next_if(|byte| **byte == b'\'').is_some() => word.push(b'\''),
            plain => word.push(*plain),
        }
    }
}

fn hex(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Result<Vec<String>, Unbalanced> {
        let text = |word: Vec<u8>| String::from_utf8_lossy(&word).into_owned();
        split(line.as_bytes()).map(|words| words.into_iter().map(text).collect())
    }

    #[test]
    fn words_are_parted_by_any_white_space() {
        assert_eq!(words("port 26379").unwrap(), ["port", "26379"]);
        assert_eq!(words(" \ta\t b  ").unwrap(), ["a", "b"]);
        assert!(words("  ").unwrap().is_empty());
    }

    #[test]
    fn quotes_keep_spaces_and_may_be_empty() {
        assert_eq!(words(r#"logfile "" x"#).unwrap(), ["logfile", "", "x"]);
        assert_eq!(words(r#"dir "/var/lib/my redis""#).unwrap(), ["dir", "/var/lib/my redis"]);
        assert_eq!(words(r"pass 'it\'s'").unwrap(), ["pass", "it's"]);
        assert_eq!(words(r"pass 'a\n'").unwrap(), ["pass", r"a\n"]);
        assert_eq!(words(r#"a b"c d""#).unwrap(), ["a", "bc d"]);
    }

    #[test]
    fn double_quotes_know_escapes() {
        assert_eq!(words(r#""\x41\n\t\"\\\q""#).unwrap(), ["A\n\t\"\\q"]);
        assert_eq!(words(r#""\x4""#).unwrap(), ["x4"]);
    }

    #[test]
    fn a_quote_that_is_open_or_ends_within_a_word_is_unbalanced() {
        for line in [r#"a "b"#, "a 'b", r#"a "b"c"#, "a 'b'c", r#"a "b\"#, r#"auth s e"c"#] {
            assert_eq!(words(line), Err(Unbalanced), "{line}");
        }
    }

    /// As Redis writes a word that has to be quoted.
    fn quoted(word: &[u8]) -> String {
        let byte = |byte: &u8| format!("\\x{byte:02x}");
        format!("\"{}\"", word.iter().map(byte).collect::<String>())
    }

    proptest! {
        #[test]
        fn any_bytes_give_words_or_an_error(line in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(words) = split(&line) {
                prop_assert!(words.len() <= line.len());
            }
        }

        #[test]
        fn what_is_quoted_comes_back(
            given in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..5)
        ) {
            let line = given.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split(line.as_bytes()), Ok(given));
        }
    }
}
