//! The `traceparent` field of W3C Trace Context, as far as the access log needs it.

/// Version, trace, parent and flags of version 00, with their dashes.
const LENGTH: usize = 55;

/// The trace that a request belongs to, out of its `traceparent` field.
///
/// None when the field is not one that its specification (W3C Trace Context, §3.2) lets us use: a
/// trace or a parent of all zeros, capital letters, version ff, or a length that does not fit.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let (known, more) = traceparent.split_at_checked(LENGTH)?;
    let mut parts = known.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none()
        && is_hex(version, 2)
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2);
    // A later version may say more, after another dash.
    let ends_well = more.is_empty() || version != "00" && more.starts_with('-');
    let speaks = version != "ff" && !is_zero(trace) && !is_zero(parent);
    (whole && ends_well && speaks).then_some(trace)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_trace_is_found_in_this_version_and_in_later_ones() {
        for good in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-00"),
            format!("cc-{TRACE}-00f067aa0ba902b7-00-what-comes-later"),
        ] {
            assert_eq!(trace_id(&good), Some(TRACE), "{good}");
        }
    }

    #[test]
    fn a_field_that_may_not_be_used_has_no_trace() {
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            TRACE.to_owned(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{zeros}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902bz-01"),
            format!("00-{}é-00f067aa0ba902b7-01", &TRACE[..30]),
            "é".repeat(40),
        ] {
            assert_eq!(trace_id(&bad), None, "{bad}");
        }
    }
}
