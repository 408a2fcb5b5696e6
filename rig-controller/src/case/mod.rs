//! skeleton
pub mod verdict;
