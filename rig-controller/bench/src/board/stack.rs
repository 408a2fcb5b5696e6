//! How deep the stack of a board has been: whatever RAM still holds what it held at power-on was not used.

/// Bytes between the end of RAM and the end of the longest stretch of `now` that is as `before`, at power-on.
pub(super) fn deepest_stack(now: &[u8], before: &[u8]) -> u32 {
    (now.len() - end_of_longest_equal_run(now, before)) as u32
}

/// Index after the longest stretch in which both are equal.
fn end_of_longest_equal_run(now: &[u8], before: &[u8]) -> usize {
    let (mut longest, mut end, mut run) = (0, 0, 0);
    for (at, (a, b)) in now.iter().zip(before).enumerate() {
        run = if a == b { run + 1 } else { 0 };
        if run > longest {
            (longest, end) = (run, at + 1);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_begins_where_the_longest_untouched_stretch_ends() {
        let before = [7; 100];
        let mut now = before;
        now[..10].fill(0);
        now[20] = 0;
        now[80..].fill(0);
        assert_eq!(deepest_stack(&now, &before), 20);
        assert_eq!(deepest_stack(&[1; 4], &[2; 4]), 4);
    }
}
