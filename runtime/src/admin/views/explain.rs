//! `POST /v1/explain`: a request through the policy in service, by the walk that serves.

use std::net::{IpAddr, Ipv4Addr};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tidegate_engine::Explanation;

use super::super::answer::Answer;
use super::super::context::Context;
use super::{masked, parse};
use crate::request::explain::{NoAnswer, Question, explain};

/// A request that is asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainOrder {
    /// The method and the URL: `GET https://host/path`.
    pub request: String,
    /// The header fields: name and value.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The peer; 127.0.0.1 if it is left out.
    pub from: Option<IpAddr>,
    /// The subject of the certificate that the client shows, where the listener asks for one.
    pub client_cert: Option<String>,
    /// The status that a server would answer with; 200 if it is left out.
    pub answer: Option<u16>,
    /// A listener by name; else the one whose port the URL names, else the first of its scheme.
    pub listener: Option<String>,
}

/// The way of the request.
#[derive(Debug, Serialize)]
pub struct ExplainView {
    /// The number of the policy in service.
    pub generation: u64,
    /// The way, as the command line writes it.
    pub shown: String,
    /// The way.
    pub explanation: Explanation,
}

/// `POST /v1/explain`
pub async fn answer(context: &Context, body: &[u8]) -> Answer {
    let order: ExplainOrder = match parse(body) {
        Ok(order) => order,
        Err(answer) => return answer,
    };
    let status = order.answer.unwrap_or(200);
    let Some(status) = StatusCode::from_u16(status).ok().filter(|status| (200..600).contains(&status.as_u16())) else {
        return Answer::problem(StatusCode::BAD_REQUEST, "`answer` is a status from 200 to 599");
    };
    let question = Question {
        request: order.request,
        headers: order.headers,
        from: order.from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        client_cert: order.client_cert,
        answer: status,
        listener: order.listener,
    };
    let snapshot = context.snapshot();
    let generation = snapshot.generation;
    let explained = context.work(move || {
        explain(&snapshot, question).map_err(|why| match why {
            NoAnswer::Wrong(why) => Answer::problem(StatusCode::BAD_REQUEST, why),
            NoAnswer::Refused(why) => Answer::problem(StatusCode::UNPROCESSABLE_ENTITY, why),
        })
    });
    match explained.await {
        Ok(Ok(explanation)) => {
            masked(context, &ExplainView { generation, shown: explanation.to_string(), explanation })
        }
        Ok(Err(answer)) | Err(answer) => answer,
    }
}
