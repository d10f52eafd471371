//! What authorization says and answers: who may do what with which resource, and the guard that asks.

use std::{marker::PhantomData, sync::Arc};

use aide::{OperationInput, generate::GenContext, openapi};
use axum::extract::{FromRef, FromRequestParts};
use chrono::{DateTime, Utc};
use http::request::Parts;
use polity_kernel::{
    Ctx, Value,
    caller::{self, Caller, Pending},
    db::{self, Cell, Param},
    http::{Problem, codes},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares an enum whose values have an order: texts outside, and in the database the place in the order, so that SQL can
/// compare them.
macro_rules! ranked {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$value_doc])* $value,)* }

        impl $name {
            /// Every value, the lowest first.
            pub const ALL: &'static [Self] = &[$(Self::$value),*];

            /// The text that is sent.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text),* }
            }

            /// The place in the order, which is what is stored.
            #[must_use]
            pub const fn rank(self) -> i64 {
                self as i64
            }
        }

        impl db::Value for $name {
            fn bind(&self) -> Param<'_> {
                Param::Int(self.rank())
            }
            fn read(cell: Cell<'_>) -> db::Result<Self> {
                let rank = cell.int()?;
                let found = usize::try_from(rank).ok().and_then(|rank| Self::ALL.get(rank));
                found.copied().ok_or_else(|| cell.wrong(concat!("no ", stringify!($name))))
            }
        }
    };
}

ranked! {
    /// What may be done with a resource; each level contains the ones before.
    AccessLevel {
        /// Nothing.
        None = "none",
        /// Look at it.
        ReadOnly = "read_only",
        /// Change it.
        ReadWrite = "read_write",
        /// Run it.
        Admin = "admin",
        /// Everything, giving it away included.
        Owner = "owner",
    }
}

ranked! {
    /// What a person pays for; each tier contains the ones before.
    Tier {
        /// Nothing.
        Free = "free",
        /// Some.
        Pro = "pro",
        /// Much.
        Enterprise = "enterprise",
        /// What was agreed.
        Custom = "custom",
    }
}

ranked! {
    /// What an organization pays for, as permissions know it; each plan contains the ones before.
    OrganizationPlan {
        /// Nothing, or little.
        Startup = "startup",
        /// More.
        Growth = "growth",
        /// Much.
        Enterprise = "enterprise",
        /// What was agreed.
        Custom = "custom",
    }
}

impl Tier {
    /// The tier a plan of the subscription service stands for; what is not known is free (BR-SUB-002).
    #[must_use]
    pub fn of_plan(plan: &str) -> Self {
        match plan {
            "pro" | "max" => Self::Pro,
            "enterprise" | "team" => Self::Enterprise,
            "custom" => Self::Custom,
            _ => Self::Free,
        }
    }
}

/// What kind of thing a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Value, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResourceType {
    /// A tool of the Model Context Protocol.
    McpTool,
    /// A prompt.
    Prompt,
    /// A resource of the Model Context Protocol, or any other.
    Resource,
    /// An endpoint of an API.
    ApiEndpoint,
    /// A database.
    Database,
    /// A place for files.
    FileStorage,
    /// A place to compute.
    Compute,
    /// A model.
    AiModel,
}

/// What somebody wants to do with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ask<'a> {
    /// Who.
    pub user_id: &'a str,
    /// What kind of thing.
    pub resource_type: ResourceType,
    /// Which. Compared as it is, after normalisation (NFC).
    pub resource_name: &'a str,
    /// What for.
    pub level: AccessLevel,
    /// In which organization; none: in the one they act in.
    pub organization_id: Option<&'a str>,
}

/// A page of resources somebody may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visible {
    /// Their names, in order.
    pub names: Vec<String>,
    /// Whether there are more after the last.
    pub has_more: bool,
}

/// Decides who may use what. Authorization implements it, and the server hands it to whoever asks.
///
/// What was granted or taken counts in every process within a second.
pub trait Authorizer: Send + Sync {
    /// Whether they may. What cannot be decided now is refused: no error reaches the caller.
    fn may<'a>(&'a self, ask: Ask<'a>) -> Pending<'a, bool>;

    /// The resources of one type that somebody may use at a level above `none`, in the order of their names, after a name:
    /// exactly those of which [`Authorizer::may`] says so. `limit` is at most 1,000.
    ///
    /// # Errors
    /// 503 if it cannot be decided now.
    fn visible<'a>(
        &'a self,
        user_id: &'a str,
        resource_type: ResourceType,
        level: AccessLevel,
        after: Option<&'a str>,
        limit: usize,
    ) -> Pending<'a, Result<Visible, Problem>>;
}

