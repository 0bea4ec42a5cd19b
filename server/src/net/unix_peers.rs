//! Who may connect over a Unix socket: the kernel tells each peer's user.

use serde::{Deserialize, Serialize};

/// Who may connect over a Unix socket besides the user that serves and root: users by number, or the members of one group.
///
/// The socket's file says the same: mode 600; 660 and the group's where a group is named, whose members the kernel then lets
/// open it; 666 where users are named, who are told by number when they come.
///
/// ```
/// use farpane_server::net::UnixPeers;
/// let peers = UnixPeers { users: vec![1001], group: None };
/// assert_eq!(peers.mode(), 0o666);
/// assert!(peers.check().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnixPeers {
    /// Users, by number (`id -u NAME`).
    pub users: Vec<u32>,
    /// A group, by number (`getent group NAME`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
}

/// Why the wish cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnixPeersError {
    /// The file's mode can say only one of them.
    #[error("unix_peers names users and a group (expected one of them: put the users into the group)")]
    Both,
}

impl UnixPeers {
    /// Checks that it can be kept.
    ///
    /// # Errors
    /// When users and a group are named.
    pub fn check(&self) -> Result<(), UnixPeersError> {
        if self.group.is_some() && !self.users.is_empty() { Err(UnixPeersError::Both) } else { Ok(()) }
    }

    /// The mode of the socket's file.
    pub fn mode(&self) -> u32 {
        match (self.group, self.users.is_empty()) {
            (Some(_), _) => 0o660,
            (None, false) => 0o666,
            (None, true) => 0o600,
        }
    }

    /// Why this user may not connect; none when it may.
    pub(super) fn refuses(&self, uid: Option<u32>) -> Option<String> {
        self.refuses_beside(rustix::process::geteuid().as_raw(), uid)
    }

    fn refuses_beside(&self, ours: u32, uid: Option<u32>) -> Option<String> {
        let Some(uid) = uid else {
            return Some("This socket is not for you: the system does not tell your user".into());
        };
        // who could open a socket of mode 660 is its owner, root or in the group
        let welcome = uid == ours || uid == 0 || self.group.is_some() || self.users.contains(&uid);
        (!welcome).then(|| {
            format!("This socket is not for user {uid}: it serves user {ours}, root and those named in unix_peers")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serving_user_root_and_named_users_may_and_others_are_told_why_not() {
        let named = UnixPeers { users: vec![1001], group: None };
        for (peers, uid, may) in [
            (UnixPeers::default(), Some(1000), true),
            (UnixPeers::default(), Some(0), true),
            (UnixPeers::default(), Some(1001), false),
            (UnixPeers::default(), None, false),
            (named.clone(), Some(1001), true),
            (named.clone(), Some(1000), true),
            (named.clone(), Some(1002), false),
            (named, None, false),
        ] {
            let why = peers.refuses_beside(1000, uid);
            assert_eq!(why.is_none(), may, "{peers:?} {uid:?}: {why:?}");
        }
        let why = UnixPeers::default().refuses_beside(1000, Some(7)).unwrap();
        assert!(why.contains("not for user 7") && why.contains("serves user 1000"), "{why}");
    }

    #[test]
    fn a_group_is_let_in_by_the_files_mode_and_goes_with_no_users() {
        let group = UnixPeers { users: vec![], group: Some(44) };
        assert_eq!((group.mode(), group.refuses_beside(1000, Some(1001))), (0o660, None));
        assert_eq!(UnixPeers::default().mode(), 0o600);
        assert_eq!(UnixPeers { users: vec![1], group: Some(44) }.check(), Err(UnixPeersError::Both));
    }
}
