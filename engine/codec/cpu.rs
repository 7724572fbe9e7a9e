//! What this processor can do, asked once, in this one place.
//!
//! A value of a token exists only where the processor has the features that the token stands for:
//! whoever has one may call what is compiled for them. Code that runs on any processor takes a
//! [`Target`], and is compiled once for each by `on_cpu!`.
//!
//! Every way gives the same bytes. Which one is taken can be lowered, never raised: by the
//! environment variable `MGIT_CPU` for the whole process, by [`Cpu::lowered`] for a piece of work.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// The instructions that the codec uses, from the fewest to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cpu {
    /// What every processor of this architecture has.
    Portable,
    /// AVX2, FMA, BMI1, BMI2, LZCNT and POPCNT: most x86-64 processors since 2013.
    Avx2,
    /// AVX-512 (F, BW, VL, CD, DQ) too.
    Avx512,
}

/// The environment variable that lowers what is used: `portable`, `avx2` or `avx512`.
pub const CPU_VARIABLE: &str = "MGIT_CPU";

thread_local! {
    static LOWERED: Cell<Option<Cpu>> = const { Cell::new(None) };
}

impl Cpu {
    /// Every way, the narrowest first.
    pub const ALL: [Cpu; 3] = [Cpu::Portable, Cpu::Avx2, Cpu::Avx512];

    /// The ways that this processor has, the narrowest first, whatever is lowered.
    pub fn available() -> impl Iterator<Item = Cpu> {
        Self::ALL.into_iter().filter(|cpu| *cpu <= best())
    }

    /// The way that is taken on this thread: the widest of the processor, unless `MGIT_CPU` or
    /// [`lowered`](Self::lowered) name a narrower one. A value of `MGIT_CPU` that is none of the
    /// names is not used. Cost: a look at two variables; the processor is asked once a process.
    pub fn current() -> Cpu {
        LOWERED.get().unwrap_or_else(of_process)
    }

    /// Runs `work`, which takes no wider way than this one on this thread.
    pub fn lowered<R>(self, work: impl FnOnce() -> R) -> R {
        struct Back(Option<Cpu>);
        impl Drop for Back {
            fn drop(&mut self) {
                LOWERED.set(self.0);
            }
        }
        let _back = Back(LOWERED.replace(Some(self.min(Self::current()))));
        work()
    }

    /// The name, for people and for `MGIT_CPU`.
    pub fn name(self) -> &'static str {
        match self {
            Cpu::Portable => "portable",
            Cpu::Avx2 => "avx2",
            Cpu::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Cpu {
    type Err = UnknownCpu;

    fn from_str(name: &str) -> Result<Self, UnknownCpu> {
        let known = Self::ALL.into_iter().find(|cpu| cpu.name() == name);
        known.ok_or_else(|| UnknownCpu(name.to_owned()))
    }
}

/// A name that no way has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no set of instructions is named {0:?}: portable, avx2 or avx512")]
pub struct UnknownCpu(String);

/// The widest way that the processor has.
fn best() -> Cpu {
    static BEST: OnceLock<Cpu> = OnceLock::new();
    *BEST.get_or_init(|| match (Avx512::detect(), Avx2::detect()) {
        (Some(_), _) => Cpu::Avx512,
        (None, Some(_)) => Cpu::Avx2,
        (None, None) => Cpu::Portable,
    })
}

fn of_process() -> Cpu {
    static OF_PROCESS: OnceLock<Cpu> = OnceLock::new();
    *OF_PROCESS.get_or_init(|| {
        let named = std::env::var(CPU_VARIABLE).ok().and_then(|name| name.parse().ok());
        best().min(named.unwrap_or(Cpu::Avx512))
    })
}

/// Code compiled for one kind of processor.
pub(in crate::codec) trait Target: Copy {
    /// The token of AVX-512, where the code is compiled for it: a constant for each target.
    fn avx512(self) -> Option<Avx512>;
    /// The token of AVX2, where the code is compiled for that and no more.
    fn avx2(self) -> Option<Avx2>;
}

/// Any processor.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Portable;

impl Target for Portable {
    #[inline(always)]
    fn avx512(self) -> Option<Avx512> {
        None
    }

    #[inline(always)]
    fn avx2(self) -> Option<Avx2> {
        None
    }
}

/// A processor with what [`Cpu::Avx512`] says.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Avx512(());

impl Target for Avx512 {
    #[inline(always)]
    fn avx512(self) -> Option<Avx512> {
        Some(self)
    }

    #[inline(always)]
    fn avx2(self) -> Option<Avx2> {
        None
    }
}

impl Avx512 {
    /// The token, where this way is taken.
    #[inline]
    pub(in crate::codec) fn current() -> Option<Self> {
        if Cpu::current() == Cpu::Avx512 { Self::detect() } else { None }
    }
}

/// A processor with what [`Cpu::Avx2`] says.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Avx2 {
    has_fast_pext: bool,
}

impl Target for Avx2 {
    #[inline(always)]
    fn avx512(self) -> Option<Avx512> {
        None
    }

