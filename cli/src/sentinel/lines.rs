//! The lines of a `sentinel.conf`, of the files it includes, and of the command line.

use super::words::{Unbalanced, split};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Files that include each other, one in the other.
const DEPTH: usize = 16;
/// Bytes of all files together. The largest of a thousand masters has some hundred kilobytes.
const BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a line that are repeated in an error.
const SHOWN: usize = 200;
const COMMAND_LINE: &str = "the command line";

/// Directives whose values are not shown: the first word of a line, or the one after `sentinel`.
const SECRETS: [&str; 7] = [
    "auth-pass",
    "requirepass",
    "masterauth",
    "sentinel-pass",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
    "user",
];

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct At {
    /// The file.
    pub source: Arc<str>,
    /// Its number, from 1.
    pub line: usize,
    /// The line as it may be shown.
    pub text: String,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.line)
    }
}

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it stands.
    pub at: At,
    /// Its words, at least one; the first in lower case.
    pub words: Vec<String>,
}

/// A line that cannot be followed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line.
    pub at: At,
    /// Why, and what to do.
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let At { source, line, text } = &self.at;
        write!(f, "{source}, at line {line}\n>>> '{text}'\n{}", self.why)
    }
}

/// The lines of all files.
#[derive(Debug, Default)]
pub struct Lines {
    /// What can be followed.
    pub said: Vec<Line>,
    /// What cannot.
    pub refused: Vec<Refused>,
    bytes: usize,
}

impl Lines {
    /// Reads a file with all that it includes. Relative paths are taken from the working directory,
    /// as Redis takes them.
    ///
    /// # Errors
    /// The operating system's, for the file itself.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let mut lines = Self::default();
        let text = std::fs::read(path)?;
        lines.take(&path.display().to_string(), &text, DEPTH);
        Ok(lines)
    }

    /// The lines of a text; `source` is what it is called.
    #[cfg(test)]
    pub fn parse(source: &str, text: &[u8]) -> Self {
        let mut lines = Self::default();
        lines.take(source, text, DEPTH);
        lines
    }

    fn take(&mut self, source: &str, text: &[u8], depth: usize) {
        let source: Arc<str> = source.into();
        self.bytes = self.bytes.saturating_add(text.len());
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let at = At { source: Arc::clone(&source), line: index + 1, text: shown(line) };
            match understood(line) {
                Ok(words) if words.is_empty() => {}
                Ok(words) if words[0] == "include" => self.include(at, &words, depth),
                Ok(words) => self.said.push(Line { at, words }),
                Err(why) => self.refuse(at, why),
            }
        }
    }

    fn include(&mut self, at: At, words: &[String], depth: usize) {
        let [_, path] = words else {
            return self.refuse(at, "Bad directive or wrong number of arguments");
        };
        if path.contains(['*', '?', '[']) {
            let why = "patterns are not followed in include: name each file in a line of its own";
            return self.refuse(at, why);
        }
        if depth == 0 || self.bytes > BYTES {
            return self.refuse(at, "too many files include each other");
        }
        match std::fs::read(path) {
            Ok(text) => self.take(path, &text, depth - 1),
            Err(error) => self.refuse(at, &format!("Fatal error, can't open config file: {error}")),
        }
    }

    /// Takes the options of the command line, `--name value …`, as lines that come last.
    pub fn options(&mut self, options: &[String]) {
        let source: Arc<str> = COMMAND_LINE.into();
        let mut option: Vec<String> = Vec::new();
        let mut all = Vec::new();
        for word in options {
            if let Some(name) = word.strip_prefix("--").filter(|name| !name.is_empty()) {
                all.push(std::mem::replace(&mut option, vec![name.to_ascii_lowercase()]));
            } else {
                option.push(word.clone());
            }
        }
        all.push(option);
        for (index, words) in all.into_iter().filter(|words| !words.is_empty()).enumerate() {
            // Alone it chooses Sentinel mode, which is all there is here.
            if words == ["sentinel"] {
                continue;
            }
            let text = shown(words.join(" ").as_bytes());
            let at = At { source: Arc::clone(&source), line: index + 1, text };
            self.said.push(Line { at, words });
        }
    }

    fn refuse(&mut self, at: At, why: &str) {
        self.refused.push(Refused { at, why: why.into() });
    }
}

