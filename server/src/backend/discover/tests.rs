//! Finding, in folders made for it.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use super::displays::Seen;
use super::*;
use crate::helper::InProcess;

/// A root that goes when it is dropped.
struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("farpane-discover-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("tmp/.X11-unix")).expect("a folder");
        Self(path)
    }

    fn file(&self, at: &str, text: &[u8]) -> PathBuf {
        let path = self.0.join(at);
        std::fs::create_dir_all(path.parent().expect("has one")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn env(&self) -> Environment {
        let uid = std::fs::metadata(&self.0).expect("there").uid();
        Environment { root: self.0.clone(), ..Environment::new(uid, Arc::new(InProcess)) }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn reason(route: &Route) -> &str {
    match &route.state {
        RouteState::Usable => "usable",
        RouteState::Unusable { reason, .. } => reason,
    }
}

#[test]
fn an_empty_machine_says_what_is_missing_and_auto_finds_nothing() {
    let root = Root::new("empty");
    let routes = probe(&root.env());
    let x11 = routes.iter().find(|r| matches!(r.source, SourceSpec::X11(_))).expect("is listed");
    assert_ne!(x11.state, RouteState::Usable);
    let portal = routes.iter().find(|r| r.source == SourceSpec::Portal).expect("is listed");
    assert_ne!(portal.state, RouteState::Usable);
    #[cfg(feature = "portal")]
    assert_eq!(reason(portal), "no session bus found");
    assert!(routes.iter().any(|r| matches!(r.source, SourceSpec::Synthetic(_)) && r.state == RouteState::Usable));
    assert_eq!(choose_auto(&routes), None, "a built-in scene is no desktop");
}

#[test]
#[cfg(feature = "x11")]
fn a_socket_that_nobody_answers_on_is_listed_with_the_reason() {
    let root = Root::new("dead");
    drop(UnixListener::bind(root.0.join("tmp/.X11-unix/X7")).expect("a socket"));
    let routes = probe(&root.env());
    let x7 = routes.iter().find(|r| r.source == SourceSpec::X11(Some(":7".into()))).expect("is listed");
    assert!(reason(x7).contains("refused"), "{}", reason(x7));
}

#[test]
fn the_users_processes_tell_authority_files_and_framebuffers() {
    let root = Root::new("proc");
    let cookie = root.file("cookies/a", b"x");
    let environ = format!("A=b\0DISPLAY=:5.0\0XAUTHORITY={}\0", cookie.display());
    root.file("proc/10/environ", environ.as_bytes());
    root.file("proc/10/cmdline", b"xterm\0");
    root.file("proc/11/cmdline", b"/usr/bin/Xvfb\0:6\0-screen\x000\x00640x480x24\0-fbdir\0/some/dir\0");
    root.file("proc/notes/environ", b"DISPLAY=:9\0XAUTHORITY=/x\0");
    let env = root.env();
    let seen = look(&env);
    assert_eq!(seen.authority_files(&env, Some(5)), [cookie]);
    assert_eq!(seen.framebuffer(6, 0), Some(PathBuf::from("/some/dir/Xvfb_screen0")));
    assert_eq!(seen.framebuffer(5, 0), None);
    assert!(!seen.authorities.contains_key(&9));
}

#[test]
fn processes_of_others_are_not_looked_at() {
    let root = Root::new("others");
    root.file("proc/10/environ", b"DISPLAY=:5\0XAUTHORITY=/etc/passwd\0");
    let mut env = root.env();
    env.uid += 1;
    assert_eq!(look(&env), Seen::default());
}

#[test]
fn authority_files_are_looked_for_where_sessions_keep_them() {
    let root = Root::new("authority");
    let mut env = root.env();
    let home = root.file("home/me/.Xauthority", b"1");
    let run = format!("run/user/{}", env.uid);
    let gdm = root.file(&format!("{run}/gdm/Xauthority"), b"2");
    let mutter = root.file(&format!("{run}/.mutter-Xwaylandauth.AB12"), b"3");
    let kde = root.file(&format!("{run}/xauth_xyz"), b"4");
    let own = root.file("own", b"5");
    env.home = Some(root.0.join("home/me"));
    env.xauthority = Some(own.clone());
    assert_eq!(Seen::default().authority_files(&env, Some(0)), [own, home, gdm, mutter, kde]);
}

#[test]
#[cfg(feature = "wayland")]
fn compositors_that_do_not_answer_are_named_with_the_reason() {
    let root = Root::new("wayland");
    let env = root.env();
    root.file(&format!("run/user/{}/wayland-0", env.uid), b"");
    root.file(&format!("run/user/{}/wayland-0.lock", env.uid), b"");
    let routes = probe(&env);
    let wlroots = routes.iter().find(|r| r.source == SourceSpec::Wlroots).expect("is listed");
    assert_eq!(wlroots.what, "Wayland compositor at wayland-0");
    assert!(reason(wlroots).contains("wayland-0: ") && wlroots.rank.is_none(), "{}", reason(wlroots));
}

#[test]
fn auto_prefers_the_environments_display_and_never_xwayland() {
    let route = |name: &str, state, rank| Route {
        source: SourceSpec::X11(Some(name.into())),
        what: "X display".into(),
        state,
        rank,
        details: Vec::new(),
    };
    let no = RouteState::Unusable { reason: "r".into(), advice: String::new() };
    let routes = [
        route(":1", RouteState::Usable, Some(Rank::FoundX11)),
        route(":0", RouteState::Usable, Some(Rank::NamedX11)),
        route(":2", no.clone(), None),
    ];
    assert_eq!(choose_auto(&routes).expect("one").0, SourceSpec::X11(Some(":0".into())));
    let wayland = |rank| Route { source: SourceSpec::Wlroots, ..route(":0", RouteState::Usable, Some(rank)) };
    let beside = |rank| choose_auto(&[&routes[..], &[wayland(rank)]].concat()).expect("one");
    let (taken, why) = beside(Rank::NamedWayland);
    assert_eq!(taken, SourceSpec::Wlroots);
    assert!(why.ends_with("named by WAYLAND_DISPLAY"), "{why}");
    assert_eq!(beside(Rank::FoundWayland).0, SourceSpec::X11(Some(":0".into())));
    assert_eq!(choose_auto(&[route(":3", RouteState::Usable, None), route(":4", no, None)]), None);
}
