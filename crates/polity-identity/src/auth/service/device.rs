//! Devices: registered with a secret, authenticated for a day, paired with a person (BR-DEV).

use chrono::{DateTime, Duration, Utc};
use polity_kernel::{
    Ctx, Secret, TokenKind, TokenText,
    caller::{Caller, Grant, Kind as CallerKind},
    db::{self, Conn, Json, Tx},
};
use polity_ports::{
    Said,
    auth::{
        DeviceAuthenticated, DeviceRegistered, DeviceRevoked, PairingCompleted, PairingTokenGenerated,
        PairingTokenVerified,
    },
};

use super::{Client, session::remember_revoked};
use crate::{
    auth::{
        Auth, Error,
        model::{Claims, DEVICE_TTL, Device, DeviceStatus, Metadata, PAIRING_TTL, Scope, TokenType},
        store::{self, device::Attempt},
        tokens::Refused,
    },
    credential::{self, Credential, Kind, NewCredential, RateLimits},
};

/// What keeps hashes of pairing tokens apart from others.
const PAIRING: &str = "auth.pairing_token";
/// Why a device's tokens end.
const REASON: &str = "device";

/// A device to register.
pub(in crate::auth) struct NewDevice {
    pub device_id: String,
    pub organization_id: String,
    pub device_name: Option<String>,
    pub device_type: Option<String>,
    pub metadata: Metadata,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Registers a device of an organization, for life (BR-DEV-023); its secret is in the answer and nowhere else.
pub(in crate::auth) async fn register_device(
    tx: &mut Tx,
    auth: &Auth,
    caller: &Caller,
    new: NewDevice,
) -> Result<(Device, Secret), Error> {
    credential::may_change(tx, caller, &new.organization_id).await?;
    if !credential::is_usable(tx, &new.organization_id).await? {
        return Err(Error::OrganizationUnusable);
    }
    let now = auth.ctx.clock.now();
    let mut device = Device {
        device_id: new.device_id,
        organization_id: new.organization_id,
        credential_id: String::new(),
        session_id: String::new(),
        device_name: new.device_name,
        device_type: new.device_type,
        status: DeviceStatus::Active,
        metadata: Json(new.metadata),
        paired_user_id: None,
        paired_at: None,
        last_authenticated_at: None,
        authentication_count: 0,
        expires_at: new.expires_at,
        created_by: caller.user_id().unwrap_or(&caller.id).to_owned(),
        created_at: now,
    };
    let (credential_id, secret) = secret_of(tx, auth, &device).await?;
    device.session_id.clone_from(&credential_id);
    device.credential_id = credential_id;
    if !store::device::insert(tx, &device).await? {
        return Err(Error::DeviceExists);
    }
    let event = DeviceRegistered {
        device_id: device.device_id.clone(),
        organization_id: device.organization_id.clone(),
        device_name: device.device_name.clone(),
        device_type: device.device_type.clone(),
        status: "active".to_owned(),
        timestamp: now,
    };
    auth.ctx.events.publish(tx, event.event()).await?;
    Ok((device, secret))
}

/// A new secret of a device, and the id of its credential.
async fn secret_of(tx: &mut Tx, auth: &Auth, device: &Device) -> Result<(String, Secret), Error> {
    let new = NewCredential {
        kind: Kind::Device,
        organization_id: device.organization_id.clone(),
        subject_id: Some(device.device_id.clone()),
        project_id: None,
        name: device.device_name.clone().unwrap_or_default(),
        permissions: Grant::only(Vec::<String>::new()),
        scopes: Vec::new(),
        ip_allowlist: Vec::new(),
        rate_limits: RateLimits::new(),
        credits: None,
        refill: None,
        expires_at: device.expires_at,
        created_by: device.created_by.clone(),
        rotated_from_id: None,
    };
    let issued = credential::issue(tx, &auth.credentials, new).await?;
    Ok((issued.credential.id, issued.text))
}

/// A device that proved its secret, with its token.
pub(in crate::auth) struct Authenticated {
    pub device: Device,
    pub access_token: String,
    pub expires_in: i64,
}

/// Exchanges a device's secret for a token. Whether the device is unknown, its secret wrong or it may not be used: the
/// answer is one, and so is the work (EC-007). Every attempt is kept.
pub(in crate::auth) async fn authenticate_device(
    auth: &Auth,
    device_id: &str,
    secret: &str,
    client: &Client,
) -> Result<Authenticated, Error> {
    let now = auth.ctx.clock.now();
    let mut tx = auth.ctx.db.begin().await?;
    let device = store::device::find(&mut tx, device_id).await?;
    let held = credential::find_device(&mut tx, &auth.credentials, secret).await?;
    let mut judged = judge(device, held, now);
    if let Ok(device) = &judged
        && !credential::is_usable(&mut tx, &device.organization_id).await?
    {
        judged = Err(("blocked", "organization suspended or gone"));
    }
    let attempt = Attempt {
        id: auth.ctx.ids.new_id("dlg_"),
        device_id,
        status: judged.as_ref().map_or_else(|(status, _)| *status, |_| "success"),
        ip: &client.ip,
        user_agent: &client.user_agent,
        error: judged.as_ref().err().map(|(_, why)| *why),
    };
    store::device::log(&mut tx, &attempt, now).await?;
    let Ok(device) = judged else {
        tx.commit().await?;
        return Err(Error::InvalidDevice);
    };
    store::device::mark_authenticated(&mut tx, device_id, now).await?;
    let event = DeviceAuthenticated {
        device_id: device.device_id.clone(),
        organization_id: device.organization_id.clone(),
        device_name: device.device_name.clone(),
        device_type: device.device_type.clone(),
        ip_address: client.ip.clone(),
        timestamp: now,
    };
    auth.ctx.events.publish(&mut tx, event.event()).await?;
    tx.commit().await?;
    let claims = claims(auth, &device, now);
    Ok(Authenticated {
        access_token: auth.sign(&claims)?,
        expires_in: claims.exp - claims.iat,
        device,
    })
}

/// The device, if the secret is its present one and it may be used; else how the attempt failed, and why, for the log.
fn judge(
    device: Option<Device>,
    held: Option<Credential>,
    now: DateTime<Utc>,
) -> Result<Device, (&'static str, &'static str)> {
    let device = device.ok_or(("failed", "unknown device"))?;
    let fits = |held: &Credential| held.id == device.credential_id && held.revoked_at.is_none();
    if !held.as_ref().is_some_and(fits) {
        return Err(("failed", "wrong secret"));
    }
    if !device.may_be_used(now) {
        return Err(("blocked", "inactive, revoked or expired"));
    }
    Ok(device)
}

fn claims(auth: &Auth, device: &Device, now: DateTime<Utc>) -> Claims {
    let (now, end) = (now.timestamp(), device.expires_at.map_or(i64::MAX, |at| at.timestamp()));
    Claims {
        iss: auth.issuer(),
        sub: device.device_id.clone(),
        iat: now,
        exp: end.min(now + DEVICE_TTL),
        jti: auth.ctx.ids.jti(),
        kind: TokenType::Device,
        scope: Scope::Device,
        // With the secret, or when the device is suspended, the token ends.
        sid: Some(device.session_id.clone()),
        email: None,
        organization_id: Some(device.organization_id.clone()),
        permissions: Vec::new(),
        metadata: Metadata::new(),
        device_id: Some(device.device_id.clone()),
        device_type: device.device_type.clone(),
    }
}

/// The claims of a device's token, as long as the device may be used and has the secret it was given for.
pub(in crate::auth) async fn verify_device(auth: &Auth, token: &str) -> Result<Result<Claims, &'static str>, Error> {
    let claims = match auth.verify(token).await? {
        Ok(claims) if claims.kind == TokenType::Device => claims,
        Ok(_) => return Ok(Err(Refused::Type.text())),
        Err(refused) => return Ok(Err(refused.text())),
    };
    let mut read = auth.ctx.db.read().await?;
    let device = store::device::find(&mut read, &claims.sub).await?;
    let fits = |device: &Device| claims.sid.as_deref() == Some(device.session_id.as_str());
    match device.filter(fits) {
        Some(device) if may_be_used(&mut read, auth, &device).await? => Ok(Ok(claims)),
        _ => Ok(Err("Device is not active")),
    }
}

