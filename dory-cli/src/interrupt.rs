//! Ctrl-C and `kill`: the run ends in order, and the exit code says so.

use dory_core::services::Cancel;
use tokio::signal::unix::{SignalKind, signal};

use crate::ui::Ui;

/// A wish to end that the first SIGINT or SIGTERM speaks.
pub(crate) fn on_signals(ui: &Ui) -> Cancel {
    let cancel = Cancel::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let Ok(mut signals) = signal(kind) else { continue };
        let (cancel, ui) = (cancel.clone(), ui.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if cancel.is_cancelled() {
                    ui.warn("already ending: containers are being started again");
                } else {
                    ui.warn("interrupted: ending in order, containers first");
                    cancel.cancel();
                }
            }
        });
    }
    cancel
}
