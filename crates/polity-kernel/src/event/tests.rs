//! Events on both databases.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::{
    clock::Clock,
    compose::MIGRATIONS,
    db::{Db, Tx},
    id::Ids,
    testing::Fresh,
};

type Heard = Arc<Mutex<Vec<(String, i64)>>>;

/// Takes what it hears, but refuses the numbers it was told to refuse.
struct Ear {
    heard: Heard,
    refuse: Arc<Mutex<Vec<i64>>>,
    dead: bool,
}

#[async_trait]
impl Handler for Ear {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        let number = event.data["n"].as_i64().unwrap();
        tx.sql("insert into lease (name, owner, until) values ($1, $2, $3)")
            .bind(&format!("effect {}", event.id))
            .bind("test")
            .bind(&event.time)
            .execute()
            .await?;
        if self.refuse.lock().unwrap().contains(&number) {
            return Err(if self.dead {
                HandleError::Dead("no".into())
            } else {
                HandleError::Retry("not now".into())
            });
        }
        self.heard.lock().unwrap().push((event.key.clone(), number));
        Ok(())
    }
}

struct House {
    db: Db,
    clock: Clock,
    events: Events,
    heard: Heard,
    refuse: Arc<Mutex<Vec<i64>>>,
    consumer: Consumer,
}

impl House {
    async fn new(db: Db, dead: bool) -> Self {
        db.migrate(&[MIGRATIONS]).await.unwrap();
        let clock = Clock::fake(crate::clock::from_micros(1_800_000_000_000_000));
        let events = Events::new(
            clock.clone(),
            Ids::seeded(clock.clone(), 1),
            crate::wake::Wakes::default(),
        );
        let (heard, refuse) = (Heard::default(), Arc::default());
        let ear = Ear {
            heard: Arc::clone(&heard),
            refuse: Arc::clone(&refuse),
            dead,
        };
        let consumer = Consumer {
            name: "test.ear",
            types: &["test.said"],
            handler: Arc::new(ear),
        };
        Self {
            db,
            clock,
            events,
            heard,
            refuse,
            consumer,
        }
    }

    async fn say(&self, key: &str, number: i64) {
        let mut tx = self.db.begin().await.unwrap();
        self.say_in(&mut tx, key, number).await;
        tx.commit().await.unwrap();
    }

    async fn say_in(&self, tx: &mut Tx, key: &str, number: i64) {
        let event = NewEvent {
            r#type: "test.said".into(),
            source: "test".into(),
            key: key.to_owned(),
            data: json!({ "n": number }),
            metadata: serde_json::Value::Null,
        };
        self.events.publish(tx, event).await.unwrap();
    }

    fn sequencer(&self, owner: &str) -> Sequencer {
        Sequencer::new(self.db.clone(), self.clock.clone(), self.events.clone(), owner, 100)
    }

    fn runner(&self, owner: &str) -> ConsumerRunner {
        ConsumerRunner::new(self.consumer.clone(), self.db.clone(), self.clock.clone(), owner, 100)
    }

    /// Sequences and listens until nothing moves.
    async fn settle(&self) {
        let (mut sequencer, mut runner) = (self.sequencer("one"), self.runner("one"));
        loop {
            if sequencer.step().await.unwrap() + runner.step().await.unwrap() == 0 {
                return;
            }
        }
    }

