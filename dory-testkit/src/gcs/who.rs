//! Who asks, and what they may do.

use jiff::Timestamp;

use super::answer::Refusal;
use super::call::Call;
use super::config::AccessKey;
use super::signature::Presented;

/// Finds the key behind a request, or says why there is none.
pub(super) fn who<'a>(
    call: &Call,
    keys: &'a [AccessKey],
    tokens: &[String],
    now: Timestamp,
) -> Result<&'a AccessKey, Refusal> {
    let Some(authorization) = call.header("authorization") else {
        return Err(Refusal::access_denied(
            "Anonymous caller does not have access to the Google Cloud Storage object.",
        ));
    };
    if let Some(presented) = Presented::read(authorization) {
        let presented = presented?;
        let key = keys.iter().find(|key| key.id == presented.key_id).ok_or_else(|| {
            Refusal::new(403, "InvalidSecurity", "The provided security credentials are not valid.")
                .with("Details", "Unknown access id")
        })?;
        presented.check(call, &key.secret, now)?;
        return Ok(key);
    }
    let token = authorization.strip_prefix("Bearer ");
    match (token.filter(|token| tokens.iter().any(|known| known == token)), keys.first()) {
        (Some(_), Some(key)) => Ok(key),
        _ => Err(Refusal::new(401, "AuthenticationRequired", "Authentication required.")),
    }
}
