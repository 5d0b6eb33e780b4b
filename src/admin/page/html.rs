//! Writing HTML. Markup can only be a literal of this program; whatever else goes onto the page is text, and escaped:
//! messages and reasons hold what platforms said.

use chrono::{DateTime, Datelike as _, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use std::fmt::{self, Display, Write};

/// The longest text shown in full, in characters; the whole of it is a command away.
const TEXT_LIMIT: usize = 400;

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text, between tags or within a quoted attribute.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a String can't fail, and what is shown here is not supposed to.
        let _ = write!(Escaped { to: &mut self.0, left: TEXT_LIMIT }, "{text}");
        self
    }

    /// An instant with its zone, for people and for programs.
    pub(super) fn instant(&mut self, at: DateTime<Utc>, clock: &Clock) -> &mut Self {
        self.markup("<time datetime=\"").text(at.format("%Y-%m-%dT%H:%M:%SZ")).markup("\">");
        self.text(clock.reading(at)).markup(" ").text(clock.local(at).format("%Z")).markup("</time>")
    }

    /// How long ago that was, or how long until it comes.
    pub(super) fn distance(&mut self, at: DateTime<Utc>, clock: &Clock) -> &mut Self {
        let distance = at - clock.now;
        self.markup("<small>");
        match distance < TimeDelta::zero() {
            true => self.text(rough(-distance)).markup(" ago"),
            false => self.markup("in ").text(rough(distance)),
        };
        self.markup("</small>")
    }

    pub(super) fn done(self) -> String {
        self.0
    }
}

/// Writes text so that a browser shows it as it is, cut where it is too long.
struct Escaped<'a> {
    to: &'a mut String,
    left: usize,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left == 0 {
                return Ok(());
            }
            self.left -= 1;
            match c {
                _ if self.left == 0 => self.to.push('…'),
                '&' => self.to.push_str("&amp;"),
                '<' => self.to.push_str("&lt;"),
                '>' => self.to.push_str("&gt;"),
                '"' => self.to.push_str("&quot;"),
                '\'' => self.to.push_str("&#39;"),
                // What stands between the parts of a record's key.
                '\u{1f}' => self.to.push('\u{241f}'),
                // Some would turn the direction of all that follows.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.to.push('\u{fffd}'),
                '\n' => self.to.push('\n'),
                c if c.is_control() => self.to.push(' '),
                c => self.to.push(c),
            }
        }
        Ok(())
    }
}

/// What time it is, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) now: DateTime<Utc>,
    pub(super) zone: Tz,
}

impl Clock {
    /// A zone this build doesn't know is shown in UTC.
    pub(super) fn new(now: DateTime<Utc>, zone: &str) -> Self {
        Self { now, zone: zone.parse().unwrap_or(Tz::UTC) }
    }

    pub(super) fn local(&self, at: DateTime<Utc>) -> DateTime<Tz> {
        at.with_timezone(&self.zone)
    }

    /// As short as it can be: `14:02`, `14:02:30`, `28 Mar 14:02`, `28 Mar 2025 14:02`.
    pub(super) fn reading(&self, at: DateTime<Utc>) -> String {
        let (at, now) = (self.local(at), self.local(self.now));
        let date = match (at.year() == now.year(), at.ordinal() == now.ordinal()) {
            (true, true) => "",
            (true, false) => "%-d %b ",
            (false, _) => "%-d %b %Y ",
        };
        let time = if at.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
        at.format(&format!("{date}{time}")).to_string()
    }
}

/// `12 s`, `4 min`, `3 h`, `5 days`.
pub(super) fn rough(time: TimeDelta) -> String {
    let seconds = time.num_seconds();
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `1 job`, `2 jobs`.
pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_text_holds_it_stays_text() {
        let mut html = Html::default();
        html.markup("<p title=\"").text("\"><script>alert('x')</script>&amp;\u{0}\n\u{202e}").markup("\">");
        html.text("WAW1\u{1f}A-17");
        assert_eq!(
            html.done(),
            "<p title=\"&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp; \n\u{fffd}\">WAW1\u{241f}A-17"
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut html = Html::default();
        html.text("ł".repeat(TEXT_LIMIT + 1));
        assert_eq!(html.done(), format!("{}…", "ł".repeat(TEXT_LIMIT - 1)));
    }

    #[test]
    fn a_reading_says_no_more_than_it_must() {
        let clock = Clock::new("2026-03-29T10:00:00Z".parse().unwrap(), "Europe/Warsaw");
        for (at, reading) in [
            ("2026-03-29T01:00:00Z", "03:00"),
            ("2026-03-28T23:00:30Z", "00:00:30"),
            ("2026-03-28T22:59:00Z", "28 Mar 23:59"),
            ("2025-03-29T01:00:00Z", "29 Mar 2025 02:00"),
        ] {
            assert_eq!(clock.reading(at.parse().unwrap()), reading);
        }
        let unknown = Clock::new(clock.now, "Mars/Olympus");
        assert_eq!(unknown.zone, Tz::UTC);
    }

    #[test]
    fn a_distance_is_rough() {
        for (seconds, text) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (90_000, "25 h"),
            (200_000, "2 days"),
        ] {
            assert_eq!(rough(TimeDelta::seconds(seconds)), text);
        }
    }
}
