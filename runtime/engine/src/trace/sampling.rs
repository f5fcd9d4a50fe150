//! Which traces are recorded.

/// Whether a trace is among those of which so many in a hundred are recorded.
///
/// The choice follows from the trace's id alone, in the way of OpenTelemetry's `TraceIdRatioBased`: the highest 63 bits of
/// the id's lower half are compared with the share. So all that use it record the same traces, and what one records at 1 %
/// another does at 10 %.
pub const fn is_chosen(trace_id: u128, percent: u32) -> bool {
    // What is cut off is the upper half.
    let drawn = (trace_id as u64) >> 1;
    percent >= 100 || (drawn as u128) < (1 << 63) * (percent as u128) / 100
}
