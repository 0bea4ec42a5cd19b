//! Who a client is and what it may do.

use crate::policy::Permissions;

/// What a login gave a client.
///
/// The default is nobody who may do nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The user's name; empty where none was asked for.
    pub user: String,
    /// The names of the factors that were proved, in order.
    pub factors: Vec<String>,
    /// The words of the device key that the peer proved to hold.
    pub phrase: Option<String>,
    /// What it may do. Without [`Permission::View`](crate::policy::Permission::View) there is no session.
    pub permissions: Permissions,
}

impl Access {
    /// Somebody without a name, who may do everything or only look on.
    pub fn anonymous(view_only: bool) -> Self {
        let permissions = if view_only { Permissions::VIEW_ONLY } else { Permissions::ALL };
        Access { permissions, ..Access::default() }
    }
}
