//! What an orchestrator says when it is asked.

use super::{Group, Orchestrator, Output, TROUBLES_TOLD};
use crate::directory::GROUP_LIMIT;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use vedette_model::{
    GroupName, Health, Instant, Instruction, InstructionReply, MasterQuery, MasterRecord, Outcome,
    Standing, Verb,
};

impl Orchestrator {
    pub(super) fn standings(&self, now: Instant) -> Vec<Standing> {
        let groups = self.groups.values();
        let mut standings: Vec<_> = groups.filter_map(|group| group.standing(now)).collect();
        for standing in &mut standings {
            if let Some(doubt) = self.doubt(&standing.group) {
                standing.text = format!("{doubt}; {}", standing.text);
            }
        }
        let voters = self.directory.contacts(&self.config.roster, now);
        let needed = self.config.roster.majority().get();
        for (group, (_, master, _)) in &self.seeds {
            let text = if self.conflicts_told.contains(group) {
                format!("declared with master {master}, not seeded: that node is another group's")
            } else if voters < needed {
                format!(
                    "declared with master {master}, not seeded: {voters} of {needed} needed \
                     voters answer; start the missing ones"
                )
            } else {
                format!("declared with master {master}, being seeded")
            };
            let epoch = vedette_model::Epoch(0);
            standings.push(Standing { group: group.clone(), epoch, text });
        }
        standings
    }

    /// What a person should know of the owned groups, and nobody but a person can mend.
    pub(super) fn health(&self) -> Health {
        let owned = self.groups.iter().filter(|(_, group)| group.is_owned());
        let tell = |(name, group): (&GroupName, &Group)| {
            let trouble = group.trouble();
            (!trouble.is_empty()).then(|| format!("{name}: {trouble}"))
        };
        let troubles: Vec<_> = owned.filter_map(tell).take(TROUBLES_TOLD).collect();
        if troubles.is_empty() { Health::Well } else { Health::Impaired(troubles.join("; ")) }
    }

    /// What people want with a group is its owner's business.
    pub(super) fn instruction(
        &mut self,
        instruction: Instruction,
        to: Option<String>,
        now: Instant,
    ) {
        let Some(name) = instruction.group.clone() else {
            self.roster_instruction(instruction, to, now);
            return;
        };
        if self.rank(&name) != 0 {
            return;
        }
        let Err(why) = self.takes(&name, &instruction.verb, now) else {
            let _ = self.group(&name, now);
            self.with(&name, now, |group| group.instruct(instruction, to, now));
            return;
        };
        if let Some(to) = to {
            let outcome = Outcome::Refused { why };
            let fact = InstructionReply { instruction, outcome, revision: None }.into();
            self.outputs.push_back(Output::Reply { to, fact });
        }
    }

    /// Whether there is a group to do that to, or may be one.
    fn takes(&self, name: &GroupName, verb: &Verb, now: Instant) -> Result<(), String> {
        let known = self.directory.any(name);
        if let Verb::Monitor { master, .. } = verb {
            if !self.groups.contains_key(name) && self.groups.len() >= GROUP_LIMIT {
                return Err(format!(
                    "there are {GROUP_LIMIT} groups, with those that were removed"
                ));
            }
            let owners = self.owners();
            return match owners.get(master).filter(|owner| *owner != name) {
                Some(owner) => Err(format!("{master} is a node of {owner}: a node has one group")),
                None => Ok(()),
            };
        }
        if known.is_some_and(|record| !record.removed || *verb == Verb::Remove) {
            return Ok(());
        }
        let (heard, needed) = (
            self.directory.contacts(&self.config.roster, now),
            self.config.roster.majority().get(),
        );
        Err(if heard < needed {
            format!("{heard} of {needed} needed voters answer: start the missing ones")
        } else {
            format!("there is no group {name}: `vedette status` lists those there are")
        })
    }

    pub(super) fn hears_majority(&self, now: Instant) -> bool {
        let roster = &self.config.roster;
        roster.majority().reached(self.directory.contacts(roster, now))
    }

    /// Answers only while a majority of voters is heard: a view that may be old is no answer.
    pub(super) fn master_query(
        &mut self,
        query: &MasterQuery,
        reply_to: Option<String>,
        now: Instant,
    ) {
        let fresh = self.hears_majority(now);
        let record = self.directory.get(&query.group).filter(|_| fresh);
        if let (Some(record), Some(to)) = (record, reply_to) {
            let fact = MasterRecord::from(record).into();
            self.outputs.push_back(Output::Reply { to, fact });
        }
    }
}
