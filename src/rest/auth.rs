//! How requests prove who sends them: fixed headers, Basic, or a token from a login request.
//!
//! Promises: one login at a time for all workers of a connection; a platform that refuses is never hammered with
//! logins; what is secret is in no message, and is taken out of the platform's own words should it echo it.
//! Sending the login request is left to the client.

use super::request::{Answer, RESERVED};
use super::said::CUT;
use crate::connection::{Auth, Login, RestConnection};
use crate::transfer::{Class, Failure};
use crate::words::Text;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use percent_encoding::utf8_percent_encode;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a token is taken to live that doesn't say (B2Market contract §2).
const UNKNOWN_LIFE: Duration = Duration::from_secs(3600);
/// The wait after the first refused login; it doubles with each further one.
const FIRST_HOLD: Duration = Duration::from_secs(60);
/// The longest wait after a refused login.
const LONGEST_HOLD: Duration = Duration::from_secs(15 * 60);
/// Shorter texts are not taken out of messages: it would only garble them.
const SHORTEST_REDACTED: usize = 4;

/// What is shown in the place of a secret.
pub(super) const SECRET: &str = "[secret]";

/// What goes with a request to prove who sends it, and must not be shown.
#[derive(Clone, Default)]
pub(super) struct Proof {
    pub(super) headers: HeaderMap,
    /// Each in every form that is known.
    secrets: Vec<SecretString>,
    /// What the token says its bearer may do.
    roles: Option<Map<String, Value>>,
    /// Rises with each login, so that whoever was refused knows whether somebody else has renewed since.
    pub(super) number: u64,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Proof {
    fn of(connection: &RestConnection) -> Result<Self, Failure> {
        let mut proof = Self::default();
        for (name, value) in &connection.headers {
            proof.add(name, value.expose(), "", matches!(value, Text::Secret(_)))?;
        }
        match &connection.auth {
            Auth::Headers => {}
            Auth::Basic { user, password } => {
                let pair = STANDARD.encode(format!("{}:{}", user.expose(), password.expose()));
                proof.add(AUTHORIZATION.as_str(), &pair, "Basic ", true)?;
                proof.hide(password);
            }
            Auth::Login(login) => login.body.iter().for_each(|(_, value)| proof.hide(value)),
        }
        Ok(proof)
    }

    /// Adds a header; one of the same name is replaced.
    fn add(&mut self, name: &str, value: &str, prefix: &str, is_secret: bool) -> Result<(), Failure> {
        let bad = |what| Failure::new(Class::Config, format!("header `{name}`: {what}"));
        let header = HeaderName::try_from(name).map_err(|_| bad("this is not a header's name"))?;
        let mut content = HeaderValue::try_from(format!("{prefix}{value}"))
            .map_err(|_| bad("its value has characters that a header can't hold"))?;
        content.set_sensitive(is_secret);
        self.headers.insert(header, content);
        if is_secret {
            self.keep_out(value);
        }
        Ok(())
    }

    fn hide(&mut self, text: &Text) {
        if let Text::Secret(secret) = text {
            self.keep_out(secret.expose_secret());
        }
    }

    /// Remembers a secret in each form in which it may be met: as it is, inside JSON text, which some platforms write with
    /// `\/`, and in an address.
    fn keep_out(&mut self, secret: &str) {
        if secret.len() < SHORTEST_REDACTED {
            return;
        }
        let json = Value::from(secret).to_string();
        let json = json[1..json.len() - 1].to_owned();
        let in_address = utf8_percent_encode(secret, RESERVED).to_string();
        for form in [secret.to_owned(), json.replace('/', "\\/"), json, in_address] {
            if !self.secrets.iter().any(|known| known.expose_secret() == form) {
                self.secrets.push(SecretString::from(form));
            }
        }
    }

    /// The text without the secrets that an echoing platform may have put into it.
    pub(super) fn redact(&self, mut text: String) -> String {
        for secret in &self.secrets {
            let secret = secret.expose_secret();
            if text.contains(secret) {
                text = text.replace(secret, SECRET);
            }
            text = without_beginning(text, secret);
        }
        text
    }

    /// Its headers, without what is secret.
    pub(super) fn shown(&self) -> impl Iterator<Item = (String, String)> {
        self.headers.iter().map(|(name, value)| {
            let shown =
                if value.is_sensitive() { SECRET.into() } else { String::from_utf8_lossy(value.as_bytes()) };
            (name.to_string(), shown.into_owned())
        })
    }

    /// Whether the token lets its bearer use the method; one that doesn't speak of methods does.
    pub(super) fn allows(&self, method: &str) -> bool {
        let Some(roles) = &self.roles else { return true };
        let speaks_of_methods =
            ["GET", "POST", "PUT", "PATCH", "DELETE"].iter().any(|m| roles.contains_key(*m));
        !speaks_of_methods || roles.get(method) == Some(&Value::Bool(true))
    }
}

/// The text without the beginning of a secret that was cut off with the words it stood in.
fn without_beginning(mut text: String, secret: &str) -> String {
    let mut from = 0;
    while let Some(cut) = text[from..].find(CUT).map(|at| from + at) {
        let ends = (SHORTEST_REDACTED..secret.len()).rev().filter(|end| secret.is_char_boundary(*end));
        let left = ends.map(|end| &secret[..end]).find(|left| text[..cut].ends_with(left)).map(str::len);
        let mut end = cut;
        if let Some(left) = left {
            text.replace_range(cut - left..cut, SECRET);
            end = cut - left + SECRET.len();
        }
        from = end + CUT.len_utf8();
    }
    text
}

/// How the requests of one connection are proven.
#[derive(Debug)]
pub(super) enum Session {
    /// By headers that never change.
    Fixed(Arc<Proof>),
    /// By a token that is renewed.
    Login(Box<Renewed>),
}

/// A token, and what is needed to get another.
#[derive(Debug)]
pub(super) struct Renewed {
    pub(super) login: Login,
    /// What goes with the login request itself.
    pub(super) base: Arc<Proof>,
    /// Locked while a login is on the way, which makes it the only one.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<(Arc<Proof>, Instant)>,
    logins: u64,
    /// After a login that was refused.
    login_hold: Hold,
    /// After a token that was refused although it was fresh: another login won't help.
    renewal_hold: Hold,
}

impl Session {
    pub(super) fn new(connection: &RestConnection) -> Result<Self, Failure> {
        let proof = Arc::new(Proof::of(connection)?);
        Ok(match &connection.auth {
            Auth::Headers | Auth::Basic { .. } => Self::Fixed(proof),
            Auth::Login(login) => Self::Login(Box::new(Renewed {
                login: Login::clone(login),
                base: proof,
                state: Mutex::default(),
            })),
        })
    }