/// A right that a route demands, and that can be granted like any other. Administrators of the platform and services in
/// their own name have all of them.
pub trait Right: Send + Sync + 'static {
    /// What it is called in the OpenAPI document.
    const NAME: &'static str;
    /// What kind of thing the resource is.
    const RESOURCE_TYPE: ResourceType;
    /// Which resource.
    const RESOURCE: &'static str;
    /// What for.
    const LEVEL: AccessLevel;
}

/// A caller who has the right `R`.
pub struct Permitted<R> {
    caller: Caller,
    proven: PhantomData<R>,
}

impl<R> std::ops::Deref for Permitted<R> {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<R: Right, S: Send + Sync> FromRequestParts<S> for Permitted<R>
where
    Ctx: FromRef<S>,
    Arc<dyn Authorizer>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let has_all = caller.is_admin() || (caller.is_service() && caller.on_behalf_of.is_none());
        let may = match caller.user_id() {
            _ if has_all => true,
            Some(user_id) => {
                let ask = Ask {
                    user_id,
                    resource_type: R::RESOURCE_TYPE,
                    resource_name: R::RESOURCE,
                    level: R::LEVEL,
                    organization_id: None,
                };
                <Arc<dyn Authorizer>>::from_ref(state).may(ask).await
            }
            None => false,
        };
        if !may {
            let text = format!("An administrator, or the right {}, is required", R::NAME);
            return Err(Problem::new(codes::FORBIDDEN, text));
        }
        Ok(Self {
            caller,
            proven: PhantomData,
        })
    }
}

impl<R: Right> OperationInput for Permitted<R> {
    fn operation_input(_: &mut GenContext, operation: &mut openapi::Operation) {
        caller::state(operation, R::NAME, &["bearer", "service"]);
    }
}

crate::said! { "authorization_service":
    /// A permission was given, or given again on other terms.
    PermissionGranted = "authorization.permission.granted" by user_id {
        /// To whom.
        user_id: String,
        /// What kind of thing.
        resource_type: ResourceType,
        /// Which.
        resource_name: String,
        /// What for.
        access_level: AccessLevel,
        /// On what it rests.
        permission_source: String,
        /// By whom.
        granted_by_user_id: String,
        /// In which organization it counts; null: everywhere.
        organization_id: Option<String>,
        /// When it ends.
        expires_at: Option<DateTime<Utc>>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A permission was taken.
    PermissionRevoked = "authorization.permission.revoked" by user_id {
        /// From whom.
        user_id: String,
        /// What kind of thing.
        resource_type: ResourceType,
        /// Which.
        resource_name: String,
        /// What it was for.
        previous_access_level: AccessLevel,
        /// By whom.
        revoked_by_user_id: String,
        /// Why.
        reason: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// Somebody was refused; said once a minute for one person and resource, by each process.
    AccessDenied = "authorization.access.denied" by user_id {
        /// Who.
        user_id: String,
        /// What kind of thing.
        resource_type: ResourceType,
        /// Which.
        resource_name: String,
        /// What for.
        required_access_level: AccessLevel,
        /// Why.
        reason: String,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// Permissions were given in one call.
    BulkGranted = "authorization.bulk.granted" by batch_id {
        /// The call.
        batch_id: String,
        /// To whom.
        user_ids: Vec<String>,
        /// How many.
        permission_count: i64,
        /// By whom.
        granted_by_user_id: String,
        /// In which organization, if it is one for all.
        organization_id: Option<String>,
        /// Why.
        reason: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// Permissions were taken in one call.
    BulkRevoked = "authorization.bulk.revoked" by batch_id {
        /// The call.
        batch_id: String,
        /// From whom.
        user_ids: Vec<String>,
        /// How many.
        permission_count: i64,
        /// By whom.
        revoked_by_user_id: String,
        /// In which organization, if it is one for all.
        organization_id: Option<String>,
        /// Why.
        reason: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A role was given through authorization.
    RoleAssigned = "role.assigned" by target_user_id {
        /// By whom.
        actor_user_id: String,
        /// To whom.
        target_user_id: String,
        /// organization or platform.
        scope: String,
        /// In which organization.
        org_id: Option<String>,
        /// Null: there are no applications.
        app_id: Option<String>,
        /// The role before.
        old_role: Option<String>,
        /// The role now.
        new_role: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
    /// A role was replaced by another one through authorization.
    RoleRevoked = "role.revoked" by target_user_id {
        /// By whom.
        actor_user_id: String,
        /// From whom.
        target_user_id: String,
        /// organization or platform.
        scope: String,
        /// In which organization.
        org_id: Option<String>,
        /// Null: there are no applications.
        app_id: Option<String>,
        /// The role before.
        old_role: Option<String>,
        /// The role now.
        new_role: Option<String>,
        /// When.
        timestamp: DateTime<Utc>,
    }
}
