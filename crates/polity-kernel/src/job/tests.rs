//! Jobs on both databases.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::{clock::Clock, compose::MIGRATIONS, db::Db, id::Ids, testing::Fresh};

/// Counts its runs; fails as the payload says.
#[derive(Default)]
struct Counter(AtomicU32);

#[async_trait]
impl JobHandler for Counter {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        match job.job.payload["fail"].as_str() {
            Some("retry") => Err(JobError::Retry("not now".into())),
            Some("fatal") => Err(JobError::Fatal("never".into())),
            Some("once") if job.job.attempts == 1 => Err(JobError::Retry("not yet".into())),
            _ => Ok(()),
        }
    }
}

struct House {
    db: Db,
    clock: Clock,
    jobs: Jobs,
    counter: Arc<Counter>,
    worker: Worker,
}

impl House {
    async fn new(db: Db) -> Self {
        db.migrate(&[MIGRATIONS]).await.unwrap();
        let clock = Clock::fake(crate::clock::from_micros(1_800_000_000_000_000));
        let jobs = Jobs::new(
            clock.clone(),
            Ids::seeded(clock.clone(), 1),
            crate::wake::Wakes::default(),
        );
        let counter = Arc::new(Counter::default());
        let kind = JobKind::new("test.count", Arc::clone(&counter) as Arc<dyn JobHandler>);
        let worker = Worker::new(vec![kind], db.clone(), clock.clone());
        Self {
            db,
            clock,
            jobs,
            counter,
            worker,
        }
    }

