//! The rules, named by the contracts. No HTTP here.

mod issue;
mod keys;
mod lifecycle;
mod quota;
mod scopes;
mod tokens;
mod usage;

pub(super) use issue::revoked;
pub(crate) use issue::{Issued, NewCredential, end, find_device, issue};
pub(crate) use keys::{
    KeyChange, NewKey, change_key, create_key, is_usable, key, keys, may_change, revoke_key, rotate_key, set_limits,
};
pub use lifecycle::{Leaked, revoke_leaked};
pub(super) use lifecycle::{
    clean_up, forget_person, revoke_of_member, revoke_of_organization, revoke_of_person, tell_expiring,
};
pub(super) use quota::{is_news, tell_credits, tell_used};
pub(super) use scopes::{NewScope, ScopeChange, add_scope, change_scope, scope, scopes};
pub(super) use tokens::{
    NewToken, TokenChange, Workspace, change_token, create_token, kept_workspace, revoke_token, rotate_token, token,
    tokens, workspace,
};
pub(crate) use usage::{Granularity, Item, calls, calls_today, spans, usage_vs_limit};
pub(super) use usage::{Log, LogQuery, log, status};
