//! What to do next about a secret whose value is the password of a static role, or of two that take
//! turns: from what is, and nothing else. So it can be stopped anywhere, and goes on where it was.

/// A keyed fingerprint of a value.
pub(super) type Print = [u8; 32];

/// What is.
pub(super) struct Seen<'a> {
    /// The secret's value for each role, as the engine has their passwords now: one, or two.
    pub(super) roles: &'a [Print],
    /// The secret's current value; nothing where there is none.
    pub(super) current: Option<Print>,
    /// Whether the secret ever had a value.
    pub(super) is_new: bool,
    /// Values that are worth too much to somebody: what the open task is about.
    pub(super) known: &'a [Print],
    /// Whether the current value is wherever it should be, so that the old one may die.
    pub(super) is_everywhere: bool,
    /// Whether the task says that the old value has to be ended, and it is not.
    pub(super) is_to_end: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Give this role another password.
    Rotate(usize),
    /// Make this role's password the secret's value.
    Set(usize),
    /// Note that the old password is worth nothing.
    End,
    /// Nothing.
    Rest,
}

impl Seen<'_> {
    /// The next step.
    pub(super) fn turn(&self) -> Turn {
        let Some(current) = self.current else {
            return if self.is_new { self.bring(0) } else { Turn::Rest };
        };
        let holder = self.roles.iter().position(|role| *role == current);
        let other = holder.and_then(|holder| self.other(holder));
        match (holder, other) {
            (None, _) => self.bring(0),
            (Some(holder), None) if self.is_known(current) => Turn::Rotate(holder),
            (Some(_), Some(other)) if self.is_known(current) => self.bring(other),
            (Some(_), Some(other)) if self.is_to_end && self.is_everywhere => self.end(other),
            _ => Turn::Rest,
        }
    }

    /// A role's password, after it has become one that nobody knows.
    fn bring(&self, role: usize) -> Turn {
        if self.is_known(self.roles[role]) { Turn::Rotate(role) } else { Turn::Set(role) }
    }

    /// The password that the secret had before dies with the rotation of its role.
    fn end(&self, other: usize) -> Turn {
        if self.is_known(self.roles[other]) { Turn::Rotate(other) } else { Turn::End }
    }

    fn other(&self, role: usize) -> Option<usize> {
        (0..self.roles.len()).find(|it| *it != role)
    }

    fn is_known(&self, value: Print) -> bool {
        self.known.contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An engine, a secret and deliveries in small: passwords are numbers.
    #[derive(Clone, Debug)]
    struct World {
        roles: Vec<u8>,
        secret: Option<u8>,
        delivered: Option<u8>,
        known: Vec<u8>,
        ended: bool,
        next: u8,
        /// Passwords that were taken while they were delivered, over all time.
        broken: usize,
    }

    impl World {
        fn new(roles: u8, leaks: usize) -> Self {
            let mut it = Self {
                roles: (1..=roles).collect(),
                secret: None,
                delivered: None,
                known: Vec::new(),
                ended: false,
                next: roles + 1,
                broken: 0,
            };
            it.settle();
            it.delivered = it.secret;
            // A leaver knows the current value, and perhaps the other role's.
            it.known.extend(it.secret);
            it.known.extend(it.roles.iter().copied().filter(|r| leaks > 1 && Some(*r) != it.secret));
            it.ended = false;
            it
        }

        fn turn(&self) -> Turn {
            let print = |value: &u8| [*value; 32];
            let roles: Vec<Print> = self.roles.iter().map(print).collect();
            let known: Vec<Print> = self.known.iter().map(print).collect();
            Seen {
                roles: &roles,
                current: self.secret.as_ref().map(print),
                is_new: self.secret.is_none(),
                known: &known,
                is_everywhere: self.delivered == self.secret,
                is_to_end: !self.known.is_empty() && !self.ended,
            }
            .turn()
        }

        fn take(&mut self, turn: Turn) {
            match turn {
                Turn::Rotate(role) => {
                    let two = self.roles.len() > 1;
                    if two && self.delivered == Some(self.roles[role]) {
                        self.broken += 1;
                    }
                    self.roles[role] = self.next;
                    self.next += 1;
                }
                Turn::Set(role) => (self.secret, self.ended) = (Some(self.roles[role]), false),
                Turn::End => self.ended = true,
                Turn::Rest => {}
            }
        }

        /// Goes on until there is nothing to do but wait.
        fn settle(&mut self) {
            for _ in 0..10 {
                self.take(self.turn());
            }
        }
    }

    #[test]
    fn one_role_changes_its_password_and_the_secret_follows() {
        let mut world = World::new(1, 1);
        assert_eq!(world.turn(), Turn::Rotate(0));
        world.take(Turn::Rotate(0));
        assert_eq!(world.turn(), Turn::Set(0));
        world.take(Turn::Set(0));
        assert_eq!(world.turn(), Turn::Rest);
    }

    #[test]
    fn of_two_roles_the_old_one_dies_once_the_new_one_is_everywhere() {
        let mut world = World::new(2, 1);
        assert_eq!(world.turn(), Turn::Set(1));
        world.take(Turn::Set(1));
        assert_eq!(world.turn(), Turn::Rest, "what is delivered still works");
        world.delivered = world.secret;
        assert_eq!(world.turn(), Turn::Rotate(0));
        world.take(Turn::Rotate(0));
        assert_eq!(world.turn(), Turn::End);
        world.take(Turn::End);
        assert_eq!(world.turn(), Turn::Rest);
    }

    #[test]
    fn what_was_deleted_is_not_brought_back() {
        let seen = Seen {
            roles: &[[1; 32]],
            current: None,
            is_new: false,
            known: &[],
            is_everywhere: true,
            is_to_end: false,
        };
        assert_eq!(seen.turn(), Turn::Rest);
    }

    proptest! {
        /// Whenever deliveries happen, and whatever else was known: it ends with a value that nobody
        /// knows, no role has a password that somebody knows, and nothing that was delivered was broken.
        #[test]
        fn it_comes_to_an_end_with_nothing_known(
            roles in 1..=2u8, leaks in 1..=2usize, delivers in prop::collection::vec(any::<bool>(), 40)
        ) {
            let mut world = World::new(roles, leaks);
            for deliver in delivers {
                if deliver {
                    world.delivered = world.secret;
                }
                world.take(world.turn());
            }
            world.settle();
            world.delivered = world.secret;
            world.settle();
            prop_assert_eq!(world.turn(), Turn::Rest);
            prop_assert!(world.secret.is_some_and(|value| !world.known.contains(&value)));
            prop_assert!(world.roles.iter().all(|value| !world.known.contains(value)));
            prop_assert!(world.ended || roles == 1);
            prop_assert_eq!(world.broken, 0);
        }
    }
}