/// Whether a device may be used now: it rests with its organization.
async fn may_be_used(conn: &mut Conn, auth: &Auth, device: &Device) -> Result<bool, Error> {
    Ok(device.may_be_used(auth.ctx.clock.now()) && credential::is_usable(conn, &device.organization_id).await?)
}

/// The devices of an organization, newest first, and how many there are.
pub(in crate::auth) async fn list_devices(
    read: &mut Conn,
    caller: &Caller,
    organization_id: &str,
    (limit, offset): (i64, i64),
) -> Result<(Vec<Device>, i64), Error> {
    credential::may_change(read, caller, organization_id).await?;
    let found = store::device::list(read, organization_id, limit, offset).await?;
    Ok((found, store::device::count(read, organization_id).await?))
}

/// A device of this organization, for whoever may change it; another organization's is not found.
async fn managed(tx: &mut Tx, caller: &Caller, (organization_id, device_id): (&str, &str)) -> Result<Device, Error> {
    credential::may_change(tx, caller, organization_id).await?;
    tx.lock("auth.device", device_id).await?;
    let found = store::device::find(tx, device_id).await?;
    found
        .filter(|device| device.organization_id == organization_id && device.status != DeviceStatus::Revoked)
        .ok_or(Error::DeviceNotFound)
}

