//! Harm done to an orchestrator exactly at a step of its plan.

use crate::process::Output;
use crate::world::World;
use vedette_model::{Command, Fact, Step};
use vedette_protocol::orchestrator;

macro_rules! moments {
    (
        $($(#[$doc:meta])* $name:ident,)+;
        $($(#[$switch_doc:meta])* $switch_name:ident,)+
    ) => {
        /// A step of the plan, seen by what an orchestrator does then.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Moment {
            $($(#[$doc])* $name,)+
            $($(#[$switch_doc])* $switch_name,)+
        }

        impl Moment {
            /// Those of a failover, in the order of a plan that meets no obstacle.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Those that a switchover has besides, between selection and promotion.
            pub const OF_HANDOVERS: &[Self] = &[$(Self::$switch_name,)+];
        }
    };
}

moments! {
    /// A majority of voters said ODOWN.
    Odown,
    /// A majority of voters promised.
    Claimed,
    /// The survey is over.
    Surveyed,
    /// The plan is committed.
    Selected,
    /// The promotion is sent.
    Promoting,
    /// The target says master.
    Promoted,
    /// The new master is announced.
    Announcing,
    /// The new master is committed, and announced.
    Committed,
    /// A node is pointed at the new master.
    Repointing,
    /// A node follows the new master.
    Repaired,
    /// The failover is over.
    Ended,
    ;
    /// The old master's writes are being paused.
    Pausing,
    /// They are.
    Paused,
    /// The old master is made to take no writes any more.
    Freezing,
    /// The target was level when that was sent.
    Level,
    /// The old master takes no writes.
    Frozen,
}

impl Moment {
    fn of(output: &Output) -> Option<Self> {
        let Output::Orchestrator(output) = output else { return None };
        match output {
            orchestrator::Output::Publish(Fact::FailoverStep(step)) => match step.step {
                Step::Odown => Some(Self::Odown),
                Step::Claimed => Some(Self::Claimed),
                Step::Surveyed { .. } => Some(Self::Surveyed),
                Step::Selected { .. } => Some(Self::Selected),
                Step::Paused => Some(Self::Paused),
                Step::Level { .. } => Some(Self::Level),
                Step::Frozen => Some(Self::Frozen),
                Step::Promoted { .. } => Some(Self::Promoted),
                Step::Committed { .. } => Some(Self::Committed),
                Step::Repaired { .. } => Some(Self::Repaired),
                Step::Ended => Some(Self::Ended),
                Step::Aborted { .. } | Step::Waiting { .. } => None,
            },
            orchestrator::Output::Publish(Fact::MasterRecord(_)) => Some(Self::Announcing),
            orchestrator::Output::Command { command: Command::Promote { .. }, .. } => {
                Some(Self::Promoting)
            }
            orchestrator::Output::Command { command: Command::PauseWrites { .. }, .. } => {
                Some(Self::Pausing)
            }
            orchestrator::Output::Command { command: Command::Freeze, .. } => Some(Self::Freezing),
            orchestrator::Output::Command { command: Command::Follow { .. }, .. } => {
                Some(Self::Repointing)
            }
            orchestrator::Output::Command {
                command: Command::Inspect | Command::Unpause | Command::Save,
                ..
            }
            | orchestrator::Output::Publish(_)
            | orchestrator::Output::Reply { .. }
            | orchestrator::Output::Retain(_) => None,
        }
    }
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// `kill -9`.
    Kill,
    /// `SIGSTOP`.
    Stop,
}

/// Does harm to the first orchestrator that comes to a moment.
#[derive(Debug, Clone, Copy)]
pub struct Hook {
    /// When.
    pub moment: Moment,
    /// Before the world hears of it, or right after.
    pub before: bool,
    /// What.
    pub harm: Harm,
}

impl World {
    /// Carries out an output, unless harm is done at this very moment.
    pub(crate) fn carry_out_or_strike(&mut self, index: usize, output: Output) {
        let at = Moment::of(&output);
        // Only a scenario looks, and it looks at once.
        if self.story.is_some() {
            self.passed.extend(at);
        }
        let due = |hook: &Hook| Some(hook.moment) == at;
        let Some(position) = self.hooks.iter().position(due) else {
            return self.carry_out(index, output);
        };
        let hook = self.hooks.remove(position);
        self.struck = Some(index);
        if !hook.before {
            self.carry_out(index, output);
        } else if hook.harm == Harm::Stop {
            self.processes[index].held = Some(output);
        }
        self.line("FAULT", || {
            let when = if hook.before { "before" } else { "after" };
            format!("{:?} {when} {:?}", hook.harm, hook.moment)
        });
        match hook.harm {
            Harm::Kill => self.death(index),
            Harm::Stop => self.processes[index].stopped = true,
        }
    }
}
