//! Who may depend on whom.

use vedette_tidy::{Graph, none};

/// What one crate may use.
struct Row {
    /// The crate's folder.
    folder: &'static str,
    /// Our own crates, without the prefix `vedette-`.
    ours: &'static [&'static str],
    /// Crates of others.
    others: &'static [&'static str],
    /// What it must not reach, not even through somebody else.
    never: &'static [&'static str],
}

const SHARED: &[&str] = &["model", "protocol", "trace", "wire", "node", "runtime"];
const SERVICES: &[&str] = &[
    "vedette-prober",
    "vedette-voter",
    "vedette-orchestrator",
    "vedette-notifier",
    "vedette-gateway",
];

const TABLE: &[Row] = &[
    Row {
        folder: "shared/model",
        ours: &[],
        others: &["serde", "thiserror"],
        never: &["tokio", "async-nats", "redis", "tracing"],
    },
    Row {
        // serde: what a voter stores is a value of the protocol.
        folder: "shared/protocol",
        ours: &["model"],
        others: &["serde", "thiserror", "tracing"],
        never: &["tokio", "async-nats", "redis"],
    },
    Row {
        folder: "shared/wire",
        ours: &["model"],
        others: &["rmp-serde", "serde", "serde_json", "thiserror"],
        never: &["tokio", "async-nats", "redis"],
    },
    Row {
        folder: "shared/trace",
        ours: &["model", "protocol"],
        others: &[],
        never: &["tokio", "async-nats", "redis", "opentelemetry"],
    },
    Row {
        folder: "shared/node",
        ours: &["model"],
        others: &["redis", "rustls", "thiserror", "tokio", "tracing"],
        never: &["async-nats", "vedette-protocol"],
    },
    Row {
        folder: "shared/runtime",
        ours: &["model", "protocol", "trace", "wire"],
        others: &[
            "anyhow",
            "async-nats",
            "bytes",
            "clap",
            "figment",
            "futures",
            "http-body-util",
            "hyper",
            "hyper-util",
            "nix",
            "opentelemetry",
            "opentelemetry-http",
            "opentelemetry-otlp",
            "opentelemetry_sdk",
            "prometheus-client",
            "rustls-native-certs",
            "serde",
            "serde_json",
            "thiserror",
            "tikv-jemallocator",
            "tokio",
            "tokio-rustls",
            "tracing",
            "tracing-opentelemetry",
            "tracing-subscriber",
        ],
        never: &["redis", "redb", "reqwest"],
    },
    Row {
        // What people are shown of the past, for those who show it: the command and the gateways.
        folder: "shared/history",
        ours: &["model", "runtime"],
        others: &["serde", "serde_json", "thiserror", "time", "tokio"],
        never: &["redis", "redb", "reqwest"],
    },
    // A service: any shared crate but the history, unless it shows that, and what its one outside
    // thing needs.
    Row {
        folder: "services/prober",
        ours: SHARED,
        others: &["anyhow", "clap", "figment", "futures", "serde", "tokio", "tracing"],
        never: &["redb", "reqwest"],
    },
    Row {
        // Its outside thing is the store.
        folder: "services/voter",
        ours: SHARED,
        others: &[
            "anyhow",
            "clap",
            "figment",
            "futures",
            "redb",
            "rmp-serde",
            "serde",
            "thiserror",
            "tokio",
            "tracing",
            "xxhash-rust",
        ],
        never: &["redis", "reqwest"],
    },
    Row {
        // Its outside things are the nodes and, for the retained masters, the key-value bucket;
        // a fault point of the tests ends or freezes it by a signal.
        folder: "services/orchestrator",
        ours: SHARED,
        others: &[
            "anyhow",
            "async-nats",
            "clap",
            "figment",
            "futures",
            "nix",
            "serde",
            "serde_json",
            "tokio",
            "tracing",
        ],
        never: &["redb", "reqwest"],
    },
    Row {
        // Its outside things are the sinks: HTTP, signed for webhooks, mail, and scripts, which are
        // killed by group.
        folder: "services/notifier",
        ours: SHARED,
        others: &[
            "anyhow",
            "base64",
            "clap",
            "figment",
            "futures",
            "hmac",
            "lettre",
            "nix",
            "reqwest",
            "rustls",
            "serde",
            "serde_json",
            "sha2",
            "time",
            "tokio",
            "tracing",
        ],
        never: &["redis", "redb"],
    },
    Row {
        // Its outside thing is the port for Sentinel clients: the codec writes its replies, their
        // passwords are kept and compared as hashes. The second port speaks HTTP.
        folder: "services/gateway",
        ours: &["model", "protocol", "trace", "runtime", "history"],
        others: &[
            "anyhow",
            "bytes",
            "clap",
            "form_urlencoded",
            "hyper",
            "percent-encoding",
            "redis-protocol",
            "serde",
            "serde_json",
            "sha2",
            "subtle",
            "thiserror",
            "tokio",
            "tracing",
        ],
        never: &["redis", "redb", "reqwest"],
    },
    Row {
        folder: "cli",
        ours: &[
            "model",
            "protocol",
            "wire",
            "node",
            "runtime",
            "history",
            "prober",
            "voter",
            "orchestrator",
            "notifier",
            "gateway",
        ],
        others: &[
            "anyhow",
            "async-nats",
            "clap",
            "clap_complete",
            "figment",
            "futures",
            "serde",
            "serde_json",
            "tempfile",
            "tokio",
            "tracing",
        ],
        never: &["vedette-harness"],
    },
    Row {
        // It is compiled into applications: the nouns, the bytes, and the two libraries it connects.
        folder: "clients/rust",
        ours: &["model", "wire"],
        others: &["async-nats", "futures", "redis", "thiserror", "tokio"],
        never: &["vedette-protocol", "vedette-runtime", "redb", "reqwest", "figment"],
    },
    Row { folder: "tests/tidy", ours: &[], others: &["serde_json"], never: &[] },
    Row {
        folder: "tests/sim",
        ours: &["model", "protocol", "wire"],
        others: &["proptest", "stateright", "anyhow", "clap"],
        never: &["tokio", "async-nats", "redis", "vedette-runtime"],
    },
    Row {
        // It reads its own files and runs cargo on a copy of the sources.
        folder: "tests/mutants",
        ours: &[],
        others: &["anyhow", "clap", "figment", "serde"],
        never: &["tokio", "async-nats", "redis"],
    },
    Row {
        // It starts servers and listens in: model and wire to read the facts that pass, async-nats
        // and redis to reach the servers as an application would, nix to send signals by pid.
        folder: "tests/harness",
        ours: &["model", "wire"],
        others: &[
            "anyhow",
            "async-nats",
            "futures",
            "nix",
            "rcgen",
            "redis",
            "serde_json",
            "tempfile",
            "tokio",
        ],
        never: &["vedette-runtime", "vedette-protocol"],
    },
    Row {
        // It runs the services' binaries and links none of them; the kit for applications is linked
        // as applications link it.
        folder: "tests/live",
        ours: &["client", "harness", "model", "wire"],
        others: &[
            "anyhow",
            "async-nats",
            "axum",
            "futures",
            "opentelemetry-proto",
            "prost",
            "redis",
            "serde_json",
            "tempfile",
            "tokio",
            "tonic",
        ],
        never: &["vedette-runtime", "vedette-protocol"],
    },
    Row {
        // A program for people: it runs what the live tests run, and prints how long it took.
        folder: "tests/bench",
        ours: &["harness", "live", "model"],
        others: &[
            "anyhow",
            "clap",
            "futures",
            "redis",
            "redis-protocol",
            "serde",
            "serde_json",
            "tempfile",
            "tokio",
        ],
        never: &["vedette-runtime", "vedette-protocol"],
    },
];

