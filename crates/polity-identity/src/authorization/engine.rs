//! Deciding: what is remembered is used, what is not is looked up.
//!
//! What a process remembers of a person, and of a decision, is dropped when anything it rests on changes: the person, one of
//! their organizations, what they were given, the catalogue; see [`polity_kernel::cache`].

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Duration, Utc};
use polity_kernel::{
    Ctx,
    cache::{Cache, Stale},
    caller::Pending,
    config::ConfigError,
    db::{Conn, List, Tx},
    http::Problem,
};
use polity_ports::{
    authorization::{AccessLevel, Ask, Authorizer, ResourceType, Tier, Visible},
    project::Projects,
    subscription::Subscriptions,
};

use super::{
    Error,
    model::{Decision, Evidence, Person, Question, Stage, Step, decide, normal},
    service,
    settings::AuthorizationSettings,
    store::{self, Held, Named},
    watch::Watch,
};
use crate::{
    account::{self, AccountId},
    changes,
    organization::{self, Organizations},
};

/// What is told when a person's permissions change, and when the catalogue does.
const KIND: &str = "permission";
/// The subject that stands for the catalogue; no person is called so.
const CATALOGUE: &str = "";

/// What other domains answer, where they are there.
#[derive(Clone, Default)]
pub struct Others {
    /// Who pays for what; without it everybody is of the tier free.
    pub subscriptions: Option<Arc<dyn Subscriptions>>,
    /// Who shares projects with whom; without it nobody does.
    pub projects: Option<Arc<dyn Projects>>,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Authorization(Arc<Inner>);

/// What an engine is made of.
pub struct Inner {
    pub(super) ctx: Ctx,
    pub(super) settings: AuthorizationSettings,
    pub(super) organizations: Organizations,
    pub(super) others: Others,
    pub(super) watch: Watch,
    /// When this process opened it.
    pub(super) opened: std::time::Instant,
    people: Arc<Cache<String, Arc<Person>>>,
    decisions: Arc<Cache<Key, Arc<Remembered>>>,
}

impl std::ops::Deref for Authorization {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What was asked, whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    user_id: String,
    resource_type: ResourceType,
    resource_name: String,
    level: AccessLevel,
    organization_id: Option<String>,
}

/// A decision, whose it is, and until when it holds.
struct Remembered {
    person: Arc<Person>,
    decision: Decision,
    until: DateTime<Utc>,
}

/// A decision, and of whom.
pub(super) struct Decided {
    pub person: Arc<Person>,
    pub decision: Decision,
}

/// What is remembered of a person rests on them and on the organizations they are in.
fn rests_on(person: &Person, name: &mut dyn FnMut(&str)) {
    name(&person.user_id);
    for standing in &person.standings {
        name(&standing.organization_id);
    }
}

impl Authorization {
    /// The engine of a process.
    ///
    /// # Errors
    /// If its settings cannot be read.
    pub fn open(ctx: &Ctx, organizations: &Organizations, others: Others) -> Result<Self, ConfigError> {
        let settings: AuthorizationSettings = ctx.config.section("authorization")?;
        let capacity = u64::from(settings.remembered);
        let invalidations = &ctx.invalidations;
        let people = Cache::new(capacity, invalidations.clone(), |person: &Arc<Person>, name| {
            rests_on(person, name);
        });
        let decisions = Cache::new(capacity, invalidations.clone(), |found: &Arc<Remembered>, name| {
            rests_on(&found.person, name);
        });
        let (people, decisions) = (Arc::new(people), Arc::new(decisions));
        changes::forget_with(invalidations, &people);
        changes::forget_with(invalidations, &decisions);
        let forgetting = Arc::clone(&decisions);
        invalidations.listen(KIND, move |stale| match stale {
            Stale::Everything | Stale::Subject(CATALOGUE) => forgetting.clear(),
            Stale::Subject(user_id) => forgetting.forget_group(user_id),
        });
        Ok(Self(Arc::new(Inner {
            watch: Watch::new(),
            opened: std::time::Instant::now(),
            settings,
            organizations: organizations.clone(),
            others,
            people,
            decisions,
            ctx: ctx.clone(),
        })))
    }

    /// Decides, and remembers it.
    pub(super) async fn decide(&self, ask: Ask<'_>) -> Result<Decided, Error> {
        let key = Key {
            user_id: ask.user_id.to_owned(),
            resource_type: ask.resource_type,
            resource_name: normal(ask.resource_name),
            level: ask.level,
            organization_id: ask.organization_id.map(str::to_owned),
        };
        let now = self.ctx.clock.now();
        let found = self.decisions.get(&key).filter(|found| found.until > now);
        let found = match found {
            Some(found) => found,
            None => self.look_up(key, now).await?,
        };
        self.watch.note(ask, &found.person, &found.decision, now);
        Ok(Decided {
            person: Arc::clone(&found.person),
            decision: found.decision.clone(),
        })
    }

