//! Who calls: a user and a password in headers of their own or as Basic, or a bearer token.
//!
//! What is presented is compared with what every caller may present, as digests and to the end: the time it takes says
//! nothing about the secrets, their lengths or how many callers there are before the right one.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// A way to present credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The headers `username` and `password`.
    Headers,
    /// `Authorization: Basic`
    Basic,
    /// `Authorization: Bearer`
    Bearer,
}

/// What a caller presents.
#[derive(Debug, Clone)]
pub enum Who {
    /// A user and a password, in headers or as Basic.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// A bearer token.
    Token(SecretString),
}

/// Everybody who may call, and the ways that are open.
#[derive(Clone)]
pub struct Callers {
    ways: Vec<Way>,
    known: Vec<(String, Presented)>,
}

impl std::fmt::Debug for Callers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.known.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Callers").field("ways", &self.ways).field("known", &names).finish()
    }
}

type Presented = [u8; 32];

impl Callers {
    /// Nobody yet.
    #[must_use]
    pub fn new(ways: &[Way]) -> Self {
        Self { ways: ways.to_vec(), known: Vec::new() }
    }

    /// Lets somebody call; `name` is how the log calls them. One who may present several things is let in several times.
    #[must_use]
    pub fn with(mut self, name: &str, who: &Who) -> Self {
        let presented = match who {
            Who::Password { username, password } => pair(username, password.expose_secret()),
            Who::Token(token) => bearer(token.expose_secret()),
        };
        self.known.push((name.to_owned(), presented));
        self
    }

    /// Whether this way is open.
    #[must_use]
    pub fn takes(&self, way: Way) -> bool {
        self.ways.contains(&way)
    }

    /// The name of the caller these headers are from; none if nothing they present is known.
    #[must_use]
    pub fn identify(&self, headers: &HeaderMap) -> Option<&str> {
        let mut caller = None;
        for presented in self.presented(headers) {
            for (name, known) in &self.known {
                let differs = presented.iter().zip(known).fold(0, |differs, (a, b)| differs | (a ^ b));
                if differs == 0 {
                    caller = Some(name.as_str());
                }
            }
        }
        caller
    }

    fn presented(&self, headers: &HeaderMap) -> Vec<Presented> {
        let text =
            |name: &str| headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        let mut all = Vec::new();
        if self.takes(Way::Headers)
            && let (Some(username), Some(password)) = (text("username"), text("password"))
        {
            all.push(pair(username, password));
        }
        let Some((scheme, rest)) = text(header::AUTHORIZATION.as_str()).and_then(|text| text.split_once(' '))
        else {
            return all;
        };
        if self.takes(Way::Basic)
            && scheme.eq_ignore_ascii_case("basic")
            && let Some(both) = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok())
            // A password may contain colons; a user can't.
            && let Some((username, password)) = both.split_once(':')
        {
            all.push(pair(username, password));
        }
        if self.takes(Way::Bearer) && scheme.eq_ignore_ascii_case("bearer") {
            all.push(bearer(rest.trim()));
        }
        all
    }
}

/// The user's length comes first, so that no other division of the same letters is the same pair.
fn pair(username: &str, password: &str) -> Presented {
    let mut digest = Sha256::new_with_prefix(b"password");
    digest.update(username.len().to_le_bytes());
    digest.update(username);
    digest.update(password);
    digest.finalize().into()
}

fn bearer(token: &str) -> Presented {
    Sha256::new_with_prefix(b"bearer").chain_update(token).finalize().into()
}