    async fn enqueue(&self, job: NewJob) -> Option<String> {
        let mut tx = self.db.begin().await.unwrap();
        let id = self.jobs.enqueue(&mut tx, job).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn state(&self, id: &str) -> State {
        self.jobs.look(&self.db, id).await.unwrap().unwrap().0
    }

    fn runs(&self) -> u32 {
        self.counter.0.load(Ordering::SeqCst)
    }
}

fn job(payload: serde_json::Value) -> NewJob {
    NewJob::new("test.count", payload)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_once_when_it_is_due() {
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let later = house.clock.now() + std::time::Duration::from_mins(1);
        let now = house.enqueue(job(json!({}))).await.unwrap();
        let late = house
            .enqueue(NewJob {
                run_at: Some(later),
                ..job(json!({}))
            })
            .await
            .unwrap();
        let other = house.enqueue(NewJob::new("test.unknown", json!({}))).await.unwrap();
        assert_eq!(house.worker.step().await.unwrap(), 1);
        assert_eq!(
            (house.state(&now).await, house.state(&late).await),
            (State::Succeeded, State::Queued)
        );
        house.clock.advance(std::time::Duration::from_mins(1));
        assert_eq!(house.worker.step().await.unwrap(), 1);
        assert_eq!(
            (house.state(&late).await, house.state(&other).await),
            (State::Succeeded, State::Queued)
        );
        house.clock.advance(std::time::Duration::from_hours(48));
        assert_eq!(
            house
                .jobs
                .prune(&house.db, std::time::Duration::from_hours(24))
                .await
                .unwrap(),
            2
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_tried_again_with_pauses_and_given_up_in_the_end() {
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let once = house.enqueue(job(json!({ "fail": "once" }))).await.unwrap();
        let fatal = house.enqueue(job(json!({ "fail": "fatal" }))).await.unwrap();
        let never = house
            .enqueue(NewJob {
                max_attempts: 3,
                ..job(json!({ "fail": "retry" }))
            })
            .await
            .unwrap();
        house.worker.step().await.unwrap();
        assert_eq!(house.state(&fatal).await, State::Failed);
        assert_eq!(house.worker.step().await.unwrap(), 0, "tried again without a pause");
        house.clock.advance(std::time::Duration::from_secs(3));
        assert_eq!(house.worker.step().await.unwrap(), 2);
        assert_eq!(
            (house.state(&once).await, house.state(&never).await),
            (State::Succeeded, State::Queued)
        );
        house.clock.advance(std::time::Duration::from_secs(6));
        house.worker.step().await.unwrap();
        assert_eq!(house.state(&never).await, State::Failed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_workers_job_is_taken_over_and_the_late_result_refused() {
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let id = house.enqueue(job(json!({}))).await.unwrap();
        let lost = house.worker.claim(10).await.unwrap();
        assert_eq!(lost.len(), 1);
        house.clock.advance(std::time::Duration::from_secs(59));
        assert!(
            house.worker.claim(10).await.unwrap().is_empty(),
            "taken over before its lease was over"
        );
        house.clock.advance(std::time::Duration::from_secs(2));
        let taken = house.worker.claim(10).await.unwrap();
        assert_eq!((taken[0].fence, taken[0].attempts), (lost[0].fence + 1, 2));
        // The zombie comes back: it may run, but its result does not count.
        house.worker.run(lost[0].clone()).await.unwrap();
        assert_eq!(house.state(&id).await, State::Running);
        house.worker.run(taken[0].clone()).await.unwrap();
        assert_eq!(house.state(&id).await, State::Succeeded);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_queued_once() {
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let keyed = || NewJob {
            key: Some("k".into()),
            ..job(json!({}))
        };
        assert!(house.enqueue(keyed()).await.is_some());
        assert!(house.enqueue(keyed()).await.is_none());
        house.worker.step().await.unwrap();
        assert!(
            house.enqueue(keyed()).await.is_some(),
            "the key is free when the job has ended"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_can_be_called_off() {
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let id = house.enqueue(job(json!({}))).await.unwrap();
        let mut tx = house.db.begin().await.unwrap();
        assert!(house.jobs.cancel(&mut tx, &id).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(
            (house.worker.step().await.unwrap(), house.state(&id).await),
            (0, State::Cancelled)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_run_each_job_once() {
    Fresh::each(async |db| {
        let house = Arc::new(House::new(db).await);
        for _ in 0..50 {
            house.enqueue(job(json!({}))).await.unwrap();
        }
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let worker = house.worker.clone();
            tasks.spawn(async move {
                for _ in 0..20 {
                    for job in worker.claim(3).await.unwrap() {
                        worker.run(job).await.unwrap();
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        while house.worker.step().await.unwrap() > 0 {}
        assert_eq!(house.runs(), 50);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_is_taken_once_by_many_and_never_again_when_the_clock_goes_back() {
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let cron = Cron {
            name: "test.hourly",
            schedule: "0 * * * *",
            kind: "test.count",
            payload: json!({}),
        };
        let schedules = || {
            let (db, clock, jobs) = (house.db.clone(), house.clock.clone(), house.jobs.clone());
            Schedules::new(vec![cron.clone()], db, clock, jobs).unwrap()
        };
        assert_eq!(schedules().step().await.unwrap(), 0, "the first look only enrols");
        house.clock.advance(std::time::Duration::from_hours(5));
        let mut tasks = tokio::task::JoinSet::new();
        for schedules in [schedules(), schedules(), schedules()] {
            tasks.spawn(async move { schedules.step().await.unwrap() });
        }
        let mut enqueued = 0;
        while let Some(done) = tasks.join_next().await {
            enqueued += done.unwrap();
        }
        assert_eq!(enqueued, 1, "five missed ticks run once, in one process");
        house.clock.set(house.clock.now() - std::time::Duration::from_hours(3));
        assert_eq!(schedules().step().await.unwrap(), 0);
        house.clock.advance(std::time::Duration::from_hours(4));
        assert_eq!(schedules().step().await.unwrap(), 1);
        let nonsense = Cron {
            schedule: "now and then",
            ..cron.clone()
        };
        assert!(
            Schedules::new(
                vec![nonsense],
                house.db.clone(),
                house.clock.clone(),
                house.jobs.clone()
            )
            .is_err()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_is_taken_once_also_between_whole_seconds() {
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let cron = Cron {
            name: "test.hourly",
            schedule: "0 * * * *",
            kind: "test.count",
            payload: json!({}),
        };
        let schedules = Schedules::new(vec![cron], house.db.clone(), house.clock.clone(), house.jobs.clone()).unwrap();
        schedules.step().await.unwrap();
        house.clock.advance(std::time::Duration::from_hours(1));
        let mut enqueued = 0;
        for _ in 0..20 {
            enqueued += schedules.step().await.unwrap();
            house.clock.advance(std::time::Duration::from_millis(330));
        }
        assert_eq!(enqueued, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_kills_its_workers_is_given_up() {
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let id = house
            .enqueue(NewJob {
                max_attempts: 2,
                ..job(json!({}))
            })
            .await
            .unwrap();
        for _ in 0..2 {
            assert_eq!(house.worker.claim(10).await.unwrap().len(), 1);
            house.clock.advance(std::time::Duration::from_secs(61));
        }
        assert!(house.worker.claim(10).await.unwrap().is_empty());
        assert_eq!(house.state(&id).await, State::Failed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_called_off_while_it_runs_does_not_run_again() {
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let fails = house.enqueue(job(json!({ "fail": "retry" }))).await.unwrap();
        let dies = house.enqueue(job(json!({}))).await.unwrap();
        let claimed = house.worker.claim(10).await.unwrap();
        let mut tx = house.db.begin().await.unwrap();
        assert!(house.jobs.cancel(&mut tx, &fails).await.unwrap());
        assert!(house.jobs.cancel(&mut tx, &dies).await.unwrap());
        assert!(!house.jobs.cancel(&mut tx, "job_unknown").await.unwrap());
        tx.commit().await.unwrap();
        for claimed in claimed.into_iter().filter(|claimed| claimed.id == fails) {
            house.worker.run(claimed).await.unwrap();
        }
        assert_eq!(
            (house.state(&fails).await, house.state(&dies).await),
            (State::Cancelled, State::Running)
        );
        house.clock.advance(std::time::Duration::from_secs(61));
        assert_eq!(
            (house.worker.step().await.unwrap(), house.state(&dies).await),
            (0, State::Cancelled)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_has_failed() {
    struct Careless;
    #[async_trait]
    impl JobHandler for Careless {
        async fn run(&self, _: &JobCtx) -> Result<(), JobError> {
            panic!("careless")
        }
    }
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let kind = JobKind::new("test.count", Arc::new(Careless));
        let worker = Worker::new(vec![kind], house.db.clone(), house.clock.clone());
        let id = house
            .enqueue(NewJob {
                max_attempts: 1,
                ..job(json!({}))
            })
            .await
            .unwrap();
        worker.step().await.unwrap();
        assert_eq!(house.state(&id).await, State::Failed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_effect_and_its_completion_are_one_and_a_zombie_has_neither() {
    struct Effect(Db);
    #[async_trait]
    impl JobHandler for Effect {
        async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
            let mut tx = self.0.begin().await?;
            tx.sql("insert into cron (name, last_tick) values ($1, $2)")
                .bind(&format!("effect {}", job.job.fence))
                .bind(&job.job.run_at)
                .execute()
                .await?;
            job.finish_in(&mut tx).await?;
            Ok(tx.commit().await?)
        }
    }
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let kind = JobKind::new("test.count", Arc::new(Effect(house.db.clone())));
        let worker = Worker::new(vec![kind], house.db.clone(), house.clock.clone());
        let id = house.enqueue(job(json!({}))).await.unwrap();
        let zombie = worker.claim(1).await.unwrap().remove(0);
        house.clock.advance(std::time::Duration::from_secs(61));
        let heir = worker.claim(1).await.unwrap().remove(0);
        worker.run(zombie).await.unwrap();
        assert_eq!(house.state(&id).await, State::Running);
        worker.run(heir).await.unwrap();
        assert_eq!(house.state(&id).await, State::Succeeded);
        let mut read = house.db.read().await.unwrap();
        let effects: Vec<(String,)> = read.sql("select name from cron").all().await.unwrap();
        assert_eq!(effects, [("effect 2".to_owned(),)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_clock_that_was_ahead_put_off_is_brought_back() {
    let hour = std::time::Duration::from_hours(1);
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let now = house.clock.now();
        house.clock.advance(hour * 2);
        let later = NewJob {
            run_at: Some(house.clock.now() + hour),
            ..job(json!({}))
        };
        let later = house.enqueue(later).await.unwrap();
        let at_once = house.enqueue(job(json!({}))).await.unwrap();
        house.clock.set(now);
        assert_eq!(house.worker.step().await.unwrap(), 0);
        assert_eq!(house.jobs.bring_back(&house.db).await.unwrap(), 2);
        assert_eq!(house.jobs.bring_back(&house.db).await.unwrap(), 0);
        assert_eq!(house.worker.step().await.unwrap(), 1);
        assert_eq!(house.state(&at_once).await, State::Succeeded);
        house.clock.advance(hour);
        assert_eq!(house.worker.step().await.unwrap(), 1);
        assert_eq!(house.state(&later).await, State::Succeeded);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_alone_takes_over_at_once() {
    Fresh::each(async |db| {
        let house = House::new(db).await;
        let id = house.enqueue(job(json!({}))).await.unwrap();
        // Claimed by a worker that dies.
        assert_eq!(house.worker.claim(1).await.unwrap().len(), 1);
        assert_eq!(house.worker.step().await.unwrap(), 0);
        crate::lease::free_all(&house.db, house.clock.now()).await.unwrap();
        assert_eq!(house.worker.step().await.unwrap(), 1);
        assert_eq!((house.state(&id).await, house.runs()), (State::Succeeded, 1));
    })
    .await;
}