    async fn look_up(&self, key: Key, now: DateTime<Utc>) -> Result<Arc<Remembered>, Error> {
        let ticket = self.decisions.ticket();
        let mut read = self.ctx.db.read().await?;
        let person = self.person(&mut read, &key.user_id).await?;
        let resource = Named {
            resource_type: key.resource_type,
            resource_name: &key.resource_name,
        };
        let evidence = evidence(&mut read, &person, resource).await?;
        drop(read);
        let question = Question {
            resource_type: key.resource_type,
            resource_name: &key.resource_name,
            level: key.level,
            organization_id: key.organization_id.as_deref(),
            now,
        };
        let decision = decide(&person, &evidence, question, |_, _| ());
        let ttl = if decision.is_granted {
            self.settings.granted_ttl
        } else {
            self.settings.denied_ttl
        };
        let until = person.until.min(now + Duration::seconds(i64::from(ttl)));
        let until = decision.expires_at.map_or(until, |end| end.min(until));
        let found = Arc::new(Remembered {
            person,
            decision,
            until,
        });
        if until > now {
            self.decisions.put(ticket, key, Arc::clone(&found));
        }
        Ok(found)
    }

    /// Decides anew, and says how.
    pub(super) async fn explain(&self, ask: Ask<'_>) -> Result<(Decided, Vec<Step>), Error> {
        let resource_name = normal(ask.resource_name);
        let mut read = self.ctx.db.read().await?;
        let person = self.person(&mut read, ask.user_id).await?;
        let resource = Named {
            resource_type: ask.resource_type,
            resource_name: &resource_name,
        };
        let evidence = evidence(&mut read, &person, resource).await?;
        drop(read);
        let question = Question {
            resource_type: ask.resource_type,
            resource_name: &resource_name,
            level: ask.level,
            organization_id: ask.organization_id,
            now: self.ctx.clock.now(),
        };
        let mut steps = Vec::new();
        let decision = decide(&person, &evidence, question, |stage: Stage, found| {
            steps.push(Step {
                stage,
                is_granted: found.is_ok(),
                reason: match found {
                    Ok(decision) => decision.reason.clone(),
                    Err(reason) => reason.clone(),
                },
            });
        });
        Ok((Decided { person, decision }, steps))
    }

    /// Decides about many resources of one person, in the order they are asked about.
    pub(super) async fn decide_all(
        &self,
        (user_id, organization_id): (&str, Option<&str>),
        asked: &[(ResourceType, String, AccessLevel)],
    ) -> Result<(Arc<Person>, Vec<Decision>), Error> {
        let now = self.ctx.clock.now();
        let names: Vec<String> = asked.iter().map(|(_, name, _)| normal(name)).collect();
        let named = |(at, (resource_type, ..)): (usize, &(ResourceType, String, AccessLevel))| Named {
            resource_type: *resource_type,
            resource_name: &names[at],
        };
        let resources: BTreeSet<Named<'_>> = asked.iter().enumerate().map(named).collect();
        let resources: Vec<Named<'_>> = resources.into_iter().collect();
        let mut read = self.ctx.db.read().await?;
        let person = self.person(&mut read, user_id).await?;
        let gathered = evidence_of(&mut read, &person, &resources).await?;
        drop(read);
        let none = Evidence::default();
        let mut decisions = Vec::with_capacity(asked.len());
        for ((resource_type, _, level), name) in asked.iter().zip(names) {
            let question = Question {
                resource_type: *resource_type,
                resource_name: &name,
                level: *level,
                organization_id,
                now,
            };
            let evidence = gathered.get(&(*resource_type, name.clone())).unwrap_or(&none);
            let decision = decide(&person, evidence, question, |_, _| ());
            let ask = Ask {
                user_id,
                resource_type: *resource_type,
                resource_name: &name,
                level: *level,
                organization_id,
            };
            self.watch.note(ask, &person, &decision, now);
            decisions.push(decision);
        }
        Ok((person, decisions))
    }

    /// What is known of somebody, remembered or looked up.
    pub(super) async fn person(&self, conn: &mut Conn, user_id: &str) -> Result<Arc<Person>, Error> {
        let (key, now) = (user_id.to_owned(), self.ctx.clock.now());
        if let Some(found) = self.people.get(&key).filter(|found| found.until > now) {
            return Ok(found);
        }
        let ticket = self.people.ticket();
        let person = Arc::new(self.look_at(conn, user_id).await?);
        if person.until > now {
            self.people.put(ticket, key, Arc::clone(&person));
        }
        Ok(person)
    }

