//! Values in order, with their ranks: what a window needs to tell percentiles.
//!
//! An AVL tree (Adelson-Velsky and Landis 1962) whose nodes know how many values stand below them. A value that comes again
//! raises a count, so a heart rate of two hundred different values costs eight steps however many readings there are.
//! Putting in, taking out and finding by rank are O(log n) in the worst case: no order of values a device may choose makes
//! it slower.

/// No node.
const NIL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    value: i64,
    /// How often the value is in.
    times: u32,
    /// How many values stand at and below this node.
    size: u32,
    height: u8,
    left: u32,
    right: u32,
}

/// A multiset of whole numbers, ordered.
#[derive(Debug, Clone)]
pub struct Ranked {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: u32,
}

impl Default for Ranked {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), root: NIL }
    }
}

impl Ranked {
    /// How many values are in.
    pub fn len(&self) -> usize {
        self.size(self.root) as usize
    }

    /// Whether nothing is in.
    pub fn is_empty(&self) -> bool {
        self.root == NIL
    }

    /// Puts a value in.
    pub fn insert(&mut self, value: i64) {
        self.root = self.put(self.root, value);
    }

    /// Takes a value out once; false if it is not in.
    pub fn remove(&mut self, value: i64) -> bool {
        let before = self.len();
        self.root = self.take(self.root, value);
        self.len() < before
    }

    /// The value of rank `rank`, from 0, smallest first.
    pub fn nth(&self, rank: usize) -> Option<i64> {
        let mut rank = u32::try_from(rank).ok()?;
        let mut at = self.root;
        while at != NIL {
            let node = self.node(at);
            let below = self.size(node.left);
            if rank < below {
                at = node.left;
            } else if rank < below + node.times {
                return Some(node.value);
            } else {
                rank -= below + node.times;
                at = node.right;
            }
        }
        None
    }

    fn node(&self, at: u32) -> Node {
        self.nodes[at as usize]
    }

    fn size(&self, at: u32) -> u32 {
        if at == NIL { 0 } else { self.node(at).size }
    }

    fn height(&self, at: u32) -> u8 {
        if at == NIL { 0 } else { self.node(at).height }
    }

