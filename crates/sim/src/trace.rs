use crate::clock::Instant;

/// What happened, as a hash for comparing two runs and, on demand, as text.
pub struct Trace {
    hash: u64,
    verbose: bool,
    lines: Vec<String>,
}

impl Trace {
    pub fn new(verbose: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, verbose, lines: Vec::new() }
    }

    pub fn mix(&mut self, value: u64) {
        self.hash = (self.hash ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn verbose(&self) -> bool {
        self.verbose
    }

    /// `text` is only called when somebody wants to read it.
    pub fn line(&mut self, now: Instant, text: impl FnOnce() -> String) {
        if self.verbose {
            self.lines.push(format!("{:>10.3} {}", now as f64 / 1000.0, text()));
        }
    }

    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}