    fn heard(&self) -> Vec<i64> {
        self.heard.lock().unwrap().iter().map(|(_, number)| *number).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_is_heard_in_order_and_what_is_not_is_not() {
    Fresh::each(async |db| {
        let house = House::new(db, false).await;
        house.say("a", 1).await;
        let mut tx = house.db.begin().await.unwrap();
        house.say_in(&mut tx, "a", 2).await;
        tx.rollback().await.unwrap();
        house.say("a", 3).await;
        house.settle().await;
        assert_eq!(house.heard(), [1, 3]);
        house.settle().await;
        assert_eq!(house.heard(), [1, 3], "heard twice");
        let all = house.events.read_after(&house.db, 0, &[], 10).await.unwrap();
        assert_eq!(
            all.iter().map(|event| event.position).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
        assert_eq!(all[0].to_cloudevent()["specversion"], "1.0");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_held_open_delays_nobody_and_is_not_skipped() {
    Fresh::each(async |db| {
        // Only PostgreSQL lets two transactions write at once.
        if db.dialect() == crate::db::Dialect::Lite {
            return;
        }
        let house = Arc::new(House::new(db, false).await);
        let (ready, wait) = (tokio::sync::oneshot::channel(), tokio::sync::oneshot::channel::<()>());
        let late = Arc::clone(&house);
        let mut tasks = tokio::task::JoinSet::new();
        let (ready_in, ready_out) = ready;
        let (go_in, go_out) = wait;
        tasks.spawn(async move {
            let mut tx = late.db.begin().await.unwrap();
            late.say_in(&mut tx, "late", 1).await;
            ready_in.send(()).unwrap();
            go_out.await.unwrap();
            tx.commit().await.unwrap();
        });
        ready_out.await.unwrap();
        house.say("prompt", 2).await;
        house.settle().await;
        assert_eq!(house.heard(), [2], "the open transaction held the others back");
        go_in.send(()).unwrap();
        tasks.join_next().await.unwrap().unwrap();
        house.settle().await;
        assert_eq!(house.heard(), [2, 1], "the late transaction was skipped");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_holds_back_its_key_alone_and_keeps_its_order() {
    Fresh::each(async |db| {
        let house = House::new(db, false).await;
        house.refuse.lock().unwrap().push(1);
        for (key, number) in [("a", 1), ("a", 2), ("b", 3), ("a", 4)] {
            house.say(key, number).await;
        }
        house.settle().await;
        assert_eq!(house.heard(), [3]);
        house.clock.advance(std::time::Duration::from_millis(900));
        house.settle().await;
        assert_eq!(house.heard(), [3], "tried again too soon");
        house.refuse.lock().unwrap().clear();
        house.clock.advance(std::time::Duration::from_secs(1));
        house.settle().await;
        assert_eq!(house.heard(), [3, 1, 2, 4]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_works_is_set_aside_and_can_be_revived() {
    Fresh::each(async |db| {
        let house = House::new(db, false).await;
        house.refuse.lock().unwrap().push(1);
        house.say("a", 1).await;
        house.say("a", 2).await;
        for _ in 0..14 {
            house.settle().await;
            house.clock.advance(std::time::Duration::from_mins(7));
        }
        house.settle().await;
        assert_eq!(house.heard(), [2], "a dead letter must let its key go on");
        let dead = house.events.dead_letters(&house.db, 10).await.unwrap();
        assert_eq!(
            (dead.len(), dead[0].attempts, dead[0].error.as_deref()),
            (1, 12, Some("not now"))
        );
        house.refuse.lock().unwrap().clear();
        assert!(
            house
                .events
                .revive(&house.db, "test.ear", dead[0].position)
                .await
                .unwrap()
        );
        house.settle().await;
        assert_eq!(house.heard(), [2, 1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_hears_everything_again() {
    Fresh::each(async |db| {
        let house = House::new(db, true).await;
        house.refuse.lock().unwrap().push(2);
        for number in 1..=3 {
            house.say("a", number).await;
        }
        house.settle().await;
        assert_eq!(house.heard(), [1, 3], "dead at once");
        house.refuse.lock().unwrap().clear();
        let mut tx = house.db.begin().await.unwrap();
        tx.sql("delete from lease where name like 'effect %'")
            .execute()
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert!(house.events.replay(&house.db, "test.ear", 1).await.unwrap());
        assert!(!house.events.replay(&house.db, "nobody", 1).await.unwrap());
        house.settle().await;
        assert_eq!(house.heard(), [1, 3, 2, 3]);
        house.clock.advance(std::time::Duration::from_hours(48));
        house.settle().await;
        assert_eq!(
            house
                .events
                .prune(&house.db, std::time::Duration::from_hours(24))
                .await
                .unwrap(),
            3
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_at_once_have_each_effect_once() {
    Fresh::each(async |db| {
        let house = Arc::new(House::new(db, false).await);
        for number in 0..60 {
            house.say(&format!("key {}", number % 7), number).await;
        }
        let mut tasks = tokio::task::JoinSet::new();
        for owner in ["one", "two", "three"] {
            let house = Arc::clone(&house);
            tasks.spawn(async move {
                let (mut sequencer, mut runner) = (house.sequencer(owner), house.runner(owner));
                for round in 0..40 {
                    sequencer.step().await.unwrap();
                    // Time flies for one of them, so that leases run out while others work under them.
                    if owner == "two" && round % 5 == 0 {
                        house.clock.advance(std::time::Duration::from_secs(11));
                    }
                    runner.step().await.ok();
                    tokio::task::yield_now().await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        house.clock.advance(std::time::Duration::from_mins(1));
        house.settle().await;
        let mut read = house.db.read().await.unwrap();
        let (effects,) = read
            .sql("select count(*) from lease where name like 'effect %'")
            .one::<(i64,)>()
            .await
            .unwrap();
        assert_eq!(effects, 60);
    })
    .await;
}

/// Does what handlers must not do: panics, or hides that a statement failed.
struct Careless;

#[async_trait]
impl Handler for Careless {
    async fn handle(&self, tx: &mut Tx, event: &Event) -> Result<(), HandleError> {
        match event.data["n"].as_i64() {
            Some(1) => panic!("careless"),
            Some(2) => drop(tx.sql("insert into lease (name) values (null)").execute().await),
            _ => {}
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_or_hides_a_failure_holds_back_its_key_alone() {
    Fresh::each(async |db| {
        let mut house = House::new(db, false).await;
        house.consumer.handler = Arc::new(Careless);
        for (key, number) in [("a", 1), ("b", 2), ("c", 3)] {
            house.say(key, number).await;
        }
        house.settle().await;
        let mut read = house.db.read().await.unwrap();
        let parked: Vec<(String,)> = read
            .sql("select key from event_backlog order by key")
            .all()
            .await
            .unwrap();
        assert_eq!(parked, [("a".to_owned(),), ("b".to_owned(),)]);
        let (progress,) = read
            .sql("select position from event_consumer")
            .one::<(i64,)>()
            .await
            .unwrap();
        assert_eq!(progress, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_from_the_future_skips_nothing() {
    Fresh::each(async |db| {
        let house = House::new(db, false).await;
        house.say("a", 1).await;
        house.settle().await;
        assert!(house.events.replay(&house.db, "test.ear", 1_000).await.unwrap());
        house.say("a", 2).await;
        house.settle().await;
        assert_eq!(house.heard(), [1, 2]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_are_exact_or_prefixes() {
    Fresh::each(async |db| {
        let house = House::new(db, false).await;
        house.say("a", 1).await;
        house.settle().await;
        let found = async |types: &[&str]| house.events.read_after(&house.db, 0, types, 10).await.unwrap().len();
        assert_eq!((found(&[]).await, found(&["*"]).await), (1, 1));
        assert_eq!((found(&["test.said"]).await, found(&["test.*"]).await), (1, 1));
        assert_eq!(
            (
                found(&["other.*", "test.sa*"]).await,
                found(&["other.*", "test.said"]).await
            ),
            (1, 1)
        );
        assert_eq!(
            (found(&["test"]).await, found(&["tests.*", "te_t.*", "%*"]).await),
            (0, 0)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_ends_after_the_event_at_which_it_is_stopped() {
    struct Stopper(tokio_util::sync::CancellationToken);
    #[async_trait]
    impl Handler for Stopper {
        async fn handle(&self, _: &mut Tx, _: &Event) -> Result<(), HandleError> {
            self.0.cancel();
            Ok(())
        }
    }
    Fresh::each(async |db| {
        let mut house = House::new(db, false).await;
        let stop = tokio_util::sync::CancellationToken::new();
        house.consumer.handler = Arc::new(Stopper(stop.clone()));
        house.say("a", 1).await;
        house.say("b", 2).await;
        house.sequencer("one").step().await.unwrap();
        let mut runner = house.runner("one").until(stop);
        assert_eq!((runner.step().await.unwrap(), runner.step().await.unwrap()), (1, 0));
        let mut read = house.db.read().await.unwrap();
        assert_eq!(
            read.sql("select position from event_consumer")
                .one::<(i64,)>()
                .await
                .unwrap()
                .0,
            1
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_nobody_is_any_more_keeps_no_events() {
    let day = std::time::Duration::from_hours(24);
    Fresh::each(async |db| {
        let house = House::new(db, false).await;
        let mut tx = house.db.begin().await.unwrap();
        store::see(&mut tx, "removed.ear", house.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        house.say("a", 1).await;
        house.settle().await;
        house.clock.advance(day * 2);
        house.say("a", 2).await;
        house.settle().await;
        // It may be away for a day only.
        assert_eq!(house.events.prune(&house.db, day * 30).await.unwrap(), 0);
        assert_eq!(house.events.prune(&house.db, day).await.unwrap(), 1);
    })
    .await;
}