fn understood(line: &[u8]) -> Result<Vec<String>, &'static str> {
    let words = split(line).map_err(|Unbalanced| "Unbalanced quotes in configuration line")?;
    let texts: Result<Vec<_>, _> = words.into_iter().map(String::from_utf8).collect();
    let mut words = texts.map_err(|_| "a value is not UTF-8: such values cannot be kept")?;
    if let Some(first) = words.first_mut() {
        first.make_ascii_lowercase();
    }
    Ok(words)
}

/// The line without what is secret in it.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace();
    let first = words.next().unwrap_or_default().to_ascii_lowercase();
    let second = words.next().unwrap_or_default().to_ascii_lowercase();
    // The master's name or the user's stands before what is secret in most of them.
    let keep = match (SECRETS.contains(&&*first), first == "sentinel") {
        (true, _) if first == "user" => 2,
        (true, _) => 1,
        (false, true) if second == "sentinel-pass" => 2,
        (false, true) if SECRETS.contains(&&*second) => 3,
        (false, _) => return clean(&text),
    };
    let kept: Vec<&str> = text.split_ascii_whitespace().take(keep).collect();
    clean(&format!("{} ******", kept.join(" ")))
}

fn clean(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(SHOWN).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<(usize, Vec<String>)> {
        let lines = Lines::parse("f", text.as_bytes());
        assert!(lines.refused.is_empty(), "{:?}", lines.refused);
        lines.said.into_iter().map(|line| (line.at.line, line.words)).collect()
    }

    #[test]
    fn comments_and_empty_lines_say_nothing_and_are_counted() {
        let found = said("# c\n\n  # c\r\nPORT 5\r\n\tsentinel MyId x # no comment\n");
        let words: Vec<_> = found.iter().map(|(n, words)| (*n, words.join("|"))).collect();
        assert_eq!(words, [(4, "port|5".into()), (5, "sentinel|MyId|x|#|no|comment".to_string())]);
    }

    #[test]
    fn a_line_that_cannot_be_split_is_refused_at_its_place() {
        let lines = Lines::parse("f", b"port 5\nsentinel auth-pass m \"se cret\n\xff \xfe\n");
        let words: Vec<_> = lines.refused.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), 2);
        let first = "f, at line 2\n>>> 'sentinel auth-pass m ******'\nUnbalanced quotes in \
                     configuration line";
        assert_eq!(words[0], first);
        assert!(words[1].contains("line 3") && words[1].contains("UTF-8"), "{}", words[1]);
    }

    #[test]
    fn secrets_are_not_shown() {
        for (line, expected) in [
            ("requirepass hush", "requirepass ******"),
            ("user app on >hush", "user app ******"),
            ("SENTINEL AUTH-PASS m hush hush", "SENTINEL AUTH-PASS m ******"),
            ("sentinel sentinel-pass hush", "sentinel sentinel-pass ******"),
            ("port 1", "port 1"),
        ] {
            assert_eq!(shown(line.as_bytes()), expected);
        }
    }

    #[test]
    fn a_file_is_included_where_it_is_named_and_never_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::write(&one, format!("port 1\ninclude {}\nport 3\n", two.display())).unwrap();
        std::fs::write(&two, "port 2\ninclude /no/such/file\ninclude conf.d/*.conf\n").unwrap();
        let lines = Lines::read(&one).unwrap();
        let ports: Vec<_> = lines.said.iter().map(|line| line.words[1].as_str()).collect();
        assert_eq!(ports, ["1", "2", "3"]);
        let places: Vec<_> = lines.refused.iter().map(|refused| refused.at.line).collect();
        assert_eq!(places, [2, 3]);
        std::fs::write(&two, format!("include {}\n", one.display())).unwrap();
        let lines = Lines::read(&one).unwrap();
        assert!(lines.refused.iter().any(|r| r.why.contains("include each other")));
    }

    #[test]
    fn options_come_last_and_alone_the_mode_says_nothing() {
        let mut lines = Lines::parse("f", b"port 1");
        let given = "--port 2 --sentinel --sentinel quorum x --bind 127.0.0.1 ::1";
        lines.options(&given.split(' ').map(String::from).collect::<Vec<_>>());
        let words: Vec<_> = lines.said.iter().map(|line| line.words.join(" ")).collect();
        assert_eq!(words, ["port 1", "port 2", "sentinel quorum x", "bind 127.0.0.1 ::1"]);
        assert_eq!(lines.said[1].at.to_string(), "the command line:1");
    }
}
