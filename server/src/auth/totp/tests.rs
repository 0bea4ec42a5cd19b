use super::*;
use proptest::prelude::*;
use std::process::Command;

/// The secret of the RFC's vectors: ASCII 12345678901234567890.
fn rfc_seed() -> Seed {
    Seed { bytes: Zeroizing::new(*b"12345678901234567890"), hash: CodeHash::Sha1 }
}

#[test]
fn the_codes_are_those_of_the_rfc() {
    // SOURCE: RFC 6238 appendix B, SHA-1, the last six of its eight digits
    for (time, code) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ] {
        assert_eq!(rfc_seed().step_of(code, time, &Used::default()), Some(time / 30), "at {time}");
    }
}

/// The code that the program `oathtool` makes; none where it is not installed.
fn oathtool(seed: &Seed, time: u64) -> Option<String> {
    let mode = match seed.hash() {
        CodeHash::Sha1 => "--totp=sha1",
        CodeHash::Sha256 => "--totp=sha256",
    };
    let at = format!("--now=@{time}");
    let run = Command::new("oathtool").args([mode, &at, "--base32", seed.base32().reveal()]).output();
    match run {
        Ok(done) => {
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            Some(String::from_utf8(done.stdout).unwrap().trim().to_owned())
        }
        Err(error) if std::env::var_os("FARPANE_REQUIRE_ALL").is_none() => {
            eprintln!("skipped: oathtool: {error}");
            None
        }
        Err(error) => panic!("oathtool: {error}"),
    }
}

#[test]
fn the_codes_are_those_of_oathtool_with_both_hashes() {
    for (n, hash) in [CodeHash::Sha1, CodeHash::Sha256, CodeHash::Sha1, CodeHash::Sha256].into_iter().enumerate() {
        let seed = Seed::generate(hash).unwrap();
        let time = 1_700_000_000 + 12_345 * n as u64;
        let Some(code) = oathtool(&seed, time) else { return };
        assert_eq!(seed.step_of(&code, time, &Used::default()), Some(time / 30));
        let other =
            Seed { hash: if hash == CodeHash::Sha1 { CodeHash::Sha256 } else { CodeHash::Sha1 }, ..seed.clone() };
        assert_eq!(other.step_of(&code, time, &Used::default()), None, "the other hash");
    }
}

#[test]
fn a_code_is_good_for_a_step_before_and_after_and_no_longer() {
    let (seed, code) = (rfc_seed(), "081804");
    let made = 1_111_111_109 / 30 * 30;
    for (time, good) in [(made - 31, false), (made - 30, true), (made, true), (made + 59, true), (made + 60, false)] {
        assert_eq!(seed.step_of(code, time, &Used::default()).is_some(), good, "{time}");
    }
    for wrong in ["", "81804", "0081804", "08180x", "+81804", " 81804", "081804 "] {
        assert_eq!(seed.step_of(wrong, made, &Used::default()), None, "{wrong:?}");
    }
}

#[test]
fn each_step_is_taken_once_also_when_the_clock_jumps() {
    let (seed, mut used) = (rfc_seed(), Used::default());
    let made = 1_111_111_109;
    let step = seed.step_of("081804", made, &used).unwrap();
    assert!(used.spend(step) && !used.spend(step));
    assert_eq!(seed.step_of("081804", made, &used), None);
    assert_eq!(seed.step_of("081804", made + 29, &used), None);
    // forward by 27 years, a login there, and back: old codes stay used, and today's still work
    let far = seed.step_of("279037", 2_000_000_000, &used).unwrap();
    assert!(used.spend(far));
    assert_eq!(seed.step_of("081804", made, &used), None, "replayed after the jump");
    assert!(seed.step_of("050471", 1_111_111_111, &used).is_some(), "locked out by the jump");
}

#[test]
fn forgetting_old_steps_never_frees_one() {
    let mut used = Used::default();
    for step in 100..100 + 3 * MOST_USED as u64 {
        assert!(used.spend(step));
        assert!((100..=step).all(|old| used.contains(old)));
    }
    assert!(used.steps.len() <= MOST_USED && !used.contains(1000));
    assert_eq!(Used::parse(&used.print()), Some(used));
}

#[test]
fn recovery_codes_are_good_once_and_kept_as_hashes() {
    let (texts, mut recovery) = Recovery::generate().unwrap();
    assert_eq!((texts.len(), recovery.left()), (10, 10));
    assert!(texts.iter().all(|t| t.reveal().len() == 19), "{}", texts[0].reveal().len());
    let printed = recovery.print();
    assert!(texts.iter().all(|t| !printed.contains(t.reveal())));
    assert_eq!(Recovery::parse(&printed).as_ref(), Some(&recovery));
    let typed = texts[3].reveal().replace('-', " ").to_uppercase();
    let hash = recovery.find(&typed).unwrap();
    assert!(recovery.spend(&hash) && !recovery.spend(&hash));
    assert_eq!((recovery.find(&typed), recovery.left()), (None, 9));
    assert!(recovery.find(texts[4].reveal()).is_some() && recovery.find("").is_none());
    let (_, other) = Recovery::generate().unwrap();
    assert!(other.find(texts[4].reveal()).is_none(), "another user's");
}

#[test]
fn the_address_carries_what_an_app_needs_and_nothing_breaks_out_of_it() {
    let url = rfc_seed().url("a b&secret=x", "farpane");
    assert_eq!(
        url.reveal(),
        "otpauth://totp/farpane:a%20b%26secret%3Dx?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=farpane"
    );
    let sha256 = Seed { hash: CodeHash::Sha256, ..rfc_seed() };
    assert!(sha256.url("a", "b").reveal().ends_with("&algorithm=SHA256"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_printed_reads_back(bytes: [u8; 20], floor in 0u64..1000, steps in prop::collection::btree_set(1000u64..u64::MAX, 0..MOST_USED)) {
        let seed = Seed { bytes: Zeroizing::new(bytes), hash: CodeHash::Sha1 };
        let back = Seed::from_base32(seed.base32().reveal(), CodeHash::Sha1).unwrap();
        prop_assert_eq!(*back.bytes, bytes);
        let used = Used { floor, steps };
        prop_assert_eq!(Used::parse(&used.print()), Some(used));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[A-Z2-7:,0-9a-f]{0,80}") {
        let _ = Seed::from_base32(&text, CodeHash::Sha256);
        if let Some(used) = Used::parse(&text) {
            prop_assert_eq!(Used::parse(&used.print()), Some(used));
        }
        if let Some(recovery) = Recovery::parse(&text) {
            prop_assert_eq!(Recovery::parse(&recovery.print()), Some(recovery));
        }
    }
}
