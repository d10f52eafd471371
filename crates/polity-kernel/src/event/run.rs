//! The loops: each wakes when something happened, and looks by itself every so often.

use std::time::Duration;

use super::{Consumer, ConsumerRunner, EventSettings, Sequencer, copies::Copier};
use crate::{Ctx, config::ConfigError, wake::Topic};

/// The background work of events in this process: the sequencer and the consumers, until the program stops.
///
/// # Errors
/// If the settings cannot be read.
pub fn run(
    ctx: &Ctx,
    consumers: Vec<Consumer>,
) -> Result<impl Future<Output = ()> + Send + 'static + use<>, ConfigError> {
    let settings: EventSettings = ctx.config.section("events")?;
    let ctx = ctx.clone();
    Ok(async move {
        let owner = ctx.cluster.process().to_owned();
        for consumer in consumers {
            let runner = ConsumerRunner::new(consumer, ctx.db.clone(), ctx.clock.clone(), &owner, settings.batch)
                .until(ctx.stop.clone());
            ctx.spawn(listen(ctx.clone(), runner, settings.poll_ms));
        }
        if let Some(nats) = ctx.nats.clone() {
            let copier = Copier::new(ctx.db.clone(), ctx.clock.clone(), nats, &owner, settings.batch);
            ctx.spawn(copy(ctx.clone(), copier, settings.poll_ms));
        }
        sequence(&ctx, &owner, &settings).await;
    })
}

async fn sequence(ctx: &Ctx, owner: &str, settings: &EventSettings) {
    let retention = Duration::from_secs(u64::from(settings.retention_days) * 24 * 60 * 60);
    let mut sequencer = Sequencer::new(
        ctx.db.clone(),
        ctx.clock.clone(),
        ctx.events.clone(),
        owner,
        settings.batch,
    );
    let mut published = ctx.wakes.listen(Topic::Published);
    let mut until_prune = 0_u64;
    while !ctx.stop.is_cancelled() {
        match sequencer.step().await {
            Ok(0) => pause(ctx, &mut published, settings.poll_ms).await,
            Ok(_) => {}
            Err(error) => trouble(ctx, "events could not be stamped", &error).await,
        }
        until_prune = until_prune.wrapping_add(1);
        if until_prune.is_multiple_of(10_000)
            && let Err(error) = ctx.events.prune(&ctx.db, retention).await
        {
            tracing::warn!(error = %error, "old events could not be deleted");
        }
    }
    sequencer.release().await;
}

async fn listen(ctx: Ctx, mut runner: ConsumerRunner, poll_ms: u64) {
    let mut stamped = ctx.wakes.listen(Topic::Stamped);
    while !ctx.stop.is_cancelled() {
        match runner.step().await {
            Ok(0) => pause(&ctx, &mut stamped, poll_ms).await,
            Ok(_) => {}
            Err(error) => trouble(&ctx, "a consumer could not go on", &error).await,
        }
    }
    runner.release().await;
}

async fn copy(ctx: Ctx, mut copier: Copier, poll_ms: u64) {
    let mut stamped = ctx.wakes.listen(Topic::Stamped);
    while !ctx.stop.is_cancelled() {
        match ctx.stop.run_until_cancelled(copier.step()).await {
            None => break,
            Some(Ok(0)) => pause(&ctx, &mut stamped, poll_ms).await,
            Some(Ok(_)) => {}
            Some(Err(error)) => trouble(&ctx, "events could not be copied to NATS", &error).await,
        }
    }
    copier.release().await;
}

/// Waits for a wake-up, for the next look, or for the end.
async fn pause(ctx: &Ctx, wake: &mut tokio::sync::watch::Receiver<u64>, poll_ms: u64) {
    tokio::select! {
        _ = wake.changed() => {}
        () = tokio::time::sleep(Duration::from_millis(poll_ms)) => {}
        () = ctx.stop.cancelled() => {}
    }
}

async fn trouble(ctx: &Ctx, what: &str, error: &impl std::fmt::Display) {
    tracing::warn!(error = %error, "{what}; trying again in a moment");
    ctx.stop
        .run_until_cancelled(tokio::time::sleep(Duration::from_secs(1)))
        .await;
}
