//! Measurements on a few nodes: memory and disk, how a node comes back, and what catching up costs.

pub mod cluster;
pub mod load;
pub mod resources;
pub mod soak;
