//! Making an archive, page by page.
//!
//! Every page is read for itself, so that whoever takes their time holds no connection. What is changed meanwhile may be in
//! the archive or not; what then would refer to nothing is left out, and counted in the last line.

use aws_lc_rs::digest::{Context, SHA256};
use polity_kernel::{Ctx, http::LinesOut};
use serde::Serialize;

use super::{
    Error, LEFT_OUT, PARTS,
    format::{End, FORMAT, Header, VERSION},
    part::Known,
};

/// An archive on its way.
pub(crate) struct Export {
    ctx: Ctx,
    known: Known,
    hash: Context,
    lines: u64,
    left_out: u64,
    at: At,
}

/// How far it is.
enum At {
    Header,
    /// In which part, and after which row of it.
    Part(usize, Option<String>),
    Done,
}

impl Export {
    /// The archive of an organization. Who may have it was asked before.
    pub(crate) fn of(ctx: &Ctx, organization_id: &str) -> Self {
        Self {
            ctx: ctx.clone(),
            known: Known {
                organization_id: organization_id.to_owned(),
                ..Known::default()
            },
            hash: Context::new(&SHA256),
            lines: 0,
            left_out: 0,
            at: At::Header,
        }
    }

    /// The archive as an answer.
    pub(crate) fn into_lines(self) -> LinesOut {
        let file = format!("{}.ndjson", self.known.organization_id);
        LinesOut::new(file, self, async |mut export: Self| {
            let some = export.next().await.transpose()?;
            if let Err(error) = &some {
                tracing::error!(error = %error, "an archive could not be made to its end");
                export.at = At::Done;
            }
            Some((some.map(Into::into), export))
        })
    }

    /// The next lines; none when it is all there.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut out = Vec::new();
        match std::mem::replace(&mut self.at, At::Done) {
            At::Done => return Ok(None),
            At::Header => {
                self.line(&mut out, &self.header())?;
                self.at = At::Part(0, None);
            }
            At::Part(at, after) => match PARTS.get(at) {
                None => {
                    let end = End {
                        end: true,
                        lines: self.lines,
                        left_out: self.left_out,
                        sha256: hex::encode(self.hash.clone().finish()),
                    };
                    self.line(&mut out, &end)?;
                }
                Some(part) => {
                    let mut read = self.ctx.db.read().await?;
                    let id = self.known.organization_id.clone();
                    let page = part.page(&mut read, &id, after.as_deref(), &mut self.known).await?;
                    self.left_out += page.left_out;
                    for row in &page.rows {
                        self.add(&mut out, &format!("{{\"part\":\"{}\",\"data\":{row}}}", part.name()));
                    }
                    self.at = match page.last {
                        Some(last) => At::Part(at, Some(last)),
                        None => At::Part(at + 1, None),
                    };
                }
            },
        }
        Ok(Some(out))
    }

    fn header(&self) -> Header {
        Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            organization_id: self.known.organization_id.clone(),
            exported_at: self.ctx.clock.now(),
            parts: PARTS.iter().map(|part| part.name().to_owned()).collect(),
            left_out: LEFT_OUT.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    fn line(&mut self, out: &mut Vec<u8>, line: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(line).map_err(|error| Error::Internal(error.to_string()))?;
        self.add(out, &text);
        Ok(())
    }

    fn add(&mut self, out: &mut Vec<u8>, text: &str) {
        let start = out.len();
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
        self.hash.update(&out[start..]);
        self.lines += 1;
    }
}
