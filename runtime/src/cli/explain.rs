use super::Failed;
pub(super) struct Asked { pub request: String, pub headers: Vec<String>, pub from: std::net::IpAddr, pub listener: Option<String>, pub json: bool }
pub(super) fn explain(_: &std::path::Path, _: &Asked) -> Result<(), Failed> { Ok(()) }
