//! What can be done.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// What can be done. The text is the same in trust scopes, Cedar policies, flags and entries.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Action {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

actions! {
    // On an environment and its secrets; a trust scope may allow each.

    /// See names, versions and states, never values.
    List "list";
    /// See a value.
    Reveal "reveal";
    /// Make a new version: set, generate, roll back, delete, undelete.
    Set "set";
    /// Start a program with the values of an environment.
    Run "run";
    /// Have credentials made that end by themselves.
    Lease "lease";
    /// Destroy a version's value for good.
    Destroy "destroy";
    /// See deliveries of an environment and their states.
    SeeDelivery "see-delivery";
    /// Pause and resume a delivery.
    PauseDelivery "pause-delivery";
    /// See who came to know which version of a secret, and how.
    SeeExposure "see-exposure";

    // On the whole; a trust scope may allow each.

    /// See what files declare and what a set of files would change.
    Plan "plan";
    /// Change what is declared. Held by `administrators`.
    Apply "apply";
    /// See people, their groups, sessions, grants and exposures.
    SeePeople "see-people";
    /// Suspend, resume, deactivate, reactivate, sign out.
    ManagePeople "manage-people";
    /// See rotation tasks.
    SeeRotation "see-rotation";
    /// Agree that a rotation task may wait: one person asks, another one confirms.
    WaiveRotation "waive-rotation";
    /// Read the log.
    ReadLog "read-log";
    /// Rotate keys. Held by `administrators`.
    ManageKeys "manage-keys";
    /// Forget people in the log, and hold that up. Held by `administrators`.
    Forget "forget";
    /// Make, see, change and disable connections. Held by `administrators`.
    ManageConnections "manage-connections";

    // On one's own; every active person may.

    /// See who one is, one's sessions, requests and grants.
    SeeOwn "see-own";
    /// End one's own sessions.
    EndOwnSession "end-own-session";
    /// Give one's own leases back.
    EndOwnLease "end-own-lease";
    /// Sign a command line in.
    SignInCli "sign-in-cli";
    /// Ask for a trust scope that can be asked for.
    Request "request";
    /// Take one's own request back.
    CancelRequest "cancel-request";

    // On somebody's request; its approvers may.

    /// See a request.
    SeeRequest "see-request";
    /// Say yes or no to a request.
    Decide "decide";

    // Of connections.

    /// Create, change and read people and groups, as the connection's identity provider says.
    Provision "provision";
    /// Take a person away, or from a group, as the connection's identity provider says.
    Deprovision "deprovision";

    // Of our own services.

    /// Take a verified sign-in in.
    SignIn "sign-in";
    /// End sessions that an identity provider says have ended.
    SignOut "sign-out";
    /// End what has run out.
    Expire "expire";
    /// End what a person's groups and teams no longer justify, and note what she gained and lost.
    Follow "follow";
    /// Note what came of a change that was begun at an engine.
    Settle "settle";
    /// Write what should be in a cluster, and note what is.
    Deliver "deliver";
    /// Take from leavers what they hold; open and close rotation tasks.
    Revoke "revoke";
    /// Keep rotation tasks, and set the new values that rotators make.
    Rotate "rotate";
    /// Send entries of the log on.
    Forward "forward";
    /// Move old entries of the log to its archive, and end what was begun there.
    Archive "archive";
    /// Begin the log, recover access, work on the server's own machine.
    Operate "operate";
}

impl Action {
    /// Whether a workload may do it where a trust scope lets it. The rest is for people.
    #[must_use]
    pub const fn is_for_workloads(self) -> bool {
        matches!(self, Self::List | Self::Reveal | Self::Set | Self::Run | Self::Lease | Self::SeeDelivery)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| format!("there is no action '{}'", text.escape_debug()))
    }
}