    /// Whether an answer with this status calls for a new token.
    pub(super) fn renews_on(&self, status: u16) -> bool {
        matches!(self, Self::Login(renewed) if renewed.login.renew_on.contains(&status))
    }
}

impl Renewed {
    /// The login request's body.
    pub(super) fn body(&self) -> Bytes {
        let fields = self.login.body.iter();
        let fields: Map<_, _> =
            fields.map(|(name, value)| (name.clone(), Value::from(value.expose()))).collect();
        Value::Object(fields).to_string().into()
    }

    /// The current token, or a fresh one if there is none, it is about to expire, or it is the one numbered `refused`.
    /// `send` is the login request; it is only sent where it is needed. Its transient failures are passed on.
    pub(super) async fn proof(
        &self,
        refused: Option<u64>,
        send: impl Future<Output = Result<Answer, Failure>> + Send,
    ) -> Result<Arc<Proof>, Failure> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some((proof, renew_at)) = &state.token
            && now < *renew_at
            && refused != Some(proof.number)
        {
            return Ok(Arc::clone(proof));
        }
        state.login_hold.check(now)?;
        if refused.is_some() {
            state.renewal_hold.check(now)?;
        }
        let answer = match send.await {
            Err(failure) if failure.class == Class::Transient => return Err(failure),
            answer => answer,
        };
        let number = state.logins + 1;
        match answer.and_then(|answer| self.read(&answer, number)) {
            Ok((proof, renew_at)) => {
                state.logins = number;
                state.login_hold = Hold::default();
                let proof = Arc::new(proof);
                state.token = Some((Arc::clone(&proof), renew_at));
                Ok(proof)
            }
            Err(failure) => {
                state.token = None;
                Err(state.login_hold.after(failure))
            }
        }
    }

