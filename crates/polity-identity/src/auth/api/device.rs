//! Devices: registered, authenticated, verified, paired, revoked.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use garde::Validate;
use polity_kernel::{
    caller::{Caller, Guard, Kind, Public, Require},
    clock,
    http::{self, ClientIp, Idempotency, Json, Path, Problem, Query, Reply, Result, Routes, State, UserAgent, codes},
    operation,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::{Done, client, done};
use crate::auth::{
    Auth,
    error::code,
    model::{Device, DeviceStatus, PAIRING_TTL},
    service::{self, DeviceChange, NewDevice},
};

/// A device to register.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct DeviceRegister {
    /// Its id, of your choosing; nobody else's.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"frame-0042")]
    device_id: String,
    /// The organization it belongs to for life.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    organization_id: String,
    /// What it is called.
    #[garde(length(chars, max = 255))]
    device_name: Option<String>,
    /// What it is.
    #[garde(length(chars, max = 100))]
    #[schemars(example = &"smart_frame")]
    device_type: Option<String>,
    /// More about it; an open object.
    #[garde(length(max = 100), custom(is_small))]
    #[serde(default)]
    metadata: BTreeMap<String, serde_json::Value>,
    /// After how many days its secret ends; left out: never.
    #[garde(range(min = 1, max = 36_500))]
    expires_days: Option<u32>,
}

/// The most bytes that are kept of what is said of a device: a list shows a thousand.
const SMALL: usize = 16 << 10;

/// A garde rule: an object that is not larger than [`SMALL`].
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the validator hands its context over by reference"
)]
fn is_small(metadata: &BTreeMap<String, serde_json::Value>, (): &()) -> garde::Result {
    let size = serde_json::to_vec(metadata).map_or(usize::MAX, |bytes| bytes.len());
    if size > SMALL {
        return Err(garde::Error::new(format!("should have at most {SMALL} bytes in all")));
    }
    Ok(())
}

/// A device that was registered.
#[derive(Debug, Serialize, JsonSchema)]
struct DeviceRegistered {
    /// Always true.
    success: bool,
    /// Its id.
    device_id: String,
    /// Its secret. It is shown this once.
    device_secret: String,
    /// The organization it belongs to.
    organization_id: String,
    /// What it is called.
    device_name: Option<String>,
    /// What it is.
    device_type: Option<String>,
    /// How it is.
    status: DeviceStatus,
    /// When it was registered.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
}

/// Registers a device of an organization; its secret is in this answer and nowhere else.
///
/// For administrators of the organization and of the platform, and for services.
#[operation(
    "auth.register_device",
    errors(codes::FORBIDDEN, codes::BAD_REQUEST, code::DEVICE_EXISTS)
)]
async fn register(
    caller: Caller,
    State(auth): State<Auth>,
    body: Idempotency<DeviceRegister>,
) -> Result<Reply<DeviceRegistered>> {
    let (body, key) = body.into_parts();
    let ctx = &auth.ctx;
    let mut tx = ctx.db.begin().await?;
    if let Some(answer) = http::replay(ctx, &mut tx, key.as_ref()).await? {
        return Ok(answer.into());
    }
    let new = NewDevice {
        device_id: body.device_id,
        organization_id: body.organization_id,
        device_name: body.device_name,
        device_type: body.device_type,
        metadata: body.metadata.into_iter().collect(),
        expires_at: body
            .expires_days
            .map(|days| ctx.clock.now() + Duration::days(i64::from(days))),
    };
    let (device, secret) = service::register_device(&mut tx, &auth, &caller, new).await?;
    let out = DeviceRegistered {
        success: true,
        device_id: device.device_id,
        device_secret: secret.expose().to_owned(),
        organization_id: device.organization_id,
        device_name: device.device_name,
        device_type: device.device_type,
        status: device.status,
        created_at: device.created_at,
    };
    http::keep(ctx, &mut tx, key.as_ref(), 200, &out).await?;
    tx.commit().await?;
    Ok(Json(out).into())
}

/// What a device proves itself with.
#[derive(Deserialize, Validate, JsonSchema)]
struct DeviceAuthenticate {
    /// Its id.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"frame-0042")]
    device_id: String,
    /// Its secret.
    #[garde(length(chars, min = 1, max = 1_024))]
    device_secret: String,
}

