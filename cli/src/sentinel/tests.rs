use super::conf::Conf;
use super::lines::{Lines, Refused};
use super::native::files;
use proptest::prelude::*;
use std::path::Path;
use vedette_model::{Quorum, Service, Settings};
use vedette_orchestrator::groups::Groups;
use vedette_runtime::Overrides;
use vedette_runtime::config::{ServiceConfig, load_from};

const DEBIAN: &str = include_str!("tests/debian.conf");
const REWRITTEN: &str = include_str!("tests/rewritten.conf");
const CONTAINER: &str = include_str!("tests/container.conf");
const MASTER: &str = "sentinel monitor m 10.0.0.1 6379 2\n";

fn parse(text: &str) -> Result<Conf, Vec<Refused>> {
    Conf::parse(Lines::parse("f", text.as_bytes()))
}

fn good(text: &str) -> Conf {
    match parse(text) {
        Ok(conf) => conf,
        Err(refused) => panic!("{}", refused[0]),
    }
}

fn refusal(line: &str) -> String {
    let refused = parse(&format!("{MASTER}{line}\n")).expect_err(line);
    assert_eq!((refused.len(), refused[0].at.line), (1, 2), "{refused:?}");
    refused[0].why.clone()
}

/// Sentinel's defaults, and what it does where it has no directive.
fn expected(quorum: u32) -> Settings {
    Settings {
        down_after_ms: 30_000,
        failover_timeout_ms: 180_000,
        crash_grace_ms: 0,
        busy_budget_ms: 30_000,
        loading_budget_ms: Some(0),
        trust_recorded_address: true,
        flap_limit: 0,
        tombstone_after_ms: 86_400_000,
        prune_after_ms: 31_536_000_000,
        watchers_per_place: 1_000,
        ..Settings::with_quorum(Quorum::parse(quorum).unwrap())
    }
}

#[test]
fn debians_file_gives_sentinels_behaviour() {
    let conf = good(DEBIAN);
    let [(name, master, settings)] = &conf.seeds()[..] else { panic!("one group") };
    assert_eq!((name.as_str(), master.to_string()), ("mymaster", "127.0.0.1:6379".into()));
    assert_eq!(*settings, expected(2));
    assert_eq!((conf.server.port, conf.server.loglevel), (26379, "info"));
    assert_eq!(conf.server.dir, Path::new("/var/lib/redis"));
    assert_eq!(
        conf.server.logfile.as_deref(),
        Some(Path::new("/var/log/redis/redis-sentinel.log"))
    );
    let notes: Vec<_> = conf.notes.iter().map(|note| note.at.text.as_str()).collect();
    assert_eq!(notes, ["daemonize yes"]);
}

#[test]
fn what_a_running_sentinel_wrote_is_taken_over() {
    let conf = good(REWRITTEN);
    let [(_, master, settings)] = &conf.seeds()[..] else { panic!("one group") };
    assert_eq!(master.to_string(), "127.0.0.1:17001");
    assert_eq!((settings.down_after_ms, settings.parallel_syncs), (1_000, 2));
    assert_eq!(settings.credentials.as_ref().unwrap().password.expose(), "hunter2");
    assert_eq!(conf.server.password.as_ref().unwrap().expose(), "front door");
    assert_eq!(conf.own.id.as_deref(), Some("af80362d339cc6f9569089a24a9718cc56617dd4"));
    assert_eq!(conf.known_ids().len(), 3);
    let noted: Vec<_> = conf.notes.iter().map(|note| note.at.line).collect();
    assert_eq!(noted, [5, 19, 20, 21, 23, 25], "daemonize, epochs, replicas");
}

#[test]
fn host_names_and_quotes_of_containers_are_understood() {
    let conf = good(CONTAINER);
    let [(_, master, settings)] = &conf.seeds()[..] else { panic!("one group") };
    assert!(master.host().ends_with("svc.cluster.local"));
    let credentials = settings.credentials.as_ref().unwrap();
    assert_eq!(credentials.user.as_deref(), Some("app"));
    assert_eq!(credentials.password.expose(), "a \"quoted\" one");
    assert!(conf.own.announce_hostnames && conf.own.resolve_hostnames);
    assert_eq!(conf.server.logfile, None);
}

