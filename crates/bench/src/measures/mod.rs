//! One measurement of Tidebase a file. Names of loads that peers run too are shared, so that a report can pair them.

pub mod all;
pub mod data;
pub mod delta;
pub mod disk;
pub mod fan_out;
pub mod flat;
pub mod idle;
pub mod insert;
pub mod json;
pub mod policies;
pub mod reach;
pub mod read;
pub mod scale;
pub mod start;
pub mod storm;
pub mod transfer;

/// Name of the point read, for every server.
pub const POINT_READ: &str = "point read over HTTP, 32 connections";
pub const POINT_READ_CLIENTS: usize = 32;

pub fn insert_name(clients: usize) -> String {
    let plural = if clients == 1 { "" } else { "s" };
    format!("insert over HTTP, {clients} client{plural}")
}

/// A number from 1 to `rows` that jumps about, so that neighbouring requests do not read neighbouring rows.
pub fn scattered(sequence: u64, rows: u64) -> u64 {
    sequence.wrapping_mul(2_654_435_761) % rows + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_rows_exist() {
        assert!((0..10_000).map(|sequence| scattered(sequence, 777)).all(|id| (1..=777).contains(&id)));
        assert_ne!(scattered(1, 100_000) + 1, scattered(2, 100_000));
    }
}