/// Gives a device a new secret. The old one, and the tokens it was exchanged for, end at once (BR-DEV-028).
pub(in crate::auth) async fn refresh_secret(
    tx: &mut Tx,
    auth: &Auth,
    caller: &Caller,
    place: (&str, &str),
) -> Result<Secret, Error> {
    let device = managed(tx, caller, place).await?;
    let by = caller.user_id().unwrap_or(&caller.id);
    end_credential(tx, auth, &device, by).await?;
    let (credential_id, secret) = secret_of(tx, auth, &device).await?;
    store::device::set_credential(tx, &device.device_id, &credential_id, auth.ctx.clock.now()).await?;
    Ok(secret)
}

/// Ends the secret of a device and every token it was exchanged for.
async fn end_credential(tx: &mut Tx, auth: &Auth, device: &Device, by: &str) -> Result<(), Error> {
    let place = (device.organization_id.as_str(), device.credential_id.as_str());
    credential::end(tx, &auth.credentials, place, by, REASON).await?;
    remember_revoked(tx, auth, vec![device.session_id.clone()]);
    Ok(())
}

/// Ends every token that a secret of a device was exchanged for, whoever revoked the secret.
pub(crate) async fn end_device_tokens(tx: &mut Tx, ctx: &Ctx, credential_id: &str) -> db::Result<()> {
    let until = ctx.clock.now() + Duration::seconds(DEVICE_TTL);
    store::device::end_session(tx, credential_id, until).await
}

/// What is to change of a device; what is `None` stays.
pub(in crate::auth) struct DeviceChange {
    pub device_name: Option<String>,
    pub metadata: Option<Metadata>,
    pub is_active: Option<bool>,
}

/// Changes a device. While it is inactive, neither its secret nor its tokens count.
pub(in crate::auth) async fn change_device(
    tx: &mut Tx,
    auth: &Auth,
    caller: &Caller,
    place: (&str, &str),
    change: DeviceChange,
) -> Result<Device, Error> {
    let mut device = managed(tx, caller, place).await?;
    device.device_name = change.device_name.or(device.device_name);
    device.metadata = change.metadata.map_or(device.metadata, Json);
    match change.is_active {
        Some(true) => device.status = DeviceStatus::Active,
        Some(false) if device.status == DeviceStatus::Active => {
            device.status = DeviceStatus::Inactive;
            // Tokens are looked up where they are verified; where they open something, they have to end.
            end_device_tokens(tx, &auth.ctx, &device.credential_id).await?;
            remember_revoked(tx, auth, vec![device.session_id.clone()]);
            device.session_id = auth.ctx.ids.new_id("dvs_");
            store::device::set_session(tx, &device.device_id, &device.session_id).await?;
        }
        Some(false) | None => {}
    }
    let name = device.device_name.as_deref();
    let now = auth.ctx.clock.now();
    store::device::update(tx, &device.device_id, name, &device.metadata, device.status, now).await?;
    Ok(device)
}

