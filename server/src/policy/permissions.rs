//! What a user may do, decided once at login and asked wherever a message is handled.
//!
//! For each permission: what the settings say of the user decides; where they say nothing, what they say of the user's groups; where they
//! say nothing of these either, nothing is permitted. In one place deny beats allow. So long as the settings name nobody at
//! all, everybody who logged in may do everything.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing that can be permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// Seeing the desktop.
    View,
    /// Moving and pressing the pointer.
    Pointer,
    /// Typing.
    Keyboard,
    /// Putting text into the desktop's clipboard.
    ClipIn,
    /// Getting what is copied on the desktop.
    ClipOut,
    /// Sending files.
    FileUp,
    /// Fetching files.
    FileDown,
    /// Printing.
    Print,
    /// Hearing the desktop.
    Audio,
    /// Chatting.
    Chat,
    /// Changing the desktop's size and monitors.
    Resize,
    /// Blanking the desktop's monitors.
    Blank,
    /// Disconnecting others, and having the desktop alone.
    DisconnectOthers,
    /// Recording the session.
    Record,
}

const NAMES: [(&str, Permission); 14] = [
    ("view", Permission::View),
    ("pointer", Permission::Pointer),
    ("keyboard", Permission::Keyboard),
    ("clip-in", Permission::ClipIn),
    ("clip-out", Permission::ClipOut),
    ("file-up", Permission::FileUp),
    ("file-down", Permission::FileDown),
    ("print", Permission::Print),
    ("audio", Permission::Audio),
    ("chat", Permission::Chat),
    ("resize", Permission::Resize),
    ("blank", Permission::Blank),
    ("disconnect-others", Permission::DisconnectOthers),
    ("record", Permission::Record),
];

/// Why a name is no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown permission {0:?} (expected all, view, pointer, keyboard, clip-in, clip-out, file-up, file-down, print, audio, \
     chat, resize, blank, disconnect-others or record)"
)]
pub struct UnknownPermission(String);

impl Permission {
    /// Every permission.
    pub fn all() -> impl Iterator<Item = Permission> {
        NAMES.iter().map(|(_, p)| *p)
    }

    /// The name in settings and audit events.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, p)| *p == self).map_or("", |(name, _)| name)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = NAMES.iter().find(|(name, _)| *name == text).map(|(_, p)| *p);
        found.ok_or_else(|| UnknownPermission(text.chars().take(64).collect()))
    }
}

/// A set of permissions. In settings a list of names, or of the one word `all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u16);

impl Permissions {
    /// None.
    pub const NONE: Permissions = Permissions(0);
    /// All.
    pub const ALL: Permissions = Permissions((1 << NAMES.len()) - 1);
    /// What a client may do that sees and does not touch.
    pub const VIEW_ONLY: Permissions = Permissions(
        Permission::View.bit() | Permission::ClipOut.bit() | Permission::Audio.bit() | Permission::Chat.bit(),
    );

    /// Whether it holds this one.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// With this one too.
    #[must_use]
    pub const fn with(self, permission: Permission) -> Self {
        Permissions(self.0 | permission.bit())
    }

    /// Without these.
    #[must_use]
    pub const fn without(self, others: Permissions) -> Self {
        Permissions(self.0 & !others.0)
    }

    /// What both hold.
    #[must_use]
    pub const fn and(self, others: Permissions) -> Self {
        Permissions(self.0 & others.0)
    }

    /// What either holds.
    #[must_use]
    pub const fn or(self, others: Permissions) -> Self {
        Permissions(self.0 | others.0)
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What it holds, in the order of the list above.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::all().filter(move |p| self.has(*p))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        permissions.into_iter().fold(Permissions::NONE, Permissions::with)
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Permissions::ALL {
            return serializer.collect_seq(["all"]);
        }
        serializer.collect_seq(self.iter().map(Permission::name))
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<String>::deserialize(deserializer)?.iter().try_fold(Permissions::NONE, |set, name| match name.as_str() {
            "all" => Ok(Permissions::ALL),
            name => name.parse().map(|p| set.with(p)).map_err(D::Error::custom),
        })
    }
}

/// What is said of one user or group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Entry {
    /// Permitted.
    pub allow: Permissions,
    /// Not permitted, whatever `allow` says.
    pub deny: Permissions,
}

impl Entry {
    /// Takes another entry of the same rank in.
    fn and(self, other: &Entry) -> Entry {
        Entry { allow: self.allow.or(other.allow), deny: self.deny.or(other.deny) }
    }

    /// What is permitted where this entry stands above `below`.
    fn over(self, below: Permissions) -> Permissions {
        below.or(self.allow).without(self.deny)
    }
}

/// `[permissions]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PermissionSettings {
    /// What logging in with the one-time password of this run permits.
    pub session_password: Permissions,
    /// What clients may do that no user stands behind: security types None and VncAuth.
    pub anonymous: Permissions,
    /// What is said of users, by name.
    pub users: BTreeMap<String, Entry>,
    /// What is said of groups, by name.
    pub groups: BTreeMap<String, Entry>,
}

