//! What must hold after all that.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use async_nats::jetstream::{self, consumer::pull};
use futures::StreamExt as _;
use polity_kernel::db::{Db, List};
use serde_json::Value;

use super::{
    Failure,
    clients::Person,
    fleet::{Fleet, until},
    tenants::LEFT_BEHIND,
};
use crate::Findings;

/// An event as the database has it.
type Row = (Option<i64>, String, String, String, Value);

/// Waits until the servers have done what is to be done, and compares. Says in a line what was compared.
pub(super) async fn look(
    fleet: &mut Fleet,
    people: &[Person],
    (ended, gone): (&[String], &[String]),
    wrong: &mut Findings,
) -> Result<String, Failure> {
    let db = fleet.database()?;
    until("events and jobs are done", Duration::from_mins(2), async || {
        settled(&db).await.unwrap_or(false)
    })
    .await?;
    let events = events(&db).await?;
    positions_have_no_gaps(&events, wrong);
    consumers_are_through(&db, wrong).await?;
    names_are_what_was_acknowledged(&db, people, &events, wrong).await?;
    nobody_is_half_there(&db, people, &events, wrong).await?;
    nothing_is_left_behind(&db, ended, gone, wrong).await?;
    resets_happened_once_per_job(&db, fleet, wrong).await?;
    mails_were_sent(&db, fleet, people, wrong).await?;
    copies_are_complete(fleet, &events, wrong).await?;
    let changes: u64 = people.iter().map(|person| person.changes).sum();
    Ok(format!(
        "{} people, {changes} acknowledged changes, {} organizations and {} people gone with all that was theirs, {} events: \
         all there, once, in order",
        people.len(),
        ended.len(),
        gone.len(),
        events.len()
    ))
}

async fn settled(db: &Db) -> polity_kernel::db::Result<bool> {
    let (waiting,) = db
        .read()
        .await?
        .sql(
            "select (select count(*) from event where position is null)
                  + (select count(*) from event_consumer where position < (select last from event_counter))
                  + (select count(*) from event_backlog where state = 'retry')
                  + (select count(*) from job where state in ('queued', 'running') and kind not like '%clean_up')",
        )
        .one::<(i64,)>()
        .await?;
    Ok(waiting == 0)
}

async fn events(db: &Db) -> Result<Vec<Row>, Failure> {
    let mut read = db.read().await?;
    let query = read
        .sql("select position, id, type, key, data from event order by position")
        .long();
    Ok(query.all().await?)
}

fn positions_have_no_gaps(events: &[Row], wrong: &mut Findings) {
    for (at, (position, id, ..)) in (1_i64..).zip(events) {
        if *position != Some(at) {
            return wrong.push(format!("event {id} stands at {position:?}, not at {at}"));
        }
    }
}

async fn consumers_are_through(db: &Db, wrong: &mut Findings) -> Result<(), Failure> {
    let mut read = db.read().await?;
    let dead: Vec<(String, i64, Option<String>)> = read
        .sql("select consumer, position, error from event_backlog limit 10")
        .all()
        .await?;
    wrong.extend(dead.iter().map(|dead| format!("an event was set aside: {dead:?}")));
    let failed: Vec<(String, Option<String>)> = read
        .sql("select kind, error from job where state = 'failed' limit 10")
        .all()
        .await?;
    wrong.extend(failed.iter().map(|failed| format!("a job failed: {failed:?}")));
    Ok(())
}

