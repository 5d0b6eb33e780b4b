//! A feed: events with rising ids, and with each answer the server's own next id. The watermark is that next id, taken
//! once all events before it are stored or parked. A feed that goes back or stands still has been reset on the other
//! side; starting it again would deliver years of events, or skip some, so it stops until a person has looked.

/// Where a feed starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedRules {
    /// The id the first run asks for.
    pub start: u64,
    /// As many ids before the watermark are asked for again: event 15 may become visible before event 14.
    pub reread: u64,
}

/// Why a feed can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The server's next id lies before one it gave earlier.
    #[error(
        "the feed went back: the next id is {next}, and {known} was reached before. Was the platform reset? Nothing is read until \
         the watermark is set (cadenced watermark set) to where it shall go on"
    )]
    Back {
        /// What the server says comes next.
        next: u64,
        /// What was reached before.
        known: u64,
    },
    /// There are events, and the next id is the one that was asked for.
    #[error(
        "the feed stands still: it has {events} events from id {asked} on, and says that {asked} comes next"
    )]
    Still {
        /// The id that was asked for.
        asked: u64,
        /// How many events came.
        events: u64,
    },
    /// There are events and no next id.
    #[error("the feed has {events} events from id {asked} on and does not say which id comes next")]
    Unsaid {
        /// The id that was asked for.
        asked: u64,
        /// How many events came.
        events: u64,
    },
}

/// A feed being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// How far earlier runs came.
    known: Option<u64>,
    /// The id to ask for next.
    asks: u64,
    done: bool,
}

impl Feed {
    /// Goes on from the watermark, or starts.
    #[must_use]
    pub fn new(known: Option<u64>, rules: &FeedRules) -> Self {
        let asks =
            known.map_or(rules.start, |known| known.saturating_sub(rules.reread).max(rules.start.min(known)));
        Self { known, asks, done: false }
    }

    /// The id to ask for next; nothing at the end.
    #[must_use]
    pub fn ask(&self) -> Option<u64> {
        (!self.done).then_some(self.asks)
    }

    /// Takes in an answer with so many events; gives the watermark to commit once they are stored or parked.
    pub fn page(&mut self, next: Option<u64>, events: u64) -> Result<Option<u64>, Broken> {
        let asked = self.asks;
        let next = match next {
            Some(next) => next,
            // An empty answer may well leave it out.
            None if events == 0 => asked,
            None => return Err(Broken::Unsaid { asked, events }),
        };
        if next < asked {
            return Err(Broken::Back { next, known: self.known.unwrap_or(asked).max(asked) });
        }
        if events > 0 && next == asked {
            return Err(Broken::Still { asked, events });
        }
        self.asks = next;
        self.done = events == 0;
        match self.known {
            // What is read again lies before the watermark; a feed that ends there has lost what came after.
            Some(known) if next < known && self.done => Err(Broken::Back { next, known }),
            Some(known) if next <= known => Ok(None),
            _ => {
                self.known = Some(next);
                Ok(Some(next))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: FeedRules = FeedRules { start: 1, reread: 0 };

    #[test]
    fn a_feed_is_read_from_its_start_until_it_is_empty() {
        let mut feed = Feed::new(None, &RULES);
        assert_eq!(feed.ask(), Some(1));
        assert_eq!(feed.page(Some(101), 100), Ok(Some(101)));
        assert_eq!(feed.ask(), Some(101));
        assert_eq!(feed.page(Some(101), 0), Ok(None));
        assert_eq!(feed.ask(), None);
    }

    #[test]
    fn an_empty_answer_may_still_move_on() {
        // The events in between were of types that were not asked for.
        let mut feed = Feed::new(Some(101), &RULES);
        assert_eq!((feed.page(Some(140), 0), feed.ask()), (Ok(Some(140)), None));
        assert_eq!(Feed::new(Some(101), &RULES).page(None, 0), Ok(None));
    }

    #[test]
    fn a_feed_that_went_back_or_stands_still_stops() {
        let feed = || Feed::new(Some(101), &RULES);
        assert_eq!(feed().page(Some(7), 6), Err(Broken::Back { next: 7, known: 101 }));
        assert_eq!(feed().page(Some(1), 0), Err(Broken::Back { next: 1, known: 101 }));
        assert_eq!(feed().page(Some(101), 3), Err(Broken::Still { asked: 101, events: 3 }));
        assert_eq!(feed().page(None, 3), Err(Broken::Unsaid { asked: 101, events: 3 }));
    }

    #[test]
    fn the_last_ids_are_asked_for_again_and_the_watermark_stays_until_it_is_passed() {
        let rules = FeedRules { start: 1, reread: 50 };
        let mut feed = Feed::new(Some(101), &rules);
        assert_eq!(feed.ask(), Some(51));
        assert_eq!(feed.page(Some(71), 20), Ok(None));
        assert_eq!(feed.page(Some(104), 33), Ok(Some(104)));
        assert_eq!(feed.page(Some(104), 0), Ok(None));
        assert_eq!(Feed::new(Some(20), &rules).ask(), Some(1));
        // A watermark a person set before the start is where it goes on.
        assert_eq!(Feed::new(Some(3), &FeedRules { start: 10, reread: 0 }).ask(), Some(3));
    }

    #[test]
    fn a_reset_within_the_ids_read_again_is_noticed_at_the_end() {
        let mut feed = Feed::new(Some(101), &FeedRules { start: 1, reread: 50 });
        assert_eq!(feed.page(Some(60), 9), Ok(None));
        assert_eq!(feed.page(Some(60), 0), Err(Broken::Back { next: 60, known: 101 }));
    }
}
