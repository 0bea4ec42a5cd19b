//! What named pieces of work cost in counts that no clock and no load can change, against stored values.
//!
//! Instructions are counted by callgrind around each case of the `budget` program; bytes are what scripted workloads send; copied
//! bytes are all those of pixels read and written on the way from the source to the update. `make budgets` stores what is measured
//! as what it may be from then on: look at the difference before it is committed.
//!
//! Counts of instructions hold for the profile `ci` and for x86-64; elsewhere only the others are compared.

mod workload;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use workload::{Cost, Workload};

/// Where the values are stored.
fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("budgets.toml")
}

type Counts = BTreeMap<String, u64>;

/// What differs from what is stored by more than `tolerance` (a part of one), or is not stored, or was not measured.
fn compare(stored: &Counts, measured: &Counts, tolerance: f64) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, value) in measured {
        match stored.get(name) {
            None => wrong.push(format!("{name}: {value}, and no budget is stored (make budgets)")),
            Some(budget) if value.abs_diff(*budget) as f64 > tolerance * *budget as f64 => {
                let percent = (*value as f64 / (*budget).max(1) as f64 - 1.0) * 100.0;
                wrong.push(format!(
                    "{name}: {value} against {budget}, {percent:+.1} % (at most {:.0} %)",
                    tolerance * 100.0
                ));
            }
            Some(_) => {}
        }
    }
    let gone = stored.keys().filter(|name| !measured.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name}: stored, and nothing measures it (make budgets)")));
    wrong
}

fn read(section: &str) -> Counts {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let table: toml::Table = text.parse().expect("budgets.toml");
    let Some(toml::Value::Table(values)) = table.get(section) else { return Counts::new() };
    let number = |v: &toml::Value| v.as_integer().and_then(|n| u64::try_from(n).ok()).expect("a count");
    values.iter().map(|(name, v)| (name.clone(), number(v))).collect()
}

/// Compares one section with what was measured, or stores it when asked to.
fn check(section: &str, measured: &Counts, tolerance: f64) {
    static FILE: Mutex<()> = Mutex::new(());
    if std::env::var_os("FARPANE_WRITE_BUDGETS").is_some() {
        let _one = FILE.lock().expect("a lock");
        let text = std::fs::read_to_string(file()).unwrap_or_default();
        let mut table: toml::Table = text.parse().expect("budgets.toml");
        let values = measured.iter().map(|(name, v)| (name.clone(), toml::Value::Integer(*v as i64)));
        table.insert(section.into(), toml::Value::Table(values.collect()));
        let head = "# What each case may cost; `make budgets` writes it, `benches/tests/budgets.rs` compares.\n\n";
        std::fs::write(file(), format!("{head}{table}")).expect("budgets.toml");
        return;
    }
    let wrong = compare(&read(section), measured, tolerance);
    assert!(wrong.is_empty(), "{section}:\n{}", wrong.join("\n"));
}

// ---- the comparison itself ----

fn counts(pairs: &[(&str, u64)]) -> Counts {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect()
}

#[test]
fn a_budget_that_is_missing_fails_as_one_that_is_broken_does() {
    let stored = counts(&[("a", 1000), ("b", 1000)]);
    assert_eq!(compare(&stored, &counts(&[("a", 1050), ("b", 951)]), 0.05), Vec::<String>::new());
    for (measured, says) in [
        (counts(&[("a", 1051), ("b", 1000)]), "a: 1051 against 1000, +5.1 %"),
        (counts(&[("a", 1000), ("b", 940)]), "b: 940 against 1000, -6.0 %"),
        (counts(&[("a", 1000), ("b", 1000), ("c", 1)]), "c: 1, and no budget is stored"),
        (counts(&[("a", 1000)]), "b: stored, and nothing measures it"),
    ] {
        let wrong = compare(&stored, &measured, 0.05);
        assert!(wrong.len() == 1 && wrong[0].starts_with(says), "{wrong:?} for {says}");
    }
    assert_eq!(compare(&Counts::new(), &counts(&[("a", 0)]), 0.05).len(), 1);
}

// ---- instructions ----

/// Runs `cases` under callgrind; instructions of each, in their order.
#[cfg(target_arch = "x86_64")]
fn instructions(cases: &[&str]) -> Counts {
    let first = cases.first().map_or_else(String::new, |c| c.replace('/', "-"));
    let folder = std::env::temp_dir().join(format!("farpane-budget-{}-{first}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-before=*budget_begins*", "--dump-before=*budget_ends*"])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(env!("CARGO_BIN_EXE_budget"))
        .args(cases)
        .output()
        .expect("valgrind (apt install valgrind)");
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}");
    let names = String::from_utf8_lossy(&run.stdout).into_owned();
    let mut all = Counts::new();
    for (n, name) in names.lines().enumerate() {
        let dump = folder.join(format!("out.{}", 2 * (n + 1)));
        let text = std::fs::read_to_string(&dump).unwrap_or_else(|e| panic!("{}: {e}\n{said}", dump.display()));
        let total = text.lines().find_map(|l| l.strip_prefix("totals: ").or_else(|| l.strip_prefix("summary: ")));
        let total =
            total.and_then(|t| t.trim().parse().ok()).unwrap_or_else(|| panic!("no total in {}", dump.display()));
        all.insert(name.to_owned(), total);
    }
    std::fs::remove_dir_all(&folder).expect("the folder");
    assert!(cases.is_empty() || all.len() == cases.len(), "{} of {} cases were counted", all.len(), cases.len());
    all
}

#[cfg(target_arch = "x86_64")]
#[test]
fn kernels_and_encoders_take_as_many_instructions_as_is_stored() {
    if !env!("CARGO_BIN_EXE_budget").contains("/ci/") {
        println!("instructions are compared in the profile ci only");
        return;
    }
    let measured = instructions(&[]);
    let most = measured.values().max().copied().unwrap_or_default();
    assert!(measured.len() >= 30 && most > 1_000_000, "{measured:?}");
    check("instructions", &measured, 0.05);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn instructions_are_those_of_the_case_and_of_nothing_before_it() {
    let one = instructions(&["kernel/tile-diff-equal"]);
    let two = instructions(&["encode/photo/raw", "kernel/tile-diff-equal"]);
    let (a, b) = (one["kernel/tile-diff-equal"], two["kernel/tile-diff-equal"]);
    assert!(a.abs_diff(b) * 50 < a, "{a} alone, {b} after another");
    assert!(two["encode/photo/raw"] > b);
}

// ---- bytes and copies ----

#[test]
fn scripted_workloads_send_and_copy_as_many_bytes_as_is_stored() {
    let (mut sent, mut copied) = (Counts::new(), Counts::new());
    for workload in Workload::ALL {
        for codec in workload::CODECS {
            let Cost { bytes, copied_bytes } = workload.run(codec);
            let name = format!("{}/{}", workload.name(), codec.0);
            assert!(bytes > 0 && copied_bytes > 0, "{name}");
            sent.insert(name.clone(), bytes);
            copied.insert(name, copied_bytes);
        }
    }
    check("bytes", &sent, 0.02);
    check("copied", &copied, 0.02);
}
