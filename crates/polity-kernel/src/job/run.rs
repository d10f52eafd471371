//! The loops: workers wake when something was enqueued, and look by themselves every so often; schedules look every second.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Cron, JobKind, JobSettings, Schedules, Worker};
use crate::{Ctx, config::ConfigError, wake::Topic};

/// The background work of jobs in this process, until the program stops; jobs that run are finished first.
///
/// # Errors
/// If the settings cannot be read, or a schedule is none.
pub fn run(
    ctx: &Ctx,
    kinds: Vec<JobKind>,
    crons: Vec<Cron>,
) -> Result<impl Future<Output = ()> + Send + 'static + use<>, ConfigError> {
    let settings: JobSettings = ctx.config.section("jobs")?;
    let schedules = Schedules::new(crons, ctx.db.clone(), ctx.clock.clone(), ctx.jobs.clone()).map_err(|error| {
        ConfigError(vec![crate::config::Problem::new(
            "jobs",
            error,
            "this is a mistake in the program; report it",
        )])
    })?;
    let ctx = ctx.clone();
    Ok(async move {
        ctx.spawn(follow_the_clock(ctx.clone(), schedules, settings.clone()));
        let worker = Worker::new(kinds, ctx.db.clone(), ctx.clock.clone());
        work(&ctx, &worker, &settings).await;
    })
}

async fn work(ctx: &Ctx, worker: &Worker, settings: &JobSettings) {
    let mut wake = ctx.wakes.listen(Topic::Enqueued);
    let mut running: JoinSet<crate::db::Result<()>> = JoinSet::new();
    let places = settings.workers.max(1);
    while !ctx.stop.is_cancelled() {
        let free = places.saturating_sub(u32::try_from(running.len()).unwrap_or(u32::MAX));
        let claimed = worker.claim(free).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "no jobs could be claimed; trying again in a moment");
            Vec::new()
        });
        for job in claimed {
            let worker = worker.clone();
            running.spawn(async move { worker.run(job).await });
        }
        tokio::select! {
            _ = wake.changed(), if free > 0 => {}
            Some(done) = running.join_next() => report(done),
            () = tokio::time::sleep(Duration::from_millis(settings.poll_ms)) => {}
            () = ctx.stop.cancelled() => {}
        }
    }
    while let Some(done) = running.join_next().await {
        report(done);
    }
}

fn report(done: Result<crate::db::Result<()>, tokio::task::JoinError>) {
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %error, "the result of a job could not be written; it will run again"),
        Err(error) => tracing::error!(error = %error, "a job was cut off; it will run again when its lease is over"),
    }
}

async fn follow_the_clock(ctx: Ctx, schedules: Schedules, settings: JobSettings) {
    let retention = Duration::from_secs(u64::from(settings.retention_days) * 24 * 60 * 60);
    let mut looks = 0_u32;
    while !ctx.stop.is_cancelled() {
        if let Err(error) = schedules.step().await {
            tracing::warn!(error = %error, "schedules could not be followed; trying again in a moment");
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(60)
            && let Err(error) = ctx.jobs.bring_back(&ctx.db).await
        {
            tracing::warn!(error = %error, "jobs of a clock that was ahead wait for it");
        }
        if looks.is_multiple_of(3_600)
            && let Err(error) = ctx.jobs.prune(&ctx.db, retention).await
        {
            tracing::warn!(error = %error, "finished jobs could not be deleted");
        }
        ctx.stop
            .run_until_cancelled(tokio::time::sleep(Duration::from_secs(1)))
            .await;
    }
}
