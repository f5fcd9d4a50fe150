//! Networks, by name and written in place.

use ipnet::IpNet;
use serde::Serialize;

use super::ids::ListId;

/// `list NAME [ … ]`: named networks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct List {
    /// The name of the list.
    pub name: String,
    /// The networks of the list; a single address is a network of full length.
    pub networks: Vec<IpNet>,
}

/// Networks as a test or a trust setting names them: lists, and addresses written in place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct NetworkSet {
    /// Named lists.
    pub lists: Vec<ListId>,
    /// Networks written in place.
    pub networks: Vec<IpNet>,
}
