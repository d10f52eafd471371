//! What must hold after all that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use polity_testing::provider::Provider;
use reqwest::Method;
use serde_json::Value;

use super::{
    Options, Outcome,
    clients::{self, Said},
    logs::Logs,
    net::{As, Net},
};
use crate::{
    Findings,
    crash::{Failure, fleet::Fleet},
};

/// Compares: the table, and what is wrong.
pub(super) async fn look(
    options: &Options,
    fleet: &Fleet,
    provider: &Provider,
    outcome: &Outcome,
) -> Result<(String, Findings), Failure> {
    let net = Net::new(fleet.addresses())?;
    let mut wrong = Findings::new();
    let expired = expired(&net, outcome).await?;
    let now = every_token(&net, provider, outcome, &expired).await;
    wrong.extend(outcome.said.wrong.iter().chain(&now.wrong).cloned());
    let mut logs = Logs::default();
    for number in 0..fleet.addresses().len() {
        logs.read(&fleet.log(number))?;
    }
    wrong.extend(logs.wrong.iter().cloned());
    names_are_right(options, outcome, &logs, &expired, &mut wrong);
    let sums = Sums::of(outcome, &logs, &expired);
    calls_are_bounded(options, outcome, &logs, &sums, &mut wrong);
    none_was_late(outcome, &expired, &mut wrong);
    let table = sums.table(options, outcome, &logs, expired.len(), &now)?;
    Ok((table, wrong))
}

/// Connections that are listed as needing their owner, and why.
async fn expired(net: &Net, outcome: &Outcome) -> Result<BTreeMap<String, String>, Failure> {
    let people: BTreeSet<&str> = outcome.connections.iter().map(|one| one.user_id.as_str()).collect();
    let of_each: Vec<Vec<(String, String)>> = stream::iter(people)
        .map(|user| expired_of(net, user))
        .buffer_unordered(4)
        .try_collect()
        .await?;
    Ok(of_each.into_iter().flatten().collect())
}

async fn expired_of(net: &Net, user: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    for page in 1.. {
        let path = format!("/api/v1/integration/oauth/connections?status=expired&page_size=100&page={page}");
        let answer = net.ask(page, Method::GET, &path, As::For(user), &Value::Null).await?;
        let answer = answer.expect(200, &path)?;
        let items = answer.body["items"].as_array().cloned().unwrap_or_default();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
        found.extend(items.iter().map(|item| (text(item, "id"), text(item, "error"))));
        if items.len() < 100 {
            break;
        }
    }
    Ok(found)
}

/// Takes the token of every connection that is not listed, and uses it.
async fn every_token(net: &Net, provider: &Provider, outcome: &Outcome, expired: &BTreeMap<String, String>) -> Said {
    let url = provider.url();
    let valid = outcome.connections.iter().filter(|one| !expired.contains_key(&one.id));
    let each = stream::iter(valid.enumerate()).map(async |(at, connection)| {
        let mut said = Said::default();
        clients::look(net, at, connection, &url, &mut said).await;
        if said.worked == 0 && said.wrong.is_empty() {
            let text = format!(
                "{}: not listed as expired, and without a token: {:?}",
                connection.id, said.refused
            );
            said.wrong.push(text);
        }
        said
    });
    let mut all = Said::default();
    for said in each.buffer_unordered(16).collect::<Vec<_>>().await {
        all.add(Ok(said));
    }
    all
}

/// Only grants that a kill met are named; only those that are named ended, each with a reason; clients were refused no other.
fn names_are_right(
    options: &Options,
    outcome: &Outcome,
    logs: &Logs,
    expired: &BTreeMap<String, String>,
    wrong: &mut Findings,
) {
    let met = outcome.kills.grants();
    for id in logs.named.keys().filter(|id| !met.contains(id.as_str())) {
        wrong.push(format!("{id} is named, and was not under way at a kill"));
    }
    for id in met.iter().filter(|id| !logs.named.contains_key(**id)) {
        wrong.push(format!("{id} was under way at a kill, and is not named"));
    }
    for (id, reason) in expired {
        if options.window.is_some() || !logs.named.contains_key(id) {
            wrong.push(format!("{id} ended without need: {reason}"));
        }
        if reason.is_empty() {
            wrong.push(format!("{id} ended, and nobody says why"));
        }
    }
    for (id, reason) in &outcome.said.refused {
        if !expired.contains_key(id) {
            wrong.push(format!("{id} was refused ({reason}), and is not listed as expired"));
        }
    }
}