#[test]
fn every_directive_of_a_master_is_followed() {
    let text = "sentinel down-after-milliseconds m 2000\nsentinel failover-timeout m 3000\n\
                sentinel parallel-syncs m 4\nsentinel notification-script m /bin/true\n\
                sentinel client-reconfig-script m /bin/true\nsentinel auth-user m u\n\
                sentinel auth-pass m p\nsentinel master-reboot-down-after-period m 5\n\
                sentinel rename-command m CONFIG config\nsentinel crash-grace-milliseconds m 6\n";
    // The order does not matter.
    let conf = good(&format!("{text}{MASTER}"));
    assert!(conf.notes.is_empty(), "{:?}", conf.notes);
    let settings = conf.seeds()[0].2.clone();
    let credentials = settings.credentials.clone();
    assert_eq!(
        settings,
        Settings {
            down_after_ms: 2_000,
            busy_budget_ms: 2_000,
            failover_timeout_ms: 3_000,
            parallel_syncs: 4,
            loading_budget_ms: Some(5),
            crash_grace_ms: 6,
            credentials,
            ..expected(2)
        }
    );
    assert_eq!(settings.credentials.unwrap().user.as_deref(), Some("u"));
    assert_eq!(conf.groups[0].notification_script.as_deref(), Some(Path::new("/bin/true")));
}

#[test]
fn what_cannot_be_followed_is_refused_at_its_line_with_the_reason() {
    for (line, expected) in [
        ("sentinel monitor m 10.0.0.2 6379 1", "Duplicate master name."),
        ("sentinel monitor n 10.0.0.2 6379 0", "Quorum must be 1 or greater."),
        ("sentinel monitor n 10.0.0.2 x 1", "Invalid port number."),
        ("sentinel monitor n 10.0.0.2 6379", "'monitor' has another number of arguments"),
        ("sentinel monitr n 10.0.0.2 6379 1", "Did you mean 'monitor'?"),
        ("sentinel", "Unrecognized sentinel configuration statement."),
        ("sentinel nonsense m 1", "Unrecognized sentinel configuration statement."),
        ("sentinel down-after-milliseconds n 1000", "No such master with specified name."),
        ("sentinel down-after-milliseconds m 0", "negative or zero time parameter."),
        ("sentinel down-after-milliseconds m x", "negative or zero time parameter."),
        ("sentinel failover-timeout m -1", "negative or zero time parameter."),
        ("sentinel master-reboot-down-after-period m -1", "negative time parameter."),
        ("sentinel notification-script m /no/such", "Notification script seems non existing"),
        ("sentinel client-reconfig-script m /etc/passwd", "Client reconfiguration script seems"),
        ("sentinel rename-command m CONFIG x", "by their own names"),
        ("sentinel myid 12", "Malformed Sentinel id in myid option."),
        ("sentinel auth-pass m \"open", "Unbalanced quotes in configuration line"),
        ("tls-port 26380", "tls-cert-file"),
        ("prot 5", "Did you mean 'port'?"),
    ] {
        let why = refusal(line);
        assert!(why.contains(expected), "{line}: {why}");
    }
}

#[test]
fn a_range_that_does_not_fit_is_told_at_the_masters_line() {
    let refused = parse(&format!("{MASTER}sentinel parallel-syncs m 0\n")).unwrap_err();
    let words = refused[0].to_string();
    assert!(words.contains("f, at line 1") && words.contains("parallel_syncs"), "{words}");
}

