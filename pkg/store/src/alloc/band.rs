//! Numbers of a range that are taken or free, with a static and a dynamic band. Pure; randomness is passed in.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Why a number cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Outside the range.
    NotInRange,
    /// Somebody has it.
    Allocated,
    /// Nothing is left.
    Full,
}

/// A range of numbers (addresses or ports) and those taken. Numbers outside the range can be held too: they were taken
/// under another configuration.
#[derive(Debug, Clone)]
pub(crate) struct Band {
    range: RangeInclusive<u32>,
    /// Where the dynamic band starts; below it are numbers that people choose themselves.
    dynamic: u32,
    taken: BTreeSet<u32>,
}

impl Band {
    /// A free range whose first `reserved` numbers dynamic allocation touches last.
    pub(crate) fn new(range: RangeInclusive<u32>, reserved: u32) -> Band {
        let dynamic = range.start().saturating_add(reserved);
        Band { range, dynamic, taken: BTreeSet::new() }
    }

    pub(crate) fn check(&self, number: u32) -> Result<(), Refused> {
        match () {
            () if !self.range.contains(&number) => Err(Refused::NotInRange),
            () if self.taken.contains(&number) => Err(Refused::Allocated),
            () => Ok(()),
        }
    }

    pub(crate) fn take(&mut self, number: u32) {
        self.taken.insert(number);
    }

    pub(crate) fn release(&mut self, number: u32) {
        self.taken.remove(&number);
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> &BTreeSet<u32> {
        &self.taken
    }

    /// A free number that is not in `besides`: a random one of the upper band, else one of the lower.
    pub(crate) fn choose(&self, besides: &BTreeSet<u32>, rng: &mut fastrand::Rng) -> Result<u32, Refused> {
        let upper = self.dynamic..=*self.range.end();
        let lower = *self.range.start()..=self.dynamic.saturating_sub(1).min(*self.range.end());
        let free = |number: &u32| !self.taken.contains(number) && !besides.contains(number);
        for band in [upper, lower] {
            if band.is_empty() {
                continue;
            }
            let start = rng.u32(band.clone());
            let found = (start..=*band.end()).chain(*band.start()..start).find(free);
            if let Some(number) = found {
                return Ok(number);
            }
        }
        Err(Refused::Full)
    }
}

/// How many of the first numbers of a range people may count on: size / `step`, between 16 and `max`; none in a range
/// smaller than 16. KEP-3070 (ClusterIP: step 16, max 256), KEP-3668 (node ports: step 32, max 128).
pub(crate) fn reserved(size: u64, step: u64, max: u64) -> u32 {
    if size < 16 { 0 } else { (size / step).clamp(16, max) as u32 }
}