/// A device that proved itself.
#[derive(Debug, Serialize, JsonSchema)]
struct DeviceAuthenticated {
    /// Always true.
    success: bool,
    /// Always true.
    authenticated: bool,
    /// Its id.
    device_id: String,
    /// The organization it belongs to.
    organization_id: String,
    /// What it is called.
    device_name: Option<String>,
    /// What it is.
    device_type: Option<String>,
    /// Its token.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// How long the token lives, in seconds: a day, or until the device ends.
    expires_in: i64,
}

/// Exchanges a device's secret for a token.
#[operation("auth.authenticate_device", errors(code::INVALID_DEVICE))]
async fn authenticate(
    _: Public,
    State(auth): State<Auth>,
    ip: ClientIp,
    agent: UserAgent,
    Json(body): Json<DeviceAuthenticate>,
) -> Result<Json<DeviceAuthenticated>> {
    let client = client(ip, agent);
    let done = service::authenticate_device(&auth, &body.device_id, &body.device_secret, &client).await?;
    Ok(Json(DeviceAuthenticated {
        success: true,
        authenticated: true,
        device_id: done.device.device_id,
        organization_id: done.device.organization_id,
        device_name: done.device.device_name,
        device_type: done.device.device_type,
        access_token: done.access_token,
        token_type: "Bearer",
        expires_in: done.expires_in,
    }))
}

/// A token to verify.
#[derive(Deserialize, Validate, JsonSchema)]
struct TokenIn {
    /// The token.
    #[garde(length(chars, max = 65_536))]
    token: String,
}

/// What a device's token proves.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct DeviceVerification {
    /// Whether it proves anything.
    valid: bool,
    /// Whose it is.
    device_id: Option<String>,
    /// The organization the device belongs to.
    organization_id: Option<String>,
    /// What the device is.
    device_type: Option<String>,
    /// When the token ends, RFC 3339.
    expires_at: Option<String>,
    /// Why it proves nothing.
    error: Option<String>,
}

/// Verifies a device's token.
///
/// Always 200: `valid` says whether it proves anything. A device that was revoked, is inactive, has ended or has another
/// secret by now proves nothing.
#[operation("auth.verify_device_token")]
async fn verify_token(_: Public, State(auth): State<Auth>, Json(body): Json<TokenIn>) -> Json<DeviceVerification> {
    let refused = |text: &str| DeviceVerification {
        error: Some(text.to_owned()),
        ..DeviceVerification::default()
    };
    Json(match service::verify_device(&auth, &body.token).await {
        Ok(Ok(claims)) => DeviceVerification {
            valid: true,
            device_id: claims.device_id,
            organization_id: claims.organization_id,
            device_type: claims.device_type,
            expires_at: DateTime::from_timestamp(claims.exp, 0).map(clock::rfc3339),
            error: None,
        },
        Ok(Err(text)) => refused(text),
        Err(error) => {
            tracing::error!(error = %error, "a device's token could not be verified");
            refused("The token cannot be verified now; try again")
        }
    })
}

/// Which devices.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct DevicesQuery {
    /// The organization.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    organization_id: String,
    /// How many at most.
    #[garde(range(min = 1, max = 1_000))]
    #[serde(default = "thousand")]
    limit: i64,
    /// How many to leave out.
    #[garde(range(min = 0, max = 1_000_000_000))]
    #[serde(default)]
    offset: i64,
}

fn thousand() -> i64 {
    1_000
}

/// A device, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
struct DeviceOut {
    /// Its id.
    device_id: String,
    /// The organization it belongs to.
    organization_id: String,
    /// What it is called.
    device_name: Option<String>,
    /// What it is.
    device_type: Option<String>,
    /// How it is.
    status: DeviceStatus,
    /// More about it.
    metadata: Map<String, serde_json::Value>,
    /// The person it is paired with.
    paired_user_id: Option<String>,
    /// Since when.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    paired_at: Option<DateTime<Utc>>,
    /// When it proved its secret last.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    last_authenticated_at: Option<DateTime<Utc>>,
    /// How often it did.
    authentication_count: i64,
    /// When it ends; null: never.
    #[serde(with = "clock::rfc3339::option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    expires_at: Option<DateTime<Utc>>,
    /// When it was registered.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    created_at: DateTime<Utc>,
}

