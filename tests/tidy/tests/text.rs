//! What may stand in a source file.

use vedette_tidy::{none, sources};

/// The only place that looks at a condition again and again, sleeping in between. Everybody else
/// waits through it.
const WAITING_HELPER: &str = "tests/harness/src/wait.rs";
/// Timers and clocks of the services.
const RUNTIME: &str = "shared/runtime/src/";
/// Who else may look at a clock: tests that time real processes, and what prints a rate.
const TIMERS: &[&str] = &[
    RUNTIME,
    "tests/harness/src/",
    "tests/mutants/src/",
    "tests/sim/src/main.rs",
    "tests/sim/src/bin/",
];

#[test]
fn nothing_panics_by_negligence() {
    let words = [".unwrap()", "todo!(", "unimplemented!(", "dbg!("];
    let mut findings = Vec::new();
    for source in sources(&[".rs"]) {
        for (number, line) in source.product_lines() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                findings.push(format!("{}:{number} has {word}", source.path));
            }
        }
    }
    none("no unwrap(), todo! or dbg! outside tests", &findings);
}

#[test]
fn nobody_sleeps_in_place_of_a_condition() {
    let calls = [concat!("sle", "ep("), concat!("sle", "ep_until(")];
    let mut findings = Vec::new();
    for source in sources(&[".rs"]) {
        if source.path == WAITING_HELPER || source.path.starts_with(RUNTIME) {
            continue;
        }
        for (number, line) in source.lines() {
            // The runtime's clock is handed in, and waits for an instant that means something.
            let line = line.replace(concat!("clock.sle", "ep_until("), "");
            if calls.iter().any(|call| line.contains(call)) {
                findings.push(format!(
                    "{}:{number} sleeps: wait for the condition with a limit",
                    source.path
                ));
            }
        }
    }
    none("no sleeping", &findings);
}

#[test]
fn clocks_are_allowed_where_real_time_is_meant_and_with_a_reason() {
    let lint = concat!("disallowed", "_methods");
    let mut findings = Vec::new();
    for source in sources(&[".rs"]) {
        let lines: Vec<(usize, &str)> = source.lines().collect();
        for (at, (number, line)) in lines.iter().enumerate() {
            if !line.contains(lint) || source.path.starts_with("tests/tidy/") {
                continue;
            }
            if !TIMERS.iter().any(|folder| source.path.starts_with(folder)) {
                findings.push(format!(
                    "{}:{number} allows clocks or sleeps: time is an argument here",
                    source.path
                ));
            }
            if !lines[at..].iter().take(3).any(|(_, line)| line.contains("reason = ")) {
                findings.push(format!("{}:{number} does not say its reason", source.path));
            }
        }
    }
    none("clocks", &findings);
}

#[test]
fn no_test_is_ignored() {
    let mark = concat!("#[ig", "nore");
    let mut findings = Vec::new();
    for source in sources(&[".rs"]) {
        for (number, _) in source.lines().filter(|(_, line)| line.trim_start().starts_with(mark)) {
            findings.push(format!("{}:{number} ignores a test: mend or remove it", source.path));
        }
    }
    none("no ignored test", &findings);
}

#[test]
fn no_path_of_one_machine() {
    let folders = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
    ];
    let endings =
        [".rs", ".toml", ".md", ".sh", ".yaml", ".yml", ".json", ".conf", "/run", "/test", "/demo"];
    let mut findings = Vec::new();
    for source in sources(&endings) {
        for (number, line) in source.text.lines().enumerate() {
            for folder in folders.iter().filter(|folder| starts_a_path(line, folder)) {
                findings.push(format!("{}:{} names {folder}", source.path, number + 1));
            }
        }
    }
    none("no path of one machine", &findings);
}

/// Whether the folder stands in the line as the start of a path.
fn starts_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "._-~*}$".contains(c)))
    })
}
