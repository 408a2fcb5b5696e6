//! The graph of the states a model reaches, as the checker finds it, and whether every way through it ends well.
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

/// Names a state.
pub type Key = u64;

/// Takes keys as they are: they are hashes already.
#[derive(Debug, Default, Clone, Copy)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

type ByKey<T> = HashMap<Key, T, BuildHasherDefault<AsItIs>>;

/// Every state, and every *calm* step: one with which nothing goes wrong.
#[derive(Debug, Default)]
pub struct Graph(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    /// Whether each state is what is striven for.
    states: ByKey<bool>,
    /// From where to where; a step may be there more than once.
    calm: Vec<(Key, Key)>,
}

/// What the graph shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// States there are.
    pub states: usize,
    /// Those from which calm steps alone lead to a goal, whichever of them are taken.
    pub led_to_a_goal: usize,
}

impl Graph {
    /// Writes a step down; it may be told of more than once.
    pub fn step(
        &self,
        (from, from_is_goal): (Key, bool),
        (to, to_is_goal): (Key, bool),
        calm: bool,
    ) {
        let mut content = self
            .0
            .lock()
            .expect("no thread panics with it in its hands");
        content.states.insert(from, from_is_goal);
        content.states.insert(to, to_is_goal);
        if calm {
            content.calm.push((from, to));
        }
    }

    /// Goes back from the goals: a state is led to one if it is one, or if it has calm steps and all of them lead to
    /// states that are. A state in a calm circle is not, nor is one where nothing can happen.
    pub fn outlook(&self) -> Outlook {
        let content = self
            .0
            .lock()
            .expect("no thread panics with it in its hands");
        let mut open: ByKey<usize> = ByKey::default();
        let mut before: ByKey<Vec<Key>> = ByKey::default();
        for (from, to) in &content.calm {
            *open.entry(*from).or_default() += 1;
            before.entry(*to).or_default().push(*from);
        }
        let mut good: Vec<Key> = (content.states.iter())
            .filter(|(_, is_goal)| **is_goal)
            .map(|(key, _)| *key)
            .collect();
        let mut led_to_a_goal = 0;
        while let Some(key) = good.pop() {
            led_to_a_goal += 1;
            for from in before.get(&key).into_iter().flatten() {
                if content.states[from] {
                    continue;
                }
                let left = open.get_mut(from).expect("it has a step");
                *left -= 1;
                if *left == 0 {
                    good.push(*from);
                }
            }
        }
        Outlook {
            states: content.states.len(),
            led_to_a_goal,
        }
    }
}

#[test]
fn circles_and_dead_ends_lead_nowhere() {
    let graph = Graph::default();
    let goal = (9, true);
    let state = |key| (key, false);
    graph.step(state(1), goal, true);
    graph.step(state(2), state(1), true);
    graph.step(state(2), state(3), false);
    assert_eq!(graph.outlook().states, 4);
    assert_eq!(graph.outlook().led_to_a_goal, 3, "3 is a dead end");
    graph.step(state(3), state(2), true);
    assert_eq!(graph.outlook().led_to_a_goal, 4);
    graph.step(state(1), state(3), true);
    assert_eq!(graph.outlook().led_to_a_goal, 1, "1, 3, 2 are a circle");
}