    /// Remembers what came of repeating a request with a fresh token: `refused` again, or accepted.
    pub(super) async fn repeated(&self, refused: Option<&Failure>) {
        let mut state = self.state.lock().await;
        match refused {
            Some(failure) => {
                state.renewal_hold.after(failure.clone());
            }
            None => state.renewal_hold = Hold::default(),
        }
    }

    /// The proof in a login's answer, and when it is to be renewed.
    fn read(&self, answer: &Answer, number: u64) -> Result<(Proof, Instant), Failure> {
        let login = &self.login;
        if !(200..300).contains(&answer.status) {
            return Err(Failure::new(Class::Auth, format!("the login was refused: {}", answer.refusal())));
        }
        let document: Option<Value> = answer.body.bytes().and_then(|body| serde_json::from_slice(body).ok());
        let token = document.as_ref().and_then(|document| login.token.find(document)).and_then(Value::as_str);
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            let message = format!("the login's answer has no token in `{}`", login.token);
            return Err(Failure::new(Class::Auth, message));
        };
        let mut proof = Proof { number, ..Proof::clone(&self.base) };
        proof.add(&login.header, token, &login.prefix, true)?;
        let claims = claims(token).unwrap_or_default();
        let life = life(&claims, answer.date).unwrap_or(UNKNOWN_LIFE);
        // A margin as long as the life itself would mean a login for every request.
        let renew_at = answer.received + life.saturating_sub(login.margin).max(life / 2);
        if let Some(Value::Object(roles)) = claims.get("roles") {
            proof.roles = Some(roles.clone());
        }
        Ok((proof, renew_at))
    }
}

/// A time in which nothing is tried, with the reason.
#[derive(Debug, Default)]
struct Hold {
    failures: u32,
    last: Option<(Instant, Failure)>,
}

impl Hold {
    /// Starts the next, longer one.
    fn after(&mut self, failure: Failure) -> Failure {
        let doubled = FIRST_HOLD.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.last = Some((Instant::now() + doubled.min(LONGEST_HOLD), failure.clone()));
        failure
    }

    fn check(&self, now: Instant) -> Result<(), Failure> {
        match &self.last {
            Some((until, failure)) if now < *until => {
                let seconds = until.duration_since(now).as_secs() + 1;
                let message = format!("{failure}; no new login for another {seconds} s");
                Err(Failure::new(failure.class, message))
            }
            _ => Ok(()),
        }
    }
}

