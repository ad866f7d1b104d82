//! Networks (rtnetlink(7), network_namespaces(7)): links, addresses, routes, and the namespaces they live in.

pub mod netns;
pub mod talk;
pub mod wire;
