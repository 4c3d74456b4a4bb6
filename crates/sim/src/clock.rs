use pegasus_types::Tick;

/// Virtual time: microseconds since the start of the run. Only the world knows it.
pub type Instant = u64;

pub const MS: Instant = 1_000;
pub const SECOND: Instant = 1_000_000;

/// One machine's clock: it starts anywhere and runs a little too fast or too slow, within the rate
/// error that the lease lengths allow for (design 3, rule 2).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset_us: u64,
    /// Parts per million by which it runs faster than virtual time; negative is slower.
    rate_ppm: i64,
}

impl Clock {
    pub fn new(offset_us: u64, rate_ppm: i64) -> Clock {
        Clock { offset_us, rate_ppm }
    }

    fn local_us(&self, now: Instant) -> u64 {
        let drift = i128::from(now) * i128::from(self.rate_ppm) / 1_000_000;
        let local = i128::from(self.offset_us) + i128::from(now) + drift;
        u64::try_from(local).unwrap_or(0)
    }

    pub fn tick(&self, now: Instant) -> Tick {
        Tick(self.local_us(now) / 1_000)
    }

    /// What this machine believes to be microseconds since the unix epoch.
    pub fn timestamp_us(&self, now: Instant) -> i64 {
        1_700_000_000_000_000 + i64::try_from(self.local_us(now)).unwrap_or(0)
    }

    /// The first instant at or after `now` at which this clock reads `tick` or later; None for
    /// `Tick::NEVER`.
    pub fn instant_of(&self, now: Instant, tick: Tick) -> Option<Instant> {
        if tick == Tick::NEVER {
            return None;
        }
        let local = self.local_us(now);
        let target = tick.0.saturating_mul(1_000);
        if target <= local {
            return Some(now);
        }
        let rate = u64::try_from(1_000_000 + self.rate_ppm).unwrap_or(1);
        let ahead = u128::from(target - local) * 1_000_000 / u128::from(rate);
        Some(now.saturating_add(u64::try_from(ahead).unwrap_or(u64::MAX)).saturating_add(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_ticks_agree() {
        for rate in [-30_000, 0, 30_000] {
            let clock = Clock::new(5_000_123, rate);
            let at = clock.instant_of(1_000, Tick(9_000));
            assert!(at.is_some_and(|at| clock.tick(at) >= Tick(9_000)));
            assert!(at.is_some_and(|at| clock.tick(at) <= Tick(9_001)));
        }
        assert_eq!(Clock::new(0, 0).instant_of(7, Tick::NEVER), None);
    }
}