/// The account has the last acknowledged name or a later one that was tried; there is one event per change, in order; and
/// what another service keeps of it, by event, is the same.
async fn names_are_what_was_acknowledged(
    db: &Db,
    people: &[Person],
    events: &[Row],
    wrong: &mut Findings,
) -> Result<(), Failure> {
    let mut read = db.read().await?;
    let rows: Vec<(String, String, String)> = read
        .sql("select account.user_id, account.name, identity.name from account join identity using (user_id)")
        .long()
        .all()
        .await?;
    let names: HashMap<&str, (&str, &str)> = rows
        .iter()
        .map(|(id, account, identity)| (id.as_str(), (account.as_str(), identity.as_str())))
        .collect();
    let mut said: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (_, _, _, key, data) in events
        .iter()
        .filter(|(_, _, kind, ..)| kind.ends_with("user.profile_updated"))
    {
        let number = data["name"].as_str().and_then(|name| name.parse().ok()).unwrap_or(0);
        said.entry(key).or_default().push(number);
    }
    for person in people {
        let Person {
            user_id,
            email,
            acknowledged,
            tried,
            changes,
            ..
        } = person;
        let Some((account, identity)) = names.get(user_id.as_str()) else {
            wrong.push(format!("{email} was acknowledged and is gone"));
            continue;
        };
        let number: u64 = account.parse().unwrap_or(u64::MAX);
        if number < *acknowledged || number > *tried {
            wrong.push(format!(
                "{email} is called {account}; {acknowledged} was acknowledged, {tried} tried"
            ));
        }
        if account != identity {
            wrong.push(format!("{email} is called {account} in account and {identity} in auth"));
        }
        let said = said.get(user_id.as_str()).map(Vec::as_slice).unwrap_or_default();
        if !said.is_sorted_by(|one, next| one < next) {
            wrong.push(format!(
                "the changes of {email} were said out of order or twice: {said:?}"
            ));
        }
        if (said.len() as u64) < *changes || said.last().copied().unwrap_or(0) != number {
            wrong.push(format!(
                "{email}: {changes} changes were acknowledged, {} said, the last {:?}",
                said.len(),
                said.last()
            ));
        }
    }
    Ok(())
}

/// Whoever has an identity has an account, and each was announced once.
async fn nobody_is_half_there(db: &Db, people: &[Person], events: &[Row], wrong: &mut Findings) -> Result<(), Failure> {
    let mut read = db.read().await?;
    let halves: Vec<(String,)> = read
        .sql(
            "select coalesce(account.user_id, identity.user_id)
             from account full outer join identity on identity.user_id = account.user_id
             where account.user_id is null or identity.user_id is null
             limit 10",
        )
        .all()
        .await?;
    wrong.extend(halves.iter().map(|(id,)| format!("{id} is half there")));
    let orphans: Vec<(String,)> = read
        .sql("select id from auth_session where not exists (select 1 from identity where identity.user_id = auth_session.user_id) limit 10")
        .all()
        .await?;
    wrong.extend(orphans.iter().map(|(id,)| format!("the session {id} is nobody's")));
    for kind in ["account_service.user.created", "auth_service.user.registered"] {
        let mut announced: HashMap<&str, u32> = HashMap::new();
        for (_, _, _, key, _) in events.iter().filter(|(_, _, found, ..)| found == kind) {
            *announced.entry(key).or_default() += 1;
        }
        for person in people {
            let times = announced.get(person.user_id.as_str()).copied().unwrap_or(0);
            if times != 1 {
                wrong.push(format!("{kind} of {} was said {times} times", person.email));
            }
        }
    }
    Ok(())
}

/// Who and what is gone took along what was theirs, in every service.
async fn nothing_is_left_behind(
    db: &Db,
    ended: &[String],
    gone: &[String],
    wrong: &mut Findings,
) -> Result<(), Failure> {
    let mut read = db.read().await?;
    for (what, sql) in LEFT_BEHIND {
        let left: Vec<(String,)> = read.sql(sql).long().all().await?;
        wrong.extend(left.into_iter().map(|(id,)| format!("{what}: {id}")));
    }
    for (what, ids, sql) in [
        (
            "an organization is there whose deletion was acknowledged",
            ended,
            "select organization_id from organization where organization_id in list($1) and status <> 'deleted'",
        ),
        (
            "somebody is there whose deletion was acknowledged",
            gone,
            "select user_id from account where user_id in list($1) and deleted_at is null",
        ),
    ] {
        let left: Vec<(String,)> = read.sql(sql).bind(&List::of(ids)).long().all().await?;
        wrong.extend(left.into_iter().map(|(id,)| format!("{what}: {id}")));
    }
    Ok(())
}

