//! What every [`BackupEngine`](dory_core::ports::BackupEngine) promises.
//!
//! ```ignore
//! dory_testkit::backup_engine_contract!(restic, async { Some(Subject::new(engine, repository)) });
//! ```

mod backing_up;
mod browsing;
mod dumping;
mod freezing;
mod keeping;
mod opening;
mod restoring;
mod scene;

pub use backing_up::*;
pub use browsing::*;
pub use dumping::*;
pub use freezing::*;
pub use keeping::*;
pub use opening::*;
pub use restoring::*;
pub use scene::Subject;

/// Enrols an implementation: `backup_engine_contract!(name, async { Option<Subject> })`.
#[macro_export]
macro_rules! backup_engine_contract {
    ($name:ident, $subject:expr) => {
        $crate::backup_engine_contract! { @promises $name, $subject;
            a_missing_repository_is_not_found
            a_wrong_key_is_refused
            a_repository_is_made_once
            two_who_make_it_at_once_share_it_or_one_conflicts
            without_a_password_none_is_needed
            who_would_write_must_be_able_to
            unknown_options_are_refused

            a_restored_tree_equals_its_source
            an_unchanged_tree_adds_little
            a_snapshot_tells_what_each_mount_holds
            a_change_of_the_same_size_is_seen
            an_unreadable_file_is_a_warning_and_the_rest_is_kept
            excluded_paths_are_left_out
            a_source_that_is_not_there_is_invalid
            progress_reaches_the_whole

            a_hot_pass_alone_leaves_no_snapshot
            a_frozen_tree_equals_its_source
            a_freeze_without_a_change_copies_nothing
            what_happens_after_a_freeze_is_not_in_it
            what_happens_between_the_passes_is_in_it
            a_change_behind_restored_times_is_found
            passes_may_be_repeated
            a_file_that_changes_during_a_hot_pass_is_right
            a_freeze_is_of_what_was_read_ahead

            dumps_are_files_of_the_next_snapshot_alone
            a_frozen_snapshot_holds_dumps_too
            a_dump_needs_no_mounts
            a_dump_that_breaks_off_is_in_no_snapshot
            a_later_dump_of_a_name_takes_its_place

            what_the_snapshot_does_not_hold_is_removed_if_asked
            one_mount_of_two_is_restored_alone
            an_older_snapshot_brings_back_its_own_moment
            inodes_of_another_kind_are_replaced
            no_link_in_a_target_is_followed
            other_names_of_a_targets_file_are_left_alone
            a_mount_of_one_file_comes_back
            restoring_what_is_not_there_is_not_found
            what_was_left_out_stays_when_extra_files_go
            a_restore_that_meets_damage_leaves_the_old_file
            what_can_be_restored_is_known_before
            an_undo_that_is_whole_is_proven

            the_empty_path_lists_the_mounts
            a_folder_lists_what_is_in_it
            odd_names_survive_listing_and_reading
            a_file_is_read_whole
            what_is_not_there_is_not_found

            snapshots_are_listed_oldest_first
            one_snapshot_goes_alone_or_names_what_is_tied_to_it
            forgetting_what_is_gone_is_no_error
            pruning_keeps_what_snapshots_need
            a_sound_repository_has_no_faults
            a_flipped_byte_is_found
            stats_count_what_is_stored
        }
    };
    (@promises $name:ident, $subject:expr; $($promise:ident)+) => {
        mod $name {
            #[allow(unused_imports, reason = "the expression may use what is around it")]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    let subject: Option<$crate::contracts::backup_engine::Subject> = $subject.await;
                    if let Some(subject) = subject {
                        $crate::contracts::backup_engine::$promise(subject).await;
                    }
                }
            )+
        }
    };
}
