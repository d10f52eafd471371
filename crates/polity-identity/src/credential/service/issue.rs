//! Making a credential, whatever it is for, and saying that one is worth nothing any more.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use polity_kernel::{
    Secret, TokenText,
    caller::Grant,
    db::{Conn, Json, Tx},
};
use polity_ports::{
    Said,
    auth::{ApiKeyCreated, ApiKeyRevoked},
    integration::{ApiTokenCreated, ApiTokenRevoked},
};

use crate::{
    auth,
    credential::{
        Credentials, Error,
        engine::PURPOSE,
        limits::RateLimits,
        model::{Credential, Interval, Kind},
        store::{self, Revoked},
    },
};

/// A credential to make.
pub(crate) struct NewCredential {
    pub kind: Kind,
    pub organization_id: String,
    pub subject_id: Option<String>,
    pub project_id: Option<String>,
    pub name: String,
    pub permissions: Grant,
    pub scopes: Vec<String>,
    pub ip_allowlist: Vec<IpNet>,
    pub rate_limits: RateLimits,
    pub credits: Option<i64>,
    pub refill: Option<(i64, Interval)>,
    pub expires_at: Option<DateTime<Utc>>,
    pub created_by: String,
    pub rotated_from_id: Option<String>,
}

/// A credential that was made, with its text, which is shown this once.
pub(crate) struct Issued {
    pub credential: Credential,
    pub text: Secret,
}

/// Makes a credential. Its text is nowhere but in the answer.
pub(crate) async fn issue(tx: &mut Tx, credentials: &Credentials, new: NewCredential) -> Result<Issued, Error> {
    let ctx = &credentials.ctx;
    let now = ctx.clock.now();
    let subject = new.subject_id.as_deref().filter(|_| new.kind == Kind::Token);
    if new.kind != Kind::Device {
        let owner = format!("{}/{}", new.organization_id, subject.unwrap_or_default());
        tx.lock("credential.owner", &owner).await?;
        let most = credentials.settings.most_per_owner;
        // A successor takes a place that is about to be free: each may have one beside it.
        let room = i64::from(most) * if new.rotated_from_id.is_some() { 2 } else { 1 };
        if store::count_live(tx, &new.organization_id, new.kind, subject, now).await? >= room {
            return Err(Error::TooMany(most));
        }
    }
    let text = TokenText::generate(new.kind.of_text());
    // Integration tokens have ids without a prefix, as their contract says.
    let prefix = if new.kind == Kind::Token { "" } else { "key_" };
    let (grant_all, permissions) = match new.permissions {
        Grant::All => (true, Vec::new()),
        Grant::Only(set) => (false, set.into_iter().collect()),
    };
    let credential = Credential {
        id: ctx.ids.new_id(prefix),
        kind: new.kind,
        hash: ctx.secrets.hash(PURPOSE, text.expose()).as_str().to_owned(),
        organization_id: new.organization_id,
        subject_id: new.subject_id,
        project_id: new.project_id,
        name: new.name,
        preview: preview(text.expose()),
        grant_all,
        permissions: Json(permissions),
        scopes: Json(new.scopes),
        ip_allowlist: Json(new.ip_allowlist),
        rate_limits: Json(new.rate_limits),
        credits: new.credits,
        // How many there are when it is full: what is told of a limit needs that too where nothing fills it up.
        credit_amount: new.refill.map(|(amount, _)| amount).or(new.credits),
        credit_interval: new.refill.map(|(_, interval)| interval),
        credit_period: new.refill.map(|(_, interval)| interval.period(now)),
        is_enabled: true,
        created_by: new.created_by,
        created_at: now,
        updated_at: now,
        expires_at: new.expires_at,
        retires_at: None,
        revoked_at: None,
        rotated_from_id: new.rotated_from_id,
        last_used_at: None,
        last_used_ip: None,
    };
    store::insert(tx, &credential).await?;
    created(tx, credentials, &credential).await?;
    Ok(Issued { credential, text })
}

/// What a credential is recognised by: its kind and its last eight characters, six of which are the checksum.
fn preview(text: &str) -> String {
    let kind = text.rfind('_').map_or("", |at| &text[..=at]);
    let last = text.len().saturating_sub(8);
    format!("{kind}...{}", text.get(last..).unwrap_or_default())
}

async fn created(tx: &mut Tx, credentials: &Credentials, new: &Credential) -> Result<(), Error> {
    let event = match new.kind {
        Kind::Device => return Ok(()),
        Kind::Token => ApiTokenCreated {
            token_id: new.id.clone(),
            workspace_id: new.organization_id.clone(),
            user_id: new.subject_id.clone(),
            scopes: new.scopes.0.clone(),
            expires_at: new.expires_at,
            timestamp: new.created_at,
        }
        .event(),
        Kind::User | Kind::Service => ApiKeyCreated {
            key_id: new.id.clone(),
            organization_id: new.organization_id.clone(),
            project_id: new.project_id.clone(),
            created_by: new.created_by.clone(),
            timestamp: new.created_at,
        }
        .event(),
    };
    credentials.ctx.events.publish(tx, event).await?;
    Ok(())
}

/// Says that a credential was revoked, and makes every process forget it.
pub(in crate::credential) async fn revoked(
    tx: &mut Tx,
    credentials: &Credentials,
    (id, kind, hash, organization_id, subject_id, project_id): Revoked,
    by: &str,
    reason: &str,
) -> Result<(), Error> {
    let timestamp = credentials.ctx.clock.now();
    let (by, reason) = (by.to_owned(), reason.to_owned());
    let event = match kind {
        Kind::Device => {
            auth::end_device_tokens(tx, &credentials.ctx, &id).await?;
            None
        }
        Kind::Token => Some(
            ApiTokenRevoked {
                token_id: id,
                workspace_id: organization_id,
                user_id: subject_id,
                revoked_by: by,
                reason,
                timestamp,
            }
            .event(),
        ),
        Kind::User | Kind::Service => Some(
            ApiKeyRevoked {
                key_id: id,
                organization_id,
                project_id,
                revoked_by: by,
                reason,
                timestamp,
            }
            .event(),
        ),
    };
    if let Some(event) = event {
        credentials.ctx.events.publish(tx, event).await?;
    }
    credentials.tell(tx, &hash).await
}

/// The credential of a device with that secret, revoked or not.
pub(crate) async fn find_device(
    conn: &mut Conn,
    credentials: &Credentials,
    secret: &str,
) -> Result<Option<Credential>, Error> {
    // One that is malformed is looked up too: the work tells nothing.
    let hash = credentials.ctx.secrets.hash(PURPOSE, secret);
    let found = store::find_by_hash(conn, hash.as_str()).await?;
    Ok(found.filter(|found| found.kind == Kind::Device))
}

/// Revokes a credential on the word of the service it belongs to.
pub(crate) async fn end(
    tx: &mut Tx,
    credentials: &Credentials,
    place: (&str, &str),
    by: &str,
    reason: &str,
) -> Result<(), Error> {
    let now = credentials.ctx.clock.now();
    if let Some(done) = store::revoke(tx, by, reason, place, now).await? {
        revoked(tx, credentials, done, by, reason).await?;
    }
    Ok(())
}
