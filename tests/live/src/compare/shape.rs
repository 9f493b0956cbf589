//! A reply in one line, without what belongs to one process alone.
//!
//! Types, counts, names, their order and all texts are told to the letter. Of ids, ages, ports of
//! Sentinels and the like only the kind is told.

use super::wire::Form;

/// Values that differ between two Sentinels too.
const OWN: [&str; 15] = [
    "config-epoch",
    "id",
    "info-refresh",
    "last-hello-message",
    "last-ok-ping-reply",
    "last-ping-reply",
    "last-ping-sent",
    "link-pending-commands",
    "role-reported-time",
    "slave-repl-offset",
    "version",
    "voted-leader",
    "voted-leader-epoch",
    "master-link-down-time",
    "tcp_port",
];

/// Replies in one line.
pub fn line(replies: &[Form], numbers: bool) -> String {
    let each: Vec<_> = replies.iter().map(|reply| shape(reply, numbers)).collect();
    each.join(" then ")
}

/// One reply; `numbers` says whether numbers of their own are told.
fn shape(form: &Form, numbers: bool) -> String {
    let list = |items: &[Form]| {
        let each: Vec<_> = items.iter().map(|item| shape(item, numbers)).collect();
        each.join(" ")
    };
    match form {
        Form::Simple(text) => format!("+{text}"),
        Form::Error(text) => format!("-{text}"),
        Form::Integer(number) if numbers => format!(":{number}"),
        Form::Integer(_) => ":<number>".into(),
        Form::Bulk(text) => format!("${}", words(text)),
        Form::Verbatim(text) => format!("={}", words(text)),
        Form::Null(text) => text.clone(),
        Form::Array(items) if is_entry(items) => {
            format!("*{}[{}]", items.len(), entry(items, numbers))
        }
        Form::Array(items) => format!("*{}[{}]", items.len(), list(&ordered(items))),
        Form::Map(items) => format!("%{}[{}]", items.len() / 2, entry(items, numbers)),
        Form::Set(items) => format!("~{}[{}]", items.len(), list(items)),
        Form::Push(items) => format!(">{}[{}]", items.len(), list(items)),
    }
}

/// Entries in the order of their names: Sentinel lists them in none.
fn ordered(items: &[Form]) -> Vec<Form> {
    let mut items = items.to_vec();
    if items.iter().all(|item| item.entry().contains_key("name")) {
        items.sort_by_key(|item| item.entry().remove("name"));
    }
    items
}

/// Names and values in turn, as far as one can see.
fn is_entry(items: &[Form]) -> bool {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
    };
    items.len() >= 6
        && items.len().is_multiple_of(2)
        && items.iter().step_by(2).all(|item| is_name(item.text()))
}

fn entry(items: &[Form], numbers: bool) -> String {
    let of_sentinel = items.iter().any(|item| item.text() == "last-hello-message");
    let pair = |two: &[Form]| {
        let name = two[0].text();
        if OWN.contains(&name) || (of_sentinel && name == "port") {
            return format!("{name}={}", kind(&two[1]));
        }
        format!("{}={}", shape(&two[0], true), shape(&two[1], numbers))
    };
    items.chunks_exact(2).map(pair).collect::<Vec<_>>().join(" ")
}

/// What sort of value it is.
fn kind(form: &Form) -> String {
    let Form::Bulk(text) = form else { return shape(form, false) };
    if text.parse::<i64>().is_ok() { "$<number>".into() } else { "$<text>".into() }
}

/// A text's words; an id, clients and sections by their form.
fn words(text: &str) -> String {
    if text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return "<id>".into();
    }
    if text.starts_with("id=") {
        let fields = text.lines().next().unwrap_or_default().split(' ');
        let names: Vec<_> = fields.map(|field| field.split('=').next().unwrap_or(field)).collect();
        return format!("<client {}>", names.join(" "));
    }
    if text.starts_with("# ") { info(text) } else { text.into() }
}

/// The names of each section; of `Sentinel` the values too.
fn info(text: &str) -> String {
    let mut own = false;
    let each = text.split("\r\n").map(|line| {
        if line.starts_with('#') {
            own = line == "# Sentinel";
        }
        if own || line.starts_with('#') { line } else { line.split(':').next().unwrap_or(line) }
    });
    each.collect::<Vec<_>>().join("/")
}

/// Where two texts begin to differ, and as much of each as one can read.
pub fn apart<'a>(one: &'a str, other: &'a str) -> (String, String) {
    const BEFORE: usize = 60;
    const SHOWN: usize = 300;
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let from = if one.chars().count().max(other.chars().count()) <= SHOWN {
        0
    } else {
        same.saturating_sub(BEFORE)
    };
    let cut = |text: &str| {
        let shown: String = text.chars().skip(from).take(SHOWN).collect();
        let rest = text.chars().count() > from + SHOWN;
        format!("{}{shown}{}", if from > 0 { "…" } else { "" }, if rest { "…" } else { "" })
    };
    (cut(one), cut(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Form {
        Form::Bulk(text.into())
    }

    #[test]
    fn of_what_is_a_processs_own_only_the_kind_is_told() {
        let entry = |age: &str, host: &str| {
            let texts = ["name", "m", "last-ping-reply", age, "ip", host].map(bulk);
            line(&[Form::Array(texts.to_vec())], true)
        };
        assert_eq!(entry("5", "a"), entry("6", "a"));
        assert_ne!(entry("5", "a"), entry("?", "a"));
        assert_ne!(entry("5", "a"), entry("5", "b"));
        assert_eq!(line(&[bulk(&"a".repeat(40))], true), "$<id>");
    }

    #[test]
    fn entries_are_told_in_the_order_of_their_names() {
        let entry = |name: &str| Form::Map(["name", name, "ip", "a"].map(bulk).to_vec());
        let of = |names: [&str; 2]| line(&[Form::Array(names.map(entry).to_vec())], true);
        assert_eq!(of(["x", "y"]), of(["y", "x"]));
    }

    #[test]
    fn of_information_the_names_are_told_and_all_of_sentinels_own_section() {
        let text = "# Server\r\nos:a\r\n\r\n# Sentinel\r\nsentinel_tilt:0\r\n";
        assert_eq!(line(&[bulk(text)], true), "$# Server/os//# Sentinel/sentinel_tilt:0/");
    }

    #[test]
    fn long_answers_are_shown_from_where_they_part() {
        let (long, other) = (format!("{}x", "a".repeat(900)), format!("{}y", "a".repeat(900)));
        let (one, two) = apart(&long, &other);
        assert!(one.starts_with('…') && one.ends_with('x') && two.ends_with('y'));
        assert_eq!(apart("a", "b"), ("a".into(), "b".into()));
    }
}
