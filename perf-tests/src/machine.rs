//! The machine and the versions a comparison was made with.

use crate::definition::Server;
use crate::run::Programs;
use std::fs;
use std::process::Command;

/// One line about a fact, and the fact.
pub type Fact = (String, String);

fn first_line(path: &str, start: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|l| l.starts_with(start))?;
    Some(line.split_once(':').map_or(line, |(_, v)| v).trim().to_owned())
}

/// What a program prints, when it runs at all.
fn said(program: &str, args: &[String]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok()?;
    let text = if out.stdout.is_empty() { out.stderr } else { out.stdout };
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|l| !l.is_empty()).map(str::to_owned)
}

/// The processor, memory, kernel and load.
pub fn describe() -> Vec<Fact> {
    let fact = |name: &str, value: Option<String>| (name.to_owned(), value.unwrap_or_else(|| "not known".to_owned()));
    let cores = std::thread::available_parallelism().map(|n| n.to_string()).ok();
    vec![
        fact("processor", first_line("/proc/cpuinfo", "model name")),
        fact("cores", cores),
        fact("memory", first_line("/proc/meminfo", "MemTotal")),
        fact("kernel", kernel()),
        fact("system", first_line("/etc/os-release", "PRETTY_NAME").map(|s| s.replace("PRETTY_NAME=", ""))),
        fact("load before (1, 5, 15 min)", load()),
    ]
}

/// Name and version; who built it is left out.
fn kernel() -> Option<String> {
    let text = fs::read_to_string("/proc/version").ok()?;
    Some(text.split_whitespace().filter(|word| *word != "version").take(2).collect::<Vec<_>>().join(" "))
}

/// The load averages.
pub fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    Some(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// Version of a server: its Debian package's, or what it says of itself.
pub fn version(server: &Server, programs: &Programs) -> Fact {
    let asked = ["-W", "-f", "${Package} ${Version}"].map(str::to_owned);
    let package = server.package.as_ref().and_then(|p| {
        let mut args = asked.to_vec();
        args.push(p.clone());
        Command::new("dpkg-query").args(&args).output().ok().filter(|o| o.status.success()).map(|o| o.stdout)
    });
    let own =
        || programs.of(server).ok().filter(|_| !server.version.is_empty()).and_then(|p| said(&p, &server.version));
    let version = match package {
        Some(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        None => own(),
    };
    (server.name.clone(), version.unwrap_or_else(|| "not known".to_owned()))
}
