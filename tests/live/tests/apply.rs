//! Groups as a file declares them.

use anyhow::{Result, ensure};
use serde_json::Value;
use vedette_harness::{GROUP, LIMIT, Node, Plan, System, within};

/// Applies the text, with these flags.
async fn apply(system: &System, text: &str, flags: &[&str]) -> Result<String> {
    let file = system.path()?.join("wanted.toml");
    std::fs::write(&file, text)?;
    let file = file.to_string_lossy().into_owned();
    system.vedette(&[&["apply", &file], flags].concat()).await
}

fn says(said: &str, words: &[&str]) -> Result<()> {
    for words in words {
        ensure!(said.contains(words), "{words:?} is missing:\n{said}");
    }
    Ok(())
}

/// Waits until `vedette groups` lists these, each with its `down_after_ms`.
async fn groups(system: &System, wanted: &[(&str, u64)]) -> Result<()> {
    within(LIMIT, &format!("the groups are {wanted:?}"), async || {
        let said = system.vedette(&["groups", "--json"]).await.ok()?;
        let list: Vec<Value> = serde_json::from_str(&said).ok()?;
        let shown: Vec<_> = list
            .iter()
            .filter_map(|line| Some((line["group"].as_str()?, line["down_after_ms"].as_u64()?)))
            .collect();
        (shown == wanted).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_file_is_applied_changed_and_applied_again() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["no replica", "sdown"]);
    let folder = system.path()?.join("bills");
    std::fs::create_dir(&folder)?;
    let other = Node::start_group(0, &folder, None).await?;
    let bills =
        format!("[[group]]\nname = \"bills\"\nmaster = \"{}\"\nquorum = 1\n", other[0].addr());
    let orders = format!(
        "[[group]]\nname = \"{GROUP}\"\nmaster = \"{}\"\nquorum = 2\ndown_after_ms = 1500\n\
         failover_timeout_ms = 10000\nhold_off_ms = 500\nflap_window_ms = 0\n",
        system.master()
    );
    let both = bills + &orders;

    let change = [
        "+ bills            watch, with",
        "~ orders.eu        change\n    down_after_ms: 1000 → 1500\n",
    ];
    says(&apply(&system, &both, &["--dry-run"]).await?, &change)?;
    // There is nobody who could agree to it.
    says(&apply(&system, &both, &[]).await?, &change)?;
    groups(&system, &[(GROUP, 1_000)]).await?;

    let said = apply(&system, &both, &["--yes"]).await?;
    says(&said, &["bills is watched", &format!("{GROUP} has down_after_ms=1500")])?;
    groups(&system, &[("bills", 5_000), (GROUP, 1_500)]).await?;
    says(&apply(&system, &both, &["--yes"]).await?, &["nothing to do: 2 groups are as declared"])?;

    let said = apply(&system, &orders, &["--yes"]).await?;
    says(&said, &["bills            is not declared and left alone", "nothing to do"])?;
    let said = apply(&system, &orders, &["--yes", "--prune", "--json"]).await?;
    let said: Value = serde_json::from_str(&said)?;
    ensure!(said["plan"]["actions"][0]["action"] == "remove", "{said:#}");
    ensure!(said["carried_out"] == true, "{said:#}");
    groups(&system, &[(GROUP, 1_500)]).await?;
    let said = apply(&system, &orders, &["--prune", "--dry-run"]).await?;
    says(&said, &["nothing to do: 1 groups are as declared"])?;
    system.finish().await
}
