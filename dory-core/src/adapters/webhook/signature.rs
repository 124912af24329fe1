//! Signatures as Standard Webhooks has them.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::secret::Secret;

/// What a secret in base 64 begins with.
const PREFIX: &str = "whsec_";

/// The header's value: HMAC-SHA256 over id, time and body, in base 64. The key is what follows `whsec_` in base 64, or the
/// secret as it is.
pub(super) fn signature(secret: &Secret, id: &str, seconds: &str, body: &[u8]) -> String {
    let plain = || secret.expose().as_bytes().to_vec();
    let key = secret.expose().strip_prefix(PREFIX).and_then(|text| BASE64.decode(text.as_bytes()).ok());
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&key.unwrap_or_else(plain)) else {
        unreachable!("an HMAC takes a key of any length");
    };
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_of_the_specification() {
        // The example of the reference implementations.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn any_text_can_be_a_secret() {
        let (one, other) = (Secret::new("hunter2"), Secret::new("whsec_not base 64"));
        let signed = |secret| signature(secret, "id", "1", b"{}");
        assert!(signed(&one) != signed(&other) && signed(&one) == signed(&Secret::new("hunter2")));
    }
}
