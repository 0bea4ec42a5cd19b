//! The server of a desktop: started, and waited for until it shares.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::{ChildStdout, Command};

use super::DesktopError;
use super::child::{Child, command, how};
use super::parts::ON_DEMAND;
use super::place::SAID;
use super::screen::bare;
use super::supervise::Desktop;
use crate::helper::THIS_PROGRAM;

/// How long the server may take to say that it shares the desktop.
const SERVED: Duration = Duration::from_secs(30);
/// What the server's lines begin with that name its listeners.
const LISTENS: &str = "farpane: listening on ";

impl Desktop<'_> {
    /// The server's command line as far as its source, and its surroundings.
    fn server_command(&self) -> Result<Command, DesktopError> {
        let mut server = command(THIS_PROGRAM, self.log).map_err(DesktopError::io("the server"))?;
        let source = match &self.screen {
            // one on demand is told the same whether the desktop is there or not
            Some(screen) if self.door.is_none() => {
                screen.surround(&mut server);
                screen.source.as_str()
            }
            _ => {
                bare(&mut server).env(ON_DEMAND, self.place.root());
                self.wish.kind.source()
            }
        };
        server.env("FARPANE_DESKTOP", self.wish.name.to_string()).arg("serve").arg("--source").arg(source);
        Ok(server)
    }

    /// Starts the server and waits until it shares the desktop.
    pub(super) async fn serve(&mut self, tell: &mut (dyn FnMut(&str) + Send)) -> Result<(), DesktopError> {
        let socket = self.place.path("ready");
        let _ = std::fs::remove_file(&socket);
        let ready = UnixDatagram::bind(&socket).map_err(DesktopError::io(socket.display()))?;
        let mut command = self.server_command()?;
        command
            .env("NOTIFY_SOCKET", &socket)
            .arg("--desktop-name")
            .arg(self.wish.name.to_string())
            .args(&self.wish.serve);
        // where it was, after it has ended
        let again = std::mem::take(&mut self.listens);
        for at in if again.is_empty() { self.wanted() } else { again } {
            command.arg("--listen").arg(at);
        }
        let listens = &mut self.listens;
        let mut said = String::new();
        let mut tell = |line: &str| {
            listens.extend(line.strip_prefix(LISTENS).map(str::to_owned));
            said += line;
            said.push('\n');
            tell(line);
        };
        let mut server = Child::start(command.stdout(Stdio::piped())).map_err(DesktopError::io("the server"))?;
        let output = server.process.stdout.take();
        let server = self.server.insert(server);
        let mut lines = output.map(|output| BufReader::new(output).lines());
        let mut word = [0; 256];
        let end = tokio::time::sleep(SERVED);
        tokio::pin!(end);
        let failed = loop {
            tokio::select! {
                line = next_line(&mut lines), if lines.is_some() => match line {
                    Some(line) => tell(&line),
                    None => lines = None,
                },
                got = ready.recv(&mut word) => {
                    let got = word.get(..got.unwrap_or(0)).unwrap_or_default();
                    if got.split(|b| *b == b'\n').any(|line| line == b"READY=1") {
                        break None;
                    }
                }
                status = server.process.wait() => break Some(status.map_or_else(|e| e.to_string(), how)),
                () = &mut end => break Some(format!("did not share the desktop within {SERVED:?}")),
            }
        };
        if let Some(how) = failed {
            while let Some(line) = next_line(&mut lines).await {
                tell(&line);
            }
            return Err(self.ended("the server", how));
        }
        // what it said before it was ready, and nothing that it says later
        while let Ok(Some(line)) = tokio::time::timeout(Duration::from_millis(100), next_line(&mut lines)).await {
            tell(&line);
        }
        self.place.write(SAID, said.as_bytes())?;
        tokio::spawn(async move { while next_line(&mut lines).await.is_some() {} });
        Ok(())
    }

    /// Where the server is to listen.
    fn wanted(&self) -> Vec<String> {
        if !self.wish.listen.is_empty() {
            return self.wish.listen.clone();
        }
        // a port after a display that is not there yet could be another desktop's in the end
        let port = self.screen.as_ref().filter(|_| self.door.is_none()).map_or(0, |screen| screen.port);
        vec![format!("127.0.0.1:{port}")]
    }
}

async fn next_line(lines: &mut Option<tokio::io::Lines<BufReader<ChildStdout>>>) -> Option<String> {
    lines.as_mut()?.next_line().await.ok().flatten()
}
