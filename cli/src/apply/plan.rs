//! What has to be done so that the groups are as a file declares them.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use vedette_model::{GroupName, GroupRecord, NodeAddr, Setting, Settings, Verb};

/// The difference between what is declared and what is recorded.
#[derive(Debug, Default)]
pub struct Plan {
    /// What is to be done, in this order.
    pub actions: Vec<Action>,
    /// Groups that are as declared.
    pub as_declared: Vec<GroupName>,
    /// Groups that are not declared and left alone.
    pub left_alone: Vec<GroupName>,
    /// What no instruction can bring about, in words.
    pub conflicts: Vec<String>,
}

/// One group's part.
#[derive(Debug)]
pub struct Action {
    /// Which group.
    pub group: GroupName,
    /// `monitor`, `set` or `remove`.
    pub word: &'static str,
    /// What its owner is told.
    pub verb: Verb,
    /// Each setting that changes, with its value before; without one if the group is new.
    pub changes: Vec<(String, Option<String>, String)>,
}

impl Plan {
    /// The difference; groups that are not declared go only if `prune`.
    pub fn of(
        declared: &[(GroupName, NodeAddr, Settings)],
        records: &BTreeMap<GroupName, GroupRecord>,
        prune: bool,
    ) -> Self {
        let mut plan = Self::default();
        for (group, master, settings) in declared {
            match records.get(group) {
                None => plan.actions.push(monitor(group, master, settings)),
                Some(record) => plan.compare(record, master, settings),
            }
        }
        for group in records.keys() {
            if declared.iter().any(|(name, ..)| name == group) {
                continue;
            }
            if prune {
                let (group, changes) = (group.clone(), Vec::new());
                plan.actions.push(Action { group, word: "remove", verb: Verb::Remove, changes });
            } else {
                plan.left_alone.push(group.clone());
            }
        }
        plan
    }

