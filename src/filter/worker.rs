//! The daemon's side: starts a worker for a run, hands it rows, and ends it when it takes too long.

use super::COMMAND;
use super::serve::Reply;
use serde_json::{Map, Value};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long a filter may take for one row.
const PATIENCE: Duration = Duration::from_secs(5);

/// A filter at work. Dropping it ends its process.
pub struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// A filter that is no longer at work. The run it belongs to ends.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// No process could be started for it.
    #[error("no process could be started for the filter: {0}")]
    Start(#[source] std::io::Error),
    /// It took too long.
    #[error("the filter was stopped: it took longer than {} s for one row", PATIENCE.as_secs())]
    TooLong,
    /// Its process ended.
    #[error("the filter's process ended ({0}): it recurses too deeply or needs too much memory")]
    Ended(String),
}

impl Worker {
    /// Starts a process for a filter that has been checked.
    ///
    /// # Errors
    /// [`FilterError::Start`].
    pub async fn start(filter: &str) -> Result<Self, FilterError> {
        // The file may have been replaced by a newer one since this process was started; this is always the same program.
        let program = if cfg!(target_os = "linux") {
            "/proc/self/exe".into()
        } else {
            std::env::current_exe().map_err(FilterError::Start)?
        };
        let mut child = Command::new(program)
            .arg0("cadenced")
            .arg(COMMAND)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(FilterError::Start)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(FilterError::Start(std::io::Error::other("it has no pipes")));
        };
        let mut worker = Self { child, input, output: BufReader::new(output) };
        // A worker that has ended already is noticed at the first row.
        let _ = worker.input.write_all(format!("{}\n", Value::from(filter)).as_bytes()).await;
        Ok(worker)
    }

    /// What the filter makes of each row, or why it makes nothing of it.
    ///
    /// # Errors
    /// The filter ran away; nothing is known of these rows.
    pub async fn run(
        &mut self,
        rows: &[Map<String, Value>],
    ) -> Result<Vec<Result<Map<String, Value>, String>>, FilterError> {
        let Self { input, output, .. } = self;
        let write = async {
            for row in rows {
                let mut line = serde_json::to_vec(row)?;
                line.push(b'\n');
                input.write_all(&line).await?;
            }
            input.flush().await
        };
        let read = async {
            let mut replies = Vec::with_capacity(rows.len());
            let mut line = Vec::new();
            for _ in rows {
                line.clear();
                let reading = output.read_until(b'\n', &mut line);
                tokio::time::timeout(PATIENCE, reading).await.map_err(|_| FilterError::TooLong)?.ok();
                let reply = serde_json::from_slice(&line).map_err(|_| FilterError::Ended(String::new()))?;
                replies.push(match reply {
                    Reply::Row(row) => Ok(row),
                    Reply::Error(reason) => Err(reason),
                });
            }
            Ok(replies)
        };
        // The pipes hold less than a chunk: who writes all before reading waits for ever. A write that fails is a process
        // that has ended, which the reading tells.
        let (_, replies) = tokio::join!(write, read);
        match replies {
            Ok(replies) => Ok(replies),
            Err(error) => Err(self.ended(error).await),
        }
    }

    /// Makes sure that the process has ended, and says how it did if it did by itself.
    async fn ended(&mut self, error: FilterError) -> FilterError {
        if matches!(error, FilterError::TooLong) {
            let _ = self.child.kill().await;
            return error;
        }
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let _ = self.child.kill().await;
        let status = status
            .ok()
            .and_then(Result::ok)
            .map_or_else(String::new, |status: ExitStatus| status.to_string());
        FilterError::Ended(status)
    }
}
