//! The testkit's notifier keeps the promises of a notifier.

use std::sync::Arc;

use dory_testkit::contracts::notifier::Subject;
use dory_testkit::fakes::FakeNotifier;

dory_testkit::notifier_contract!(fake_notifier, async {
    let notifier = FakeNotifier::new();
    Some(Subject::new(notifier.port(), Arc::new(notifier)))
});
