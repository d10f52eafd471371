//! A few threads and a bounded queue. A job whose caller is gone is not run, and its place is given to another.

use std::{
    collections::VecDeque,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::PasswordError;

pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Box<dyn Job>>,
    closed: bool,
}

/// Work whose answer somebody may still want.
trait Job: Send {
    fn wanted(&self) -> bool;
    fn run(self: Box<Self>);
}

struct Call<F, T> {
    work: F,
    answer: oneshot::Sender<T>,
}

impl<T: Send, F: FnOnce() -> T + Send> Job for Call<F, T> {
    fn wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run(self: Box<Self>) {
        let Self { work, answer } = *self;
        // Nobody may be left to take the answer.
        drop(answer.send(work()));
    }
}

impl Pool {
    pub(super) fn start(workers: usize, capacity: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity,
        });
        let pool = Self { shared };
        for number in 0..workers {
            let shared = Arc::clone(&pool.shared);
            std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, PasswordError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.shared.submit(Box::new(Call { work, answer }))?;
        answered.await.map_err(|_| PasswordError::Failed)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, job: Box<dyn Job>) -> Result<(), PasswordError> {
        let mut state = self.lock();
        if state.waiting.len() >= self.capacity {
            state.waiting.retain(|job| job.wanted());
        }
        if state.waiting.len() >= self.capacity {
            return Err(PasswordError::Overloaded);
        }
        state.waiting.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            if job.wanted() && catch_unwind(AssertUnwindSafe(|| job.run())).is_err() {
                // The caller sees its answer dropped; the thread must stay for the others.
                tracing::error!("a password job panicked");
            }
        }
    }

    fn next(&self) -> Option<Box<dyn Job>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("capacity", &self.shared.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt;

    use super::*;

    /// A pool whose one worker is held up until the sender is used or dropped.
    fn held_up(capacity: usize) -> (Pool, mpsc::Sender<()>, oneshot::Receiver<()>) {
        let pool = Pool::start(1, capacity).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel();
        let (answer, answered) = oneshot::channel();
        let work = move || {
            started.send(()).unwrap();
            let _ = gate.recv();
        };
        pool.shared.submit(Box::new(Call { work, answer })).unwrap();
        running.recv().unwrap();
        (pool, release, answered)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_caller_who_hangs_up_frees_its_place() {
        let (pool, release, _first) = held_up(1);
        let mut waiting = Box::pin(pool.run(|| panic!("ran although its caller was gone")));
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(pool.run(|| 2).now_or_never(), Some(Err(PasswordError::Overloaded)));
        drop::<std::pin::Pin<Box<dyn Future<Output = Result<(), PasswordError>>>>>(waiting);
        let mut next = Box::pin(pool.run(|| 3));
        assert!((&mut next).now_or_never().is_none());
        drop(release);
        assert_eq!(next.await, Ok(3));
    }

    #[tokio::test]
    async fn a_panic_costs_its_caller_only() {
        let pool = Pool::start(1, 1).unwrap();
        assert_eq!(
            pool.run(|| -> u8 { panic!("on purpose") }).await,
            Err(PasswordError::Failed)
        );
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn the_threads_end_with_the_pool() {
        let (pool, release, first) = held_up(2);
        let weak = Arc::downgrade(&pool.shared);
        drop(pool);
        drop(release);
        first.await.unwrap();
        while weak.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
