use super::*;
use crate::session::Exclusive;
use proptest::prelude::*;

fn said(text: &str) -> String {
    Config::parse(text, None).unwrap_err().to_string()
}

fn full(text: &str) -> Config {
    Config::parse(text, None).unwrap().with(Overrides::default()).unwrap()
}

#[test]
fn an_empty_file_is_one_listener_on_loopback_with_the_strong_types() {
    let config = full("");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:5900");
    let strong = [SecurityKind::Channel, SecurityKind::X509Plain, SecurityKind::Ra2x256];
    assert_eq!(config.offer(&config.listeners[0]), strong);
    assert_eq!(config.check().unwrap(), vec![]);
    let open = full("[[listener]]\naddress = \"0.0.0.0:1\"\n[[listener]]\naddress = \"unix:/x\"");
    assert_eq!(open.offer(&open.listeners[0]), strong);
    assert_eq!(open.offer(&open.listeners[1]), [SecurityKind::None]);
    assert_eq!(open.check().unwrap(), vec![]);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_name() {
    assert_eq!(said("\nsorce = \"auto\""), "configuration, line 2: unknown key `sorce`: did you mean `source`?");
    assert!(said("[session]\nmax_fsp = 3").contains("line 2: unknown key `max_fsp`: did you mean `max_fps`?"));
    assert!(said("[[listener]]\nadress = \"x\"").contains("did you mean `address`?"));
    assert!(said("[[listeners]]\naddress = \"127.0.0.1:1\"").contains("did you mean `listener`?"));
    assert!(said("max_fps = 3").contains("line 1: unknown key `max_fps` here: it belongs into [session]"));
    assert!(said("[session]\nlogin_timeout_s = 3").ends_with("here: it belongs into [network]"));
    assert!(said("wallpaper = 3").contains("unknown key `wallpaper` (expected one of source, "));
    assert!(said("[log]\nformat = \"jsno\"").contains("unknown value `jsno`: did you mean `json`?"));
    assert!(
        said("[network]\nwallpaper = 1")
            .contains("expected one of max_unauthenticated, greeting_timeout_s, login_timeout_s")
    );
    let at = Config::parse("x = 1", Some(Path::new("/etc/f.toml"))).unwrap_err().to_string();
    assert!(at.starts_with("configuration file /etc/f.toml, line 1: unknown key `x`"), "{at}");
}

#[test]
fn wrong_values_name_what_was_expected() {
    for (text, says) in [
        ("security = \"vnc\"", "unknown security type \"vnc\" (expected none"),
        ("security = [\"none\", 3]", "invalid type"),
        ("source = \"x12\"", "unknown source"),
        ("source = []", "0 sources (expected 1..=16)"),
        ("source = [\"auto\", \"x11\"]", "source auto cannot stand beside others"),
        ("arrange = \"left\"", "expected one of right, down"),
        ("insecure_allow = [\"x509plain@0.0.0.0\"]", "expected none, vncauth, x509vnc, plain"),
        ("[[listener]]\naddress = \"127.0.0.1\"", "expected ADDR:PORT"),
        ("[session]\nmax_fps = 1001", "max_fps 1001 (expected 0..=1000)"),
        ("[session]\nmax_fps = -1", "invalid value"),
        ("[session]\nrefresh_quiet_ms = 1", "expected 50..=600000"),
        ("[encode]\nnice = 20", "nice 20 (expected 0..=19)"),
        ("[encode]\nnice = -1", "invalid value"),
        ("[input]\nkeyboard = \"../de\"", "keyboard layout word \"../de\" (expected 1 to 64 letters"),
        ("[session]\nmax_total_rate_kbps = 1000000001", "expected 0..=1000000000"),
        ("[network]\ngreeting_timeout_s = 0", "expected 1..=600"),
        ("[session", "line 1"),
        (
            "security = \"ra2\"\n[tls]\nmin_bits = 256\n[[listener]]\naddress = \"127.0.0.1:1\"",
            "security type ra2 has keys of 128 bits and tls.min_bits is 256",
        ),
    ] {
        let error = said(text);
        assert!(error.contains(says), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn the_command_line_goes_over_the_file_and_the_file_over_the_default() {
    let file = "security = [\"none\"]\n[session]\nmax_fps = 7\nlossless = true\n[[listener]]\naddress = \"127.0.0.1:1\"\nsecurity = \"vncauth\"";
    let config = Config::parse(file, None).unwrap();
    let over = Overrides {
        max_fps: Some(9),
        security: Some("none,vncauth".parse().unwrap()),
        listen: vec!["unix:/x".parse().unwrap(), "[::1]:0".parse().unwrap()],
        ..Overrides::default()
    };
    let config = config.with(over).unwrap();
    assert_eq!((config.session.max_fps, config.session.lossless, config.session.max_clients), (9, true, 64));
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.offer(&config.listeners[1]), [SecurityKind::None, SecurityKind::VncAuth]);
    assert_eq!(full(file).offer(&full(file).listeners[0]), [SecurityKind::VncAuth]);
}

#[test]
fn policy_refuses_before_anything_listens_and_exceptions_are_told() {
    let refused = |text: &str| full(text).check().unwrap_err().to_string();
    let open = "[[listener]]\naddress = \"0.0.0.0:5900\"\nsecurity = \"none\"\n";
    assert!(refused(open).contains("--insecure-allow none@0.0.0.0:5900"));
    let weak = "security = \"vncauth\"\n[[listener]]\naddress = \"[::]:1\"";
    assert!(refused(weak).contains("security vncauth on [::]:1 is refused"));
    assert!(refused("password_file = \"/x\"").contains("no listener offers vncauth"));
    let allowed = full(&format!("insecure_allow = [\"none@0.0.0.0:5900\"]\n{open}")).check().unwrap();
    assert_eq!(allowed, [Exception { kind: SecurityKind::None, listener: "0.0.0.0:5900".parse().unwrap() }]);
    assert!(refused("insecure_allow = [\"none@0.0.0.0:1\"]").contains("names no listener"));
    assert!(full("[[listener]]\naddress = \"wss:0.0.0.0:1\"").check().is_ok());
    assert!(refused("security = \"x509none\"").contains("would let everybody in"));
    let certificates = "[tls]\nclient_ca = \"/ca\"\nclient_certificates = \"demanded\"";
    let chains = "[auth]\nchains = [[\"certificate\"]]";
    assert!(refused(&format!("security = \"x509none\"\n{certificates}")).contains("would let everybody in"));
    assert!(full(&format!("security = \"x509none\"\n{certificates}\n{chains}")).check().is_ok());
    assert!(refused("[[listener]]\nview = \"\"").contains("empty view"));
    assert!(full("[[listener]]\nview = \"HDMI-1\"").check().is_ok());
    let twice = "[[listener]]\naddress = \"127.0.0.1:1\"\n";
    assert!(refused(&twice.repeat(2)).contains("named twice"));
    assert!(full(&"[[listener]]\naddress = \"127.0.0.1:0\"\n".repeat(2)).check().is_ok(), "port 0 picks two ports");
}

prop_compose! {
    fn any_rules()(
        exclusive in prop_oneof![Just(Exclusive::TakeOver), Just(Exclusive::Refuse), Just(Exclusive::Ask)],
        idle_timeout_s in 0u64..=31_536_000, idle_view_only: bool, max_time_s in 0u64..=31_536_000,
        ask: bool, allow_if_nobody: bool, gatekeeping_notification: bool, gatekeeping_timeout_s in 1u64..=300,
        gatekeeping_hook in proptest::collection::vec("[ -~ä\n]{0,8}", 0..3),
    ) -> SessionSection {
        let gatekeeping = if ask { Gatekeeping::Ask } else { Gatekeeping::Off };
        SessionSection {
            exclusive, idle_timeout_s, idle_view_only, max_time_s, gatekeeping, gatekeeping_notification, gatekeeping_hook, gatekeeping_timeout_s,
            allow_if_nobody, ..SessionSection::default()
        }
    }
}

prop_compose! {
    fn any_session()(
        desktop_name in proptest::option::of("[ -~äß€\"\\\\]{0,12}"),
        view_only: bool, lossless: bool, h264: bool, primary_selection: bool, to: bool, from: bool,
        max_fps in 0u32..=1000, max_rate_kbps in 0u64..=1_000_000_000, max_total_rate_kbps in 0u64..=1_000_000_000, refresh_quiet_ms in 50u64..=600_000,
        clipboard_max_bytes in 0u64..=1 << 20, max_clients in 1u32..=10_000,
        shared in prop_oneof![Just(Shared::AsAsked), Just(Shared::Always), Just(Shared::Never)],
        rules in any_rules(),
    ) -> SessionSection {
        SessionSection {
            desktop_name, view_only, max_fps, max_rate_kbps, max_total_rate_kbps, lossless, h264, refresh_quiet_ms, clipboard_to_clients: to,
            clipboard_from_clients: from, clipboard_max_bytes, primary_selection, shared, max_clients, ..rules
        }
    }
}

prop_compose! {
    fn any_listener()(
        address in prop_oneof!["127\\.0\\.0\\.1:[1-9][0-9]{0,3}", "\\[::1\\]:0", "unix:/[a-z \"]{1,9}", "ws:0\\.0\\.0\\.0:[1-9]"],
        kinds in proptest::option::of(prop_oneof!["none", "vncauth,none", "ra2_256,x509plain"]),
        view in "[a-zA-Z0-9-]{1,8}", view_only: bool,
        allowed_origins in proptest::collection::vec("https://[a-z]{1,8}(:[0-9]{1,4})?", 0..3),
    ) -> ListenerSection {
        let security = kinds.map(|k| k.parse().unwrap());
        let address = address.parse().unwrap();
        ListenerSection { security, view, view_only, allowed_origins, ..ListenerSection::at(address) }
    }
}

/// One source, or several of them.
fn any_sources() -> impl Strategy<Value = Sources> {
    let names = vec!["x11::1", "synthetic:64x48@30", "replay:/a b.trace", "kms"];
    let several = proptest::sample::subsequence(names, 1..=4);
    let sources = |names: Vec<&str>| Sources::new(names.iter().map(|name| name.parse().unwrap()).collect()).unwrap();
    prop_oneof![Just(Sources::default()), several.prop_map(sources)]
}

prop_compose! {
    fn any_config()(
        session in any_session(),
        listeners in proptest::collection::vec(any_listener(), 0..4),
        source in any_sources(), down: bool,
        allow in proptest::collection::vec("(none|vncauth)@0\\.0\\.0\\.0:[1-9]", 0..2),
        password_file in proptest::option::of("/[a-z\"']{1,9}"), common in proptest::option::of(prop_oneof!["vncauth", "channel,ra2_256"]),
        state_folder in proptest::option::of("/[a-z\"']{1,9}"),
        max_unauthenticated in 1u32..=10_000, greeting_timeout_s in 1u64..=600,
        login_timeout_s in 1u64..=600,
        json: bool, nice in 0u8..=19,
    ) -> Config {
        Config {
            source,
            arrange: if down { Arrange::Down } else { Arrange::Right },
            security: common.map(|k| k.parse().unwrap()),
            insecure_allow: allow.iter().map(|a| a.parse().unwrap()).collect(),
            password_file: password_file.map(Into::into),
            state_folder: state_folder.map(Into::into),
            access: AccessSettings::default(),
            permissions: PermissionSettings::default(),
            audit: AuditSettings { keep_files: max_unauthenticated.min(9_999), ..AuditSettings::default() },
            tls: tls::Settings { min_bits: if json { 256 } else { 128 }, ..tls::Settings::default() },
            channel: channel::Settings { engine: if json { channel::Library::AwsLcRs } else { channel::Library::AesGcm } },
            rsa_aes: rsa_aes::Settings::default(),
            auth: auth::Settings { append_otp: if json { 6 } else { 0 }, ..auth::Settings::default() },
            sandbox: if json { crate::sandbox::Mode::Off } else { crate::sandbox::Mode::Require },
            session,
            capture: CaptureSection {
                dma_bufs: if json { DmaBufUse::On } else { DmaBufUse::Off },
                gpu: if json { GpuUse::Off } else { GpuUse::Force },
            },
            input: InputSection { keyboard: json.then(|| "us+de:neo,caps:escape".parse().unwrap()) },
            encode: EncodeSection { nice },
            network: NetworkSection { max_unauthenticated, greeting_timeout_s, login_timeout_s },
            log: LogSection { format: if json { LogFormat::Json } else { LogFormat::Text }, level: LogLevel::Debug },
            listeners,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn what_is_printed_reads_back_as_the_same_and_prints_the_same(config in any_config()) {
        let effective = config.with(Overrides::default()).unwrap();
        let print = effective.print().unwrap();
        let again = Config::parse(&print, None).unwrap().with(Overrides::default()).unwrap();
        prop_assert_eq!(&again, &effective);
        prop_assert_eq!(again.print().unwrap(), print);
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]a-z_=\" \n0-9.]{0,80}") {
        let _ = Config::parse(&text, None);
    }
}
