//! `set-header`, `add-header`, `remove-header`.

use http::{HeaderMap, HeaderName, header};
use tidegate_dsl::field_names::{self, Class};
use tidegate_dsl::plan;

use crate::build_error::Invalid;
use crate::exchange::Changed;
use crate::header_name::header_name;
use crate::header_text::HeaderText;
use crate::template::{Scope, Slots};

/// A change to one header field.
#[derive(Debug)]
pub(crate) enum HeaderStep {
    Set(HeaderName, HeaderText),
    Add(HeaderName, HeaderText),
    Remove(HeaderName),
}

/// A value that is written before the map it goes into is borrowed.
pub(crate) enum Change<'a> {
    Set(&'a HeaderName, http::HeaderValue),
    Add(&'a HeaderName, http::HeaderValue),
    Remove(&'a HeaderName),
}

impl HeaderStep {
    pub(crate) fn new(step: &plan::HeaderStep, slots: &mut Slots) -> Result<Self, Invalid> {
        Ok(match step {
            plan::HeaderStep::Set(name, value) => Self::Set(free(header_name(name)?)?, HeaderText::new(value, slots)?),
            plan::HeaderStep::Add(name, value) => Self::Add(free(header_name(name)?)?, HeaderText::new(value, slots)?),
            plan::HeaderStep::Remove(name) => Self::Remove(free(header_name(name)?)?),
        })
    }

    /// The name of the field.
    pub(crate) const fn name(&self) -> &HeaderName {
        match self {
            Self::Set(name, _) | Self::Add(name, _) | Self::Remove(name) => name,
        }
    }

    /// The change, with its value made.
    pub(crate) fn change(&self, scope: Scope<'_>) -> Change<'_> {
        match self {
            Self::Set(name, value) => Change::Set(name, value.value(scope)),
            Self::Add(name, value) => Change::Add(name, value.value(scope)),
            Self::Remove(name) => Change::Remove(name),
        }
    }
}

impl Change<'_> {
    /// Makes the change. A map that can hold no more fields keeps what it has.
    pub(crate) fn apply(self, headers: &mut HeaderMap, changed: &mut Changed) {
        let (Self::Set(name, _) | Self::Add(name, _) | Self::Remove(name)) = &self;
        changed.note(name);
        match self {
            Self::Set(name, value) => {
                let _ = headers.try_insert(name, value);
            }
            Self::Add(name, value) => {
                let _ = headers.try_append(name, value);
            }
            Self::Remove(name) => {
                headers.remove(name);
            }
        }
    }
}

/// Refuses the fields that frame a message: with a wrong one, two peers would see different messages (RFC 9112, 11.2).
fn free(name: HeaderName) -> Result<HeaderName, Invalid> {
    if name == header::HOST {
        return Err(Invalid("`host` is not a header that a rule changes; write `rewrite host \"…\"`".to_owned()));
    }
    if field_names::class(name.as_str()).is_some_and(Class::is_reserved) {
        return Err(Invalid(format!(
            "`{name}` belongs to the connection and is set by the gateway; take this step out"
        )));
    }
    Ok(name)
}
