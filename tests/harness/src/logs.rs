//! What a service's log says.

use serde_json::Value;

/// The WARN and ERROR lines, and those that are no log lines at all (a panic's words), that hold
/// none of the announced words.
pub fn complaints(log: &str, announced: &[String]) -> Vec<String> {
    let lines = log.lines().filter(|line| !line.trim().is_empty());
    lines
        .filter(|line| !announced.iter().any(|words| line.contains(words.as_str())))
        .filter(|line| match serde_json::from_str::<Value>(line) {
            Ok(entry) => entry["level"] == "WARN" || entry["level"] == "ERROR",
            Err(_) => true,
        })
        .map(Into::into)
        .collect()
}

/// The name of the NATS server that is named last.
pub fn nats_server(log: &str) -> Option<String> {
    let entries = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut there = entries.map(|mut entry| entry["fields"].take());
    let last = there.find(|fields| fields["message"] == "nats is there")?;
    last["server"].as_str().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::{complaints, nats_server};
    use serde_json::json;

    #[test]
    fn the_server_of_the_last_life_counts() {
        let line = |server| json!({"fields": {"message": "nats is there", "server": server}});
        let log = format!("{}\n{}\n{{}}\n", line("nats2"), line("nats3"));
        assert_eq!(nats_server(&log), Some("nats3".into()));
        assert_eq!(nats_server(""), None);
    }

    #[test]
    fn only_what_was_not_announced_is_a_complaint() {
        let log = concat!(
            "{\"level\":\"INFO\",\"message\":\"fine\"}\n",
            "{\"level\":\"WARN\",\"message\":\"master gone\"}\n",
            "{\"level\":\"ERROR\",\"message\":\"disk full\"}\n",
            "\n",
            "thread 'main' panicked\n",
        );
        let found = complaints(log, &["master gone".into()]);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("disk full") && found[1].contains("panicked"));
    }
}
