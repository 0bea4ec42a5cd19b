//! The systemd units: systemd knows every line of them, and finds the system's one hardened.

use std::path::{Path, PathBuf};
use std::process::Command;

use farpane_test_support::xvfb::skip;

/// What `systemd-analyze security` may find at most: 10 is wide open.
const MOST_EXPOSURE: f64 = 2.0;

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd").join(name).canonicalize().expect("is there")
}

fn analyze(arguments: &[&str]) -> Option<String> {
    match Command::new("systemd-analyze").args(arguments).env("SYSTEMD_PAGER", "").output() {
        Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Err(error) => {
            skip(&format!("systemd-analyze does not start: {error}"));
            None
        }
    }
}

/// The number that systemd gives a unit.
fn exposure(unit: &Path) -> Option<f64> {
    let said = analyze(&["security", "--offline=true", "--no-pager", unit.to_str().expect("plain")])?;
    let line = said.lines().find(|l| l.contains("Overall exposure level")).unwrap_or_else(|| panic!("{said}"));
    let number = line.rsplit(": ").next().and_then(|rest| rest.split_whitespace().next());
    Some(number.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{line}")))
}

#[test]
fn the_system_unit_is_hardened_and_one_that_is_not_is_noticed() {
    let path = unit("farpane.service");
    let Some(found) = exposure(&path) else { return };
    assert!(found < MOST_EXPOSURE, "{found}");
    let text = std::fs::read_to_string(&path).expect("readable");
    let hard = ["Protect", "Private", "Restrict", "Capability", "SystemCall", "DynamicUser", "User", "NoNew"];
    let soft: Vec<&str> = text.lines().filter(|line| !hard.iter().any(|word| line.starts_with(word))).collect();
    let folder = std::env::temp_dir().join(format!("farpane-units-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let stripped = folder.join("farpane.service");
    std::fs::write(&stripped, soft.join("\n")).expect("a file");
    let found = exposure(&stripped);
    std::fs::remove_dir_all(folder).expect("is there");
    assert!(found.is_some_and(|found| found > MOST_EXPOSURE), "{found:?}");
}

#[test]
fn systemd_knows_every_line_of_the_units() {
    for name in ["farpane.service", "farpane-kms.service", "user/farpane.service", "user/farpane-desktop@.service"] {
        let path = unit(name);
        let Some(said) = analyze(&["verify", "--man=no", path.to_str().expect("plain")]) else { return };
        // that the program is not installed here is no fault of the unit
        let faults: Vec<&str> = said.lines().filter(|line| line.contains(path.to_str().expect("plain"))).collect();
        assert!(faults.is_empty(), "{faults:?}");
    }
}