#[test]
fn all_refused_lines_are_told_at_once_and_in_order() {
    let refused = parse("sentinel nonsense\nport x\ntls-port 1\n").unwrap_err();
    assert_eq!(refused.iter().map(|refused| refused.at.line).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn the_translation_means_the_same() {
    for text in [DEBIAN, REWRITTEN, CONTAINER, MASTER] {
        let conf = good(text);
        let folder = tempfile::tempdir().unwrap();
        for file in files(&conf) {
            std::fs::write(folder.path().join(&file.name), &file.text).unwrap();
        }
        let groups = Groups::load(&folder.path().join("groups.toml")).unwrap();
        assert_eq!(groups.list, conf.seeds());
        let path = |service: &str| folder.path().join(format!("{service}.toml"));
        let gateway: vedette_gateway::Config = load(Service::Gateway, &path("gateway"));
        assert_eq!(gateway.clients.listen.port(), conf.server.port);
        assert_eq!(gateway.clients.announce_host, conf.own.announce_ip);
        assert!(
            !gateway.clients.unreadable_is_down(),
            "replicas are shown as a Sentinel shows them"
        );
        let voter: vedette_voter::Config = load(Service::Voter, &path("voter"));
        let orchestrator: vedette_orchestrator::Config =
            load(Service::Orchestrator, &path("orchestrator"));
        assert_eq!(voter.roster, orchestrator.roster);
        assert!(voter.roster.voters.contains(&voter.common.id));
        let _: vedette_prober::Config = load(Service::Prober, &path("prober"));
        assert!(!path("notifier").exists());
    }
}

fn load<C: ServiceConfig>(service: Service, path: &Path) -> C {
    load_from(service, Some(path), Vec::new(), Overrides::default()).unwrap()
}

#[test]
fn users_and_tls_are_translated() {
    let conf = good(&format!(
        "{MASTER}port 0\ntls-port 26380\ntls-cert-file /c\ntls-key-file /k\ntls-auth-clients no\n\
         user ops on >hush-1 +@all\nuser app on >hush-2 +ping +subscribe\n"
    ));
    let folder = tempfile::tempdir().unwrap();
    for file in files(&conf) {
        assert_eq!(file.secret, file.text.contains("hush"));
        std::fs::write(folder.path().join(&file.name), &file.text).unwrap();
    }
    let path = folder.path().join("gateway.toml");
    let gateway: vedette_gateway::Config = load(Service::Gateway, &path);
    let tls = &gateway.clients.tls;
    assert_eq!((tls.only, tls.listen.unwrap().port()), (true, 26380));
    assert_eq!(gateway.clients.users.len(), 2);
}

#[test]
fn scripts_become_a_notifiers() {
    let text = format!("{MASTER}sentinel client-reconfig-script m /bin/true\n");
    let files = files(&good(&text));
    let notifier = files.iter().find(|file| file.name == "notifier.toml").unwrap();
    assert!(notifier.text.contains("client_reconfig_script = \"/bin/true\""), "{}", notifier.text);
    assert!(!notifier.text.contains("notification_script"), "{}", notifier.text);
}

#[test]
fn a_password_stands_in_its_own_file_only() {
    for file in files(&good(REWRITTEN)) {
        let holds = file.text.contains("hunter2") || file.text.contains("front door");
        assert_eq!(holds, file.secret, "{}", file.name);
    }
}

proptest! {
    #[test]
    fn any_bytes_give_a_configuration_or_lines_that_are_refused(
        text in prop::collection::vec(any::<u8>(), 0..400)
    ) {
        let lines = text.split(|byte| *byte == b'\n').count();
        if let Err(refused) = Conf::parse(Lines::parse("f", &text)) {
            prop_assert!(!refused.is_empty());
            prop_assert!(refused.iter().all(|refused| (1..=lines).contains(&refused.at.line)));
        }
    }

    /// Lines that look like directives reach deeper than any bytes.
    #[test]
    fn lines_of_known_words_give_a_configuration_or_refusals(
        lines in prop::collection::vec(
            prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..7), 0..12)
    ) {
        let text: Vec<_> = lines.iter().map(|words| words.join(" ")).collect();
        match parse(&text.join("\n")) {
            Ok(conf) => {
                prop_assert!(conf.seeds().iter().all(|(_, _, settings)| settings.check().is_ok()));
                prop_assert!(!files(&conf).is_empty());
            }
            Err(refused) => {
                let within = refused.iter().all(|r| (1..=lines.len()).contains(&r.at.line));
                prop_assert!(within && refused.iter().all(|r| !r.why.is_empty()));
            }
        }
    }

    #[test]
    fn the_order_of_the_lines_does_not_matter(seed in any::<u64>()) {
        let mut lines: Vec<&str> = REWRITTEN.lines().collect();
        let mut state = seed | 1;
        for at in (1..lines.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            lines.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
        }
        let shuffled = good(&lines.join("\n"));
        let (one, other) = (good(REWRITTEN), shuffled);
        prop_assert_eq!(one.seeds(), other.seeds());
        prop_assert_eq!((one.server, one.own), (other.server, other.own));
    }
}

const WORDS: [&str; 33] = [
    "sentinel",
    "sentinel monitor m 10.0.0.1",
    "sentinel monitor m 10.0.0.1 6379 2",
    "monitor",
    "m",
    "127.0.0.1",
    "::1",
    "6379",
    "1",
    "2",
    "0",
    "-1",
    "99999999999999999999",
    "\"\"",
    "'",
    "\"\\x",
    "yes",
    "down-after-milliseconds",
    "failover-timeout",
    "parallel-syncs",
    "auth-pass",
    "auth-user",
    "rename-command",
    "known-sentinel",
    "master-reboot-down-after-period",
    "crash-grace-milliseconds",
    "voters",
    "bind",
    "port",
    "user",
    "default",
    "requirepass",
    "timeout",
];
