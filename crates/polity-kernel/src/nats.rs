//! NATS: wake-ups between processes, and copies of events for readers outside.
//!
//! Off unless `nats.url` is set. The position table stays the truth: a server that is gone delays wake-ups to the next look
//! and copies to its return, and loses nothing.
//!
//! Deliberately absent: taking events from NATS. What other programs have to say comes in over the API.

use std::time::Duration;

use async_nats::{
    Client, ConnectOptions, Event, Subscriber, connection::State, header::NATS_MESSAGE_ID, jetstream,
    jetstream::stream::StorageType,
};
use polity_seal::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// NATS.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NatsSettings {
    /// Where it is: `nats://user:password@host:4222`, or `tls://…`; several separated by commas. Not used if unset.
    #[schemars(with = "Option<String>", extend("x-secret" = true))]
    pub url: Option<Secret>,
    /// What subjects begin with: events are on `PREFIX.events.TYPE`. Programs that share a server need prefixes of their own.
    pub prefix: String,
    /// The JetStream stream that keeps copies of events; it is made if it is not there.
    pub stream: String,
    /// How long that stream keeps a copy, in days.
    pub retention_days: u32,
    /// How many servers keep each copy.
    pub stream_replicas: u32,
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            url: None,
            prefix: "polity".to_owned(),
            stream: "POLITY_EVENTS".to_owned(),
            retention_days: 7,
            stream_replicas: 1,
        }
    }
}

/// Why something did not reach NATS.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// The settings cannot be used.
    #[error("nats.{0}")]
    Settings(String),
    /// The server cannot be reached, or refused.
    #[error("NATS: {0}")]
    Unavailable(String),
    /// The stream does not end where it was thought to end.
    #[error("NATS: the stream was written to by somebody else, or cut")]
    Moved,
    /// The message is larger than the server takes.
    #[error("NATS: the message is too large")]
    TooLarge,
}

/// A connection that renews itself. Cheap to clone.
#[derive(Clone)]
pub struct Nats {
    client: Client,
    jetstream: jetstream::Context,
    settings: NatsSettings,
    connections: watch::Receiver<u64>,
}

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The last copy in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastCopy {
    /// The id of the event.
    pub id: String,
    /// Its position.
    pub position: i64,
}

impl Nats {
    /// Opens the connection the settings name, `None` if they name none. Returns at once; a server that is not there yet
    /// is tried again and again.
    ///
    /// # Errors
    /// [`NatsError::Settings`] if the URL, prefix or stream cannot be one.
    pub async fn open(settings: &NatsSettings) -> Result<Option<Self>, NatsError> {
        let Some(url) = &settings.url else {
            return Ok(None);
        };
        check_name("prefix", &settings.prefix, "._-")?;
        check_name("stream", &settings.stream, "_-")?;
        let addresses: Vec<async_nats::ServerAddr> = url
            .expose()
            .split(',')
            .map(|one| one.trim().parse())
            .collect::<Result<_, _>>()
            .map_err(|_| NatsError::Settings("url is not nats://user:password@host:port".to_owned()))?;
        let (connected, connections) = watch::channel(0);
        let note = move |event: Event| {
            match &event {
                Event::Connected => {
                    tracing::info!("NATS is there");
                    connected.send_modify(|count: &mut u64| *count = count.wrapping_add(1));
                }
                other => tracing::warn!(nats.event = %other, "NATS"),
            }
            std::future::ready(())
        };
        let client = ConnectOptions::new()
            .name("polity")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ping_interval(Duration::from_secs(10))
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            .reconnect_delay_callback(|attempts| Duration::from_millis(100 << attempts.min(4)))
            .event_callback(note)
            .connect(addresses)
            .await
            .map_err(|error| NatsError::Unavailable(error.to_string()))?;
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(PATIENCE)
            .ack_timeout(PATIENCE)
            .build(client.clone());
        Ok(Some(Self {
            client,
            jetstream,
            settings: settings.clone(),
            connections,
        }))
    }

