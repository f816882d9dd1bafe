//! Which pod has which address of the node's range. Pure; touches no link.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The addresses of one node's pods. Goes round the range, so that an address comes again only after all others.
#[derive(Debug)]
pub(crate) struct Addresses {
    first: u32,
    last: u32,
    next: u32,
    taken: BTreeSet<u32>,
}

impl Addresses {
    /// All of `range` but its network address, the one after it (by custom a gateway's) and its broadcast address.
    pub(crate) fn new(range: Ipv4Net) -> Addresses {
        let first = u32::from(range.network()) + 2;
        let last = u32::from(range.broadcast()).saturating_sub(1);
        Addresses { first, last, next: first, taken: BTreeSet::new() }
    }

    /// How many pods can have an address at once.
    pub(crate) fn capacity(&self) -> u32 {
        (self.last + 1).saturating_sub(self.first)
    }

    /// Starts behind `address`: pods of an earlier life had those before it.
    pub(crate) fn skip(&mut self, address: Ipv4Addr) {
        let address = u32::from(address);
        if (self.next..=self.last).contains(&address) {
            self.next = if address == self.last { self.first } else { address + 1 };
        }
    }

    /// The next free address, or none when all are taken.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        for _ in 0..self.capacity() {
            let address = self.next;
            self.next = if address == self.last { self.first } else { address + 1 };
            if self.taken.insert(address) {
                return Some(address.into());
            }
        }
        None
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        self.taken.remove(&u32::from(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_address_comes_last() {
        let mut addresses = Addresses::new("10.244.1.0/29".parse().unwrap());
        assert_eq!(addresses.capacity(), 5);
        let first = addresses.take().unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 244, 1, 2));
        addresses.release(first);
        let rest: Vec<_> = (0..5).map(|_| addresses.take().unwrap()).collect();
        assert_eq!(rest[0], Ipv4Addr::new(10, 244, 1, 3));
        assert_eq!(rest[4], first);
        assert_eq!(addresses.take(), None);
    }

    #[test]
    fn addresses_of_an_earlier_life_are_skipped() {
        let mut addresses = Addresses::new("10.244.1.0/29".parse().unwrap());
        addresses.skip(Ipv4Addr::new(10, 244, 1, 4));
        addresses.skip(Ipv4Addr::new(10, 244, 1, 3));
        addresses.skip(Ipv4Addr::new(10, 9, 9, 9));
        assert_eq!(addresses.take(), Some(Ipv4Addr::new(10, 244, 1, 5)));
    }
}
