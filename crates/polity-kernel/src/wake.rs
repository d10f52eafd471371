//! Wake-ups: "something happened, look". They carry no data, so one that is lost costs time and nothing else.
//!
//! Whoever works in rounds ([`crate::event`], [`crate::job`], followers of revocations) waits for a topic beside its own
//! timer. [`Wakes::wake`] reaches this process at once, and [`crate::cluster`] carries it to the others.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::{Notify, watch};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Events were published.
    Published,
    /// Events have their position.
    Stamped,
    /// Jobs were enqueued.
    Enqueued,
    /// Something that replicas remember is no longer true.
    Revoked,
}

impl Topic {
    const ALL: [Self; 4] = [Self::Published, Self::Stamped, Self::Enqueued, Self::Revoked];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The wake-ups of a process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Wakes(Arc<Inner>);

#[derive(Default)]
struct Inner {
    topics: [watch::Sender<u64>; Topic::ALL.len()],
    /// A bit per topic that other processes have not been told of.
    untold: AtomicU8,
    telling: Notify,
}

impl Wakes {
    /// Changes whenever the topic is woken, from here or from another process.
    #[must_use]
    pub fn listen(&self, topic: Topic) -> watch::Receiver<u64> {
        self.0.topics[topic as usize].subscribe()
    }

    /// Wakes a topic here and, soon, in the other processes.
    pub fn wake(&self, topic: Topic) {
        self.bump(topic);
        if self.0.untold.fetch_or(topic.bit(), Ordering::AcqRel) & topic.bit() == 0 {
            self.0.telling.notify_one();
        }
    }

    /// Wakes every topic here and in the other processes.
    pub(crate) fn wake_all(&self) {
        for topic in Topic::ALL {
            self.wake(topic);
        }
    }

    /// Wakes topics that another process named; all of them when what was said may have been missed.
    pub(crate) fn arrived(&self, topics: u8) {
        for topic in Topic::ALL {
            if topics & topic.bit() != 0 {
                self.bump(topic);
            }
        }
    }

    /// Waits until there is something to tell the other processes, and takes it.
    pub(crate) async fn untold(&self) -> u8 {
        loop {
            match self.0.untold.swap(0, Ordering::AcqRel) {
                0 => self.0.telling.notified().await,
                topics => return topics,
            }
        }
    }

    fn bump(&self, topic: Topic) {
        self.0.topics[topic as usize].send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Every topic, as [`Wakes::arrived`] takes it.
pub(crate) const EVERYTHING: u8 = u8::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_woken_here_is_told_once_and_what_arrives_is_not_told_again() {
        let wakes = Wakes::default();
        let (mut jobs, events) = (wakes.listen(Topic::Enqueued), wakes.listen(Topic::Stamped));
        wakes.wake(Topic::Enqueued);
        wakes.wake(Topic::Enqueued);
        wakes.wake(Topic::Revoked);
        assert!(jobs.has_changed().unwrap() && !events.has_changed().unwrap());
        assert_eq!(wakes.untold().await, Topic::Enqueued.bit() | Topic::Revoked.bit());
        jobs.mark_unchanged();
        wakes.arrived(EVERYTHING);
        assert!(jobs.has_changed().unwrap() && events.has_changed().unwrap());
        assert_eq!(wakes.0.untold.load(Ordering::Acquire), 0);
    }
}
