//! The one list of services.

use std::sync::Arc;

use aide::openapi::OpenApi;
use polity_identity::{
    account, auth,
    authorization::{self, Authorization},
    credential::{self, Credentials},
    invitation,
    organization::{self, Organizations},
    post::Post,
};
use polity_integrations::{
    connection::{self, Connections},
    consent::{self, Consents, Enforced},
};
use polity_kernel::{
    Ctx,
    caller::CallerSettings,
    compose,
    config::Section,
    db::DatabaseSettings,
    event::EventSettings,
    http::{Described, HttpSettings},
    job::JobSettings,
    limit::RedisSettings,
    mail::MailSettings,
    nats::NatsSettings,
    observe::{LogSettings, TraceSettings},
    outbound::OutboundSettings,
    password::PasswordSettings,
    service::{Mounted, Service},
};
use polity_ports::organization::Membership;

use crate::{BootError, settings::KeySettings};

/// Every service, in the order in which they are documented.
pub const SERVICES: &[&Service] = &[
    &auth::SERVICE,
    &account::SERVICE,
    &authorization::SERVICE,
    &organization::SERVICE,
    &invitation::SERVICE,
    &credential::SERVICE,
    &consent::SERVICE,
    &connection::SERVICE,
];

/// Every section of the settings: the kernel's parts, then the services'.
#[must_use]
pub fn sections() -> Vec<Section> {
    let mut all = vec![
        Section::of::<HttpSettings>("http"),
        Section::of::<DatabaseSettings>("database"),
        Section::of::<KeySettings>("keys"),
        Section::of::<CallerSettings>("callers"),
        Section::of::<PasswordSettings>("password"),
        Section::of::<EventSettings>("events"),
        Section::of::<JobSettings>("jobs"),
        Section::of::<NatsSettings>("nats"),
        Section::of::<RedisSettings>("redis"),
        Section::of::<MailSettings>("mail"),
        Section::of::<OutboundSettings>("outbound"),
        Section::of::<LogSettings>("log"),
        Section::of::<TraceSettings>("traces"),
    ];
    all.extend(SERVICES.iter().flat_map(|service| (service.settings)()));
    all
}

/// The OpenAPI document of the whole program, and its operations one by one.
///
/// # Errors
/// A sentence that names an operation without a requirement, or one that is there twice.
pub fn describe() -> Result<(OpenApi, Vec<Described>), String> {
    compose::openapi(SERVICES)
}

/// Every service with its state; the setting `services` narrows it down by name, empty means all.
pub(crate) async fn mount(
    ctx: &Ctx,
    credentials: &Credentials,
    organizations: &Organizations,
    authorization: &Authorization,
    mut enforced: Vec<Arc<dyn Enforced>>,
) -> Result<Vec<Mounted>, BootError> {
    let wanted = &ctx.core.services;
    for name in wanted {
        if !SERVICES.iter().any(|service| service.name == name) {
            let known: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
            return Err(BootError::new(
                format!("there is no service {name:?}"),
                format!("choose among {}", known.join(", ")),
            ));
        }
    }
    let members: Arc<dyn Membership> = Arc::new(organizations.clone());
    // What rests on consents is opened wherever consents end.
    let consents = Consents::open(ctx, &members)?;
    let connections = Connections::open(ctx, &members, Arc::new(Post(ctx.clone())), &consents)?;
    enforced.push(connections.resting());
    // Auth and credentials are opened even where they are not served: they are what turns tokens into callers.
    let mut all = vec![
        auth::mount(ctx, credentials).await?,
        account::mount(ctx)?,
        authorization::mount(authorization),
        organization::mount(organizations),
        invitation::mount(ctx, organizations)?,
        credential::mount(credentials, Arc::new(connections.clone())),
        consent::mount(&consents, enforced),
        connection::mount(&connections),
    ];
    all.retain(|mounted| wanted.is_empty() || wanted.iter().any(|name| name == mounted.service.name));
    Ok(all)
}