    /// What is known of somebody, looked up.
    pub(super) async fn look_at(&self, conn: &mut Conn, user_id: &str) -> Result<Person, Error> {
        let now = self.ctx.clock.now();
        let until = now + Duration::seconds(i64::from(self.settings.granted_ttl));
        let account = account::claims(conn, &AccountId(user_id.to_owned())).await?;
        let is_known = account.is_some();
        let mut person = Person {
            user_id: user_id.to_owned(),
            is_active: account.is_some_and(|account| account.is_active && account.deleted_at.is_none()),
            tier: Tier::Free,
            acts_in: None,
            standings: Vec::new(),
            // Nobody says when somebody begins to be there.
            until: if is_known { until } else { now },
        };
        // Of who may not act nothing is said, so that they are as if they were not there (EC-001).
        if person.is_active {
            let context = organization::context(conn, user_id).await?;
            person.acts_in = context.map(|context| context.organization_id);
            person.standings = organization::standings(conn, user_id).await?;
            match self.tier(conn, user_id).await {
                Ok(tier) => person.tier = tier,
                Err(error) => {
                    // They pay for nothing: the step fails closed.
                    tracing::warn!(error = %error, "what a person pays for cannot be found out; they count as free");
                    person.until = now;
                }
            }
        }
        Ok(person)
    }

    /// What somebody pays for.
    async fn tier(&self, conn: &mut Conn, user_id: &str) -> polity_kernel::db::Result<Tier> {
        match &self.others.subscriptions {
            Some(subscriptions) => subscriptions.tier(conn, user_id).await,
            None => Ok(Tier::Free),
        }
    }

    /// Says, in the transaction of a change, that what people were given is another.
    pub(super) async fn tell(&self, tx: &mut Tx, people: Vec<String>) -> Result<(), Error> {
        Ok(self.ctx.invalidations.tell_each(tx, &self.ctx, KIND, people).await?)
    }

    /// Says the same of the catalogue.
    pub(super) async fn tell_catalogue(&self, tx: &mut Tx) -> Result<(), Error> {
        self.tell(tx, vec![CATALOGUE.to_owned()]).await
    }
}

/// Everything that can decide about one resource.
async fn evidence(conn: &mut Conn, person: &Person, resource: Named<'_>) -> Result<Evidence, Error> {
    if !person.is_active {
        return Ok(Evidence::default());
    }
    let organizations = if person.standings.is_empty() {
        Vec::new()
    } else {
        let ids = List::of(person.standings.iter().map(|standing| &standing.organization_id));
        store::organization_permissions(conn, &ids, resource).await?
    };
    Ok(Evidence {
        permissions: store::permissions(conn, &person.user_id, resource).await?,
        organizations,
        catalogue: store::catalogue_entry(conn, resource).await?,
    })
}

/// Everything that can decide about some resources, by type and name.
pub(super) type Gathered = HashMap<(ResourceType, String), Evidence>;

/// The same about many resources, in as few statements.
pub(super) async fn evidence_of(conn: &mut Conn, person: &Person, resources: &[Named<'_>]) -> Result<Gathered, Error> {
    let mut gathered = Gathered::new();
    if !person.is_active {
        return Ok(gathered);
    }
    let user_id = person.user_id.as_str();
    let held: Vec<Held<'_>> = resources
        .iter()
        .map(|resource| Held {
            user_id,
            resource: *resource,
        })
        .collect();
    for found in store::permissions_of(conn, &held).await? {
        let key = (found.resource_type, found.resource_name.clone());
        gathered.entry(key).or_default().permissions.push(found);
    }
    let ids = List::of(person.standings.iter().map(|standing| &standing.organization_id));
    for found in store::organization_permissions_of(conn, &ids, resources).await? {
        let key = (found.resource_type, found.resource_name.clone());
        gathered.entry(key).or_default().organizations.push(found);
    }
    for found in store::catalogue_of(conn, resources).await? {
        let key = (found.resource_type, found.resource_name.clone());
        gathered.entry(key).or_default().catalogue = Some(found);
    }
    Ok(gathered)
}

impl Authorizer for Authorization {
    fn may<'a>(&'a self, ask: Ask<'a>) -> Pending<'a, bool> {
        Box::pin(async move {
            match self.decide(ask).await {
                Ok(decided) => decided.decision.is_granted,
                Err(error) => {
                    tracing::error!(error = %error, "access could not be decided, and is refused");
                    false
                }
            }
        })
    }

    fn visible<'a>(
        &'a self,
        user_id: &'a str,
        resource_type: ResourceType,
        level: AccessLevel,
        after: Option<&'a str>,
        limit: usize,
    ) -> Pending<'a, Result<Visible, Problem>> {
        Box::pin(async move { Ok(service::visible(self, user_id, (resource_type, level), after, limit).await?) })
    }
}