    /// Whether the server is connected now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Changes whenever the connection is there again.
    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.connections.clone()
    }

    /// What other processes say.
    pub(crate) async fn subscribe_wakes(&self) -> Result<Subscriber, NatsError> {
        self.client
            .subscribe(self.wake_subject())
            .await
            .map_err(|error| NatsError::Unavailable(error.to_string()))
    }

    /// Tells the other processes; nothing if the server is gone, so that nothing old is told later.
    pub(crate) async fn say_wake(&self, text: String) {
        if self.is_connected()
            && let Err(error) = self.client.publish(self.wake_subject(), text.into()).await
        {
            tracing::debug!(error = %error, "a wake-up was not carried");
        }
    }

    fn wake_subject(&self) -> String {
        format!("{}.wake", self.settings.prefix)
    }

    /// Makes the stream if it is not there, and says what its last copy is.
    pub(crate) async fn last_copy(&self) -> Result<Option<LastCopy>, NatsError> {
        let unavailable = |error: &dyn std::fmt::Display| NatsError::Unavailable(error.to_string());
        let stream = self
            .jetstream
            .get_or_create_stream(self.stream())
            .await
            .map_err(|error| unavailable(&error))?;
        let last = stream.cached_info().state.last_sequence;
        if stream.cached_info().state.messages == 0 {
            return Ok(None);
        }
        let message = stream
            .get_raw_message(last)
            .await
            .map_err(|error| unavailable(&error))?;
        let id = message.headers.get(NATS_MESSAGE_ID).map(|id| id.as_str().to_owned());
        let position = message
            .headers
            .get(POSITION)
            .and_then(|text| text.as_str().parse().ok());
        match (id, position) {
            (Some(id), Some(position)) => Ok(Some(LastCopy { id, position })),
            _ => Err(NatsError::Unavailable(format!(
                "the stream {} holds a message that Polity did not write; give it a stream of its own",
                self.settings.stream
            ))),
        }
    }

    fn stream(&self) -> jetstream::stream::Config {
        jetstream::stream::Config {
            name: self.settings.stream.clone(),
            subjects: vec![format!("{}.events.>", self.settings.prefix)],
            max_age: Duration::from_hours(24) * self.settings.retention_days.max(1),
            storage: StorageType::File,
            num_replicas: self.settings.stream_replicas.max(1) as usize,
            duplicate_window: Duration::from_mins(10),
            ..Default::default()
        }
    }

    /// Sends a copy that comes right after `previous` in the stream; the future is its acknowledgement.
    pub(crate) async fn send_copy(
        &self,
        copy: Copy<'_>,
    ) -> Result<impl Future<Output = Result<(), NatsError>> + use<>, NatsError> {
        let subject = format!("{}.events.{}", self.settings.prefix, token(copy.r#type));
        let mut message = jetstream::message::PublishMessage::build()
            .payload(copy.body.into())
            .message_id(copy.id)
            .header(POSITION, copy.position.to_string().as_str())
            .header("content-type", "application/cloudevents+json");
        if let Some(previous) = copy.previous {
            message = message.expected_last_message_id(previous);
        }
        let sent = self.jetstream.send_publish(subject, message).await.map_err(refused)?;
        Ok(async move { sent.await.map(drop).map_err(refused) })
    }
}

/// A copy of an event on its way.
pub(crate) struct Copy<'a> {
    /// The event's id, by which JetStream and its readers recognise repetitions.
    pub id: &'a str,
    /// The event's type, which its subject ends with.
    pub r#type: &'a str,
    /// The event's position.
    pub position: i64,
    /// The event, as a CloudEvent.
    pub body: Vec<u8>,
    /// The event that is last in the stream now.
    pub previous: Option<&'a str>,
}

/// The header that says where the event stands.
const POSITION: &str = "Polity-Position";

fn refused(error: jetstream::context::PublishError) -> NatsError {
    use jetstream::context::PublishErrorKind as Kind;
    match error.kind() {
        Kind::WrongLastMessageId => NatsError::Moved,
        Kind::MaxPayloadExceeded => NatsError::TooLarge,
        _ => NatsError::Unavailable(error.to_string()),
    }
}

/// A type as the end of a subject: what a subject must not hold becomes `_`.
fn token(r#type: &str) -> String {
    r#type
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect()
}

fn check_name(setting: &str, name: &str, extra: &str) -> Result<(), NatsError> {
    let fine = name.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c));
    if fine && !name.is_empty() && !name.starts_with('.') && !name.ends_with('.') && !name.contains("..") {
        return Ok(());
    }
    Err(NatsError::Settings(format!(
        "{setting} is {name:?}; it takes letters, digits and any of {extra}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_types_become_subjects() {
        assert!(check_name("prefix", "acme.polity", "._-").is_ok());
        for wrong in ["", ".", "a..b", "a.", "a b", "a*", ">"] {
            assert!(check_name("prefix", wrong, "._-").is_err(), "{wrong}");
        }
        assert_eq!(token("account_service.user.created"), "account_service.user.created");
        assert_eq!(token("a b*>"), "a_b__");
    }
}
