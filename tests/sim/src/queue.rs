//! What will happen, in order. The heap holds small keys; the things themselves lie still.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use vedette_model::Instant;

/// A queue by time; what is put in for the same moment comes out in the order it went in.
#[derive(Debug, Clone)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    count: u64,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), count: 0 }
    }

    pub(crate) fn push(&mut self, at: Instant, thing: T) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("few things wait at a time")
        });
        self.slots[slot as usize] = Some(thing);
        self.count += 1;
        self.heap.push(Reverse((at, self.count, slot)));
    }

    /// The earliest if it is due by `until`.
    pub(crate) fn pop(&mut self, until: Instant) -> Option<(Instant, T)> {
        let Reverse((at, _, slot)) = *self.heap.peek().filter(|next| next.0.0 <= until)?;
        self.heap.pop();
        self.free.push(slot);
        self.slots[slot as usize].take().map(|thing| (at, thing))
    }
}