    /// The master that is declared is the first one: after a failover another one is right.
    fn compare(&mut self, record: &GroupRecord, master: &NodeAddr, settings: &Settings) {
        let group = record.group.clone();
        if record.member(master).is_none() {
            self.conflicts.push(format!(
                "{group}: {master} is declared as its master and is none of its nodes ({}); which \
                 nodes belong to it is found out and not declared: correct the file, or `vedette \
                 remove {group}` and apply again",
                record.members.iter().map(|m| m.addr.to_string()).collect::<Vec<_>>().join(", ")
            ));
        }
        let all = settings.changed_since(&record.settings);
        let before = record.settings.changed_since(settings);
        let changes = all.iter().map(|change| {
            let name = name(change);
            let was = before.iter().find(|other| self::name(other) == name).map(Setting::value);
            (name, was, change.value())
        });
        let changes: Vec<_> = changes.collect();
        if changes.is_empty() {
            self.as_declared.push(group);
        } else {
            let verb = Verb::Set { changes: all };
            self.actions.push(Action { group, word: "set", verb, changes });
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        for action in &self.actions {
            let (sign, what) = if let Verb::Monitor { master, .. } = &action.verb {
                ('+', format!("watch, with {master} as its master"))
            } else if action.verb == Verb::Remove {
                ('-', "watch no longer".into())
            } else {
                ('~', "change".into())
            };
            let _ = writeln!(out, "{sign} {:<16} {what}", action.group.as_str());
            for (name, was, value) in &action.changes {
                let was = was.as_ref().map_or_else(String::new, |was| format!("{was} → "));
                let _ = writeln!(out, "    {name}: {was}{value}");
            }
        }
        for group in &self.left_alone {
            let _ = writeln!(
                out,
                "  {:<16} is not declared and left alone; --prune removes it",
                group.as_str()
            );
        }
        for conflict in &self.conflicts {
            let _ = writeln!(out, "! {conflict}");
        }
        if self.actions.is_empty() {
            let _ =
                writeln!(out, "nothing to do: {} groups are as declared", self.as_declared.len());
        }
        out
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let action = |action: &Action| {
            let changes = action
                .changes
                .iter()
                .map(|(name, was, value)| json!({ "setting": name, "from": was, "to": value }));
            json!({
                "group": action.group,
                "action": action.word,
                "changes": changes.collect::<Vec<_>>(),
            })
        };
        json!({
            "actions": self.actions.iter().map(action).collect::<Vec<_>>(),
            "as_declared": self.as_declared,
            "left_alone": self.left_alone,
            "conflicts": self.conflicts,
        })
    }
}

fn monitor(group: &GroupName, master: &NodeAddr, settings: &Settings) -> Action {
    let quorum = settings.quorum;
    let changes = settings.changed_since(&Settings::with_quorum(quorum));
    let shown = [Setting::Quorum(quorum)].into_iter().chain(changes.iter().cloned());
    Action {
        group: group.clone(),
        word: "monitor",
        changes: shown.map(|change| (name(&change), None, change.value())).collect(),
        verb: Verb::Monitor { master: master.clone(), quorum, changes },
    }
}

fn name(setting: &Setting) -> String {
    if let Setting::NodePlace { node, .. } = setting {
        return format!("node_place.{node}");
    }
    setting.name().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use vedette_orchestrator::groups::Groups;

    const FILE: &str = "[[group]]\nname = \"a\"\nmaster = \"h:1\"\nquorum = 2\n\
                        down_after_ms = 700\nuser = \"u\"\npassword = \"hush\"\n\
                        [[group]]\nname = \"b\"\nmaster = \"h:2\"\nquorum = 1\n";

    fn declared(text: &str) -> Vec<(GroupName, NodeAddr, Settings)> {
        Groups::parse(text, Path::new("")).unwrap().list
    }

    /// What the voters have once it was carried out.
    fn carried_out(plan: &Plan, records: &mut BTreeMap<GroupName, GroupRecord>) {
        for Action { group, verb, .. } in &plan.actions {
            if let Verb::Monitor { master, quorum, changes } = verb {
                let settings = Settings::with_quorum(*quorum).with(changes).unwrap();
                let record = GroupRecord::first(group.clone(), master.clone(), settings);
                records.insert(group.clone(), record);
            } else if let Verb::Set { changes } = verb {
                let record = records.get_mut(group).unwrap();
                record.settings = record.settings.with(changes).unwrap();
            } else {
                assert_eq!(*verb, Verb::Remove);
                records.remove(group);
            }
        }
    }

    #[test]
    fn what_was_applied_needs_nothing_more() {
        let mut records = BTreeMap::new();
        let plan = Plan::of(&declared(FILE), &records, false);
        let text = plan.text();
        assert!(text.contains("+ a                watch, with h:1 as its master"), "{text}");
        assert!(text.contains("    down_after_ms: 700\n") && !text.contains("hush"), "{text}");
        carried_out(&plan, &mut records);
        let again = Plan::of(&declared(FILE), &records, true);
        assert!(again.actions.is_empty() && again.conflicts.is_empty());
        assert_eq!(again.text(), "nothing to do: 2 groups are as declared\n");
        // A failover is none of its business.
        let record = records.values_mut().next().unwrap();
        let other = NodeAddr::parse("h:9").unwrap();
        record.members.push(vedette_model::Member::new(other.clone(), None));
        record.master = other;
        assert!(Plan::of(&declared(FILE), &records, false).actions.is_empty());
    }

    #[test]
    fn a_changed_setting_is_shown_with_what_it_was_and_what_is_not_named_has_its_default() {
        let mut records = BTreeMap::new();
        carried_out(&Plan::of(&declared(FILE), &records, false), &mut records);
        let file =
            FILE.replace("down_after_ms = 700\n", "hold_off_ms = 9\n").replace("hush", "new");
        let plan = Plan::of(&declared(&file), &records, false);
        let text = plan.text();
        assert!(text.contains("~ a"), "{text}");
        assert!(text.contains("down_after_ms: 700 → 5000\n"), "{text}");
        assert!(text.contains("hold_off_ms: 5000 → 9\n"), "{text}");
        assert!(text.contains("password: ****** → ******\n"), "{text}");
        carried_out(&plan, &mut records);
        assert!(Plan::of(&declared(&file), &records, false).actions.is_empty());
    }

    #[test]
    fn a_group_that_is_not_declared_goes_only_if_that_is_wanted() {
        let mut records = BTreeMap::new();
        carried_out(&Plan::of(&declared(FILE), &records, false), &mut records);
        let one = &declared(FILE)[..1];
        let plan = Plan::of(one, &records, false);
        assert!(plan.actions.is_empty());
        assert!(plan.text().contains("b                is not declared and left alone"));
        let plan = Plan::of(one, &records, true);
        assert!(plan.text().starts_with("- b"), "{}", plan.text());
        carried_out(&plan, &mut records);
        assert_eq!(records.len(), 1);
    }

    #[test]
    fn a_master_that_is_no_node_of_the_group_is_a_conflict_and_nothing_is_done_about_it() {
        let mut records = BTreeMap::new();
        carried_out(&Plan::of(&declared(FILE), &records, false), &mut records);
        let plan = Plan::of(&declared(&FILE.replace("h:1", "h:7")), &records, false);
        assert!(plan.actions.is_empty());
        assert!(
            plan.conflicts[0].contains("h:7 is declared as its master"),
            "{:?}",
            plan.conflicts
        );
        assert!(plan.text().contains("! a: h:7"));
    }
}