/// What the provider saw.
struct Sums {
    calls: u64,
    refreshed: u64,
    reuses: u64,
    late: Duration,
    named: u64,
}

impl Sums {
    fn of(outcome: &Outcome, logs: &Logs, expired: &BTreeMap<String, String>) -> Self {
        let courses = &outcome.courses;
        Self {
            calls: courses.iter().map(|course| course.calls).sum(),
            refreshed: courses.iter().map(|course| course.refreshed).sum(),
            reuses: courses.iter().map(|course| course.reuses).sum(),
            late: lasting(outcome, expired)
                .map(|(_, late)| late)
                .max()
                .unwrap_or_default(),
            named: logs.named.values().sum(),
        }
    }

    fn table(
        &self,
        options: &Options,
        outcome: &Outcome,
        logs: &Logs,
        expired: usize,
        now: &Said,
    ) -> Result<String, Failure> {
        let (kills, said) = (&outcome.kills, &outcome.said);
        let many = outcome.connections.len();
        let mut table = String::new();
        for (what, value) in [
            ("grants", many.to_string()),
            ("rounds", format!("{} in {} s", options.rounds, kills.took.as_secs())),
            (
                "kills",
                format!("{}, {} of a server that was refreshing", kills.count, kills.hits),
            ),
            (
                "refreshes under way at kills",
                format!("{}, of {} grants", kills.met.len(), kills.grants().len()),
            ),
            (
                "named in the logs",
                format!("{} times, {} grants", self.named, logs.named.len()),
            ),
            ("refresh calls at the provider", self.calls.to_string()),
            ("  allowed", format!("{many} x {} + {}", options.rounds, self.named)),
            ("  refreshes done", self.refreshed.to_string()),
            ("old refresh tokens used", self.reuses.to_string()),
            ("longest time without a token", format!("{} ms", self.late.as_millis())),
            ("valid in the end", now.worked.to_string()),
            ("listed as expired", expired.to_string()),
            ("tokens issued and used meanwhile", said.worked.to_string()),
            ("  unanswered by a killed server", said.unanswered.to_string()),
            ("  refused, as listed", said.refused.len().to_string()),
            ("lines of logs read", logs.lines.to_string()),
        ] {
            writeln!(table, "  {what:<34} {value}")?;
        }
        Ok(table)
    }
}

/// No grant has one call more than its rounds and its names allow; none was used twice without a name; none was late.
fn calls_are_bounded(options: &Options, outcome: &Outcome, logs: &Logs, sums: &Sums, wrong: &mut Findings) {
    let rounds = u64::from(options.rounds);
    let most = outcome.connections.len() as u64 * rounds + sums.named;
    if sums.calls > most {
        wrong.push(format!("{} refresh calls, of {most} that are allowed", sums.calls));
    }
    let ids: BTreeMap<&str, &str> = outcome
        .connections
        .iter()
        .map(|one| (one.account.as_str(), one.id.as_str()))
        .collect();
    for course in &outcome.courses {
        let id = ids.get(course.account.as_str()).copied().unwrap_or("a grant of nobody");
        let named = logs.named.get(id).copied().unwrap_or_default();
        if course.calls > rounds + named {
            wrong.push(format!("{id}: {} refresh calls, named {named} times", course.calls));
        }
        // Without a window an old token is never used again; with one, only after a kill, and not too late.
        if course.reuses > 0 {
            wrong.push(format!("{id}: an old refresh token was used {} times", course.reuses));
        }
        if course.is_ended {
            wrong.push(format!("{id} ended at the provider"));
        }
    }
}

/// Grants that go on, and how long each was without a token that lasts.
fn lasting<'o>(
    outcome: &'o Outcome,
    expired: &'o BTreeMap<String, String>,
) -> impl Iterator<Item = (&'o str, Duration)> {
    let late: BTreeMap<&str, Duration> = outcome
        .courses
        .iter()
        .map(|course| (course.account.as_str(), course.late))
        .collect();
    let lasting = outcome.connections.iter().filter(|one| !expired.contains_key(&one.id));
    lasting.map(move |one| {
        let late = late.get(one.account.as_str()).copied();
        // One that the provider does not know has no token at all.
        (one.id.as_str(), late.unwrap_or(Duration::MAX))
    })
}

fn none_was_late(outcome: &Outcome, expired: &BTreeMap<String, String>, wrong: &mut Findings) {
    for (id, late) in lasting(outcome, expired).filter(|(_, late)| !late.is_zero()) {
        wrong.push(format!("{id} was without a token for {late:?}"));
    }
}
