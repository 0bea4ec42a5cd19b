//! The whole comparison once: farpane and x0tigervncserver are measured, a server that shows a wrong picture is excluded,
//! one that cannot start is reported, and the table is made all the same.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The farpane of this build: it lies beside the test programs' folder.
fn farpane() -> PathBuf {
    let here = Path::new(env!("CARGO_BIN_EXE_farpane-perf-tests"));
    here.with_file_name("farpane")
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// Says that a test cannot run here; with FARPANE_REQUIRE_ALL=1 that is a failure.
fn skip(why: &str) {
    let require = std::env::var("FARPANE_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(!require, "{why}");
    println!("skipped: {why}");
}

/// Serves a grey picture to whoever comes, whatever is on the screen.
fn lie(viewer: TcpStream) -> std::io::Result<()> {
    (&viewer).write_all(b"RFB 003.008\n")?;
    let take = |count: usize| {
        let mut bytes = vec![0; count];
        (&viewer).read_exact(&mut bytes).map(|()| bytes)
    };
    take(12)?;
    (&viewer).write_all(&[1, 1])?;
    take(1)?;
    (&viewer).write_all(&[0; 4])?;
    take(1)?;
    let (w, h) = (1920_u16, 1080_u16);
    let mut init = [w.to_be_bytes(), h.to_be_bytes()].concat();
    init.extend([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0, 0, 0, 0, 4]);
    init.extend(b"liar");
    (&viewer).write_all(&init)?;
    take(20)?;
    let head = take(4)?;
    take(usize::from(u16::from_be_bytes([head[2], head[3]])) * 4)?;
    take(10)?;
    let mut update = vec![0, 0, 0, 1, 0, 0, 0, 0];
    update.extend(w.to_be_bytes());
    update.extend(h.to_be_bytes());
    update.extend([0; 4]);
    update.resize(update.len() + usize::from(w) * usize::from(h) * 4, 0x40);
    (&viewer).write_all(&update)?;
    // whatever else it asks for stays unanswered
    while (&viewer).read(&mut [0; 64])? > 0 {}
    Ok(())
}

#[test]
fn two_servers_are_measured_one_is_excluded_and_one_does_not_start() {
    for program in ["Xvfb", "X0tigervnc"] {
        if !installed(program) {
            return skip(&format!("{program} is not installed (make deps)"));
        }
    }
    if !farpane().exists() {
        return skip(&format!("{} is not built", farpane().display()));
    }
    // the liar lives here; what the suite starts in its place only carries bytes to it
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let lies_at = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for viewer in listener.incoming().flatten() {
            std::thread::spawn(move || lie(viewer));
        }
    });
    let folder = std::env::temp_dir().join(format!("farpane-perf-compare-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let known = include_str!("../servers.toml");
    let liar = "import socket, sys, threading\n\
        def carry(a, b):\n    while True:\n        d = a.recv(65536)\n        if not d: b.shutdown(1); return\n        b.sendall(d)\n\
        s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n\
        while True:\n    a, _ = s.accept(); b = socket.create_connection(('127.0.0.1', int(sys.argv[2])))\n\
        \x20   threading.Thread(target=carry, args=(a, b), daemon=True).start()\n\
        \x20   threading.Thread(target=carry, args=(b, a), daemon=True).start()\n";
    std::fs::write(folder.join("liar.py"), liar).expect("a script");
    let planted = format!(
        "{known}\n[[server]]\nname = \"liar\"\nkind = \"scrape\"\nprogram = \"python3\"\n\
         args = [\"{}\", \"{{port}}\", \"{lies_at}\"]\n\n\
         [[server]]\nname = \"stillborn\"\nkind = \"scrape\"\nprogram = \"sh\"\n\
         args = [\"-c\", \"echo there is no such screen; exit 1\"]\n",
        folder.join("liar.py").display()
    );
    std::fs::write(folder.join("servers.toml"), planted).expect("a file of servers");
    let out = folder.join("out");
    let done = Command::new(env!("CARGO_BIN_EXE_farpane-perf-tests"))
        .arg("compare")
        .args(["--workload", "video-region", "--size", "1920x1080", "--encoding", "tight-q8"])
        .args(["--rounds", "1", "--seconds", "2"])
        .args(["--server", "farpane", "--server", "x0tigervncserver", "--server", "liar", "--server", "stillborn"])
        .arg("--servers")
        .arg(folder.join("servers.toml"))
        .arg("--farpane")
        .arg(farpane())
        .arg("--out")
        .arg(&out)
        .output()
        .expect("the comparison runs");
    let (said, steps) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}\n{steps}");
    for server in ["farpane", "x0tigervncserver"] {
        assert!(said.lines().any(|l| l.starts_with(&format!("| {server} |"))), "{server} has no row:\n{said}\n{steps}");
    }
    assert!(said.contains("liar: EXCLUDED: wrong picture"), "{said}\n{steps}");
    assert!(said.contains("stillborn: FAILED") && said.contains("there is no such screen"), "{said}\n{steps}");
    assert!(!said.lines().any(|l| l.starts_with("| liar |")), "a wrong picture got a number:\n{said}");
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect(name);
    let (page, figures) = (read("report.html"), read("figures.csv"));
    assert!(page.contains("<svg") && page.contains("EXCLUDED") && page.contains("x0tigervncserver"));
    let measured: Vec<&str> = figures.lines().filter(|l| l.contains(",measured,")).collect();
    assert_eq!(measured.len(), 2, "{figures}");
    let seen =
        figures.lines().next().expect("a head").split(',').position(|c| c == "frames_seen_per_s").expect("a column");
    for line in measured {
        let frames: f64 = line.split(',').nth(seen).and_then(|v| v.parse().ok()).expect("a figure");
        assert!(frames > 0.0, "no frame was seen: {line}");
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}