impl Default for PermissionSettings {
    fn default() -> Self {
        PermissionSettings {
            session_password: Permissions::ALL,
            anonymous: Permissions::ALL,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }
}

impl PermissionSettings {
    /// Whether nothing is said of any user or group.
    pub fn names_nobody(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// What a user of these groups may do. Where nobody is named, those may do everything whom the administrator has chosen one
    /// by one, and those who are merely known to somebody else (an account of the machine, a certificate of the
    /// company's) nothing.
    pub fn of_user(&self, user: &str, groups: &[impl AsRef<str>], chosen: bool) -> Permissions {
        if self.names_nobody() {
            return if chosen { Permissions::ALL } else { Permissions::NONE };
        }
        let groups = groups.iter().filter_map(|group| self.groups.get(group.as_ref()));
        let by_group = groups.fold(Entry::default(), Entry::and).over(Permissions::NONE);
        self.users.get(user).copied().unwrap_or_default().over(by_group)
    }

    /// What whoever has the one-time password of this run may do.
    pub fn of_session_password(&self) -> Permissions {
        self.session_password
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &str = "\
        session_password = [\"view\"]\n\
        [users.ann]\nallow = [\"all\"]\ndeny = [\"record\"]\n\
        [users.bob]\nallow = [\"keyboard\"]\n\
        [users.eve]\ndeny = [\"pointer\"]\n\
        [users.joe]\n\
        [groups.staff]\nallow = [\"view\", \"pointer\", \"resize\"]\n\
        [groups.guests]\nallow = [\"view\", \"chat\"]\ndeny = [\"resize\", \"keyboard\"]\n";

    fn settings() -> PermissionSettings {
        toml::from_str(SETTINGS).unwrap()
    }

    fn names(set: Permissions) -> String {
        set.iter().map(Permission::name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn deny_beats_allow_and_user_beats_group_and_strangers_get_none() {
        let table: &[(&str, &[&str], &str)] = &[
            ("nobody", &[], ""),
            ("nobody", &["unnamed"], ""),
            ("nobody", &["staff"], "view pointer resize"),
            ("nobody", &["guests"], "view chat"),
            // deny beats allow between groups, whatever their order
            ("nobody", &["staff", "guests"], "view pointer chat"),
            ("nobody", &["guests", "staff"], "view pointer chat"),
            // user beats group, both ways
            ("bob", &["guests"], "view keyboard chat"),
            ("eve", &["staff"], "view resize"),
            ("eve", &[], ""),
            ("joe", &[], ""),
            ("joe", &["staff"], "view pointer resize"),
            // deny beats allow in one entry
            ("ann", &["guests"], &names(Permissions::ALL.without(Permissions::NONE.with(Permission::Record)))),
            // names are compared exactly
            ("Ann", &[], ""),
            ("ann ", &[], ""),
        ];
        for (user, groups, expected) in table {
            for chosen in [true, false] {
                assert_eq!(names(settings().of_user(user, groups, chosen)), *expected, "{user} {groups:?}");
            }
        }
        assert_eq!(names(settings().of_session_password()), "view");
    }

    #[test]
    fn with_nobody_named_those_who_were_chosen_may_do_everything_and_others_nothing() {
        let settings = PermissionSettings::default();
        assert_eq!(settings.of_user("ann", &["staff"], true), Permissions::ALL);
        assert_eq!(settings.of_user("ann", &["staff"], false), Permissions::NONE);
        assert_eq!((settings.of_session_password(), settings.anonymous), (Permissions::ALL, Permissions::ALL));
        assert_eq!(toml::from_str::<PermissionSettings>("").unwrap(), settings);
    }

    #[test]
    fn every_pair_of_user_and_group_entry_follows_the_rule() {
        // one permission, each entry says allow, deny, both or nothing
        let says = [(false, false), (true, false), (false, true), (true, true)];
        for (user, group) in says.iter().flat_map(|u| says.iter().map(move |g| (*u, *g))) {
            let entry = |(allow, deny): (bool, bool)| {
                let set = |on: bool| if on { Permissions::NONE.with(Permission::View) } else { Permissions::NONE };
                Entry { allow: set(allow), deny: set(deny) }
            };
            let mut settings = PermissionSettings::default();
            settings.users.insert("u".into(), entry(user));
            settings.groups.insert("g".into(), entry(group));
            let expected = match (user, group) {
                ((_, true), _) => false,
                ((true, false), _) => true,
                (_, (_, true)) => false,
                (_, (allowed, false)) => allowed,
            };
            assert_eq!(settings.of_user("u", &["g"], true).has(Permission::View), expected, "{user:?} {group:?}");
        }
    }

    #[test]
    fn sets_print_as_they_are_read_and_typos_are_named() {
        let read = settings();
        assert_eq!(toml::from_str::<PermissionSettings>(&toml::to_string(&read).unwrap()).unwrap(), read);
        for permission in Permission::all() {
            assert_eq!(permission.name().parse(), Ok(permission));
        }
        let said = toml::from_str::<PermissionSettings>("[users.a]\nallow = [\"keybord\"]").unwrap_err().to_string();
        assert!(said.contains("unknown permission \"keybord\" (expected all, view"), "{said}");
        assert!(toml::from_str::<PermissionSettings>("[users.a]\npermit = []").is_err());
        assert_eq!(Permissions::ALL.iter().count(), NAMES.len());
        assert!(!Permissions::VIEW_ONLY.has(Permission::Pointer) && Permissions::VIEW_ONLY.has(Permission::View));
    }
}
