//! Who asks, and what they may do.

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde::Deserialize;

use super::answer::Refusal;
use super::call::Call;
use super::config::{AccessKey, GcsConfig};
use super::signature::Presented;

/// Finds the key behind a request, or says why there is none.
pub(super) fn who<'a>(call: &Call, config: &'a GcsConfig, now: Timestamp) -> Result<&'a AccessKey, Refusal> {
    let Some(authorization) = call.header("authorization") else {
        return Err(Refusal::access_denied(
            "Anonymous caller does not have access to the Google Cloud Storage object.",
        ));
    };
    if let Some(presented) = Presented::read(authorization) {
        let presented = presented?;
        let key = config.keys.iter().find(|key| key.id == presented.key_id).ok_or_else(|| {
            Refusal::new(403, "InvalidSecurity", "The provided security credentials are not valid.")
                .with("Details", "Unknown access id")
        })?;
        presented.check(call, &key.secret, now)?;
        return Ok(key);
    }
    let known = authorization.strip_prefix("Bearer ").is_some_and(|token| {
        config.tokens.iter().any(|known| known == token) || is_self_signed(token, &config.service_accounts, now)
    });
    match config.keys.first() {
        Some(key) if known => Ok(key),
        _ => Err(Refusal::new(401, "AuthenticationRequired", "Authentication required.")),
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: i64,
}

/// Whether `token` says that it comes from one of `accounts` and is not over: <https://google.aip.dev/auth/4111>.
fn is_self_signed(token: &str, accounts: &[String], now: Timestamp) -> bool {
    let claims = token.split('.').nth(1).and_then(|part| BASE64URL_NOPAD.decode(part.as_bytes()).ok());
    let claims = claims.and_then(|bytes| serde_json::from_slice::<Claims>(&bytes).ok());
    claims.is_some_and(|claims| {
        accounts.contains(&claims.iss) && claims.sub == claims.iss && claims.exp > now.as_second()
    })
}
