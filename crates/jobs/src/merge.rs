//! Two listings joined key by key, in bounded memory.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    fmt,
    pin::Pin,
};

use futures_core::Stream;
use futures_util::{TryStreamExt as _, stream};

/// Entry of a listing.
pub trait Keyed {
    /// Returns the key. Listings are in the order of its bytes.
    fn key(&self) -> &str;
}

impl Keyed for sealwax_s3::ListedObject {
    fn key(&self) -> &str {
        &self.key
    }
}

/// A key of one listing, or of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined<L, R> {
    /// Only the left listing has the key.
    Left(L),
    /// Only the right listing has the key.
    Right(R),
    /// Both listings have the key.
    Both(L, R),
}

/// A listing whose keys are too far out of order, or that has a key twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfOrder {
    /// The key.
    pub key: String,
    /// `true` if the listing has the key twice.
    pub is_repeated: bool,
}

impl fmt::Display for OutOfOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_repeated {
            true => write!(f, "the listing has {:?} twice", self.key),
            false => write!(
                f,
                "{:?} is too far out of the order of the keys' bytes, so the listings cannot be \
                 compared",
                self.key
            ),
        }
    }
}

impl std::error::Error for OutOfOrder {}

type Entries<'a, T, E> = Pin<Box<dyn Stream<Item = Result<T, E>> + Send + 'a>>;

/// Joins two listings, each in the order of the keys' bytes and without repetition, in constant
/// memory. An error of either listing ends the stream.
///
/// Use [`in_order`] for a listing whose order is not known for sure: with a wrong order, a key of both
/// listings seems to be of only one.
pub fn join<'a, L, R, E>(
    left: impl Stream<Item = Result<L, E>> + Send + 'a,
    right: impl Stream<Item = Result<R, E>> + Send + 'a,
) -> impl Stream<Item = Result<Joined<L, R>, E>> + Send + 'a
where
    L: Keyed + Send + 'a,
    R: Keyed + Send + 'a,
    E: Send + 'a,
{
    struct State<'a, L, R, E> {
        left: Entries<'a, L, E>,
        right: Entries<'a, R, E>,
        /// Heads of the listings; `None` before the first entry.
        heads: Option<(Option<L>, Option<R>)>,
    }
    let state = State { left: Box::pin(left), right: Box::pin(right), heads: None };
    stream::try_unfold(state, |mut state| async move {
        let (left, right) = match state.heads.take() {
            Some(heads) => heads,
            None => (state.left.try_next().await?, state.right.try_next().await?),
        };
        let (joined, left, right) = match (left, right) {
            (None, None) => return Ok(None),
            (Some(left), None) => (Joined::Left(left), state.left.try_next().await?, None),
            (None, Some(right)) => (Joined::Right(right), None, state.right.try_next().await?),
            (Some(left), Some(right)) => match left.key().as_bytes().cmp(right.key().as_bytes()) {
                Ordering::Less => (Joined::Left(left), state.left.try_next().await?, Some(right)),
                Ordering::Greater => {
                    (Joined::Right(right), Some(left), state.right.try_next().await?)
                }
                Ordering::Equal => {
                    let next = (state.left.try_next().await?, state.right.try_next().await?);
                    (Joined::Both(left, right), next.0, next.1)
                }
            },
        };
        state.heads = Some((left, right));
        Ok(Some((joined, state)))
    })
}

/// Entry of the heap, by its key.
struct Ordered<T>(T);

impl<T: Keyed> PartialEq for Ordered<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Keyed> Eq for Ordered<T> {}

impl<T: Keyed> PartialOrd for Ordered<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Keyed> Ord for Ordered<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key().as_bytes().cmp(other.0.key().as_bytes())
    }
}

