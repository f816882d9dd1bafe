//! Sets of completion indexes as Jobs write them (`0,2-5,7`). Pure; follows Kubernetes' `indexed_job_utils.go`.

use std::collections::BTreeSet;
use std::fmt::{Display, Formatter, Result};

/// Closed intervals, in order, none touching the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Reads a list as far as it makes sense; what is at or beyond `completions` is left out.
    pub(super) fn parse(text: &str, completions: i32) -> Self {
        let mut all = Self::default();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else { continue };
            if first < 0 || first >= completions {
                continue;
            }
            all.insert(first, last.min(completions - 1));
        }
        all
    }

    fn insert(&mut self, first: i32, last: i32) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        self.0.retain(|(a, b)| {
            let apart = *b < first.saturating_sub(1) || *a > last.saturating_add(1);
            if !apart {
                first = first.min(*a);
                last = last.max(*b);
            }
            apart
        });
        let at = self.0.partition_point(|(a, _)| *a < first);
        self.0.insert(at, (first, last));
    }

    /// These and more.
    pub(super) fn with(&self, more: impl IntoIterator<Item = i32>) -> Self {
        let mut all = self.clone();
        more.into_iter().for_each(|index| all.insert(index, index));
        all
    }

    /// These and those.
    pub(super) fn merged(&self, those: &Self) -> Self {
        let mut all = self.clone();
        those.0.iter().for_each(|(a, b)| all.insert(*a, *b));
        all
    }

    pub(super) fn has(&self, index: i32) -> bool {
        self.0.iter().any(|(a, b)| (*a..=*b).contains(&index))
    }

    pub(super) fn total(&self) -> i32 {
        self.0.iter().map(|(a, b)| b - a + 1).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many indexes are in both.
    pub(super) fn overlap(&self, those: &Self) -> i32 {
        let pairs = self.0.iter().flat_map(|a| those.0.iter().map(move |b| (a, b)));
        pairs.map(|(a, b)| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0)).sum()
    }

    /// The first `count` indexes below `completions` that are not among these.
    pub(super) fn free(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut free = Vec::new();
        let mut candidate = 0;
        for (first, last) in self.0.iter().copied().chain([(completions, completions)]) {
            let room = count - free.len();
            free.extend((candidate..first.min(completions)).take(room));
            candidate = candidate.max(last.saturating_add(1));
            if free.len() >= count {
                break;
            }
        }
        free
    }
}

impl FromIterator<i32> for Indexes {
    fn from_iter<I: IntoIterator<Item = i32>>(iter: I) -> Self {
        let sorted: BTreeSet<i32> = iter.into_iter().collect();
        Self::default().with(sorted)
    }
}

impl Display for Indexes {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            match last - first {
                0 => write!(out, "{comma}{first}")?,
                1 => write!(out, "{comma}{first},{last}")?,
                _ => write!(out, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_and_write() {
        for (text, same) in [
            ("", ""),
            ("0", "0"),
            ("0,1", "0,1"),
            ("0-1", "0,1"),
            ("0,1,2", "0-2"),
            ("5,7-9,x,12", "5,7-9"),
            ("2-40", "2-9"),
            ("3,1", "1,3"),
        ] {
            assert_eq!(Indexes::parse(text, 10).to_string(), same, "{text}");
        }
    }

    #[test]
    fn arithmetic() {
        let some = Indexes::parse("1,3-5", 10);
        assert_eq!((some.total(), some.has(4), some.has(2)), (4, true, false));
        assert_eq!(some.with([2, 9]).to_string(), "1-5,9");
        assert_eq!(some.merged(&Indexes::parse("0,6", 10)).to_string(), "0,1,3-6");
        assert_eq!(some.free(3, 10), [0, 2, 6]);
        assert_eq!(some.free(9, 7), [0, 2, 6]);
        assert_eq!(some.overlap(&Indexes::parse("4-8", 10)), 2);
        assert!(Indexes::default().free(0, 5).is_empty());
    }

    #[test]
    fn any_set_of_indexes_survives_its_text() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let set: BTreeSet<i32> = (0..random.usize(0..20)).map(|_| random.i32(0..40)).collect();
            let indexes: Indexes = set.iter().copied().collect();
            assert_eq!(Indexes::parse(&indexes.to_string(), 40), indexes);
            assert_eq!((0..40).filter(|i| indexes.has(*i)).collect::<BTreeSet<_>>(), set);
            let free = indexes.free(40, 40);
            assert!(free.iter().all(|i| !set.contains(i)) && free.len() + set.len() == 40);
        }
    }
}
