//! Shapes that configurations have in a policy.
#![forbid(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// A value that may be written once, again and again, or as a list. A policy's `word "a"` is a text, and `word "a";
/// word "b"` or `word ["a", "b"]` is a list of two: this takes all of them.
///
/// ```
/// # use tidegate_guest::{Filter, Result, TestHost, config::Many};
/// #[derive(serde::Deserialize)]
/// struct Config {
///     #[serde(default)]
///     name: Many<String>,
/// }
///
/// struct Names(Vec<String>);
///
/// impl Filter for Names {
///     type Config = Config;
///     fn init(config: Config) -> Result<Self> {
///         Ok(Self(config.name.into_vec()))
///     }
/// }
/// # tidegate_guest::export!(Names: request);
///
/// assert!(TestHost::new().config(r#"{"name": "a"}"#).try_start::<Names>().is_ok());
/// assert!(TestHost::new().config(r#"{"name": ["a", "b"]}"#).try_start::<Names>().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Many<T>(Vec<T>);

impl<T> Many<T> {
    /// The values that were written, in order.
    ///
    /// ```
    /// # use tidegate_guest::config::Many;
    /// assert_eq!(["a", "b"].into_iter().collect::<Many<&str>>().into_vec(), ["a", "b"]);
    /// ```
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<T> for Many<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl<T> Deref for Many<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

/// Keeps the errors of the one form that was written, which an untagged enum would lose.
struct OneOrMany<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for OneOrMany<T> {
    type Value = Many<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one or many values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Many<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Many)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Many<T>, A::Error> {
        one(T::deserialize(MapAccessDeserializer::new(map)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Many<T>, E> {
        one(T::deserialize(text.into_deserializer()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Many<T>, E> {
        one(T::deserialize(value.into_deserializer()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Many<T>, E> {
        one(T::deserialize(value.into_deserializer()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Many<T>, E> {
        one(T::deserialize(value.into_deserializer()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Many<T>, E> {
        one(T::deserialize(value.into_deserializer()))
    }
}

fn one<T, E>(value: Result<T, E>) -> Result<Many<T>, E> {
    value.map(|value| Many(vec![value]))
}
