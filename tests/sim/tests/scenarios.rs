//! Stories that are told to the whole system, one file each: `scenarios/<row>_<words>.rs`.

#[path = "../scenarios/bug_bus_dies_with_the_evidence.rs"]
mod bug_bus_dies_with_the_evidence;
#[path = "../scenarios/bug_commit_nobody_heard.rs"]
mod bug_commit_nobody_heard;
#[path = "../scenarios/bug_disk_behind.rs"]
mod bug_disk_behind;
#[path = "../scenarios/bug_forgotten_promotion.rs"]
mod bug_forgotten_promotion;
#[path = "../scenarios/bug_history_nobody_heard.rs"]
mod bug_history_nobody_heard;
#[path = "../scenarios/bug_late_voter_denied_a_living_leader.rs"]
mod bug_late_voter_denied_a_living_leader;
#[path = "../scenarios/bug_master_back_as_replica.rs"]
mod bug_master_back_as_replica;
#[path = "../scenarios/bug_promise_too_old.rs"]
mod bug_promise_too_old;
#[path = "../scenarios/bug_promoted_target_restarted.rs"]
mod bug_promoted_target_restarted;
#[path = "../scenarios/bug_target_replaced.rs"]
mod bug_target_replaced;
#[path = "../scenarios/row01_shared_address.rs"]
mod row01_shared_address;
#[path = "../scenarios/row02_empty_master.rs"]
mod row02_empty_master;
#[path = "../scenarios/row03_power_cut.rs"]
mod row03_power_cut;
#[path = "../scenarios/row04_no_good_replica.rs"]
mod row04_no_good_replica;
#[path = "../scenarios/row05_isolated_master.rs"]
mod row05_isolated_master;
#[path = "../scenarios/row06_old_master_returns.rs"]
mod row06_old_master_returns;
#[path = "../scenarios/row09_cut_off.rs"]
mod row09_cut_off;
#[path = "../scenarios/row10_other_declarations.rs"]
mod row10_other_declarations;
#[path = "../scenarios/row11_planned_switchover.rs"]
mod row11_planned_switchover;
#[path = "../scenarios/row12_replica_that_is_behind.rs"]
mod row12_replica_that_is_behind;
#[path = "../scenarios/row15_frozen_master.rs"]
mod row15_frozen_master;
#[path = "../scenarios/row16_busy_script.rs"]
mod row16_busy_script;
#[path = "../scenarios/row17_loading_master.rs"]
mod row17_loading_master;
#[path = "../scenarios/row18_leader_dies_at_each_step.rs"]
mod row18_leader_dies_at_each_step;
#[path = "../scenarios/row19_roster.rs"]
mod row19_roster;
#[path = "../scenarios/row20_dead_replicas.rs"]
mod row20_dead_replicas;
#[path = "../scenarios/row21_fighting_script.rs"]
mod row21_fighting_script;
#[path = "../scenarios/row22_flapping.rs"]
mod row22_flapping;
#[path = "../scenarios/row23_paused_processes.rs"]
mod row23_paused_processes;
#[path = "../scenarios/row24_names.rs"]
mod row24_names;
#[path = "../scenarios/row25_full_disk.rs"]
mod row25_full_disk;
#[path = "../scenarios/row26_wrong_password.rs"]
mod row26_wrong_password;
#[path = "../scenarios/row33_lost_memory.rs"]
mod row33_lost_memory;
#[path = "../scenarios/row34_one_record.rs"]
mod row34_one_record;
#[path = "../scenarios/row36_announced_too_early.rs"]
mod row36_announced_too_early;
#[path = "../scenarios/row37_silent_change.rs"]
mod row37_silent_change;
#[path = "../scenarios/row40_leader_sleeps_at_each_step.rs"]
mod row40_leader_sleeps_at_each_step;
#[path = "../scenarios/row42_mass_failure.rs"]
mod row42_mass_failure;
#[path = "../scenarios/row46_two_of_one_id.rs"]
mod row46_two_of_one_id;
#[path = "../scenarios/row48_pause.rs"]
mod row48_pause;
