//! A set that mostly has one member, and then takes no memory beside itself.

use std::collections::HashSet;
use std::hash::Hash;

// A set by itself would make all of them larger.
#[allow(clippy::box_collection)]
#[derive(Clone, Debug, Default)]
pub enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Box<HashSet<T>>),
}

impl<T: Eq + Hash> Few<T> {
    pub fn insert(&mut self, member: T) {
        match self {
            Self::One(one) if *one == member => {}
            Self::Many(many) => drop(many.replace(member)),
            _ => {
                *self = match std::mem::take(self) {
                    Self::One(one) => Self::Many(Box::new(HashSet::from([one, member]))),
                    _ => Self::One(member),
                }
            }
        }
    }

    pub fn remove(&mut self, member: &T) {
        match self {
            Self::One(one) if one == member => *self = Self::None,
            Self::Many(many) => {
                many.remove(member);
                if many.is_empty() {
                    *self = Self::None;
                }
            }
            _ => {}
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(one) => (Some(one), None),
            Self::Many(many) => (None, Some(many.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_put_in_and_not_taken_out() {
        let mut few = Few::default();
        few.insert(1);
        few.insert(1);
        assert_eq!(few.iter().count(), 1);
        few.remove(&2);
        few.insert(2);
        few.insert(2);
        few.insert(3);
        few.remove(&1);
        let mut all: Vec<i32> = few.iter().copied().collect();
        all.sort_unstable();
        assert_eq!(all, [2, 3]);
        few.remove(&2);
        few.remove(&3);
        assert!(few.is_empty());
    }
}
