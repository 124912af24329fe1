//! How often somebody may guess a password.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often an account's password may be wrong before it is locked.
const PER_ACCOUNT: u32 = 10;

/// How often an address may be wrong, whatever the accounts.
const PER_ADDRESS: u32 = 30;

/// For how long wrong guesses count, and how long a lock holds.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// How many accounts and addresses are remembered.
const MOST: usize = 20_000;

/// What went wrong lately.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<Subject, Failures>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Account(String),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Duration,
}

impl Attempts {
    /// For how long nobody may try this account from this address; `None` where somebody may.
    pub(crate) fn locked(&self, account: &str, address: IpAddr, now: Duration) -> Option<Duration> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        subjects(account, address).into_iter().filter_map(|(subject, most)| all.get(&subject)?.locked(most, now)).max()
    }

    /// Counts a wrong guess, and tells whether it was the one that locks.
    pub(crate) fn failed(&self, account: &str, address: IpAddr, now: Duration) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, failures| now.saturating_sub(failures.last) < WINDOW);
        }
        if all.len() >= MOST {
            // Whoever has so many addresses guesses no faster for it: accounts lock by themselves.
            all.retain(|subject, _| matches!(subject, Subject::Account(_)));
        }
        let mut locks = false;
        for (subject, most) in subjects(account, address) {
            let failures = all.entry(subject).or_insert(Failures { count: 0, last: now });
            if now.saturating_sub(failures.last) >= WINDOW {
                failures.count = 0;
            }
            failures.count += 1;
            failures.last = now;
            locks |= failures.count == most;
        }
        locks
    }

    /// Forgets what went wrong with an account: its owner is in.
    pub(crate) fn succeeded(&self, account: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&Subject::Account(account.to_owned()));
    }
}

impl Failures {
    fn locked(self, most: u32, now: Duration) -> Option<Duration> {
        let left = WINDOW.checked_sub(now.saturating_sub(self.last)).filter(|left| !left.is_zero())?;
        (self.count >= most).then_some(left)
    }
}

fn subjects(account: &str, address: IpAddr) -> [(Subject, u32); 2] {
    [(Subject::Account(account.to_owned()), PER_ACCOUNT), (Subject::Address(whole(address)), PER_ADDRESS)]
}

/// One who has an address of IPv6 has 2⁶⁴ of them.
fn whole(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_account_is_locked_wherever_the_guesses_come_from_and_opens_again() {
        let attempts = Attempts::default();
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        for turn in 0..PER_ACCOUNT {
            assert!(attempts.locked("ada", address(99), at(0)).is_none(), "{turn}");
            let locks = attempts.failed("ada", address(u8::try_from(turn).unwrap()), at(0));
            assert_eq!(locks, turn + 1 == PER_ACCOUNT);
        }
        assert_eq!(attempts.locked("ada", address(99), at(1)), Some(at(899)));
        assert!(attempts.locked("bob", address(99), at(1)).is_none());
        assert!(attempts.locked("ada", address(99), at(900)).is_none());
    }

    #[test]
    fn an_address_is_locked_whatever_the_accounts() {
        let attempts = Attempts::default();
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let other: IpAddr = "2001:db8::2".parse().unwrap();
        for turn in 0..PER_ADDRESS {
            attempts.failed(&format!("user{turn}"), one, at(0));
        }
        assert!(attempts.locked("new", other, at(0)).is_some(), "it is the same network");
        assert!(attempts.locked("new", "2001:db8:0:1::1".parse().unwrap(), at(0)).is_none());
    }

    #[test]
    fn who_gets_in_starts_anew() {
        let attempts = Attempts::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        for _ in 1..PER_ACCOUNT {
            attempts.failed("ada", address, at(0));
        }
        attempts.succeeded("ada");
        attempts.failed("ada", address, at(0));
        assert!(attempts.locked("ada", address, at(0)).is_none());
    }
}
