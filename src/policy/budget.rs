//! The run's budget of retries: an outage must not multiply the load on those who are well, nor on ourselves.
//!
//! It decides whether a failed request may be tried again, from how many requests and retries there were: a fifth of all
//! requests may be retries. What is saved in good times is not kept for ever, or a long run could spend it all on an
//! outage at its end. It knows no URL and no host. After gRPC's retry throttling and Finagle's retry budget.

/// Requests for which one retry is earned.
const REQUESTS: u32 = 5;

/// So many URLs may use all their retries before any is earned: short lists get what `--retries` says.
const FREE_URLS: u32 = 50;

/// Retries that may be saved up, beside the free ones.
const MOST_SAVED: u32 = 1000;

/// See the module. Counted in fifths of a retry.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    /// Below 0 after promises to more requests than there were retries for: it is paid back.
    balance: i64,
    most: i64,
}

impl RetryBudget {
    /// Of a run that tries each URL so many times after the first.
    #[must_use]
    pub fn new(retries: u32) -> Self {
        let free = i64::from(FREE_URLS) * i64::from(retries);
        let price = i64::from(REQUESTS);
        Self { balance: free * price, most: (free + i64::from(MOST_SAVED)) * price }
    }

    /// A request was made.
    pub fn earn(&mut self) {
        self.balance = (self.balance + 1).min(self.most);
    }

    /// Whether there is a retry to spend.
    #[must_use]
    pub fn has_one(&self) -> bool {
        self.balance >= i64::from(REQUESTS)
    }

    /// A retry is made. It may have been promised before the last one was gone.
    pub fn spend(&mut self) {
        self.balance = self.balance.saturating_sub(i64::from(REQUESTS));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_lists_have_all_their_retries() {
        for retries in [1, 2, 8] {
            let mut budget = RetryBudget::new(retries);
            for _ in 0..50 * retries {
                assert!(budget.has_one());
                budget.spend();
            }
            assert!(!budget.has_one());
        }
        assert!(!RetryBudget::new(0).has_one());
    }

    #[test]
    fn a_fifth_of_a_long_run() {
        let mut budget = RetryBudget::new(2);
        let (mut requests, mut retries) = (0_u32, 0_u32);
        for _ in 0..100_000 {
            budget.earn();
            requests += 1;
            while budget.has_one() {
                budget.spend();
                budget.earn();
                (requests, retries) = (requests + 1, retries + 1);
            }
        }
        assert!(retries - 100 <= requests / 5 && retries >= requests / 5 - 1, "{retries} of {requests}");
    }

    #[test]
    fn savings_have_an_end() {
        let mut budget = RetryBudget::new(2);
        for _ in 0..1_000_000 {
            budget.earn();
        }
        let mut retries = 0;
        while budget.has_one() {
            budget.spend();
            retries += 1;
        }
        assert_eq!(retries, 1100);
    }

    proptest! {
        #[test]
        fn never_more_than_the_free_ones_and_a_fifth(
            retries in 0_u32..10,
            requests in proptest::collection::vec(any::<bool>(), 0..3000),
        ) {
            let mut budget = RetryBudget::new(retries);
            let (mut made, mut granted) = (0_u32, 0_u32);
            for wants in requests {
                budget.earn();
                made += 1;
                if wants && budget.has_one() {
                    budget.spend();
                    granted += 1;
                }
                prop_assert!(granted <= 50 * retries + made / 5);
            }
        }
    }
}
