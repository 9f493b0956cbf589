//! The example configuration files are taken by the services they are for, and say the defaults.

use anyhow::{Context, Result, ensure};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use vedette_model::Service;
use vedette_orchestrator::groups::Groups;
use vedette_runtime::Overrides;
use vedette_runtime::config::{ServiceConfig, load_from};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

/// The example, and what comes of it without all that is commented out or required.
fn taken<C: ServiceConfig>(service: Service) -> Result<C> {
    let path = example(&format!("{service}.toml"));
    load_from(service, Some(&path), Vec::new(), Overrides::default())
        .with_context(|| format!("{} is refused", path.display()))
}

#[test]
fn every_services_example_is_taken_and_holds_its_defaults() -> Result<()> {
    let mut voter: vedette_voter::Config = taken(Service::Voter)?;
    ensure!(voter.store.take().is_some() && voter.common.id == "v1");
    voter.common.id.clear();
    ensure!(voter == vedette_voter::Config::default(), "{voter:?}");

    let mut prober: vedette_prober::Config = taken(Service::Prober)?;
    prober.common.id.clear();
    ensure!(prober == vedette_prober::Config::default(), "{prober:?}");

    let mut orchestrator: vedette_orchestrator::Config = taken(Service::Orchestrator)?;
    ensure!(orchestrator.groups_file.take().is_some());
    orchestrator.common.id.clear();
    ensure!(orchestrator == vedette_orchestrator::Config::default(), "{orchestrator:?}");

    let mut notifier: vedette_notifier::Config = taken(Service::Notifier)?;
    notifier.common.id.clear();
    ensure!(notifier == vedette_notifier::Config::default(), "{notifier:?}");

    let mut gateway: vedette_gateway::Config = taken(Service::Gateway)?;
    ensure!(gateway.common.http.listen.take().is_some());
    gateway.common.id.clear();
    ensure!(gateway == vedette_gateway::Config::default(), "{gateway:?}");
    Ok(())
}

#[test]
fn the_example_of_the_groups_holds_every_default() -> Result<()> {
    let text = std::fs::read_to_string(example("groups.toml"))?;
    let groups = Groups::parse(&text, Path::new(""))?;
    let [(_, _, settings)] = groups.list.as_slice() else { anyhow::bail!("one group") };
    let default = vedette_model::Settings::with_quorum(settings.quorum);
    ensure!(*settings == default, "{settings:?}");
    Ok(())
}

#[test]
fn the_commands_example_is_taken() -> Result<()> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_vedette"))
        .args(["status", "--print-config", "--config"])
        .arg(example("cli.toml"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(text.contains("roster.voters = [\"v1\", \"v2\", \"v3\"]"), "{text}");
    ensure!(text.contains("log.level = \"warn\""), "{text}");
    Ok(())
}

#[test]
fn every_verb_warns_of_a_file_with_a_password_that_others_may_open() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("cli.toml");
    std::fs::write(&file, "nats.token = \"hush\"\n")?;
    for (mode, warns) in [(0o640, true), (0o600, false)] {
        std::fs::set_permissions(&file, Permissions::from_mode(mode))?;
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_vedette"))
            .args(["completions", "bash", "--config"])
            .arg(&file)
            .output()?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(words.contains("holds nats.token") == warns, "{mode:o}: {words}");
        ensure!(output.status.success() && !words.contains("hush"), "{words}");
    }
    Ok(())
}
