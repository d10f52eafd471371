//! Mail of this domain: written in the transaction that causes it, sent by a job.
//!
//! A mail may hold a code or a link that opens something, so it waits sealed, and is gone when it was sent.

use std::sync::Arc;

use async_trait::async_trait;
use polity_kernel::{
    Ctx,
    caller::Pending,
    db::{Conn, Result, Tx},
    job::{JobCtx, JobError, JobHandler, JobKind, NewJob},
    mail::{Mail, MailError, Priority},
    secret::{Sealed, SealedColumn},
};
use polity_ports::account::{Letter, Letters};
use serde_json::json;

use crate::account::{self, AccountId};

/// Writes to the owners of accounts.
pub struct Post(pub Ctx);

impl Letters for Post {
    fn write<'a>(&'a self, tx: &'a mut Tx, user_id: &'a str, letter: Letter) -> Pending<'a, Result<bool>> {
        Box::pin(async move {
            let Some(to) = address(tx, user_id).await? else {
                return Ok(false);
            };
            let mail = Mail {
                to,
                subject: letter.subject,
                text: letter.text,
                html: None,
                category: letter.category.to_owned(),
                tags: Vec::new(),
                priority: Priority::Normal,
            };
            post(tx, &self.0, &mail).await?;
            Ok(true)
        })
    }

    fn address<'a>(&'a self, conn: &'a mut Conn, user_id: &'a str) -> Pending<'a, Result<Option<String>>> {
        Box::pin(address(conn, user_id))
    }
}

/// The address of an active account.
async fn address(conn: &mut Conn, user_id: &str) -> Result<Option<String>> {
    match account::claims(conn, &AccountId(user_id.to_owned())).await {
        Ok(found) => Ok(found.filter(|account| account.is_active).map(|account| account.email)),
        Err(account::Error::Db(error)) => Err(error),
        // Nothing else happens to a look.
        Err(_) => Ok(None),
    }
}

/// Where mails wait.
pub(crate) const COLUMN: SealedColumn = SealedColumn::new("identity_mail", "id", "sealed");

const SEND: &str = "identity.send_mail";

/// Sends a mail when the transaction is committed.
pub(crate) async fn post(tx: &mut Tx, ctx: &Ctx, mail: &Mail) -> Result<()> {
    let id = ctx.ids.new_id("mail_");
    let text = serde_json::to_vec(mail).unwrap_or_default();
    let sealed = ctx.secrets.seal(COLUMN, &id, &text);
    let now = ctx.clock.now();
    tx.sql("insert into identity_mail (id, sealed, created_at) values ($1, $2, $3)")
        .bind(&id)
        .bind(&sealed)
        .bind(&now)
        .execute()
        .await?;
    ctx.jobs
        .enqueue(tx, NewJob::new(SEND, json!({ "mail_id": id })))
        .await?;
    Ok(())
}

struct Send(Ctx);

#[async_trait]
impl JobHandler for Send {
    async fn run(&self, job: &JobCtx) -> Result<(), JobError> {
        let ctx = &self.0;
        let id = job.job.payload["mail_id"].as_str().unwrap_or_default();
        let row = ctx
            .db
            .read()
            .await?
            .sql("select sealed from identity_mail where id = $1")
            .bind(id)
            .optional::<(Sealed,)>()
            .await?;
        // Sent before, by a worker that died before it could say so.
        let Some((sealed,)) = row else { return Ok(()) };
        let text = ctx
            .secrets
            .open_sealed(COLUMN, id, &sealed)
            .map_err(|error| JobError::Retry(error.to_string()))?;
        let mail: Mail = serde_json::from_slice(&text).map_err(|error| JobError::Fatal(error.to_string()))?;
        match ctx.mail.send(&mail).await {
            Ok(_) => {}
            Err(MailError::Permanent(error)) => return Err(JobError::Fatal(error)),
            Err(error) => return Err(JobError::Retry(error.to_string())),
        }
        let mut tx = ctx.db.begin().await?;
        tx.sql("delete from identity_mail where id = $1")
            .bind(id)
            .execute()
            .await?;
        job.finish_in(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The job that sends.
pub(crate) fn kind(ctx: &Ctx) -> JobKind {
    JobKind::new(SEND, Arc::new(Send(ctx.clone())))
}
