//! How many retries a connection can afford: a share of its requests, so that a platform in trouble is not sent the
//! multiple of what it could not bear.

/// Retries that don't have to be earned first, so that a rare failure is tried again on a quiet connection too.
const RESERVE: f64 = 10.0;

/// The retries a connection can afford at the moment.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    share: f64,
    saved: f64,
}

impl Budget {
    /// Retries may be this share of the requests, from 0 to 1.
    #[must_use]
    pub fn new(share: f64) -> Self {
        Self { share, saved: RESERVE }
    }

    /// A request is made that is no retry.
    pub fn earn(&mut self) {
        self.saved = (self.saved + self.share).min(RESERVE);
    }

    /// Takes a retry out of the budget; says whether there was one.
    pub fn spend(&mut self) -> bool {
        let is_there = self.share > 0.0 && self.saved >= 1.0;
        if is_there {
            self.saved -= 1.0;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stay_below_their_share_of_the_requests_however_much_fails() {
        let mut budget = Budget::new(0.2);
        let mut retries = 0;
        for _ in 0..1000 {
            budget.earn();
            retries += (0..2).filter(|_| budget.spend()).count();
        }
        let share = retries as f64 / (1000 + retries) as f64;
        assert!((0.15..=0.2).contains(&share), "{retries} retries of 1000 requests");
    }

    #[test]
    fn a_quiet_connection_can_try_again_and_one_without_a_budget_never() {
        let mut quiet = Budget::new(0.2);
        quiet.earn();
        assert!(quiet.spend() && quiet.spend());
        let mut none = Budget::new(0.0);
        none.earn();
        assert!(!none.spend());
    }
}