impl From<Device> for DeviceOut {
    fn from(device: Device) -> Self {
        Self {
            device_id: device.device_id,
            organization_id: device.organization_id,
            device_name: device.device_name,
            device_type: device.device_type,
            status: device.status,
            metadata: device.metadata.0,
            paired_user_id: device.paired_user_id,
            paired_at: device.paired_at,
            last_authenticated_at: device.last_authenticated_at,
            authentication_count: device.authentication_count,
            expires_at: device.expires_at,
            created_at: device.created_at,
        }
    }
}

/// Devices of an organization.
#[derive(Debug, Serialize, JsonSchema)]
struct DeviceList {
    /// Always true.
    success: bool,
    /// The devices, newest first.
    devices: Vec<DeviceOut>,
    /// How many there are in all.
    count: i64,
}

/// Lists the devices of an organization, newest first, revoked ones included. For its administrators.
#[operation("auth.list_devices", errors(codes::FORBIDDEN))]
async fn list(caller: Caller, State(auth): State<Auth>, Query(query): Query<DevicesQuery>) -> Result<Json<DeviceList>> {
    let mut read = auth.ctx.db.read().await?;
    let page = (query.limit, query.offset);
    let (found, count) = service::list_devices(&mut read, &caller, &query.organization_id, page).await?;
    Ok(Json(DeviceList {
        success: true,
        devices: found.into_iter().map(DeviceOut::from).collect(),
        count,
    }))
}

/// Which organization a device is of.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct OrganizationQuery {
    /// The organization.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    organization_id: String,
}

/// A new secret.
#[derive(Debug, Serialize, JsonSchema)]
struct SecretOut {
    /// Always true.
    success: bool,
    /// The device.
    device_id: String,
    /// Its new secret. It is shown this once.
    device_secret: String,
    /// What was done.
    message: &'static str,
}