    fn leaf(&mut self, value: i64) -> u32 {
        let node = Node { value, times: 1, size: 1, height: 1, left: NIL, right: NIL };
        if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            return at;
        }
        self.nodes.push(node);
        // A window holds 8,192 samples.
        (self.nodes.len() - 1) as u32
    }

    fn put(&mut self, at: u32, value: i64) -> u32 {
        if at == NIL {
            return self.leaf(value);
        }
        let node = self.node(at);
        match value.cmp(&node.value) {
            std::cmp::Ordering::Equal => self.nodes[at as usize].times += 1,
            std::cmp::Ordering::Less => self.nodes[at as usize].left = self.put(node.left, value),
            std::cmp::Ordering::Greater => self.nodes[at as usize].right = self.put(node.right, value),
        }
        self.balanced(at)
    }

    fn take(&mut self, at: u32, value: i64) -> u32 {
        if at == NIL {
            return NIL;
        }
        let node = self.node(at);
        match value.cmp(&node.value) {
            std::cmp::Ordering::Less => self.nodes[at as usize].left = self.take(node.left, value),
            std::cmp::Ordering::Greater => self.nodes[at as usize].right = self.take(node.right, value),
            std::cmp::Ordering::Equal if node.times > 1 => self.nodes[at as usize].times -= 1,
            std::cmp::Ordering::Equal if node.left == NIL || node.right == NIL => {
                self.free.push(at);
                return if node.left == NIL { node.right } else { node.left };
            }
            std::cmp::Ordering::Equal => {
                // The next larger value moves up here.
                let (rest, next) = self.take_first(node.right);
                let moved = self.node(next);
                self.free.push(next);
                let here = &mut self.nodes[at as usize];
                (here.value, here.times, here.right) = (moved.value, moved.times, rest);
            }
        }
        self.balanced(at)
    }

    /// Unhooks the smallest node below `at`: what is left, and that node.
    fn take_first(&mut self, at: u32) -> (u32, u32) {
        let node = self.node(at);
        if node.left == NIL {
            return (node.right, at);
        }
        let (rest, first) = self.take_first(node.left);
        self.nodes[at as usize].left = rest;
        (self.balanced(at), first)
    }

    fn update(&mut self, at: u32) {
        let node = self.node(at);
        let size = self.size(node.left) + self.size(node.right) + node.times;
        let height = self.height(node.left).max(self.height(node.right)) + 1;
        let here = &mut self.nodes[at as usize];
        (here.size, here.height) = (size, height);
    }

    /// Brings the heights of both sides to within one of each other; what then stands here.
    fn balanced(&mut self, at: u32) -> u32 {
        self.update(at);
        let node = self.node(at);
        let (left, right) = (self.height(node.left), self.height(node.right));
        if left > right + 1 {
            let child = self.node(node.left);
            if self.height(child.left) < self.height(child.right) {
                self.nodes[at as usize].left = self.turn_left(node.left);
            }
            return self.turn_right(at);
        }
        if right > left + 1 {
            let child = self.node(node.right);
            if self.height(child.right) < self.height(child.left) {
                self.nodes[at as usize].right = self.turn_right(node.right);
            }
            return self.turn_left(at);
        }
        at
    }

    fn turn_left(&mut self, at: u32) -> u32 {
        let up = self.node(at).right;
        self.nodes[at as usize].right = self.node(up).left;
        self.nodes[up as usize].left = at;
        self.update(at);
        self.update(up);
        up
    }

    fn turn_right(&mut self, at: u32) -> u32 {
        let up = self.node(at).left;
        self.nodes[at as usize].left = self.node(up).right;
        self.nodes[up as usize].right = at;
        self.update(at);
        self.update(up);
        up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn depth(ranked: &Ranked) -> u8 {
        ranked.height(ranked.root)
    }

    proptest! {
        #[test]
        fn every_rank_is_that_of_a_sorted_list(steps in prop::collection::vec((any::<bool>(), -20i64..20), 0..400)) {
            let (mut ranked, mut sorted) = (Ranked::default(), Vec::new());
            for (put, value) in steps {
                let at = sorted.partition_point(|v| *v < value);
                if put {
                    sorted.insert(at, value);
                    ranked.insert(value);
                } else {
                    let there = sorted.get(at) == Some(&value);
                    if there {
                        sorted.remove(at);
                    }
                    prop_assert_eq!(ranked.remove(value), there);
                }
                prop_assert_eq!(ranked.len(), sorted.len());
                prop_assert_eq!(ranked.is_empty(), sorted.is_empty());
                for (rank, value) in sorted.iter().enumerate() {
                    prop_assert_eq!(ranked.nth(rank), Some(*value));
                }
                prop_assert_eq!(ranked.nth(sorted.len()), None);
            }
        }

        #[test]
        fn a_window_that_moves_on_stays_flat(values in prop::collection::vec(any::<i64>(), 1..2_000), keep in 1usize..500) {
            let mut ranked = Ranked::default();
            for (i, value) in values.iter().enumerate() {
                ranked.insert(*value);
                if i >= keep {
                    prop_assert!(ranked.remove(values[i - keep]));
                }
            }
            prop_assert!(ranked.nodes.len() <= keep + 1, "places are used again");
            prop_assert!(f64::from(depth(&ranked)) <= 1.45 * (ranked.len() as f64 + 2.0).log2());
        }
    }

    #[test]
    fn no_order_of_values_makes_it_deep() {
        for order in [|i: i64| i, |i: i64| -i, |i: i64| if i % 2 == 0 { i } else { -i }] {
            let mut ranked = Ranked::default();
            (0..8_192).for_each(|i| ranked.insert(order(i)));
            assert!(depth(&ranked) <= 19, "{}", depth(&ranked));
        }
    }
}
