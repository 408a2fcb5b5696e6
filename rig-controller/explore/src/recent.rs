//! A map from hashes that forgets what nobody has put in for a while, so that it stays small however long an exploration
//! takes: for what costs time, but no more than that, if it is not found.
use super::merge::Hashed;

/// Entries after which the older half is forgotten.
const MOST: usize = 1 << 17;

/// See the module.
#[derive(Debug)]
pub(super) struct Recent<T> {
    young: Hashed<T>,
    old: Hashed<T>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            young: Hashed::default(),
            old: Hashed::default(),
        }
    }
}

impl<T> Recent<T> {
    pub(super) fn insert(&mut self, key: u64, value: T) {
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(super) fn get(&self, key: u64) -> Option<&T> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_lately_is_there_and_what_is_older_than_that_is_forgotten() {
        let mut recent = Recent::default();
        for key in 0..3 * MOST as u64 {
            recent.insert(key, key);
            assert_eq!(recent.get(key), Some(&key));
        }
        assert_eq!(recent.get(0), None);
        assert_eq!(
            recent.get(2 * MOST as u64 - 1),
            Some(&(2 * MOST as u64 - 1))
        );
        assert!(recent.young.len() + recent.old.len() <= 2 * MOST);
    }
}
