//! Short texts between the processes of one PostgreSQL database (`listen`, `notify`).

use std::{collections::VecDeque, pin::Pin};

use futures::{Stream, StreamExt, stream};
use tokio_postgres::AsyncMessage;

use super::{Backend, Db, Error, Result, postgres::Pg};

/// The channel of a database; texts on it are lost while nobody listens.
pub(crate) struct Channel {
    client: tokio_postgres::Client,
    heard: Pin<Box<dyn Stream<Item = String> + Send>>,
    /// What was heard while a statement ran.
    kept: VecDeque<String>,
}

impl Db {
    /// Whether several processes can share this database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0.backend, Backend::Pg(_))
    }

    /// Opens a channel on a connection of its own.
    ///
    /// # Errors
    /// [`Error::Unavailable`] on SQLite, which has one process only; what the server says.
    pub(crate) async fn channel(&self, name: &'static str) -> Result<Channel> {
        match &self.0.backend {
            Backend::Lite(_) => Err(Error::Unavailable("SQLite has no channels".into())),
            Backend::Pg(pg) => Channel::open(pg, name).await,
        }
    }
}

impl Channel {
    async fn open(pg: &Pg, name: &'static str) -> Result<Self> {
        let (client, mut connection) = pg.connect_raw().await?;
        let messages = stream::poll_fn(move |context| connection.poll_message(context));
        let heard = messages
            .take_while(|message| std::future::ready(message.is_ok()))
            .filter_map(|message| async move {
                match message {
                    Ok(AsyncMessage::Notification(said)) => Some(said.payload().to_owned()),
                    _ => None,
                }
            });
        let mut channel = Self {
            client,
            heard: Box::pin(heard),
            kept: VecDeque::new(),
        };
        channel.run(&format!("listen {name}")).await?;
        Ok(channel)
    }

    /// The next text; `None` when the connection has ended.
    pub(crate) async fn hear(&mut self) -> Option<String> {
        match self.kept.pop_front() {
            Some(text) => Some(text),
            None => self.heard.next().await,
        }
    }

    /// Says a text to everybody on the channel `name`, this process included.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) async fn say(&mut self, name: &'static str, text: &str) -> Result<()> {
        let literal = text.replace('\'', "''");
        self.run(&format!("notify {name}, '{literal}'")).await
    }

    /// Runs a statement; the connection only moves while its messages are polled.
    async fn run(&mut self, sql: &str) -> Result<()> {
        let Self { client, heard, kept } = self;
        let done = client.batch_execute(sql);
        tokio::pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return Ok(done?),
                heard = heard.next() => match heard {
                    Some(text) => kept.push_back(text),
                    None => return Err(Error::Unavailable("the connection ended".into())),
                },
            }
        }
    }
}
