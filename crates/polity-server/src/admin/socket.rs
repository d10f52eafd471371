//! The socket: one JSON line in, one JSON line out.

use std::{path::Path, sync::Arc, time::Duration};

use polity_kernel::Ctx;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use super::{Reply, Request, execute};
use crate::{BootError, Program};

/// The socket inside the data folder.
const NAME: &str = "polity.sock";
/// The longest line either side reads.
const LONGEST: u64 = 16 << 20;
/// How long a command may take; a rotation over many values is the longest.
const PATIENCE: Duration = Duration::from_hours(1);

type Answer = Result<Reply, String>;

/// Answers commands until the program stops.
pub(crate) fn listen(program: &Arc<Program>) -> Result<(), BootError> {
    use std::os::unix::fs::PermissionsExt;
    let path = program.ctx.core.data_dir.join(NAME);
    // We hold the folder, so a socket that is there was left behind.
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let program = Arc::clone(program);
    let ctx = program.ctx.clone();
    ctx.clone().spawn(async move {
        while let Some(Ok((stream, _))) = ctx.stop.run_until_cancelled(listener.accept()).await {
            let program = Arc::clone(&program);
            let stop = ctx.stop.clone();
            Ctx::spawn(&ctx, async move {
                if let Some(Err(error)) = stop.run_until_cancelled(answer(&program, stream)).await {
                    tracing::debug!(error = %error, "a command went away");
                }
            });
        }
        drop(std::fs::remove_file(path));
    });
    Ok(())
}

async fn answer(program: &Program, stream: UnixStream) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LONGEST)).read_line(&mut line).await?;
    let done: Answer = match serde_json::from_str::<Request>(&line) {
        Ok(request) => execute(program, request).await.map_err(|error| error.to_string()),
        Err(error) => Err(format!(
            "the running server does not know this command ({error}); it may be another version"
        )),
    };
    let mut text = serde_json::to_vec(&done)?;
    text.push(b'\n');
    write.write_all(&text).await
}

/// Asks the server that runs on `folder`; `None` if there is none.
pub(crate) async fn ask(folder: &Path, request: &Request) -> Result<Option<Reply>, BootError> {
    let Ok(stream) = UnixStream::connect(folder.join(NAME)).await else {
        return Ok(None);
    };
    let exchange = async {
        let (read, mut write) = stream.into_split();
        let mut text = serde_json::to_vec(request).map_err(std::io::Error::other)?;
        text.push(b'\n');
        write.write_all(&text).await?;
        let mut line = String::new();
        BufReader::new(read.take(LONGEST)).read_line(&mut line).await?;
        Ok::<_, std::io::Error>(line)
    };
    let line = tokio::time::timeout(PATIENCE, exchange)
        .await
        .map_err(|_| BootError::new("the running server does not answer", "look at its log"))??;
    let answer: Answer = serde_json::from_str(&line).map_err(|_| {
        BootError::new(
            "the running server answered in a way this program does not understand",
            "use the same version",
        )
    })?;
    answer.map(Some).map_err(BootError::from)
}
