//! Who is alive.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    Ctx,
    db::{List, Result},
};

/// Whose row stands still for this long is dead.
const DEAD: Duration = Duration::from_secs(10);
/// Whose row stands still for this long is forgotten.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// When each process was last seen to have moved.
#[derive(Default)]
pub(super) struct Members(HashMap<String, Seen>);

struct Seen {
    beat: i64,
    moved: Instant,
}

/// Who was found alive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// All of them.
    pub processes: u32,
    /// Those that answer what this process answers, itself included.
    pub same_api: u32,
}

/// A row of `process`.
type Row = (String, String, String, i64);

impl Members {
    /// Counts this process's row up and looks at the others'.
    pub(super) async fn beat(&mut self, ctx: &Ctx) -> Result<Found> {
        let mut tx = ctx.db.begin().await?;
        tx.sql(
            "insert into process (id, roles, services, beat) values ($1, $2, $3, 1)
             on conflict (id) do update set beat = process.beat + 1",
        )
        .bind(ctx.cluster.process())
        .bind(&ctx.core.roles.join(","))
        .bind(&ctx.core.services.join(","))
        .execute()
        .await?;
        tx.commit().await?;
        let rows: Vec<Row> = ctx
            .db
            .read()
            .await?
            .sql("select id, roles, services, beat from process order by id limit 10000")
            .all()
            .await?;
        let now = Instant::now();
        let mut alive = self.see(rows, now);
        self.forget(ctx, now).await?;
        alive.retain(|(id, ..)| id != ctx.cluster.process());
        let same_api = alive
            .iter()
            .filter(|(_, roles, services, _)| has_api(roles) && overlap(services, &ctx.core.services));
        Ok(Found {
            processes: 1 + count(alive.iter()),
            same_api: 1 + count(same_api),
        })
    }

    /// The rows of the living. One that is met for the first time counts as living.
    fn see(&mut self, rows: Vec<Row>, now: Instant) -> Vec<Row> {
        self.0.retain(|id, _| rows.iter().any(|(there, ..)| there == id));
        let alive = rows.into_iter().filter(|(id, _, _, beat)| {
            let fresh = Seen {
                beat: *beat,
                moved: now,
            };
            let seen = self.0.entry(id.clone()).or_insert(fresh);
            if seen.beat != *beat {
                *seen = Seen {
                    beat: *beat,
                    moved: now,
                };
            }
            now.duration_since(seen.moved) < DEAD
        });
        alive.collect()
    }

    /// Deletes the rows of those that died long ago. One that was only asleep comes back with its next beat.
    async fn forget(&self, ctx: &Ctx, now: Instant) -> Result<()> {
        let dead = self
            .0
            .iter()
            .filter(|(_, seen)| now.duration_since(seen.moved) >= FORGOTTEN);
        let dead: Vec<&String> = dead.map(|(id, _)| id).collect();
        if dead.is_empty() {
            return Ok(());
        }
        let mut tx = ctx.db.begin().await?;
        tx.sql("delete from process where id in list($1)")
            .bind(&List::of(dead))
            .execute()
            .await?;
        tx.commit().await
    }
}

/// Takes the row of this process away, so that nobody has to wait for it to stand still.
pub(super) async fn leave(ctx: &Ctx) -> Result<()> {
    let mut tx = ctx.db.begin().await?;
    tx.sql("delete from process where id = $1")
        .bind(ctx.cluster.process())
        .execute()
        .await?;
    tx.commit().await
}

fn has_api(roles: &str) -> bool {
    roles.split(',').any(|role| role == "api")
}

/// Whether somebody with these services answers something of ours; no services stands for all.
fn overlap(theirs: &str, ours: &[String]) -> bool {
    theirs.is_empty() || ours.is_empty() || theirs.split(',').any(|name| ours.iter().any(|our| our == name))
}

fn count<'r>(rows: impl Iterator<Item = &'r Row>) -> u32 {
    u32::try_from(rows.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, beat: i64) -> Row {
        (id.to_owned(), "api,worker".to_owned(), String::new(), beat)
    }

    #[test]
    fn who_stands_still_is_dead_and_who_moves_again_lives() {
        let mut members = Members::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(members.see(vec![row("a", 7), row("b", 1)], start).len(), 2);
        assert_eq!(members.see(vec![row("a", 7), row("b", 2)], after(9)).len(), 2);
        let alive = members.see(vec![row("a", 7), row("b", 3)], after(10));
        assert_eq!(alive, [row("b", 3)]);
        assert_eq!(members.see(vec![row("a", 8), row("b", 3)], after(12)).len(), 2);
        assert_eq!(members.see(vec![row("b", 3)], after(13)).len(), 1);
        assert_eq!(members.0.len(), 1);
    }

    #[test]
    fn limits_are_shared_with_those_that_answer_the_same() {
        assert!(has_api("api,worker") && has_api("api") && !has_api("worker"));
        let ours = ["auth".to_owned(), "account".to_owned()];
        assert!(overlap("", &ours) && overlap("auth", &ours) && overlap("product", &[]));
        assert!(!overlap("product,order", &ours));
    }
}
