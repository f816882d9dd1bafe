//! The difference of two texts, line by line, in the unified form with three lines of context: the blocks that Go's
//! `difflib` finds, with which Kubernetes shows refused updates of pods. Knows lines only.

use std::collections::HashMap;
use std::ops::Range;

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// From so many lines on, lines that come often are no place to begin a block at.
const POPULAR_FROM: usize = 200;

/// Most lines that are searched for blocks; longer texts differ from their first other line to their last.
const MOST: usize = 20_000;

/// Lines of the old text that stand in the new one too: where they begin in each, and how many they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    old: usize,
    new: usize,
    length: usize,
}

/// Lines of the old text and what stands in their place in the new one.
type Change = (Range<usize>, Range<usize>);

/// Hunks such as `@@ -1,3 +1,3 @@` with their lines; empty when the texts are equal.
pub(super) fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut out = String::new();
    let all = changes(&old, &new);
    for hunk in all.chunk_by(|one, next| next.0.start - one.0.end <= 2 * CONTEXT) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let lead = CONTEXT.min(first.0.start);
        let tail = CONTEXT.min(old.len() - last.0.end);
        let shown = first.0.start - lead..last.0.end + tail;
        let shown_new = first.1.start - lead..last.1.end + tail;
        out.push_str(&format!("@@ -{} +{} @@\n", place(&shown), place(&shown_new)));
        let mut at = shown.start;
        for (gone, come) in hunk {
            write(&mut out, ' ', &old[at..gone.start]);
            write(&mut out, '-', &old[gone.clone()]);
            write(&mut out, '+', &new[come.clone()]);
            at = gone.end;
        }
        write(&mut out, ' ', &old[at..shown.end]);
    }
    out
}

fn write(out: &mut String, mark: char, lines: &[&str]) {
    for line in lines {
        out.push(mark);
        out.push_str(line);
        out.push('\n');
    }
}

/// First line and number of lines; an empty range stands behind the line before it.
fn place(range: &Range<usize>) -> String {
    match range.len() {
        1 => (range.start + 1).to_string(),
        0 => format!("{},0", range.start),
        length => format!("{},{length}", range.start + 1),
    }
}

fn changes(old: &[&str], new: &[&str]) -> Vec<Change> {
    let mut found = Vec::new();
    let (mut at, mut at_new) = (0, 0);
    for block in blocks(old, new) {
        if at < block.old || at_new < block.new {
            found.push((at..block.old, at_new..block.new));
        }
        (at, at_new) = (block.old + block.length, block.new + block.length);
    }
    found
}

/// The blocks in order, neighbours joined, and an empty one at the end.
fn blocks(old: &[&str], new: &[&str]) -> Vec<Block> {
    let mut found = if old.len().max(new.len()) > MOST { ends(old, new) } else { search(old, new) };
    found.sort_unstable_by_key(|block| block.old);
    let mut joined: Vec<Block> = Vec::new();
    for block in found {
        match joined.last_mut() {
            Some(last) if last.old + last.length == block.old && last.new + last.length == block.new => {
                last.length += block.length;
            }
            _ => joined.push(block),
        }
    }
    joined.push(Block { old: old.len(), new: new.len(), length: 0 });
    joined
}

/// What both texts begin and end with.
fn ends(old: &[&str], new: &[&str]) -> Vec<Block> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let last = Block { old: old.len() - tail, new: new.len() - tail, length: tail };
    let both = [Block { old: 0, new: 0, length: head }, last];
    both.into_iter().filter(|block| block.length > 0).collect()
}

/// The longest block, then those before and behind it in the same way.
fn search(old: &[&str], new: &[&str]) -> Vec<Block> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, line) in new.iter().enumerate() {
        places.entry(line).or_default().push(i);
    }
    if new.len() >= POPULAR_FROM {
        places.retain(|_, at| at.len() <= new.len() / 100 + 1);
    }
    let (mut found, mut open) = (Vec::new(), vec![(0..old.len(), 0..new.len())]);
    while let Some((a, b)) = open.pop() {
        let block = longest(old, new, &places, &a, &b);
        if block.length == 0 {
            continue;
        }
        found.push(block);
        if a.start < block.old && b.start < block.new {
            open.push((a.start..block.old, b.start..block.new));
        }
        let (end, end_new) = (block.old + block.length, block.new + block.length);
        if end < a.end && end_new < b.end {
            open.push((end..a.end, end_new..b.end));
        }
    }
    found
}

/// The longest block within two ranges, the earliest of several; it grows over popular lines, but does not begin with one.
fn longest(
    old: &[&str],
    new: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    a: &Range<usize>,
    b: &Range<usize>,
) -> Block {
    let mut best = Block { old: a.start, new: b.start, length: 0 };
    // How long a block that ends with the line before and a line of the new text is.
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for i in a.clone() {
        let mut next = HashMap::new();
        for &j in places.get(old[i]).into_iter().flatten().filter(|j| b.contains(j)) {
            let length = 1 + j.checked_sub(1).and_then(|before| lengths.get(&before)).copied().unwrap_or(0);
            next.insert(j, length);
            if length > best.length {
                best = Block { old: i + 1 - length, new: j + 1 - length, length };
            }
        }
        lengths = next;
    }
    while best.old > a.start && best.new > b.start && old[best.old - 1] == new[best.new - 1] {
        best = Block { old: best.old - 1, new: best.new - 1, length: best.length + 1 };
    }
    let (end, end_new) = (best.old + best.length, best.new + best.length);
    let more = old[end..a.end].iter().zip(&new[end_new..b.end]).take_while(|(one, other)| one == other).count();
    best.length += more;
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_stand_in_their_context() {
        let text = |lines: &[&str]| lines.join("\n");
        let old: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
        let old: Vec<&str> = old.iter().map(String::as_str).collect();
        let mut new = old.clone();
        new[9] = "ten";
        assert_eq!(unified(&text(&old), &text(&new)), "@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n");
        new.remove(0);
        new.push("21");
        assert_eq!(
            unified(&text(&old), &text(&new)),
            "@@ -1,4 +1,3 @@\n-1\n 2\n 3\n 4\n@@ -7,7 +6,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n@@ -18,3 +17,4 @@\n 18\n 19\n \
             20\n+21\n"
        );
        assert_eq!(unified("a", "b"), "@@ -1 +1 @@\n-a\n+b\n");
        assert_eq!(unified("", "b"), "@@ -0,0 +1 @@\n+b\n");
        assert_eq!(unified("a\nb", "a\nb"), "");
    }

    /// The example in `difflib`'s own words: what both begin with is not taken off first.
    #[test]
    fn the_longest_block_goes_first() {
        assert_eq!(unified("a\nb", "a\nc\na\nb"), "@@ -1,2 +1,4 @@\n+a\n+c\n a\n b\n");
    }

    #[test]
    fn long_texts_differ_between_their_ends() {
        let long: Vec<String> = (0..=MOST).map(|n| n.to_string()).collect();
        let mut other = long.clone();
        other[5] = "x".into();
        other[8] = "y".into();
        assert_eq!(changes(&refs(&long), &refs(&other)), [(5..9, 5..9)]);
    }

    fn refs(lines: &[String]) -> Vec<&str> {
        lines.iter().map(String::as_str).collect()
    }
}