/// A job whose effect and end are one transaction has its effect once: as many reset tokens were mailed as jobs succeeded.
async fn resets_happened_once_per_job(db: &Db, fleet: &Fleet, wrong: &mut Findings) -> Result<(), Failure> {
    let mut read = db.read().await?;
    let (jobs,) = read
        .sql("select count(*) from job where kind = 'auth.request_reset' and state = 'succeeded'")
        .one::<(i64,)>()
        .await?;
    let mut tokens = BTreeSet::new();
    for (_, text) in mails(fleet)? {
        // A mail may be sent twice by a kill between sending and saying so; the token in it is the same then.
        let found = text.split_whitespace().find(|word| word.starts_with("pol_reset_"));
        tokens.extend(found.map(str::to_owned));
    }
    if i64::try_from(tokens.len()) != Ok(jobs) {
        wrong.push(format!("{jobs} jobs made {} reset tokens", tokens.len()));
    }
    Ok(())
}

/// No mail waits, and everybody who was registered got one.
async fn mails_were_sent(db: &Db, fleet: &Fleet, people: &[Person], wrong: &mut Findings) -> Result<(), Failure> {
    let (waiting,) = db
        .read()
        .await?
        .sql("select count(*) from identity_mail")
        .one::<(i64,)>()
        .await?;
    if waiting > 0 {
        wrong.push(format!("{waiting} mails wait without a job"));
    }
    let sent: BTreeSet<String> = mails(fleet)?.into_iter().map(|(to, _)| to).collect();
    for person in people.iter().filter(|person| !sent.contains(&person.email)) {
        wrong.push(format!("{} never got a mail", person.email));
    }
    Ok(())
}

/// Every mail: to whom, and its text.
fn mails(fleet: &Fleet) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(fleet.mail_folder())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        let text = std::fs::read_to_string(path)?
            .replace("=\r\n", "")
            .replace("=\n", "")
            .replace("=3D", "=");
        let to = text
            .lines()
            .find_map(|line| line.strip_prefix("To: "))
            .unwrap_or_default()
            .trim();
        let to = to.trim_start_matches('<').trim_end_matches('>').to_owned();
        all.push((to, text));
    }
    Ok(all)
}

/// A reader outside sees every event once, in order.
async fn copies_are_complete(fleet: &Fleet, events: &[Row], wrong: &mut Findings) -> Result<(), Failure> {
    let Some(url) = fleet.nats_url() else {
        return Ok(());
    };
    let broken = |error: &dyn std::fmt::Display| Failure::Broken(format!("NATS: {error}"));
    let client = async_nats::connect(url).await.map_err(|error| broken(&error))?;
    let jetstream = jetstream::new(client);
    let stream = jetstream
        .get_stream("POLITY_EVENTS")
        .await
        .map_err(|error| broken(&error))?;
    let consumer = stream
        .create_consumer(pull::Config::default())
        .await
        .map_err(|error| broken(&error))?;
    let mut messages = consumer
        .messages()
        .await
        .map_err(|error| broken(&error))?
        .take(events.len());
    for (_, id, ..) in events {
        let next = tokio::time::timeout(Duration::from_secs(20), messages.next()).await;
        let Ok(Some(Ok(message))) = next else {
            wrong.push(format!("the copy of {id} is missing"));
            break;
        };
        let copy: Value = serde_json::from_slice(&message.payload)?;
        if copy["id"] != **id {
            wrong.push(format!("the copy of {} stands where that of {id} belongs", copy["id"]));
            break;
        }
        message.ack().await.map_err(|error| broken(&error))?;
    }
    Ok(())
}