    #[inline(always)]
    fn avx2(self) -> Option<Avx2> {
        Some(self)
    }
}

impl Avx2 {
    /// The token, where this way or a wider one is taken.
    #[inline]
    pub(in crate::codec) fn current() -> Option<Self> {
        if Cpu::current() >= Cpu::Avx2 { Self::detect() } else { None }
    }
}

/// Evaluates an expression with the token of the widest way, `$cpu` in it, compiled for that way as
/// far as it is inlined: what is called in it is `#[inline(always)]`.
macro_rules! on_cpu {
    ($cpu:ident => $work:expr) => {
        match ($crate::codec::cpu::Avx512::current(), $crate::codec::cpu::Avx2::current()) {
            (Some($cpu), _) => $cpu.run(
                #[inline(always)]
                || $work,
            ),
            (None, Some($cpu)) => $cpu.run(
                #[inline(always)]
                || $work,
            ),
            (None, None) => {
                let $cpu = $crate::codec::cpu::Portable;
                $work
            }
        }
    };
}
pub(in crate::codec) use on_cpu;

/// Runs `work`, compiled for the widest way as far as it is inlined, for rooms that have loops of
/// numbers and no tokens: the closure and what it calls are `#[inline(always)]`.
#[inline]
pub(crate) fn run_wide<R>(work: impl FnOnce() -> R) -> R {
    on_cpu!(_cpu => work())
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::__cpuid;
    use std::sync::OnceLock;

    use super::{Avx2, Avx512};

    impl Avx512 {
        /// The token, if this processor has the features.
        pub(super) fn detect() -> Option<Self> {
            let available = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512cd")
                && is_x86_feature_detected!("avx512dq")
                && Avx2::detect().is_some();
            available.then_some(Avx512(()))
        }

        /// Runs `work`, compiled for these registers as far as it is inlined: what is called in it
        /// is `#[inline(always)]`, the closure too.
        #[inline]
        pub(in crate::codec) fn run<R>(self, work: impl FnOnce() -> R) -> R {
            // SAFETY: a value of this type is made only where the features are.
            unsafe { with_avx512(work) }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512cd,avx512dq,popcnt,lzcnt,bmi1,bmi2")]
    fn with_avx512<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    impl Avx2 {
        /// The token, if this processor has the features.
        pub(super) fn detect() -> Option<Self> {
            let available = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2");
            available.then(|| Avx2 { has_fast_pext: has_fast_pext() })
        }

        /// Runs `work`, compiled for these registers as far as it is inlined, as
        /// [`Avx512::run`].
        #[inline]
        pub(in crate::codec) fn run<R>(self, work: impl FnOnce() -> R) -> R {
            // SAFETY: a value of this type is made only where the features are.
            unsafe { with_avx2(work) }
        }

        /// Whether PEXT and PDEP take a few cycles.
        #[inline(always)]
        pub(in crate::codec) fn has_fast_pext(self) -> bool {
            self.has_fast_pext
        }
    }

    /// Up to Zen 2, AMD's processors run PEXT and PDEP bit by bit.
    fn has_fast_pext() -> bool {
        static FAST: OnceLock<bool> = OnceLock::new();
        *FAST.get_or_init(|| {
            // SAFETY: every processor of x86-64 has the instruction and these two leaves.
            #[allow(unused_unsafe, reason = "older compilers ask for it")]
            let (vendor, version) = unsafe { (__cpuid(0), __cpuid(1).eax) };
            let vendor = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
            let amd = [*b"Auth", *b"enti", *b"cAMD"];
            let hygon = [*b"Hygo", *b"nGen", *b"uine"];
            let family = (version >> 8 & 0xf) + (version >> 20 & 0xff);
            vendor != hygon && (vendor != amd || family >= 0x19)
        })
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
    fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
}

/// Elsewhere there are no such processors, and no values of these types.
#[cfg(not(target_arch = "x86_64"))]
mod elsewhere {
    use super::{Avx2, Avx512};

    impl Avx512 {
        pub(super) fn detect() -> Option<Self> {
            None
        }

        pub(in crate::codec) fn run<R>(self, work: impl FnOnce() -> R) -> R {
            work()
        }
    }

    impl Avx2 {
        pub(super) fn detect() -> Option<Self> {
            None
        }

        pub(in crate::codec) fn run<R>(self, work: impl FnOnce() -> R) -> R {
            work()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What `work` gives, which is the same on every way of this processor.
    pub(crate) fn on_every_way<R: PartialEq>(work: impl Fn() -> R) -> R {
        let first = Cpu::Portable.lowered(&work);
        Cpu::available().for_each(|cpu| assert!(cpu.lowered(&work) == first, "{cpu}"));
        first
    }

    #[test]
    fn ways_are_lowered_and_never_raised() {
        let before = Cpu::current();
        for cpu in Cpu::ALL {
            assert_eq!(cpu.name().parse(), Ok(cpu));
            cpu.lowered(|| {
                assert_eq!(Cpu::current(), cpu.min(before));
                Cpu::Avx512.lowered(|| assert_eq!(Cpu::current(), cpu.min(before)));
                assert_eq!(Avx512::current().is_some(), Cpu::current() == Cpu::Avx512);
            });
            assert_eq!(Cpu::current(), before);
        }
        let raised = std::panic::catch_unwind(|| Cpu::Portable.lowered(|| panic!("on purpose")));
        assert!(raised.is_err() && Cpu::current() == before);
        let wrong = "AVX2".parse::<Cpu>().unwrap_err().to_string();
        assert!(wrong.contains("portable, avx2 or avx512"), "{wrong}");
    }
}
