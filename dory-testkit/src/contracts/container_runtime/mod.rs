//! What every [`ContainerRuntime`](dory_core::ports::ContainerRuntime) promises.
//!
//! ```ignore
//! dory_testkit::container_runtime_contract!(docker, async { Some(Subject::new(bench)) });
//! ```

mod bench;
mod commands;
mod finding;
mod helpers;
mod state;
mod storage;

pub use bench::{BenchContainer, BenchHealth, Program, RuntimeBench, Subject};
pub use commands::*;
pub use finding::*;
pub use helpers::*;
pub use state::*;
pub use storage::*;

/// Enrols an implementation: `container_runtime_contract!(name, async { Option<Subject> })`.
#[macro_export]
macro_rules! container_runtime_contract {
    ($name:ident, $subject:expr) => {
        $crate::container_runtime_contract! { @promises $name, $subject;
            the_engine_describes_itself
            networks_are_sorted
            a_container_is_found_by_name_and_id
            a_container_shows_its_mounts_and_labels
            an_unknown_container_is_not_found_and_near_names_are_offered
            odd_references_are_not_found
            one_character_means_no_id
            containers_are_listed_by_name_without_helpers

            stopping_reaches_the_end_and_can_be_repeated
            what_ignores_the_request_is_killed_after_its_grace
            a_paused_container_can_be_stopped
            starting_reaches_running_and_can_be_repeated
            what_cannot_start_is_down
            changing_what_is_gone_is_not_found
            pausing_freezes_and_unpausing_thaws
            pausing_what_does_not_run_is_a_conflict
            waiting_for_what_is_so_returns
            waiting_ends_when_it_happens
            waiting_for_what_has_ended_fails_at_once
            how_it_ended_is_told
            waiting_for_what_ends_meanwhile_fails
            waiting_has_an_end
            health_is_waited_for

            a_command_gets_its_input_and_gives_its_output
            a_command_gets_its_environment
            a_command_that_fails_tells_how
            a_command_that_nobody_feeds_ends
            a_command_needs_a_running_container
            events_tell_what_happens

            a_volume_is_made_found_and_listed
            a_volume_is_not_made_twice
            a_volume_is_found_by_its_whole_name
            a_volume_is_removed
            a_volume_in_use_is_not_removed
            a_volume_outlives_its_helpers
            an_image_is_there_or_not
            an_image_in_use_is_not_removed

            the_helper_image_is_made_if_it_is_missing
            a_helper_speaks_through_its_pipes
            much_goes_both_ways_at_once
            dropping_a_helper_ends_it
            dropping_the_input_ends_a_helper
            a_read_only_mount_is_not_written_to
            a_folder_of_the_host_is_seen
            a_helper_needs_what_it_mounts
            a_helper_needs_its_image
            helpers_are_listed
            a_helper_is_removed
            a_helper_that_nobody_reads_is_removed
            only_helpers_are_removed
            one_helper_of_a_name_runs
            an_ended_helper_tells_how
            a_kept_helper_starts_again
            a_helper_that_is_kept_no_more_ends
            a_kept_helper_is_removed
            only_helpers_are_kept
            a_guardian_may_write_to_its_own_file_system
        }
    };
    (@promises $name:ident, $subject:expr; $($promise:ident)+) => {
        mod $name {
            #[allow(unused_imports, reason = "the expression may use what is around it")]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    let subject: Option<$crate::contracts::container_runtime::Subject> = $subject.await;
                    if let Some(subject) = subject {
                        $crate::contracts::container_runtime::$promise(subject).await;
                    }
                }
            )+
        }
    };
}
