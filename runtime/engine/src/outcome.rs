//! Outcomes of rules: a group by weight, a redirection, an answer of our own, or none.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tidegate_dsl::plan::{self, GroupId, Plan};

use crate::affinity::{Affinity, CookieKeys, Kept};
use crate::balance;
use crate::build_error::Invalid;
use crate::exchange::Exchange;
use crate::header_text::header_value;
use crate::hook::Reply;
use crate::location::{self, LocationPart, Refused};
use crate::template::{Scope, Slots, Template};

/// The outcome of a rule.
#[derive(Debug)]
pub(crate) enum Outcome {
    Forward(Split, Option<Affinity>),
    Redirect(Redirect),
    Respond(Respond),
    Close,
}

/// Groups by weight.
#[derive(Debug)]
pub(crate) struct Split(Box<[plan::Target]>);

/// A redirection.
#[derive(Debug)]
pub(crate) struct Redirect {
    status: StatusCode,
    location: Location,
}

#[derive(Debug)]
enum Location {
    Fixed(HeaderValue),
    /// A text with insertions, and for each of its pieces whether it is the policy's own.
    Made(Template, Box<[bool]>),
}

/// An answer of our own.
#[derive(Debug)]
pub(crate) struct Respond {
    status: StatusCode,
    content_type: HeaderValue,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Fixed(Bytes),
    Made(Template),
}

impl Outcome {
    /// The outcome of a rule; `names` are those of its rule list and its own.
    pub(crate) fn new(
        outcome: &plan::Outcome,
        [set, rule]: [&str; 2],
        plan: &Plan,
        keys: &CookieKeys,
        slots: &mut Slots,
    ) -> Result<Self, Invalid> {
        Ok(match outcome {
            plan::Outcome::Forward(forward) => {
                let affinity = forward.sticky.map(|ttl| Affinity::new(ttl, set, rule, &forward.targets, plan, keys));
                Self::Forward(Split::new(&forward.targets, plan)?, affinity)
            }
            plan::Outcome::Redirect(status, location) => Self::Redirect(Redirect::new(*status, location, slots)?),
            plan::Outcome::Respond(respond) => Self::Respond(Respond::new(respond, slots)?),
            plan::Outcome::Close => Self::Close,
        })
    }
}

impl Split {
    pub(crate) fn new(targets: &[plan::Target], plan: &Plan) -> Result<Self, Invalid> {
        if targets.iter().any(|target| plan.groups.get(target.group.0).is_none()) {
            return Err(Invalid("it forwards to a server group that does not exist".to_owned()));
        }
        if targets.iter().all(|target| target.weight == 0) {
            return Err(Invalid("all weights are 0; give one group a weight above 0".to_owned()));
        }
        Ok(Self(targets.into()))
    }

    /// The group that the client's cookie names, or else a new one, and how it was chosen.
    pub(crate) fn keep(&self, affinity: &Affinity, exchange: &Exchange, random: u64) -> Option<(GroupId, Kept)> {
        let cookie = |group| affinity.sticky_cookie(group, &self.0, exchange.connection.tls.is_some());
        match affinity.kept(&exchange.request.headers, &self.0) {
            Some((group, true)) => Some((group, Kept::ByCookie)),
            Some((group, false)) => Some((group, Kept::Renewed(cookie(group)?))),
            None => {
                let group = self.choose(random)?;
                Some((group, Kept::Chosen(cookie(group)?)))
            }
        }
    }

    /// A group, in proportion to the weights. `None` cannot be: one weight is above 0.
    pub(crate) fn choose(&self, random: u64) -> Option<GroupId> {
        if let [only] = &*self.0 {
            return Some(only.group);
        }
        let index = balance::weighted(self.0.iter().map(|target| target.weight), random)?;
        self.0.get(index).map(|target| target.group)
    }
}

impl Redirect {
    fn new(status: u16, location: &plan::Template, slots: &mut Slots) -> Result<Self, Invalid> {
        let own = location.0.iter().map(plan::Piece::is_own).collect();
        let location = Template::new(location, slots)?;
        Ok(Self {
            status: final_status(status)?,
            location: match location.fixed() {
                Some(text) => Location::Fixed(header_value(location::fixed(text).into())),
                None => Location::Made(location, own),
            },
        })
    }

    /// The redirection, or why there is none.
    pub(crate) fn reply(&self, scope: Scope<'_>) -> Result<Reply, Refused> {
        let location = match &self.location {
            Location::Fixed(value) => value.clone(),
            Location::Made(template, own) => {
                let (text, ends) = template.render_apart(scope);
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let ranges = starts.zip(ends.iter().copied()).map(|(start, end)| start..end);
                let parts: Vec<_> = ranges.zip(own).map(|(range, own)| LocationPart { range, own: *own }).collect();
                header_value(location::made(&text, &parts)?.into())
            }
        };
        let headers = HeaderMap::from_iter([(header::LOCATION, location)]);
        Ok(Reply { status: self.status, headers, body: Bytes::new() })
    }
}

/// The answer where a redirection would lead away (RFC 9110, 15.5.1): what was inserted is the client's.
pub(crate) fn refused_redirect() -> Reply {
    plain(StatusCode::BAD_REQUEST, Bytes::from_static(b"the redirection was refused\n"))
}

impl Respond {
    fn new(respond: &plan::Respond, slots: &mut Slots) -> Result<Self, Invalid> {
        let body = Template::new(&respond.body, slots)?;
        Ok(Self {
            status: final_status(respond.status)?,
            content_type: header_value(respond.content_type.as_str().into()),
            body: match body.fixed() {
                Some(text) => Body::Fixed(Bytes::from(text.to_owned())),
                None => Body::Made(body),
            },
        })
    }

    pub(crate) fn reply(&self, scope: Scope<'_>) -> Reply {
        let body = match &self.body {
            Body::Fixed(body) => body.clone(),
            Body::Made(template) => Bytes::from(template.render(scope).into_owned()),
        };
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        }
        Reply { status: self.status, headers, body }
    }
}

/// An answer in plain text.
pub(crate) fn plain(status: StatusCode, body: Bytes) -> Reply {
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Reply { status, headers: HeaderMap::from_iter([(header::CONTENT_TYPE, media_type)]), body }
}

/// A status that ends an exchange (RFC 9110, 15): not an interim one.
pub(crate) fn final_status(status: u16) -> Result<StatusCode, Invalid> {
    match StatusCode::from_u16(status) {
        Ok(code) if (200..600).contains(&status) => Ok(code),
        _ => Err(Invalid(format!("{status} is no final status; one from 200 to 599 is"))),
    }
}
