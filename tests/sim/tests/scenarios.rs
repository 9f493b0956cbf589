//! Stories that are told to the whole system, one file each: `scenarios/<row>_<words>.rs`.

#[path = "../scenarios/row12_replica_that_is_behind.rs"]
mod row12_replica_that_is_behind;
#[path = "../scenarios/row18_leader_dies_at_each_step.rs"]
mod row18_leader_dies_at_each_step;
#[path = "../scenarios/row23_paused_processes.rs"]
mod row23_paused_processes;
#[path = "../scenarios/row40_leader_sleeps_at_each_step.rs"]
mod row40_leader_sleeps_at_each_step;