#[test]
fn every_arrow_is_in_the_table() {
    let graph = Graph::load();
    let mut findings = Vec::new();
    for package in &graph.packages {
        let Some(row) = TABLE.iter().find(|row| row.folder == package.folder) else {
            findings.push(format!(
                "{} has no row: decide in this file whom it may depend on",
                package.folder
            ));
            continue;
        };
        for arrow in &package.arrows {
            let ours = arrow.to.strip_prefix("vedette-");
            let allowed = match ours {
                Some(name) => row.ours.contains(&name) || (arrow.dev && name == "harness"),
                // Tests bring their own tools; what the crate must never reach stays out too.
                None => {
                    row.others.contains(&arrow.to.as_str())
                        || (arrow.dev && !row.never.contains(&arrow.to.as_str()))
                }
            };
            if !allowed {
                findings.push(format!(
                    "{} must not depend on {}: the table in this file does not allow it",
                    package.folder, arrow.to
                ));
            }
        }
    }
    none("who may depend on whom", &findings);
}

#[test]
fn what_a_crate_must_never_reach_it_does_not_reach_through_others() {
    let graph = Graph::load();
    let mut findings = Vec::new();
    for package in &graph.packages {
        let Some(row) = TABLE.iter().find(|row| row.folder == package.folder) else { continue };
        let mut never = row.never.to_vec();
        if package.folder != "cli" {
            never.extend(SERVICES.iter().filter(|name| **name != package.name));
        }
        for target in never {
            if let Some(way) = graph.way(&package.name, target) {
                findings.push(format!(
                    "{} must never reach {target}, but does: {}",
                    package.folder,
                    way.join(" → ")
                ));
            }
        }
    }
    none("who must never reach whom", &findings);
}

#[test]
fn every_row_of_the_table_is_a_crate() {
    let graph = Graph::load();
    let gone: Vec<String> = TABLE
        .iter()
        .filter(|row| !graph.packages.iter().any(|package| package.folder == row.folder))
        .map(|row| format!("{} has a row but is not in the workspace", row.folder))
        .collect();
    none("the table", &gone);
}

#[test]
fn a_crate_is_named_after_its_folder() {
    let wrong: Vec<String> = Graph::load()
        .packages
        .iter()
        .filter(|package| {
            let last = package.folder.rsplit('/').next().unwrap_or_default();
            // Under clients/ the folder names the language.
            let word = if package.folder == "clients/rust" { "client" } else { last };
            package.name != format!("vedette-{word}")
        })
        .map(|package| format!("{} is called {}", package.folder, package.name))
        .collect();
    none("crate = folder", &wrong);
}
