//! Choosing among servers or groups by weight.

/// Smooth weighted round robin: in each cycle every choice comes exactly as often as its weight says, and the
/// choices of a heavy one are spread over the cycle. A weight of 0 is never chosen.
///
/// For one worker: it is neither shared nor atomic.
#[derive(Debug, Clone)]
pub struct RoundRobin {
    choices: Vec<Choice>,
}

#[derive(Debug, Clone)]
struct Choice {
    weight: i64,
    /// The choice's debt of requests: grows by its weight at each pick, and pays the whole round when picked.
    credit: i64,
}

impl RoundRobin {
    /// A round robin with one choice for each weight, by position.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let choices = weights.into_iter().map(|weight| Choice { weight: i64::from(weight), credit: 0 });
        Self { choices: choices.collect() }
    }

    /// The position of the next choice among those that are `usable`; `None` if there is none.
    ///
    /// One that was not usable comes back with the credit it had, so that it is not flooded when it returns.
    pub fn pick(&mut self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let mut round = 0;
        let mut best: Option<(usize, i64)> = None;
        for (index, choice) in self.choices.iter_mut().enumerate() {
            if choice.weight == 0 || !usable(index) {
                continue;
            }
            round += choice.weight;
            choice.credit += choice.weight;
            if best.is_none_or(|(_, credit)| choice.credit > credit) {
                best = Some((index, choice.credit));
            }
        }
        let (index, _) = best?;
        if let Some(choice) = self.choices.get_mut(index) {
            choice.credit -= round;
        }
        Some(index)
    }
}

/// A weighted choice without state: `random` is spread over the sum of the weights.
///
/// Returns the position, or `None` if every weight is 0.
pub(crate) fn weighted(weights: impl Iterator<Item = u32> + Clone, random: u64) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    // The high half of the product is even over 0..total (Lemire), and takes the best bits of `random`.
    let mut left = u64::try_from((u128::from(random) * u128::from(total)) >> 64).unwrap_or(0);
    for (index, weight) in weights.enumerate() {
        let weight = u64::from(weight);
        if left < weight {
            return Some(index);
        }
        left -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn picks_are_spread() {
        let mut balance = RoundRobin::new([5, 1, 1]);
        let picks: Vec<_> = (0..7).filter_map(|_| balance.pick(|_| true)).collect();
        assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn nothing_to_pick() {
        assert_eq!(RoundRobin::new([]).pick(|_| true), None);
        assert_eq!(RoundRobin::new([0, 0]).pick(|_| true), None);
        assert_eq!(RoundRobin::new([1, 2]).pick(|_| false), None);
        assert_eq!(RoundRobin::new([1, 2, 0]).pick(|index| index != 1), Some(0));
        assert_eq!(weighted([0, 0].into_iter(), 7), None);
        assert_eq!(weighted([].into_iter(), 7), None);
    }

    #[test]
    fn a_random_choice_follows_the_weights() {
        let pick = |random| weighted([1, 0, 3].into_iter(), random);
        assert_eq!(pick(0), Some(0));
        assert_eq!(pick((1 << 62) - 1), Some(0));
        assert_eq!(pick(1 << 62), Some(2));
        assert_eq!(pick(u64::MAX), Some(2));
        assert_eq!(weighted([u32::MAX; 9].into_iter(), u64::MAX), Some(8));
    }

    proptest! {
        #[test]
        fn a_cycle_is_exactly_in_proportion(
            weights in proptest::collection::vec(0_u32..20, 0..8),
            usable in proptest::collection::vec(any::<bool>(), 8),
        ) {
            let mut balance = RoundRobin::new(weights.iter().copied());
            let open = |index: usize| usable[index];
            let cycle: u32 = weights.iter().enumerate().filter(|(index, _)| open(*index)).map(|(_, w)| w).sum();
            let mut counts = vec![0_u32; weights.len()];
            for _ in 0..cycle * 2 {
                if let Some(index) = balance.pick(open) {
                    counts[index] += 1;
                }
            }
            for (index, weight) in weights.iter().enumerate() {
                prop_assert_eq!(counts[index], if open(index) { weight * 2 } else { 0 });
            }
        }
    }
}
