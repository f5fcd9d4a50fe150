//! The things, of several, that changed their order.

use std::collections::HashSet;

/// The fewest places that have to be taken out of `places`, which holds none twice, so that the rest ascends: where the
/// things stood before, in their order now.
pub(super) fn moved(places: &[usize]) -> HashSet<usize> {
    // The longest ascending part, by patience sorting: `ends` holds, for each length, where the ascending part of that
    // length with the lowest end ends; `before` leads from each place back to the one before it.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; places.len()];
    let value = |at: usize| places.get(at).copied().unwrap_or_default();
    for (at, place) in places.iter().enumerate() {
        let length = ends.partition_point(|end| value(*end) < *place);
        if let Some(before) = before.get_mut(at) {
            *before = length.checked_sub(1).and_then(|shorter| ends.get(shorter).copied());
        }
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut moved: HashSet<usize> = places.iter().copied().collect();
    let mut next = ends.last().copied();
    while let Some(at) = next {
        moved.remove(&value(at));
        next = before.get(at).copied().flatten();
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_are_moved() {
        for (places, wanted) in [
            (&[][..], &[][..]),
            (&[0, 1, 2, 3], &[]),
            (&[0, 2, 5], &[]),
            (&[3, 0, 1, 2], &[3]),
            (&[1, 2, 0], &[0]),
            (&[0, 4, 1, 2, 3, 5], &[4]),
            (&[4, 1, 2, 0, 3], &[0, 4]),
        ] {
            assert_eq!(moved(places), wanted.iter().copied().collect(), "{places:?}");
        }
        assert_eq!(moved(&[3, 2, 1, 0]).len(), 3);
    }
}
