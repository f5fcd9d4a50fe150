//! Properties that must hold for every input. The fuzz targets try them on what they make up, and ordinary tests, which
//! include these files, on the corpora and on every crash that was found.

pub mod contexts;
pub mod h3_reader;
pub mod http3;
pub mod packets;
pub mod policy;
pub mod proxy_protocol;
pub mod request;