/// Gives a device a new secret; the old one and the tokens it was exchanged for end at once.
#[operation("auth.refresh_device_secret", errors(codes::FORBIDDEN, code::DEVICE_NOT_FOUND))]
async fn refresh_secret(
    caller: Caller,
    State(auth): State<Auth>,
    Path(device_id): Path<String>,
    Query(query): Query<OrganizationQuery>,
) -> Result<Json<SecretOut>> {
    let mut tx = auth.ctx.db.begin().await?;
    let secret = service::refresh_secret(&mut tx, &auth, &caller, (&query.organization_id, &device_id)).await?;
    tx.commit().await?;
    Ok(Json(SecretOut {
        success: true,
        device_id,
        device_secret: secret.expose().to_owned(),
        message: "Device secret refreshed",
    }))
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
struct DevicePatch {
    /// What it is called.
    #[garde(length(chars, max = 255))]
    device_name: Option<String>,
    /// More about it; replaces what is there.
    #[garde(inner(length(max = 100), custom(is_small)))]
    metadata: Option<BTreeMap<String, serde_json::Value>>,
    /// Whether it may be used.
    #[garde(skip)]
    is_active: Option<bool>,
}

/// Renames, describes, suspends or resumes a device. While it is suspended, neither its secret nor its tokens count.
#[operation("auth.update_device", errors(codes::FORBIDDEN, code::DEVICE_NOT_FOUND))]
async fn update(
    caller: Caller,
    State(auth): State<Auth>,
    Path(device_id): Path<String>,
    Query(query): Query<OrganizationQuery>,
    Json(body): Json<DevicePatch>,
) -> Result<Json<DeviceOut>> {
    let change = DeviceChange {
        device_name: body.device_name,
        metadata: body.metadata.map(|metadata| metadata.into_iter().collect()),
        is_active: body.is_active,
    };
    let mut tx = auth.ctx.db.begin().await?;
    let place = (query.organization_id.as_str(), device_id.as_str());
    let changed = service::change_device(&mut tx, &auth, &caller, place, change).await?;
    tx.commit().await?;
    Ok(Json(changed.into()))
}

/// Revokes a device for good: its secret and its tokens end at once, and its id is not given again.
#[operation("auth.revoke_device", errors(codes::FORBIDDEN, code::DEVICE_NOT_FOUND))]
async fn revoke(
    caller: Caller,
    State(auth): State<Auth>,
    Path(device_id): Path<String>,
    Query(query): Query<OrganizationQuery>,
) -> Result<Json<Done>> {
    let mut tx = auth.ctx.db.begin().await?;
    service::revoke_device(&mut tx, &auth, &caller, (&query.organization_id, &device_id)).await?;
    tx.commit().await?;
    Ok(done("Device revoked"))
}

/// A device, or a service in its own name: people cannot have what devices show them.
struct IsDeviceOrService;

impl Require for IsDeviceOrService {
    const NAME: &'static str = "device or service";
    const MISSING: &'static str = "A device token or a service credential is required";

    fn admit(caller: &Caller) -> std::result::Result<(), Problem> {
        if caller.kind == Kind::Device || (caller.is_service() && caller.on_behalf_of.is_none()) {
            return Ok(());
        }
        Err(Problem::new(
            codes::FORBIDDEN,
            "A device token, or a service credential without X-User-Id, is required",
        ))
    }
}

/// A token to pair a device with.
#[derive(Debug, Serialize, JsonSchema)]
struct PairingOut {
    /// Always true.
    success: bool,
    /// The token. It is shown this once, and works once.
    pairing_token: String,
    /// When it ends.
    #[serde(with = "clock::rfc3339")]
    #[schemars(with = "DateTime<Utc>")]
    expires_at: DateTime<Utc>,
    /// In how many seconds.
    expires_in: i64,
}

/// A token with which a person pairs a device with themselves; earlier ones of the device that nobody used end.
#[operation("auth.new_pairing_token", errors(codes::FORBIDDEN, code::DEVICE_UNUSABLE))]
async fn new_pairing(
    caller: Guard<IsDeviceOrService>,
    State(auth): State<Auth>,
    Path(device_id): Path<String>,
) -> Result<Json<PairingOut>> {
    let mut tx = auth.ctx.db.begin().await?;
    let (token, expires_at) = service::new_pairing(&mut tx, &auth, &caller, &device_id).await?;
    tx.commit().await?;
    Ok(Json(PairingOut {
        success: true,
        pairing_token: token.expose().to_owned(),
        expires_at,
        expires_in: PAIRING_TTL,
    }))
}

/// Who pairs themselves with which device.
#[derive(Deserialize, Validate, JsonSchema)]
struct PairingVerify {
    /// The device.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"frame-0042")]
    device_id: String,
    /// Its token.
    #[garde(length(chars, min = 1, max = 1_024))]
    pairing_token: String,
    /// The person; the caller, unless a service asks.
    #[garde(length(chars, min = 1, max = 255))]
    #[schemars(example = &"usr_01a1fb4e7b4b73df93c4746cc8a8b943")]
    user_id: String,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
struct Paired {
    /// Whether they are paired now.
    valid: bool,
    /// The device.
    device_id: String,
    /// The person.
    user_id: String,
    /// Why not.
    error: Option<&'static str>,
}

/// Pairs a person with a device; 200 whether it works or not.
#[operation("auth.verify_pairing_token", errors(codes::FORBIDDEN))]
async fn verify_pairing(
    caller: Caller,
    State(auth): State<Auth>,
    Json(body): Json<PairingVerify>,
) -> Result<Json<Paired>> {
    let is_service = caller.is_service() && caller.may_act_for(&body.user_id);
    if !is_service && caller.user_id() != Some(&body.user_id) {
        return Err(Problem::new(
            codes::FORBIDDEN,
            "You can only pair a device with yourself",
        ));
    }
    let mut tx = auth.ctx.db.begin().await?;
    let asked = (
        body.device_id.as_str(),
        body.pairing_token.as_str(),
        body.user_id.as_str(),
    );
    let done = service::pair(&mut tx, &auth, asked).await?;
    tx.commit().await?;
    Ok(Json(Paired {
        valid: done.is_ok(),
        device_id: body.device_id,
        user_id: body.user_id,
        error: done.err(),
    }))
}

pub(super) fn add(routes: Routes<Auth>) -> Routes<Auth> {
    routes
        .post("/api/v1/auth/device/register", register())
        .post("/api/v1/auth/device/authenticate", authenticate())
        .post("/api/v1/auth/device/verify-token", verify_token())
        .get("/api/v1/auth/device/list", list())
        .post("/api/v1/auth/device/pairing-token/verify", verify_pairing())
        .patch("/api/v1/auth/device/{device_id}", update())
        .delete("/api/v1/auth/device/{device_id}", revoke())
        .post("/api/v1/auth/device/{device_id}/refresh-secret", refresh_secret())
        .post("/api/v1/auth/device/{device_id}/pairing-token", new_pairing())
}
