//! A process that dies between its claim and its call, or between the answer and its record.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use polity_grants::{
    client::Client,
    clock::{Clock, Millis, SystemRandom},
    grant::Status,
    http::{Http, HttpError, Request, Response},
    manager::{DueReport, Error, Manager, NoHooks, Parts, Settings, Spawn},
};
use polity_integrations::grants::{Grants, OutboundHttp};
use polity_testing::App;
use tokio::{sync::Notify, task::JoinSet};

use super::{connect_ended, double::Double, found, one_app, open_unwatched, provider, settings};

/// Where a process comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dies {
    /// The intent is written, and nothing was sent.
    BeforeCall,
    /// The provider has answered, and nothing was written.
    BeforeRecord,
}

/// Comes as far as the process does, says so, and goes no further.
struct Stuck {
    http: OutboundHttp,
    dies: Dies,
    reached: Arc<Notify>,
}

#[async_trait]
impl Http for Stuck {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        if self.dies == Dies::BeforeRecord {
            self.http.send(request).await?;
        }
        self.reached.notify_one();
        std::future::pending().await
    }
}

struct AppClock(polity_kernel::clock::Clock);

impl Clock for AppClock {
    fn now(&self) -> Millis {
        self.0.now().timestamp_millis()
    }
}

/// The tasks of a process that can be killed.
#[derive(Default)]
struct Tasks(Mutex<JoinSet<()>>);

impl Spawn for Tasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.lock().unwrap().spawn(task);
    }
}

async fn die(app: &App, grants: &Grants, double: &Double, dies: Dies) {
    let reached = Arc::new(Notify::new());
    let http = Arc::new(Stuck {
        http: OutboundHttp::new(app.ctx.outbound.clone()),
        dies,
        reached: Arc::clone(&reached),
    });
    let (clock, random) = (Arc::new(AppClock(app.clock.clone())), Arc::new(SystemRandom));
    let tasks = Arc::new(Tasks::default());
    let manager = Manager::new(Parts {
        store: grants.store().clone(),
        client: Client::new(http, clock.clone(), random.clone(), Duration::from_secs(10)),
        apps: one_app(provider(double, double.replays())),
        keyring: app.ctx.secrets.keyring().clone(),
        clock,
        random,
        spawn: tasks.clone(),
        hooks: Arc::new(NoHooks),
        holder: "the one that dies".to_owned(),
        settings: Settings::default(),
    });
    tokio::select! {
        said = manager.token("g") => panic!("{said:?}"),
        () = reached.notified() => {}
    }
    tasks.0.lock().unwrap().abort_all();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_held_goes_to_the_rule() {
    App::each_with(settings(), async |app| {
        for dies in [Dies::BeforeCall, Dies::BeforeRecord] {
            for replays in [false, true] {
                let double = Double::start(replays);
                let grants = open_unwatched(&app, &double);
                connect_ended(&app, &grants, &["g".to_owned()]).await;
                die(&app, &grants, &double, dies).await;
                let intent = found(&grants, "g").await.intent.unwrap();
                assert!(intent.holder.starts_with("the one that dies/"));
                let due = grants.manager().refresh_due(9, 9, Duration::ZERO).await.unwrap();
                assert_eq!(due, DueReport::default(), "its lease lasts");
                // Ours: where a window is declared, the lease is shorter than it.
                app.advance(Duration::from_secs(16));
                let due = grants.manager().refresh_due(9, 9, Duration::ZERO).await.unwrap();
                let before = usize::from(dies == Dies::BeforeRecord);
                if replays {
                    assert_eq!((due.refreshed, double.calls()), (1, before + 1), "{dies:?}");
                    let token = grants.manager().token("g").await.unwrap();
                    assert_eq!(token.access.expose(), "a-g-1");
                } else {
                    assert_eq!((due.ended, double.calls()), (1, before), "{dies:?}");
                    assert_eq!(found(&grants, "g").await.status, Status::Expired);
                    let said = grants.manager().token("g").await;
                    assert!(matches!(said, Err(Error::NeedsReauthorization(_))), "{said:?}");
                }
                assert_eq!(double.reuses(), 0);
                let mut tx = app.ctx.db.begin().await.unwrap();
                grants.store().remove_in(&mut tx, "g").await.unwrap();
                tx.commit().await.unwrap();
            }
        }
    })
    .await;
}
