//! Any order of two processes, deaths and faults.

use proptest::prelude::*;
use tokio::task::JoinSet;

use super::*;
use crate::manager::tests::world::Process;

#[derive(Debug, Clone)]
enum Step {
    Token(usize),
    Refused(usize),
    Due(usize),
    Kill(usize),
    Fault(Fault),
    StoreFails(usize, usize),
    Pass(u64),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::NotSent),
        Just(Fault::DroppedBefore),
        Just(Fault::DroppedAfter),
        Just(Fault::Status(500)),
        Just(Fault::Status(502)),
        Just(Fault::Status(503)),
        Just(Fault::RetryAfter(7)),
        Just(Fault::Html),
        Just(Fault::WrongJson),
        (0_u64..20_000).prop_map(Fault::SlowAnswer),
        (0_u64..20_000).prop_map(Fault::SlowStart),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..2).prop_map(Step::Token),
        2 => (0_usize..2).prop_map(Step::Refused),
        1 => (0_usize..2).prop_map(Step::Due),
        2 => (0_usize..2).prop_map(Step::Kill),
        3 => fault().prop_map(Step::Fault),
        1 => (0_usize..3, 0_usize..3).prop_map(|(before, after)| Step::StoreFails(before, after)),
        3 => prop_oneof![0_u64..20, 20_u64..3_000, 3_000_u64..40_000, Just(4_000_000)].prop_map(Step::Pass),
    ]
}

async fn play(entry: &str, window: i64, steps: Vec<Step>) -> (usize, usize, bool, String) {
    let world = World::new(entry, window, true).await;
    let mut processes = [world.process("p"), world.process("q")];
    let mut callers = JoinSet::new();
    for step in steps {
        match step {
            Step::Token(n) => {
                let manager = processes[n].manager.clone();
                callers.spawn(async move { drop(manager.token("g").await) });
            }
            Step::Refused(n) => {
                let (manager, store) = (processes[n].manager.clone(), world.store.clone());
                callers.spawn(async move {
                    let version = store.get("g").await.unwrap().unwrap().version;
                    drop(manager.refused("g", version).await);
                });
            }
            Step::Due(n) => {
                let manager = processes[n].manager.clone();
                callers.spawn(async move { drop(manager.refresh_due(5, 2, Duration::ZERO).await) });
            }
            Step::Kill(n) => {
                let dead: Process = std::mem::replace(&mut processes[n], world.process("again"));
                dead.kill();
            }
            Step::Fault(fault) => world.double.fail(&[fault]),
            Step::StoreFails(before, after) => {
                world.store.fail_before.store(before, Ordering::SeqCst);
                world.store.fail_after.store(after, Ordering::SeqCst);
            }
            Step::Pass(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        }
    }
    while callers.join_next().await.is_some() {}
    world.double.heal();
    world.store.fail_before.store(0, Ordering::SeqCst);
    world.store.fail_after.store(0, Ordering::SeqCst);
    // Longer than every pause.
    pass(2 * 3600).await;
    let last = world.process("last").manager.token("g").await;
    let ended = matches!(last, Err(Error::NeedsReauthorization(_)));
    let fine = ended || world.double.works(access(&last));
    (
        world.double.reuses(),
        world.double.most_arrivals(),
        fine,
        format!("{last:?}"),
    )
}

fn run(entry: &'static str, window: i64, steps: Vec<Step>) -> (usize, usize, bool, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(play(entry, window, steps))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Without a window a refresh token arrives once, whatever happens.
    #[test]
    fn a_refresh_token_arrives_once(steps in prop::collection::vec(step(), 1..40)) {
        let (reuses, arrivals, fine, last) = run(World::rotating(), 0, steps);
        prop_assert_eq!(reuses, 0);
        prop_assert!(arrivals <= 1);
        prop_assert!(fine, "{}", last);
    }

    /// With a window it is used again inside it only, and the grant works or its owner is asked.
    #[test]
    fn a_second_use_stays_in_its_window(steps in prop::collection::vec(step(), 1..40)) {
        let (reuses, _, fine, last) = run(World::replaying(), 30_000, steps);
        prop_assert_eq!(reuses, 0);
        prop_assert!(fine, "{}", last);
    }
}
