//! A doorkeeper that runs a command of the administrator's.

use std::io;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Asking, Doorkeeper, Knock, Said};

/// The exit status that says that nobody is there to ask.
const NOBODY: i32 = 2;

/// Runs a command for each question: it reads one line of JSON (a [`Knock`]) on stdin and answers by its exit status: 0 lets in,
/// 2 says that nobody is there, anything else refuses. It is ended, with all that it started, when the question is taken back.
#[derive(Clone, Debug)]
pub struct Hook {
    program: String,
    arguments: Vec<String>,
}

impl Hook {
    /// A hook of a program and its arguments; none when the list is empty.
    pub fn new(words: &[String]) -> Option<Self> {
        let (program, arguments) = words.split_first()?;
        Some(Hook { program: program.clone(), arguments: arguments.to_vec() })
    }
}

/// The command and what it started, ended on drop.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            // those that have ended by themselves need no signal
            let _ = kill_process_group(pid, Signal::TERM);
        }
    }
}

impl Doorkeeper for Hook {
    fn ask<'a>(&'a self, knock: &'a Knock) -> Asking<'a> {
        Box::pin(async move {
            let mut line = serde_json::to_vec(knock)?;
            line.push(b'\n');
            let started = Command::new(&self.program)
                .args(&self.arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .kill_on_drop(true)
                .spawn();
            let mut child =
                started.map_err(|e| io::Error::new(e.kind(), format!("gatekeeping hook {}: {e}", self.program)))?;
            let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
            if let Some(mut stdin) = child.stdin.take() {
                // a hook that reads nothing may answer all the same
                let _ = stdin.write_all(&line).await;
            }
            let status = child.wait().await?;
            // its number may be another process's from here on
            group.0 = None;
            Ok(match status.code() {
                Some(0) => Said::Accept,
                Some(NOBODY) => Said::Nobody,
                _ => Said::Refuse,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn knock() -> Knock {
        Knock {
            id: 5,
            user: "al\"ice\n".into(),
            peer: "192.0.2.1:5".into(),
            listener: "127.0.0.1:5900".into(),
            security: "None (1)".into(),
            phrase: None,
            disconnects: 0,
            seconds: 30,
        }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn shell(script: &str) -> Hook {
        Hook::new(&["sh".into(), "-c".into(), script.into()]).unwrap()
    }

    #[test]
    fn the_exit_status_is_the_answer() {
        for (script, said) in
            [("exit 0", Said::Accept), ("exit 1", Said::Refuse), ("exit 2", Said::Nobody), ("kill -9 $$", Said::Refuse)]
        {
            assert_eq!(run(async { shell(script).ask(&knock()).await }).unwrap(), said, "{script}");
        }
    }

    #[test]
    fn the_question_is_one_line_of_json_whatever_the_name() {
        let script = r#"[ "$(grep -c .)" = 1 ]"#;
        assert_eq!(run(async { shell(script).ask(&knock()).await }).unwrap(), Said::Accept);
        let script = r#"grep -q '"id":5,"user":"al\\"ice\\n","peer":"192.0.2.1:5"'"#;
        assert_eq!(run(async { shell(script).ask(&knock()).await }).unwrap(), Said::Accept);
    }

    #[test]
    fn a_hook_that_cannot_be_started_is_named() {
        let hook = Hook::new(&["/nonexistent/hook".into()]).unwrap();
        let said = run(async { hook.ask(&knock()).await }).unwrap_err().to_string();
        assert!(said.contains("/nonexistent/hook"), "{said}");
        assert!(Hook::new(&[]).is_none());
    }

    #[test]
    fn a_question_that_is_taken_back_ends_all_that_the_hook_started() {
        let path = std::env::temp_dir().join(format!("farpane-hook-{}", std::process::id()));
        let script = format!("sleep 600 & echo $! >{0}.new; mv {0}.new {0}; wait", path.display());
        let hook = shell(&script);
        let grandchild = run(async {
            let knock = knock();
            let mut asking = hook.ask(&knock);
            let end = Instant::now() + Duration::from_secs(20);
            loop {
                tokio::select! {
                    said = &mut asking => panic!("{said:?}"),
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
                if let Ok(text) = std::fs::read_to_string(&path) {
                    break text.trim().to_owned();
                }
                assert!(Instant::now() < end, "the hook did not start");
            }
        });
        let stat = format!("/proc/{grandchild}/stat");
        let end = Instant::now() + Duration::from_secs(20);
        // gone, or waiting for a parent that never asks
        while std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z ")) {
            assert!(Instant::now() < end, "{grandchild} still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(path).unwrap();
    }
}
