//! What this processor can do, asked in this one place.
//!
//! A value of a token exists only where the processor has the features that the token stands for:
//! whoever has one may call what is compiled for them. Code that runs on any processor takes a
//! [`Target`], and is compiled once for each.

/// Code compiled for one kind of processor.
pub(in crate::codec) trait Target: Copy {
    /// The token of AVX-512, where the code is compiled for it: a constant for each target.
    fn avx512(self) -> Option<Avx512>;
}

/// Any processor.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Portable;

impl Target for Portable {
    #[inline(always)]
    fn avx512(self) -> Option<Avx512> {
        None
    }
}

/// A processor with AVX-512 (F, BW, VL, CD, DQ), POPCNT, LZCNT, BMI1 and BMI2.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Avx512(());

impl Target for Avx512 {
    #[inline(always)]
    fn avx512(self) -> Option<Avx512> {
        Some(self)
    }
}

/// A processor with AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Avx2(());

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{Avx2, Avx512};

    impl Avx512 {
        /// The token, if this processor has the features.
        pub(in crate::codec) fn detect() -> Option<Self> {
            let available = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512cd")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2");
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
        pub(in crate::codec) fn detect() -> Option<Self> {
            let available = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            available.then_some(Avx2(()))
        }

        /// Runs `work`, compiled for these registers as far as it is inlined, as
        /// [`Avx512::run`].
        #[inline]
        pub(in crate::codec) fn run<R>(self, work: impl FnOnce() -> R) -> R {
            // SAFETY: a value of this type is made only where the features are.
            unsafe { with_avx2(work) }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
}

/// Elsewhere there are no such processors, and no values of these types.
#[cfg(not(target_arch = "x86_64"))]
mod elsewhere {
    use super::{Avx2, Avx512};

    impl Avx512 {
        pub(in crate::codec) fn detect() -> Option<Self> {
            None
        }

        pub(in crate::codec) fn run<R>(self, work: impl FnOnce() -> R) -> R {
            work()
        }
    }

    impl Avx2 {
        pub(in crate::codec) fn detect() -> Option<Self> {
            None
        }

        pub(in crate::codec) fn run<R>(self, work: impl FnOnce() -> R) -> R {
            work()
        }
    }
}