/// Revokes a device for good (BR-DEV-029).
pub(in crate::auth) async fn revoke_device(
    tx: &mut Tx,
    auth: &Auth,
    caller: &Caller,
    place: (&str, &str),
) -> Result<(), Error> {
    let device = managed(tx, caller, place).await?;
    let by = caller.user_id().unwrap_or(&caller.id).to_owned();
    end_credential(tx, auth, &device, &by).await?;
    let (now, name) = (auth.ctx.clock.now(), device.device_name.as_deref());
    let status = DeviceStatus::Revoked;
    store::device::update(tx, &device.device_id, name, &device.metadata, status, now).await?;
    let event = DeviceRevoked {
        device_id: device.device_id,
        organization_id: device.organization_id,
        revoked_by: by,
        timestamp: now,
    };
    auth.ctx.events.publish(tx, event.event()).await?;
    Ok(())
}

/// A token to pair a device with, and when it ends.
pub(in crate::auth) async fn new_pairing(
    tx: &mut Tx,
    auth: &Auth,
    caller: &Caller,
    device_id: &str,
) -> Result<(Secret, DateTime<Utc>), Error> {
    if caller.kind == CallerKind::Device && caller.id != device_id {
        return Err(Error::DeviceUnusable);
    }
    tx.lock("auth.device", device_id).await?;
    let now = auth.ctx.clock.now();
    let found = store::device::find(tx, device_id).await?;
    let device = found.ok_or(Error::DeviceUnusable)?;
    if !may_be_used(tx, auth, &device).await? {
        return Err(Error::DeviceUnusable);
    }
    let kind = TokenKind::new("pair").map_err(|error| Error::Internal(error.to_string()))?;
    let text = TokenText::generate(kind);
    let hash = auth.ctx.secrets.hash(PAIRING, text.expose());
    let expires_at = now + Duration::seconds(PAIRING_TTL);
    store::device::put_pairing(tx, device_id, hash.as_str(), expires_at).await?;
    let event = PairingTokenGenerated {
        device_id: device_id.to_owned(),
        expires_at,
        generated_at: now,
    };
    auth.ctx.events.publish(tx, event.event()).await?;
    Ok((text, expires_at))
}

/// Pairs a person with the device whose token they present; of two at once, one (BR-DEV-027, EC-009). The refusals are the
/// contract's texts.
pub(in crate::auth) async fn pair(
    tx: &mut Tx,
    auth: &Auth,
    (device_id, token, user_id): (&str, &str, &str),
) -> Result<Result<(), &'static str>, Error> {
    if TokenText::parse(token).is_err() {
        return Ok(Err("Invalid pairing token"));
    }
    let now = auth.ctx.clock.now();
    let hash = auth.ctx.secrets.hash(PAIRING, token);
    tx.lock("auth.device", device_id).await?;
    let Some(pairing) = store::device::find_pairing(tx, hash.as_str()).await? else {
        return Ok(Err("Invalid pairing token"));
    };
    if pairing.device_id != device_id {
        return Ok(Err("Token does not match device"));
    }
    if pairing.used_at.is_some() {
        return Ok(Err("Token has already been used"));
    }
    // At the second of its end it has ended (EC-008).
    if now >= pairing.expires_at {
        return Ok(Err("Token has expired"));
    }
    let device = store::device::find(tx, device_id).await?;
    let Some(device) = device else {
        return Ok(Err("Invalid pairing token"));
    };
    if !may_be_used(tx, auth, &device).await? {
        return Ok(Err("Invalid pairing token"));
    }
    if !store::device::use_pairing(tx, hash.as_str(), user_id, now).await? {
        return Ok(Err("Token has already been used"));
    }
    store::device::mark_paired(tx, device_id, user_id, now).await?;
    let verified = PairingTokenVerified {
        device_id: device_id.to_owned(),
        user_id: user_id.to_owned(),
        verified_at: now,
    };
    let completed = PairingCompleted {
        device_id: device_id.to_owned(),
        user_id: user_id.to_owned(),
        device_name: device.device_name,
        device_type: device.device_type,
        paired_at: now,
    };
    auth.ctx.events.publish(tx, verified.event()).await?;
    auth.ctx.events.publish(tx, completed.event()).await?;
    Ok(Ok(()))
}