/// Sorts a listing by the bytes of its keys, with at most `window` entries in memory: at least 1.
///
/// S3 lists keys in this order; some stores list a folder's contents where its name belongs, without
/// the slash. Of a listing with up to `window` entries, any order will do. In a longer one, an entry
/// may come up to `window` positions late; later, or twice, it is an error.
pub fn in_order<'a, T, E>(
    entries: impl Stream<Item = Result<T, E>> + Send + 'a,
    window: usize,
) -> impl Stream<Item = Result<T, E>> + Send + 'a
where
    T: Keyed + Send + 'a,
    E: From<OutOfOrder> + Send + 'a,
{
    struct State<'a, T, E> {
        entries: Entries<'a, T, E>,
        heap: BinaryHeap<Reverse<Ordered<T>>>,
        is_exhausted: bool,
        last: Option<String>,
    }
    let state = State {
        entries: Box::pin(entries),
        heap: BinaryHeap::new(),
        is_exhausted: false,
        last: None,
    };
    stream::try_unfold(state, move |mut state| async move {
        while !state.is_exhausted && state.heap.len() < window.max(1) {
            match state.entries.try_next().await? {
                Some(entry) => state.heap.push(Reverse(Ordered(entry))),
                None => state.is_exhausted = true,
            }
        }
        let Some(Reverse(Ordered(entry))) = state.heap.pop() else { return Ok(None) };
        let key = entry.key().to_owned();
        if let Some(last) = &state.last
            && key.as_bytes() <= last.as_bytes()
        {
            let is_repeated = key == *last;
            return Err(OutOfOrder { key, is_repeated }.into());
        }
        state.last = Some(key);
        Ok(Some((entry, state)))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use futures_util::{FutureExt as _, StreamExt as _};
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Entry(String, u8);

    impl Keyed for Entry {
        fn key(&self) -> &str {
            &self.0
        }
    }

    fn all<T>(stream: impl Stream<Item = Result<T, OutOfOrder>>) -> (Vec<T>, Option<OutOfOrder>) {
        let run = async {
            let (mut items, mut stream) = (Vec::new(), std::pin::pin!(stream));
            while let Some(item) = stream.next().await {
                match item {
                    Ok(item) => items.push(item),
                    Err(error) => return (items, Some(error)),
                }
            }
            (items, None)
        };
        run.now_or_never().expect("nothing waits")
    }

    fn entries(keys: &BTreeSet<String>, side: u8) -> Vec<Result<Entry, OutOfOrder>> {
        keys.iter().map(|key| Ok(Entry(key.clone(), side))).collect()
    }

    /// Keys of a few characters, so that two listings share some; `.` sorts before `/`.
    fn keys() -> impl Strategy<Value = BTreeSet<String>> {
        prop::collection::btree_set("[a./\u{e9}]{1,4}", 0..24)
    }

    proptest! {
        #[test]
        fn a_join_is_that_of_maps((left, right) in (keys(), keys())) {
            let joined = join(
                stream::iter(entries(&left, 1)),
                stream::iter(entries(&right, 2)),
            );
            let (found, error) = all(joined);
            prop_assert_eq!(error, None);
            let mut model: BTreeMap<&String, (bool, bool)> = BTreeMap::new();
            for key in &left {
                model.entry(key).or_default().0 = true;
            }
            for key in &right {
                model.entry(key).or_default().1 = true;
            }
            let entry = |key: &String, side| Entry(key.clone(), side);
            let model: Vec<_> = model.into_iter().map(|(key, sides)| match sides {
                (true, true) => Joined::Both(entry(key, 1), entry(key, 2)),
                (true, false) => Joined::Left(entry(key, 1)),
                _ => Joined::Right(entry(key, 2)),
            }).collect();
            prop_assert_eq!(found, model);
        }

        /// In a window as long as the list, any order is put right. In a shorter one, the result is
        /// in order, and complete unless it is an error.
        #[test]
        fn entries_are_put_in_order(
            (keys, window) in (keys().prop_map(|keys| keys.into_iter().collect::<Vec<_>>())
                .prop_shuffle(), 0_usize..32)
        ) {
            let list = keys.iter().map(|key| Ok(Entry(key.clone(), 0))).collect::<Vec<_>>();
            let (found, error) = all(in_order(stream::iter(list), window));
            let mut sorted = keys.clone();
            sorted.sort();
            let found: Vec<_> = found.into_iter().map(|entry| entry.0).collect();
            match error {
                None => prop_assert_eq!(found, sorted),
                Some(error) => {
                    prop_assert!(!error.is_repeated && window < keys.len());
                    prop_assert!(found.is_sorted() && !found.contains(&error.key));
                }
            }
        }
    }

    #[test]
    fn an_entry_may_be_as_late_as_the_window_is_long() {
        let listing = |keys: &[&str], window| {
            let list: Vec<_> = keys.iter().map(|key| Ok(Entry((*key).into(), 0))).collect();
            let (found, error) = all(in_order(stream::iter(list), window));
            (found.len(), error.map(|error| (error.key, error.is_repeated)))
        };
        // A store that lists folders by their names without the slash.
        assert_eq!(listing(&["a/1", "a/2", "a.txt"], 3), (3, None));
        assert_eq!(listing(&["a/1", "a/2", "a.txt"], 2), (1, Some(("a.txt".into(), false))));
        assert_eq!(listing(&["a", "b", "b"], 8), (2, Some(("b".into(), true))));
        assert_eq!(listing(&["a", "a"], 0), (1, Some(("a".into(), true))));
        assert_eq!(listing(&[], 1), (0, None));
    }

    #[test]
    fn an_error_of_either_listing_ends_the_join() {
        let failure = || OutOfOrder { key: "x".into(), is_repeated: false };
        let list = |keys: &[&str]| {
            let list = keys.iter().map(|key| match *key {
                "!" => Err(failure()),
                key => Ok(Entry(key.into(), 0)),
            });
            stream::iter(list.collect::<Vec<_>>())
        };
        for (left, right, joined) in
            [(["a", "!"], ["a", "b"], 0), (["a", "c"], ["b", "!"], 1), (["!", "a"], ["a", "b"], 0)]
        {
            let (found, error) = all(join(list(&left), list(&right)));
            assert_eq!((found.len(), error), (joined, Some(failure())), "{left:?} {right:?}");
        }
    }
}