/// The claims of a JWT, unverified: they only say when to renew and what is allowed.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let payload = token.split('.').nth(1)?.trim_end_matches('=');
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// How long a token lives, by the platform's clock alone: a wrong local one then breaks nothing.
fn life(claims: &Map<String, Value>, answered: Option<DateTime<Utc>>) -> Option<Duration> {
    let seconds = |claim: &str| claims.get(claim).and_then(Value::as_f64);
    let expires = seconds("exp")?;
    let issued = seconds("iat").or(answered.map(|at| at.timestamp() as f64))?;
    Duration::try_from_secs_f64(expires - issued).ok().filter(|life| !life.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::request::Body;
    use crate::words::FieldPath;
    use chrono::TimeZone as _;
    use serde_json::json;

    fn token(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn a_token_lives_as_long_as_the_platforms_own_clock_says() {
        let answered = Utc.timestamp_opt(1_700_000_000, 0).single();
        for (claim, seconds) in [
            (json!({"iat": 100, "exp": 7300}), Some(7200)),
            (json!({"iat": 100.5, "exp": 160.5}), Some(60)),
            (json!({"exp": 1_700_000_600}), Some(600)),
            (json!({"iat": 100}), None),
            (json!({"iat": 100, "exp": 100}), None),
            (json!({"iat": 100, "exp": 50}), None),
            (json!({"iat": "x", "exp": "y"}), None),
        ] {
            let life = claims(&token(&claim)).and_then(|claims| life(&claims, answered));
            assert_eq!(life, seconds.map(Duration::from_secs), "{claim}");
        }
        for unreadable in ["", "opaque", "a.b.c", "a.!!.c", "..", "e30.bnVsbA.x"] {
            assert_eq!(claims(unreadable), None, "{unreadable}");
        }
    }

    #[test]
    fn roles_that_speak_of_methods_must_name_the_method() {
        let allows = |roles: Value, method| {
            Proof { roles: roles.as_object().cloned(), ..Proof::default() }.allows(method)
        };
        let some = json!({"GET": true, "POST": false, "DELETE": true, "PUT": true});
        assert!(allows(some.clone(), "GET"));
        assert!(!allows(some.clone(), "POST"));
        assert!(!allows(some, "PATCH"));
        assert!(allows(json!({"admin": true}), "POST"));
        assert!(allows(json!(["ROLE_USER"]), "POST"));
    }

    #[test]
    fn an_echoed_secret_is_taken_out_and_a_short_one_does_not_garble() {
        let mut proof = Proof::default();
        proof.add("x-api-key", "k3y-9917", "", true).unwrap();
        proof.add("pin", "a", "", true).unwrap();
        assert_eq!(proof.redact("bad key k3y-9917 at all".to_owned()), "bad key [secret] at all");
        assert!(!format!("{proof:?}").contains("9917"));
    }

    fn renewed() -> Renewed {
        let login = Login {
            path: "/login".to_owned(),
            body: Vec::new(),
            token: FieldPath::new("token").unwrap(),
            renew_on: vec![403],
            header: "x-token".to_owned(),
            prefix: "T ".to_owned(),
            margin: Duration::from_secs(120),
        };
        Renewed { login, base: Arc::default(), state: Mutex::default() }
    }

    fn login(status: u16, claims: &Value) -> Result<Answer, Failure> {
        let head = Bytes::from(json!({"token": token(claims)}).to_string());
        let len = head.len() as u64;
        Ok(Answer {
            status,
            date: None,
            took: Duration::ZERO,
            charset: None,
            content_type: None,
            body: Body { head, spooled: None, len },
            location: None,
            hint: None,
            received: Instant::now(),
            shown: "POST /login".to_owned(),
            proof: Arc::default(),
        })
    }

    async fn number(renewed: &Renewed, claims: &Value) -> u64 {
        renewed.proof(None, async { login(200, claims) }).await.unwrap().number
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_it_expires_but_not_for_every_request() {
        // By a platform whose clock stands in 1970, as ours may.
        let opaque = json!("no claims");
        for (claims, seconds) in
            [(json!({"iat": 5, "exp": 7205}), 7080), (json!({"iat": 0, "exp": 130}), 65), (opaque, 3480)]
        {
            let renewed = renewed();
            assert_eq!(number(&renewed, &claims).await, 1);
            tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
            assert_eq!(number(&renewed, &claims).await, 1, "{claims}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(number(&renewed, &claims).await, 2, "{claims}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_refused_login_a_minute_passes_before_the_next() {
        let renewed = renewed();
        let claims = json!({});
        let refused = renewed.proof(None, async { login(401, &claims) }).await.unwrap_err();
        assert_eq!(refused.class, Class::Auth);
        for seconds in [1, 58] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            let unsent = async { panic!("a login is sent within the minute") };
            let held = renewed.proof(None, unsent).await.unwrap_err();
            assert!(held.message.starts_with(&refused.message), "{held}");
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(number(&renewed, &claims).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn holds_double_from_one_minute_to_a_quarter_of_an_hour() {
        let mut hold = Hold::default();
        for seconds in [60, 120, 240, 480, 900, 900] {
            assert!(hold.check(Instant::now()).is_ok());
            hold.after(Failure::new(Class::Auth, "refused"));
            let at = Instant::now();
            assert!(hold.check(at + Duration::from_secs(seconds) - Duration::from_millis(1)).is_err());
            tokio::time::advance(Duration::from_secs(seconds)).await;
        }
    }
}
