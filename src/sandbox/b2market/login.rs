//! Tokens that look like the platform's: a JWT whose payload says when it was issued and when it ends.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::time::Duration;

/// The tokens that were issued, each with the end of its validity in epoch seconds.
#[derive(Debug)]
pub(super) struct Tokens {
    lifetime: Duration,
    issued: HashMap<String, i64>,
}

impl Tokens {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime, issued: HashMap::new() }
    }

    /// A token for a user who may, or may not, create.
    pub(super) fn issue(&mut self, username: &str, may_post: bool, now: DateTime<Utc>) -> String {
        let issued_at = now.timestamp();
        let ends = issued_at.saturating_add_unsigned(self.lifetime.as_secs());
        let payload = serde_json::json!({
            "iat": issued_at,
            "exp": ends,
            "roles": {"GET": true, "POST": may_post, "DELETE": true, "PUT": true},
            "username": username,
        });
        let signature: [u8; 32] = rand::random();
        let token = format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256"}"#),
            URL_SAFE_NO_PAD.encode(payload.to_string()),
            URL_SAFE_NO_PAD.encode(signature),
        );
        self.issued.retain(|_, ends| *ends > issued_at);
        self.issued.insert(token.clone(), ends);
        token
    }

    pub(super) fn admits(&self, token: &str, now: DateTime<Utc>) -> bool {
        self.issued.get(token).is_some_and(|ends| now.timestamp() < *ends)
    }

    pub(super) fn clear(&mut self) {
        self.issued.clear();
    }
}
