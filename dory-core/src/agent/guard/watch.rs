//! Watching over a run whose containers may stand still.

use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

use super::memory::{Memory, Stage};
use super::protocol::{BEAT, BEATS_MISSED, Order, Trigger, Word, write_line};
use crate::domain::guard::GuardPlan;
use crate::ports::Clock;

/// Heeds Dory's orders until one ends the watch, which gives `None`, or until something is wrong.
///
/// Silence is counted in rounds and not in seconds: when the host itself slept, one round is over, and Dory gets the
/// others to show that it woke up too.
pub(super) async fn watch(
    orders: &mut mpsc::Receiver<Order>,
    output: &mut (impl AsyncWrite + Send + Unpin),
    memory: &Memory,
    clock: &dyn Clock,
    plan: &GuardPlan,
) -> Option<Trigger> {
    let armed_at = clock.monotonic();
    let mut silent_rounds = 0;
    loop {
        let order = tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(order) => Some(order),
                None => return Some(Trigger::Closed),
            },
            () = clock.sleep(BEAT) => None,
        };
        silent_rounds = if order.is_some() { 0 } else { silent_rounds + 1 };
        let kept = match order {
            Some(Order::Writing) => Some(memory.keep(Stage::Writing)),
            Some(Order::Written) => Some(memory.keep(Stage::Armed)),
            Some(Order::Disarm) => {
                // Whoever is started again after this has nothing to do, and must know it. If that cannot be kept, all
                // that comes of it is that what runs is found running.
                let _ = memory.keep(Stage::Disarmed);
                let _ = write_line(output, &Word::Done).await;
                return None;
            }
            Some(Order::Hello { .. } | Order::Beat) | None => None,
        };
        if let Some(kept) = kept {
            let word = kept.map_or_else(|error| Word::Refused(error.to_record()), |()| Word::Done);
            if write_line(output, &word).await.is_err() {
                return Some(Trigger::Closed);
            }
        }
        if silent_rounds >= BEATS_MISSED {
            return Some(Trigger::Silence);
        }
        if clock.monotonic().saturating_sub(armed_at) >= plan.stop_limit() {
            return Some(Trigger::TooLong);
        }
    }
}
