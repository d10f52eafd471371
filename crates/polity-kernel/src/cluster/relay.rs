//! Carrying wake-ups between processes.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Ctx,
    db::Channel,
    wake::{EVERYTHING, Wakes},
};

/// The name of the channel.
const CHANNEL: &str = "polity_wake";
/// The least time between two messages; what happens meanwhile goes into the next one.
const GAP: Duration = Duration::from_millis(5);
/// How long to wait before another attempt to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts carrying, where there is anybody to carry to.
pub(super) fn start(ctx: &Ctx) {
    if let Some(nats) = &ctx.nats {
        ctx.spawn(over_nats(ctx.clone(), nats.clone()));
    } else if ctx.db.is_shared() {
        ctx.spawn(over_postgres(ctx.clone()));
    }
}

async fn over_postgres(ctx: Ctx) {
    while !ctx.stop.is_cancelled() {
        match ctx.db.channel(CHANNEL).await {
            Ok(channel) => carry(&ctx, channel).await,
            Err(error) => tracing::warn!(error = %error, "wake-ups do not travel for now; replicas look by themselves"),
        }
        ctx.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
}

/// Carries until the channel ends, or the program stops.
async fn carry(ctx: &Ctx, mut channel: Channel) {
    ctx.wakes.arrived(EVERYTHING);
    let mut next = Instant::now();
    loop {
        let heard = tokio::select! {
            () = ctx.stop.cancelled() => return,
            heard = channel.hear() => Some(heard),
            topics = untold(&ctx.wakes, next) => {
                next = Instant::now() + GAP;
                if ctx.cluster.processes() > 1
                    && let Err(error) = channel.say(CHANNEL, &message(ctx, topics)).await
                {
                    tracing::warn!(error = %error, "a wake-up was not carried");
                    return;
                }
                None
            }
        };
        match heard {
            None => {}
            Some(Some(text)) => hear(ctx, &text),
            Some(None) => return,
        }
    }
}

async fn over_nats(ctx: Ctx, nats: crate::nats::Nats) {
    while !ctx.stop.is_cancelled() {
        match nats.subscribe_wakes().await {
            Ok(heard) => carry_over_nats(&ctx, &nats, heard).await,
            Err(error) => tracing::warn!(error = %error, "wake-ups do not travel for now; replicas look by themselves"),
        }
        ctx.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
}

async fn carry_over_nats(ctx: &Ctx, nats: &crate::nats::Nats, mut heard: async_nats::Subscriber) {
    ctx.wakes.arrived(EVERYTHING);
    let mut connected = nats.connections();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = ctx.stop.cancelled() => return,
            message = futures::StreamExt::next(&mut heard) => match message {
                Some(message) => hear(ctx, &String::from_utf8_lossy(&message.payload)),
                None => return,
            },
            // What was said while the connection was gone is lost.
            _ = connected.changed() => ctx.wakes.arrived(EVERYTHING),
            topics = untold(&ctx.wakes, next) => {
                next = Instant::now() + GAP;
                nats.say_wake(message(ctx, topics)).await;
            }
        }
    }
}

async fn untold(wakes: &Wakes, not_before: Instant) -> u8 {
    tokio::time::sleep_until(not_before).await;
    wakes.untold().await
}

/// Who says it, and which topics, as a bit set.
fn message(ctx: &Ctx, topics: u8) -> String {
    format!("{} {topics}", ctx.cluster.process())
}

/// A message that is not one of ours is none: other programs may share the channel.
fn hear(ctx: &Ctx, text: &str) {
    if let Some((process, topics)) = text.split_once(' ')
        && process != ctx.cluster.process()
        && let Ok(topics) = topics.parse()
    {
        ctx.wakes.arrived(topics);
    }
}
