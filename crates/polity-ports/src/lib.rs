//! What domains say to one another: the payloads of events, and the few questions that need an answer at once, each a trait
//! that the server hands over. A domain depends on this crate and never on another domain.
//!
//! A payload is what the contract says stands in `data`; [`Said`] gives its type, source and key, so that an event is
//! published in one line and cannot be misnamed.

pub mod account;
pub mod auth;
pub mod authorization;
pub mod consent;
pub mod integration;
pub mod invitation;
pub mod organization;
pub mod project;
pub mod subscription;

use polity_kernel::event::NewEvent;
use serde::Serialize;

/// Something a domain says.
pub trait Said: Serialize {
    /// The contract's subject, `service.thing.happened`.
    const TYPE: &'static str;
    /// The service that says it.
    const SOURCE: &'static str;

    /// What it is about; what is about the same is heard in order.
    fn key(&self) -> &str;

    /// The event, ready to be published.
    fn event(&self) -> NewEvent {
        NewEvent {
            r#type: Self::TYPE.into(),
            source: Self::SOURCE.into(),
            key: self.key().to_owned(),
            data: serde_json::to_value(self).unwrap_or_default(),
            metadata: serde_json::Value::Null,
        }
    }
}

/// Declares payloads: the type, which field is the key, and the fields.
macro_rules! said {
    ($source:literal: $($(#[$doc:meta])* $name:ident = $type:literal by $key:ident { $($(#[$field_doc:meta])* $field:ident: $of:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $of,)* }

        impl crate::Said for $name {
            const TYPE: &'static str = concat!($source, ".", $type);
            const SOURCE: &'static str = $source;
            fn key(&self) -> &str { &self.$key }
        }
    )*};
}
pub(crate) use said;
