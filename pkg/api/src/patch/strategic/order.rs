//! The order of a merged list: items that the patch names in the patch's order, the others in the server's, woven together
//! by the server's order where that is known of both.

use std::collections::HashMap;

use serde_json::Value;

/// What tells items of a list apart, as text: the merge key's value, or the scalar itself.
pub(super) fn identity(item: &Value, key: Option<&str>) -> String {
    match key {
        Some(key) => item.get(key).unwrap_or(&Value::Null).to_string(),
        None => item.to_string(),
    }
}

/// The identities of a list, in order.
pub(super) fn identities(items: &[Value], key: Option<&str>) -> Vec<String> {
    items.iter().map(|item| identity(item, key)).collect()
}

/// Puts a merged list in order.
pub(super) fn arrange(all: Vec<Value>, key: Option<&str>, patch: &[String], server: &[String]) -> Vec<Value> {
    let (patch, server) = (ranks(patch), ranks(server));
    let tagged = all.into_iter().map(|item| (identity(&item, key), item));
    let (named, others): (Vec<Item>, Vec<Item>) = tagged.partition(|(own, _)| patch.contains_key(own.as_str()));
    let mut named = sorted(named, &patch).into_iter().peekable();
    let mut others = sorted(others, &server).into_iter().peekable();
    let mut out = Vec::with_capacity(named.len() + others.len());
    loop {
        let take_other = match (others.peek(), named.peek()) {
            (None, None) => return out,
            (other, None) => other.is_some(),
            (None, Some(_)) => false,
            (Some((other, _)), Some((name, _))) => match (server.get(other.as_str()), server.get(name.as_str())) {
                (Some(other), Some(name)) => other < name,
                _ => false,
            },
        };
        let next = if take_other { others.next() } else { named.next() };
        out.extend(next.map(|(_, item)| item));
    }
}

type Item = (String, Value);

fn ranks(order: &[String]) -> HashMap<&str, usize> {
    let mut ranks = HashMap::with_capacity(order.len());
    for (rank, own) in order.iter().enumerate() {
        ranks.entry(own.as_str()).or_insert(rank);
    }
    ranks
}

/// Sorted by rank. What has no rank goes before all that is there so far, as in the insertion sort of Go's library with
/// upstream's comparison, which calls it less than anything; up to its 20 items that is followed step by step.
fn sorted(items: Vec<Item>, ranks: &HashMap<&str, usize>) -> Vec<Item> {
    let rank = |item: &Item| ranks.get(item.0.as_str()).copied();
    if items.len() > 20 || items.iter().all(|item| rank(item).is_some()) {
        let (mut known, mut out): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| rank(item).is_some());
        known.sort_by_key(rank);
        out.reverse();
        out.extend(known);
        return out;
    }
    let mut out: Vec<Item> = Vec::with_capacity(items.len());
    for item in items {
        let own = rank(&item);
        let before = |other: &Item| own.zip(rank(other)).is_none_or(|(own, other)| own < other);
        let place = out.iter().rposition(|other| !before(other)).map_or(0, |last| last + 1);
        out.insert(place, item);
    }
    out
}
